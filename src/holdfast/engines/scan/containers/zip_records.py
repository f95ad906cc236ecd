"""The records of a zip archive, read one by one and believed by nobody (PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5)."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LOCAL: Final = b"PK\x03\x04"
CENTRAL: Final = b"PK\x01\x02"
END: Final = b"PK\x05\x06"
END64: Final = b"PK\x06\x06"
LOCATOR: Final = b"PK\x06\x07"
DESCRIPTOR: Final = b"PK\x07\x08"
ANY_LOCAL: Final = re.compile(re.escape(LOCAL))
ANY_END: Final = re.compile(re.escape(END))
ANY_RECORD: Final = re.compile(rb"PK(?:\x03\x04|\x01\x02|\x07\x08)")
TAIL: Final = 22 + 0xFFFF  # bytes: an end record with the longest comment; no reader looks further back

ENCRYPTED, STREAMED, STRONG, UTF8, MASKED = 1 << 0, 1 << 3, 1 << 6, 1 << 11, 1 << 13
"""Bits of the flags (4.4.4)."""
SEEN_FLAGS: Final = ENCRYPTED | STREAMED | STRONG | UTF8 | MASKED  # what the others mean changes nothing for readers
UNKNOWN: Final = 0xFFFFFFFF  # "look in the zip64 field"
ZIP64, UNICODE_PATH = 0x0001, 0x7075
"""Extra fields that change what a header says (4.5.3, 4.6.9)."""
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What one header, local or central, says of a member; sizes in bytes, zip64 applied."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    local: int  # where the local header is said to be
    at: int
    end: int  # after this header: the next record, or the first byte of data
    unicode_name: bytes | None = None
    attributes: int = 0
    problem: str = ""  # extra fields that do not add up

    def text(self) -> str:
        """Return the name as readers decode it: UTF-8 by flag, else the old IBM code page."""
        return self.name.decode("utf-8" if self.flags & UTF8 else "cp437", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What an end record, and the zip64 record before it, say of the directory."""

    at: int
    after: int  # the first byte after the comment
    disks: bool  # parts of the archive lie elsewhere
    count: int
    size: int
    offset: int
    comment: bytes
    records: int  # where the records after the directory begin: here, or at the zip64 record
    problem: str = ""


def local_header(view: memoryview, at: int, *, strict: bool = True) -> Header | None:
    """Return the local header at an offset, or nothing; unless strict, whatever its signature."""
    if at < 0 or at + _LOCAL.size > len(view):
        return None
    mark, _, flags, method, _, _, crc, packed, size, name, extra = _LOCAL.unpack_from(view, at)
    if strict and mark != LOCAL:
        return None
    start = at + _LOCAL.size
    fields = _Extra(view[start + name : start + name + extra])
    size, packed, _ = fields.wide(size, packed, 0)
    return Header(
        name=bytes(view[start : start + name]),
        flags=flags,
        method=method,
        crc=crc,
        packed=packed,
        size=size,
        local=at,
        at=at,
        end=start + name + extra,
        unicode_name=fields.unicode_name,
        problem=fields.problem,
    )


def central_header(view: memoryview, at: int, end: int) -> Header | None:
    """Return the directory's header at an offset, or nothing."""
    if at < 0 or at + _CENTRAL.size > end:
        return None
    values = _CENTRAL.unpack_from(view, at)
    mark, _, _, flags, method, _, _, crc, packed, size, name, extra, comment, _, _, attributes, local = values
    start = at + _CENTRAL.size
    after = start + name + extra + comment
    if mark != CENTRAL or after > end:
        return None
    fields = _Extra(view[start + name : start + name + extra])
    size, packed, local = fields.wide(size, packed, local)
    return Header(
        name=bytes(view[start : start + name]),
        flags=flags,
        method=method,
        crc=crc,
        packed=packed,
        size=size,
        local=local,
        at=at,
        end=after,
        unicode_name=fields.unicode_name,
        attributes=attributes,
        problem=fields.problem,
    )


