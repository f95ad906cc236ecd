"""Writes 7z archives with everything in its header under a test's control."""

import lzma
import struct
import zlib
from dataclasses import dataclass, field

from holdfast.engines.scan.containers.sevenzip_headers import SIGNATURE

COPY = b"\x01\x00"  # one coder of one byte, without properties


def number(value: int) -> bytes:
    """Return a number as 7z writes it."""
    for length in range(9):
        if value < 1 << 7 * (length + 1) or length == 8:
            if length == 8:
                return b"\xff" + value.to_bytes(8, "little")
            first = (0xFF00 >> length) & 0xFF | (value >> 8 * length)
            return bytes([first]) + (value & ((1 << 8 * length) - 1)).to_bytes(length, "little")
    raise AssertionError


def coder(method: bytes, properties: bytes = b"") -> bytes:
    """Return one coder of one input and one output."""
    flags = len(method) | (0x20 if properties else 0)
    return bytes([flags]) + method + (number(len(properties)) + properties if properties else b"")


LZMA2 = coder(b"\x21", b"\x08")


def lzma2(data: bytes) -> bytes:
    """Return data as an LZMA2 stream."""
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 65536}])


@dataclass(kw_only=True)
class Archive:
    """One folder of files, all in one run of bytes."""

    files: list[tuple[str, bytes]]
    coders: list[bytes] = field(default_factory=lambda: [COPY])
    packed: bytes | None = None
    size: int | None = None  # declared of the whole run
    names: list[str] | None = None
    attributes: list[int] | None = None
    empty: tuple[str, ...] = ()
    anti: bool = False
    crc: int = 0  # added to each checksum
    before: bytes = b""  # between the packed stream and the header
    after: bytes = b""
    start: int = 0  # where the packed stream is said to begin

    def header(self) -> bytes:
        """Return the header."""
        data = b"".join(content for _, content in self.files)
        packed = data if self.packed is None else self.packed
        run = len(data) if self.size is None else self.size
        bound = b"".join(number(index + 1) + number(index) for index in range(len(self.coders) - 1))
        sizes = number(run) * len(self.coders)
        streams = b"\x06" + number(self.start) + number(1) + b"\x09" + number(len(packed)) + b"\x00"
        streams += b"\x07\x0b" + number(1) + b"\x00" + number(len(self.coders)) + b"".join(self.coders) + bound
        streams += b"\x0c" + sizes + b"\x00"
        streams += b"\x08\x0d" + number(len(self.files))
        streams += b"\x09" + b"".join(number(len(content)) for _, content in self.files[:-1])
        crcs = b"".join(struct.pack("<L", (zlib.crc32(content) + self.crc) & 0xFFFFFFFF) for _, content in self.files)
        streams += b"\x0a\x01" + crcs + b"\x00"
        return b"\x01\x04" + streams + b"\x00\x05" + self._files() + b"\x00\x00"

    def _files(self) -> bytes:
        names = self.names or [*(name for name, _ in self.files), *self.empty]
        count = len(self.files) + len(self.empty)
        out = number(count)
        if self.empty:
            bits = bytearray((count + 7) // 8)
            for index in range(len(self.files), count):
                bits[index // 8] |= 0x80 >> index % 8
            out += b"\x0e" + number(len(bits)) + bits
            if self.anti:
                out += b"\x10" + number(1) + b"\xff"
        text = b"\x00" + b"".join(name.encode("utf-16-le") + b"\0\0" for name in names)
        out += b"\x11" + number(len(text)) + text
        if self.attributes:
            values = b"\x01\x00" + struct.pack(f"<{len(self.attributes)}L", *self.attributes)
            out += b"\x15" + number(len(values)) + values
        return out

    def data(self, header: bytes | None = None) -> bytes:
        """Return the archive, also with another header."""
        made = self.header() if header is None else header
        body = (b"".join(content for _, content in self.files) if self.packed is None else self.packed) + self.before
        start = struct.pack("<2QL", len(body), len(made), zlib.crc32(made))
        return SIGNATURE + b"\x00\x04" + struct.pack("<L", zlib.crc32(start)) + start + body + made + self.after
