"""Rows of one shape and the same widths, proved by comparing bytes with those of one row.

One row is a template: each byte that is an opcode or a length has to be the same, the bytes of numbers and of ASCII
text are free. Thousands of rows are compared at once; the first that differs ends the run, and is read as a row of the
same shape with other widths, as the end of a batch, or not at all. Nothing is assumed of a byte that was not compared.
What a stretch must not hold besides (strings that could be pickles, entries of the memo that do not exist, arguments
that go on behind their frame) ends a run as well. Where widths change from row to row, `varied` goes on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from holdfast.engines.scan.pickles import mixed, numbers, varied
from holdfast.engines.scan.pickles.boundaries import PADDING, WIDTHS, Bytes, Places, little
from holdfast.engines.scan.pickles.columns import Columns
from holdfast.engines.scan.pickles.lists import Lists
from holdfast.engines.scan.pickles.nested import HIDING
from holdfast.engines.scan.pickles.shapes import (
    ATOM,
    COUNTED,
    LONG,
    RECALL,
    TEXT,
    Broken,
    Entries,
    Shape,
    between,
    concealing,
    learn,
    loosely,
    most_rows,
    stretch_of,
)
from holdfast.engines.scan.pickles.stretches import APART, Memory, Stretch

MAX_ROW: Final = 4096  # bytes of a row; of longer ones there are too few to a piece
BATCH: Final = 1000  # values that pickle writes between two marks, and rows that are compared at once
TILE: Final = 128 << 10  # bytes of a template, repeated, at most
TEMPLATES: Final = 16  # that are kept; more widths than that are no repetition
SHORTEST: Final = 16 << 10  # bytes from one change of widths to the next, on average, or they are no template
LENIENT: Final = 8  # changes that may come sooner
AGAIN: Final = 8  # pieces after which templates are tried again where they were of no use
_NUMBERS, _RECALLS = bytes((ATOM,)), bytes((RECALL,))
_Given: TypeAlias = tuple[Bytes, int, Places, Memory, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    """What is the same in all rows of the same widths."""

    length: int
    mask: Bytes
    """Of as many rows as fit: 255 where a byte has to be the same, 128 where it has to be ASCII, 0 where it is free."""
    wanted: Bytes
    """What has to be there."""
    begins: frozenset[int]
    """Where opcodes begin."""
    recalls: tuple[tuple[int, int], ...]
    """Where numbers of entries of the memo stand, and how many bytes they take."""
    constants: tuple[tuple[int, int], ...]
    """Where strings stand that are long enough to conceal something, and where they end."""
    last: bytes
    """The last opcodes."""


class _Run(NamedTuple):
    """Rows of one template without anything between them."""

    start: int
    length: int
    rows: int


class Rows:
    """Finds rows in the pieces of one stream; the shape of one piece is tried first in the next."""

    def __init__(self) -> None:
        """Know no shape yet."""
        self.shape: Shape | None = None
        self._templates: dict[bytes, _Template] = {}
        self._uneven = 0  # pieces one after another in which no template was of use
        self._lists, self._columns = Lists(), Columns()
        self._shapeless: Lists | Columns | None = None  # what proved the piece before, if it had no shape
        self._masked, self._differs = np.empty(TILE, np.uint8), np.empty(TILE, np.bool_)

    def prove(self, data: Bytes, size: int, cuts: Places, memory: Memory, closing: int) -> Stretch | None:
        """Return a stretch of rows from the first byte on that is most of the piece, or nothing.

        All arguments are as those of `stretches.prove`.
        """
        given = data, size, cuts, memory, closing
        if self._shapeless and (found := self._without_shape(given, self._shapeless)):
            return found
        if self.shape is None or not _begins(self.shape, data, size):
            self.shape, self._uneven = learn(data, size), 0
            self._templates.clear()
        if self.shape is None:
            return self._without_shape(given, self._lists, self._columns)

        def loose(shape: Shape) -> Stretch | None:
            return mixed.prove(shape if shape.loose else loosely(shape), *given)

        ways: tuple[Callable[[Shape], Stretch | None], ...] = (
            lambda shape: None if shape.loose else _Piece(self, shape, *given).stretch(),
            lambda shape: None if shape.loose else varied.prove(shape, *given),
            loose,
        )
        if self.shape.kinds == _NUMBERS:
            ways = ways[0], lambda _: numbers.prove(data, size, cuts, closing)
        elif self.shape.kinds == _RECALLS:
            ways = ways[:1]
        elif RECALL in self.shape.kinds:  # which `mixed` looks up faster
            ways = ways[0], ways[2], ways[1]
        for way in ways[self._uneven % AGAIN > 0 :]:
            found = self._most(way(self.shape), size)
            if found is not None:
                self._uneven = 0 if way is ways[0] else self._uneven + 1
                if way is loose:
                    self.shape = self.shape if self.shape.loose else loosely(self.shape)
                return found
        values = self.shape.kinds in {_NUMBERS, _RECALLS}
        self.shape = None
        return self._without_shape(given, self._columns) if values else None

    def _without_shape(self, given: _Given, *ways: Lists | Columns) -> Stretch | None:
        """Return what one of these ways proves, and remember which did."""
        for way in ways:
            found = self._most(way.prove(*given), given[1])
            if found is not None:
                self._shapeless = way
                return found
        self._shapeless = None
        return None

    def _most(self, found: Stretch | None, size: int) -> Stretch | None:
        """Return a stretch that is most of a piece."""
        return found if found is not None and found.end > size // 2 else None

    def template(self, shape: Shape, view: memoryview, at: int, size: int) -> _Template:
        """Return the template of the row at a place.

        Raises:
            Broken: There is none of the shape, or it is long.
        """
        places = shape.begins(view, at, size)
        if places[-1] - at > MAX_ROW:
            raise Broken
        key = b"".join(view[place : place + (2 if view[place] in COUNTED else 1)] for place in places[:-1])
        found = self._templates.get(key)
        if found is None:
            if len(self._templates) >= TEMPLATES:
                self._templates.clear()
            row = np.frombuffer(view[at : places[-1]], np.uint8)
            found = self._templates[key] = _template(row, [place - at for place in places[:-1]])
        return found

    def same(self, data: Bytes, start: int, template: _Template, rows: int) -> int:
        """Return how many rows from a place on are as the template says, at most so many."""
        size = rows * template.length
        masked, differs = self._masked[:size], self._differs[:size]
        np.bitwise_and(data[start : start + size], template.mask[:size], out=masked)
        np.not_equal(masked, template.wanted[:size], out=differs)
        first = int(differs.argmax())
        return (first if differs[first] else size) // template.length


def _begins(shape: Shape, data: Bytes, size: int) -> bool:
    try:
        shape.begins(data.data, 0, size)
    except Broken:
        return False
    return True


def _template(row: Bytes, places: Sequence[int]) -> _Template:
    mask, recalls, constants = np.zeros(len(row), np.uint8), list[tuple[int, int]](), list[tuple[int, int]]()
    opcodes = bytes(row[list(places)])
    for place, opcode in zip(places, opcodes, strict=True):
        mask[place] = 0xFF
        if opcode in COUNTED:
            start, end = place + 2, place + 2 + int(row[place + 1])
            mask[place + 1] = 0xFF
            mask[start:end] = 0x80 if opcode == TEXT else 0
            if end - start >= HIDING and opcode != LONG:
                constants.append((start, end))
        elif opcode in b"hj":
            recalls.append((place + 1, WIDTHS[opcode] - 1))
    wanted = row & mask
    wanted[mask == 0x80] = 0
    times = min(BATCH, max(1, TILE // len(row)))
    return _Template(
        length=len(row),
        mask=np.tile(mask, times),
        wanted=np.tile(wanted, times),
        begins=frozenset(places),
        recalls=tuple(recalls),
        constants=tuple(constants),
        last=opcodes[-2:] if len(opcodes) > 1 else opcodes * 2,
    )


class _Piece:
    """The rows of one piece."""

    def __init__(
        self, rows: Rows, shape: Shape, data: Bytes, size: int, cuts: Places, memory: Memory, closing: int
    ) -> None:
        self.rows, self.shape, self.data, self.view, self.size = rows, shape, data, data.data, size
        self.between = between(closing)
        self.cuts, self.cut = [*map(int, cuts), size + PADDING], 0
        self.entries = Entries(memory)
        self.room = most_rows(shape, memory)
        self.runs, self.last = list[_Run](), b""
        self.batch = (-1, 0)  # where the last batch begins, and how many runs there are before it

    def stretch(self) -> Stretch | None:
        """Return rows to the first that is none, or to where their widths change too often."""
        at, template, others = 0, None, 0
        while self.room > 0:
            start = at + 2 if self.view[at : at + 2] == self.between else at
            count, ended = self._run(start, template) if template else (0, False)
            if not count and not ended:
                try:
                    template = self.rows.template(self.shape, self.view, start, self.size)
                except Broken:
                    break
                count, ended = self._run(start, template)
            if not count or template is None:
                break
            if start > at:
                self.batch = start, len(self.runs)
            else:
                others += 1
            self.runs.append(_Run(start, template.length, count))
            self.last = template.last
            self.room -= count
            at = start + count * template.length
            if ended or (others > LENIENT and at < others * SHORTEST):
                break
        return self._found(at) if self.runs else None

    def _run(self, start: int, template: _Template) -> tuple[int, bool]:
        """Return how many rows there are from a place on, and whether one ends them that may not be in a stretch."""
        length, total = template.length, 0
        while True:
            room = min((self.size - start) // length, len(template.wanted) // length, self.room - total)
            count = self.rows.same(self.data, start, template, room) if room > 0 else 0
            allowed = self._allowed(start, template, count) if count else 0
            total, start = total + allowed, start + allowed * length
            if allowed < count:
                return total, True
            if count < max(room, 1):
                return total, False

    def _allowed(self, start: int, template: _Template, count: int) -> int:
        """Return how many of these rows may be in a stretch."""
        count = self._framed(start, template, count)
        if not count or not (template.recalls or template.constants):
            return count
        begins = np.arange(start, start + count * template.length, template.length)
        for place, width in template.recalls:
            count = self.entries.plain(little(self.data, begins[:count] + place, width))
        for begin, end in template.constants:
            count = concealing(self.data, begins[:count] + begin, begins[:count] + end)
        return count

    def _framed(self, start: int, template: _Template, count: int) -> int:
        """Stop before a row with an argument that goes on behind its frame."""
        end = start + count * template.length
        while (cut := self.cuts[self.cut]) < end:
            if cut >= start and (cut - start) % template.length not in template.begins:
                return (cut - start) // template.length
            self.cut += 1
        return count

    def _found(self, end: int) -> Stretch:
        starts, lengths, counts = (np.array(each, np.int64) for each in zip(*self.runs, strict=True))
        before = np.cumsum(counts) - counts
        grid = np.arange(0, end, APART)
        run = np.searchsorted(starts, grid, "right") - 1
        row = -(-(grid - starts[run]) // lengths[run])
        behind = row >= counts[run]
        run[behind], row[behind] = run[behind] + 1, 0
        inside = run < len(starts)
        run, row = run[inside], row[inside]
        batch, runs = self.batch
        return stretch_of(
            self.shape,
            end=end,
            last=self.last,
            rows=int(counts.sum()),
            starts=starts[run] + row * lengths[run],
            numbers=before[run] + row,
            batch=batch,
            batch_rows=int(before[runs]),
        )
