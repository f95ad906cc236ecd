"""Where opcodes begin in a long stretch of a pickle, found for thousands of places at once.

The stream is cut into lanes. Each lane guesses an opcode near its beginning and walks on from there, all
lanes together in steps of numpy. A guess is only a guess: what is returned are lanes of which each begins exactly
where the one before it ended, the first at a known opcode, so the result is what reading byte by byte gives.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Places: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

PADDING: Final = 32  # zeros behind the bytes, which no opcode begins with
LANE: Final = 251  # bytes between two guesses; a prime, so that rows of any length are met everywhere
_MEMOIZE: Final = 0x94
_TEXTUAL: Final = 4  # one byte in so many beyond ASCII means numbers rather than text
_TRIES: Final = 16  # steps in which a guess finds opcodes
_AGAIN: Final = 4  # times that it goes on if there are many that did not
_FEW: Final = 16  # one of so many
_NONE: Final = 128  # one of so many is not worth another step of all
_SURE: Final = 6  # opcodes in a row without which it is no guess
_FAR: Final = 16 * LANE  # bytes beyond a guess after which it was none
_ROUNDS: Final = 12  # times that lanes which guessed wrongly are walked again
_LOOK: Final = 8  # steps between two looks whether all lanes are through

WIDTHS: Final[Mapping[int, int]] = {
    **dict.fromkeys(b"N\x88\x89]})(teuas\x85\x86\x87\x94", 1),
    **dict.fromkeys(b"Khq", 2),
    **dict.fromkeys(b"M", 3),
    **dict.fromkeys(b"Jjr", 5),
    **dict.fromkeys(b"G", 9),
}
"""Opcodes with arguments of a fixed width, and the bytes of both."""
COUNTED: Final = b"\x8a\x8cC"
"""Opcodes whose argument begins with its length in one byte."""
COUNTED_LONG: Final = b"XB"
"""The same in four bytes."""


def _width_table() -> NDArray[np.int64]:
    """Return the bytes of an opcode with its argument by its first two bytes; nothing where that does not tell."""
    table = np.zeros((256, 256), np.int64)  # first byte, second byte: few lines of a cache for each opcode
    for opcode, width in WIDTHS.items():
        table[opcode] = width
    for opcode in COUNTED:
        table[opcode] = 2 + np.arange(256)
    return table.reshape(-1)


_TABLE: Final = _width_table()
_IS_LONG: Final = np.isin(np.arange(256), np.frombuffer(COUNTED_LONG, np.uint8))
_ONE: Final = tuple(
    (WIDTHS.get(opcode, 0), *((2, 1) if opcode in COUNTED else (5, 4) if opcode in COUNTED_LONG else (1, 0)))
    for opcode in range(256)
)
"""For each byte: its width where that is fixed, the width of its head, and of the length in it."""
_SPARSE: Final = 64  # bytes to each place that is asked for, at least, to look at these bytes alone
_SAMPLE, _WIDE = 32, 64  # opcodes after which it is looked how many bytes they take each, and how many are enough
_STEPS: Final = 128  # rows of the table of steps that are reserved at once


class Widths:
    """How many bytes the opcodes at given places take, with their arguments; 0 for any other byte."""

    def __init__(self, data: Bytes, table: Places = _TABLE, *, lengths_of_four: bool = True) -> None:
        """Take bytes with their padding, and a table by two bytes that says what an opcode is."""
        self.data, self._table = data, table
        self._pairs: NDArray[np.uint16] | None = None
        self._long = False
        if lengths_of_four:
            short = (data[3:-1] == 0) & (data[4:] == 0)  # of such lengths, those that fit into a stretch
            self._long = any(bool(np.any((data[:-4] == opcode) & short)) for opcode in COUNTED_LONG)

    def at(self, places: Places, pairs: NDArray[np.uint16], out: Places) -> None:
        """Write the widths at places to `out`; `pairs` is room of the same length."""
        if self._pairs is None and len(places) * _SPARSE < len(self.data):
            np.left_shift(self.data.take(places, mode="clip"), 8, out=pairs, dtype=np.uint16)
            pairs |= self.data[1:].take(places, mode="clip")
        else:
            self._all_pairs().take(places, out=pairs, mode="clip")
        self._table.take(pairs, out=out, mode="clip")
        if self._long:
            self._add_long(places, out)

    def _all_pairs(self) -> NDArray[np.uint16]:
        """Return each byte with the one behind it; where many places are asked for, it pays to have them all."""
        if self._pairs is None:
            self._pairs = np.left_shift(self.data[:-1], 8, dtype=np.uint16)
            self._pairs |= self.data[1:]
        return self._pairs

    def cross(self, starts: Places, ends: Places) -> Places:
        """Return the first place at or behind its end that each lane comes to, or where it meets no opcode."""
        found = starts.copy()
        lanes = self._walk(found, ends)
        here, bounds = found[lanes], ends[lanes]  # the last few steps once more, each only if it is before the end
        wide, pairs = np.empty_like(here), np.empty(len(here), np.uint16)
        for _ in range(_LOOK):
            self.at(here, pairs, wide)
            here += wide * (here < bounds)
        found[lanes] = here
        return found

    def reach(self, starts: Places, ends: Places) -> Flags:
        """Return which lanes come to their ends, where no opcode of the table stands, so that none goes on."""
        found = starts.copy()
        self._walk(found, ends, last=True)
        return np.equal(found, ends)

    def _walk(self, found: Places, ends: Places, *, last: bool = False) -> Places:
        """Bring lanes to less than some steps before they are through, or to the last one; return which moved."""
        lanes = flatnonzero(found < ends)
        here, bounds, late = found.take(lanes), ends.take(lanes), list[Places]()
        while len(lanes):
            if not last:
                found[lanes] = here
            wide, pairs = np.empty_like(here), np.empty(len(here), np.uint16)
            for _ in range(_LOOK):
                self.at(here, pairs, wide)
                here += wide
            if last:
                found[lanes] = here
            going = (here < bounds) & (wide > 0)
            late.append(lanes[~going])
            on = flatnonzero(going)
            lanes, here, bounds = lanes.take(on), here.take(on), bounds.take(on)
        return np.concatenate(late) if late else lanes

    def _add_long(self, places: Places, out: Places) -> None:
        unknown = flatnonzero(out == 0)
        unknown = unknown[_IS_LONG[self.data.take(places[unknown], mode="clip")]]
        length = little(self.data, places[unknown] + 1, 4)
        out[unknown] = np.where(length < len(self.data), 5 + length, 0)


def little(data: Bytes, places: Places, width: int) -> Places:
    """Return unsigned little-endian numbers of a width at places."""
    found = data.take(places, mode="clip").astype(np.int64)
    for byte in range(1, width):
        part = data[byte:].take(places, mode="clip").astype(np.int64)
        part <<= 8 * byte
        found |= part
    return found


def flatnonzero(flags: NDArray[np.generic]) -> Places:
    """Return where an array of one dimension is not zero: as `numpy.flatnonzero`, without what that does first."""
    found: Places = flags.nonzero()[0]
    return found


_BYTES_UP: Final = np.uint64(0x0001020304050607)
"""Times a one in one of eight bytes, the first of them the lowest, it has the number of that byte in its last byte."""
_CROWDED: Final = 16  # one word in so many that has no flag, or more than one: too many to be worth it


def places_of(flags: Flags) -> Places:
    """Return where flags are set, as `numpy.flatnonzero`, in half the time if few of them stand close together.

    Eight flags are looked at as one word, and where its only one stands comes out of a multiplication.
    """
    whole = len(flags) // 8 * 8
    words = flags[:whole].view("<u8")
    places = flatnonzero(words != 0)
    if (len(words) - len(places)) * _CROWDED < len(words):
        return flatnonzero(flags)
    found = words.take(places)
    more = found - np.uint64(1)
    more &= found  # all but the lowest flag of each
    places <<= 3
    several = flatnonzero(more != 0)
    if len(several) * _CROWDED > len(found):
        return flatnonzero(flags)
    rest = flatnonzero(more.take(several).view(np.bool_))
    rest = places.take(several.take(rest >> 3)) + (rest & 7)
    found ^= more
    found *= _BYTES_UP
    found >>= np.uint64(56)
    places += found.view("<i8")
    if len(rest):
        before = np.searchsorted(places, rest)
        before += np.arange(len(rest))
        merged = np.empty(len(places) + len(rest), np.int64)
        own = np.ones(len(merged), np.bool_)
        own[before] = False
        merged[before], merged[own] = rest, places
        places = merged
    behind = flatnonzero(flags[whole:])
    return np.concatenate((places, behind + whole)) if len(behind) else places


def without(values: NDArray[Scalar], wrong: Places) -> NDArray[Scalar]:
    """Return values without some, whose places are given in order."""
    if not len(wrong):
        return values
    if len(wrong) * _CROWDED > len(values):
        kept = np.ones(len(values), np.bool_)
        kept[wrong] = False
        return values[kept]
    begins, ends = [0, *(wrong + 1).tolist()], [*wrong.tolist(), len(values)]
    return np.concatenate([values[begin:end] for begin, end in zip(begins, ends, strict=True)])


def distinct(places: Places) -> Places:
    """Return places in order, each once."""
    return places[flatnonzero(np.diff(places, prepend=-1))]


def opcodes(data: Bytes, size: int) -> tuple[Places, int]:
    """Return where opcodes begin, from byte 0 on, and where the first one begins that is not among them.

    Args:
        data: Bytes of which the first begins an opcode, then `PADDING` zeros.
        size: How many bytes there are without the padding.
    """
    few = _few(data[:size].tobytes())
    if few:
        return few
    widths = Widths(data)
    starts = guesses(widths, size)
    ends = np.append(starts[1:], size)
    walked = np.empty((0, len(starts)), np.int32)

    def walk(lanes: Places) -> Places:
        nonlocal walked
        found = _walk(widths, starts[lanes], ends[lanes])
        if len(lanes) == len(starts):
            walked = found
        else:
            steps = max(len(walked), len(found))
            walked = _padded(walked, steps)
            walked[:, lanes] = _padded(found, steps)
        return _exits(found, ends[lanes])

    count, stop = chained(starts, ends, walk)
    return _joined(walked[:, :count], ends[:count], stop, size)


def chained(starts: Places, ends: Places, walk: Callable[[Places], Places]) -> tuple[int, int]:
    """Return how many lanes begin where the one before ended, and where the last of them ends.

    `walk` takes lanes and returns where they end; what it does is done again for those that began wrongly, with their
    `starts` set right.
    """
    exits = walk(np.arange(len(starts)))
    for _ in range(_ROUNDS):
        wrong = flatnonzero(exits[:-1] != starts[1:]) + 1
        if not len(wrong) or exits[wrong[0] - 1] < ends[wrong[0] - 1]:
            break  # all fit, or the last lane that does stands before something else
        starts[wrong] = exits[wrong - 1]
        exits[wrong] = walk(wrong)
    fits = flatnonzero(exits[:-1] != starts[1:])
    count = int(fits[0]) + 1 if len(fits) else len(ends)
    return count, int(exits[count - 1])


def _few(data: bytes) -> tuple[Places, int] | None:
    """Return the same one by one if the opcodes take so many bytes each that lanes would find none; else nothing."""
    at, found, end = 0, list[int](), len(data)
    while at < end:
        width, head, length = _ONE[data[at]]
        if length:
            argument = data[at + head - length : at + head]
            width = head + int.from_bytes(argument, "little") if len(argument) == length else 0
        if not width or at + width > end:
            break
        found.append(at)
        at += width
        if len(found) % _SAMPLE == 0 and at < len(found) * _WIDE:
            return None
    return np.array(found, np.int64), at


def guesses(widths: Widths, size: int) -> Places:
    """Return places at which opcodes probably begin, in order, about one to a lane; the first is 0 and certain."""
    origins = np.arange(LANE, size, LANE, dtype=np.int64)
    if np.count_nonzero(widths.data & 0x80) < size // _TEXTUAL:
        ends = places_of(widths.data[:size] == _MEMOIZE) + 1  # text holds none, so an opcode follows
        after = np.append(ends, size)[np.searchsorted(ends, origins)]
        origins = np.where(after < origins + LANE, after, origins)
    here, since = origins.copy(), np.zeros(len(origins), np.int8)
    _seek(widths, here, origins, since)
    for _ in range(_AGAIN):
        lost = flatnonzero(since < _SURE)
        if len(lost) * _FEW < len(here):
            break
        found = here[lost], origins[lost], since[lost]
        _seek(widths, *found)
        here[lost], origins[lost], since[lost] = found
    here = here[(since >= _SURE) & (here < size) & (here - origins < _FAR)]
    rising = here[1:] > np.maximum.accumulate(here)[:-1]
    return np.concatenate((np.zeros(1, np.int64), here[:1], here[1:][rising]))


def _seek(widths: Widths, here: Places, origins: Places, since: NDArray[np.int8]) -> None:
    """Go on from places; where no opcode stands, from the byte after the origin. `since` counts steps since then."""
    wide, pairs = np.empty_like(here), np.empty(len(here), np.uint16)
    for step in range(_TRIES):
        if step > _SURE and step % 2 and np.count_nonzero(since < _SURE) * _NONE < len(here):
            break
        widths.at(here, pairs, wide)
        here += wide
        since += 1
        lost = flatnonzero(wide == 0)
        origins[lost] += 1
        here[lost] = origins[lost]
        since[lost] = 0


def _walk(widths: Widths, starts: Places, ends: Places) -> NDArray[np.int32]:
    """Return where each lane stands after each step, in rows of lanes; one that meets anything else stays there."""
    rows = np.empty((_STEPS, len(starts)), np.int32)
    here, wide, pairs = starts.copy(), np.empty_like(starts), np.empty(len(starts), np.uint16)
    rows[0] = here
    for step in range(1, LANE * LANE):
        widths.at(here, pairs, wide)
        here += wide
        if step == len(rows):
            rows = np.concatenate((rows, np.empty_like(rows)))
        rows[step] = here
        if step % _LOOK == 0 and not np.any((here < ends) & (wide > 0)):
            break
    return rows[: step + 1]


def _exits(walked: NDArray[np.int32], ends: Places) -> Places:
    """Return the first place of each lane at or behind its end, or the one where it stays."""
    inside = np.count_nonzero(walked < ends, axis=0)
    last = np.minimum(inside, len(walked) - 1)
    return np.asarray(walked[last, np.arange(len(ends))], np.int64)


def _padded(walked: NDArray[np.int32], steps: int) -> NDArray[np.int32]:
    """Return lanes with their last place repeated to a number of steps."""
    missing = steps - len(walked)
    return np.concatenate((walked, np.repeat(walked[-1:], missing, axis=0))) if missing else walked


def _joined(walked: NDArray[np.int32], ends: Places, stop: int, size: int) -> tuple[Places, int]:
    """Return the places of lanes that follow one another, each once, and the place behind the last whole opcode."""
    lanes = np.ascontiguousarray(walked.T)
    inside = lanes < ends[:, None]
    inside[:, 1:] &= lanes[:, 1:] != lanes[:, :-1]
    found = lanes[inside].astype(np.int64)
    if stop > size and len(found):
        stop = int(found[-1])
    return found[: np.searchsorted(found, stop)], stop
