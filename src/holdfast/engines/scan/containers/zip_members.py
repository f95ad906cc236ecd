"""The members of a zip archive: both headers compared, and the data read in every way that a reader might."""

import lzma
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import zip_records as records
from holdfast.engines.scan.containers.torch_zip import TorchArchive
from holdfast.engines.scan.containers.unpacking import Missing, Unpacked
from holdfast.engines.scan.containers.zip_records import Header
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.report import shown

STORED, DEFLATED, BZIP2, LZMA, ZSTD = 0, 8, 12, 14, 93
"""Methods of compression (4.4.5) that are read."""
READ_AGAIN: Final = 4  # times the archive's own size that may be read of it: beyond, its members share their bytes
_NAMES: Final = {1: "shrink", 6: "implode", 9: "Deflate64", 19: "LZ77", 95: "xz", 97: "WavPack", 98: "PPMd", 99: "AES"}


class Members:
    """All members of one archive that some reader would find."""

    def __init__(self, content: Content, examination: Examination) -> None:
        """Start with none."""
        self.content, self.examination, self.view = content, examination, content.view
        self.spans: list[tuple[int, int]] = []  # from the local header to the end of the data and its descriptor
        self._read = set[tuple[int, int, int, bytes]]()  # where, how and how much was read: nothing is read twice
        self._budget = READ_AGAIN * len(content.view) + 4096

    def _add(self, severity: Severity, rule: str, at: int, words: str) -> None:
        self.examination.add(severity, rule, self.content.at(at), words)

    @staticmethod
    def shifted(entry: Header, shift: int) -> Header:
        """Return an entry whose offset counts from the start of the file."""
        return replace(entry, local=entry.local + shift) if shift else entry

    def raw(self, entry: Header) -> memoryview:
        """Return the packed bytes of a member, as far as they are there."""
        local = records.local_header(self.view, entry.local, strict=False)
        return self.view[local.end : local.end + entry.packed] if local else self.view[:0]

    def read(self, entries: Iterable[Header]) -> None:
        """Scan the members of a directory."""
        entries = list(entries)
        torch = TorchArchive.of([entry.text() for entry in entries], self.content, self.examination)
        for entry in entries:
            local = records.local_header(self.view, entry.local, strict=False)
            if local is None:
                words = f"{shown(entry.text())!r} is said to be at byte {entry.local}, outside the file"
                self._add(Severity.MEDIUM, "zip.malformed", entry.at, words)
                continue
            if bytes(self.view[entry.local : entry.local + 4]) != records.LOCAL:
                words = f"no member stands at byte {entry.local}, where the directory says"
                self._add(Severity.MEDIUM, "zip.malformed", entry.at, words)
            self._compare(entry, local)
            after = self._member(entry, local, torch)
            self.spans.append((entry.local, min(after, len(self.view))))
        if torch:
            torch.finish()

    def walk(self, start: int, stop: int, *, hidden: bool) -> None:
        """Scan members as a reader that walks from the front would find them between two offsets."""
        at = start
        while found := records.ANY_LOCAL.search(self.view, at, stop):
            at = found.end()
            local = records.local_header(self.view, found.start())
            if local is None:
                return
            self.examination.member()
            if hidden:
                words = f"{shown(local.text())!r} is a member that the directory does not have"
                self._add(Severity.HIGH, "zip.hidden", local.at, words)
            if local.flags & records.STREAMED and not local.packed:
                local = replace(local, packed=self._until_mark(local, stop))
            used = self._variant(local, local, None, quiet=hidden)
            at = max(at, local.end + (used or 0))

    def _until_mark(self, local: Header, stop: int) -> int:
        """Return how many bytes could be a member's data when its header does not say."""
        if local.method == DEFLATED:
            return stop - local.end  # the stream itself says where it ends
        found = records.ANY_RECORD.search(self.view, local.end, stop)
        return (found.start() if found else stop) - local.end

    def _compare(self, entry: Header, local: Header) -> None:
        """Report what the directory and the local header say differently."""
        differs = []
        if entry.name != local.name:
            differs.append(f"name {shown(local.text())!r}")
        if (entry.flags ^ local.flags) & records.SEEN_FLAGS:
            differs.append(f"flags {local.flags:#x} for {entry.flags:#x}")
        if entry.method != local.method:
            differs.append(f"method {local.method} for {entry.method}")
        later = bool((entry.flags | local.flags) & records.STREAMED)  # sizes follow the data; zero stands for them here
        for what in ("crc", "packed", "size"):
            here, there = getattr(local, what), getattr(entry, what)
            if here != there and not (later and here in {0, records.UNKNOWN}):
                differs.append(f"{what} {here} for {there}")
        if local.unicode_name != entry.unicode_name and local.unicode_name not in {None, local.name}:
            differs.append(f"unicode name {shown(local.unicode_name or b'')!r}")
        if differs:
            words = f"the local header of {shown(entry.text())!r} differs from the directory: {', '.join(differs)}"
            self._add(Severity.HIGH, "zip.header", entry.local, words)
        if local.problem:
            self._add(Severity.MEDIUM, "zip.malformed", local.at, local.problem)

    def _member(self, entry: Header, local: Header, torch: TorchArchive | None) -> int:
        """Scan one member as the directory describes it, and as its local header does; return where it ends."""
        encrypted = bool((entry.flags | local.flags) & (records.ENCRYPTED | records.STRONG | records.MASKED))
        if encrypted:
            words = f"{shown(entry.text())!r} is marked as encrypted; it is scanned as if it were not"
            self._add(Severity.MEDIUM, "zip.encrypted", entry.local, words)
        after = local.end + entry.packed
        if after > len(self.view):
            words = f"{shown(entry.text())!r} is cut off: {entry.packed} bytes from byte {local.end}"
            self._add(Severity.MEDIUM, "zip.malformed", local.end, words)
        self._variant(entry, local, torch, quiet=encrypted)
        if local.packed or not local.flags & records.STREAMED:
            self._variant(local, local, torch, quiet=True)
        if (entry.flags | local.flags) & records.STREAMED:
            after += self._descriptor(entry, after)
        return after

    def _descriptor(self, entry: Header, at: int) -> int:
        """Return the length of the descriptor behind the data; the one that another record follows, if any does."""
        lengths = list(records.descriptors(self.view, at, entry))
        for length in lengths:
            if bytes(self.view[at + length : at + length + 2]) == b"PK":
                return length
        if not lengths:
            words = f"behind {shown(entry.text())!r} stands no descriptor that agrees with the directory"
            self._add(Severity.HIGH, "zip.descriptor", min(at, len(self.view)), words)
        return max(lengths, default=0)

    def _variant(self, said: Header, local: Header, torch: TorchArchive | None, *, quiet: bool = False) -> int | None:
        """Scan the data of a member as one header describes it; return how many bytes its stream took.

        Quiet says nothing about the data itself: another reading of the member speaks for it, or it is encrypted.
        """
        key = (local.end, said.method, said.packed, said.name)
        if key in self._read:
            return None
        self._read.add(key)
        if self._budget < 0:
            words = "members share their bytes: this one was not scanned"
            self._add(Severity.HIGH, "zip.overlap", local.at, words)
            return None
        packed = self.view[local.end : local.end + said.packed]
        stream = Unpacked(packed)
        pieces = self._pieces(said, stream)
        if pieces is None:
            return None
        if said.method == STORED:
            data, stream.used = packed, len(packed)
        else:
            data = self.examination.expand(pieces)
        self._budget -= stream.used
        if not quiet:
            self._check(said, local, stream, data)
        self._enter(said, data, torch)
        return stream.used

    def _pieces(self, said: Header, stream: Unpacked) -> Iterator[bytes] | None:
        """Return what a method makes of the data, or nothing where it cannot be read here."""
        try:
            match said.method:
                case 0:
                    return iter(())
                case 8:
                    return stream.inflate()
                case 12:
                    return stream.bzip2()
                case 14:
                    return _lzma(stream)
                case 93:
                    return stream.zstandard()
        except Missing:
            words = f"{shown(said.text())!r} is compressed with Zstandard; `pip install 'holdfast[scan]'` reads it"
            self._add(Severity.MEDIUM, "zip.unsupported", said.at, words)
            return None
        method = _NAMES.get(said.method, f"method {said.method}")
        rule = "zip.encrypted" if said.method == 99 else "zip.unsupported"
        self._add(Severity.MEDIUM, rule, said.at, f"{shown(said.text())!r} is packed with {method}, which is not read")
        return None

    def _check(self, said: Header, local: Header, stream: Unpacked, data: memoryview) -> None:
        """Compare the data with what the header says of it."""
        name = shown(said.text())
        if stream.broken:
            self._add(Severity.MEDIUM, "zip.malformed", local.end, f"the data of {name!r} is damaged: {stream.broken}")
        elif stream.used < min(said.packed, len(stream.view)):
            words = f"{said.packed - stream.used} bytes behind the data of {name!r} that its reader does not see"
            self._add(Severity.HIGH, "zip.slack", local.end + stream.used, words)
        known_later = said is local and said.flags & records.STREAMED
        if known_later:
            return
        if len(data) != said.size:
            words = f"{name!r} has {len(data)} bytes where {said.size} are declared"
            self._add(Severity.HIGH, "zip.size", local.at, words)
        elif not stream.broken and zlib.crc32(data) != said.crc:
            words = f"{name!r} has another checksum than declared: some readers refuse it, others load it"
            self._add(Severity.HIGH, "zip.crc", local.at, words)

    def _enter(self, said: Header, data: memoryview, torch: TorchArchive | None) -> None:
        name = said.text()
        if name.endswith("/"):
            if not data:
                return
            self._add(Severity.MEDIUM, "zip.folder", said.at, f"{shown(name)!r} is a folder that holds bytes")
        if torch is None or not torch.enter(name, data):
            self.examination.enter(Content(data, self.content.inside(name)))


def _lzma(stream: Unpacked) -> Iterator[bytes]:
    """Return the pieces of method 14: a version, the length of the properties, LZMA's five, raw data (5.8)."""
    head = bytes(stream.view[:9])
    if len(head) < 9 or head[2:4] != b"\x05\x00" or head[4] >= 225:
        stream.broken = "its LZMA properties are not valid"
        return iter(())
    filters = [lzma_properties(head[4:9])]
    stream.view = stream.view[9:]
    return _counted(stream, stream.lzma(lzma.FORMAT_RAW, filters))


def _counted(stream: Unpacked, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield from pieces
    stream.used += 9


def lzma_properties(five: bytes) -> dict[str, int]:
    """Return LZMA's five bytes of properties as a filter for the standard library."""
    first, dictionary = five[0], int.from_bytes(five[1:5], "little")
    return {
        "id": lzma.FILTER_LZMA1,
        "lc": first % 9,
        "lp": first // 9 % 5,
        "pb": first // 45,
        "dict_size": max(dictionary, 4096),
    }
