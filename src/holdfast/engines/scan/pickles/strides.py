"""Columns that are mostly gets of one width, one behind another: found by comparing bytes, without walking over them.

Where a get stands and three more behind it, five bytes apart each, a run begins. It goes on to the first place five,
ten, fifteen... bytes on where no get stands, and all places of that sort are found at once. Between two runs stand a
few values of other kinds, which are walked over. What is returned are runs and such values of which each begins
exactly where the one before it ended, the first at the first byte.
"""

from typing import Final

import numpy as np

from holdfast.engines.scan.pickles.boundaries import Bytes, Flags, Places, Widths, flatnonzero, places_of
from holdfast.engines.scan.pickles.slots import GET, WIDTH, Slots
from holdfast.engines.scan.pickles.stretches import APART

RUN: Final = 4  # gets in a row that begin a run: a power of two
_LONGEST: Final = APART // WIDTH * WIDTH  # bytes of a run after which values can be read again from another place
_STEPS: Final = 16  # values of other kinds between two runs, at most
_TAIL: Final = 4096  # bytes behind the last run that are walked over one by one, at most


def strided(data: Bytes, size: int, table: Places) -> "Strides | None":
    """Return the values from the first byte on, or nothing if less than half of the bytes are in runs.

    Args:
        data: The bytes of the stream, of which the first begins an opcode, and padding.
        size: How many bytes there are without the padding.
        table: How many bytes a value takes by its first two bytes.
    """
    gets = np.equal(data[:size], GET)
    begins = gets
    for over in (WIDTH << power for power in range(RUN.bit_length() - 1)):
        begins = _followed(begins, over, np.empty_like(gets))
    if 2 * WIDTH * np.count_nonzero(begins) < size:
        return None
    over = RUN * WIDTH
    ends = places_of(begins[:-over] > gets[over:]) + over
    widths = Widths(data, table, lengths_of_four=False)
    sources = np.concatenate((np.zeros(1, np.int64), ends))
    here, wide, pairs = sources.copy(), np.empty_like(sources), np.empty(len(sources), np.uint16)
    for _ in range(_STEPS):
        widths.at(here, pairs, wide)
        wide *= ~begins.take(here, mode="clip")
        if not np.any(wide):
            break
        here += wide
    chosen = _chain(sources, here, begins.take(here, mode="clip"))
    sources, here = sources[chosen], here[chosen]
    if begins.take(here[-1], mode="clip"):
        end = int(here[-1]) + (size - int(here[-1])) // WIDTH * WIDTH
    elif sources[-1] + _TAIL < size:
        return None
    else:
        here[-1] = end = size
    return Strides(data, table, widths, sources, here, end)


def all_gets(data: Bytes, begins: Places, ends: Places) -> Flags:
    """Return between which places stand gets of one width, one behind another, and nothing else.

    At least one has to stand there. Where 2, 4, 8... gets begin in a row is found for all bytes at once; so many at
    the beginning and so many at the end, which may overlap, are all.
    """
    levels = _LEVELS.take(ends - begins, mode="clip")
    found: Flags = np.zeros(len(begins), np.bool_)
    gets = np.equal(data, GET)
    room = np.empty_like(gets)
    for level in range(1, int(levels.max(initial=0)) + 1):
        over = WIDTH << (level - 1)
        those = flatnonzero(levels == level)
        found[those] = gets.take(begins[those]) & gets.take(ends[those] - over)
        gets, room = _followed(gets, over, room), gets
    return found


def _followed(flags: Flags, over: int, room: Flags) -> Flags:
    """Return which flags have another so many bytes behind them, written to a room of their size."""
    np.logical_and(flags[:-over], flags[over:], out=room[:-over])
    room[-over:] = False
    return room


_MOST: Final = 255  # gets between two places
_LEVELS: Final = np.array(
    [(wide // WIDTH).bit_length() if wide % WIDTH == 0 else 0 for wide in range(_MOST * WIDTH + 2)], np.int8
)
"""By the bytes between two places, how often the number of gets that fill them can be halved; 0 if none do."""


def _chain(sources: Places, heres: Places, begun: Flags) -> Places:
    """Return which sources begin where a run from the one before it ended, from the first byte on.

    Args:
        sources: The first byte, and in order each place where no get stands that had a run before it.
        heres: Where values from there on end.
        begun: Whether a run begins there; the last of the sources that are returned may have none.
    """
    gaps = sources[1:] - heres[:-1]
    if np.all(begun[:-1] & (gaps > 0) & (gaps % WIDTH == 0)):
        return np.arange(len(sources))
    places, ends, chosen, number = sources.tolist(), heres.tolist(), list[int](), 0
    while number < len(places):
        chosen.append(number)
        if not begun[number]:
            break
        here, number = ends[number], number + 1
        while number < len(places) and (places[number] <= here or (places[number] - here) % WIDTH):
            number += 1  # among other values, or what looks like a run among the arguments of this one
    return np.array(chosen)


class Strides(Slots):
    """Values in lanes of which some are runs; the last values are walked over if they are no run."""

    def __init__(self, data: Bytes, table: Places, widths: Widths, sources: Places, heres: Places, end: int) -> None:
        """Take values from each source on, the runs behind them up to the next source, and the end of all."""
        lengths = np.append(sources[1:], end) - heres
        parts = -(-lengths // _LONGEST)
        before = np.cumsum(parts) - parts
        runs = np.repeat(heres, parts) + (np.arange(int(parts.sum())) - np.repeat(before, parts)) * _LONGEST
        others = sources[sources < heres]
        starts = np.concatenate((runs, others))
        order = np.argsort(starts, kind="stable")
        starts = starts[order]
        super().__init__(data, table, widths, starts, np.append(starts[1:], end), order < len(runs))
        last = len(starts) - 1
        if order[last] >= len(runs):
            self.ends[last] = self.walked(last, end)[0]
