"""What gateways on other hosts have told, kept in a spool for each until the control plane takes it into the ledger.

It is encrypted for the control plane's vault, which this process cannot open: whoever breaks into what listens reads
none of it. So a statement is kept as it comes, events as whole lines that fit together as far as can be said unopened;
seals, gaps, replays and anchors are looked at by whoever drains the spool, as for the gateway beside the control plane,
and there a gateway speaks in no other's spool. What waits is bounded: a gateway that is refused keeps what it has.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.adapters.durable import PRIVATE_DIRECTORY, PRIVATE_FILE, sync_directory
from holdfast.adapters.published import read_bounded, replace_durably
from holdfast.core.errors import Conflict, NotFound, NotVerified, Unavailable
from holdfast.core.spool import MAX_SEGMENT, MAX_STATEMENT, SEALED

MAX_WAITING: Final = 256 << 20  # bytes of one gateway that wait to be drained
MAX_FILES: Final = 20_000  # of one gateway; two rounds' worth


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedSpool:
    """The spool of one gateway on another host (port `Taking`)."""

    folder: Path
    gateway: str
    check_chain: Callable[[bytes], object]  # raises NotVerified where lines are no chain of groups

    def statement(self, name: str, document: bytes) -> None:
        """Keep a statement; the same one twice is kept once.

        Raises:
            NotVerified: It is not encrypted, or another one of this number is there.
            Unavailable: It cannot be kept, or too much waits already.
        """
        if not document.startswith(SEALED):
            raise NotVerified("a statement that is not encrypted", place=name)
        path = self.folder / name
        with self._kept(len(document)):
            with suppress(NotFound):
                if read_bounded(path, MAX_STATEMENT, name) != document:
                    raise NotVerified("there is another statement of this number", place=name)
            replace_durably(path, document)

    def events(self, name: str, offset: int, lines: bytes) -> int:
        """Keep whole lines behind those that are there; return how many bytes there are now.

        A part that does not follow what is there changes nothing: the answer says from where to go on.

        Raises:
            Conflict: The file is gone and a newer one is there: it was drained to its end, which comes only once.
            NotVerified: They are no whole lines of one chain.
            Unavailable: They cannot be kept, or too much waits already.
        """
        path, series = self.folder / name, name.rpartition("-")[0]
        with self._kept(len(lines)):
            if not path.exists() and any(each.name > name for each in self.folder.glob(f"{series}-*.jsonl")):
                raise Conflict("this file was drained already", place=name)
            descriptor = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE
            )
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                there = os.fstat(descriptor).st_size
                if offset != there or not lines:
                    return there
                self.check_chain(lines)
                if there + len(lines) > 2 * MAX_SEGMENT:
                    raise NotVerified("a file of events is longer than a gateway makes one", place=name)
                try:
                    file.write(lines)
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, there)
                    raise
                if not there:
                    sync_directory(self.folder)
                return there + len(lines)

    @contextmanager
    def _kept(self, more: int) -> Iterator[None]:
        """See that there is room, and turn what the operating system says into an error."""
        try:
            self.folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            sizes = [entry.stat(follow_symlinks=False).st_size for entry in os.scandir(self.folder)]
            if sum(sizes) + more > MAX_WAITING or len(sizes) >= MAX_FILES:
                raise Unavailable("too much of this gateway waits", place=self.gateway, remedy="Run `holdfast watch`.")
            yield
        except OSError as error:
            raise Unavailable(f"what a gateway tells cannot be kept: {error.strerror}", place=self.gateway) from error
