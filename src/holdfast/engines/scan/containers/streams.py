"""Compressed streams: gzip, bzip2, xz, lzma, zlib, lz4 and Zstandard, with everything that stands around their data.

A stream holds one content. Readers differ in what they do with a second stream, with bytes behind the last one and with
fields beside the data, so each of them is a finding, and is scanned too.
"""

import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import gzip_header, lz4
from holdfast.engines.scan.containers.unpacking import MAX_DICTIONARY, Missing, Unpacked
from holdfast.engines.scan.examination import Content, Examination

MAX_STREAMS: Final = 100_000  # in one file; a block-gzipped file of 6 GB has as many
MAX_QUIET: Final = 16  # bytes of a skippable frame that may be a size or an index; more could be anything
_TRIAL: Final = 4096  # bytes that must decompress where a magic number is too short to be one
_SKIPPABLE: Final = tuple((0x184D2A50 + index).to_bytes(4, "little") for index in range(16))
_PRESETS: Final = frozenset(
    {1 << bits for bits in range(12, 32)} | {3 << bits for bits in range(11, 31)} | {0xFFFFFFFF}
)
"""Dictionary sizes that writers of lzma files use, as xz itself requires of one."""


@dataclass(slots=True)
class Run:
    """All streams of one file as they are read, and what was noticed on the way."""

    content: Content
    examination: Examination
    name: str
    at: int = 0
    streams: int = 0
    broken: str = ""
    checked: list[tuple[int, str]] = field(default_factory=list)  # checksums and sizes that are wrong

    def add(self, severity: Severity, rule: str, at: int, words: str) -> None:
        """Report something at an offset."""
        self.examination.add(severity, f"{self.name}.{rule}", self.content.at(at), words)


