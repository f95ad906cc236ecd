"""Ports of what is kept: blobs, and the garbage among them; history."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from holdfast.core.artifact import Digest

if TYPE_CHECKING:  # cryptography takes memory that whoever only knows the ports need not have
    from holdfast.core.ledger import Audit, Checkpoint, Draft, Entry, Heads, Rebuilt, SignedCheckpoint


class Blobs(Protocol):
    """Bytes by digest: written once, never changed, verified on every read."""

    def put(self, data: bytes) -> Digest:
        """Store bytes durably and return their digest; storing the same bytes again changes nothing."""
        ...

    def put_document(self, data: bytes) -> Digest:
        """Store bytes that hold no rows and no weights, and so may lie in the clear where others are sealed."""
        ...

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes in one streaming pass."""
        ...

    def check(self, digest: Digest) -> bool:
        """Verify a blob without handing it out; False where only its encrypted form could be verified.

        Raises:
            NotFound: No such blob.
            NotVerified: The stored bytes no longer have this digest.
        """
        ...

    def get(self, digest: Digest) -> bytes:
        """Return the bytes, verified.

        Raises:
            NotFound: No such blob.
            NotVerified: The stored bytes no longer have this digest.
        """
        ...

    def path(self, digest: Digest) -> Path:
        """Return a read-only file holding these bytes, verified just now."""
        ...

    def has(self, digest: Digest) -> bool:
        """Say whether the blob exists (unverified)."""
        ...


class Storage(Protocol):
    """What collecting garbage needs of the blobs: to see them all, and to let go of one in two steps."""

    def held(self) -> Iterator[tuple[Digest, int]]:
        """Yield each blob and its size in bytes, those set aside left out."""
        ...

    def set_aside(self, digest: Digest, at: datetime) -> None:
        """Take a blob out of the way, so that it is still read but counts as stored no more."""
        ...

    def aside(self) -> Iterator[tuple[Digest, datetime]]:
        """Yield each blob that was set aside, and when."""
        ...

    def put_back(self, digest: Digest) -> None:
        """Undo `set_aside`."""
        ...

    def drop(self, digest: Digest) -> None:
        """Delete a blob that was set aside; one that was stored again meanwhile stays."""
        ...


class Ledger(Protocol):
    """The append-only history."""

    def append(
        self, drafts: "Sequence[Draft]", *, expect: "Heads | None" = None, consume_nonce: str | None = None
    ) -> "tuple[Entry, ...]":
        """Append in one transaction and return once it is durable.

        Args:
            drafts: What to append, in order.
            expect: The stream heads the decision was made on; all must still be current.
            consume_nonce: The nonce of the permit that this rests on, spent in the same transaction.

        Raises:
            Refused: The nonce was used before; nothing was written.
            Conflict: A head in `expect` has moved; nothing was written.
        """
        ...

    def stream(self, name: str) -> "tuple[Entry, ...]":
        """Return every entry of one stream, in order."""
        ...

    def entries(self, start: int = 0, stop: int | None = None) -> "Iterator[Entry]":
        """Yield entries by position."""
        ...

    def heads(self, streams: Sequence[str]) -> "Heads":
        """Return the newest position and hash of each stream, all read at one moment."""
        ...

    def size(self) -> int:
        """Return the number of entries."""
        ...

    def root(self, size: int | None = None) -> bytes:
        """Return the Merkle root over all entries, or over the first `size` of them.

        Raises:
            NotFound: There are not so many entries.
        """
        ...

    def lease(self, name: str) -> AbstractContextManager[None]:
        """Hold a named lease, so that two processes do not do the same thing at once.

        Raises:
            Conflict: Another living process holds it.
        """
        ...

    def verify(self, checkpoints: "Sequence[Checkpoint]") -> "Audit":
        """Check every entry against the chain, the tree and outside checkpoints.

        Raises:
            LedgerBroken: With the first entry that does not fit as its place.
        """
        ...

    def rebuild(self) -> "Rebuilt":
        """Make every table that queries read anew from the entries, and say which said something else."""
        ...

    def checkpoint(self) -> "SignedCheckpoint":
        """Sign and keep a checkpoint of the present tree."""
        ...

    def checkpoints(self) -> "tuple[SignedCheckpoint, ...]":
        """Return the checkpoints kept beside the ledger, oldest first, nothing believed."""
        ...

    def inclusion(self, position: int, size: int) -> tuple[bytes, ...]:
        """Return the audit path of one entry in the tree of `size` entries (RFC 6962, 2.1.1)."""
        ...

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `new` entries only adds to the tree of `old` (RFC 6962, 2.1.2)."""
        ...
