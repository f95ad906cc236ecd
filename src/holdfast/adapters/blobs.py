"""Blobs on disk: a file per digest, written once, read-only, verified on every read.

Decides how bytes become durable and when a stored file is believed. A blob appears under its name whole or not at all:

1. the bytes go to a temporary file of the same file system while they are hashed; 2. it is made read-only and synced;
3. it gets its name by a hard link, which cannot overwrite; 4. the directory is synced. A crash before 3 leaves a file
in `incoming/` that a later opening sweeps away; a crash after 3 leaves a whole blob.

Layout: `<root>/sha256/ab/cdef…`, and `<root>/aside/ab/cdef…` for what waits to be collected. What is promised holds
against crashes, bit rot and whoever can plant files. It does not hold against a process of the same user that rewrites
a file between its verification and its use: `get` hands out the very bytes it verified, `open_verified` and `path` can
only say what held a moment ago.
"""

import errno
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO, Final

from holdfast.adapters.durable import PRIVATE_DIRECTORY, READ_SAFELY, sync_directory
from holdfast.core.artifact import Digest, digest_bytes, parse_digest
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Unavailable

BUFFER: Final = 1 << 20  # bytes copied and hashed at once: large enough that hashing, not calling, takes the time
READ_ONLY: Final = 0o444
SWEEP_AFTER_S: Final = 24 * 3600.0  # nobody writes one blob for a day without the file's time moving
ASIDE: Final = "aside"  # the folder of blobs that nothing named when garbage was last looked for
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


