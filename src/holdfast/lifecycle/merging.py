"""Merging: all that the sources of a data set have sent becomes one file, which a run takes in like any other.

Which batches it was made from is on record under its digest; a source that failed, is late or has sent nothing does not
stop the others, and stands in the evidence of the data set.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from holdfast.core.artifact import Digest, canonical
from holdfast.core.errors import Refused
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.core.sources import FILES, Source, named_in
from holdfast.ingest.dialect import Dialect
from holdfast.ingest.evidence import Sent
from holdfast.ingest.records import Batch, merge
from holdfast.lifecycle.inputs import take_rows
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.source_state import MERGED, Arrival, State, due_of, state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    name: str
    source: Source
    state: State
    counted: Sequence[Arrival]


def merged(plant: Plant, project: Project) -> tuple[Digest, int]:
    """Put what the sources have sent together, store it and say on record what it was made from.

    Raises:
        InvalidData: No source has sent any rows, or what one sent cannot be read any more.
        Refused: A source's rows were erased.
    """
    parts = []
    for name in named_in(project.data.source):
        source, state = project.sources[name], state_of(plant, name)
        parts.append(_Part(name=name, source=source, state=state, counted=_counted(source, state)))
    folder = plant.scratch / f"merge-{plant.entropy.token(8).hex()}"
    folder.mkdir(mode=0o700, parents=True)
    try:
        table, rows = merge([(p.name, p.source, _batches(plant, p)) for p in parts], project, folder)
        digest, size = take_rows(plant, table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    body: dict[str, Any] = {"sources": [_said(plant, part, rows[part.name]) for part in parts]}
    listed = {part.name: [each.digest for each in part.counted] for part in parts}
    body["batches"] = plant.blobs.put(canonical(listed))
    last = plant.last(digest, MERGED)
    if last is None or last.body != body:
        plant.ledger.append([Draft(kind=MERGED, actor="sources", stream=digest, body=body)])
    return digest, size


def _counted(source: Source, state: State) -> Sequence[Arrival]:
    """Return the batches that count: of a file that is fetched the newest, since it is the whole; else all."""
    if source.kind in FILES and not source.pushed:
        return state.arrivals[-1:]
    return state.arrivals


def _batches(plant: Plant, part: _Part) -> list[Batch]:
    found = []
    for arrival in part.counted:
        said = arrival.body.get("dialect")
        dialect = None
        if said is not None:
            dialect = msgspec.convert({key: value for key, value in said.items() if key != "words"}, Dialect)
        digests = [arrival.digest] if arrival.rows or arrival.form in FILES else []
        if part.source.stream is None or part.source.stream.late == "with":
            digests += [arrival.body["late"]] if "late" in arrival.body else []
        for digest in digests:
            if not plant.blobs.has(Digest(digest)):
                raise Refused("a batch of this source is gone", place=f"{part.name}, {digest}",
                              remedy="Restore it from a backup, or leave the source out of [data].")  # fmt: skip
            place = f"{part.name}, batch of {arrival.moment:%Y-%m-%d %H:%M}"
            found.append(Batch(path=plant.blobs.path(Digest(digest)), form=arrival.form, place=place, dialect=dialect))
    return found


def _said(plant: Plant, part: _Part, rows: int) -> dict[str, Any]:
    now = plant.clock.now()
    due = due_of(part.source, part.state, now, now)
    return {
        "source": part.name,
        "identity": part.source.identity,
        "rows": rows,
        "batches": len(part.counted),
        "unreadable": sum(each.unreadable for each in part.counted),
        "first_arrival": part.counted[0].moment.isoformat() if part.counted else "",
        "last_arrival": part.counted[-1].moment.isoformat() if part.counted else "",
        "failed": part.state.failed,
        "late": due.late,
        "stale": due.stale,
        "missing": list(part.state.missing),
    }


def sent_of(plant: Plant, digest: str) -> tuple[Sent, ...]:
    """Return what is on record of the sources that a file was put together from; none of a file that somebody made."""
    last = plant.last(digest, MERGED)
    if last is None:
        return ()
    names = Sent.__dataclass_fields__
    return tuple(Sent(**{name: each[name] for name in names}) for each in last.body["sources"])
