"""Lists and dictionaries of values, each of any length: proved row by row, with a lane for each.

A row may begin wherever its first two opcodes stand behind the end of another. What lies between two such places has
to be one row and nothing else: values from the one to the end of the row that stands just before the other. So each
row begins where the one before it ended, the first at a known place, and bytes of numbers that look like a beginning
end the stretch at most.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from holdfast.engines.scan.pickles.boundaries import (
    Bytes,
    Flags,
    Places,
    Widths,
    distinct,
    flatnonzero,
    places_of,
    without,
)
from holdfast.engines.scan.pickles.numbers import all_integers
from holdfast.engines.scan.pickles.slots import GET, Slots, tables_of
from holdfast.engines.scan.pickles.stretches import APART, Memory, Stretch
from holdfast.engines.scan.pickles.strides import all_gets

_MARK, _MEMOIZE = ord("("), 0x94
_TABLES: Final = tables_of(0)
_NUMBERS, _GETS = 0, 1


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a container begins and ends: with many values behind a mark, or a few without."""

    opens: int
    many: int
    few: int
    values: int
    """How many values `few` takes."""


_KINDS: Final = {
    kind.opens: kind for kind in (_Kind(ord("]"), ord("e"), ord("a"), 1), _Kind(ord("}"), ord("u"), ord("s"), 2))
}


class Lists:
    """Proves rows. Entries of the memo are looked for once a piece had some, strings while it has."""

    def __init__(self) -> None:
        """Look for numbers alone at first."""
        self._table = _NUMBERS

    def prove(self, data: Bytes, size: int, cuts: Places, memory: Memory, closing: int) -> Stretch | None:
        """Return the stretch of rows from the first byte on, or nothing; as `stretches.prove`."""
        kind = _KINDS.get(int(data[0]))
        if kind is None or data[1] != _MEMOIZE:
            return None
        starts = _beginnings(data, size, kind, closing)
        rows = _Rows(data, kind, starts, _TABLES[self._table])
        count = rows.fitting()
        for table in range(self._table + 1, len(_TABLES)):
            if count == len(rows.ends):
                break
            others = _Rows(data, kind, starts, _TABLES[table])
            if (more := others.fitting()) > count:
                rows, count, self._table = others, more, table
        found = _proved(rows, count, cuts, memory) if count else None
        if self._table > _GETS and (found is None or found.puts <= len(starts)):
            self._table = _GETS
        return found


def _proved(rows: "_Rows", count: int, cuts: Places, memory: Memory) -> Stretch | None:
    """Return how many of so many rows may be in a stretch."""
    runs = None if rows.runs is None else rows.runs[:count]
    slots = Slots(rows.data, rows.table, rows.widths, rows.begins[:count], rows.ends[:count], runs)
    texts, end = slots.texts(int(rows.starts[count]))
    puts = rows.starts[: np.searchsorted(rows.starts, end)]
    puts = np.sort(np.concatenate((puts, texts))) if len(texts) else puts
    end = slots.limit(cuts, memory, puts, end)
    count = int(np.searchsorted(rows.starts, end, "right")) - 1
    end = int(rows.starts[count])
    puts = puts[: np.searchsorted(puts, end)]
    if not count or len(puts) > memory.most - memory.count:
        return None
    grid = distinct(np.searchsorted(rows.starts[:count], np.arange(0, int(rows.starts[count - 1]) + 1, APART)))
    batches = flatnonzero(rows.parted[:count])
    batch = int(rows.starts[batches[-1] + 1]) if len(batches) else -1
    starts = rows.starts[grid]
    return Stretch(
        end=end,
        last=rows.last(slots, count - 1),
        puts=len(puts),
        tuples=np.zeros(len(puts), np.bool_),
        starts=starts,
        counts=np.searchsorted(puts, starts).astype(np.int32),
        batch=batch,
        batch_count=int(np.searchsorted(puts, batch)),
    )


def _beginnings(data: Bytes, size: int, kind: _Kind, closing: int) -> Places:
    """Return where a row may begin: at the first byte, behind another, or behind the ends of one and of a batch."""
    found = places_of((data[1 : size - 1] == kind.opens) & (data[2:size] == _MEMOIZE)) + 1
    before = data.take(found - 1)
    fits = (before == kind.many) | (before == kind.few) | (before == _MEMOIZE)
    others = places_of(~fits)
    if closing:
        others = others[(before[others] != _MARK) | (data[found[others] - 2] != closing)]
    return np.concatenate((np.zeros(1, np.int64), without(found, others)))


class _Rows:
    """Rows between places where one may begin; the last of these places is the end of all."""

    def __init__(self, data: Bytes, kind: _Kind, starts: Places, table: Places) -> None:
        self.data, self.kind, self.starts, self.table = data, kind, starts, table
        self.widths = Widths(data, table, lengths_of_four=False)
        nexts = starts[1:]
        self.parted: Flags = data.take(nexts - 1) == _MARK
        """Behind which a batch ends."""
        self.ends = nexts - 1
        self.ends[flatnonzero(self.parted)] -= 2
        """Where the last opcode of each row stands."""
        self.marked: Flags = data.take(starts[:-1] + 2) == _MARK
        self.begins = starts[:-1] + 3
        self.begins[places_of(~self.marked)] -= 1
        """Where the values begin."""
        self.runs: Flags | None = None
        """Which rows hold nothing but gets of one width."""

    def fitting(self) -> int:
        """Return how many rows there are before something else."""
        begins, ends, closers = self.begins, self.ends, self.data.take(self.ends)
        fits: Flags = self.marked & (closers == self.kind.many)
        fits &= self._reach(begins, ends)
        none = ends == begins - 1
        rest = places_of(~self.marked)
        fits[rest] = none[rest] | self._few(begins[rest], ends[rest], closers[rest])
        wrong = flatnonzero(~fits)
        return int(wrong[0]) if len(wrong) else len(fits)

    def _reach(self, begins: Places, ends: Places) -> Flags:
        """Return which rows hold values from where they begin to where they end, and nothing else."""
        if self.table[GET << 8]:
            self.runs = all_gets(self.data, begins, ends)
            fits = self.runs.copy()
        else:
            fits = all_integers(self.data, begins, ends)
        rest = places_of(~fits)
        if len(rest):
            fits[rest] = self.widths.reach(begins[rest], ends[rest])
        return fits

    def _few(self, begins: Places, ends: Places, closers: Bytes) -> Flags:
        """Return which rows hold as many values as the opcode takes that needs no mark."""
        at, wide, pairs = begins.copy(), np.empty_like(begins), np.empty(len(begins), np.uint16)
        fits: Flags = closers == self.kind.few
        for _ in range(self.kind.values):
            self.widths.at(at, pairs, wide)
            fits &= wide > 0
            at += wide
        fits &= at == ends
        return fits

    def last(self, slots: Slots, row: int) -> bytes:
        """Return the last two opcodes of a row, or of the end of a batch behind it."""
        end = int(self.ends[row])
        if self.parted[row]:
            return self.data[end + 1 : end + 3].tobytes()
        opcodes = self.data[end - 1 : end].tobytes() if end <= self.begins[row] else slots.walked(row, end)[1]
        return opcodes[-1:] + self.data[end : end + 1].tobytes()
