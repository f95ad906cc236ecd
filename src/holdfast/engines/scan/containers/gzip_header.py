"""The header of a gzip member, with the fields that readers skip (RFC 1952, section 2.3)."""

from dataclasses import dataclass
from typing import Final
from zlib import crc32

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers.names import leads_out
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.text import looks_executable

MAX_FIELD: Final = 65_536  # bytes of a name or comment; readers that take them have less room
MAX_EXTRA: Final = 64  # bytes of the extra field that tools for genomes and backups use for their index
_CRC, _EXTRA, _NAME, _COMMENT, _RESERVED = 2, 4, 8, 16, 0xE0


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something about a header that is worth a finding."""

    severity: Severity
    rule: str
    at: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GzipHeader:
    """Where a header ends, or why it cannot be read."""

    end: int
    findings: tuple[Noticed, ...] = ()
    broken: str = ""


def read(view: memoryview, at: int) -> GzipHeader:
    """Return the header at an offset."""
    found = list[Noticed]()
    if len(view) < at + 10:
        return GzipHeader(end=at, broken="a header that is cut off")
    flags, end = view[at + 3], at + 10
    if flags & _RESERVED:
        found.append(Noticed(Severity.MEDIUM, "malformed", at, f"reserved flags {flags:#x}: some readers refuse it"))
    if flags & _EXTRA:
        size = int.from_bytes(view[end : end + 2], "little")
        field = bytes(view[end + 2 : end + 2 + size])
        if size > MAX_EXTRA or looks_executable(field):
            found.append(Noticed(Severity.MEDIUM, "extra", end, f"{size} bytes beside the data that readers step over"))
        end += 2 + size
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            window = bytes(view[end : end + MAX_FIELD])
            length = window.find(0)
            if length < 0:
                return GzipHeader(end=end, findings=tuple(found), broken="a name or comment without an end")
            found += _text(flag, window[:length], end)
            end += length + 1
    if flags & _CRC:
        if view[end : end + 2] != (crc32(view[at:end]) & 0xFFFF).to_bytes(2, "little"):
            found.append(Noticed(Severity.MEDIUM, "malformed", end, "the checksum of the header is wrong"))
        end += 2
    if end > len(view):
        return GzipHeader(end=end, findings=tuple(found), broken="a header that is cut off")
    return GzipHeader(end=end, findings=tuple(found))


def _text(flag: int, text: bytes, at: int) -> list[Noticed]:
    if flag == _NAME and leads_out(text.decode("latin-1")):
        words = f"{shown(text)!r} would be written outside the folder it is unpacked into"
        return [Noticed(Severity.CRITICAL, "name.outside", at, words)]
    if looks := looks_executable(text):
        return [Noticed(Severity.MEDIUM, "comment", at, f"a name or comment that looks like {shown(looks)}")]
    return []
