"""The Merkle manifest of a table's files: a hash for every row group and for whatever lies between them.

Decides what a table consists of to the byte, and names what differs: a file that was changed (and in which row groups),
swapped, removed or added. One pass of SHA-256 over the bytes; the tree is that of RFC 6962. Who has signed its root,
and which of several tables is meant, is for the caller.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from mmap import mmap
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.artifact import canonical
from holdfast.core.errors import InvalidData, NotVerified
from holdfast.core.merkle import Tree, leaf_hash
from holdfast.engines.parquet_footer import footer_start, row_groups

MAX_LAYOUT: Final = 64 << 20  # bytes; half a million row groups, which is 60 billion rows
HEAD: Final = "head"
FOOTER: Final = "footer"
WHOLE: Final = "whole"  # of a file that is no Parquet, such as an entry of a table's log
_LEAF: Final = b"\x00"  # goes before what a leaf of the tree hashes (RFC 6962)
_STRETCH: Final = 1 << 20  # bytes that are read at once where a file is not held whole
_SHOWN: Final = 5  # differences named in one line; the findings have them all


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A stretch of a file: a row group by its number, or `footer`, or the `whole` of it."""

    what: str
    size: int
    rows: int
    hash: str  # SHA-256(0x00 || bytes), hex


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file, in parts that follow each other without a gap."""

    path: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """How long the file is."""
        return sum(part.size for part in self.parts)


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All files of a table, by path."""

    files: tuple[Listed, ...]

    @property
    def document(self) -> bytes:
        """The canonical bytes that are stored."""
        return canonical(self)

    @property
    def root(self) -> str:
        """The root of the tree whose leaves are the files: path, and of each part what it is, its rows and hash."""
        return Tree(leaf_hash(canonical(file)) for file in self.files).root().hex()


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What is not as it was signed: the file, the row group where that is known, and in words what happened to it."""

    path: str
    part: str
    words: str

    def __str__(self) -> str:
        """Name it in one line."""
        return f"{self.path}{f', {self.part}' if self.part else ''}: {self.words}"


def layout_of(files: Mapping[str, bytes | mmap]) -> Layout:
    """Return the layout of files by path, by their bytes or as they lie; a Parquet file is cut at its row groups.

    Raises:
        InvalidData: A file is named like Parquet and is none.
    """
    listed = [Listed(path=path, parts=_parts(path, data)) for path, data in files.items()]
    return Layout(files=tuple(sorted(listed, key=lambda file: file.path.encode())))


def parse_layout(document: bytes, root: str) -> Layout:
    """Return the layout that a document holds, if its tree has this root.

    Raises:
        NotVerified: It has another, or the document is not a layout in canonical form.
    """
    if len(document) > MAX_LAYOUT:
        raise NotVerified(f"a table's manifest of {len(document)} bytes", expected=f"at most {MAX_LAYOUT}")
    try:
        layout = msgspec.json.decode(document, type=Layout)
    except (ValueError, RecursionError) as error:
        raise NotVerified(f"the table's manifest cannot be read: {error}") from error
    if layout.document != document or layout.root != root:
        raise NotVerified("the table's manifest is not the one that was signed", expected=f"the root {root[:16]}…")
    return layout


def read_verified(layout: Layout, paths: Iterable[str], read: Callable[[str], bytes]) -> dict[str, bytes]:
    """Return the very bytes of the files that a layout lists, each verified; nothing is returned if anything differs.

    Args:
        layout: What was signed.
        paths: The files that are there.
        read: Returns a file's bytes.

    Raises:
        NotVerified: With every difference by file and row group.
    """
    there = set(paths)
    contents = {file.path: read(file.path) for file in layout.files if file.path in there}
    refuse(differences(layout, there, contents))
    return contents


def check_files(layout: Layout, files: Mapping[str, Path]) -> None:
    """Refuse files that are not as a layout lists them, a stretch at a time: none is held whole while all is well.

    Args:
        layout: What was signed.
        files: Where the files that are there lie; nobody changes them.

    Raises:
        NotVerified: With every difference by file and row group.
    """
    known = {file.path: file for file in layout.files}
    if set(known) != set(files) or not all(_as_listed(known[path], place) for path, place in files.items()):
        refuse(differences(layout, files, {path: place.read_bytes() for path, place in files.items()}))


def _as_listed(file: Listed, place: Path) -> bool:
    with place.open("rb") as data:
        for part in file.parts:
            hashed, left = hashlib.sha256(_LEAF), part.size
            while left and (read := data.read(min(left, _STRETCH))):
                hashed.update(read)
                left -= len(read)
            if left or hashed.hexdigest() != part.hash:
                return False
        return not data.read(1)


def refuse(found: tuple[Difference, ...]) -> None:
    """Refuse a table of which anything differs.

    Raises:
        NotVerified: With every difference by file and row group.
    """
    if found:
        words = "; ".join(str(each) for each in found[:_SHOWN]) + (" …" if len(found) > _SHOWN else "")
        remedy = "Check the version out anew: the workspace has it as it was signed."
        raise NotVerified(f"the table is not as it was signed: {words}", place=found[0].path, remedy=remedy)


def differences(layout: Layout, there: Iterable[str], contents: Mapping[str, bytes]) -> tuple[Difference, ...]:
    """Return everything that is not as a layout lists it: files in its order, then files that it does not list."""
    known = {file.path: file for file in layout.files}
    found = []
    for file in layout.files:
        data = contents.get(file.path)
        if data is None:
            found.append(Difference(path=file.path, part="", words="removed"))
        else:
            found += _file_differences(file, data, known)
    added = sorted(set(there) - set(known))
    return (*found, *(Difference(path=path, part="", words="added: it was not signed") for path in added))


def _file_differences(file: Listed, data: bytes, known: Mapping[str, Listed]) -> list[Difference]:
    view, at, wrong = memoryview(data), 0, []
    for part in file.parts:
        stretch = view[at : at + part.size]
        if len(stretch) != part.size or _hash(stretch) != part.hash:
            wrong.append(part)
        at += part.size
    if not wrong and len(data) == file.size:
        return []
    if (other := _same_as(file, data, known)) is not None:
        return [Difference(path=file.path, part="", words=f"swapped: its bytes are those of {other}")]
    if len(data) != file.size:
        words = f"rewritten: {len(data)} bytes instead of {file.size}"
        rows = _changed_groups(file, data)
        return [Difference(path=file.path, part=rows, words=words)]
    return [Difference(path=file.path, part=_named(part), words="changed in place") for part in wrong]


def _changed_groups(file: Listed, data: bytes) -> str:
    """Name the row groups whose bytes are nowhere where a rewritten file's own footer says that they are."""
    try:
        now = _parts(file.path, data)
    except InvalidData:
        return ""
    have = {part.hash for part in now}
    groups = [part.what.removeprefix("row group ") for part in file.parts if part.rows and part.hash not in have]
    return f"row group {', '.join(groups[:_SHOWN])}{' …' if len(groups) > _SHOWN else ''}" if groups else ""


