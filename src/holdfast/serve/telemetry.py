"""What a gateway counts: calls, latency, and how inputs and scores spread over the cells that training fixed.

`Meter.observe` runs while a caller waits and only adds numbers; rows are put into cells later and in batches, by
whoever calls `settle`. A window is the difference of two readings, so nothing is counted twice, and nothing is lost
when a window could not be written: it is part of the next.
"""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.telemetry import (
    LATENCY_EDGES_MS,
    SHADOW_EDGES,
    Reads,
    Shadowed,
    Spoiled,
    Window,
    add_shadows,
    add_spoiled,
)
from holdfast.maths.sketch import Binning
from holdfast.serve.columns import SINK, SPOILED, Column, lone
from holdfast.serve.state import TrainingProfile

MAX_PENDING: Final = 4096  # calls whose rows wait for their cells; beyond it a call puts them there itself
MAX_HELD: Final = 64 << 20  # bytes of these rows, so that large calls cannot fill the memory either
MANY_HELD: Final = 1 << 20  # bytes from which on `Meter.full` asks for them to be put there soon
AT_A_TIME: Final = 4096  # rows: half a megabyte of thirty columns, which a processor's own cache holds
MAX_EXPOSED: Final = 10_000  # units of one experiment in one window, 270 kB of a statement of 8 MB
MAX_READERS: Final = 1_000  # clients that are told apart for each feature in one window
OTHERS: Final = "(others)"
LATENCY: Final = "holdfast_request_seconds"
SECONDS: Final = "sum"  # beside the numbers of the cells
_Answered = tuple[NDArray[np.float32], NDArray[np.float64]]
_EDGES_S: Final = tuple(edge / 1000 for edge in LATENCY_EDGES_MS)


@dataclass(slots=True)
class Meter:
    """The counts of one release since this process first loaded it.

    What a scrape tells stands in the worker's column, where it also holds what a predecessor has counted: windows are
    differences, and know nothing of that.
    """

    profile: TrainingProfile
    names: tuple[str, ...]
    release: str = ""  # as series name it
    column: Column = field(default_factory=lone)
    _memory: "memoryview[float]" = field(init=False)
    refused: int = 0
    marked: int = 0
    unexposed: int = 0
    _places: dict[str, int] = field(init=False)
    _latency: list[int] = field(init=False)  # places
    _seconds: int = field(init=False)
    _rows: int = field(init=False)
    _cells: Binning = field(init=False)
    _scores: list[int] = field(init=False)
    _exposed: dict[str, dict[str, None]] = field(default_factory=dict)
    _shadow: Shadowed | None = None
    _spoiled: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _reads: dict[str, dict[str, int]] = field(default_factory=dict)
    _pending: deque[_Answered] = field(default_factory=deque)
    _held: int = 0
    _settling: threading.Lock = field(default_factory=threading.Lock)
    _told: Window = field(init=False)

    def __post_init__(self) -> None:
        """Start with every cell empty."""
        self._cells = Binning([self.profile.inputs[name] for name in self.names])
        self._scores = [0] * len(self.profile.score.cells)
        self._memory = self.column.cells
        place, release = self.column.place, self.release
        self._latency = [place((LATENCY, release, str(cell))) for cell in range(len(_EDGES_S) + 1)]
        self._seconds = place((LATENCY, release, SECONDS))
        families = ("rows", "failures", "flagged_rows", "turned_away_rows")
        self._places = {family: place((f"holdfast_{family}_total", release)) for family in families}
        self._rows = self._places["rows"]
        self._told = self.reading()

    @property
    def full(self) -> bool:
        """Whether so many rows wait that it is time to settle, before the window ends."""
        return self._held > MANY_HELD

    @property
    def requests(self) -> int:
        """How many calls were met."""
        return sum(self._cells_of_latency())

    def observe(self, seconds: float, rows: NDArray[np.float32], scores: NDArray[np.float64], flagged: int) -> None:
        """Count one answered call: its latency, rows of shape (n, features), and scores of shape (n,)."""
        self._count(seconds)
        self._memory[self._rows] += len(rows)
        if flagged:
            self._add("flagged_rows", flagged)
            self.marked += 1
        self._pending.append((rows, scores))
        self._held += rows.nbytes
        if len(self._pending) > MAX_PENDING or self._held > MAX_HELD:
            self.settle()

    def observe_failure(self, seconds: float) -> None:
        """Count one call that the release could not answer."""
        self._count(seconds)
        self._add("failures", 1)

    def observe_refusal(self) -> None:
        """Count one call of a known caller that a guard refused."""
        self.refused += 1

    def observe_spoiled(self, found: Spoiled, turned_away: int) -> None:
        """Count what was wrong with a call's inputs, and its rows where it was refused for it."""
        self._spoiled = add_spoiled(self._spoiled, found)
        self._add("turned_away_rows", turned_away)
        for name, counts in found.items():
            for kind, count in zip(("missing", "type_mismatch", "out_of_range"), counts, strict=True):
                self.column.add((SPOILED, self.release, kind, name), count)

    def expose(self, experiment: str, pseudonym: str) -> None:
        """Take note that this release answered a unit of an experiment."""
        units = self._exposed.setdefault(experiment, {})
        if len(units) < MAX_EXPOSED or pseudonym in units:
            units[pseudonym] = None
        else:
            self.unexposed += 1

    def read(self, features: Sequence[str], client: str, rows: int) -> None:
        """Count a client's reads of online features for so many rows of a call; beyond many clients, together."""
        for feature in features:
            by = self._reads.setdefault(feature, {})
            name = client if client in by or len(by) < MAX_READERS else OTHERS
            by[name] = by.get(name, 0) + rows

    def observe_shadow(self, agreed: int, distances: Sequence[float]) -> None:
        """Count one copied call: rows with the same label, and how far apart the scores were."""
        cells = [0] * (len(SHADOW_EDGES) + 1)
        for distance in distances:
            cells[bisect_right(SHADOW_EDGES, distance)] += 1
        self._overshadow(Shadowed(rows=len(distances), agreed=agreed, dropped=0, distance=tuple(cells)))

    def observe_dropped(self) -> None:
        """Count one call for whose copy there was no room."""
        self._overshadow(Shadowed(rows=0, agreed=0, dropped=1, distance=(0,) * (len(SHADOW_EDGES) + 1)))

    def _overshadow(self, more: Shadowed) -> None:
        with self._settling:
            self._shadow = add_shadows(self._shadow, more)

    def settle(self) -> None:
        """Put the rows that wait into their cells."""
        with self._settling:
            batch = [self._pending.popleft() for _ in range(len(self._pending))]
            self._held = 0
            if not batch:
                return
            for some in _portions(batch):
                self._cells.add(np.concatenate([rows for rows, _ in some]))
                _add(self._scores, self.profile.score.bin(np.concatenate([scores for _, scores in some])))

    def reading(self) -> Window:
        """Return the counts so far; those of the column as it stands."""
        latency = self._cells_of_latency()
        return Window(
            requests=sum(latency),
            rows=self._of("rows"),
            failures=self._of("failures"),
            flagged=self._of("flagged_rows"),
            latency=latency,
            inputs=dict(zip(self.names, self._cells.counts, strict=True)),
            scores=tuple(self._scores),
            refused=self.refused,
            marked=self.marked,
            exposed={name: tuple(units) for name, units in list(self._exposed.items())},
            unexposed=self.unexposed,
            reads={feature: dict(by) for feature, by in list(self._reads.items())},
            shadow=self._shadow,
            spoiled=self._spoiled,
            turned_away=self._of("turned_away_rows"),
        )

    def untold(self) -> tuple[Window, Window]:
        """Return the window since the last one that was told, and the reading to hand to `tell` once it is written."""
        self.settle()
        now = self.reading()
        return _difference(now, self._told), now

    def tell(self, reading: Window) -> None:
        """Let the next window begin where this reading ended."""
        self._told = msgspec.structs.replace(reading, exposed={})
        for name, told in reading.exposed.items():
            units = self._exposed.get(name, {})
            for pseudonym in told:
                units.pop(pseudonym, None)

    def close(self) -> None:
        """Let go of the places in the column; what still comes, from a call of long ago, is counted nowhere."""
        self._latency = [SINK] * len(self._latency)
        self._places = dict.fromkeys(self._places, SINK)
        self._seconds = self._rows = SINK

    def _count(self, seconds: float) -> None:
        cells = self._memory
        cells[self._latency[bisect_right(_EDGES_S, seconds)]] += 1.0
        cells[self._seconds] += seconds

    def _add(self, family: str, number: int) -> None:
        self._memory[self._places[family]] += number

    def _of(self, family: str) -> int:
        return int(self._memory[self._places[family]])

    def _cells_of_latency(self) -> tuple[int, ...]:
        return tuple(int(self._memory[at]) for at in self._latency)


