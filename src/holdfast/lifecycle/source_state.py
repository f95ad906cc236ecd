"""How a source stands, by what is on record: what arrived, how far it was read, what went wrong, what is due.

The place up to which a source was read stands in the same entry as the rows that were read: no crash can part them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import NotFound
from holdfast.core.ledger import Entry
from holdfast.core.policy import seconds
from holdfast.core.project import Project, parse_project
from holdfast.core.sources import Source
from holdfast.lifecycle.inputs import read_project_file
from holdfast.lifecycle.plant import Plant

ACCEPTED: Final = "source.accepted"  # body: batch, form, rows, position, …: what arrived, and how far it is read
REFUSED: Final = "source.refused"  # body: code, reason, digest, identity: what was pushed and not let in
FAILED: Final = "source.failed"  # body: code, reason: a pull that did not end
PULLED: Final = "source.pulled"  # body: rows, batches, repeated, position: a pull that ended
MERGED: Final = "source.merged"  # body: what a data set was put together from; in the stream of its digest
FORGOTTEN: Final = "source.forgotten"  # body: reason, batches: the key of its rows was destroyed


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One batch as it is on record."""

    digest: Digest
    form: str
    rows: int
    unreadable: int
    moment: datetime
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How a source stands."""

    arrivals: tuple[Arrival, ...] = ()
    position: Mapping[str, Any] = field(default_factory=dict)
    pulled: datetime | None = None  # when a pull last ended, or a push was last taken in
    arrived: datetime | None = None  # when rows last came
    failed: str = ""  # why the last pull did not end; empty where a later one did
    refused: int = 0
    sequence: int = 0  # of the newest submission that was taken in
    missing: tuple[str, ...] = ()  # what the source had lost before it was read

    @property
    def rows(self) -> int:
        """How many rows arrived; several may be versions of one record."""
        return sum(each.rows for each in self.arrivals)


def stream_of(name: str) -> str:
    """Return the name of a source's stream in the ledger."""
    return f"source/{name}"


def data_key(name: str) -> str:
    """Return the name of the data key under which a source's rows lie."""
    return f"source {name}"


def fold(entries: Iterable[Entry]) -> State:
    """Return how a source stands by its entries, oldest first."""
    arrivals, position, missing = list[Arrival](), dict[str, Any](), list[str]()
    pulled = arrived = None
    failed, refused, sequence = "", 0, 0
    for entry in entries:
        body = entry.body
        match entry.kind:
            case "source.accepted":
                arrivals.append(_arrival(entry))
                position = body.get("position", position)
                sequence = max(sequence, int(body.get("sequence", 0)))
                arrived = entry.moment
                pulled = entry.moment if "sequence" in body else pulled
                missing += [body["missing"]] if body.get("missing") else []
            case "source.pulled":
                pulled, failed, position = entry.moment, "", body.get("position", position)
            case "source.failed":
                failed = str(body["reason"])
            case "source.refused":
                refused += 1
            case "source.forgotten":
                arrivals = []
            case _:
                pass
    return State(
        arrivals=tuple(arrivals),
        position=position,
        pulled=pulled,
        arrived=arrived,
        failed=failed,
        refused=refused,
        sequence=sequence,
        missing=tuple(missing),
    )


def _arrival(entry: Entry) -> Arrival:
    body = entry.body
    return Arrival(
        digest=Digest(body["batch"]),
        form=body["form"],
        rows=int(body["rows"]),
        unreadable=int(body.get("unreadable", 0)),
        moment=entry.moment,
        body=body,
    )


def state_of(plant: Plant, name: str) -> State:
    """Return how a source stands."""
    return fold(plant.ledger.stream(stream_of(name)))


def declared(plant: Plant) -> Project:
    """Return the project as its file says now.

    Raises:
        InvalidProject: The file is missing or wrong.
    """
    return parse_project(read_project_file(plant.home.project_file))[0]


def chosen(project: Project, name: str | None) -> dict[str, Source]:
    """Return the source of a name, or all of them.

    Raises:
        NotFound: The project declares no such source, or none.
    """
    if name is None:
        if not project.sources:
            remedy = "Declare one under [sources.NAME]; docs/how-to/a-new-source.md shows each kind."
            raise NotFound("the project declares no sources", place="holdfast.toml", remedy=remedy)
        return dict(project.sources)
    if name not in project.sources:
        known = ", ".join(project.sources) or "none"
        raise NotFound(f"there is no source {name[:80]!r}", place="holdfast.toml", expected=f"one of: {known}",
                       remedy="Declare it under [sources.NAME], or correct the name.")  # fmt: skip
    return {name: project.sources[name]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When rows of a source are due, and whether they are late or what is here is stale."""

    due: bool
    late: bool
    stale: bool
    words: str


def due_of(source: Source, state: State, begun: datetime, now: datetime) -> Due:
    """Return what is due of a source; one that was never read is due as long after the workspace's beginning."""
    stale_after, stale = source.profile.stale_after, False
    if stale_after:
        stale = now - (state.arrived or begun) > timedelta(seconds=seconds(stale_after))
    if not source.schedule:
        return Due(due=False, late=False, stale=stale, words="no schedule" + ("; STALE" if stale else ""))
    first = state.pulled is None
    until = (state.pulled or begun) + timedelta(seconds=0 if first else seconds(source.schedule))
    late = now > until + timedelta(seconds=seconds(source.profile.late_after or "0s"))
    when = "never read" if first else f"last {state.pulled:%Y-%m-%d %H:%M}"
    words = f"{when}; {'LATE since' if late else 'due'} {until:%Y-%m-%d %H:%M}" + ("; STALE" if stale else "")
    return Due(due=now >= until, late=late, stale=stale, words=words)
