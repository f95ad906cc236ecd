"""What the opcodes of a stretch do with the stack, for all of them at once.

What stands in marks is taken together level by level, the innermost first, until a plain row of opcodes is left of
which each needs and leaves a known number of values. Nothing may be taken that was not pushed in the same marks: what
lies below is somebody else's.
"""

from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.scan.pickles.boundaries import Bytes, Flags, Places, flatnonzero

Counts: TypeAlias = NDArray[np.int32]

_PARTIAL: Final = 64  # opcodes at the end that are left for the next stretch if a value may still be growing
_LEVELS: Final = 16  # containers inside one another

_PUSHES: Final = b"N\x88\x89KMJG\x8a\x8cXBChj]})"
_PUTS: Final = b"\x94qr"
_TEXTS: Final = b"\x8cXCB"
_MARK: Final = ord("(")
_TUPLE_DONE, _LIST_DONE, _DICT_DONE, BATCH = 1, 2, 3, 4  # instead of what was in marks; no opcode has these bytes
_DONE: Final = {ord("t"): _TUPLE_DONE, ord("e"): _LIST_DONE, ord("u"): _DICT_DONE}
_TUPLES: Final = b"t\x85\x86\x87" + _PUTS  # what may have made a tuple of the top; after a put, anybody knows
_COMPLETES: Final = b"\x85\x86\x87as\x01\x02\x03\x04"


def _table(rows: dict[bytes, int]) -> bytes:
    found = bytearray(256)
    for opcodes_, number in rows.items():
        for opcode in opcodes_:
            found[opcode] = number % 256
    return bytes(found)


_GROWS: Final = _table({_PUSHES: 1, b"\x01": 1, b"\x86a": -1, b"\x87s": -2})
"""By how much the stack grows."""
_NEEDS: Final = _table({_PUTS + b"\x85\x02\x03": 1, b"\x86a": 2, b"\x87s": 3})
"""How many values have to be there."""
_DOES_NEED: Final = bytes(map(bool, _NEEDS))


def opcodes_in(opcodes_: bytes) -> bytes:
    """Return the table that says 1 for these opcodes and 0 for all others."""
    return _table({opcodes_: 1})


_IS_PUSH, IS_PUT, IS_TUPLE = opcodes_in(_PUSHES + b"\x01"), opcodes_in(_PUTS), opcodes_in(_TUPLES)
_IS_BRACKET, _IS_POP, _IS_COMPLETE = (
    opcodes_in(b"(teu"),
    opcodes_in(b"\x85\x86\x87as\x01\x02\x03"),
    opcodes_in(_COMPLETES),
)
_TARGETS: Final = {_LIST_DONE: opcodes_in(b"]a\x02"), _DICT_DONE: opcodes_in(b"}s\x03")}


def through(table: bytes, found: Bytes) -> NDArray[np.int8]:
    """Return what a table of 256 small numbers says about each opcode."""
    return np.frombuffer(found.tobytes().translate(table), np.int8)


class Level(NamedTuple):
    """Opcodes that are left after what stands in marks was taken together, and where each was."""

    found: Bytes
    at: Places


class Ends(Exception):
    """The stretch can at most have so many opcodes."""

    def __init__(self, count: int) -> None:
        self.count = count


def arranged(found: Bytes, closing: int) -> tuple[Level, Counts]:
    """Return a stretch with everything in marks taken together, and the height of the stack before each opcode.

    Raises:
        Ends: Something does not fit.
    """
    level = _batches(Level(found, np.arange(len(found))), closing)
    for _ in range(_LEVELS):
        if not np.any(level.found == _MARK):
            break
        level = _innermost(level)
    marks = flatnonzero(level.found == _MARK)
    if len(marks):
        raise Ends(int(level.at[marks[0]]))
    before = _heights(level.found)
    batches = flatnonzero(level.found == BATCH)
    floors = np.concatenate((np.zeros(1, np.int32), before[batches]))
    floor = np.repeat(floors, np.diff(np.concatenate((np.zeros(1, np.int64), batches, [len(level.found)]))))
    _enough(level, np.arange(len(level.found)), before - floor)
    return level, before


def _heights(found: Bytes) -> Counts:
    """Return how high the stack is before each opcode, were it empty before the first."""
    grows = through(_GROWS, found)
    return np.cumsum(grows, dtype=np.int32) - grows


