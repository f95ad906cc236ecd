"""Layers laid over one another: which files are there in the end, whose content matters, and what every layer carries.

Steps (OCI image-spec, layer.md): 1. unpack a layer while both its digests are computed; 2. take names apart, refuse
those that lead out; 3. whiteouts remove what lower layers have; 4. an entry replaces what had its name; 5. compare the
digests. Content is kept only of small files that list packages; all other files pass by. Every text file of every layer
is looked through for secrets on the way: what a later layer removes is still in the image.
"""

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.core.errors import InvalidInput, MissingExtra, NotVerified
from holdfast.engines.images.layout import Blob, Place
from holdfast.engines.tar_headers import BoundedInfo

MAX_UNPACKED: Final = 32 << 30  # bytes of one image's layers
MAX_ENTRIES: Final = 3_000_000  # files of one image
MAX_KEPT: Final = 64 << 20  # bytes of one file that lists packages; a full dpkg status has 5 MB
MAX_KEPT_ALL: Final = 1 << 30  # of all of them
MAX_WINDOW: Final = 128 << 20  # bytes that a frame of Zstandard may look back
MAX_WORK: Final = 20_000_000  # paths that are looked at for removal in one image
MAX_DEPTH: Final = 200  # folders in one path
MAX_ODD: Final = 1000  # oddities that are listed
_CHUNK: Final = 1 << 20
_SETUID: Final = 0o4000
_SETGID: Final = 0o2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of the final image."""

    layer: int
    mode: int
    sort: str  # file, folder, link, device
    content: bytes | None = None


@dataclass(slots=True, kw_only=True)
class Tree:
    """What is there after some layers; grown by `lay`."""

    entries: dict[str, Entry] = field(default_factory=dict)
    below: dict[str, set[str]] = field(default_factory=dict)  # what lies in each folder, by path
    work: int = 0
    odd: list[tuple[str, str]] = field(default_factory=list)  # place and what is wrong there
    unpacked: int = 0
    kept: int = 0
    count: int = 0

    def put(self, path: str, entry: Entry) -> None:
        """Put an entry where nothing is, or in place of a folder's own."""
        self.entries[path] = entry
        while path:
            folder = path.rpartition("/")[0]
            beside = self.below.setdefault(folder, set())
            if path in beside:
                return
            beside.add(path)
            path = folder

    def remove(self, path: str, *, below_only: bool = False, layer: int | None = None) -> None:
        """Remove a path and what lies below it; with a layer, only what lower layers brought.

        Raises:
            InvalidInput: So much was removed again and again that the image is made for it.
        """
        self.work += 1
        if self.work > MAX_WORK:
            raise InvalidInput("the image removes too much", expected=f"at most {MAX_WORK} removals")
        for child in tuple(self.below.get(path, ())):
            self.remove(child, layer=layer)
        entry = self.entries.get(path)
        if not below_only and entry is not None and (layer is None or entry.layer < layer):
            del self.entries[path]
        if path and path not in self.entries and not self.below.get(path):
            self.below.pop(path, None)
            self.below.get(path.rpartition("/")[0], set()).discard(path)

    def of(self, sort: str) -> tuple[str, ...]:
        """Return the paths of one sort, in order."""
        return tuple(sorted(name for name, each in self.entries.items() if each.sort == sort))

    def setuid(self) -> tuple[str, ...]:
        """Return the files that run with their owner's or group's rights, in order."""
        marked = _SETUID | _SETGID
        return tuple(sorted(n for n, each in self.entries.items() if each.sort == "file" and each.mode & marked))


class Meter(io.RawIOBase):
    """A layer's bytes as they are unpacked: counted, hashed, bounded."""

    def __init__(self, stream: Any, tree: Tree) -> None:
        """Read from a stream."""
        self._stream, self._tree, self._hash = stream, tree, hashlib.sha256()

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes.

        Raises:
            InvalidInput: The image unpacks to more than is read.
        """
        data: bytes = self._stream.read(size if size >= 0 else _CHUNK)
        self._hash.update(data)
        self._tree.unpacked += len(data)
        if self._tree.unpacked > MAX_UNPACKED:
            raise InvalidInput("the image unpacks to too much", expected=f"at most {MAX_UNPACKED} bytes")
        return data

    @property
    def digest(self) -> str:
        """The digest of what was read."""
        return "sha256:" + self._hash.hexdigest()


class _Hashed(io.RawIOBase):
    """A stored blob's bytes, hashed as they pass."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.hash, self.size = stream, hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size if size >= 0 else _CHUNK)
        self.hash.update(data)
        self.size += len(data)
        return data


