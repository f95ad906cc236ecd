"""What a long stretch of opcodes does, proved for all of them at once: it pushes plain values and remembers some.

A stretch is accepted as far as it consists of numbers, strings, bytes, tuples, lists and dictionaries of them, and of
entries of the memo that exist and are no tuples; as far as it takes nothing from the stack that it did not push itself;
and as far as no string could be a pickle itself. Such opcodes import nothing, call nothing and cannot fail. Everything
else ends the stretch, at the very opcode, and is read one by one. Between values, a batch may end and the next begin
(`e(`, or `u(` in a dictionary).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from holdfast.engines.scan.pickles.arranging import (
    BATCH,
    IS_PUT,
    IS_TUPLE,
    Counts,
    Ends,
    Level,
    arranged,
    kept_of,
    opcodes_in,
    safe_starts,
    through,
)
from holdfast.engines.scan.pickles.boundaries import Bytes, Flags, Places, distinct, flatnonzero, little, opcodes
from holdfast.engines.scan.pickles.nested import HEAD, HIDING, conceals

APART: Final = 4096  # bytes between two places from which values can be read again
_RETRIES: Final = 16  # shorter stretches that are tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a stretch may know about the memo: how many entries there are, and which of given ones are tuples."""

    count: int
    most: int
    tuples: Callable[[Places], Flags]
    plain: int = 0
    """All entries below this number are there and no tuples."""


class Stretch(NamedTuple):
    """What was proved; places count bytes from the beginning of the stretch."""

    end: int
    """Where the first opcode begins that is not in it."""
    last: bytes
    """Its last two opcodes."""
    puts: int
    """How many entries it adds to the memo."""
    tuples: Flags
    """Which of them may be tuples."""
    starts: Places
    """Places from which on values can be read again without what lies before, the first of them 0."""
    counts: Counts
    """How many entries were added before each."""
    batch: int
    """Where its last batch begins, or -1 if it has no end of a batch."""
    batch_count: int
    """How many entries were added before that."""


def prove(data: Bytes, size: int, cuts: Places, memory: Memory, closing: int) -> Stretch | None:
    """Return the longest stretch from the first byte on that was proved, or nothing.

    Args:
        data: The bytes of the stream, of which the first begins an opcode, and `boundaries.PADDING` zeros.
        size: How many bytes there are without the padding.
        cuts: Where frames begin, which no argument may step over.
        memory: The memo before.
        closing: The opcode that ends a batch of the container around, or 0.
    """
    places, stop = opcodes(data, size)
    found = data[places]
    ends = np.append(places[1:], stop)
    puts = through(IS_PUT, found).view(np.bool_)
    added = np.cumsum(puts, dtype=np.int32)
    before = added - puts
    ends_at = _Limits(data, places, ends, found, memory)
    count = min(
        ends_at.frames(cuts),
        ends_at.entries(before),
        ends_at.recalled(before, flatnonzero(puts)),
        ends_at.constants(),
    )
    for _ in range(_RETRIES):
        try:
            level, before_each = arranged(found[:count], closing)
            break
        except Ends as shorter:
            count = shorter.count
    else:
        return None
    kept = kept_of(level, put_may_follow=True)
    if not kept:
        return None
    total = _at(level, kept, count)
    end = int(places[total]) if total < len(places) else stop
    safe = flatnonzero(safe_starts(level, before_each)[:kept])
    grid = np.searchsorted(level.at, np.searchsorted(places, np.arange(0, end, APART)))
    chosen = distinct(np.searchsorted(safe, grid))
    start = level.at[safe[chosen[chosen < len(safe)]]]
    batches = flatnonzero(level.found[:kept] == BATCH)
    batch = _at(level, int(batches[-1]) + 1, count) if len(batches) else -1
    put = flatnonzero(puts[:total])
    return Stretch(
        end=end,
        last=found[max(total - 2, 0) : total].tobytes(),
        puts=len(put),
        tuples=through(IS_TUPLE, found[put - 1]).view(np.bool_),
        starts=places[start],
        counts=before[start],
        batch=-1 if batch < 0 else int(places[batch]) if batch < len(places) else stop,
        batch_count=int(added[batch - 1]) if batch > 0 else 0,
    )


def _at(level: Level, index: int, count: int) -> int:
    """Return the opcode of the stream that an opcode of a level begins with."""
    return int(level.at[index]) if index < len(level.at) else count


# -- what ends a stretch: each returns how many opcodes there may be