Reader = Callable[[Run], Iterator[bytes]]
"""Yields the pieces of the stream at `run.at` and moves it behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """One kind of stream: how one begins, and how one is read."""

    name: str
    begins: Callable[[memoryview], bool]
    read: Reader
    several: bool = True  # readers go on with another stream behind the first
    padding: bool = True  # zero bytes behind the last stream are padding

    def known(self, view: memoryview) -> bool:
        """Return whether a content is of this kind."""
        return self.begins(view)

    def scan(self, content: Content, examination: Examination) -> None:
        """Scan what the streams of a file hold, and what stands behind them."""
        run = Run(content, examination, self.name)
        try:
            data = examination.expand(self._all(run))
        except Missing as missing:
            words = f"the package {missing} is not installed: `pip install 'holdfast[scan]'` reads this"
            run.add(Severity.MEDIUM, "unsupported", run.at, words)
            return
        if run.broken:
            run.add(Severity.MEDIUM, "malformed", run.at, f"damaged: {run.broken}; what came before was scanned")
        for at, words in run.checked:
            run.add(Severity.HIGH, "checksum", at, words)
        if run.streams > 1:
            words = f"{run.streams} streams: some readers stop after the first"
            run.add(Severity.MEDIUM, "streams", 0, words)
        examination.enter(Content(data, content.inside("unpacked")))
        if not run.broken:
            self._behind(run)

    def _all(self, run: Run) -> Iterator[bytes]:
        view = run.content.view
        while run.streams < MAX_STREAMS:
            run.streams += 1
            run.examination.step(1)
            yield from self.read(run)
            rest = view[run.at :]
            if run.broken or not self.several or not self.begins(rest):
                return

    def _behind(self, run: Run) -> None:
        rest = run.content.view[run.at :]
        if not rest or (self.padding and not any(rest[:512]) and bytes(rest).strip(b"\0") == b""):
            return
        words = f"{len(rest)} bytes behind the data: some readers refuse the file, others never see them"
        run.add(Severity.HIGH, "trailing", run.at, words)
        run.examination.enter(Content(rest, run.content.inside("trailing")))


def _one(unpack: Callable[[Unpacked], Iterator[bytes]]) -> Reader:
    """Make a reader of streams that check themselves."""

    def read(run: Run) -> Iterator[bytes]:
        stream = Unpacked(run.content.view[run.at :])
        yield from unpack(stream)
        run.broken = stream.broken
        run.at += stream.used

    return read


def _gzip(run: Run) -> Iterator[bytes]:
    """Read one member: header, DEFLATE stream, CRC-32 and length (RFC 1952, section 2.3)."""
    head = gzip_header.read(run.content.view, run.at)
    for finding in head.findings:
        run.add(finding.severity, finding.rule, finding.at, finding.words)
    if head.broken:
        run.broken = head.broken
        return
    stream = Unpacked(run.content.view[head.end :])
    crc = size = 0
    for piece in stream.inflate():
        crc, size = zlib.crc32(piece, crc), size + len(piece)
        yield piece
    run.broken = stream.broken
    run.at = head.end + stream.used
    if run.broken:
        return
    trailer = bytes(run.content.view[run.at : run.at + 8])
    if len(trailer) < 8:
        run.broken = "it ends before its checksum"
    elif trailer != crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"):
        run.checked.append((run.at, "the checksum or length is wrong: readers have used the data before they notice"))
    run.at += len(trailer)


def _xz(stream: Unpacked) -> Iterator[bytes]:
    return stream.lzma(lzma.FORMAT_XZ)


def _begins_lzma(view: memoryview) -> bool:
    """Return whether a content begins like an lzma file, by the rules of xz: sensible properties and sizes.

    That is little to know it by, so what follows must decompress, unless it is only too large.
    """
    if len(view) < 14 or view[0] >= 225 or view[13]:  # the first byte of a range coder is zero
        return False
    dictionary, size = int.from_bytes(view[1:5], "little"), int.from_bytes(view[5:13], "little")
    if dictionary not in _PRESETS or (size != (1 << 64) - 1 and size >= 1 << 38):
        return False
    try:
        lzma.LZMADecompressor(lzma.FORMAT_ALONE, MAX_DICTIONARY).decompress(bytes(view[:_TRIAL]), 1)
    except lzma.LZMAError as error:
        return "emory" in str(error)
    return True


def _begins_zlib(view: memoryview) -> bool:
    """Return whether readers of zlib streams would get anything out of a content.

    Two bytes are no magic: "x^" and other text pass, so some of what follows must decompress as well.
    """
    if len(view) < 6 or view[0] & 0x8F != 8 or (view[0] << 8 | view[1]) % 31 or view[1] & 0x20:
        return False
    step, trial = zlib.decompressobj(), bytes(view[:_TRIAL])
    try:
        if view[0] == 0x78 and view[1] != 0x5E:
            return bool(step.decompress(trial, 1)) or step.eof or len(view) > _TRIAL
        step.decompress(trial, 1 << 20)
    except zlib.error:
        return False
    return step.eof or len(view) > _TRIAL


def _begins_lz4(view: memoryview) -> bool:
    return bytes(view[:4]) in {lz4.MAGIC, lz4.LEGACY} or (
        bytes(view[:4]) in _SKIPPABLE and _behind_skippable(view) == lz4.MAGIC
    )


def _begins_zstd(view: memoryview) -> bool:
    return bytes(view[:4]) == _ZSTD or (bytes(view[:4]) in _SKIPPABLE and _behind_skippable(view) != lz4.MAGIC)


_ZSTD: Final = b"\x28\xb5\x2f\xfd"


def _behind_skippable(view: memoryview) -> bytes:
    """Return the first four bytes behind the skippable frames that a content begins with."""
    at = 0
    for _ in range(MAX_QUIET):
        if bytes(view[at : at + 4]) not in _SKIPPABLE:
            break
        at += 8 + int.from_bytes(view[at + 4 : at + 8], "little")
    return bytes(view[at : at + 4])


def _framed(read: Reader) -> Reader:
    """Make a reader that steps over skippable frames, and scans what they hold."""

    def read_frame(run: Run) -> Iterator[bytes]:
        view = run.content.view
        if bytes(view[run.at : run.at + 4]) not in _SKIPPABLE:
            yield from read(run)
            return
        size = int.from_bytes(view[run.at + 4 : run.at + 8], "little")
        hidden = view[run.at + 8 : run.at + 8 + size]
        run.streams -= 1  # readers give nothing for it
        if len(hidden) < size:
            run.broken = "a skippable frame that is cut off"
        if len(hidden) > MAX_QUIET:
            run.add(Severity.MEDIUM, "skippable", run.at, f"{size} bytes that readers step over")
            run.examination.member()
            run.examination.enter(Content(hidden, run.content.inside("skippable")))
        run.at += 8 + len(hidden)

    return read_frame


def _lz4(run: Run) -> Iterator[bytes]:
    frame = lz4.Frame(run.content.view, run.at)
    for piece in frame.pieces():
        run.examination.step(frame.take_steps())
        yield piece
    run.at, run.broken = frame.at, frame.broken


CODECS: Final[tuple[Codec, ...]] = (
    Codec(name="gzip", begins=lambda view: bytes(view[:3]) == b"\x1f\x8b\x08", read=_gzip),
    Codec(
        name="bzip2",
        begins=lambda view: bytes(view[:3]) == b"BZh" and 0x31 <= (view[3] if len(view) > 3 else 0) <= 0x39,
        read=_one(Unpacked.bzip2),
        padding=False,
    ),
    Codec(name="xz", begins=lambda view: bytes(view[:6]) == b"\xfd7zXZ\0", read=_one(_xz)),
    Codec(
        name="lzma", begins=_begins_lzma, read=_one(lambda s: s.lzma(lzma.FORMAT_ALONE)), several=False, padding=False
    ),
    Codec(name="zlib", begins=_begins_zlib, read=_one(lambda s: s.inflate(15)), padding=False),
    Codec(name="lz4", begins=_begins_lz4, read=_framed(_lz4), padding=False),
    Codec(name="zstd", begins=_begins_zstd, read=_framed(_one(Unpacked.zstandard)), padding=False),
)
"""Every kind of compressed stream that is known."""
