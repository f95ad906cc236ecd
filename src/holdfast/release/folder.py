"""A folder on disk as a verifier must see it: every plain file, hashed now, and nothing else."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from holdfast.core.artifact import Digest
from holdfast.core.errors import NotFound, NotVerified


def read_folder(folder: Path) -> Iterator[tuple[str, Digest]]:
    """Yield path and digest of every file under a folder, hashed as they are now.

    Links are never followed: a link would make the signature cover whatever it points to later.

    Raises:
        NotFound: There is no such folder.
        NotVerified: It holds a link, a device or anything else that is not a plain file.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise NotFound("there is no such folder", place=str(folder))
    for parent, folders, names in os.walk(folder, onerror=_unreadable):
        for name in folders:
            if (Path(parent) / name).is_symlink():
                raise NotVerified("the folder holds a link", place=str(Path(parent) / name), expected="plain files")
        for name in names:
            path = Path(parent) / name
            yield path.relative_to(folder).as_posix(), _hash(path)


def _unreadable(error: OSError) -> None:
    raise NotVerified(f"a folder cannot be read: {error.strerror}", place=str(error.filename)) from error


def _hash(path: Path) -> Digest:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotVerified(f"this cannot be read as a plain file: {error.strerror}", place=str(path)) from error
    with os.fdopen(handle, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NotVerified("this is not a plain file", place=str(path))
        return Digest("sha256:" + hashlib.file_digest(stream, "sha256").hexdigest())
