"""Ports in memory: blobs, ledger and signers that behave like the real ones, without disk, database or key files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import Conflict, NotFound, NotVerified, Refused, Unavailable
from holdfast.core.ledger import (
    GENESIS,
    Audit,
    Checkpoint,
    Draft,
    Entry,
    Heads,
    Rebuilt,
    SignedCheckpoint,
    audit,
    entry_hash,
    link,
    parse_entry,
    sign_checkpoint,
)
from holdfast.core.merkle import Tree, leaf_hash
from holdfast.core.ports import Clock
from holdfast.core.trust import TrustedKey, keyid_of


class MemorySigner:
    """A signer whose Ed25519 key is made from a seed, so that a test's signatures are the same in every run."""

    __slots__ = ("_key", "public")

    def __init__(self, role: str, *, owner: str, start: datetime, lasts: timedelta = timedelta(days=365)) -> None:
        """Make the key of an owner for a role; another owner has another key."""
        seed = digest_bytes(f"{owner}/{role}".encode()).removeprefix("sha256:")
        self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.public = TrustedKey(
            keyid=keyid_of(der),
            algorithm="ed25519",
            public=_base64(der),
            role=role,
            not_before=start,
            not_after=start + lasts,
            owner=owner,
        )

    @property
    def keyid(self) -> str:
        """The key's identifier."""
        return self.public.keyid

    @property
    def role(self) -> str:
        """The one role this key signs for."""
        return self.public.role

    def sign(self, message: bytes) -> bytes:
        """Return a signature over the message."""
        return self._key.sign(message)

    def raw(self) -> bytes:
        """Return the public key's 32 bytes."""
        return self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


@dataclass(slots=True)
class MemoryBlobs:
    """Blobs in a dictionary, verified on every read (port `Blobs`); tests damage `held` to see who notices."""

    held: dict[str, bytes] = field(default_factory=dict)

    def put(self, data: bytes) -> Digest:
        """Keep bytes and return their digest."""
        digest = digest_bytes(data)
        self.held[digest] = bytes(data)
        return digest

    def put_document(self, data: bytes) -> Digest:
        """Keep bytes like any others."""
        return self.put(data)

    def put_file(self, path: Path) -> Digest:
        """Keep a file's bytes."""
        return self.put(path.read_bytes())

    def check(self, digest: Digest) -> bool:
        """Verify a blob.

        Raises:
            NotFound: No such blob.
            NotVerified: The bytes no longer have this digest.
        """
        self.get(digest)
        return True

    def get(self, digest: Digest) -> bytes:
        """Return the bytes, verified.

        Raises:
            NotFound: No such blob.
            NotVerified: They no longer have this digest.
        """
        if digest not in self.held:
            raise NotFound("there is no such blob", place=digest)
        data = self.held[digest]
        if digest_bytes(data) != digest:
            raise NotVerified("the stored bytes no longer have this digest", place=digest)
        return data

    def path(self, digest: Digest) -> Path:
        """Refuse: memory holds no files.

        Raises:
            Unavailable: Always.
        """
        raise Unavailable("blobs in memory have no paths", place=digest)

    def has(self, digest: Digest) -> bool:
        """Say whether the blob is held."""
        return digest in self.held


class MemoryLedger:
    """A ledger in lists (port `Ledger`): the same hashes, proofs and checkpoints as on disk, gone with the test."""

    def __init__(self, clock: Clock, signer: MemorySigner, origin: str) -> None:
        """Begin an empty ledger whose checkpoints this signer signs."""
        self._clock, self._signer, self._origin = clock, signer, origin
        self.documents: list[bytes] = []
        self._heads: dict[str, tuple[int, str]] = {}
        self._streams: dict[str, list[Entry]] = {}
        self._tree = Tree()
        self._leases: set[str] = set()
        self._nonces: set[str] = set()
        self._kept: dict[int, SignedCheckpoint] = {}

    def append(
        self, drafts: Sequence[Draft], *, expect: Heads | None = None, consume_nonce: str | None = None
    ) -> tuple[Entry, ...]:
        """Append all or nothing.

        Raises:
            Refused: The nonce was used before.
            Conflict: A head in `expect` has moved.
        """
        if consume_nonce in self._nonces:
            raise Refused("the permit was used before", place=str(consume_nonce))
        for stream, head in (expect or {}).items():
            if self._heads.get(stream, (0, GENESIS)) != tuple(head):
                raise Conflict("the stream has moved", place=stream)
        self._nonces |= {consume_nonce} if consume_nonce is not None else set()
        return tuple(self._append(draft) for draft in drafts)

    def _append(self, draft: Draft) -> Entry:
        previous = entry_hash(self.documents[-1]) if self.documents else GENESIS
        head = self._heads.get(draft.stream, (0, GENESIS))
        entry, document = link(draft, position=len(self.documents), previous=previous, head=head, now=self._clock.now())
        self.documents.append(document)
        self._heads[draft.stream] = (head[0] + 1, entry_hash(document))
        self._streams.setdefault(draft.stream, []).append(entry)
        self._tree.append(leaf_hash(document))
        return entry

    def stream(self, name: str) -> tuple[Entry, ...]:
        """Return every entry of one stream, in order."""
        return tuple(self._streams.get(name, ()))

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[Entry]:
        """Yield entries by position."""
        return (parse_entry(document) for document in self.documents[start:stop])

    def heads(self, streams: Sequence[str]) -> Heads:
        """Return the newest position and hash of each stream."""
        return {name: self._heads.get(name, (0, GENESIS)) for name in streams}

    def size(self) -> int:
        """Return the number of entries."""
        return len(self.documents)

    def root(self, size: int | None = None) -> bytes:
        """Return the Merkle root over all entries, or over the first `size` of them."""
        return self._tree.root(size)

    @contextmanager
    def lease(self, name: str) -> Iterator[None]:
        """Hold a named lease.

        Raises:
            Conflict: It is held already.
        """
        if name in self._leases:
            raise Conflict("somebody holds this lease", place=name)
        self._leases.add(name)
        try:
            yield
        finally:
            self._leases.remove(name)

    def verify(self, checkpoints: Sequence[Checkpoint]) -> Audit:
        """Check every entry."""
        return audit([(document, entry_hash(document)) for document in self.documents], checkpoints)

    def rebuild(self) -> Rebuilt:
        """Make nothing anew, since nothing is projected."""
        return Rebuilt(entries=len(self.documents), differed=())

    def checkpoint(self) -> SignedCheckpoint:
        """Sign and keep a checkpoint of the present tree."""
        made = Checkpoint(origin=self._origin, size=self.size(), root=self.root(), time=self._clock.now())
        signed = sign_checkpoint(made, public_key=self._signer.raw(), signature=self._signer.sign(made.body))
        self._kept[made.size] = signed
        return signed

    def checkpoints(self) -> tuple[SignedCheckpoint, ...]:
        """Return the checkpoints that were signed, oldest first; of one size the newest."""
        return tuple(self._kept[size] for size in sorted(self._kept))

    def inclusion(self, position: int, size: int) -> tuple[bytes, ...]:
        """Return the audit path of one entry in the tree of `size` entries."""
        return self._tree.inclusion(position, size)

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `new` entries only adds to the tree of `old`."""
        return self._tree.consistency(old, new)