def _portions(batch: list[_Answered]) -> Iterator[list[_Answered]]:
    """Yield calls a few at a time, so that their rows are still in the processor's cache when they are counted."""
    some, rows = list[_Answered](), 0
    for each in batch:
        some.append(each)
        rows += len(each[0])
        if rows >= AT_A_TIME:
            yield some
            some, rows = [], 0
    if some:
        yield some


def _add(counts: list[int], more: Sequence[int]) -> None:
    for cell, count in enumerate(more):
        counts[cell] += count


def _difference(now: Window, before: Window) -> Window:
    return Window(
        requests=now.requests - before.requests,
        rows=now.rows - before.rows,
        failures=now.failures - before.failures,
        flagged=now.flagged - before.flagged,
        latency=_subtract(now.latency, before.latency),
        inputs={name: _subtract(cells, before.inputs[name]) for name, cells in now.inputs.items()},
        scores=_subtract(now.scores, before.scores),
        refused=now.refused - before.refused,
        marked=now.marked - before.marked,
        exposed=now.exposed,
        unexposed=now.unexposed - before.unexposed,
        reads=_reads_since(now.reads, before.reads),
        shadow=_shadow_since(now.shadow, before.shadow),
        spoiled=_spoiled_since(now.spoiled, before.spoiled),
        turned_away=now.turned_away - before.turned_away,
    )


def _spoiled_since(now: Spoiled, before: Spoiled) -> dict[str, tuple[int, int, int]]:
    negative = {name: (-counts[0], -counts[1], -counts[2]) for name, counts in before.items()}
    return {name: counts for name, counts in add_spoiled(now, negative).items() if any(counts)}


def _reads_since(now: Reads, before: Reads) -> dict[str, dict[str, int]]:
    since = {
        feature: {client: number - before.get(feature, {}).get(client, 0) for client, number in by.items()}
        for feature, by in now.items()
    }
    return {feature: told for feature, by in since.items() if (told := {name: n for name, n in by.items() if n})}


def _shadow_since(now: Shadowed | None, before: Shadowed | None) -> Shadowed | None:
    if now is None or before is None:
        return now
    return Shadowed(
        rows=now.rows - before.rows,
        agreed=now.agreed - before.agreed,
        dropped=now.dropped - before.dropped,
        distance=_subtract(now.distance, before.distance),
    )


def _subtract(now: Sequence[int], before: Sequence[int]) -> tuple[int, ...]:
    return tuple(a - b for a, b in zip(now, before, strict=True))
