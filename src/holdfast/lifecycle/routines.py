"""Routines: the weekly, monthly and quarterly reviews, each with material that it gathers itself, and their due dates.

A review reads the ledger since it was held last, writes what it found, and is held once its reviewer has said a word to
it: the report and the word are signed by the reviewer's own key and put on record. What is overdue is said.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import canonical
from holdfast.core.errors import InvalidInput
from holdfast.core.intoto import statement
from holdfast.core.ledger import Draft, Entry
from holdfast.core.seal import seal_payload
from holdfast.lifecycle.material import incidents, keys_due, promotions, scans, severe, tabletops, threat_model, trends
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table
from holdfast.lifecycle.written import write_report

HELD: Final = "routine.held"  # body: routine, since, report, statement, word
SCHEDULED: Final = "routine.scheduled"  # body: routine, on, what
REVIEW: Final = "https://holdfast.dev/review/v1"  # what a reviewer signs
MAX_WORD: Final = 2000  # characters

Gather = Callable[[Plant, datetime], Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routine:
    """One review: how often, and what it looks at."""

    name: str
    every: timedelta
    items: tuple[Gather, ...]

    @property
    def stream(self) -> str:
        """The name of its stream."""
        return f"routine/{self.name}"


ROUTINES: Final = (
    Routine(name="weekly", every=timedelta(days=7), items=(severe, trends, promotions)),
    Routine(name="monthly", every=timedelta(days=31), items=(scans, keys_due, threat_model)),
    Routine(name="quarterly", every=timedelta(days=92), items=(tabletops, incidents)),
)
"""Every review with what it gathers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """How a routine stands: when it was held last, when it must be again, and what is planned."""

    last: datetime | None
    until: datetime
    overdue: bool
    words: str


def due(plant: Plant, routine: Routine) -> Due:
    """Return how a routine stands. One that was never held is due as long after the workspace's beginning."""
    last = plant.last(routine.stream, HELD)
    begun = last.moment if last else _beginning(plant)
    until = begun + routine.every
    overdue = plant.clock.now() > until
    held = f"held {last.moment:%Y-%m-%d} by {last.actor}" if last else "never held"
    words = f"{held}; {'overdue since' if overdue else 'due by'} {until:%Y-%m-%d}"
    return Due(last=last.moment if last else None, until=until, overdue=overdue, words=words)


def _beginning(plant: Plant) -> datetime:
    first = next(plant.ledger.entries(0, 1), None)
    return first.moment if first else plant.clock.now()


def routine_due(plant: Plant) -> Reply:
    """Say which reviews are overdue, when the others are due, and what is planned."""
    rows, listed = [], []
    for routine in ROUTINES:
        state = due(plant, routine)
        planned = _planned(plant, routine)
        rows.append((routine.name, "OVERDUE" if state.overdue else "ok", state.words, planned))
        listed.append(
            {
                "routine": routine.name,
                "overdue": state.overdue,
                "until": state.until.isoformat(),
                "last": state.last.isoformat() if state.last else None,
                "planned": planned,
            }
        )
    late = [row[0] for row in rows if row[1] == "OVERDUE"]
    says = f"Overdue: {', '.join(late)}." if late else "No review is overdue."
    table = Table(title="Routines", columns=("routine", "state", "when", "planned"), rows=rows)
    return Reply(says=says, document={"routines": listed, "overdue": late}, tables=(table,), exit_code=1 if late else 0)


def _planned(plant: Plant, routine: Routine) -> str:
    """Return what is planned and was not held since: the next of it."""
    last = plant.last(routine.stream, HELD)
    since = last.position if last else -1
    coming = [e for e in plant.ledger.stream(routine.stream) if e.kind == SCHEDULED and e.position > since]
    return "; ".join(f"{entry.body['on']}: {entry.body['what']}" for entry in coming)


def weekly(plant: Plant, *, out: Path | None = None, word: str | None = None) -> Reply:
    """Gather the week's review: severe alerts, drift trends, new promotions; with a word it is held."""
    return _review(plant, "weekly", out, word)


