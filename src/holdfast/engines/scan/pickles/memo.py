"""A pickle's memo: values by number, where whole stretches of the stream take a few bytes until somebody asks."""

from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from holdfast.engines.scan.pickles import runs
from holdfast.engines.scan.pickles.runs import Run
from holdfast.engines.scan.pickles.values import Tuple, Value

MISSING: Final = object()
MAX_MEMO: Final = 50_000_000  # entries; each takes its reader memory too


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the stream that can be read by itself: what it pushes and remembers is known from these bytes alone.

    `first` is the number of the first entry that it adds, `closing` the opcode that ends batches in it, or 0.
    """

    start: int
    end: int
    first: int
    closing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Entries that were made in a stretch that was leapt over, and the places from which it can be read again."""

    remembered: int
    tuples: bytes
    starts: "array[int]"
    counts: "array[int]"
    end: int
    closing: int

    def part(self, first: int, index: int) -> Part:
        """Return the part that makes the entry of an index; `first` is the number of the first entry of all."""
        place = bisect_right(self.counts, index) - 1
        end = self.starts[place + 1] if place + 1 < len(self.starts) else self.end
        return Part(start=self.starts[place], end=end, first=first + self.counts[place], closing=self.closing)


class Memo:
    """What was remembered, and how many numbers are taken, which is where MEMOIZE goes on."""

    def __init__(self, view: memoryview, recall: "Callable[[Memo, Part], object]") -> None:
        """Start empty; `recall` reads a part of a passage again, and its entries are kept."""
        self.count = 0
        self.dense = True  # every number below `count` is taken, and none above
        self.tuples = array("Q")  # numbers of tuples that were put one by one
        self._view, self._recall = view, recall
        self._values: dict[int, Value] = {}
        self._firsts = array("Q")  # the first number of each run or passage
        self._runs: list[Run | Passage] = []
        self._offsets: dict[int, array[int]] = {}  # of runs that were asked for: where each string begins

    def copy(self) -> "Memo":
        """Return a memo with the same contents that goes its own way."""
        other = Memo(self._view, self._recall)
        other.count, other.dense = self.count, self.dense
        other.tuples = array("Q", self.tuples)
        other._values, other._runs = dict(self._values), list(self._runs)
        other._firsts, other._offsets = array("Q", self._firsts), dict(self._offsets)
        return other

    def put(self, index: int, value: Value) -> None:
        """Remember a value under a number."""
        if self.dense and index == self.count:
            self.count += 1
        elif self.get(index) is MISSING:
            self.dense = False
            self.count += 1
        if isinstance(value, Tuple):
            self.tuples.append(index)
        self._values[index] = value

    def keep(self, index: int, value: Value) -> None:
        """Keep the value of an entry of a passage that was read again."""
        self._values.setdefault(index, value)

    def add_run(self, run: Run | Passage) -> None:
        """Remember what a run or passage makes under the next numbers; only while the memo is dense."""
        if run.remembered:
            self._firsts.append(self.count)
            self._runs.append(run)
            self.count += run.remembered

    def get(self, index: int) -> Value | object:
        """Return what was remembered under a number, or `MISSING`."""
        found = self._values.get(index, MISSING)
        if found is not MISSING or not self._firsts:
            return found
        place = bisect_right(self._firsts, index) - 1
        if place < 0 or index - self._firsts[place] >= self._runs[place].remembered:
            return MISSING
        run = self._runs[place]
        if isinstance(run, Passage):
            self._recall(self, run.part(self._firsts[place], index - self._firsts[place]))
            return self._values[index]
        if place not in self._offsets:
            self._offsets[place] = runs.offsets(self._view, run)
        return runs.text_at(self._view, self._offsets[place][index - self._firsts[place]])

    def part(self, index: int) -> Part | None:
        """Return the part of a passage that makes an entry, if it was not kept and one does."""
        place = bisect_right(self._firsts, index) - 1
        if index in self._values or place < 0:
            return None
        run, inside = self._runs[place], index - self._firsts[place]
        return run.part(self._firsts[place], inside) if isinstance(run, Passage) and inside < run.remembered else None

    def passages(self) -> "list[tuple[int, Run | Passage]]":
        """Return runs and passages with the number of the first entry of each."""
        return list(zip(self._firsts, self._runs, strict=True))
