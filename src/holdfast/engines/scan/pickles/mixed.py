"""Rows of a loose shape: where one has a number, the next may have a string, or an entry of the memo.

Rows are found as in `varied`: wherever one may begin, one is read, and those count that form a chain from the first
byte on. How many entries a row makes depends on how many strings it has, so the entries are counted row by row, and
what a row gets from the memo may have been made in the same piece. An entry that all rows get, such as a key of their
dictionaries, is looked at once.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.scan.pickles.boundaries import COUNTED, WIDTHS, Bytes, Flags, Places, Widths, distinct
from holdfast.engines.scan.pickles.shapes import (
    KINDS,
    LONG,
    MEMOIZE,
    RECALL,
    TEXT,
    VALUE,
    Shape,
    between,
    concealing,
    most_rows,
)
from holdfast.engines.scan.pickles.stretches import APART, Memory, Stretch, ascii_only, first_broken
from holdfast.engines.scan.pickles.varied import PLAIN, candidates, chain, some_of

Pairs: TypeAlias = NDArray[np.uint16]
_GET, _LONG_GET = ord("h"), ord("j")
_PLAIN: Final = frozenset(bytes((opcode,)) for opcode in PLAIN)


def _table() -> Places:
    """Return the bytes of a value by its first two bytes; 0 for any other opcode.

    Those of a string take in the opcode that remembers it.
    """
    table = np.zeros((256, 256), np.int64)  # first byte, second byte
    for opcode, kind in enumerate(KINDS):
        if kind in {ord("K"), RECALL}:
            table[opcode] = WIDTHS.get(opcode, 0)
    table[LONG] = 2 + np.arange(256)
    table[TEXT] = 3 + np.arange(256)
    return table.reshape(-1)


_TABLE: Final = _table()


def prove(shape: Shape, data: Bytes, size: int, cuts: Places, memory: Memory, closing: int) -> Stretch | None:
    """Return the stretch of rows from the first byte on, or nothing; as `stretches.prove`."""
    places = candidates(shape, data, size, closing)
    if not len(places):
        return None
    read = _Read(shape, data, places, memory.plain)
    chosen, batches = chain(read, data, size, between(closing))
    chosen = chosen[: most_rows(shape, memory)]
    if not len(chosen):
        return None
    read.choose(chosen)
    entries = _Entries(shape, read, memory)
    count = min(read.framed(cuts), entries.recalled(), read.constants())
    if not count:
        return None
    starts, end, before = read.starts[:count], int(read.ends[count - 1]), entries.before
    batches = batches[batches < count]
    grid = np.searchsorted(starts, np.arange(0, end, APART))
    grid = distinct(grid[grid < count])
    begins = shape.begins(data.data, int(starts[-1]), size)[:-1]
    puts = int(before[count])
    return Stretch(
        end=end,
        last=bytes(data[begins[-2:]]) if len(begins) > 1 else bytes(data[begins * 2]),
        puts=puts,
        tuples=entries.tuples[:puts],
        starts=starts[grid],
        counts=before[grid].astype(np.int32),
        batch=int(starts[batches[-1]]) if len(batches) else -1,
        batch_count=int(before[batches[-1]]) if len(batches) else 0,
    )


@dataclass(slots=True)
class _Slot:
    """One value of all rows, or one constant that is no value."""

    kind: int
    opcodes: Bytes
    at: Places
    ends: Places
    """Where they end, strings among values behind what remembers them."""
    ahead: int
    """Bytes from all these places to where values begin and end: what rows have in common is not added to each."""
    texts: Flags | None = None
    """Which values are strings, if any is."""

    def of(self, rows: Places) -> "_Slot":
        """Return the slot of some rows."""
        at, ends = some_of(self.at, rows), some_of(self.ends, rows)
        texts = None if self.texts is None else some_of(self.texts, rows)
        return _Slot(self.kind, some_of(self.opcodes, rows), at, ends, self.ahead, texts)

    def strings(self) -> tuple[Places, Places, Places]:
        """Return the rows in which it is a string or bytes, and where these begin and end."""
        if self.kind != VALUE:
            return np.arange(len(self.at)), self.at + (self.ahead + 2), self.ends + self.ahead
        rows = np.flatnonzero(self.texts) if self.texts is not None else self.at[:0]
        return rows, some_of(self.at, rows) + (self.ahead + 2), some_of(self.ends, rows) + (self.ahead - 1)


class _Read:
    """Places read as rows: where each ends, whether it is one, and what it holds."""

    def __init__(self, shape: Shape, data: Bytes, places: Places, plain: int) -> None:
        """Read the rows; entries below `plain` are there and no tuples."""
        self.data, self.starts, self.plain = data, places, plain
        self.fits: Flags = np.ones(len(places), np.bool_)
        self.pairs = Widths(data, _TABLE, lengths_of_four=False).pairs
        self.slots = list[_Slot | None]()  # nothing where all rows get the same
        self._same = list[tuple[Places, int]]()  # where they do, and how far behind these places
        self._at, self._ahead = places, 0  # where all rows are being read
        kinds, number = shape.kinds, 0
        while number < len(kinds):
            kind, pairs = kinds[number], self._pairs()
            if kind == VALUE:
                self.slots.append(None if self._is_the_same_get(pairs) else self._value(pairs))
            elif kind in COUNTED:
                self.slots.append(self._constant(kind, pairs))
            elif kinds[number + 1 : number + 2] in _PLAIN:
                self.fits &= pairs == kind << 8 | kinds[number + 1]
                self._ahead, number = self._ahead + 2, number + 1
            else:
                self.fits &= pairs >> 8 == kind
                self._ahead += 1
            number += 1
        self.ends = self._at + self._ahead

    def _pairs(self) -> Pairs:
        """Return the next two bytes of all rows."""
        return self.pairs[self._ahead :].take(self._at, mode="clip")

    def _is_the_same_get(self, pairs: Pairs) -> bool:
        """Step over a get of one entry that may be got, if all rows have it here."""
        first = int(pairs[0])
        if first >> 8 != _GET or first & 0xFF >= self.plain or np.any(self.fits & (pairs != first)):
            return False
        self._same.append((self._at, self._ahead))
        self._ahead += 2
        return True

    def _value(self, pairs: Pairs) -> _Slot:
        opcodes, wide = (pairs >> 8).astype(np.uint8), _TABLE.take(pairs, mode="clip")
        self.fits &= wide > 0
        found = _Slot(VALUE, opcodes, self._at, self._at + wide, self._ahead)
        texts = opcodes == TEXT
        if np.any(texts):
            found.texts = texts
            self.fits &= ~texts | (self.data[self._ahead :].take(found.ends - 1, mode="clip") == MEMOIZE)
        self._at = found.ends
        return found

    def _constant(self, kind: int, pairs: Pairs) -> _Slot:
        opcodes = (pairs >> 8).astype(np.uint8)
        self.fits &= opcodes == kind
        found = _Slot(kind, opcodes, self._at, self._at + (pairs & 0xFF) + 2, self._ahead)
        self._at = found.ends
        return found

    def choose(self, rows: Places) -> None:
        """Keep some of the rows."""
        if len(rows) == len(self.starts):
            return
        self.starts, self.ends = some_of(self.starts, rows), some_of(self.ends, rows)
        self.slots = [each and each.of(rows) for each in self.slots]
        self._same = [(some_of(at, rows), ahead) for at, ahead in self._same]

    def framed(self, cuts: Places) -> int:
        """Return how many rows come before one with an argument that goes on behind its frame."""
        rows = np.searchsorted(self.starts, cuts, "right") - 1
        within: Flags = np.zeros(len(rows), np.bool_)
        for at, ahead in self._same:
            within |= at[rows] + (ahead + 1) == cuts
        for slot in self.slots:
            if slot is not None:  # what remembers a string may stand in the next frame
                ends = slot.ends[rows] - (0 if slot.texts is None else slot.texts[rows])
                within |= (slot.at[rows] + slot.ahead < cuts) & (cuts < ends + slot.ahead)
        wrong = rows[within]
        return int(wrong[0]) if len(wrong) else len(self.starts)

    def constants(self) -> int:
        """Return how many rows come before one with a string that could be a pickle, or is not UTF-8."""
        count, texts = len(self.starts), list[tuple[Places, Places]]()
        for slot in self.slots:
            if slot is None or (slot.kind == VALUE and slot.texts is None):
                continue
            rows, starts, ends = slot.strings()
            first = concealing(self.data, starts, ends)
            count = min(count, int(rows[first])) if first < len(rows) else count
            if slot.kind in {VALUE, TEXT}:
                texts.append((starts, ends))
        starts, ends = (np.concatenate(each) for each in zip(*texts, strict=True)) if texts else (self.starts[:0],) * 2
        if ascii_only(self.data, starts, ends):
            return count
        starts, ends = np.sort(starts), np.sort(ends)
        broken = first_broken(self.data, starts, ends)
        if broken == len(starts):
            return count
        return min(count, int(np.searchsorted(self.starts, starts[broken], "right")) - 1)


class _Entries:
    """The entries that rows make, and those that they get."""

    def __init__(self, shape: Shape, read: _Read, memory: Memory) -> None:
        self.memory, self.read = memory, read
        self._slots = list[tuple[_Slot, Places | int]]()  # values, and how many entries a row made before
        made: Places | int = 0
        tuples, slots, may_be = list[Places | int](), iter(read.slots), iter(shape.tuples)
        for kind in shape.kinds:
            if kind in COUNTED:
                next(slots)
            elif kind == VALUE:
                slot, _ = next(slots), next(may_be)
                if slot is not None:
                    self._slots.append((slot, made))
                    made = made if slot.texts is None else made + slot.texts
            elif kind == MEMOIZE:
                if next(may_be):
                    tuples.append(made)
                made = made + 1
        rows = len(read.starts)
        self.before: Places = np.arange(rows + 1)
        """How many entries are made before each row, and by all."""
        if isinstance(made, int):
            self.before *= made
        else:
            np.cumsum(made, out=self.before[1:])
        self.tuples: Flags = np.zeros(int(self.before[-1]), np.bool_)
        for each in tuples:
            self.tuples[self.before[:-1] + each] = True

    def recalled(self) -> int:
        """Return how many rows come before one that gets an entry that is not there, or that may be a tuple."""
        count = len(self.read.starts)
        for slot, made in self._slots:
            for opcode in (_GET, _LONG_GET):
                rows = np.flatnonzero(slot.opcodes == opcode)
                if not len(rows):
                    continue
                numbers = self._numbers(some_of(slot.at, rows), slot.ahead, long=opcode == _LONG_GET)
                if int(numbers.max()) < self.memory.plain:
                    continue
                bad = self._bad(numbers, rows, made)
                first = int(bad.argmax())
                count = min(count, int(rows[first])) if bad[first] else count
        return count

    def _numbers(self, at: Places, ahead: int, *, long: bool) -> Places:
        """Return which entries are got by opcodes so many bytes behind these places."""
        pairs = self.read.pairs
        if not long:
            return (pairs[ahead:].take(at) & 0xFF).astype(np.int64)
        numbers = pairs[ahead + 3 :].take(at).byteswap().astype(np.int64)
        numbers <<= 16
        numbers |= pairs[ahead + 1 :].take(at).byteswap()
        return numbers

    def _bad(self, numbers: Places, rows: Places, made: Places | int) -> Flags:
        """Return which entries may not be got in these rows, each of which made some before."""
        if numbers.max() < self.memory.count:
            return self.memory.tuples(numbers)
        own = numbers - self.memory.count
        bad: Flags = own >= self.before[rows] + (made if isinstance(made, int) else made[rows])
        old = np.flatnonzero(own < 0)
        bad[old] = self.memory.tuples(numbers[old])
        new = np.flatnonzero((own >= 0) & ~bad)
        bad[new] = self.tuples[own[new]]
        return bad