def monthly(plant: Plant, *, out: Path | None = None, word: str | None = None) -> Reply:
    """Gather the month's review: security scans, key rotation, threat model; with a word it is held."""
    return _review(plant, "monthly", out, word)


def quarterly(plant: Plant, *, out: Path | None = None, word: str | None = None) -> Reply:
    """Gather the quarter's review: tabletop exercises, postmortems with their actions; with a word it is held."""
    return _review(plant, "quarterly", out, word)


def schedule(plant: Plant, *, routine: str, on: str, what: str) -> Reply:
    """Put on record when a review, or the exercise that belongs to it, is to be held.

    Raises:
        InvalidInput: There is no such routine, the day is none or has passed, or nothing is said.
    """
    found = _named(routine)
    try:
        day = datetime.fromisoformat(on).replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidInput(f"{on[:40]!r} is no day", expected="for example 2027-01-15") from error
    if day.date() < plant.clock.now().date():
        raise InvalidInput(f"{on} has passed", expected="a day to come")
    body = {"routine": found.name, "on": day.date().isoformat(), "what": _checked(what)}
    plant.ledger.append([Draft(kind=SCHEDULED, actor=plant.person, stream=found.stream, body=body)])
    return Reply(says=f"{found.name}: {body['what']} on {body['on']}.", document=body)


def _named(name: str) -> Routine:
    found = next((routine for routine in ROUTINES if routine.name == name), None)
    if found is None:
        raise InvalidInput(f"no routine {name[:40]!r}", expected=", ".join(routine.name for routine in ROUTINES))
    return found


def _checked(word: str) -> str:
    if not word.strip() or len(word) > MAX_WORD:
        raise InvalidInput("the word is empty or too long", expected=f"up to {MAX_WORD} characters")
    return word


def _review(plant: Plant, name: str, out: Path | None, word: str | None) -> Reply:
    """Gather what a review looks at since it was held last; write it, and record it with the reviewer's word.

    Raises:
        InvalidInput: The word is empty, or the file cannot be written.
    """
    routine, now = _named(name), plant.clock.now()
    state = due(plant, routine)
    since = state.last or _beginning(plant)
    tables = tuple(gather(plant, since) for gather in routine.items)
    document = _document(routine, since, now, tables)
    says = f"The {name} review since {since:%Y-%m-%d}: " + "; ".join(
        f"{table.title.lower()}: {len(table.rows)}" for table in tables
    )
    if word is not None:
        entry = _hold(plant, routine, document, _checked(word))
        document |= {"held": entry.position, "reviewer": entry.actor}
        says += f". Held by {entry.actor}, on record as entry {entry.position}."
    else:
        says += f". Not held yet ({state.words}): add --word."
    if out is not None:
        write_report(out, f"{name.capitalize()} review, {now:%Y-%m-%d}", says, tables)
    return Reply(says=says, document=document, tables=tables)


def _document(routine: Routine, since: datetime, now: datetime, tables: Sequence[Table]) -> dict[str, Any]:
    return {
        "routine": routine.name,
        "since": since.isoformat(),
        "until": now.isoformat(),
        "items": [
            {"title": table.title, "columns": list(table.columns), "rows": [list(row) for row in table.rows]}
            for table in tables
        ],
    }


def _hold(plant: Plant, routine: Routine, document: Mapping[str, Any], word: str) -> Entry:
    """Sign report and word with the reviewer's own key, and put both on record."""
    plant.unlock()
    report = plant.blobs.put(canonical(document))
    said = {"reviewer": plant.person, "routine": routine.name, "word": word}
    about = [(f"{routine.name} review", str(report))]
    envelope = seal_payload(statement(about, REVIEW, said), [plant.keys.signer("person")])
    body = {
        "routine": routine.name,
        "since": document["since"],
        "report": report,
        "statement": plant.blobs.put(envelope),
        "word": word,
    }
    (entry,) = plant.ledger.append([Draft(kind=HELD, actor=plant.person, stream=routine.stream, body=body)])
    return entry
