"""Quotas of a workspace at work: set, shown beside what is used, and asked before something is stored."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import QuotaExceeded
from holdfast.core.ports import Blobs, JobState, Ledger, Storage
from holdfast.core.quota import STREAM, quotas_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table

COUNTED_S: Final = 5.0  # how long a count of what is stored is believed; what this process adds is counted at once
LISTED: Final = 1000  # newest jobs, among which those that wait or run are
BUSY: Final = (JobState.WAITING, JobState.RUNNING)


def quota(plant: Plant) -> Reply:
    """Show the quotas in force, and what is used of each.

    Raises:
        Unavailable: A quota of bytes is set, and the blobs lie where they cannot be counted.
    """
    terms = quotas_of(plant.ledger.stream(STREAM))
    used = {
        "stored_bytes": stored(plant.storage, plant.archived) if terms.stored_bytes else None,
        "jobs": sum(task.state in BUSY for task in plant.jobs.newest(LISTED)),
        "requests_per_s": None,
    }
    limits = msgspec.structs.asdict(terms)
    rows = [
        (name.replace("_", " "), str(limit or "no limit"), "—" if used[name] is None else str(used[name]))
        for name, limit in limits.items()
    ]
    table = Table(title="Quotas", columns=("of", "at most", "used"), rows=rows)
    says = "What this workspace may take of the machine." if any(limits.values()) else "No quota is set."
    return Reply(says=says, document={"quotas": limits, "used": used}, tables=(table,))


def quota_set(
    plant: Plant, *, stored_bytes: int | None = None, jobs: int | None = None, requests_per_s: int | None = None
) -> Reply:
    """Set quotas; those that are left out stay as they are, and 0 takes a limit away.

    Raises:
        InvalidInput: One cannot be a limit.
        Unavailable: The blobs lie in an object store, where bytes are not counted.
    """
    given = {"stored_bytes": stored_bytes, "jobs": jobs, "requests_per_s": requests_per_s}
    named = {name: value for name, value in given.items() if value is not None}
    terms = msgspec.structs.replace(quotas_of(plant.ledger.stream(STREAM)), **named)
    terms.check()
    if terms.stored_bytes:
        stored(plant.storage, plant.archived)  # a limit that cannot be counted would stop everything
    plant.ledger.append([terms.draft(plant.actor)])
    return quota(plant)


def stored(*places: Storage) -> int:
    """Return how many bytes of blobs lie on the disk.

    Raises:
        Unavailable: They lie in an object store.
    """
    return sum(size for place in places for _, size in place.held())


@dataclass(slots=True)
class Room:
    """How much more may be stored: asked before each blob; safe for threads."""

    ledger: Ledger
    places: Iterable[Storage]
    monotonic: Callable[[], float] = time.monotonic
    _counted: int = 0
    _when: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def limit(self) -> int:
        """Return the quota of bytes in force; 0: none."""
        return quotas_of(self.ledger.stream(STREAM)).stored_bytes

    def take(self, size: int, limit: int) -> None:
        """Count a blob of so many bytes that is about to be stored.

        Raises:
            QuotaExceeded: There is no room for it; nothing was stored.
            Unavailable: What is stored cannot be counted.
        """
        with self._lock:
            now = self.monotonic()
            if now - self._when >= COUNTED_S:
                self._counted, self._when = stored(*self.places), now
            if self._counted + size > limit:
                raise QuotaExceeded(
                    f"the workspace's quota of {limit} bytes has no room for {size} more",
                    place=f"{self._counted} bytes are stored",
                    remedy="Archive or collect what is not needed (`holdfast registry collect`), or ask whoever runs "
                    "the machine for more (`holdfast quota set`).",
                )
            self._counted += size


@dataclass(frozen=True, slots=True)
class Metered:
    """Blobs that are stored only where the workspace's quota has room for them (port `Blobs`).

    What is stored already takes no more room. Documents are counted and never refused: evidence of what happened must
    not be lost because rows and models have filled the disk.
    """

    blobs: Blobs
    room: Room

    def put(self, data: bytes) -> Digest:
        """Store bytes; see `Blobs.put`.

        Raises:
            QuotaExceeded: There is no room for them.
        """
        limit = self.room.limit()
        if limit and not self.blobs.has(digest_bytes(data)):
            self.room.take(len(data), limit)
        return self.blobs.put(data)

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes; see `Blobs.put_file`.

        Raises:
            QuotaExceeded: There is no room for them.
        """
        limit = self.room.limit()
        if limit and path.is_file():  # what is no file is refused by whoever stores it
            with path.open("rb") as file:
                digest = Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())
                size = file.tell()
            if not self.blobs.has(digest):
                self.room.take(size, limit)
        return self.blobs.put_file(path)

    def put_document(self, data: bytes) -> Digest:
        """Store a document; see `Blobs.put_document`."""
        return self.blobs.put_document(data)

    def check(self, digest: Digest) -> bool:
        """Verify a blob; see `Blobs.check`."""
        return self.blobs.check(digest)

    def get(self, digest: Digest) -> bytes:
        """Return the bytes, verified; see `Blobs.get`."""
        return self.blobs.get(digest)

    def path(self, digest: Digest) -> Path:
        """Return a file holding them; see `Blobs.path`."""
        return self.blobs.path(digest)

    def has(self, digest: Digest) -> bool:
        """Say whether the blob exists."""
        return self.blobs.has(digest)
