"""Values one after another, in lanes of known beginnings: numbers, entries of the memo, strings that are remembered.

Where each value begins is not written down. A byte that could end a run (a get of what is not there, a string that
could be a pickle) is looked up in its lane: only if an opcode stands there does it count.
"""

from typing import Final

import numpy as np

from holdfast.engines.scan.pickles.boundaries import (
    WIDTHS,
    Bytes,
    Flags,
    Places,
    Widths,
    flatnonzero,
    little,
    places_of,
)
from holdfast.engines.scan.pickles.numbers import table_of as numbers_of
from holdfast.engines.scan.pickles.shapes import MEMOIZE, TEXT, concealing
from holdfast.engines.scan.pickles.stretches import Memory, first_broken

GET: Final = ord("j")
WIDTH: Final = 5  # bytes of a get with its argument
REST: Final = 9 + 8  # bytes at the end of a piece that are less than one number, and some


def tables_of(closing: int) -> tuple[Places, Places, Places]:
    """Return the bytes of each value by its first two bytes: of numbers, of entries of the memo too, of strings too.

    That of a string takes in the opcode that remembers it. `closing` with the mark behind it is a value too.
    """
    numbers = numbers_of(closing).reshape(256, 256)  # first byte, second byte
    gets = numbers.copy()
    for opcode in b"hj":
        gets[opcode] = WIDTHS[opcode]
    texts = gets.copy()
    texts[TEXT] = 3 + np.arange(256)
    return numbers.reshape(-1), gets.reshape(-1), texts.reshape(-1)


class Slots:
    """Values between the beginnings and ends of lanes, each of which begins and ends where a value does.

    Some may be runs of gets of one width: where values begin in these is a matter of division.
    """

    def __init__(
        self, data: Bytes, table: Places, widths: Widths, starts: Places, ends: Places, runs: Flags | None = None
    ) -> None:
        """Take lanes in order, the table by which they were walked, and which are runs of gets, if any is."""
        self.data, self.table, self.widths, self.starts, self.ends, self.runs = data, table, widths, starts, ends, runs

    def real(self, places: Places) -> Flags:
        """Return at which of some places a value begins."""
        lanes = np.searchsorted(self.starts, places, "right") - 1
        there: Flags = (lanes >= 0) & (places < self.ends.take(lanes, mode="clip"))
        walk = there
        if self.runs is not None:
            regular = (places - self.starts.take(lanes, mode="clip")) % WIDTH == 0
            in_runs = self.runs.take(lanes, mode="clip")
            walk = there & ~in_runs
            there &= regular | ~in_runs
        inside = flatnonzero(walk)
        if len(inside):
            lanes, places = lanes[inside], places[inside]
            there[inside] = self.widths.cross(self.starts[lanes], places) == places
        return there

    def limit(self, cuts: Places, memory: Memory, puts: Places, end: int) -> int:
        """Return where a value begins that may not be in a stretch, or the end.

        One that goes on behind its frame, of which some begin at the cuts; and a get of an entry that is not there, or
        that may be a tuple. `puts` are places in order at each of which an entry is made that is no tuple.
        """
        cuts = cuts[cuts < end]
        wrong = self._wrong_gets(memory, puts, end) if self.table[ord("h") << 8] else cuts[:0]
        real = self.real(np.concatenate((cuts, wrong)))
        wrong = wrong[real[len(cuts) :]]
        end = int(wrong.min()) if len(wrong) else end
        for cut in map(int, cuts[~real[: len(cuts)]]):
            lane = int(np.searchsorted(self.starts, cut, "right")) - 1
            if lane >= 0 and cut < self.ends[lane]:
                return min(end, self.walked(lane, cut)[0])
        return end

    def texts(self, end: int) -> tuple[Places, int]:
        """Return where strings begin, and where the first one does that may not be in a stretch, or the end."""
        at = np.zeros(0, np.int64)
        if self.table[TEXT << 8]:
            at = places_of(self.data[:end] == TEXT)
            at = at[self.real(at)]
        if not len(at):
            return at, end
        starts = at + 2
        ends = starts + self.data[at + 1]
        forgotten = flatnonzero(self.data[ends] != MEMOIZE)
        count = int(forgotten[0]) if len(forgotten) else len(at)
        starts, ends = starts[:count], ends[:count]
        count = min(concealing(self.data, starts, ends), first_broken(self.data, starts, ends)) if count else 0
        return at[:count], int(at[count]) if count < len(at) else end

    def _wrong_gets(self, memory: Memory, puts: Places, end: int) -> Places:
        """Return where bytes look like a get that may not be."""
        found = list[Places]()
        for opcode, width in ((ord("h"), 1), (ord("j"), 4)):
            at = self._doubtful(opcode, memory.plain, end)
            found.append(at[self._wrong(memory, puts, at, little(self.data, at + 1, width))])
        return np.concatenate(found)

    def _doubtful(self, opcode: int, plain: int, end: int) -> Places:
        """Return where bytes that look like an opcode may ask for an entry that is not below a number."""
        data = self.data
        if opcode == ord("j"):
            third, fourth = data[3 : end + 3], data[4 : end + 4]
            high: Flags = fourth >= plain >> 24 if plain >> 24 else (third >= plain >> 16) | (fourth > 0)
        elif plain < 256:
            high = data[1 : end + 1] >= plain
        else:
            return np.zeros(0, np.int64)
        return places_of((data[:end] == opcode) & high)

    def _wrong(self, memory: Memory, puts: Places, at: Places, numbers: Places) -> Flags:
        """Return which of these numbers may not be got at these places."""
        wrong: Flags = numbers >= memory.plain
        if not np.any(wrong):
            return wrong
        own, old = numbers >= memory.count, wrong & (numbers < memory.count)
        wrong[own] = numbers[own] - memory.count >= np.searchsorted(puts, at[own])
        wrong[old] = memory.tuples(numbers[old])
        return wrong

    def walked(self, lane: int, end: int) -> tuple[int, bytes]:
        """Return where the last value begins that is not whole before an end, or the end; and the opcodes before."""
        at, opcodes = int(self.starts[lane]), b""
        if self.runs is not None and self.runs[lane]:
            count = max(end - at, 0) // WIDTH
            return at + count * WIDTH, bytes((GET,)) * min(count, 2)
        while at < end:
            width = int(self.table[int(self.data[at]) << 8 | int(self.data[at + 1])])
            if not width or at + width > end:
                break
            opcode = self.data[at]
            opcodes += bytes((TEXT, MEMOIZE)) if opcode == TEXT else self.data[at : at + 1].tobytes()
            opcodes += b"(" * int(opcode in b"eu")
            at += width
        return at, opcodes
