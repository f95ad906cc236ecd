"""Rows of a loose shape: where one has a number, the next may have a string, or an entry of the memo.

Rows are found as in `varied`: wherever one may begin, one is read, and those count that form a chain from the first
byte on. How many entries a row makes depends on how many strings it has, so the entries are counted row by row, and
what a row gets from the memo may have been made in the same piece.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from holdfast.engines.scan.pickles.arranging import Counts, Flags
from holdfast.engines.scan.pickles.boundaries import COUNTED, WIDTHS, Bytes, Places, Widths, little
from holdfast.engines.scan.pickles.shapes import (
    KINDS,
    MEMOIZE,
    RECALL,
    TEXT,
    VALUE,
    Shape,
    between,
    concealing,
    most_rows,
)
from holdfast.engines.scan.pickles.stretches import APART, Memory, Stretch, first_broken
from holdfast.engines.scan.pickles.varied import candidates, chain, framed

_RECALLS: Final = {opcode: width - 1 for opcode, width in WIDTHS.items() if KINDS[opcode] == RECALL}


def _table() -> Places:
    """Return the bytes of a value by its first two bytes; 0 for any other opcode."""
    table = np.zeros((256, 256), np.int64)  # second byte, first byte
    for opcode, kind in enumerate(KINDS):
        if kind in {ord("K"), RECALL}:
            table[:, opcode] = WIDTHS.get(opcode, 0)
    for opcode in (0x8A, TEXT):
        table[:, opcode] = 2 + np.arange(256)
    return table.reshape(-1)


_TABLE: Final = _table()


def prove(shape: Shape, data: Bytes, size: int, cuts: Places, memory: Memory, closing: int) -> Stretch | None:
    """Return the stretch of rows from the first byte on, or nothing; as `stretches.prove`."""
    places = candidates(shape, data, size, closing)
    if not len(places):
        return None
    read = _Read(shape, data, places)
    chosen, batches = chain(read, data, size, between(closing))
    chosen = chosen[: most_rows(shape, memory)]
    if not len(chosen):
        return None
    read.choose(chosen)
    entries = _Entries(shape, read, memory)
    count = min(framed(shape, read, data, cuts), entries.recalled(data), read.constants(data))
    if not count:
        return None
    starts, end, before = read.starts[:count], int(read.ends[count - 1]), entries.before
    batch = [row for row in batches if row < count]
    grid = np.searchsorted(starts, np.arange(0, end, APART))
    grid = np.unique(grid[grid < count])
    begins = shape.begins(data.data, int(starts[-1]), size)[:-1]
    puts = int(before[count]) if count < len(before) else entries.puts
    return Stretch(
        end=end,
        last=bytes(data[begins[-2:]]) if len(begins) > 1 else bytes(data[begins * 2]),
        puts=puts,
        tuples=entries.tuples[:puts],
        starts=starts[grid],
        counts=before[grid].astype(np.int32),
        batch=int(starts[batch[-1]]) if batch else -1,
        batch_count=int(before[batch[-1]]) if batch else 0,
    )


@dataclass(slots=True)
class _Slot:
    """One value, or one constant that is no value, of all rows: its opcodes, and where they begin and end."""

    opcodes: Bytes
    starts: Places
    ends: Places
    texts: Flags
    """Which are strings that are remembered."""


class _Read:
    """Places read as rows: where each ends, whether it is one, and what it holds."""

    def __init__(self, shape: Shape, data: Bytes, places: Places) -> None:
        self.starts, self.slots = places, list[_Slot]()
        self.fits: Flags = np.ones(len(places), np.bool_)
        widths, at = Widths(data, _TABLE, lengths_of_four=False), places
        pairs, wide = np.empty(len(places), np.uint16), np.empty(len(places), np.int64)
        for kind in shape.kinds:
            found = data.take(at, mode="clip")
            if kind == VALUE:
                widths.at(at, pairs, wide)
                after, texts = at + wide, found == TEXT
                self.fits &= wide > 0
                self.slots.append(_Slot(found, at, after, texts))
                if np.any(texts):
                    self.fits &= ~texts | (data.take(after, mode="clip") == MEMOIZE)
                    after = after + texts
                at = after
                continue
            self.fits &= found == kind
            after = at + 1
            if kind in COUNTED:
                after = after + 1 + data.take(at + 1, mode="clip")
                self.slots.append(_Slot(found, at, after, np.zeros(len(at), np.bool_)))
            at = after
        self.ends = at

    def choose(self, rows: Places) -> None:
        """Keep some of the rows."""
        if len(rows) == len(self.starts):
            return
        self.starts, self.ends, self.fits = self.starts[rows], self.ends[rows], self.fits[rows]
        self.slots = [
            _Slot(each.opcodes[rows], each.starts[rows], each.ends[rows], each.texts[rows]) for each in self.slots
        ]

    def constants(self, data: Bytes) -> int:
        """Return how many rows come before one with a string that could be a pickle, or is not UTF-8."""
        count, texts = len(self.starts), list[tuple[Places, Places]]()
        for slot in self.slots:
            for opcode in (TEXT, ord("C")):
                rows = np.flatnonzero(slot.opcodes == opcode)
                if not len(rows):
                    continue
                starts, ends = slot.starts[rows] + 2, slot.ends[rows]
                first = concealing(data, starts, ends)
                count = min(count, int(rows[first])) if first < len(rows) else count
                if opcode == TEXT:
                    texts.append((starts, ends))
        if not texts:
            return count
        starts, ends = (np.sort(np.concatenate(each)) for each in zip(*texts, strict=True))
        broken = first_broken(data, starts, ends)
        if broken == len(starts):
            return count
        return min(count, int(np.searchsorted(self.starts, starts[broken], "right")) - 1)


class _Entries:
    """The entries that rows make, and those that they get."""

    def __init__(self, shape: Shape, read: _Read, memory: Memory) -> None:
        self.memory, self.shape, self.read = memory, shape, read
        rows = len(read.starts)
        self.slots = list[tuple[_Slot, Counts]]()
        made, columns, slots = np.zeros(rows, np.int32), list[Flags](), iter(read.slots)
        for kind in shape.kinds:
            if kind in COUNTED:
                next(slots)
            elif kind == VALUE:
                slot = next(slots)
                self.slots.append((slot, made))
                columns.append(slot.texts)
                made = made + slot.texts
            elif kind == MEMOIZE:
                columns.append(np.ones(rows, np.bool_))
                made = made + np.int32(1)
        until = np.cumsum(made, dtype=np.int64)
        self.before = until - made
        self.puts = int(until[-1])
        if np.any(shape.tuples):
            there = np.stack(columns, axis=1)
            self.tuples: Flags = np.broadcast_to(shape.tuples, there.shape)[there]
        else:
            self.tuples = np.zeros(self.puts, np.bool_)

    def recalled(self, data: Bytes) -> int:
        """Return how many rows come before one that gets an entry that is not there, or that may be a tuple."""
        count = len(self.read.starts)
        for slot, made in self.slots:
            for opcode, width in _RECALLS.items():
                rows = np.flatnonzero(slot.opcodes == opcode)
                if not len(rows):
                    continue
                numbers = little(data, slot.starts[rows] + 1, width)
                bad = self._bad(numbers, self.before[rows] + made[rows])
                first = int(bad.argmax())
                count = min(count, int(rows[first])) if bad[first] else count
        return count

    def _bad(self, numbers: Places, made: Places) -> Flags:
        """Return which entries may not be got after so many were made."""
        own = numbers - self.memory.count
        if own.max() < 0:
            same = bool(numbers[0] == numbers[-1]) and bool(np.all(numbers == numbers[0]))
            return np.repeat(self.memory.tuples(numbers[:1]), len(own)) if same else self.memory.tuples(numbers)
        bad: Flags = own >= made
        old = np.flatnonzero(own < 0)
        bad[old] = self.memory.tuples(numbers[old])
        new = np.flatnonzero((own >= 0) & ~bad)
        bad[new] = self.tuples[own[new]]
        return bad
