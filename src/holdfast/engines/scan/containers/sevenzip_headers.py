"""The header of a 7z archive, read within its bounds (7zFormat.txt of the LZMA SDK 24).

Numbers are never believed before the bytes that they count are there.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

SIGNATURE: Final = b"7z\xbc\xaf\x27\x1c"
START: Final = 32  # bytes of the signature header, from whose end all offsets count
MAX_FILES: Final = 100_000  # of one archive, as of all archives together
MAX_CODERS: Final = 8  # of one folder; 7-Zip itself takes 32 and writes at most 4
MAX_FOLDERS: Final = 100_000
END, HEADER, ARCHIVE, ADDITIONAL, MAIN, FILES = range(6)
PACK_INFO, UNPACK_INFO, SUBSTREAMS, SIZE, CRC, FOLDER, UNPACK_SIZE, COUNTS = range(6, 14)
EMPTY_STREAM, EMPTY_FILE, ANTI, NAMES = range(14, 18)
ATTRIBUTES, ENCODED, DUMMY = 0x15, 0x17, 0x19
"""Property numbers of the format."""


class Damaged(ValueError):
    """A header that does not add up, or whose numbers are beyond all limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coder:
    """One step of decompression."""

    method: bytes
    properties: bytes
    inputs: int
    outputs: int


@dataclass(slots=True, kw_only=True)
class Folder:
    """A chain of coders that makes one run of bytes out of packed streams; files are parts of it."""

    coders: tuple[Coder, ...]
    bound: tuple[tuple[int, int], ...]  # an input takes what an output gives
    packed: int  # how many packed streams it takes
    sizes: tuple[int, ...] = ()  # of each output
    crc: int | None = None
    parts: list[tuple[int, int | None]] = field(default_factory=list)  # size and checksum of each file

    def order(self) -> list[tuple[Coder, int]]:
        """Return the coders from the packed stream on, each with the size of what it gives.

        Raises:
            Damaged: They are no chain.
        """
        follows = {output: taker for taker, output in self.bound}
        first = set(range(len(self.coders))) - {taker for taker, _ in self.bound}
        if len(first) != 1 or any(coder.inputs != 1 or coder.outputs != 1 for coder in self.coders):
            raise Damaged("coders that are no chain")
        at, chain = first.pop(), list[tuple[Coder, int]]()
        while len(chain) < len(self.coders):
            chain.append((self.coders[at], self.sizes[at]))
            if at not in follows:
                break
            at = follows[at]
        if len(chain) != len(self.coders):
            raise Damaged("coders that are no chain")
        return chain


@dataclass(slots=True)
class Streams:
    """Packed streams and the folders that are made of them."""

    start: int = 0
    sizes: list[int] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class File:
    """One file or folder of the archive."""

    name: str = ""
    empty: bool = False
    anti: bool = False
    attributes: int = 0


