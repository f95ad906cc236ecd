"""One gateway in one folder: two would go on with each other's records, which then seem to be cut.

What is missing from a chain of events is taken for tampering, and production goes back to an earlier release for it.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from holdfast.core.errors import Conflict

LOCK: Final = "gateway.lock"
PATIENCE_S: Final = 10.0  # the workers of a gateway that was killed notice, and end, within a second or two
STEP_S: Final = 0.05


@contextmanager
def alone(home: Path, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold a gateway's folder until the block, and all processes that were forked in it, have ended.

    Args:
        home: The folder with what a gateway remembers and tells.
        patience_s: How long to wait for workers whose gateway was killed.

    Raises:
        Conflict: Another gateway runs in it.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + patience_s
        while not _locked(descriptor):
            holder = os.pread(descriptor, 20, 0).decode(errors="replace")
            if _lives(holder) or time.monotonic() > until:
                raise Conflict(
                    f"another gateway runs here: process {holder or 'unknown'}",
                    place=str(home),
                    remedy="Stop it first. --workers makes one gateway larger; one elsewhere has a folder of its own.",
                )
            time.sleep(STEP_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(process: str) -> bool:
    """Say whether a process is there; one of another host that shares the disk is not told from one that ended."""
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True
    except (ValueError, OSError):
        return False
    return True
