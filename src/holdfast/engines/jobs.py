"""The two sides of a sandboxed job's folder: what it is given, and the little that is taken of what it left.

Used by `train` and `assess`. Whatever a job leaves was made by foreign code: it is read by name, up to a size, from
regular files only, and everything else is left lying and counted.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.core.errors import StageFailed
from holdfast.core.ports import MIB, JobEnd, JobResult

MAX_MODEL: Final = 512 * MIB  # of one exported model; tabular ensembles of a thousand deep trees have a tenth of it
MAX_DOCUMENT: Final = MIB  # of one JSON document
MAX_LISTED: Final = 16  # names of ignored files that are kept; the rest is counted
MAX_WORDS: Final = 300  # characters of foreign text in one message
READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not hold the reader

ENDS: Final[Mapping[JobEnd, tuple[str, str]]] = {
    JobEnd.FAILED: ("ended with an error", "Correct what it says; run it outside the sandbox to see more."),
    JobEnd.TIMED_OUT: ("ran out of time", "Make it cheaper: fewer rows, fewer trees, fewer rounds."),
    JobEnd.OUT_OF_MEMORY: ("ran out of memory", "Make it smaller: fewer rows or features at a time, a smaller model."),
    JobEnd.KILLED: (
        "was killed",
        "It did what the sandbox does not allow, or crashed; docs/reference/recipe.md says what a job may do.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A job's folder: `given` is readable to it, `left` is where it may write. Nothing else of ours is."""

    given: Path
    left: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What was taken from a job's folder: the wanted files that were there, and what else lay about."""

    files: Mapping[str, bytes]
    ignored: tuple[str, ...]
    ignored_count: int


def make_room(scratch: Path, name: str) -> Room:
    """Return a new, empty folder for one job under a stage's own scratch folder."""
    room = Room(given=scratch / name / "given", left=scratch / name / "left")
    for folder in (room.given, room.left):
        folder.mkdir(parents=True, mode=0o700)
    return room


def collect(room: Room, wanted: Mapping[str, int]) -> Left:
    """Return the wanted files a job left, each only if it is a regular file of at most its bytes.

    Args:
        room: Where the job ran; it has ended.
        wanted: File name to the most bytes it may have.
    """
    files: dict[str, bytes] = {}
    ignored: list[str] = []
    count = 0
    with os.scandir(room.left) as entries:
        for entry in entries:
            data = _read(entry.path, wanted[entry.name]) if entry.name in wanted else None
            if data is not None:
                files[entry.name] = data
                continue
            count += 1
            if len(ignored) < MAX_LISTED:
                ignored.append(printable(entry.name, 80))
    return Left(files=files, ignored=tuple(sorted(ignored)), ignored_count=count)


def _read(path: str, limit: int) -> bytes | None:
    try:
        descriptor = os.open(path, READ_FLAGS)
    except OSError:  # a link, a socket, or a file without read permission: not what was asked for
        return None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(limit + 1)
    return data if len(data) <= limit else None


def printable(text: str, limit: int = MAX_WORDS) -> str:
    r"""Return foreign text as one bounded line without control characters, so that it cannot play with a terminal.

    >>> printable("a\x1b[2Jb\n  c")
    'a [2Jb c'
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def last_words(result: JobResult) -> str:
    """Return the last line a job wrote to standard error that says something, bounded; empty if there is none."""
    lines = result.stderr[-4096:].decode(errors="replace").splitlines()
    return next((words for line in reversed(lines) if (words := printable(line))), "")


def demand_finished(result: JobResult, what: str) -> None:
    """Go on only if a job came to its own end.

    Raises:
        StageFailed: It did not; the message holds the last line it wrote.
    """
    if result.end is JobEnd.FINISHED:
        return
    how, remedy = ENDS[result.end]
    words = last_words(result)
    raise StageFailed(
        f"{what} {how}" + (f": {words}" if words else ""), place=f"sandbox tier {result.tier}", remedy=remedy
    )
