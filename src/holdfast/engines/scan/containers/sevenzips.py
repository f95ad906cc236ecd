"""7z archives: copy, LZMA, LZMA2, deflate, bzip2, branch and delta filters; whatever else there is is not scanned.

A reader of our own: bounded, without a library, over the raw filters of the standard library's lzma.
"""

import lzma
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import sevenzip_headers as headers
from holdfast.engines.scan.containers.names import Seen, check_link, check_name
from holdfast.engines.scan.containers.sevenzip_headers import Coder, Damaged, File, Folder, Reader, Streams
from holdfast.engines.scan.containers.unpacking import MAX_DICTIONARY, Missing, Unpacked
from holdfast.engines.scan.containers.zip_members import lzma_properties
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.report import shown

MAX_HEADER: Final = 64 << 20  # bytes of a header when unpacked: 100,000 long names have half of it
COPY, LZMA, LZMA2, DELTA = b"\0", b"\x03\x01\x01", b"\x21", b"\x03"
DEFLATE, BZIP2, ZSTD, AES = b"\x04\x01\x08", b"\x04\x02\x02", b"\x04\xf7\x11\x01", b"\x06\xf1\x07\x01"
"""Methods by their number."""
_BRANCHES: Final = {
    b"\x04": lzma.FILTER_X86, b"\x03\x03\x01\x03": lzma.FILTER_X86,
    b"\x05": lzma.FILTER_POWERPC, b"\x03\x03\x02\x05": lzma.FILTER_POWERPC,
    b"\x06": lzma.FILTER_IA64, b"\x03\x03\x04\x01": lzma.FILTER_IA64,
    b"\x07": lzma.FILTER_ARM, b"\x03\x03\x05\x01": lzma.FILTER_ARM,
    b"\x08": lzma.FILTER_ARMTHUMB, b"\x03\x03\x07\x01": lzma.FILTER_ARMTHUMB,
    b"\x09": lzma.FILTER_SPARC, b"\x03\x03\x08\x05": lzma.FILTER_SPARC,
}  # fmt: skip
_NAMES: Final = {b"\x03\x03\x01\x1b": "BCJ2", b"\x03\x04\x01": "PPMd", b"\x04\x01\x09": "Deflate64", b"\x0a": "ARM64"}
_CHUNK: Final = 1 << 16  # bytes of one chunk that LZMA2 stores as it is
_UNIX, _LINK, _KIND, _REPARSE = 0x8000, 0o120000, 0o170000, 0x400


class _Unreadable(Exception):
    """A folder that cannot be unpacked here, with the rule that says why."""

    def __init__(self, rule: str, words: str) -> None:
        super().__init__(words)
        self.rule, self.words = rule, words


def known(view: memoryview) -> bool:
    """Return whether a content begins like a 7z archive."""
    return bytes(view[:6]) == headers.SIGNATURE


def scan(content: Content, examination: Examination) -> None:
    """Scan the files of an archive, and bytes that belong to none."""
    archive = _SevenZip(content, examination)
    try:
        archive.scan()
    except (Damaged, struct.error) as error:
        archive.add(Severity.MEDIUM, "malformed", 0, f"the header cannot be read: {error}")
    except _Unreadable as error:
        archive.add(Severity.MEDIUM, error.rule, 0, f"the header cannot be read: {error.words}")


