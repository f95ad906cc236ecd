"""What a gateway counts: calls, latency, and how inputs and scores spread over the cells that training fixed.

`Meter.observe` runs while a caller waits and only adds numbers; rows are put into cells later and in batches, by
whoever calls `settle`. A window is the difference of two readings, so nothing is counted twice, and nothing is lost
when a window could not be written: it is part of the next.
"""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.telemetry import LATENCY_EDGES_MS, SHADOW_EDGES, Shadowed, Window, add_shadows
from holdfast.serve.state import TrainingProfile

MAX_PENDING: Final = 4096  # calls whose rows wait for their cells; beyond it a call puts them there itself
MAX_EXPOSED: Final = 10_000  # units of one experiment in one window, 270 kB of a statement of 8 MB
_EDGES_S: Final = tuple(edge / 1000 for edge in LATENCY_EDGES_MS)


@dataclass(slots=True)
class Meter:
    """The counts of one release since the gateway first loaded it."""

    profile: TrainingProfile
    names: tuple[str, ...]
    requests: int = 0
    rows: int = 0
    failures: int = 0
    flagged: int = 0
    refused: int = 0
    marked: int = 0
    unexposed: int = 0
    seconds: float = 0.0
    latency: list[int] = field(default_factory=lambda: [0] * (len(_EDGES_S) + 1))
    _cells: dict[str, list[int]] = field(init=False)
    _scores: list[int] = field(init=False)
    _exposed: dict[str, dict[str, None]] = field(default_factory=dict)
    _shadow: Shadowed | None = None
    _pending: deque[tuple[NDArray[np.float32], NDArray[np.float64]]] = field(default_factory=deque)
    _settling: threading.Lock = field(default_factory=threading.Lock)
    _told: Window = field(init=False)

    def __post_init__(self) -> None:
        """Start with every cell empty."""
        self._cells = {name: [0] * len(self.profile.inputs[name].cells) for name in self.names}
        self._scores = [0] * len(self.profile.score.cells)
        self._told = self.reading()

    def observe(self, seconds: float, rows: NDArray[np.float32], scores: NDArray[np.float64], flagged: int) -> None:
        """Count one answered call: its latency, rows of shape (n, features), and scores of shape (n,)."""
        self._count(seconds)
        self.rows += len(rows)
        if flagged:
            self.flagged += flagged
            self.marked += 1
        self._pending.append((rows, scores))
        if len(self._pending) > MAX_PENDING:
            self.settle()

    def observe_failure(self, seconds: float) -> None:
        """Count one call that the release could not answer."""
        self._count(seconds)
        self.failures += 1

    def observe_refusal(self) -> None:
        """Count one call of a known caller that a guard refused."""
        self.refused += 1

    def expose(self, experiment: str, pseudonym: str) -> None:
        """Take note that this release answered a unit of an experiment."""
        units = self._exposed.setdefault(experiment, {})
        if len(units) < MAX_EXPOSED or pseudonym in units:
            units[pseudonym] = None
        else:
            self.unexposed += 1

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
            if not batch:
                return
            rows = np.concatenate([rows for rows, _ in batch])
            scores = np.concatenate([scores for _, scores in batch])
            for column, name in enumerate(self.names):
                _add(self._cells[name], self.profile.inputs[name].bin(rows[:, column]))
            _add(self._scores, self.profile.score.bin(scores))

    def reading(self) -> Window:
        """Return the counts so far."""
        return Window(
            requests=self.requests,
            rows=self.rows,
            failures=self.failures,
            flagged=self.flagged,
            latency=tuple(self.latency),
            inputs={name: tuple(cells) for name, cells in self._cells.items()},
            scores=tuple(self._scores),
            refused=self.refused,
            marked=self.marked,
            exposed={name: tuple(units) for name, units in list(self._exposed.items())},
            unexposed=self.unexposed,
            shadow=self._shadow,
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

    def _count(self, seconds: float) -> None:
        self.requests += 1
        self.seconds += seconds
        self.latency[bisect_right(_EDGES_S, seconds)] += 1


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
        shadow=_shadow_since(now.shadow, before.shadow),
    )


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
