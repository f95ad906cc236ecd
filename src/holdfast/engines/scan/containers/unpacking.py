"""Decompressors as bounded streams of pieces: what came before a break is kept, and the break is remembered.

A decompressor that raises loses what it had made of its last input; these go back and take that input in crumbs, as a
reader with a small buffer would. Whoever iterates reads afterwards from `Unpacked` how the stream ended.
"""

import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

IN: Final = 1 << 16  # bytes given to a decompressor at a time
FIRST: Final = 1 << 10  # bytes given at first: thousands of tiny streams then cost no more than their bytes
OUT: Final = 1 << 18  # bytes it may give back at a time, so that a bomb is counted before it grows
MAX_DICTIONARY: Final = 128 << 20  # bytes of memory a stream may ask its reader for; `xz -9` asks for 64 MiB
ZSTANDARD: Final = "zstandard"  # the package that reads Zstandard frames, in the extra `scan`
_CRUMB: Final = 64  # bytes given at a time before a break


class Missing(Exception):
    """A library that is needed to read a content is not installed."""


class Step(Protocol):
    """One decompressor, as bz2 and lzma of the standard library have them."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def unused_data(self) -> bytes:
        """What stands behind its end."""

    @property
    def needs_input(self) -> bool:
        """Whether it has used up what it was given."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return what comes of more input, at most so many bytes."""


class Unpacked:
    """One compressed stream being read, and afterwards: how many bytes it took, and why it broke off if it did."""

    def __init__(self, view: memoryview) -> None:
        """Start at the first byte of the view."""
        self.view = view
        self.used = 0  # bytes of the view that belong to the stream
        self.broken = ""  # why it ended early; nothing when it ended as it should

    def inflate(self, wbits: int = -15) -> Iterator[bytes]:
        """Yield the pieces of a DEFLATE stream (RFC 1951), or of one in a zlib envelope (`wbits` 15)."""
        return self._run(lambda: _Inflate(wbits))

    def bzip2(self) -> Iterator[bytes]:
        """Yield the pieces of one bzip2 stream."""
        return self._run(bz2.BZ2Decompressor)

    def lzma(self, kind: int, filters: list[dict[str, Any]] | None = None) -> Iterator[bytes]:
        """Yield the pieces of one xz, lzma or raw LZMA stream; it may not ask for more than `MAX_DICTIONARY`."""
        limit = None if kind == lzma.FORMAT_RAW else MAX_DICTIONARY
        if any(each.get("dict_size", 0) > MAX_DICTIONARY for each in filters or ()):
            self.broken = f"it asks for more than {MAX_DICTIONARY} bytes of memory"
            return iter(())
        try:
            lzma.LZMADecompressor(kind, limit, filters)
        except (lzma.LZMAError, ValueError, MemoryError) as error:
            self.broken = str(error) or "its settings are not valid"
            return iter(())
        return self._run(lambda: lzma.LZMADecompressor(kind, limit, filters))

    def zstandard(self) -> Iterator[bytes]:
        """Yield the pieces of one Zstandard frame (RFC 8878).

        Raises:
            Missing: The package is not installed.
        """
        try:
            library = importlib.import_module(ZSTANDARD)
        except ImportError:
            raise Missing(ZSTANDARD) from None
        # A frame can expand 30,000-fold, and this library gives all that comes of its input at once.
        return self._run(lambda: _Zstandard(library), most=FIRST)

    def _run(self, make: Callable[[], Step], most: int = IN) -> Iterator[bytes]:
        step, at, calls = make(), 0, 0
        while not step.eof and (at < len(self.view) or not step.needs_input):
            given = self._given(at, most) if step.needs_input else b""
            try:
                piece = step.decompress(given, OUT)
            except _ERRORS as error:
                self.broken = str(error) or "its data is damaged"
                yield from self._crumbs(make(), calls, most)
                break
            at += len(given)
            calls += 1
            yield piece
        self.used = at - len(step.unused_data)
        if not step.eof and not self.broken:
            self.broken = "it ends before its end mark"

    def _crumbs(self, step: Step, calls: int, most: int) -> Iterator[bytes]:
        """Yield what comes between the last piece and the break: all again up to there, then byte by byte."""
        at = 0
        for _ in range(calls):
            given = self._given(at, most) if step.needs_input else b""
            at += len(given)
            step.decompress(given, OUT)
        if isinstance(step, _Inflate):
            step.bite = _CRUMB
        end = at + len(self._given(at, most))
        try:
            while not step.eof and (at < end or not step.needs_input):
                given = bytes(self.view[at : at + 1]) if step.needs_input else b""
                at += len(given)
                yield step.decompress(given, 1)
        except _ERRORS:
            return

    def _given(self, at: int, most: int) -> bytes:
        return bytes(self.view[at : at + min(max(at, FIRST), most)])


class _Inflate:
    """zlib's decompressor with the same attributes as the others."""

    def __init__(self, wbits: int) -> None:
        self._step, self._tail, self.needs_input, self.bite = zlib.decompressobj(wbits), memoryview(b""), True, IN

    @property
    def eof(self) -> bool:
        return self._step.eof

    @property
    def unused_data(self) -> bytes:
        return self._step.unused_data + bytes(self._tail)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        self._tail = memoryview(data) if data else self._tail
        bite = self._tail[: self.bite]
        made = self._step.decompress(bite, max_length)
        # At the end zlib may name the same bytes twice: as unused, and still as not consumed.
        left = 0 if self._step.eof else len(self._step.unconsumed_tail)
        self._tail = self._tail[len(bite) - left :]
        self.needs_input = not self._tail and len(made) < max_length
        return made


class _Zstandard:
    """The decompressor of the package zstandard with the same attributes as the others."""

    needs_input = True

    def __init__(self, library: Any) -> None:
        self._step = library.ZstdDecompressor(max_window_size=MAX_DICTIONARY).decompressobj()
        self._error: type[Exception] = library.ZstdError

    @property
    def eof(self) -> bool:
        return bool(self._step.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._step.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:  # noqa: ARG002 - this library has no such limit
        try:
            return bytes(self._step.decompress(data))
        except self._error as error:
            raise ValueError(str(error)) from error


_ERRORS: Final = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError)