class _SevenZip:
    """One archive: its header stands at its end, and may be packed itself."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.examination, self.view = content, examination, content.view
        self.spans: list[tuple[int, int]] = [(0, headers.START)]

    def add(self, severity: Severity, rule: str, at: int, words: str) -> None:
        self.examination.add(severity, f"sevenzip.{rule}", self.content.at(at), words)

    def scan(self) -> None:
        """Read the header, then its files, then what is left."""
        start = bytes(self.view[: headers.START])
        if len(start) < headers.START:
            raise Damaged("it is cut off")
        crc, offset, size, header_crc = struct.unpack("<L2QL", start[8:])
        if zlib.crc32(start[12:]) != crc:
            self.add(Severity.MEDIUM, "malformed", 8, "the checksum of the first header is wrong")
        at = headers.START + offset
        if at + size > len(self.view):
            raise Damaged(f"it should stand at byte {at}, behind the end")
        self.spans.append((at, at + size))
        if at + size < len(self.view):
            rest = self.view[at + size :]
            self.add(Severity.HIGH, "trailing", at + size, f"{len(rest)} bytes behind the archive")
            self.examination.enter(Content(rest, self.content.inside("trailing")))
        if size:
            self._header(bytes(self._checked(self.view[at : at + min(size, MAX_HEADER)], header_crc)))
        self._gaps()

    def _checked(self, header: memoryview, crc: int | None) -> memoryview:
        if crc is not None and zlib.crc32(header) != crc:
            self.add(Severity.MEDIUM, "malformed", 0, "the checksum of the header is wrong")
        return header

    def _header(self, data: bytes) -> None:
        """Read a header that may be packed, as often as it is."""
        for _ in range(self.examination.limits.depth):
            reader = Reader(data)
            kind = reader.byte()
            if kind == headers.HEADER:
                self._files(reader)
                return
            if kind != headers.ENCODED:
                raise Damaged(f"property {kind} at its start")
            streams = reader.streams()
            if len(streams.folders) != 1:
                raise Damaged(f"a packed header of {len(streams.folders)} folders")
            ((folder, packed),) = self._packed(streams)
            if folder.sizes[headers.folder_output(folder)] > MAX_HEADER:
                raise Damaged(f"more than {MAX_HEADER} bytes when unpacked")
            data = bytes(self._checked(self._unpack(folder, packed, 0), folder.crc))
        raise Damaged("a header packed too often")

    def _files(self, reader: Reader) -> None:
        """Read the header proper: streams, then files, which take the streams in order."""
        streams, files = Streams(), list[File]()
        while (kind := reader.number()) != headers.END:
            if kind == headers.ARCHIVE:
                while reader.number() != headers.END:
                    reader.take(reader.number())
            elif kind == headers.ADDITIONAL:
                reader.streams()
            elif kind == headers.MAIN:
                streams = reader.streams()
            elif kind == headers.FILES:
                files = reader.files()
            else:
                raise Damaged(f"property {kind} in it")
        seen = Seen("sevenzip", self.content, self.examination)
        for file in files:
            self.examination.member()
            check_name(file.name, "sevenzip", self.content, self.examination)
            seen.add(file.name, link=_is_link(file), folder=file.empty)
            if file.anti:
                words = f"{shown(file.name)!r} deletes a file when it is unpacked"
                self.examination.add(Severity.HIGH, "sevenzip.anti", self.content.inside(file.name), words)
        self._contents(streams, [file for file in files if not file.empty])

    def _packed(self, streams: Streams) -> Iterator[tuple[Folder, memoryview]]:
        """Yield each folder with its packed stream."""
        at, sizes = headers.START + streams.start, iter(streams.sizes)
        for folder in streams.folders:
            taken = [next(sizes, 0) for _ in range(folder.packed)]
            self.spans.append((at, at + sum(taken)))
            yield folder, self.view[at : at + sum(taken)]
            at += sum(taken)

    def _contents(self, streams: Streams, files: list[File]) -> None:
        """Unpack folder by folder and enter the files."""
        waiting = iter(files)
        for folder, packed in self._packed(streams):
            place = self.spans[-1][0]
            try:
                data = self._unpack(folder, packed, place)
            except (_Unreadable, Damaged) as error:
                rule = error.rule if isinstance(error, _Unreadable) else "malformed"
                self.add(Severity.MEDIUM, rule, place, f"{len(folder.parts)} files cannot be unpacked: {error}")
                for _ in folder.parts:
                    next(waiting, None)
                continue
            at = 0
            for size, crc in folder.parts:
                self._file(next(waiting, File(name="unnamed")), data[at : at + size], size, crc)
                at += size
        if next(waiting, None) is not None:
            self.add(Severity.HIGH, "directory", 0, "more files than there are contents for")

    def _file(self, file: File, data: memoryview, size: int, crc: int | None) -> None:
        place = self.content.inside(file.name)
        if len(data) == size and crc is not None and zlib.crc32(data) != crc:
            words = f"{shown(file.name)!r} has another checksum than declared: some readers refuse it, others load it"
            self.examination.add(Severity.HIGH, "sevenzip.crc", place, words)
        if _is_link(file):
            target = bytes(data[:4096]).decode("utf-8", "replace")
            check_link(file.name, target, "sevenzip", self.content, self.examination)
        self.examination.enter(Content(data, place))

    def _unpack(self, folder: Folder, packed: memoryview, place: int) -> memoryview:
        """Return what a folder's coders make of its packed stream, as far as it goes.

        Raises:
            _Unreadable: A coder is not known here, or needs a password.
            Damaged: The coders are no chain.
        """
        for coder in folder.coders:
            if coder.method == AES:
                raise _Unreadable("encrypted", "they are encrypted")
            if coder.method in _NAMES:
                raise _Unreadable("unsupported", f"{_NAMES[coder.method]} is not read")
        data = packed
        for coder, size in folder.order():
            stream = Unpacked(data)
            pieces = _decode(coder, size, stream, self.examination)
            data = data[:size] if pieces is None else self.examination.expand(_first(pieces, size))
            if len(data) < size:
                words = f"{len(data)} bytes where {size} are declared: {stream.broken or 'it is cut off'}"
                self.add(Severity.MEDIUM, "malformed", place, words)
        return data

    def _gaps(self) -> None:
        """Report bytes that belong to no stream, and streams that share their bytes."""
        reached = 0
        for start, end in sorted(self.spans):
            if start > reached:
                words = f"{start - reached} bytes that belong to no member"
                self.add(Severity.MEDIUM, "gap", reached, words)
                self.examination.enter(Content(self.view[reached:start], self.content.inside("gap")))
            elif start < reached and end > start:
                self.add(Severity.HIGH, "overlap", start, "members that share their bytes")
            reached = max(reached, end)


def _is_link(file: File) -> bool:
    unix = file.attributes & _UNIX and (file.attributes >> 16) & _KIND == _LINK
    return bool(unix or file.attributes & _REPARSE)


def _decode(coder: Coder, size: int, stream: Unpacked, examination: Examination) -> Iterator[bytes] | None:
    """Return what one coder makes of a stream, or nothing where it copies."""
    method, properties = coder.method, coder.properties
    if method == COPY:
        return None
    if method == LZMA and len(properties) == 5 and properties[0] < 225:
        return stream.lzma(lzma.FORMAT_RAW, [_bounded(lzma_properties(properties), size)])
    if method == LZMA2 and len(properties) == 1 and properties[0] <= 40:
        bits = properties[0]
        dictionary = 0xFFFFFFFF if bits == 40 else (2 | bits & 1) << (bits // 2 + 11)
        return stream.lzma(lzma.FORMAT_RAW, [_bounded({"id": lzma.FILTER_LZMA2, "dict_size": dictionary}, size)])
    if method == DELTA and len(properties) == 1:
        return _filtered(stream.view, {"id": lzma.FILTER_DELTA, "dist": properties[0] + 1}, examination)
    if method in _BRANCHES and not properties:
        return _filtered(stream.view, {"id": _BRANCHES[method]}, examination)
    if method == DEFLATE:
        return stream.inflate()
    if method == BZIP2:
        return stream.bzip2()
    if method == ZSTD:
        try:
            return stream.zstandard()
        except Missing:
            raise _Unreadable("unsupported", "Zstandard needs `pip install 'holdfast[scan]'`") from None
    raise _Unreadable("unsupported", f"method {method.hex()} with {len(properties)} bytes of settings is not read")


def _bounded(settings: dict[str, int], size: int) -> dict[str, int]:
    """Return a filter whose dictionary is no larger than what comes out: more is never looked at."""
    most = min(settings["dict_size"], max(size, 4096))
    if most > MAX_DICTIONARY:
        raise _Unreadable("unsupported", f"a dictionary of {most} bytes; at most {MAX_DICTIONARY} are given")
    return {**settings, "dict_size": most}


def _filtered(view: memoryview, settings: dict[str, int], examination: Examination) -> Iterator[bytes]:
    """Yield the pieces that a filter makes: liblzma runs one only before a compressor, so LZMA2 stores the bytes."""
    step = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[settings, {"id": lzma.FILTER_LZMA2, "dict_size": _CHUNK}])
    for at in range(0, len(view), _CHUNK):
        chunk = bytes(view[at : at + _CHUNK])
        examination.step(1)
        yield step.decompress(bytes([2 if at else 1]) + (len(chunk) - 1).to_bytes(2, "big") + chunk)
    yield step.decompress(b"\0")


def _first(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield pieces up to a size: LZMA without an end mark may give more than there is."""
    left = size
    for piece in pieces:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return
