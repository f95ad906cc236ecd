"""Columns that are mostly gets of one width, one behind another: found by comparing bytes, without walking over them.

Where a get stands and three more behind it, five bytes apart each, a run begins. It goes on to the first place five,
ten, fifteen... bytes on where no get stands, and all places of that sort are found at once. Between two runs stand a
few values of other kinds, which are walked over. What is returned are runs and such values of which each begins
exactly where the one before it ended, the first at the first byte.
"""

from typing import Final, TypeAlias

import numpy as np

from holdfast.engines.scan.pickles.boundaries import Bytes, Flags, Places, Widths
from holdfast.engines.scan.pickles.slots import Slots
from holdfast.engines.scan.pickles.stretches import APART

GET: Final = ord("j")
WIDTH: Final = 5  # bytes of a get with its argument
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
    begins = gets.copy()
    for times in (WIDTH << power for power in range(RUN.bit_length() - 1)):
        begins[:-times] &= begins[times:]
        begins[-times:] = False
    if 2 * WIDTH * np.count_nonzero(begins) < size:
        return None
    over = RUN * WIDTH
    ends = np.flatnonzero(begins[:-over] > gets[over:]) + over
    widths = Widths(data, table, lengths_of_four=False)
    sources = np.concatenate((np.zeros(1, np.int64), ends))
    here, wide, pairs = sources.copy(), np.empty_like(sources), np.empty(len(sources), np.uint16)
    for _ in range(_STEPS):
        widths.at(here, pairs, wide)
        wide *= ~begins.take(here, mode="clip")
        if not np.any(wide):
            break
        here += wide
    lanes = _chain(sources.tolist(), here.tolist(), begins.take(here, mode="clip").tolist(), size)
    return Strides(data, table, widths, lanes) if lanes else None


_Lane: TypeAlias = tuple[int, int, bool]


def _chain(sources: list[int], heres: list[int], begun: list[bool], size: int) -> list[_Lane]:
    """Return values and runs that follow one another from the first byte on: where each begins and ends, and if a run.

    Args:
        sources: The first byte, and in order each place where no get stands that had a run before it.
        heres: Where values from there on end.
        begun: Whether a run begins there.
        size: How many bytes there are.

    Returns:
        Nothing if they end long before the last byte.
    """
    lanes, number = list[_Lane](), 0
    while True:
        source, here = sources[number], heres[number]
        if not begun[number]:
            if source + _TAIL < size:
                return []
            return [*lanes, (source, size, False)]
        if source < here:
            lanes.append((source, here, False))
        number += 1
        while number < len(sources) and (sources[number] <= here or (sources[number] - here) % WIDTH):
            number += 1  # among other values, or what looks like a run among the arguments of this one
        last = number == len(sources)
        end = here + (size - here) // WIDTH * WIDTH if last else sources[number]
        while here + _LONGEST < end:
            lanes.append((here, here + _LONGEST, True))
            here += _LONGEST
        lanes.append((here, end, True))
        if last:
            return lanes


class Strides(Slots):
    """Values in lanes of which some are runs: where values begin in these is a matter of division."""

    def __init__(self, data: Bytes, table: Places, widths: Widths, lanes: list[_Lane]) -> None:
        """Take lanes in order; the last values are walked over if they are no run."""
        starts, ends, runs = zip(*lanes, strict=True)
        self.runs: Flags = np.array(runs)
        super().__init__(data, table, widths, np.array(starts), np.array(ends))
        if not runs[-1]:
            self.ends[-1] = self.walked(len(runs) - 1, ends[-1])[0]

    def real(self, places: Places) -> Flags:
        """Return at which of some places a value begins."""
        lanes = np.searchsorted(self.starts, places, "right") - 1
        there: Flags = (places - self.starts[lanes]) % WIDTH == 0
        there &= self.runs[lanes] & (places < self.ends[lanes])
        rest = np.flatnonzero(~self.runs[lanes])
        there[rest] = super().real(places[rest])
        return there

    def walked(self, lane: int, end: int) -> tuple[int, bytes]:
        """Return where the last value begins that is not whole before an end, or the end; and the last opcodes."""
        if not self.runs[lane]:
            return super().walked(lane, end)
        count = max(end - int(self.starts[lane]), 0) // WIDTH
        return int(self.starts[lane]) + count * WIDTH, bytes((GET,)) * min(count, 2)
