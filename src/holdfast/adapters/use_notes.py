"""Notes of uses of a key, written before each use and handed over to the ledger later: exact, whoever dies in between.

A wrapping key is used where no ledger is open yet: while a workspace is being unlocked, or in a signer process that has
none. So each use is first noted as a small file, which is on the disk before the key is asked. Whoever opens the ledger
next gathers the notes into a batch, appends one entry that names it, and removes it. A process that dies between the
entry and the removal leaves a batch that the ledger already names, and which is then only removed.
"""

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from holdfast.adapters.durable import PRIVATE_DIRECTORY, PRIVATE_FILE, link_new, sync_directory
from holdfast.adapters.published import read_bounded
from holdfast.core.errors import HoldfastError, Unavailable

FOLDER: Final = "uses"  # in the workspace
ROLE: Final = "unlock"  # what a wrapping key is for, where entries name the role of a key
MAX_NOTE: Final = 4096  # bytes
_NAME: Final = 16  # bytes drawn for the name of a note


class Use(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One use of a wrapping key."""

    key: str  # as its service calls it
    purpose: str


class UseNotes:
    """The notes of one workspace."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made with the first note."""
        self._folder = folder

    def note(self, use: Use) -> None:
        """Note a use that is about to be made; it may be made once this has returned.

        Raises:
            Unavailable: It cannot be noted: then the key must not be used.
        """
        try:
            self._folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            link_new(self._folder / f"use-{os.urandom(_NAME).hex()}.json", msgspec.json.encode(use))
        except OSError as error:
            raise Unavailable(f"the use of a key cannot be noted: {error.strerror}", place=str(self._folder)) from error

    def hand_over(
        self, append: Callable[[str, list[dict[str, str | int]]], None], appended: Callable[[str], bool]
    ) -> None:
        """Have every use put on record once.

        Args:
            append: Appends an entry that names a batch, with its uses.
            appended: Says whether there is an entry that names this batch; asked only after a process has died.

        Raises:
            Unavailable: The notes cannot be read or removed; what is not on record yet stays.
        """
        if not any(self._folder.glob("*-*")):
            return
        try:
            self._hand_over(append, appended)
        except OSError as error:
            words = f"the uses of keys cannot be handed over: {error.strerror}"
            raise Unavailable(words, place=str(self._folder)) from error

    def _hand_over(
        self, append: Callable[[str, list[dict[str, str | int]]], None], appended: Callable[[str], bool]
    ) -> None:
        with self._alone():
            for left in sorted(self._folder.glob("batch-*")):
                if not appended(left.name):
                    append(left.name, _counted(left))
                shutil.rmtree(left)
            notes = sorted(self._folder.glob("use-*.json"))
            if notes:
                batch = self._folder / f"batch-{os.urandom(_NAME).hex()}"
                batch.mkdir(mode=PRIVATE_DIRECTORY)
                for note in notes:
                    note.rename(batch / note.name)
                sync_directory(batch)
                sync_directory(self._folder)
                append(batch.name, _counted(batch))
                shutil.rmtree(batch)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # let go when the process ends, however it ends
            yield
        finally:
            os.close(descriptor)


def _counted(batch: Path) -> list[dict[str, str | int]]:
    """Return the uses of a batch, by key and purpose; a note that cannot be read was a use all the same."""
    counted = Counter[tuple[str, str]]()
    for path in sorted(batch.glob("use-*.json")):
        try:
            use = msgspec.json.decode(read_bounded(path, MAX_NOTE, "the note of a use"), type=Use)
            counted[use.key, use.purpose] += 1
        except (HoldfastError, msgspec.MsgspecError, UnicodeDecodeError):
            counted["unknown", "unreadable note"] += 1
    return [
        {"keyid": key, "role": ROLE, "purpose": purpose, "count": count}
        for (key, purpose), count in sorted(counted.items())
    ]