def _same_as(file: Listed, data: bytes, known: Mapping[str, Listed]) -> str | None:
    """Return the other file of a table whose bytes these are."""
    for other in known.values():
        if other.path != file.path and other.size == len(data) and other.parts[0].hash == _hash_at(other, data):
            return other.path
    return None


def _hash_at(other: Listed, data: bytes) -> str:
    return _hash(memoryview(data)[: other.parts[0].size])


def _named(part: Part) -> str:
    return f"{part.what} ({part.rows} rows)" if part.rows else part.what


def _parts(path: str, data: bytes | mmap) -> tuple[Part, ...]:
    view = memoryview(data)
    if not path.endswith(".parquet"):
        return (Part(what=WHOLE, size=len(data), rows=0, hash=_hash(view)),)
    groups, end = row_groups(view), footer_start(view)
    starts = [0, *(group.start for group in groups[1:]), end] if groups else [0, end]
    parts = []
    for number, (start, stop) in enumerate(pairwise(starts)):
        what, rows = (f"row group {number}", groups[number].rows) if groups else (HEAD, 0)
        parts.append(Part(what=what, size=stop - start, rows=rows, hash=_hash(view[start:stop])))
    return (*parts, Part(what=FOOTER, size=len(data) - end, rows=0, hash=_hash(view[end:])))


def _hash(data: memoryview) -> str:
    hashed = hashlib.sha256(_LEAF)
    hashed.update(data)
    return hashed.hexdigest()
