"""Leaps over long stretches of plain values.

Reading opcode by opcode takes microseconds each. Where a pickle holds many values behind a mark, its bytes are put
together without the heads of their frames, `stretches.prove` says how far they are plain, and the machine goes on
behind them. What is kept of a stretch are some places from which it can be read again (`replay`).
"""

from array import array
from typing import Final

import numpy as np

from holdfast.engines.scan.pickles.boundaries import PADDING, Bytes, Flags, Places
from holdfast.engines.scan.pickles.machine import NO_FENCE, Break, Machine
from holdfast.engines.scan.pickles.memo import MAX_MEMO, Memo, Part, Passage
from holdfast.engines.scan.pickles.rows import Rows
from holdfast.engines.scan.pickles.stretches import Memory, Stretch, prove
from holdfast.engines.scan.pickles.values import LIST, Mapping

SMALL, LARGE = 16 << 10, 512 << 10  # bytes that are looked at: the first time, and at most
ROOM: Final = 8 << 20  # bytes of the largest array that comes and goes with each stretch
WORTH: Final = 512  # bytes of a stretch that pay for looking
PENALTY: Final = 64 << 10  # bytes after looking in vain before it is tried again, at most
VAIN: Final = 3  # times that it is tried where a row ended
CRAWL: Final = 256  # opcodes in which what ended a stretch may be over
FRAME: Final = 0x95
_BIT: Final = np.left_shift(1, np.arange(8)).astype(np.uint8)
HEADER: Final = 9  # bytes of a FRAME with its argument


class Pieces:
    """Bytes of a stream from a position on, put together without the heads of well-formed frames."""

    def __init__(self, machine: Machine, whole: Bytes, room: Bytes, position: int) -> None:
        """Fill a room, which has space for `PADDING` zeros too."""
        want = len(room) - PADDING
        self.begins, self.files, self.fences = [0], [position], [machine.fence]
        framed = position < machine.fence < NO_FENCE
        end = min(machine.fence if framed else machine.end, machine.end, position + want)
        room[: end - position] = whole[position:end]
        self.size = end - position
        while framed and self.size < want and end == self.fences[-1] and end + HEADER <= machine.end:
            length = int.from_bytes(machine.view[end + 1 : end + HEADER], "little")
            start = end + HEADER
            if machine.view[end] != FRAME or length > machine.end - start:
                break
            self.begins.append(self.size)
            self.files.append(start)
            self.fences.append(start + length)
            end = min(start + length, start + want - self.size)
            room[self.size : self.size + end - start] = whole[start:end]
            self.size += end - start
        room[self.size : self.size + PADDING] = 0
        self.data = room[: self.size + PADDING]

    def piece(self, place: int) -> int:
        """Return the piece in which a place lies or ends."""
        return max(int(np.searchsorted(self.begins, place)) - 1, 0)

    def position(self, place: int) -> int:
        """Return the position in the stream of a place; one between two pieces is the end of the first."""
        piece = self.piece(place)
        return self.files[piece] + place - self.begins[piece]

    def positions(self, places: Places) -> Places:
        """Return positions of many places; one between two pieces is the beginning of the second."""
        piece = np.searchsorted(self.begins, places, "right") - 1
        ahead = np.asarray(self.files) - np.asarray(self.begins)
        return np.asarray(places + ahead[piece], np.int64)