class _Limits:
    """What can be said about each opcode by itself."""

    def __init__(self, data: Bytes, places: Places, ends: Places, found: Bytes, memory: Memory) -> None:
        self.data, self.places, self.ends, self.found, self.memory = data, places, ends, found, memory
        self.all = len(found)

    def frames(self, cuts: Places) -> int:
        """Stop before an argument that goes on behind its frame."""
        last = int(self.ends[-1]) if self.all else 0
        for cut in cuts[cuts < last]:
            index = int(np.searchsorted(self.places, cut))
            if index == self.all or self.places[index] != cut:
                return index - 1
        return self.all

    def entries(self, before: Counts) -> int:
        """Stop before a numbered entry that is not the next, and before the memo is full."""
        count = min(self.all, int(np.searchsorted(before, self.memory.most - self.memory.count)))
        for opcode, width in ((ord("q"), 1), (ord("r"), 4)):
            at = flatnonzero(self.found == opcode)
            numbers = little(self.data, self.places[at] + 1, width)
            count = _first(at, numbers != self.memory.count + before[at], count)
        return count

    def recalled(self, before: Counts, put: Places) -> int:
        """Stop before an entry that does not exist, or that may be a tuple."""
        count = self.all
        for opcode, width in ((ord("h"), 1), (ord("j"), 4)):
            at = flatnonzero(self.found == opcode)
            if not len(at):
                continue
            numbers = little(self.data, self.places[at] + 1, width)
            count = _first(at, numbers >= self.memory.count + before[at], count)
            at, numbers = at[at < count], numbers[at < count]
            own = numbers >= self.memory.count
            made = self.found[put[numbers[own] - self.memory.count] - 1]
            bad = np.empty(len(at), np.bool_)
            bad[own] = through(IS_TUPLE, made).view(np.bool_)
            bad[~own] = self.memory.tuples(numbers[~own])
            count = _first(at, bad, count)
        return count

    def constants(self) -> int:
        """Stop before a string that is not UTF-8, and before one that could be a pickle itself."""
        count, texts = self.all, list[Places]()
        for opcode, head, text in ((0x8C, 2, True), (ord("X"), 5, True), (ord("C"), 2, False), (ord("B"), 5, False)):
            at = flatnonzero(self.found == opcode)
            if not len(at):
                continue
            count = _at_most(at, first_concealing(self.data, self.places[at] + head, self.ends[at]), count)
            if text:
                texts.append(at)
        if texts:
            at = np.sort(np.concatenate(texts)) if len(texts) > 1 else texts[0]
            starts = self.places[at] + np.where(self.found[at] == ord("X"), 5, 2)
            count = _at_most(at, first_broken(self.data, starts, self.ends[at]), count)
        return count


def first_concealing(data: Bytes, starts: Places, ends: Places) -> int:
    """Return which constant is the first that `nested.conceals` says could be a pickle, or how many there are.

    Most are told by their first bytes.
    """
    long = flatnonzero(ends - starts >= HIDING)
    begin, end = starts[long], ends[long]
    first, second = data[begin], data[begin + 1]
    maybe = (first == ord("g")) & (second == ord("A"))
    maybe |= (first == ord("8")) & (second == ord("0"))
    maybe |= (first == ord("P")) & (second == ord("K"))
    maybe |= (first == 0x80) & (second <= 5)
    in_lines = flatnonzero(through(opcodes_in(b"(]})ci"), first))
    if len(in_lines):
        lines = flatnonzero(data == ord("\n"))
        there = np.searchsorted(lines, end[in_lines]) - np.searchsorted(lines, begin[in_lines])
        maybe[in_lines[there > 1]] = True
    for index in flatnonzero(maybe):
        if conceals(data[begin[index] : min(end[index], begin[index] + HEAD)].tobytes()):
            return int(long[index])
    return len(starts)


def first_broken(data: Bytes, starts: Places, ends: Places) -> int:
    """Return which text is the first that is not UTF-8, or how many there are; they are in the order of the bytes."""
    if ascii_only(data, starts, ends):
        return len(starts)
    change = np.zeros(len(data) + 1, np.int8)
    change[starts] += 1
    change[ends] -= 1
    texts = data * np.cumsum(change[:-1], dtype=np.int8).view(np.uint8)
    try:
        texts.tobytes().decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        return int(np.searchsorted(ends, error.start, "right"))
    return len(starts)


def ascii_only(data: Bytes, starts: Places, ends: Places) -> bool:
    """Return whether no text holds a byte beyond ASCII; they may be in any order."""
    return not np.any(_beyond_ascii(data, starts, ends))


def _at_most(at: Places, which: int, count: int) -> int:
    """Return where the first of some opcodes stands that may not be there, if it comes before a count."""
    return min(count, int(at[which])) if which < len(at) else count


def _first(at: Places, bad: Flags, count: int) -> int:
    """Return the first of the bad ones, if it comes before a count."""
    found = flatnonzero(bad)
    return min(count, int(at[found[0]])) if len(found) else count


_FROM: Final = np.array([((1 << 64) - 1) << (8 * byte) & ((1 << 64) - 1) for byte in range(8)], np.uint64)
_UP_TO: Final = np.array([(1 << (8 * byte)) - 1 for byte in range(8)], np.uint64)
_HIGH: Final = np.uint64(0x8080808080808080)
_SHORT: Final = 8  # words within pieces that are looked at one by one


def _beyond_ascii(data: Bytes, starts: Places, ends: Places) -> Flags:
    """Return which pieces hold a byte beyond ASCII, looking at eight bytes at once."""
    words = data[: len(data) // 8 * 8].view("<u8")
    first, last = starts >> 3, ends >> 3
    head = words.take(first, mode="clip") & _FROM.take(starts & 7)
    tail = words.take(last, mode="clip") & _UP_TO.take(ends & 7)
    inner = last - first - 1  # words that lie within, -1 where both ends are in the same
    found = np.where(inner < 0, head & tail, head | tail)
    if int(inner.max(initial=0)) > _SHORT:
        counts = np.concatenate((np.zeros(1, np.int32), np.cumsum(words & _HIGH != 0, dtype=np.int32)))
        between = counts.take(last, mode="clip") > counts.take(first + 1, mode="clip")
        return np.asarray((found & _HIGH != 0) | (between & (inner > 0)), np.bool_)
    for number in range(1, int(inner.max(initial=0)) + 1):
        found |= np.where(number <= inner, words.take(first + number, mode="clip"), 0)
    return np.asarray(found & _HIGH != 0, np.bool_)
