"""Runs of plain numbers and short strings: stepped over by one regular expression instead of opcode by opcode.

A run has no effect but to push its items and to remember its strings, so what it is made of is looked up only when
something needs it: an import whose name stands in it, a tuple that takes its last items.
"""

import re
from array import array
from dataclasses import dataclass
from typing import Final

from holdfast.engines.scan.pickles.values import FLOAT, Value

MAX_RUN: Final = 4096  # items of one run: what has to be read again when one of its strings is asked for
UNROLLED: Final = 32  # numbers of one kind that are matched at once: turning the loop costs more than matching
MAX_SHORT: Final = 63  # bytes of a string in a run; longer ones are looked at one by one for pickles inside
_NUMBER: Final = rb"(?s:G.{8}|K.|J.{4}|M.{2}|N|\x88|\x89)"  # a dot that takes any byte is skipped, not compared
_TEXT: Final = (
    rb"\x8c(?![\x10-\xff](?:gA[I-X]|80(?:0[0-5])|[(\]})]*[ci][\w.]+\n))(?:"
    + b"|".join(re.escape(bytes([length])) + rb"[\x00-\x7f]{%d}" % length for length in range(MAX_SHORT + 1))
    + rb")\x94"
)
_TEXTS: Final = re.compile(rb"(?:%s){1,%d}+" % (_TEXT, MAX_RUN))
_ITEMS: Final = re.compile(rb"(?:%s|%s){1,%d}+" % (_TEXT, _NUMBER, MAX_RUN))
_ITEM: Final = re.compile(rb"(%s)|(%s)" % (_TEXT, _NUMBER))
_BEGINNINGS: Final = frozenset(b"\x8cGKJMN\x88\x89")
_SAME: Final = b"|".join(number * UNROLLED for number in (b"G.{8}", b"J.{4}", b"M.{2}", b"K."))
_NUMBERS: Final = re.compile(rb"(?s:%s|%s){1,%d}+" % (_SAME, _NUMBER, 2 * MAX_RUN))
_MEMOIZE: Final = b"\x94"
_WIDTHS: Final = {ord("K"): (1, False), ord("M"): (2, False), ord("J"): (4, True)}
_CONSTANTS: Final = {ord("N"): None, 0x88: True, 0x89: False}


@dataclass(frozen=True, slots=True)
class Run:
    """A run on the stack: where it stands, and how many strings of it the memo has."""

    start: int
    end: int
    remembered: int


def match(view: memoryview, position: int, *, memo: bool) -> Run | None:
    """Return the run at a position, if there is one worth the name.

    Args:
        view: The stream.
        position: Where it would begin.
        memo: Whether strings may be in it: only if the memo can take them.
    """
    if position >= len(view) or view[position] not in _BEGINNINGS:
        return None
    numbers = _NUMBERS.match(view, position)
    end = numbers.end() if numbers else position
    if not memo:
        return Run(position, end, 0) if numbers else None
    texts = _TEXTS.match(view, position) if end == position else None
    if texts and (texts.end() == len(view) or view[texts.end()] in _CLOSING):
        remembered = bytes(view[position : texts.end()]).count(_MEMOIZE)  # the strings are ASCII, so each is one
        return Run(position, texts.end(), remembered)
    items = _ITEMS.match(view, position)
    if items is None or items.end() == end:
        return Run(position, end, 0) if numbers else None
    found = sum(1 for item in _ITEM.finditer(view, position, items.end()) if item.lastindex == 1)
    return Run(position, items.end(), found)


_CLOSING: Final = frozenset(b"eut\x95")


def items(view: memoryview, run: Run) -> list[Value]:
    """Return what a run pushes."""
    found = list[Value]()
    for item in _ITEM.finditer(view, run.start, run.end):
        start = item.start()
        if item.lastindex == 1:
            found.append(text_at(view, start))
        else:
            found.append(_number(view, start))
    return found


def _number(view: memoryview, start: int) -> Value:
    opcode = view[start]
    if opcode in _WIDTHS:
        width, signed = _WIDTHS[opcode]
        return int.from_bytes(view[start + 1 : start + 1 + width], "little", signed=signed)
    return _CONSTANTS.get(opcode, FLOAT)


def offsets(view: memoryview, run: Run) -> "array[int]":
    """Return where each string of a run begins."""
    return array("Q", (item.start() for item in _ITEM.finditer(view, run.start, run.end) if item.lastindex == 1))


def text_at(view: memoryview, start: int) -> str:
    """Return the short string at an offset."""
    return str(view[start + 2 : start + 2 + view[start + 1]], "ascii")