class _Extra:
    """The extra fields of one header."""

    def __init__(self, view: memoryview) -> None:
        self.zip64: memoryview | None = None
        self.unicode_name: bytes | None = None
        self.problem = ""
        at = 0
        while at + 4 <= len(view):  # fewer are padding of tools that align members
            kind, size = struct.unpack_from("<2H", view, at)
            value = view[at + 4 : at + 4 + size]
            if len(value) != size:
                self.problem = "an extra field that runs past its header"
                return
            if kind == ZIP64:
                self.problem = self.problem or ("" if self.zip64 is None else "two zip64 fields")
                self.zip64 = self.zip64 or value
            elif kind == UNICODE_PATH and size >= 5:
                self.unicode_name = bytes(value[5:])
            at += 4 + size

    def wide(self, size: int, packed: int, local: int) -> tuple[int, int, int]:
        """Return the three values with those from the zip64 field that are said to be there."""
        values = [size, packed, local]
        at = 0
        for index, value in enumerate(values):
            if value != UNKNOWN or self.zip64 is None:
                continue
            if at + 8 > len(self.zip64):
                self.problem = "a zip64 field that is too short"
                break
            values[index] = struct.unpack_from("<Q", self.zip64, at)[0]
            at += 8
        return values[0], values[1], values[2]


def ends(view: memoryview) -> list[int]:
    """Return where end records could be, last first, as far back as readers look."""
    start = max(0, len(view) - TAIL)
    found = (start + match.start() for match in ANY_END.finditer(view[start:]))
    return sorted((at for at in found if at + _END.size <= len(view)), reverse=True)


def end_record(view: memoryview, at: int) -> End:
    """Return the end record at an offset that `ends` gave, with the zip64 record before it if there is one."""
    _, disk, first, here, count, size, offset, length = _END.unpack_from(view, at)
    after = at + _END.size + length
    comment = bytes(view[at + _END.size : after])
    disks = disk not in {0, 0xFFFF} or first not in {0, 0xFFFF} or here != count
    record, problem, records = None, "", at
    if at >= _LOCATOR.size and bytes(view[at - _LOCATOR.size : at - _LOCATOR.size + 4]) == LOCATOR:
        records = at - _LOCATOR.size
        said = _LOCATOR.unpack_from(view, records)[2]
        record, problem = _zip64_record(view, said, records)
    if record:
        records, (wide_count, wide_size, wide_offset) = record
        for short, wide, most in (
            (count, wide_count, 0xFFFF),
            (size, wide_size, UNKNOWN),
            (offset, wide_offset, UNKNOWN),
        ):
            if short not in {most, wide}:
                problem = f"the end record says {short} where the zip64 record says {wide}"
        count, size, offset = wide_count, wide_size, wide_offset
    return End(
        at=at,
        after=after,
        disks=disks,
        count=count,
        size=size,
        offset=offset,
        comment=comment,
        records=records,
        problem=problem,
    )


def _zip64_record(view: memoryview, said: int, locator: int) -> tuple[tuple[int, tuple[int, int, int]] | None, str]:
    """Return the zip64 record that ends at the locator, and whether readers that jump to it would find another."""
    near = locator - _END64.size
    for at in (near, said):
        if 0 <= at <= near and bytes(view[at : at + 4]) == END64:
            values = _END64.unpack_from(view, at)
            problem = ""
            if at + 12 + values[1] != locator:
                problem = "the zip64 record does not end where its locator begins"
            elif said != at:
                problem = f"the zip64 record stands at byte {at}, and its locator says {said}"
            return (at, (values[7], values[8], values[9])), problem
    return None, "a zip64 locator without its record"


def descriptors(view: memoryview, at: int, member: Header) -> Iterator[int]:
    """Yield the lengths of data descriptors at an offset that say of a member what its directory entry says (4.3.9)."""
    marked = 4 if bytes(view[at : at + 4]) == DESCRIPTOR else 0
    for skip in {marked, 0} if marked else {0}:
        for layout in ("<3L", "<L2Q"):
            size = struct.calcsize(layout)
            if at + skip + size <= len(view):
                said = struct.unpack_from(layout, view, at + skip)
                if said == (member.crc, member.packed, member.size):
                    yield skip + size
