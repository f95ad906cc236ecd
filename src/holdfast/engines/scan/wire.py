"""The protobuf wire format, read without a schema, without copies and without trust.

Decides whether bytes are well-formed (Protocol Buffers Encoding, "Base 128 Varints" and "Message Structure"); what the
fields mean is left to `onnx`. Every position is checked before it is read, so that no input can make it run past its
end.
"""

import re
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
LEN: Final = 2
FIXED32: Final = 5
WIDTHS: Final = {FIXED64: 8, FIXED32: 4}
MAX_NUMBER: Final = (1 << 29) - 1  # the largest field number there is
MAX_VARINT: Final = 10  # bytes; 64 bits need no more
_ENDLESS: Final = re.compile(rb"[\x80-\xff]{10}")  # ten continuation bytes: no varint of 64 bits


class Malformed(ValueError):
    """Bytes that are not a protobuf message, and where that shows."""

    def __init__(self, offset: int, words: str) -> None:
        """Keep the offset beside the words."""
        super().__init__(words)
        self.offset = offset
        self.words = words


def varint(view: memoryview, position: int, end: int) -> tuple[int, int, bool]:
    """Return a varint's value as an unsigned 64-bit number, the position after it, and whether it is minimal.

    Raises:
        Malformed: It runs past `end`, or over 64 bits.
    """
    value = shift = 0
    start = position
    while position < end:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                raise Malformed(start, "a varint over 64 bits")
            return value, position, byte != 0 or position - start == 1
        shift += 7
        if position - start == MAX_VARINT:
            raise Malformed(start, f"a varint longer than {MAX_VARINT} bytes")
    raise Malformed(start, "a varint that runs past its message's end")


def tag(view: memoryview, position: int, end: int) -> tuple[int, int, int, bool]:
    """Return field number, wire type, the position after the tag, and whether the tag is minimal.

    Raises:
        Malformed: Field number 0 or beyond 2**29 - 1, a group (deprecated, and never part of ONNX), or an unknown
            wire type.
    """
    value, after, minimal = varint(view, position, end)
    number, wire = value >> 3, value & 7
    if not 0 < number <= MAX_NUMBER:
        raise Malformed(position, f"field number {number}")
    if wire not in {VARINT, FIXED64, LEN, FIXED32}:
        raise Malformed(position, "a group" if wire in {3, 4} else f"wire type {wire}")
    return number, wire, after, minimal


def span(view: memoryview, position: int, end: int) -> tuple[int, int, bool]:
    """Return start and end of a length-delimited field's bytes, and whether its length is minimal.

    Raises:
        Malformed: The length runs past the message.
    """
    length, start, minimal = varint(view, position, end)
    if length > end - start:
        raise Malformed(position, f"a field of {length} bytes where {end - start} are left")
    return start, start + length, minimal


def check_packed(view: memoryview, start: int, end: int, wire: int) -> None:
    """Check that a packed field holds whole numbers, without reading them one by one.

    Raises:
        Malformed: The last number is cut off, or a varint is too long.
    """
    if wire != VARINT:
        if (end - start) % WIDTHS[wire]:
            raise Malformed(start, f"a packed field of {end - start} bytes in numbers of {WIDTHS[wire]}")
    elif end > start and (view[end - 1] >= 0x80 or _ENDLESS.search(view, start, end)):
        raise Malformed(start, "a packed field whose varints do not end")


def signed(value: int) -> int:
    """Return an unsigned 64-bit number as the int64 it stands for.

    >>> signed(2**64 - 1)
    -1
    """
    return value - (1 << 64) if value >> 63 else value
