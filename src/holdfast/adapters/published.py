"""The published folder as the gateway reads it, and the small file in which the gateway remembers what it has seen.

Reads bytes and believes nothing: verifying is `holdfast.serve.loading`'s.
"""

import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.durable import PRIVATE_FILE, READ_SAFELY, sync_directory
from holdfast.core.artifact import Digest
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Unavailable

MAX_MEMORY: Final = 4 << 20  # bytes of the memory file: a root, and fifty thousand revoked digests

MAX_PUBLISHED: Final = 2 << 30  # bytes of one file; protobuf, and so ONNX, holds no more
KEPT_S: Final = 3600.0  # that a document stays which a newer one has replaced
PUBLISHED_NAME: Final = re.compile(
    r"timestamp\.json|shelf\.json|[0-9]{1,16}\.(?:root|targets|routing|snapshot)\.json"
    r"|targets/[0-9a-f]{64}\.[a-z]{1,32}(?:\.[a-z]{1,8}){1,2}"
    r"|blobs/sha256/[0-9a-f]{2}/[0-9a-f]{62}"
    r"|index/[0-9a-f]{2}/[0-9a-f]{62}/[0-9a-f]{32}"
)

_Kept = TypeVar("_Kept", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class PublishedFolder:
    """What the control plane published: documents by name, blobs as they lie, by the digest of that."""

    root: Path

    def document(self, name: str, limit: int) -> bytes:
        """Return a document's bytes.

        Raises:
            NotFound: It is not there.
            InvalidInput: It is no regular file, or longer than `limit` bytes.
            Unavailable: The operating system does not let us read it.
        """
        return read_bounded(self.root / name, limit, name)

    def blob(self, digest: Digest, limit: int) -> bytes:
        """Return a blob's bytes.

        Raises:
            NotFound: It is not there.
            NotVerified: It no longer has its digest.
            InvalidInput: It is longer than `limit` bytes.
        """
        data = DiskBlobs(self.root / "blobs").get(digest)
        if len(data) > limit:
            raise InvalidInput(f"a blob of {len(data)} bytes", place=digest, expected=f"at most {limit}")
        return data

    def stamp(self, *names: str) -> tuple[tuple[int, int, int] | None, ...]:
        """Return what changes when a document is replaced: inode, time and size of each; None where there is none."""
        return tuple(_stamp(self.root / name) for name in names)


def read_bounded(path: Path, limit: int, what: str) -> bytes:
    """Return a regular file's bytes, following no symbolic link.

    Raises:
        NotFound: It is not there.
        InvalidInput: It is no regular file, or longer than `limit` bytes.
        Unavailable: The operating system does not let us read it.
    """
    try:
        descriptor = os.open(path, READ_SAFELY)
    except FileNotFoundError:
        raise NotFound(
            f"{what} is missing",
            place=str(path),
            remedy="Promote a release: that publishes. Or bring back what was taken away.",
        ) from None
    except OSError as error:
        raise Unavailable(f"{what} cannot be read: {error.strerror}", place=str(path)) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidInput(f"{what} is not a regular file", place=str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise InvalidInput(f"{what} is too long", place=str(path), expected=f"at most {limit} bytes")
    return data


def prune(root: Path, keep: frozenset[str]) -> None:
    """Remove documents that newer ones have long replaced; blobs are never touched.

    A gateway that has read the timestamp before the last may still be reading what that one named, so they
    stay a while.
    """
    found = [*root.glob("*.json"), *(root / "targets").glob("*")]
    old = time.time() - KEPT_S  # by the file system's clock, which is this machine's
    for path in found:
        status = path.lstat()
        name = path.relative_to(root).as_posix()
        if name not in keep and stat.S_ISREG(status.st_mode) and status.st_mtime < old:
            path.unlink(missing_ok=True)


def published_file(root: Path, name: str) -> bytes | None:
    """Return a file that gateways may fetch, or None: for whoever answers them over HTTP.

    Args:
        root: The published folder.
        name: A path below it, as a request names it. Only names that a repository has are looked for, so nothing
            outside the folder, hidden, or damaged and set aside can be had.

    Raises:
        Unavailable: The operating system does not let us read it.
    """
    if PUBLISHED_NAME.fullmatch(name) is None:
        return None
    try:
        return read_bounded(root / name, MAX_PUBLISHED, name)
    except (NotFound, InvalidInput):
        return None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFile(Generic[_Kept]):
    """What must never fall, in one JSON file, written durably and shared by all workers."""

    path: Path
    type: type[_Kept]
    join: Callable[[_Kept, _Kept], _Kept]  # what two memories together must never forget

    def recall(self) -> _Kept:
        """Return what was kept last, or the empty memory of a first start.

        Raises:
            NotVerified: The file is there and cannot be read: starting anew would let older tables in again.
        """
        try:
            document = read_bounded(self.path, MAX_MEMORY, "the gateway's memory")
        except NotFound:
            return self.type()
        except HoldfastError as error:
            raise _forgotten(self.path, error.message) from error
        try:
            return msgspec.json.decode(document, type=self.type)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _forgotten(self.path, str(error)) from error

    def keep(self, remembered: _Kept) -> None:
        """Keep this durably, together with what another worker has kept meanwhile.

        Raises:
            NotVerified: What is there cannot be read.
            Unavailable: It cannot be written.
        """
        try:
            with self._alone():
                replace_durably(self.path, msgspec.json.encode(self.join(self.recall(), remembered)))
        except OSError as error:
            raise Unavailable(
                f"the gateway's memory cannot be written: {error.strerror}", place=str(self.path)
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock that workers share; the kernel frees it when its holder dies."""
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _forgotten(path: Path, why: str) -> NotVerified:
    return NotVerified(
        f"the gateway's memory cannot be read: {why}",
        place=str(path),
        remedy="Find out who changed it; deleting it lets route tables in that were replaced long ago.",
    )


def replace_durably(path: Path, data: bytes) -> None:
    """Put bytes in a file's place: whole or not at all, and there after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)
