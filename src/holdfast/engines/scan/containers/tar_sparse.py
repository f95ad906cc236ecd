"""Sparse members of tar archives: parts of a file with holes between them, in the four ways that GNU tar has written.

The map stands in the header (old GNU), in pax records (0.0 and 0.1), or before the data (1.0). What is scanned is the
file that readers make of it, holes filled with zeros.
"""

from collections.abc import Iterator
from typing import Final

from holdfast.engines.tar_headers import BLOCK, number

MAX_PARTS: Final = 1_000_000  # of one member; each takes at least two bytes of a map
_ZEROS: Final = bytes(1 << 16)
Part = tuple[int, int]
"""Where a part begins in the file, and its length."""


class Refused(ValueError):
    """A map that does not add up."""


def from_header(view: memoryview, start: int) -> tuple[list[Part], int, int]:
    """Return the parts, the size of the file, and where the data begins, of an old GNU sparse header.

    Raises:
        Refused: The map does not add up.
    """
    size, plain = number(bytes(view[start + 483 : start + 495]))
    parts = _entries(bytes(view[start + 386 : start + 482]))
    at, more = start + BLOCK, bool(view[start + 482])
    while more and at + BLOCK <= len(view):
        parts += _entries(bytes(view[at : at + 504]))
        more = bool(view[at + 504])
        at += BLOCK
    if not plain:
        raise Refused("a size that readers understand in different ways")
    return parts, size, at


def _entries(raw: bytes) -> list[Part]:
    parts = list[Part]()
    for at in range(0, len(raw) - 23, 24):
        if not raw[at]:
            break
        (offset, first), (length, second) = number(raw[at : at + 12]), number(raw[at + 12 : at + 24])
        if not (first and second):
            raise Refused("a map that readers understand in different ways")
        parts.append((offset, length))
    return parts


def from_text(text: bytes) -> list[Part]:
    """Return the parts of a map in one pax record: offsets and lengths with commas.

    Raises:
        Refused: The map does not add up.
    """
    return _pairs([_decimal(word) for word in text.split(b",")])


def from_data(data: memoryview) -> tuple[list[Part], int]:
    """Return the parts of a map before the data, and how many bytes it takes: decimal numbers, each in a line.

    Raises:
        Refused: The map does not add up.
    """
    at, numbers, wanted = 0, list[int](), 1
    while len(numbers) < wanted:
        line = bytes(data[at : at + 21]).partition(b"\n")
        if not line[1]:
            raise Refused("a map that is cut off")
        numbers.append(_decimal(line[0]))
        at += len(line[0]) + 1
        wanted = 1 + 2 * numbers[0]
        if numbers[0] > MAX_PARTS:
            raise Refused(f"a map of {numbers[0]} parts")
    return _pairs(numbers[1:]), -(-at // BLOCK) * BLOCK


def _decimal(word: bytes) -> int:
    if not word.isdigit() or len(word) > 19:
        raise Refused(f"{word[:40]!r} where a number should be")
    return int(word)


def _pairs(numbers: list[int]) -> list[Part]:
    if len(numbers) % 2:
        raise Refused("a map of half a part")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def pieces(data: memoryview, parts: list[Part], size: int) -> Iterator[bytes]:
    """Yield the file: parts in their places, zeros between them.

    Raises:
        Refused: Parts overlap, or lie outside.
    """
    at = taken = 0
    for offset, length in parts:
        if offset < at or offset + length > size:
            raise Refused("parts that overlap, or lie outside the file")
        yield from _hole(offset - at)
        end = taken + length
        while taken < end:
            piece = bytes(data[taken : min(end, taken + len(_ZEROS))])
            if not piece:
                return  # cut off
            yield piece
            taken += len(piece)
        at = offset + length
    yield from _hole(size - at)


def _hole(length: int) -> Iterator[bytes]:
    for start in range(0, length, len(_ZEROS)):
        yield _ZEROS[: length - start]
