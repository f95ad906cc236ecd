"""Files that are there after a power cut, and files that only their owner may read.

A new file is durable once its bytes *and* the directory that names it are synced (fsync(2): "Calling fsync() does not
necessarily ensure that the entry in the directory containing the file has also reached disk").
"""

import ctypes
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from holdfast.core.errors import InvalidInput, NotFound, Refused, Unavailable

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO  # any access of group or world
PRIVATE_FILE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700

_HERE: Final = -100  # AT_FDCWD: names are relative to the working directory
_EXCHANGE: Final = 2  # RENAME_EXCHANGE

READ_SAFELY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""How a file is opened whose name an attacker may have planted: no symbolic link is followed, no pipe is waited for."""


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, durably; an existing one is never touched.

    Raises:
        FileExistsError: Something of this name is there.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def link_new(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read: whole, durably, and never over another.

    Unlike `write_new` it never leaves half a file where the process dies: the bytes get their name last.

    Raises:
        FileExistsError: Something of this name is there.
    """
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    finally:
        Path(name).unlink()
    sync_directory(path.parent)


def exchange(one: Path, other: Path) -> None:
    """Let two names change places in one step (Linux renameat2 with RENAME_EXCHANGE).

    Raises:
        OSError: The kernel or the file system cannot, or one of them is not there.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one))


def read_private(path: Path, *, what: str, limit: int) -> bytes:
    """Return the bytes of a file that must be nobody else's to read.

    Args:
        path: The file.
        what: What it is, for the error: "the key file of role train".
        limit: The most bytes it may have.

    Raises:
        NotFound: It is not there.
        Refused: Group or world may read or write it, or it belongs to another user.
        InvalidInput: It is not a regular file, or too long.
        Unavailable: The operating system does not let us read it.
    """
    try:
        descriptor = os.open(path, READ_SAFELY)
    except FileNotFoundError:
        raise NotFound(f"{what} is missing", place=str(path), remedy="Restore it from where you keep it.") from None
    except OSError as error:
        raise Unavailable(f"{what} cannot be read: {error.strerror}", place=str(path)) from error
    try:
        _check_private(os.fstat(descriptor), path, what)
        data = _read(descriptor, limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise InvalidInput(f"{what} is too long", place=str(path), expected=f"at most {limit} bytes")
    return data


def _check_private(status: os.stat_result, path: Path, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInput(f"{what} is not a regular file", place=str(path))
    if status.st_mode & OTHERS:
        raise Refused(
            f"{what} is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
            place=str(path),
            expected="mode 0600",
            remedy="Take their access away with chmod 600, and replace the secret if somebody may have read it.",
        )
    if status.st_uid not in {os.geteuid(), 0}:  # root could read it anyway, and service managers hand secrets out
        raise Refused(f"{what} belongs to user {status.st_uid}", place=str(path), expected="a file of your own")


def _read(descriptor: int, limit: int) -> bytes:
    data = b""
    while len(data) < limit and (more := os.read(descriptor, limit - len(data))):
        data += more
    return data