def _batches(level: Level, closing: int) -> Level:
    """Return the stretch with each end of a batch and beginning of the next as one.

    Raises:
        Ends: Before a mark that is not closed, or the end of more than a batch.
    """
    found, at = level
    brackets = flatnonzero(through(_IS_BRACKET, found))
    if not len(brackets):
        return level
    depth = np.cumsum(np.where(found[brackets] == _MARK, 1, -1))
    outside = flatnonzero(depth < 0)
    ends = brackets[outside]
    wrong = (found[ends] != closing) | (found[np.minimum(ends + 1, len(found) - 1)] != _MARK)
    if np.any(wrong):
        raise Ends(int(ends[wrong][0]))
    if depth[-1] > 0:
        closed = flatnonzero(depth <= 0)
        raise Ends(int(brackets[closed[-1] + 1 if len(closed) else 0]))
    if not len(ends):
        return level
    found = found.copy()
    found[ends] = BATCH
    keep = np.ones(len(found), np.bool_)
    keep[ends + 1] = False
    return Level(found[keep], at[keep])


def _innermost(level: Level) -> Level:
    """Return a level with marks that hold no others replaced, together with what they hold.

    Raises:
        Ends: What they hold takes more than that, or does not go into what stands before.
    """
    found, at = level
    brackets = flatnonzero(through(_IS_BRACKET, found))
    opens = found[brackets] == _MARK
    inner = flatnonzero(opens[:-1] & ~opens[1:])
    left, right = brackets[inner], brackets[inner + 1]
    change = np.zeros(len(found) + 1, np.int8)
    change[left + 1] += 1
    change[right] -= 1
    inside = np.cumsum(change[:-1], dtype=np.int8).view(np.bool_)
    if np.any(inside & through(_DOES_NEED, found).view(np.bool_)):
        held, before = flatnonzero(inside), _heights(found)
        _enough(level, held, before[held] - np.repeat(before[left], right - left - 1))
    replaced, begins = found.copy(), at.copy()
    begins[right] = at[left]
    target = _before(found, left)
    for opcode, done in _DONE.items():
        those = flatnonzero(found[right] == opcode)
        replaced[right[those]] = done
        if done in _TARGETS:
            fits = through(_TARGETS[done], _opcode(found, target[those])).view(np.bool_)
            if not np.all(fits):
                raise Ends(int(at[left[those[~fits][0]]]))
    keep = ~inside
    keep[left] = False
    return Level(replaced[keep], begins[keep])


def _enough(level: Level, those: Places, there: Counts) -> None:
    """Look whether opcodes find as many values as they take, and lists and dictionaries what is put into them.

    Raises:
        Ends: Before the first that does not.
    """
    found, at = level
    opcodes_ = found[those]
    short = flatnonzero(there < through(_NEEDS, opcodes_))
    if len(short):
        raise Ends(int(at[those[short[0]]]))
    for opcode, values, done in ((ord("a"), 1, _LIST_DONE), (ord("s"), 2, _DICT_DONE)):
        here = those[opcodes_ == opcode]
        if not len(here):
            continue
        place, plain = here, np.ones(len(here), np.bool_)
        for _ in range(values):  # each a single opcode
            place = _before(found, place)
            plain &= through(_IS_PUSH, _opcode(found, place)).view(np.bool_)
        plain &= through(_TARGETS[done], _opcode(found, _before(found, place))).view(np.bool_)
        if not np.all(plain):
            raise Ends(int(at[here[~plain][0]]))


def _before(found: Bytes, places: Places) -> Places:
    """Return the opcode before each, not counting one that remembers it; negative where there is none."""
    place = places - 1
    return place - through(IS_PUT, _opcode(found, place))


def _opcode(found: Bytes, places: Places) -> Bytes:
    """Return opcodes at places, and zeros where there is none."""
    return np.where(places >= 0, found.take(np.maximum(places, 0), mode="clip"), np.uint8(0))


def safe_starts(level: Level, before: Counts) -> Flags:
    """Return the opcodes from which on nothing is taken that was pushed before them."""
    found = level.found
    if not np.any(through(_IS_POP, found)):
        return ~through(IS_PUT, found).view(np.bool_)
    lowest = np.minimum.accumulate((before - through(_NEEDS, found))[::-1])[::-1]
    return before <= lowest


def kept_of(level: Level, *, put_may_follow: bool = False) -> int:
    """Return how many opcodes of a level are kept, so that no value at the end is still growing.

    What remembers the last value may come next: to read it by itself, all of the stretch had to be read again.
    """
    tail = level.found[-_PARTIAL:]
    complete = flatnonzero(through(_IS_COMPLETE, tail))
    if not len(complete):
        return len(level.found) - int(put_may_follow and len(tail) > 1 and tail[-1] in _TEXTS)
    if put_may_follow and len(complete) > 1 and complete[-1] == len(tail) - 1:
        complete = complete[:-1]
    last = int(complete[-1]) + 1
    if last < len(tail) and tail[last] in _PUTS:
        last += 1
    return len(level.found) - len(tail) + last
