"""The gateway's spool: security events and telemetry on disk, encrypted, until the control plane has taken them.

Statements of all workers form one chain, so their numbers are given out under a lock that the kernel frees when its
holder dies. A statement appears under its name whole or not at all:

1. its bytes go to a pending file, synced; 2. the head file says that its number is taken, and by which digest, synced;
3. the pending file gets its name. A crash before 2 leaves a number that is given out again; a crash after 2 leaves a
pending file that the next opening names. So no number is ever used twice, even if the control plane has long removed
the file.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from holdfast.adapters.durable import PRIVATE_DIRECTORY, PRIVATE_FILE, sync_directory
from holdfast.adapters.published import read_bounded, replace_durably
from holdfast.core.artifact import Digest
from holdfast.core.errors import NotFound, NotVerified, Unavailable
from holdfast.core.spool import MAX_SEGMENT, events_name, statement_name

MAX_HEAD: Final = 4096  # bytes


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    sequence: int = 0  # of the next statement
    previous: str = ""  # digest of the one before it


class Spool:
    """One worker's door to the spool folder."""

    __slots__ = ("_folder", "_segment", "_worker")

    def __init__(self, folder: Path, worker: int) -> None:
        """Open the folder, making it if need be."""
        folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        self._folder, self._worker = folder, worker
        segments = sorted(folder.glob(f"events-{worker}-*.jsonl"))
        self._segment = segments[-1] if segments else None

    def newest_events(self) -> bytes:
        """Return the newest file of events, as a crash may have left it."""
        if self._segment is None:
            return b""
        return read_bounded(self._segment, 2 * MAX_SEGMENT, "the newest file of events")

    def cut_events(self, length: int) -> None:
        """Cut the newest file of events after its last whole line; what follows was never acknowledged."""
        if self._segment is not None:
            with _written("the file of events"):
                os.truncate(self._segment, length)

    def set_events_aside(self) -> None:
        """Keep the newest file of events as evidence, and begin another: this one was changed behind our back."""
        if self._segment is not None:
            with _written("the file of events"):
                self._segment.rename(self._segment.with_suffix(".jsonl.broken"))
                sync_directory(self._folder)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Let the next events begin another file."""
        self._segment = None

    def append_events(self, lines: bytes, first: int) -> None:
        """Append lines durably, to a new file once the present one is long.

        Args:
            lines: Whole lines.
            first: Number of the first event in them, which names a new file.

        Raises:
            Unavailable: The disk is full or failing; nothing of the lines counts as written.
        """
        with _written("the security events"):
            segment = self._segment
            begun = segment is None or not _goes_on(segment)
            if segment is None or begun:
                segment = self._folder / events_name(self._worker, first)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(segment, flags, PRIVATE_FILE)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                length = file.tell()
                try:
                    _write_all(file.fileno(), lines)
                    os.fsync(file.fileno())
                except OSError:
                    os.ftruncate(file.fileno(), length)  # half a group would break the chain when it is written again
                    raise
            if begun:
                sync_directory(self._folder)
                self._segment = segment

    def tell(self, make: Callable[[int, str], tuple[bytes, Digest]]) -> None:
        """Append one statement to the chain of this gateway.

        Args:
            make: Returns the statement as it is to lie here, and its digest before it was encrypted, given its number
                and the digest of the one before it.

        Raises:
            Unavailable: The disk is full or failing; the number is free again.
            NotVerified: The head file cannot be read.
        """
        with _written("the telemetry"), self._alone():
            head = self._head()
            document, digest = make(head.sequence, head.previous)
            pending = self._pending(head.sequence)
            replace_durably(pending, document)
            following = _Head(sequence=head.sequence + 1, previous=digest)
            replace_durably(self._folder / "telemetry.head.json", msgspec.json.encode(following))
            self._name(pending, head.sequence)

    def recover(self) -> None:
        """Name the statement that a crash left pending.

        Raises:
            NotVerified: The head file cannot be read.
        """
        with _written("the telemetry"), self._alone():
            last = self._head().sequence - 1
            if last >= 0 and self._pending(last).exists():
                self._name(self._pending(last), last)

    def _pending(self, sequence: int) -> Path:
        return self._folder / f"pending-{sequence:010d}"

    def _name(self, pending: Path, sequence: int) -> None:
        pending.rename(self._folder / statement_name(sequence))
        sync_directory(self._folder)

    def _head(self) -> _Head:
        path = self._folder / "telemetry.head.json"
        try:
            return msgspec.json.decode(read_bounded(path, MAX_HEAD, "the head of the telemetry"), type=_Head)
        except NotFound:
            return _Head()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotVerified("the head of the telemetry cannot be read", place=str(path)) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self._folder / "telemetry.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _goes_on(segment: Path) -> bool:
    """Say whether a file of events takes further lines: it is still there, and not long yet."""
    try:
        return segment.stat().st_size < MAX_SEGMENT
    except FileNotFoundError:  # the control plane has taken it away
        return False


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextmanager
def _written(what: str) -> Iterator[None]:
    """Turn what the operating system says into an error that an operator can act on."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{what} cannot be written: {error.strerror}", remedy="Free space on the spool's disk."
        ) from error