class DiskBlobs:
    """Content-addressed files under one folder (port `Blobs`).

    Opening creates nothing, so a reader needs no right to write.
    """

    __slots__ = ("_durable_shards", "_root")

    def __init__(self, root: Path) -> None:
        """Open the store at `root` and sweep away what crashes left there more than a day ago."""
        self._root = root
        self._durable_shards: set[Path] = set()
        self._sweep()

    def put(self, data: bytes) -> Digest:
        """Store bytes durably and return their digest; storing the same bytes again changes nothing.

        Raises:
            NotVerified: A damaged blob stands under this digest; it is left in place as evidence.
            Unavailable: The file system is full, read-only or failing.
        """
        digest = digest_bytes(data)
        if not self.has(digest):
            with self.incoming() as (file, temporary):
                file.write(data)
                self.settle(file, temporary, digest)
        else:
            self._stored_already(digest)
        return digest

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes in one streaming pass, hashed as they are copied.

        A symbolic link is refused, because whoever made the folder could point it anywhere: resolve those you trust.

        Raises:
            InvalidInput: There is no such regular file.
            NotVerified: A damaged blob stands under this digest.
            Unavailable: The file system is full, read-only or failing.
        """
        with open_source(path) as source, self.incoming() as (file, temporary):
            digest = _copy(source, file)
            self.settle(file, temporary, digest)
        return digest

    def get(self, digest: Digest) -> bytes:
        """Return the bytes, verified: these very bytes have the digest.

        Raises:
            NotFound: No such blob.
            NotVerified: The stored bytes no longer have this digest, or something else stands in their place.
        """
        with self._open(digest) as file:
            data = file.read()
        if digest_bytes(data) != digest:
            raise _damaged(digest)
        return data

    def open_verified(self, digest: Digest) -> BufferedReader:
        """Return an open file, verified through this same descriptor, for blobs too large for memory.

        Raises:
            NotFound: No such blob.
            NotVerified: The stored bytes no longer have this digest, or something else stands in their place.
        """
        with ExitStack() as closing:
            file = closing.enter_context(self._open(digest))
            if hashlib.file_digest(file, "sha256").hexdigest() != digest.removeprefix("sha256:"):
                raise _damaged(digest)
            file.seek(0)
            closing.pop_all()
        return file

    def put_document(self, data: bytes) -> Digest:
        """Store bytes that are made to be shown: here, like any others."""
        return self.put(data)

    def check(self, digest: Digest) -> bool:
        """Verify a blob where it lies; True, since nothing here is sealed.

        Raises:
            NotFound: No such blob.
            NotVerified: The stored bytes no longer have this digest, or something else stands in their place.
        """
        self.open_verified(digest).close()
        return True

    def path(self, digest: Digest) -> Path:
        """Return a read-only file holding these bytes, verified just now.

        Raises:
            NotFound: No such blob.
            NotVerified: The stored bytes no longer have this digest, or something else stands in their place.
        """
        self.open_verified(digest).close()
        target = self._target(digest)
        if not target.exists():  # it was set aside; who asks for a file is going to use it
            self.put_back(digest)
        return target

    def has(self, digest: Digest) -> bool:
        """Say whether the blob exists (unverified); a link or a folder in its place does not count."""
        try:
            return stat.S_ISREG(os.lstat(self._target(digest)).st_mode)
        except OSError:
            return False

    def _target(self, digest: Digest) -> Path:
        # Parsed at the one place where a digest becomes a path: a string from outside must never name another file.
        name = parse_digest(digest).removeprefix("sha256:")
        return self._root / "sha256" / name[:2] / name[2:]

    def _open(self, digest: Digest) -> BufferedReader:
        try:
            descriptor = self._descriptor(digest)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound("there is no such blob", place=digest) from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NotVerified("a symbolic link stands in place of the blob", place=digest) from None
            raise Unavailable(f"the blob cannot be read: {error.strerror}", place=digest) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotVerified("something that is no file stands in place of the blob", place=digest)
        return BufferedReader(FileIO(descriptor))

    def _descriptor(self, digest: Digest) -> int:
        try:
            return os.open(self._target(digest), READ_SAFELY)
        except FileNotFoundError:  # set aside, perhaps in this very moment: whoever needs it still finds it there
            return os.open(self._aside(digest), READ_SAFELY)

    def held(self) -> Iterator[tuple[Digest, int]]:
        """Yield each blob and its size in bytes; what is no blob of ours in the folder is passed over."""
        yield from ((digest, found.st_size) for digest, found in self._listed(self._root / "sha256"))

    def aside(self) -> Iterator[tuple[Digest, datetime]]:
        """Yield each blob that was set aside, and when."""
        for digest, found in self._listed(self._root / ASIDE):
            yield digest, datetime.fromtimestamp(found.st_mtime, UTC)

    def set_aside(self, digest: Digest, at: datetime) -> None:
        """Take a blob out of the way by one rename: it is still read, and stored anew by whoever puts it.

        Raises:
            NotFound: No such blob.
            Unavailable: The file system is read-only or failing.
        """
        target = self._target(digest)
        with _moving(digest):
            os.utime(target, (at.timestamp(), at.timestamp()), follow_symlinks=False)
            self._rename(target, self._aside(digest))

    def put_back(self, digest: Digest) -> None:
        """Give a blob that was set aside its place again.

        Raises:
            NotFound: It was not set aside.
            Unavailable: The file system is read-only or failing.
        """
        with _moving(digest):
            self._rename(self._aside(digest), self._target(digest))

    def drop(self, digest: Digest) -> None:
        """Delete a blob that was set aside; one that was stored again meanwhile stays.

        Raises:
            NotFound: It was not set aside.
            Unavailable: The file system is read-only or failing.
        """
        with _moving(digest):
            self._aside(digest).unlink()

    def move_away(self, digest: Digest, folder: Path) -> None:
        """Move whatever stands in a damaged blob's place into a folder, as evidence of what changed it.

        Raises:
            NotFound: Nothing stands there.
            Unavailable: It cannot be moved.
        """
        with _moving(digest):
            target = self._target(digest)
            source = target if os.path.lexists(target) else self._aside(digest)
            folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            self._rename(source, folder / f"{parse_digest(digest).removeprefix('sha256:')}.{os.urandom(4).hex()}")

    def _rename(self, source: Path, target: Path) -> None:
        target.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        source.rename(target)  # atomic: a crash leaves it in one of the two places, and it is read from both
        sync_directory(target.parent)
        sync_directory(source.parent)

    def _aside(self, digest: Digest) -> Path:
        name = parse_digest(digest).removeprefix("sha256:")
        return self._root / ASIDE / name[:2] / name[2:]

    def _listed(self, folder: Path) -> Iterator[tuple[Digest, os.stat_result]]:
        with suppress(FileNotFoundError, NotADirectoryError):
            for shard in sorted(folder.iterdir()):
                for path in sorted(shard.iterdir()) if shard.is_dir() else ():
                    with suppress(InvalidInput, FileNotFoundError):
                        yield parse_digest(f"sha256:{shard.name}{path.name}"), path.lstat()

    @contextmanager
    def incoming(self) -> Iterator[tuple[BinaryIO, Path]]:
        """Yield a new file of the store's own file system, for `settle`; its temporary name is gone afterwards."""
        temporary = None
        try:
            self._root.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            folder = self._root / "incoming"
            folder.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=folder)
            temporary = Path(name)
            with os.fdopen(descriptor, "wb") as file:
                yield file, temporary
        except OSError as error:
            raise Unavailable(f"the blob cannot be written: {error.strerror}", place=str(self._root)) from error
        finally:
            if temporary is not None:
                with suppress(OSError):  # what stays is swept away by a later opening
                    temporary.unlink()

    def settle(self, file: BinaryIO, temporary: Path, digest: Digest) -> None:
        """Give a file that `incoming` yielded the name of its digest, durably."""
        file.flush()
        os.fchmod(file.fileno(), READ_ONLY)
        os.fsync(file.fileno())
        target = self._target(digest)
        self._make_shard(target.parent)
        try:
            os.link(temporary, target)
        except FileExistsError:  # the same bytes came in before, or in this very moment from another process
            self._stored_already(digest)
            return
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            temporary.rename(target)  # may replace a file of the same digest that came in this moment: the same bytes
        sync_directory(target.parent)

    def _stored_already(self, digest: Digest) -> None:
        # A damaged file does not count as stored, and whoever linked it may have died before the directory was synced.
        self.open_verified(digest).close()
        try:
            sync_directory(self._target(digest).parent)
        except OSError as error:
            raise Unavailable(f"the blob cannot be made durable: {error.strerror}", place=digest) from error

    def _make_shard(self, shard: Path) -> None:
        """Make a folder and its name durable; whoever made it first may have died before that."""
        if shard in self._durable_shards:
            return
        shard.parent.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        shard.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        there = list(shard.parent.iterdir())  # read first: what is made durable below, are the names of all of these
        sync_directory(shard.parent)
        if not self._durable_shards:
            sync_directory(self._root)
            sync_directory(self._root.parent)
        self._durable_shards.update(there)

    def _sweep(self) -> None:
        oldest = time.time() - SWEEP_AFTER_S
        # A store that this process may only read is swept by the one who writes it.
        with suppress(OSError), os.scandir(self._root / "incoming") as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_mtime < oldest:
                    Path(entry.path).unlink()


@contextmanager
def _moving(digest: Digest) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound("there is no such blob", place=digest) from None
    except OSError as error:
        raise Unavailable(f"the blob cannot be moved: {error.strerror}", place=digest) from error


def open_source(path: Path) -> FileIO:
    """Open a regular file whose name somebody else chose; no link is followed.

    Raises:
        InvalidInput: There is no such regular file.
    """
    try:
        descriptor = os.open(path, READ_SAFELY)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise InvalidInput(f"the file cannot be read: {reason}", place=str(path), expected="a regular file") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput("this is not a regular file", place=str(path))
    return FileIO(descriptor)


def _copy(source: FileIO, file: BinaryIO) -> Digest:
    buffer = memoryview(bytearray(BUFFER))
    hashed = hashlib.sha256()
    while count := source.readinto(buffer):
        hashed.update(buffer[:count])
        file.write(buffer[:count])
    return Digest("sha256:" + hashed.hexdigest())


def _damaged(digest: Digest) -> HoldfastError:
    return NotVerified(
        "the stored bytes no longer have this digest",
        place=digest,
        remedy="Move the file away as evidence and store a good copy; `holdfast verify` lists what still holds.",
    )
