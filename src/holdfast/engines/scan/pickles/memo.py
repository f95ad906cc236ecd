"""A pickle's memo: values by number, where whole stretches of the stream take a few bytes until somebody asks."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from holdfast.engines.scan.pickles import runs
from holdfast.engines.scan.pickles.runs import Run
from holdfast.engines.scan.pickles.values import Tuple, Value

MISSING: Final = object()
MAX_MEMO: Final = 50_000_000  # entries; each takes its reader memory too


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the stream that can be read by itself: what it pushes and remembers is known from these bytes alone.

    `first` is the number of the first entry that it adds, `closing` the opcode that ends batches in it, or 0, and
    `changes` how often entries had been put anew before it.
    """

    start: int
    end: int
    first: int
    closing: int
    changes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """What was got from the memo and lies on the stack unread: the entry of a number after so many changes.

    Lists take such values without looking at them. Whoever looks has the part read again that made the entry.
    """

    index: int
    changes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Entries that were made in a stretch that was leapt over, and the places from which it can be read again."""

    remembered: int
    starts: "array[int]"
    counts: "array[int]"
    end: int
    closing: int
    changes: int

    def part(self, first: int, index: int) -> Part:
        """Return the part that makes the entry of an index; `first` is the number of the first entry of all."""
        place = bisect_right(self.counts, index) - 1
        end = self.starts[place + 1] if place + 1 < len(self.starts) else self.end
        return Part(
            start=self.starts[place],
            end=end,
            first=first + self.counts[place],
            closing=self.closing,
            changes=self.changes,
        )


class Memo:
    """What was remembered, and how many numbers are taken, which is where MEMOIZE goes on."""

    def __init__(self, view: memoryview, recall: "Callable[[Memo, Part], object]") -> None:
        """Start empty; `recall` reads a part of a passage again, and its entries are kept."""
        self.count = 0
        self.dense = True  # every number below `count` is taken, and none above
        self.tuples = array("Q")  # numbers of tuples that were put one by one
        self.changes = 0  # how often an entry was put anew
        self._view, self._recall = view, recall
        self._values: dict[int, Value] = {}  # put one by one
        self._again: dict[int, Value] = {}  # made in passages, and read again since
        self._former: dict[int, list[tuple[int, Value | object]]] = {}  # what was there, with the number of the change
        self._firsts = array("Q")  # the first number of each run or passage
        self._runs: list[Run | Passage] = []
        self._offsets: dict[int, array[int]] = {}  # of runs that were asked for: where each string begins

    def copy(self) -> "Memo":
        """Return a memo with the same contents that goes its own way."""
        other = Memo(self._view, self._recall)
        other.count, other.dense, other.changes = self.count, self.dense, self.changes
        other.tuples = array("Q", self.tuples)
        other._values, other._again, other._runs = dict(self._values), dict(self._again), list(self._runs)
        other._former = {index: list(each) for index, each in self._former.items()}
        other._firsts, other._offsets = array("Q", self._firsts), dict(self._offsets)
        return other

    def put(self, index: int, value: Value) -> None:
        """Remember a value under a number."""
        if self.dense and index == self.count:
            self.count += 1
        elif index in self._values or self._made(index) is not None:
            self._former.setdefault(index, []).append((self.changes, self._values.get(index, MISSING)))
            self.changes += 1
        else:
            self.dense = False
            self.count += 1
        if isinstance(value, Tuple):
            self.tuples.append(index)
        self._values[index] = value

    def keep(self, index: int, value: Value) -> None:
        """Keep what a passage put under a number, when it was read again."""
        self._again[index] = value

    def kept(self, index: int) -> Value | object:
        """Return what a passage put under a number if it was read again, or `MISSING`."""
        return self._again.get(index, MISSING)

    def add_run(self, run: Run | Passage) -> None:
        """Remember what a run or passage makes under the next numbers; only while the memo is dense."""
        if run.remembered:
            self._firsts.append(self.count)
            self._runs.append(run)
            self.count += run.remembered

    def get(self, index: int) -> Value | object:
        """Return what was remembered under a number, or `MISSING`."""
        found = self._values.get(index, MISSING)
        return self._original(index) if found is MISSING else found

    def got(self, index: int) -> Value | object:
        """Return what a get pushes: as `get`, but a `Recall` instead of an entry that had to be read again."""
        if index not in self._values and self.part(index, self.changes) is not None:
            return Recall(index=index, changes=self.changes)
        return self.get(index)

    def resolved(self, recall: Recall) -> Value | object:
        """Return the value that was got, as it was under its number at that time."""
        return self.was(recall.index, recall.changes)

    def part(self, index: int, changes: int) -> Part | None:
        """Return the part of a passage that made what was under a number after so many changes, if it is to be read."""
        made = self._made(index)
        if made is None or index in self._again or self._put(index, changes) is not MISSING:
            return None
        first, run = made
        return run.part(first, index - first) if isinstance(run, Passage) else None

    def was(self, index: int, changes: int) -> Value | object:
        """Return what was under a number after so many changes, or `MISSING`."""
        found = self._put(index, changes)
        return self._original(index) if found is MISSING else found

    def _put(self, index: int, changes: int) -> Value | object:
        """Return what was put one by one under a number after so many changes, or `MISSING`."""
        former = self._former.get(index, [])
        place = bisect_left(former, changes, key=itemgetter(0))
        return former[place][1] if place < len(former) else self._values.get(index, MISSING)

    def _made(self, index: int) -> tuple[int, Run | Passage] | None:
        """Return the run or passage that made an entry, and its first entry."""
        place = bisect_right(self._firsts, index) - 1
        if place < 0 or index - self._firsts[place] >= self._runs[place].remembered:
            return None
        return self._firsts[place], self._runs[place]

    def _original(self, index: int) -> Value | object:
        """Return what a run or a passage put under a number, or `MISSING`."""
        made = self._made(index)
        if made is None:
            return MISSING
        first, run = made
        if isinstance(run, Passage):
            if index not in self._again:
                self._recall(self, run.part(first, index - first))
            return self._again[index]
        if first not in self._offsets:
            self._offsets[first] = runs.offsets(self._view, run)
        return runs.text_at(self._view, self._offsets[first][index - first])