class Reader:
    """Reads a header from front to back."""

    def __init__(self, data: bytes) -> None:
        """Start at its first byte."""
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """Return the next bytes.

        Raises:
            Damaged: There are fewer.
        """
        if count > len(self.data) - self.at:
            raise Damaged("a header that is cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """Return a number whose first byte tells how many follow."""
        first = self.byte()
        value, mask = 0, 0x80
        for index in range(8):
            if not first & mask:
                return value | (first & (mask - 1)) << 8 * index
            value |= self.byte() << 8 * index
            mask >>= 1
        return value

    def count(self, most: int) -> int:
        """Return a number that counts things.

        Raises:
            Damaged: There are more than a limit.
        """
        value = self.number()
        if value > most:
            raise Damaged(f"{value} things where at most {most} are read")
        return value

    def bits(self, count: int) -> list[bool]:
        """Return a run of bits."""
        taken = self.take((count + 7) // 8)
        return [bool(taken[index // 8] & 0x80 >> index % 8) for index in range(count)]

    def marked(self, count: int) -> list[bool]:
        """Return a run of bits that is left out when all are set."""
        return [True] * count if self.byte() else self.bits(count)

    def digests(self, count: int) -> list[int | None]:
        """Return checksums, where there are any."""
        return [struct.unpack("<L", self.take(4))[0] if there else None for there in self.marked(count)]

    def expect(self, number: int) -> None:
        """Step over a property number."""
        if self.byte() != number:
            raise Damaged(f"no property {number} where one must be")

    def streams(self) -> Streams:
        """Return what a StreamsInfo says."""
        streams, parted = Streams(), False
        while (kind := self.byte()) != END:
            if kind == PACK_INFO:
                self._packed(streams)
            elif kind == UNPACK_INFO:
                self._folders(streams)
            elif kind == SUBSTREAMS:
                self._parts(streams)
                parted = True
            else:
                raise Damaged(f"property {kind} among streams")
        for folder in () if parted else streams.folders:
            folder.parts = [(folder.sizes[folder_output(folder)], folder.crc)]
        return streams

    def _packed(self, streams: Streams) -> None:
        streams.start = self.number()
        count = self.count(MAX_FOLDERS)
        while (kind := self.byte()) != END:
            if kind == SIZE:
                streams.sizes = [self.number() for _ in range(count)]
            elif kind == CRC:
                self.digests(count)
            else:
                raise Damaged(f"property {kind} among packed streams")

    def _folders(self, streams: Streams) -> None:
        self.expect(FOLDER)
        count = self.count(MAX_FOLDERS)
        if self.byte():
            raise Damaged("folders that lie elsewhere")
        streams.folders = [self._folder() for _ in range(count)]
        self.expect(UNPACK_SIZE)
        for folder in streams.folders:
            outputs = sum(coder.outputs for coder in folder.coders)
            folder.sizes = tuple(self.number() for _ in range(outputs))
        while (kind := self.byte()) != END:
            if kind != CRC:
                raise Damaged(f"property {kind} among folders")
            for folder, crc in zip(streams.folders, self.digests(count), strict=True):
                folder.crc = crc

    def _folder(self) -> Folder:
        coders = tuple(self._coder() for _ in range(self.count(MAX_CODERS)))
        inputs, outputs = (sum(getattr(each, what) for each in coders) for what in ("inputs", "outputs"))
        if not coders or not outputs:
            raise Damaged("a folder without coders")
        bound = tuple((self.number(), self.number()) for _ in range(outputs - 1))
        packed = inputs - len(bound)
        if packed > 1:
            for _ in range(packed):
                self.number()
        return Folder(coders=coders, bound=bound, packed=packed)

    def _coder(self) -> Coder:
        flags = self.byte()
        method = self.take(flags & 0x0F)
        inputs, outputs = (self.count(MAX_CODERS), self.count(MAX_CODERS)) if flags & 0x10 else (1, 1)
        properties = self.take(self.number()) if flags & 0x20 else b""
        if flags & 0xC0:
            raise Damaged("a coder with alternatives")
        return Coder(method=method, properties=properties, inputs=inputs, outputs=outputs)

    def _parts(self, streams: Streams) -> None:
        kind, counts = self.byte(), [1] * len(streams.folders)
        if kind == COUNTS:
            counts = [self.count(MAX_FILES) for _ in streams.folders]
            kind = self.byte()
        if sum(counts) > MAX_FILES:
            raise Damaged(f"{sum(counts)} files where at most {MAX_FILES} are read")
        sizes = [
            self._sizes(folder, count, told=kind == SIZE) for folder, count in zip(streams.folders, counts, strict=True)
        ]
        kind = self.byte() if kind == SIZE else kind
        known = [folder.crc if len(each) == 1 else None for folder, each in zip(streams.folders, sizes, strict=True)]
        missing = sum(len(each) for each, crc in zip(sizes, known, strict=True) if crc is None)
        told: Iterator[int | None] = iter(())
        while kind != END:
            if kind != CRC:
                raise Damaged(f"property {kind} among files of folders")
            told, kind = iter(self.digests(missing)), self.byte()
        for folder, each, crc in zip(streams.folders, sizes, known, strict=True):
            folder.parts = [(size, crc if crc is not None else next(told, None)) for size in each]

    def _sizes(self, folder: Folder, count: int, *, told: bool) -> list[int]:
        if not count:
            return []
        total = folder.sizes[folder_output(folder)]
        sizes = [self.number() for _ in range(count - 1)] if told else []
        if (count > 1 and not told) or sum(sizes) > total:
            raise Damaged("files larger than what they lie in")
        return [*sizes, total - sum(sizes)]

    def files(self) -> list[File]:
        """Return what a FilesInfo says."""
        files = [File() for _ in range(self.count(MAX_FILES))]
        while (kind := self.number()) != END:
            inner = Reader(self.take(self.number()))
            if kind == EMPTY_STREAM:
                for file, empty in zip(files, inner.bits(len(files)), strict=True):
                    file.empty = empty
            elif kind == ANTI:
                hollow = [file for file in files if file.empty]
                for file, anti in zip(hollow, inner.bits(len(hollow)), strict=True):
                    file.anti = anti
            elif kind == NAMES:
                inner.names(files)
            elif kind == ATTRIBUTES:
                inner.attributes(files)
        return files

    def names(self, files: list[File]) -> None:
        """Read names in UTF-16, each ended by a zero."""
        if self.byte():
            raise Damaged("names that lie elsewhere")
        text = self.data[self.at :]
        ends = [-2, *(at for at in range(0, len(text) - 1, 2) if text[at] == text[at + 1] == 0)]
        names = [text[start + 2 : end] for start, end in pairwise(ends)]
        if len(names) != len(files) or ends[-1] + 2 != len(text):
            raise Damaged(f"{len(names)} names for {len(files)} files")
        for file, name in zip(files, names, strict=True):
            file.name = name.decode("utf-16-le", "replace")

    def attributes(self, files: list[File]) -> None:
        """Read attributes, where there are any."""
        there = self.marked(len(files))
        if self.byte():
            raise Damaged("attributes that lie elsewhere")
        for file, has in zip(files, there, strict=True):
            if has:
                file.attributes = struct.unpack("<L", self.take(4))[0]


def folder_output(folder: Folder) -> int:
    """Return which output of a folder no coder takes: what comes out in the end."""
    taken = {output for _, output in folder.bound}
    free = [index for index in range(len(folder.sizes)) if index not in taken]
    if len(free) != 1:
        raise Damaged("coders that are no chain")
    return free[0]
