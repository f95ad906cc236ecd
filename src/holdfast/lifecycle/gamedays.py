"""Game days on record: begun, scored, sealed as evidence on the release that answers; and when the next is due."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.errors import NotFound
from holdfast.core.ledger import Draft
from holdfast.core.policy import seconds
from holdfast.core.project import Project
from holdfast.lifecycle.carrying import carry_out
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project, project_of
from holdfast.lifecycle.runner import project_stream
from holdfast.respond.gameday import GAMEDAY, NAMES, Rehearsed, faults, next_due, rehearsal

BEGUN: Final = "gameday.begun"  # body: release, rehearsals
HELD: Final = "gameday.held"  # body: the same, passed, failed


def subject_of(plant: Plant) -> Digest:
    """Return the release that answers, which a game day is about.

    Raises:
        NotFound: None answers.
    """
    release = standing(plant, current_project(plant)).baseline
    if not release:
        raise NotFound("no release answers, so there is nothing to rehearse", remedy="Promote one first.")
    return Digest(release)


def chosen(plant: Plant, only: str | None) -> tuple[str, ...]:
    """Return the rehearsals of a game day, in order: the one that is asked for, or those that the project declares.

    Raises:
        InvalidInput: There is no such rehearsal.
    """
    declared = (only,) if only is not None else current_project(plant).respond.gameday_rehearsals or NAMES
    named = {rehearsal(each).name for each in declared}
    return tuple(each for each in NAMES if each in named)


def begin(plant: Plant, release: Digest, rehearsals: Sequence[str]) -> None:
    """Put on record that a game day begins: one that ends without a word was not held."""
    body = {"release": release, "rehearsals": list(rehearsals)}
    plant.ledger.append([Draft(kind=BEGUN, actor="respond", stream=_stream(current_project(plant)), body=body)])


def hold(plant: Plant, release: Digest, day: Sequence[Rehearsed]) -> Reply:
    """Score a game day, seal the score as evidence on the release, and return it; exit code 1 if one was not passed."""
    project_of(plant, release)  # refuses what was changed
    recorded = plant.last(release, "artifact.recorded")
    parents = recorded.body["parents"] if recorded else ()
    configuration = next(each["digest"] for each in parents if each["kind"] == Kind.PROJECT)
    subject = Artifact(kind=Kind.RELEASE, digest=release, size=0)
    carry_out(plant, GAMEDAY, day, subject, configuration=configuration)
    passed = [each.rehearsal for each in day if not faults(each)]
    body = {
        "release": release,
        "rehearsals": [each.rehearsal for each in day],
        "passed": passed,
        "failed_calls": sum(each.failed for each in day),
    }
    plant.ledger.append([Draft(kind=HELD, actor="respond", stream=_stream(current_project(plant)), body=body)])
    return _scored(release, day)


def status(plant: Plant) -> Reply:
    """Say when the last game day was and when the next is due; exit code 1 where one is overdue."""
    project = current_project(plant)
    every = project.respond.gameday_every
    entries = plant.ledger.stream(_stream(project))
    held = [entry for entry in entries if entry.kind == HELD]
    last = held[-1].moment if held else None
    document: dict[str, object] = {"last": last.isoformat() if last else None, "every": every, "held": len(held)}
    document["unfinished"] = sum(entry.kind == BEGUN for entry in entries) - len(held)
    if held:
        document |= {"release": held[-1].body["release"], "passed": held[-1].body["passed"]}
        document["rehearsals"] = held[-1].body["rehearsals"]
        says = f"The last game day was on {last:%Y-%m-%d}: "
        says += f"{len(held[-1].body['passed'])} of {len(held[-1].body['rehearsals'])} rehearsals were passed."
    else:
        says = "No game day was held yet."
    if not every:
        return Reply(says=f"{says} The project declares no term for them.", document=document | {"due": None})
    due = next_due(last, _since(plant), seconds(every))
    overdue = plant.clock.now() >= due
    says += f" The next {'has been due since' if overdue else 'is due on'} {due:%Y-%m-%d}."
    return Reply(says=says, document=document | {"due": due.isoformat(), "overdue": overdue}, exit_code=int(overdue))


def _since(plant: Plant) -> datetime:
    """Return when the release that answers began to; now where none does."""
    with suppress(NotFound):
        promoted = plant.last(subject_of(plant), "release.promoted")
        if promoted is not None:
            return promoted.moment
    return plant.clock.now()


def _stream(project: Project) -> str:
    return f"{project_stream(project)}/gamedays"


def _scored(release: Digest, day: Sequence[Rehearsed]) -> Reply:
    bad = [each for each in day if faults(each)]
    rows = [
        (
            each.rehearsal,
            "; ".join(faults(each)) or "passed",
            _seconds(each.detect_s),
            _seconds(each.recover_s),
            f"{each.failed} of {each.calls}",
        )
        for each in day
    ]
    columns = ("rehearsal", "score", "noticed after", "itself again after", "failed calls")
    document = {
        "release": release,
        "rehearsals": [
            {
                "rehearsal": each.rehearsal,
                "passed": not faults(each),
                "faults": list(faults(each)),
                "detect_s": each.detect_s,
                "recover_s": each.recover_s,
                "calls": each.calls,
                "failed": each.failed,
            }
            for each in day
        ],
    }
    says = f"{len(day) - len(bad)} of {counted(len(day), 'rehearsal')} were passed by release {short(release)}."
    if bad:
        says += f" {bad[0].rehearsal}: {faults(bad[0])[0]}."
    table = Table(title="Game day", columns=columns, rows=rows)
    return Reply(says=says, document=document, tables=(table,), exit_code=1 if bad else 0)


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f} s"
