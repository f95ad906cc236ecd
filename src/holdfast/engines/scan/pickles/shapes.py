"""The shape of rows: which opcodes make one, found in the first of them and proved to stand by themselves.

Opcodes that push one number, or one constant like None, may stand for one another, and so may the two that get an
entry of the memo. All else of a shape is the same in each row. What a row does with the stack and the memo follows from
its shape alone: it needs nothing that lies below, leaves its values on top, and makes an entry with each MEMOIZE. In a
loose shape numbers, entries and strings that are remembered may stand for one another too: each pushes one value.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from holdfast.engines.scan.pickles.arranging import (
    IS_PUT,
    IS_TUPLE,
    Ends,
    arranged,
    kept_of,
    opcodes_in,
    through,
)
from holdfast.engines.scan.pickles.boundaries import WIDTHS, Bytes, Flags, Places, flatnonzero
from holdfast.engines.scan.pickles.stretches import Memory, Stretch, first_concealing

MAX_OPCODES: Final = 96  # that are looked at to find how many make a row

ATOM, RECALL = ord("K"), ord("h")  # stand for any opcode of their kind
VALUE: Final = ord("V")  # stands for any of both, and for a string that is remembered
TEXT: Final = 0x8C
LONG: Final = 0x8A
COUNTED: Final = frozenset((TEXT, LONG, ord("C")))
_ATOMS: Final = frozenset(b"KMJGN\x88\x89\x8a")
_NUMBERED: Final = frozenset(b"qr")  # their numbers differ from row to row
KINDS: Final = bytes(
    ATOM
    if opcode in _ATOMS
    else RECALL
    if opcode in b"hj"
    else opcode
    if opcode in COUNTED or (opcode in WIDTHS and opcode not in _NUMBERED)
    else 0
    for opcode in range(256)
)
"""Of what kind an opcode is; 0 for those that are in no row."""
LOOSE: Final = bytes(VALUE if kind in {ATOM, RECALL, TEXT} else kind for kind in KINDS)
"""The same where numbers, entries of the memo and strings may stand for one another."""
_SUSPICIOUS: Final = opcodes_in(b"g8P\x80(]})ci")  # how a string begins that `nested.conceals`


MEMOIZE: Final = 0x94
_REMEMBERED: Final = bytes((TEXT, MEMOIZE))
_WORD: Final = re.compile(rb"(?s:\x8c\x94|.)")
_AS_VALUES: Final = bytes(VALUE if opcode in {ATOM, RECALL} else opcode for opcode in range(256))


class Broken(Exception):
    """No row of the shape stands there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The kinds of the opcodes of a row, and which of the entries that it makes are tuples."""

    kinds: bytes
    tuples: Flags

    @property
    def puts(self) -> int:
        """How many entries a row makes, at most."""
        return len(self.tuples)

    @property
    def loose(self) -> bool:
        """Whether rows may hold values of changing kinds, which `mixed` reads."""
        return VALUE in self.kinds

    def begins(self, view: memoryview, at: int, size: int) -> list[int]:
        """Return where the opcodes of the row at a place begin, and last where the next row does.

        There are `size` bytes, and padding.

        Raises:
            Broken: There is no whole row.
        """
        places = [at]
        for kind in self.kinds:
            if at >= size or (KINDS if kind != VALUE else LOOSE)[opcode := view[at]] != kind:
                raise Broken
            at += 2 + view[at + 1] if opcode in COUNTED else WIDTHS[opcode]
            places.append(at)
            if kind == VALUE and opcode == TEXT:
                if at >= size or view[at] != MEMOIZE:
                    raise Broken
                at += 1
                places.append(at)
        if at > size:
            raise Broken
        return places


def learn(data: Bytes, size: int) -> Shape | None:
    """Return the shape of the shortest row of which all that is looked at consists."""
    places, kinds = _opening(data, size)
    for count in range(1, len(kinds) // 2 + 1):
        if kinds[count:] == kinds[:-count] and (shape := _standing(data[places[:count]], kinds[:count])):
            return shape
    widths = [2 if each == _REMEMBERED else 1 for each in _WORD.findall(kinds)]
    loose = loosened(kinds.removesuffix(bytes((TEXT,))))
    for count in range(1, len(loose) // 2 + 1):
        if loose[count:] == loose[:-count] and loose[:count].strip(bytes((VALUE,))):
            opcodes = sum(widths[:count])
            if shape := _standing(data[places[:opcodes]], kinds[:opcodes]):
                return loosely(shape)
    return None


def loosened(kinds: bytes) -> bytes:
    """Return kinds of opcodes with `VALUE` for each number, entry of the memo and string that is remembered."""
    return kinds.replace(_REMEMBERED, bytes((VALUE,))).translate(_AS_VALUES)


def loosely(shape: Shape) -> Shape:
    """Return a shape whose rows may hold values of changing kinds."""
    kinds, tuples, puts = loosened(shape.kinds), list[bool](), iter(shape.tuples)
    for opcode in _WORD.findall(shape.kinds):
        if opcode in {_REMEMBERED, b"K", b"h"}:
            tuples.append(False)
        if opcode == _REMEMBERED:
            next(puts)
        elif opcode[0] == MEMOIZE:
            tuples.append(bool(next(puts)))
    return Shape(kinds=kinds, tuples=np.array(tuples, np.bool_))


def _opening(data: Bytes, size: int) -> tuple[Places, bytes]:
    """Return where the first opcodes begin and of what kind they are, to the end of a batch at most."""
    places, kinds, at, depth = list[int](), bytearray(), 0, 0
    while len(places) < MAX_OPCODES and at + 1 < size:
        opcode = int(data[at])
        kind = KINDS[opcode]
        depth += 1 if opcode == ord("(") else -1 if opcode in b"teu" else 0
        if not kind or depth < 0:
            break
        places.append(at)
        kinds.append(kind)
        at += 2 + int(data[at + 1]) if opcode in COUNTED else WIDTHS[opcode]
    return np.array(places, np.int64), bytes(kinds)


def _standing(found: Bytes, kinds: bytes) -> Shape | None:
    """Return the shape of a row that stands by itself: it needs nothing that lies below, and nothing of it grows on."""
    try:
        level, _ = arranged(found, 0)
    except Ends:
        return None
    if kept_of(level) != len(level.found):
        return None
    put = flatnonzero(through(IS_PUT, found))
    return Shape(kinds=kinds, tuples=through(IS_TUPLE, found[put - 1]).view(np.bool_))


class Entries:
    """What rows of a piece may get from the memo: entries that were made before it and are no tuples."""

    def __init__(self, memory: Memory) -> None:
        """Know nothing yet."""
        self._memory, self._known = memory, set[int]()

    def plain(self, numbers: Places) -> int:
        """Return how many of these numbers come before one that may not be got."""
        if not len(numbers):
            return 0
        same = int(numbers[0]) if np.all(numbers == numbers[0]) else -1
        if same in self._known:
            return len(numbers)
        asked = numbers[:1] if same >= 0 else numbers
        bad = asked >= self._memory.count
        bad[~bad] = self._memory.tuples(asked[~bad])
        first = int(bad.argmax())
        if bad[first]:
            return first
        if same >= 0:
            self._known.add(same)
        return len(numbers)


def concealing(data: Bytes, starts: Places, ends: Places) -> int:
    """Return how many constants come before one that could be a pickle itself."""
    maybe = flatnonzero(through(_SUSPICIOUS, data[starts]))
    if not len(maybe):
        return len(starts)
    which = first_concealing(data, starts[maybe], ends[maybe])
    return int(maybe[which]) if which < len(maybe) else len(starts)


def between(closing: int) -> bytes:
    """Return what stands between two batches; nothing that could stand there if the container has none."""
    return bytes((closing, ord("("))) if closing else b"none"


def most_rows(shape: Shape, memory: Memory) -> int:
    """Return how many rows the memo has room for."""
    return (memory.most - memory.count) // shape.puts if shape.puts else memory.most


def stretch_of(
    shape: Shape, *, end: int, last: bytes, rows: int, starts: Places, numbers: Places, batch: int, batch_rows: int
) -> Stretch:
    """Return the stretch of so many rows.

    Args:
        shape: Of all of them.
        end: Where the first opcode begins behind them.
        last: The last two opcodes.
        rows: How many there are.
        starts: Where some rows begin, in order.
        numbers: Which these are.
        batch: Where the last batch begins, or -1.
        batch_rows: How many rows there are before that.
    """
    first = flatnonzero(np.diff(starts, prepend=-1))
    return Stretch(
        end=end,
        last=last,
        puts=rows * shape.puts,
        tuples=np.tile(shape.tuples, rows),
        starts=starts[first],
        counts=(numbers[first] * shape.puts).astype(np.int32),
        batch=batch,
        batch_count=batch_rows * shape.puts,
    )
