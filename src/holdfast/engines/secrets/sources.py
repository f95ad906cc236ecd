"""Where text is: files, notebooks by their cells, archives and image layers by their members.

Decides by content what a file is, never by its name, and gives text in windows of bounded size. What is not read (too
deep, too much, damaged) is said, so that silence is never taken for a pass; binary files hold no text and are counted.
"""

import gzip
import io
import json
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.engines.tar_headers import BoundedInfo

WINDOW: Final = 16 << 20  # bytes that are looked at together
OVERLAP: Final = 64 << 10  # bytes that two windows share: longer than any secret
MAX_DEPTH: Final = 4  # archives within archives: an image, its layer, a wheel in it, an archive of data in that
MAX_UNPACKED: Final = 4 << 30  # bytes that one file may unpack to
MAX_MEMBERS: Final = 500_000  # files of one archive; an image of a whole distribution has 100,000
MAX_INNER_ZIP: Final = 256 << 20  # bytes of a zip inside another archive, which is read into memory
HEAD: Final = 8192  # bytes by which text is told from binary files
MAX_NOTEBOOK: Final = 64 << 20  # bytes
_BROKEN: Final = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError,
                  NotImplementedError, KeyError)  # fmt: skip
_MARKS: Final = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some text: where inside the file it stands, its bytes, the lines before it, and where its own finds end."""

    inside: str
    data: bytes
    lines: int = 0
    until: int | None = None  # finds that begin here or later are the next window's


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """What was not looked at, and why."""

    inside: str
    why: str


class Budget:
    """What one file may still unpack to, and how many members it may still have."""

    def __init__(self) -> None:
        """Begin with all of it."""
        self.bytes, self.members = MAX_UNPACKED, MAX_MEMBERS

    def take(self, size: int) -> None:
        """Count bytes that were unpacked.

        Raises:
            ValueError: They are more than are read.
        """
        self.bytes -= size
        if self.bytes < 0:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED} bytes")

    def enter(self) -> None:
        """Count a member.

        Raises:
            ValueError: There are more than are read.
        """
        self.members -= 1
        if self.members < 0:
            raise ValueError(f"it has more than {MAX_MEMBERS} members")


def parts(path: Path) -> Iterator[Part | Unread]:
    """Yield the text of a file, whatever it is packed in.

    Raises:
        OSError: The file itself cannot be read.
    """
    with path.open("rb") as stream:
        yield from unpacked(stream)


def unpacked(stream: Any) -> Iterator[Part | Unread]:
    """Yield the text of a stream of bytes, whatever it is packed in."""
    yield from _read(stream, "", 0, Budget())


def _read(stream: Any, inside: str, depth: int, budget: Budget) -> Iterator[Part | Unread]:
    head = stream.read(HEAD)
    rest = _Joined(head, stream)
    if depth > MAX_DEPTH:
        yield Unread(inside=inside, why=f"archives are nested more than {MAX_DEPTH} deep")
    elif head.startswith(b"PK\x03\x04"):
        yield from _guarded(_zip(rest, inside, depth, budget), inside)
    elif head[257:262] == b"ustar":
        yield from _guarded(_tar(rest, inside, depth, budget), inside)
    elif head.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=rest) as opened:
            yield from _guarded(_read(_Metered(opened, budget), inside, depth + 1, budget), inside)
    elif head.startswith((b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c")):
        yield Unread(inside=inside, why="it is compressed by a method that is not read here")
    else:
        yield from _guarded(_text(head, rest, inside), inside)


def _guarded(found: Iterator[Part | Unread], inside: str) -> Iterator[Part | Unread]:
    try:
        yield from found
    except _BROKEN as error:
        yield Unread(inside=inside, why=f"it cannot be read to its end: {error}")


class _Joined(io.RawIOBase):
    """A stream whose first bytes have been looked at already."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            size = MAX_UNPACKED  # more is never asked for at once
        head, self._head = self._head[:size], self._head[size:]
        more: bytes = self._rest.read(size - len(head)) if len(head) < size else b""
        return head + more


class _Metered(io.RawIOBase):
    """A stream of what is unpacked, each byte of which is counted."""

    def __init__(self, stream: Any, budget: Budget) -> None:
        self._stream, self._budget = stream, budget

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self._budget.take(len(data))
        return data


def _zip(stream: Any, inside: str, depth: int, budget: Budget) -> Iterator[Part | Unread]:
    whole = stream.read(MAX_INNER_ZIP + 1)
    if len(whole) > MAX_INNER_ZIP:
        yield Unread(inside=inside, why=f"a zip of more than {MAX_INNER_ZIP} bytes")
        return
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        for member in archive.infolist():
            budget.enter()
            name = _name(inside, member.filename)
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                yield Unread(inside=name, why="it is encrypted")
                continue
            try:
                with archive.open(member) as opened:
                    yield from _read(_Metered(opened, budget), name, depth + 1, budget)
            except _BROKEN as error:
                yield Unread(inside=name, why=f"it cannot be read: {error}")


def _tar(stream: Any, inside: str, depth: int, budget: Budget) -> Iterator[Part | Unread]:
    with tarfile.open(fileobj=stream, mode="r|", errorlevel=0, tarinfo=BoundedInfo) as archive:
        for member in archive:
            budget.enter()
            opened = archive.extractfile(member) if member.isreg() else None  # links and devices hold no text
            if opened is not None:
                with opened:
                    yield from _read(opened, _name(inside, member.name), depth + 1, budget)


def _name(inside: str, name: str) -> str:
    return f"{inside}!{name}" if inside else name


def _text(head: bytes, stream: Any, inside: str) -> Iterator[Part]:
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "")
    if not encoding and b"\0" in head:
        return
    if encoding:
        data = stream.read(WINDOW)
        yield Part(inside=inside, data=data.decode(encoding, "replace").encode())
        return
    if _is_notebook(head):
        data = stream.read(MAX_NOTEBOOK)
        yield from _notebook(data, inside)
        return
    yield from _windows(stream, inside)


def _windows(stream: Any, inside: str) -> Iterator[Part]:
    data, lines = stream.read(WINDOW), 0
    while data:
        more = stream.read(WINDOW) if len(data) >= WINDOW else b""
        until = len(data) - OVERLAP if more else None
        yield Part(inside=inside, data=data, lines=lines, until=until)
        lines += data.count(b"\n", 0, until or len(data))
        data = data[until:] + more if until is not None else b""


def _is_notebook(head: bytes) -> bool:
    return head.lstrip()[:1] == b"{" and (b'"cells"' in head or b'"nbformat"' in head)


def _notebook(data: bytes, inside: str) -> Iterator[Part]:
    """Yield sources and outputs of a notebook's cells, and its text as it is where it is none after all.

    Pictures and other encoded media are left out: they are data, of which every line looks drawn by chance.
    """
    try:
        cells = json.loads(data)["cells"]
        said = [(number, *each) for number, cell in enumerate(cells, 1) for each in _said(cell)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        yield Part(inside=inside, data=data)
        return
    for number, what, text in said:
        yield Part(inside=_name(inside, f"cell {number}, {what}"), data=text.encode("utf-8", "replace"))


def _said(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "source", _joined(cell.get("source", ""))
    for output in cell.get("outputs", ()):
        yield "output", _joined(output.get("text", ""))
        yield "output", _joined(output.get("traceback", ""))
        for kind, value in output.get("data", {}).items():
            if kind.startswith("text/") or kind.endswith(("json", "javascript")):
                yield "output", _joined(value)


def _joined(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "".join(value)
    return json.dumps(value)
