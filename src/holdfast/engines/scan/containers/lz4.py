"""LZ4 frames, bounded (LZ4 Frame Format 1.6.4 and LZ4 Block Format).

Frames are read here. A block is decoded by the package `lz4` where it is installed (the extra `scan`), which is a
hundred times as fast, and by Python where it is not or refuses the block: what comes before a break is kept.

Checksums of blocks and contents are not computed: what the data holds is scanned whether they fit or not.
"""

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

MAGIC: Final = b"\x04\x22\x4d\x18"
LEGACY: Final = b"\x02\x21\x4c\x18"
WINDOW: Final = 1 << 16  # bytes back that a match may reach
_LEGACY_BLOCK: Final = 8 << 20
_RAW: Final = 1 << 31  # flag of a block's size: the block is stored
_BLOCK_SIZES: Final = {4: 64 << 10, 5: 256 << 10, 6: 1 << 20, 7: 4 << 20}


PACKAGE: Final = "lz4.block"


@cache
def _library(name: str) -> Any:
    """Return the package that decodes blocks, or nothing where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


class Broken(ValueError):
    """A block that no decoder takes."""


class Frame:
    """One frame being decoded, and afterwards: where it ends, and why it broke off if it did."""

    def __init__(self, view: memoryview, at: int) -> None:
        """Start at the frame's magic number."""
        self.view, self.at, self.broken = view, at, ""
        self._steps = 0

    def take_steps(self) -> int:
        """Return the sequences decoded since the last call."""
        steps, self._steps = self._steps, 0
        return steps

    def pieces(self) -> Iterator[bytes]:
        """Yield what the blocks hold, one by one."""
        try:
            yield from self._legacy() if bytes(self.view[self.at : self.at + 4]) == LEGACY else self._blocks()
        except Broken as error:
            self.broken = str(error)

    def _take(self, count: int) -> bytes:
        taken = bytes(self.view[self.at : self.at + count])
        if len(taken) < count:
            raise Broken("it ends in the middle of a block")
        self.at += count
        return taken

    def _number(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def _blocks(self) -> Iterator[bytes]:
        self._take(4)
        flags, sizes = self._take(2)
        largest = _BLOCK_SIZES.get(sizes >> 4 & 7)
        if flags >> 6 != 1 or flags & 2 or sizes & 0x8F or largest is None:
            raise Broken("a frame descriptor that is not valid")
        if flags & 1:
            raise Broken("it needs a dictionary")
        declared = int.from_bytes(self._take(8), "little") if flags & 8 else None
        self._take(1)
        linked, history, total = not flags & 0x20, b"", 0
        while size := self._number():
            block = self._take(size & ~_RAW)
            if len(block) > largest:
                raise Broken("a block larger than the frame allows")
            piece = block if size & _RAW else self._decode(block, history, largest)
            history = (history + piece)[-WINDOW:] if linked else b""
            total += len(piece)
            yield piece
            self._take(4 if flags & 0x10 else 0)
        self._take(4 if flags & 4 else 0)
        if declared not in {None, total}:
            raise Broken(f"{total} bytes where {declared} are declared")

    def _legacy(self) -> Iterator[bytes]:
        self._take(4)
        while self.at < len(self.view) and bytes(self.view[self.at : self.at + 4]) not in {LEGACY, MAGIC}:
            yield self._decode(self._take(self._number()), b"", _LEGACY_BLOCK)

    def _decode(self, block: bytes, history: bytes, largest: int) -> bytes:
        """Return one block: sequences of literals and of matches in what came before."""
        if library := _library(PACKAGE):
            try:
                return bytes(library.decompress(block, uncompressed_size=largest, dict=history))
            except (library.LZ4BlockError, ValueError, MemoryError):
                pass  # it keeps nothing of a block that breaks
        out, at, end, most, steps = bytearray(history), 0, len(block), len(history) + largest, 0
        while at < end:
            steps += 1
            token = block[at]
            literals, at = _length(block, at + 1, token >> 4)
            if at + literals > end:
                raise Broken("literals that run past their block")
            out += block[at : at + literals]
            at += literals
            if at == end:
                break
            offset = int.from_bytes(block[at : at + 2], "little")
            length, at = _length(block, at + 2, token & 15)
            length += 4
            if not 0 < offset <= len(out) or len(out) + length > most:
                raise Broken("a match that reaches outside")
            start = len(out) - offset
            if offset >= length:
                out += out[start : start + length]
            else:
                out += (out[start:] * (length // offset + 1))[:length]
        if len(out) > most:
            raise Broken("a block larger than the frame allows")
        self._steps += steps
        return bytes(out[len(history) :])


def _length(block: bytes, at: int, value: int) -> tuple[int, int]:
    """Return a length that goes on in further bytes where four bits are not enough, and the position after it."""
    if value < 15:
        return value, at
    while at < len(block):
        byte = block[at]
        value += byte
        at += 1
        if byte < 255:
            return value, at
    raise Broken("a length that runs past its block")
