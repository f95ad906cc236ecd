"""The trail of a data set: who read or changed which of its rows and when, by what is on record of it.

Reads are put on record before a row is handed out; runs, jobs and exports are on record anyway. Decides which entries
are about a data set and in whose name each was made; leaves to people which of them is suspect.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from holdfast.core.artifact import Kind
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ledger import Draft, Entry
from holdfast.core.passport import RECORDED
from holdfast.core.versions import BRANCHED, COMMITTED, TAGGED, split_reference, stream_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.versions import Version, named_of

READ: Final = "data.read"  # body: commit, dataset, purpose, reason; in the stream of the data set
EXPORTED: Final = "data.exported"
ERASED: Final = "data.erased"
STAGE: Final = "stage.started"
_CHANGES: Final = {
    COMMITTED: "committed a version",
    BRANCHED: "began a branch",
    TAGGED: "tagged a version",
    ERASED: "erased its rows",
    "data.rows-erased": "erased rows of it",
    "data.decided": "decided about a value of it",
}
_READS: Final = {READ: "read", EXPORTED: "exported", STAGE: "a stage read"}
MAX_LAST: Final = 10_000  # lines of one answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a trail."""

    entry: Entry
    who: str
    did: str
    change: bool
    dataset: str


def reading(plant: Plant, at: Version, purpose: str, *, reason: str = "") -> Draft:
    """Return the entry that says who reads a version's rows, and what for."""
    body = {"commit": at.digest, "dataset": at.commit.dataset, "purpose": purpose, "reason": reason}
    return Draft(kind=READ, actor=plant.actor, stream=stream_of(at.commit.name), body=body)


def data_trail(
    plant: Plant,
    *,
    data: str | None = None,
    changes: bool = False,
    by: str | None = None,
    last: int = 50,
    before: int | None = None,
) -> Reply:
    """List who read or changed a data set and when, newest last; only before an entry's position, if one is given.

    Raises:
        InvalidInput: So many lines are not shown.
        NotFound: There is no such data set.
    """
    if not 1 <= last <= MAX_LAST:
        raise InvalidInput(f"the last {last} lines", expected=f"1 to {MAX_LAST}")
    name = data or current_project(plant).project.name
    found = [
        step
        for step in steps(plant, split_reference(f"{name}@", "")[0])
        if (step.change or not changes) and by in {None, step.who}
    ]
    shown = [step for step in found if before is None or step.entry.position < before][-last:]
    rows = [(step.entry.time[:19], step.who, step.did, short(step.dataset), str(step.entry.position)) for step in shown]
    document = {"data": name, "steps": [_document(step) for step in shown], "total": len(found)}
    who = sorted({step.who for step in found if step.change})
    says = f"{counted(len(found), 'step')} about {name}; changed by {', '.join(who) or 'nobody'}."
    table = Table(title="Trail", columns=("when", "who", "did", "data set", "entry"), rows=rows)
    return Reply(says=says, document=document, tables=(table,))


def _document(step: Step) -> dict[str, Any]:
    return {
        "position": step.entry.position,
        "time": step.entry.time,
        "who": step.who,
        "did": step.did,
        "change": step.change,
        "dataset": step.dataset,
        "kind": step.entry.kind,
    }


def steps(plant: Plant, name: str) -> Iterator[Step]:
    """Yield everything on record about a data set's rows, oldest first.

    Raises:
        NotFound: There is no such data set.
    """
    named = named_of(plant, name)
    if not named.commits:
        raise NotFound(f"there are no versions of {name!r}", remedy="`holdfast run` commits what it ingests.")
    datasets = {entry.body["dataset"] for entry in named.commits.values()}
    sources = _sources(plant, datasets)
    stream = stream_of(name)
    for entry in plant.ledger.entries():
        step = _step(entry, stream, datasets, sources)
        if step is not None:
            yield step


def _sources(plant: Plant, datasets: set[str]) -> dict[str, str]:
    """Return the source of each data set, the other way round: source to data set."""
    found = {}
    for dataset in datasets:
        recorded = plant.last(dataset, RECORDED)
        for parent in recorded.body["parents"] if recorded else ():
            if parent["kind"] == Kind.SOURCE:
                found[str(parent["digest"])] = dataset
    return found


def _step(entry: Entry, stream: str, datasets: set[str], sources: dict[str, str]) -> Step | None:
    body = entry.body
    if entry.kind == STAGE:
        inputs = set(body["inputs"].values())
        about = next(iter(sorted(inputs & datasets)), "") or next(
            (sources[i] for i in sorted(inputs & set(sources))), ""
        )
        if not about:
            return None
        who = body.get("by", entry.actor)
        return Step(entry=entry, who=who, did=f"{body['stage']} read it", change=False, dataset=about)
    about = body.get("dataset") if entry.stream == stream else None
    about = about or (entry.stream if entry.stream in datasets else sources.get(entry.stream))
    if about is None and entry.stream == stream:
        about = body.get("commit") or body.get("version")
    if about is None:
        return None
    if entry.kind in _CHANGES:
        return Step(entry=entry, who=entry.actor, did=_words(entry), change=True, dataset=about)
    if entry.kind in _READS:
        return Step(entry=entry, who=entry.actor, did=_words(entry), change=False, dataset=about)
    if entry.kind == RECORDED and entry.body["kind"] == Kind.SOURCE:
        return Step(entry=entry, who=entry.actor, did="took its source in", change=True, dataset=about)
    return None


def _words(entry: Entry) -> str:
    body = entry.body
    words = _CHANGES.get(entry.kind) or (f"read it: {body['purpose']}" if entry.kind == READ else _READS[entry.kind])
    if entry.kind == COMMITTED:
        words = f"committed {short(body['commit'])} to {body['branch']}"
    said = body.get("reason") or body.get("message") or ""
    return f"{words} ({said})" if said else words
