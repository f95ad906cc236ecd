"""Scratch: where rows lie decrypted while they are worked on. In memory where the machine offers enough of it.

What lies in memory never reaches a disk (swap excepted, which the operator encrypts or turns off) and is gone with the
power. Where there is too little, the workspace's own folder is used, and `holdfast data list` says so.
"""

import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from holdfast.adapters.durable import OTHERS, PRIVATE_DIRECTORY
from holdfast.core.errors import Refused, Unavailable

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - each user gets a folder of their own in it, which is checked
ENOUGH: Final = 2 << 30  # bytes; containers get 64 MiB by default, in which no data set of any size fits


def scratch_folder(chosen: Path | None, workspace: Path) -> Path:
    """Return the folder for decrypted rows of a workspace; it is made where it is not there.

    Args:
        chosen: A folder that the operator named for those of all workspaces.
        workspace: The workspace's folder. A copy of it lies elsewhere, and so gets scratch of its own.

    Raises:
        Refused: Somebody else's folder lies where ours would.
    """
    name = hashlib.sha256(os.fsencode(workspace.resolve())).hexdigest()[:16]
    if chosen is not None:
        return _own(chosen / name)
    try:
        enough = shutil.disk_usage(MEMORY).free >= ENOUGH and os.access(MEMORY, os.W_OK)
    except OSError:
        enough = False
    return _own(MEMORY / f"holdfast-{os.geteuid()}-{name}" if enough else workspace / "scratch")


def in_memory(folder: Path) -> bool:
    """Say whether a scratch folder lies in memory."""
    return folder.is_relative_to(MEMORY)


def leave(folder: Path) -> None:
    """Remove a scratch folder that nothing lies in any more."""
    with suppress(OSError):  # another process works in it
        folder.rmdir()


def _own(folder: Path) -> Path:
    """Make a folder that nobody else can enter; one that another made in its place is refused."""
    try:
        folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise Unavailable(f"the scratch folder cannot be made: {error.strerror}", place=str(folder)) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & OTHERS:
        raise Refused("the scratch folder is not ours alone", place=str(folder), expected="mode 0700, of this user")
    return folder