def lay(
    tree: Tree,
    place: Place,
    blob: Blob,
    *,
    number: int,
    diff_id: str,
    wanted: Callable[[str], bool],
    look: Callable[[str, Any], None],
) -> None:
    """Lay one layer over a tree.

    Args:
        tree: What lower layers gave.
        place: Where the image lies.
        blob: The layer, as it is stored.
        number: Its place, from 1.
        diff_id: The digest that it must have unpacked.
        wanted: Says whether the content of a path is kept.
        look: Is shown each plain file's path and stream, and may read from it.

    Raises:
        NotVerified: The layer has another digest, stored or unpacked, or another size.
        InvalidInput: It is no tar, compressed in a way that is not read, or too large.
    """
    with place.open(blob.name) as stored:
        hashed = _Hashed(stored)
        head = hashed.read(4)
        joined = _Prefixed(head, hashed)
        unpacked = Meter(_opened(head, joined, blob.name), tree)
        try:
            with tarfile.open(fileobj=unpacked, mode="r|", errorlevel=0, tarinfo=BoundedInfo) as archive:
                for member in archive:
                    _enter(tree, archive, member, number, wanted, look)  # 2. to 4.
            while unpacked.read(_CHUNK):  # what follows the end of the tar belongs to its digest
                pass
            while hashed.read(_CHUNK):
                pass
        except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
            raise InvalidInput(f"a layer cannot be read: {error}", place=blob.name) from error
    if blob.digest and ("sha256:" + hashed.hash.hexdigest() != blob.digest or hashed.size != blob.size):  # 5.
        raise NotVerified("the layer does not have its digest", place=blob.name, expected=blob.digest)
    if unpacked.digest != diff_id:
        raise NotVerified(
            "the layer does not unpack to what the configuration names", place=blob.name, expected=diff_id
        )


def _opened(head: bytes, joined: Any, place: str) -> Any:
    """Return a stream of what a stored layer unpacks to.

    Raises:
        MissingExtra: It is compressed with Zstandard, and the package that reads it is not installed.
    """
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=joined)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            import zstandard
        except ImportError as error:
            words = "a layer compressed with Zstandard"
            raise MissingExtra(words, place=place, remedy="pip install 'holdfast[scan]'") from error
        frames = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        return _Frames(frames.stream_reader(joined, read_across_frames=True), zstandard.ZstdError)
    return joined


class _Frames:
    """Zstandard frames, whose errors are those of any broken stream."""

    def __init__(self, reader: Any, broken: type[Exception]) -> None:
        self._reader, self._broken = reader, broken

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self._reader.read(size)
        except self._broken as error:
            raise ValueError(f"Zstandard: {error}") from error
        return data


class _Prefixed(io.RawIOBase):
    """A stream whose first bytes were looked at."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = size if size >= 0 else _CHUNK
        head, self._head = self._head[:size], self._head[size:]
        more: bytes = self._rest.read(size - len(head)) if len(head) < size else b""
        return head + more


def _enter(
    tree: Tree,
    archive: Any,
    member: tarfile.TarInfo,
    number: int,
    wanted: Callable[[str], bool],
    look: Callable[[str, Any], None],
) -> None:
    tree.count += 1
    if tree.count > MAX_ENTRIES:
        raise InvalidInput("the image has too many files", expected=f"at most {MAX_ENTRIES}")
    path = _path(member.name)
    if path is None:  # 2.
        _odd(tree, member.name, "a name that leads out of the image")
        return
    folder, _, name = path.rpartition("/")
    if name.startswith(".wh."):  # 3.
        if name == ".wh..wh..opq":
            tree.remove(folder, below_only=True, layer=number)
        elif not name.startswith(".wh..wh."):
            tree.remove(f"{folder}/{name[4:]}".lstrip("/"), layer=number)
        return
    before = tree.entries.get(path)  # 4.
    there = before is not None or path in tree.below  # a folder need not have an entry of its own
    if there and not (member.isdir() and (before is None or before.sort == "folder")):
        tree.remove(path)
    tree.put(path, _entry(tree, archive, member, path, number, wanted, look))


def _entry(
    tree: Tree,
    archive: Any,
    member: tarfile.TarInfo,
    path: str,
    number: int,
    wanted: Callable[[str], bool],
    look: Callable[[str, Any], None],
) -> Entry:
    if member.isdir():
        return Entry(layer=number, mode=member.mode, sort="folder")
    if member.islnk():
        target = _path(member.linkname)
        linked = tree.entries.get(target) if target else None
        if linked is None:
            _odd(tree, path, "a hard link to what is not there")
            return Entry(layer=number, mode=member.mode, sort="link")
        return Entry(layer=number, mode=linked.mode, sort=linked.sort, content=linked.content)
    if member.issym():
        return Entry(layer=number, mode=member.mode, sort="link")
    if not member.isreg():
        return Entry(layer=number, mode=member.mode, sort="device")
    stream, content = archive.extractfile(member), None
    if wanted(path):
        content = stream.read(MAX_KEPT + 1)
        tree.kept += len(content)
        if len(content) > MAX_KEPT or tree.kept > MAX_KEPT_ALL:
            raise InvalidInput("a list of packages is too large", place=path, expected=f"at most {MAX_KEPT} bytes")
        look(path, io.BytesIO(content))
    else:
        look(path, stream)
    return Entry(layer=number, mode=member.mode, sort="file", content=content)


def _odd(tree: Tree, place: str, what: str) -> None:
    if len(tree.odd) < MAX_ODD:
        tree.odd.append((place[:300], what))


def _path(name: str) -> str | None:
    """Return a name in an archive as a path of the image, or None where it leads out of it."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts or "\0" in name or not parts or len(parts) > MAX_DEPTH:
        return None if parts or name.strip("./") else ""
    return "/".join(parts)
