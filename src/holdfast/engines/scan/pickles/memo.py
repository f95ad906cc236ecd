"""A pickle's memo: values by number, where whole runs of strings take eight bytes each and only when asked for."""

from array import array
from bisect import bisect_right
from typing import Final

from holdfast.engines.scan.pickles import runs
from holdfast.engines.scan.pickles.runs import Run
from holdfast.engines.scan.pickles.values import Value

MISSING: Final = object()


class Memo:
    """What was remembered, and how many numbers are taken, which is where MEMOIZE goes on."""

    def __init__(self, view: memoryview) -> None:
        """Start empty."""
        self.count = 0
        self.dense = True  # every number below `count` is taken, and none above
        self._view = view
        self._values: dict[int, Value] = {}
        self._firsts = array("Q")  # the first number of each run
        self._runs: list[Run] = []
        self._offsets: dict[int, array[int]] = {}  # of runs that were asked for: where each string begins

    def copy(self) -> "Memo":
        """Return a memo with the same contents that goes its own way."""
        other = Memo(self._view)
        other.count, other.dense = self.count, self.dense
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
        self._values[index] = value

    def add_run(self, run: Run) -> None:
        """Remember the strings of a run under the next numbers; only while the memo is dense."""
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
        if place not in self._offsets:
            self._offsets[place] = runs.offsets(self._view, self._runs[place])
        return runs.text_at(self._view, self._offsets[place][index - self._firsts[place]])
