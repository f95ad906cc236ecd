"""Messages of protobuf as the few fields of them that a scanner asks for, each with its offsets."""

from collections.abc import Iterator
from typing import NamedTuple

from holdfast.engines.scan import wire
from holdfast.engines.scan.wire import LEN, VARINT, WIDTHS, Malformed


class Part(NamedTuple):
    """One field: its number, its wire type, where its bytes lie, and its value where it is a varint."""

    number: int
    kind: int
    start: int
    end: int
    value: int = 0


def parts(view: memoryview, start: int, end: int) -> Iterator[Part]:
    """Yield each field of the message between two offsets.

    Raises:
        Malformed: The bytes are not a message.
    """
    position = start
    while position < end:
        number, kind, position, _ = wire.tag(view, position, end)
        if kind == VARINT:
            value, after, _ = wire.varint(view, position, end)
            yield Part(number, kind, position, after, value)
        elif kind == LEN:
            first, after, _ = wire.span(view, position, end)
            yield Part(number, kind, first, after)
        else:
            after = position + WIDTHS[kind]
            if after > end:
                raise Malformed(position, "a number that runs past its message's end")
            yield Part(number, kind, position, after)
        position = after


def first(view: memoryview, start: int, end: int) -> Part | None:
    """Return the first field of a message, or nothing where it has none or is none."""
    try:
        return next(parts(view, start, end), None)
    except Malformed:
        return None