class _Tuples:
    """Which entries of a memo may be tuples, a bit for each; one that ever was one stays one."""

    def __init__(self) -> None:
        """Know of none."""
        self._bits = np.zeros(1 << 10, np.uint8)
        self.first = MAX_MEMO  # all below are none
        self._one_by_one = 0  # of those that the memo says were put one by one, how many are known

    def add(self, first: int, flags: Flags) -> None:
        """Take what was made in a stretch, from a number on."""
        self._reach(first + len(flags))
        if flags.any():
            self.first = min(self.first, first + int(flags.argmax()))
        start = first >> 3
        bits = np.packbits(np.concatenate((np.zeros(first & 7, np.bool_), flags)), bitorder="little")
        self._bits[start : start + len(bits)] |= bits

    def look(self, memo: Memo) -> None:
        """Take what was put one by one."""
        self._reach(memo.count)
        for number in memo.tuples[self._one_by_one :]:
            self._bits[number >> 3] |= 1 << (number & 7)
            self.first = min(self.first, number)
        self._one_by_one = len(memo.tuples)

    def of(self, memo: Memo, numbers: Places) -> Flags:
        """Return which entries may be tuples; all numbers are below the memo's count."""
        self.look(memo)
        bits = self._bits.take(numbers >> 3)
        bits &= _BIT.take(numbers & 7)
        return np.not_equal(bits, 0)

    def _reach(self, count: int) -> None:
        if count > 8 * len(self._bits):
            more = max(count // 8 + 1, 2 * len(self._bits)) - len(self._bits)
            self._bits = np.concatenate((self._bits, np.zeros(more, np.uint8)))


class Leaps:
    """The leaps of one machine."""

    def __init__(self, machine: Machine) -> None:
        """Start with small ones."""
        self.machine = machine
        self._whole = np.frombuffer(machine.view, np.uint8)
        self._room = np.empty(LARGE + PADDING, np.uint8)
        np.empty(ROOM, np.uint8)  # freed at once: from then on malloc keeps this much instead of asking the system anew
        self._size, self._rest, self._penalty = SMALL, 0, WORTH
        self._rows, self._tuples = Rows(), _Tuples()
        self._crawling = False
        self._depth, self._last = -1, b""  # of the last stretch: marks around it, and its last opcodes

    def over(self, position: int) -> int:
        """Return the position behind stretches of plain values, or the same.

        What ends a stretch is read opcode by opcode, to where another may begin.
        """
        if position < self._rest or self._crawling:
            return position
        vain = 0
        while vain < VAIN:
            after = self._leap(position)
            vain = 0 if after > position else vain + 1
            position, found = self._crawl(after)
            if not found:
                break
        self._penalty = min(2 * self._penalty, PENALTY) if vain else WORTH
        self._rest = position + self._penalty if vain else 0
        return position

    def _leap(self, position: int) -> int:
        """Return the position behind stretches of plain values, or the same."""
        machine = self.machine
        if not machine.memo.dense or not machine.marks or machine.frames_from > position:
            return position
        in_rows = True
        while machine.end - position > WORTH:
            pieces = Pieces(machine, self._whole, self._room[: self._size + PADDING], position)
            stretch, in_rows = self._prove(pieces, in_rows=in_rows)
            if stretch is None or stretch.end < WORTH:
                self._size = SMALL
                break
            position = self._take(pieces, stretch)
            self._depth, self._last = len(machine.marks), stretch.last
            ended = stretch.end < pieces.size - WORTH
            self._size = min(LARGE, max(SMALL, 2 * stretch.end if ended else 4 * self._size))
            if ended and not in_rows:
                break
            in_rows = not ended  # what ended rows may be no end of a stretch
        return position

    def _prove(self, pieces: Pieces, *, in_rows: bool) -> tuple[Stretch | None, bool]:
        """Return what can be proved of pieces, and whether as rows of one shape, or else opcode by opcode."""
        given = pieces.data, pieces.size, np.asarray(pieces.begins[1:], np.int64), self._memory(), self._closing()
        rows = self._rows.prove(*given) if in_rows else None
        return rows or prove(*given), rows is not None

    def _crawl(self, position: int) -> tuple[int, bool]:
        """Return where the opcodes that ended the last stretch came once more, if they do soon."""
        machine, before, steps = self.machine, 0, 0
        if len(machine.marks) < self._depth or not self._last:
            return position, False
        self._crawling = True
        try:
            for steps in range(1, CRAWL + 1):  # noqa: B007 - counted below
                opcode = machine.view[position]
                position = machine.step(position)
                if bytes((before, opcode)) == self._last and len(machine.marks) == self._depth:
                    return position, True
                before = opcode
        except IndexError:
            raise Break(position, "the stream ends without STOP") from None
        finally:
            self._crawling = False
            machine.examination.step(steps)
        return position, False

    def _closing(self) -> int:
        around = self.machine.marks[-1]
        if around and around[-1] is LIST:
            return ord("e")
        return ord("u") if around and isinstance(around[-1], Mapping) else 0

    def _memory(self) -> Memory:
        memo = self.machine.memo
        self._tuples.look(memo)
        return Memory(
            count=memo.count,
            most=MAX_MEMO,
            tuples=lambda numbers: self._tuples.of(memo, numbers),
            plain=min(memo.count, self._tuples.first),
        )

    def _take(self, pieces: Pieces, stretch: Stretch) -> int:
        """Bring the machine behind a stretch."""
        machine, memo, closing = self.machine, self.machine.memo, self._closing()
        first, start = memo.count, pieces.position(0)
        end = pieces.position(stretch.end)
        machine.fence = pieces.fences[pieces.piece(stretch.end)]
        if stretch.batch >= 0:
            machine.stack.clear()
            start, first = int(pieces.positions(np.array([stretch.batch]))[0]), first + stretch.batch_count
            around = machine.marks[-1][-1]
            if isinstance(around, Mapping):
                around.whole = False
        starts = array("Q", pieces.positions(stretch.starts).astype(np.uint64).tobytes())
        counts = array("Q", stretch.counts.astype(np.uint64).tobytes())
        self._tuples.add(memo.count, stretch.tuples)
        memo.add_run(
            Passage(
                remembered=stretch.puts,
                starts=starts,
                counts=counts,
                end=end,
                closing=closing,
                changes=memo.changes,
            )
        )
        if start < end:
            machine.stack.append(Part(start=start, end=end, first=first, closing=closing, changes=memo.changes))
        machine.examination.step(stretch.end // 4)
        machine.release(end)
        return end
