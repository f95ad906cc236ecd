"""The headers of a tar archive: ustar, pax and GNU, and the numbers in them (POSIX.1-2017 pax, GNU tar manual 15).

Readers agree on honest headers. Numbers that only some of them understand are marked, and so is whatever a pax header
says twice or besides what the header itself says. Whoever uses Python's own reader gives it `BoundedInfo`, so that no
header fills the memory.
"""

import re
import tarfile
from dataclasses import dataclass, field
from typing import Final, Self

BLOCK: Final = 512
MAX_LONG: Final = 1 << 20  # bytes of a long name or of the records of a pax header
MAX_OCTAL: Final = 8**11  # the first size that a header has no room for
REGULAR: Final = frozenset(b"0\x007")
"""Types whose data is a file's."""
HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, FOLDER, FIFO = b"123456"
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL, PAX_SUN, SPARSE = b"LKxgXS"
EMPTY_TYPES: Final = frozenset(b"123456")
"""Types that have no data: readers differ in what they do when a size says otherwise."""
_OCTAL: Final = re.compile(rb" *([0-7]*)[ \0]*")
_REPEATED: Final = frozenset({b"GNU.sparse.offset", b"GNU.sparse.numbytes"})  # the one pair that may stand often
_HEADERS: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_RECORD: Final = re.compile(rb"(\d{1,7}) ([^=\n]{1,255})=")


@dataclass(frozen=True, slots=True, kw_only=True)
class TarHeader:
    """One block that says what follows."""

    name: bytes
    link: bytes
    kind: int
    size: int
    problems: tuple[str, ...] = ()  # what readers disagree about


@dataclass(slots=True)
class Extended:
    """What pax headers and GNU's long names say of the next member."""

    path: bytes | None = None
    link: bytes | None = None
    size: int | None = None
    sparse: dict[bytes, bytes] = field(default_factory=dict)  # records of GNU's sparse members
    parts: list[bytes] = field(default_factory=list)  # offsets and lengths that stand in records of their own
    problems: list[str] = field(default_factory=list)

    def set_path(self, value: bytes) -> None:
        """Take a name; a second one is a problem."""
        if self.path is not None and self.path != value:
            self.problems.append("two long names for one member")
        self.path = value

    def set_link(self, value: bytes) -> None:
        """Take the target of a link; a second one is a problem."""
        if self.link is not None and self.link != value:
            self.problems.append("two long targets for one link")
        self.link = value


def checksum_fits(block: bytes) -> bool:
    """Return whether a block is a header: its checksum is that of its bytes, signed or unsigned."""
    if len(block) < BLOCK:
        return False
    said, _ = number(block[148:156])
    rest = block[:148] + b" " * 8 + block[156:BLOCK]
    unsigned = sum(rest)
    return said >= 0 and said in {unsigned, unsigned - 256 * sum(byte > 127 for byte in rest)}


def number(raw: bytes) -> tuple[int, bool]:
    r"""Return a number, or -1, and whether all readers read it so.

    >>> number(b"0000017\0"), number(b"\x80" + bytes(6) + b"\x05"), number(b"0o17    "), number(b"1_7\0")
    ((15, True), (5, True), (15, False), (15, False))
    """
    if raw[0] in {0x80, 0xFF}:
        value = int.from_bytes(raw[1:], "big", signed=False)
        return (value, True) if raw[0] == 0x80 else (-1, False)
    found = _OCTAL.fullmatch(raw)
    if found:
        return int(found.group(1) or b"0", 8), True
    text = raw.partition(b"\0")[0].strip()
    try:
        return max(int(text or b"0", 8), -1), False  # as Python's reader does, which takes signs and underscores too
    except ValueError:
        return -1, False


def read(block: bytes) -> TarHeader:
    """Return what a header block says."""
    problems = list[str]()
    size, plain = number(block[124:136])
    if not plain:
        problems.append(f"a size that readers understand in different ways: {block[124:136]!r}")
    if block[124] == 0x80 and size < MAX_OCTAL:
        problems.append("a size in base 256 that has room in octal digits")
    name, link = _string(block[:100], problems), _string(block[157:257], problems)
    prefix = b""
    if block[257:263] == b"ustar\0":
        prefix = _string(block[345:500], problems)
    elif block[345:369].strip(b"01234567 \0"):  # where old GNU headers keep two times
        problems.append(f"a prefix of the name that only some readers join to it: {block[345:385]!r}")
    return TarHeader(
        name=prefix + b"/" + name if prefix else name,
        link=link,
        kind=block[156],
        size=size,
        problems=tuple(problems),
    )


def _string(raw: bytes, problems: list[str]) -> bytes:
    text, _, rest = raw.partition(b"\0")
    if rest.strip(b"\0"):
        problems.append(f"bytes behind the end of a name: {rest[:40]!r}")
    return text


def pax_records(data: bytes, extended: Extended) -> None:
    """Read the records of a pax header into what is known of the next member."""
    at, seen = 0, set[bytes]()
    while at < len(data):
        found = _RECORD.match(data, at)
        length = int(found.group(1)) if found else 0
        if not found or at + length > len(data) or length <= found.end() - at or data[at + length - 1] != 0x0A:
            if data[at:].strip(b"\0"):
                extended.problems.append("a pax header whose records do not add up")
            return
        key, value = found.group(2), data[found.end() : at + length - 1]
        if key in _REPEATED:
            extended.parts.append(value)
            extended.sparse[key] = value
        elif key in seen:
            extended.problems.append(f"{key[:40]!r} twice in one pax header")
        seen.add(key)
        _record(key, value, extended)
        at += length


def _record(key: bytes, value: bytes, extended: Extended) -> None:
    if b"\0" in value and key in {b"path", b"linkpath", b"GNU.sparse.name"}:
        extended.problems.append("a zero byte in a name of a pax header")
    if key == b"path":
        extended.set_path(value)
    elif key == b"linkpath":
        extended.set_link(value)
    elif key == b"size":
        if not value.isdigit() or len(value) > 19:
            extended.problems.append(f"a size that readers understand in different ways: {value[:40]!r}")
            return
        extended.size = int(value)
    elif key.startswith(b"GNU.sparse."):
        extended.sparse[key] = value


class BoundedInfo(tarfile.TarInfo):
    """A member whose extended headers are bounded; given to `tarfile.open` as `tarinfo`."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the member that a header block describes.

        Raises:
            tarfile.ReadError: It announces a header of its own that is too long, or a list of holes.
        """
        found = super().frombuf(buf, encoding, errors)
        if found.type in _HEADERS and found.size > MAX_LONG:
            raise tarfile.ReadError(f"a header of {found.size} bytes; at most {MAX_LONG} are read")
        if found.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a sparse file of GNU's old form, which is not read")
        return found
