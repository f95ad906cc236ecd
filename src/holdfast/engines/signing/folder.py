"""A folder or file on disk as a verifier must see it: every plain file, hashed now, and nothing else.

Hashing is the whole cost of a signature, and SHA-256 of one file cannot be divided. So files, or shards of large ones,
are hashed by as many threads as there are processors: `hashlib` lets the others run meanwhile.
"""

import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from holdfast.core.artifact import MAX_MANIFEST_FILES, Digest
from holdfast.core.errors import NotFound, NotVerified
from holdfast.engines.signing.bundle import WHOLE

BLOCK: Final = 1 << 18  # bytes read at once; larger ones leave the processor's cache before they are hashed
_SMALL: Final = 1 << 20  # bytes of all files together, below which threads cost more than they save
_SAFELY: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one thread hashes at once: a file, or a shard of one; `stop` is None at a file's end."""

    name: str
    path: Path
    size: int
    start: int = 0
    stop: int | None = None


def read_folder(folder: Path) -> Iterator[tuple[str, Digest]]:
    """Yield path and digest of every file under a folder, hashed as they are now.

    Links are never followed: a link would make the signature cover whatever it points to later.

    Raises:
        NotFound: There is no such folder.
        NotVerified: It holds a link, a device or anything else that is not a plain file.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise NotFound("there is no such folder", place=str(folder))
    yield from read_files(folder)


def read_files(
    place: Path, *, leave: Collection[Path] = (), shard_size: int = 0, threads: int | None = None
) -> tuple[tuple[str, Digest], ...]:
    """Return name and digest of every file of a folder, or of the one file, hashed in one pass as they are now.

    Args:
        place: The folder, or a file; the one file's name is `.`, as the format has it.
        leave: Absolute paths to leave out: the signature itself, if it lies in the folder.
        shard_size: Bytes of the shards to hash, which are then what is named, `path:start:end`; 0 for whole files.
        threads: How many hash at once; as many as there are processors, if left out.

    Raises:
        NotFound: There is nothing of this name.
        NotVerified: A link, a device or anything else that is not a plain file is in it; or a file without bytes, which
            a signature by shards cannot cover.
    """
    parts = _sharded(_plain_files(place, leave), shard_size) if shard_size else _plain_files(place, leave)
    workers = min(threads or len(os.sched_getaffinity(0)), len(parts))
    if workers <= 1 or sum(part.size for part in parts) < _SMALL:
        return tuple((part.name, _hash(part)) for part in parts)
    from concurrent.futures import ThreadPoolExecutor  # not needed for a few small files, and slow to load

    with ThreadPoolExecutor(max_workers=workers) as pool:  # large ones first, so that none of them is the last
        running = {part.name: pool.submit(_hash, part) for part in sorted(parts, key=lambda part: -part.size)}
        return tuple((part.name, running[part.name].result()) for part in parts)


def read_verified(place: Path, name: str, digest: Digest) -> bytes:
    """Return a file's bytes if they still have the digest that was verified: these very bytes are then used.

    Raises:
        NotVerified: They were changed between verification and use, or a link took the file's place.
    """
    path = place if name == WHOLE else place / name
    with _opened(path) as stream:
        data = stream.readall()
    if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
        raise NotVerified("the file was changed after it was verified", place=str(path))
    return data


def _plain_files(place: Path, leave: Collection[Path]) -> list[_Part]:
    if place.is_symlink():
        raise NotVerified("this is a link", place=str(place), expected="a folder or file itself")
    if place.is_file():
        return [_Part(name=WHOLE, path=place, size=place.stat().st_size)]
    if not place.is_dir():
        raise NotFound("there is no such folder or file", place=str(place))
    found: list[_Part] = []
    for parent, folders, names in os.walk(place, onerror=_unreadable):
        for name in folders:
            if (Path(parent) / name).is_symlink():
                raise NotVerified("the folder holds a link", place=str(Path(parent) / name), expected="plain files")
        found += [_listed(place, Path(parent) / name) for name in names if Path(parent, name).absolute() not in leave]
        if len(found) > MAX_MANIFEST_FILES:
            raise NotVerified("too many files", place=str(place), expected=f"at most {MAX_MANIFEST_FILES}")
    return sorted(found, key=lambda part: part.name)


def _listed(place: Path, path: Path) -> _Part:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise NotVerified("the folder holds a link", place=str(path), expected="plain files")
    if not stat.S_ISREG(found.st_mode):
        raise NotVerified("this is not a plain file", place=str(path))
    return _Part(name=path.relative_to(place).as_posix(), path=path, size=found.st_size)


def _sharded(files: list[_Part], shard_size: int) -> list[_Part]:
    found = []
    for file in files:
        if not file.size:
            words = "a file without bytes, which a signature by shards cannot cover"
            raise NotVerified(words, place=str(file.path), expected="a signature over whole files")
        for start in range(0, file.size, shard_size):
            stop = min(start + shard_size, file.size)
            name = f"{file.name}:{start}:{stop}"
            found.append(_Part(name=name, path=file.path, size=stop - start, start=start, stop=stop))
    return found


def _unreadable(error: OSError) -> None:
    raise NotVerified(f"a folder cannot be read: {error.strerror}", place=str(error.filename)) from error


def _opened(path: Path) -> FileIO:
    try:
        handle = os.open(path, _SAFELY)
    except OSError as error:
        raise NotVerified(f"this cannot be read as a plain file: {error.strerror}", place=str(path)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotVerified("this is not a plain file", place=str(path))
    return FileIO(handle)


def _hash(part: _Part) -> Digest:
    hashed, view = hashlib.sha256(), memoryview(bytearray(BLOCK))
    with _opened(part.path) as stream:
        if part.start:
            stream.seek(part.start)
        left = part.stop - part.start if part.stop is not None else None
        while left is None or left > 0:
            count = stream.readinto(view if left is None or left >= BLOCK else view[:left])
            if not count:
                break
            hashed.update(view[:count])
            left = None if left is None else left - count
        if left:
            raise NotVerified("the file became shorter while it was read", place=str(part.path))
    return Digest("sha256:" + hashed.hexdigest())
