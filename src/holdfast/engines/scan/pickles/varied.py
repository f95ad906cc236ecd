"""Rows of one shape whose widths change from row to row: names of any length, numbers of one byte or of eight.

Wherever the first opcode of a row stands behind the last one of a row, a row may begin. All these places are read as
rows at once, slot by slot; those of which each begins exactly where the one before it ended, the first at a known
place, are rows, so the result is that of reading byte by byte. Others are bytes of numbers that look like opcodes by
chance.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.scan.pickles.boundaries import (
    WIDTHS,
    Bytes,
    Flags,
    Places,
    Scalar,
    flatnonzero,
    little,
    places_of,
    without,
)
from holdfast.engines.scan.pickles.shapes import (
    ATOM,
    COUNTED,
    KINDS,
    LONG,
    LOOSE,
    RECALL,
    TEXT,
    VALUE,
    Entries,
    Shape,
    between,
    concealing,
    most_rows,
    stretch_of,
)
from holdfast.engines.scan.pickles.stretches import APART, Memory, Stretch, first_broken

MOST_BREAKS: Final = 2000  # in a piece: ends of batches, and bytes that look like the beginning of a row
PLAIN: Final = frozenset(b"\x94\x85\x86\x87teuas]})(")  # opcodes without an argument that may end a row
_SEVERAL: Final = frozenset((ATOM, RECALL, VALUE))  # kinds of more than one opcode
_WIDTHS: Final = np.array([WIDTHS.get(opcode, 0) for opcode in range(256)], np.int64)


def prove(shape: Shape, data: Bytes, size: int, cuts: Places, memory: Memory, closing: int) -> Stretch | None:
    """Return the stretch of rows from the first byte on, or nothing; as `stretches.prove`."""
    places = candidates(shape, data, size, closing)
    if not len(places):
        return None
    read = _Read(shape, data, places)
    chosen, batches = chain(read, data, size, between(closing))
    count = min(len(chosen), most_rows(shape, memory))
    if not count:
        return None
    read = read.of(chosen[:count])
    count = read.allowed(data, cuts, Entries(memory))
    if not count:
        return None
    starts, end = read.starts[:count], int(read.ends[count - 1])
    batch = batches[batches < count]
    grid = np.searchsorted(starts, np.arange(0, end, APART))
    grid = grid[grid < count]
    begins = shape.begins(data.data, int(starts[-1]), size)[:-1]
    return stretch_of(
        shape,
        end=end,
        last=bytes(data[begins[-2:]]) if len(begins) > 1 else bytes(data[begins * 2]),
        rows=count,
        starts=starts[grid],
        numbers=grid,
        batch=int(starts[batch[-1]]) if len(batch) else -1,
        batch_rows=int(batch[-1]) if len(batch) else 0,
    )


def candidates(shape: Shape, data: Bytes, size: int, closing: int) -> Places:
    """Return all places at which a row may begin, the first byte among them; none where too many would."""
    places, first = behind_others(shape, data, size, closing)[0], shape.kinds[0]
    if first not in _SEVERAL or not len(places):
        return places
    fits = _of_kind(data[places], first)
    fits[0] = True
    return places if fits.all() else places[fits]


def behind_others(shape: Shape, data: Bytes, size: int, closing: int) -> tuple[Places, Places]:
    """Return the first byte, and all places at which another row may begin; and which stand behind an end of a batch.

    Before all others stand the last opcodes of a row, as `ending` says. At all but the first stand the first ones, as
    `beginning` says. Whether the first is one of those that may stand for one another is not looked at.
    """
    kinds = shape.kinds
    if kinds[-1] not in PLAIN and kinds[0] != TEXT:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    last = ending(kinds)
    if kinds[0] not in _SEVERAL:
        may: Flags = np.equal(data[:size], kinds[0])
        for ahead in range(1, beginning(kinds)):
            may &= data[ahead : size + ahead] == kinds[ahead]
        may[0] = True
        places = places_of(may)
        return _behind(last, data, places, closing) if last else (places, places[:0])
    may = np.ones(size, np.bool_)
    after = may[1:]
    np.equal(data[: size - 1], kinds[-1], out=after)
    if len(last) > 1:
        after[1:] &= data[: size - 2] == last[0]
    places = places_of(may)
    batches = places[:0]
    if closing:
        batches = flatnonzero(data.take(places) == closing)
        batches = batches[data.take(places.take(batches) + 1) == ord("(")]
        places[batches] += 2  # never further than to the next place, which stands behind the end of a row of its own
        places = places[: np.searchsorted(places, size)]
    return places, places.take(batches[batches < len(places)])


def beginning(kinds: bytes) -> int:
    """Return how many opcodes have to stand where a row begins: none if others may stand for the first."""
    if kinds[0] in _SEVERAL:
        return 0
    return 2 if kinds[0] in PLAIN and kinds[1:2] and kinds[1] in PLAIN else 1


def ending(kinds: bytes) -> bytes:
    """Return the last opcodes of a row so far as they have no arguments, at most two."""
    if kinds[-1] not in PLAIN:
        return b""
    return kinds[-2:] if kinds[-2:-1] and kinds[-2] in PLAIN else kinds[-1:]


def _behind(last: bytes, data: Bytes, places: Places, closing: int) -> tuple[Places, Places]:
    """Return those places that stand behind the end of a row, or of a batch, and the latter; the first place stays."""
    before = data.take(places - 1, mode="clip")
    fits: Flags = before == last[-1]
    if len(last) > 1:
        fits &= data.take(places - 2, mode="clip") == last[0]
    fits[0] = True
    others = places_of(~fits)
    at = places.take(others)
    parted = (before.take(others) == ord("(")) & (data.take(at - 2, mode="clip") == closing) & bool(closing)
    return without(places, others[~parted]), at[parted]


def _of_kind(data: Bytes, kind: int) -> Flags:
    return np.equal(np.frombuffer(data.tobytes().translate(LOOSE if kind == VALUE else KINDS), np.uint8), kind)


class Read(Protocol):
    """Places read as rows."""

    starts: Places
    ends: Places
    fits: Flags
    """Which are rows."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """Arguments of one slot, for all rows: what they are, where they begin and how many bytes they take."""

    kind: int
    starts: Places
    widths: Places


class _Read:
    """Places read as rows: where each ends, and whether it is one."""

    def __init__(self, shape: Shape, data: Bytes, places: Places) -> None:
        self.shape, self.starts, self.slots = shape, places, list[_Slot]()
        self.fits = np.ones(len(places), np.bool_)
        at = places
        for kind in shape.kinds:
            found = data.take(at, mode="clip")
            if kind in COUNTED:
                self.fits &= found == kind
                widths = data.take(at + 1, mode="clip").astype(np.int64)
                self.slots.append(_Slot(kind, at + 2, widths))
                at = at + 2 + widths
            elif kind in {ATOM, RECALL}:
                at = self._several(kind, data, at, found)
            else:
                self.fits &= found == kind
                at = at + WIDTHS[kind]
        self.ends = at

    def _several(self, kind: int, data: Bytes, at: Places, found: Bytes) -> Places:
        """Read a slot of several opcodes; return where the next begins."""
        if len(found) and np.all(found == found[0]) and int(found[0]) in WIDTHS:
            opcode = int(found[0])
            self.fits &= KINDS[opcode] == kind
            widths = np.full(len(at), WIDTHS[opcode] - 1) if kind == RECALL else None
            after = at + WIDTHS[opcode]
        else:
            self.fits &= _of_kind(found, kind)
            after = at + _WIDTHS.take(found)
            long = flatnonzero(found == LONG) if kind == ATOM else np.zeros(0, np.int64)
            after[long] += 2 + data.take(at[long] + 1, mode="clip")
            widths = after - at - 1 if kind == RECALL else None
        if widths is not None:
            self.slots.append(_Slot(kind, at + 1, widths))
        return after

    def of(self, rows: Places) -> "_Read":
        """Return some of the rows."""
        found = object.__new__(_Read)
        found.shape, found.starts, found.ends, found.fits = (
            self.shape,
            some_of(self.starts, rows),
            some_of(self.ends, rows),
            some_of(self.fits, rows),
        )
        found.slots = [_Slot(each.kind, some_of(each.starts, rows), some_of(each.widths, rows)) for each in self.slots]
        return found

    def allowed(self, data: Bytes, cuts: Places, entries: Entries) -> int:
        """Return how many of the rows may be in a stretch: those before the first with something that may not."""
        count = framed(self.shape, self, data, cuts)
        for slot in self.slots:
            if slot.kind == RECALL:
                count = self._recalled(slot, data, count, entries)
            else:
                starts = slot.starts[:count]
                count = concealing(data, starts, starts + slot.widths[:count])
        texts = [slot for slot in self.slots if slot.kind == TEXT]
        if texts and count:
            starts = np.stack([slot.starts[:count] for slot in texts], axis=1).reshape(-1)
            widths = np.stack([slot.widths[:count] for slot in texts], axis=1).reshape(-1)
            count = first_broken(data, starts, starts + widths) // len(texts)
        return count

    def _recalled(self, slot: _Slot, data: Bytes, count: int, entries: Entries) -> int:
        for width in (1, 4):
            those = flatnonzero(slot.widths[:count] == width)
            plain = entries.plain(little(data, slot.starts[those], width))
            count = int(those[plain]) if plain < len(those) else count
        return count


def framed(shape: Shape, read: Read, data: Bytes, cuts: Places) -> int:
    """Return how many rows come before one with an argument that goes on behind its frame."""
    for cut in map(int, cuts):
        row = int(np.searchsorted(read.starts, cut, "right")) - 1
        if cut >= read.ends[row] or cut == read.starts[row]:
            continue
        if cut not in shape.begins(data.data, int(read.starts[row]), len(data)):
            return row
    return len(read.starts)


def chain(read: Read, data: Bytes, size: int, parting: bytes) -> tuple[Places, Places]:
    """Return which places are rows that follow one another from the first on, and which rows begin a batch."""
    good = read.fits & (read.ends <= size)
    while len(good) and not good[-1]:
        good = good[:-1]
    rows = np.arange(len(good)) if good.all() else flatnonzero(good)
    starts, ends = some_of(read.starts, rows), some_of(read.ends, rows)
    if not len(rows) or starts[0]:
        return rows[:0], rows[:0]
    gaps = places_of(ends[:-1] != starts[1:])
    between_batches = little(data, ends[gaps], 2) == int.from_bytes(parting, "little")
    between_batches &= ends[gaps] + 2 == starts[gaps + 1]
    new, breaks = gaps[between_batches] + 1, np.append(gaps[~between_batches], len(rows) - 1)
    parts, batches, at, total = list[Places](), list[Places](), 0, 0
    for _ in range(MOST_BREAKS):
        last = int(breaks[np.searchsorted(breaks, at)])
        parts.append(rows[at : last + 1])
        batches.append(new[np.searchsorted(new, at, "right") : np.searchsorted(new, last, "right")] - at + total)
        total += len(parts[-1])
        end = int(ends[last])
        parted = data[end : end + 2].tobytes() == parting
        end += 2 if parted else 0
        at = int(np.searchsorted(starts, end))
        if at == len(rows) or starts[at] != end:
            break
        if parted:
            batches.append(np.array([total]))
    return np.concatenate(parts), np.concatenate(batches)


def some_of(values: NDArray[Scalar], rows: Places) -> NDArray[Scalar]:
    """Return the values of some rows, in order; without a copy where these are the first."""
    count = len(rows)
    return values[:count] if count and rows[-1] == count - 1 else values.take(rows)
