"""The ledger in a database: appends in groups, reads that verify, proofs, checkpoints, and the audit of everything.

Whatever is read is checked on the way: an entry whose bytes, hash, place or columns do not fit is an error, never an
answer. Whatever is signed is checked before: the tree grows only along an unbroken chain, and no checkpoint is signed
that contradicts the newest one already signed. How far all this can be believed is `verify`'s to say: what lies beside
the ledger can be replaced together with it, so only a checkpoint kept elsewhere anchors it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Row, delete, insert, select

from holdfast.adapters.database import checkpoints, entries, pointers, reading, recording, streams
from holdfast.adapters.group_commit import GroupCommit, request
from holdfast.adapters.history import PAGE, audited, chained, checked, folded, size_of
from holdfast.adapters.leases import TTL_S, lease
from holdfast.adapters.projections import Rows, read_heads
from holdfast.core.artifact import Digest
from holdfast.core.errors import LedgerBroken, NotFound, NotVerified
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
    open_checkpoint,
    sign_checkpoint,
)
from holdfast.core.merkle import Tree, leaf_hash
from holdfast.core.ports import Clock
from holdfast.core.trust import TrustedKey, raw_ed25519


class CheckpointSigner(Protocol):
    """What the ledger needs of its key: Ed25519, as signed notes ask for."""

    @property
    def public(self) -> TrustedKey:
        """The public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return a signature over the message."""
        ...


class SqlLedger:
    """The append-only history in SQLite or PostgreSQL (port `Ledger`); safe for threads, and beside other processes."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        signer: CheckpointSigner | Callable[[], CheckpointSigner],
        origin: str,
        former: Sequence[TrustedKey] | Callable[[], Sequence[TrustedKey]] = (),
    ) -> None:
        """Use a database whose schema is current.

        Args:
            engine: From `open_database`.
            clock: The witness of each entry's time.
            signer: The ledger's key, or what says which it is by now; asked to sign checkpoints only.
            origin: The ledger's name in its checkpoints (C2SP tlog-checkpoint, "origin").
            former: Keys that signed earlier checkpoints kept here, or what says which.
        """
        self._engine = engine
        self._clock = clock
        self._present = signer if callable(signer) else lambda: signer
        self._former = former if callable(former) else lambda: former
        self._origin = origin
        self._commits = GroupCommit(engine, clock)
        self._tree = Tree()
        self._head = GENESIS  # hash of the newest entry in the tree
        self._growing = threading.Lock()

    def append(
        self, drafts: Sequence[Draft], *, expect: Heads | None = None, consume_nonce: str | None = None
    ) -> tuple[Entry, ...]:
        """Append in one transaction and return once it is durable.

        Args:
            drafts: What to append, in order.
            expect: The stream heads the decision was made on; all must still be current.
            consume_nonce: The nonce of the permit that this rests on, spent in the same transaction.

        Returns:
            The entries as a reader will find them.

        Raises:
            Conflict: A head in `expect` has moved; nothing was written.
            Refused: The nonce was used before; nothing was written.
            InvalidInput: No drafts, or one that cannot be stored; nothing was written.
            Unavailable: The database is busy, full or gone; nothing was written.
        """
        return self._commits.append(request(drafts, expect, consume_nonce))

    def lease(self, name: str, ttl_s: float = TTL_S) -> AbstractContextManager[None]:
        """Hold a named lease, renewed while the block runs.

        Raises:
            Conflict: Another living process holds it, named; or the lease was lost inside the block.
        """
        return lease(self._engine, self._clock, name, ttl_s=ttl_s)

    def stream(self, name: str) -> tuple[Entry, ...]:
        """Return every entry of one stream, in order, the whole of it.

        Raises:
            LedgerBroken: An entry was changed or is missing.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(entries).where(entries.c.stream == name).order_by(entries.c.stream_position)
            ).all()
            row = connection.execute(select(streams.c.length, streams.c.head).where(streams.c.stream == name)).first()
        head, found = (0, GENESIS), []
        for each in rows:
            entry = checked(each)
            if (entry.stream_position, entry.stream_previous) != head:
                raise LedgerBroken(f"the history of {name} has a gap here", place=f"entry {entry.position}")
            head = (entry.stream_position + 1, each.hash)
            found.append(entry)
        if head != (tuple(row) if row else (0, GENESIS)):  # else a bad end could be hidden by cutting it off
            raise LedgerBroken(f"the history of {name} does not end where it should", place=f"stream {name}")
        return tuple(found)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[Entry]:
        """Yield entries by position, `stop` excluded; what is appended meanwhile is included where `stop` allows.

        Raises:
            LedgerBroken: An entry was changed or is missing.
        """
        position = start
        while stop is None or position < stop:
            query = select(entries).where(entries.c.position >= position).order_by(entries.c.position).limit(PAGE)
            with reading(self._engine) as connection:
                rows = connection.execute(query).all()
            for row in rows:
                if stop is not None and position >= stop:
                    return
                if row.position != position:
                    raise LedgerBroken("the next entries are missing", place=f"entry {position}")
                yield checked(row)
                position += 1
            if not rows:
                return

    def heads(self, streams: Sequence[str]) -> Heads:
        """Return the newest position and hash of each stream, all read at one moment."""
        with reading(self._engine) as connection:
            return read_heads(connection, streams)

    def size(self) -> int:
        """Return the number of entries."""
        with reading(self._engine) as connection:
            return size_of(connection)

    def pointer(self, name: str) -> Digest | None:
        """Return the digest that a name points to now, or None."""
        with reading(self._engine) as connection:
            found = connection.execute(select(pointers.c.digest).where(pointers.c.name == name)).scalar()
        return Digest(found) if found else None

    def root(self, size: int | None = None) -> bytes:
        """Return the Merkle root over all entries, or over the first `size` of them.

        Raises:
            NotFound: There are not so many entries.
            LedgerBroken: The chain breaks.
        """
        with self._growing:
            if size is None or size > len(self._tree):
                self._grow()
            try:
                return self._tree.root(size)
            except ValueError as error:
                raise NotFound(str(error), place=self._origin) from error

    def inclusion(self, position: int, size: int) -> tuple[bytes, ...]:
        """Return the audit path of one entry in the tree of `size` entries (RFC 6962, 2.1.1).

        Raises:
            NotFound: There are not so many entries.
            LedgerBroken: The chain breaks.
        """
        with self._growing:
            if size > len(self._tree):
                self._grow()
            try:
                return self._tree.inclusion(position, size)
            except ValueError as error:
                raise NotFound(str(error), place=self._origin) from error

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `new` entries only adds to the tree of `old` (RFC 6962, 2.1.2).

        Raises:
            NotFound: There are not so many entries.
            LedgerBroken: The chain breaks.
        """
        with self._growing:
            if new > len(self._tree):
                self._grow()
            try:
                return self._tree.consistency(old, new)
            except ValueError as error:
                raise NotFound(str(error), place=self._origin) from error

    def checkpoint(self) -> SignedCheckpoint:
        """Sign and keep a checkpoint of the present tree.

        Raises:
            LedgerBroken: The chain breaks, or history no longer fits the newest checkpoint kept here: what does not fit
                is not signed.
            Unavailable: The key cannot be unlocked.
        """
        with self._growing:
            self._grow()
            with reading(self._engine) as connection:
                newest = self._kept(connection, newest_only=True)
            for kept in newest:
                if kept.size > len(self._tree) or self._tree.root(kept.size) != kept.root:
                    raise LedgerBroken(
                        f"history before the checkpoint at {kept.size} was rewritten", place=f"entries 0 to {kept.size}"
                    )
            present = Checkpoint(
                origin=self._origin, size=len(self._tree), root=self._tree.root(), time=self._clock.now()
            )
        signer = self._present()  # once: a rotation may come between the signature and its name
        signature = signer.sign(present.body)
        signed = sign_checkpoint(present, public_key=raw_ed25519(signer.public), signature=signature)
        with recording(self._engine) as connection:  # of one size the newest is kept: it says the same, later
            connection.execute(delete(checkpoints).where(checkpoints.c.size == present.size))
            connection.execute(insert(checkpoints), {"size": present.size, "note": signed.note})
        return signed

    def checkpoints(self) -> tuple[SignedCheckpoint, ...]:
        """Return the checkpoints kept beside the ledger, oldest first, nothing believed."""
        with reading(self._engine) as connection:
            notes = connection.execute(select(checkpoints.c.note).order_by(checkpoints.c.size)).scalars().all()
        return tuple(SignedCheckpoint(note=bytes(note)) for note in notes)

    def verify(self, checkpoints: Sequence[Checkpoint] = ()) -> Audit:
        """Check everything: chain, streams, tree, columns, projections and the checkpoints kept here.

        Args:
            checkpoints: Opened checkpoints from anywhere but beside the ledger; only these anchor it.

        Raises:
            LedgerBroken: With the first entry, checkpoint or table that does not fit as its place.
        """
        rows = Rows()
        with reading(self._engine) as connection:
            kept = self._kept(connection)
            with closing(audited(connection, rows)) as stream:
                found = audit(stream, [*kept, *checkpoints])
            differing = rows.differing(connection)
        if differing:
            raise LedgerBroken(
                "a table says something else than the entries it is made from",
                place=f"table {differing[0].name}",
                remedy="Find out who changed it; then `holdfast ledger rebuild` makes it anew.",
            )
        return replace(found, anchored=max((each.size for each in checkpoints if each.size), default=None))

    def rebuild(self) -> Rebuilt:
        """Make every projection anew from the entries, and say which of them said something else.

        Raises:
            LedgerBroken: An entry was changed or is missing; nothing was touched.
        """
        rows, count = Rows(), 0
        with recording(self._engine) as connection:
            with closing(chained(connection, 0, GENESIS)) as history:
                for entry, _, hashed in history:
                    rows.add(folded(entry, hashed))
                    count += 1
            differing = rows.differing(connection)
            rows.replace(connection, differing)
        return Rebuilt(entries=count, differed=tuple(table.name for table in differing))

    @property
    def engine(self) -> Engine:
        """The database, for the operational tables that lie beside the history."""
        return self._engine

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    def _known(self) -> Iterator[TrustedKey]:
        """Yield the keys that may have signed what is kept here; the present one only where it can be had."""
        yield from self._former()
        with suppress(NotFound):  # no key of today is held here: those of then are enough to read
            yield self._present().public

    def _grow(self) -> None:
        """Take new entries into the tree, along an unbroken chain from the last one that is in it."""
        with reading(self._engine) as connection:
            if size_of(connection) < len(self._tree):
                raise LedgerBroken("entries are gone that were here before", place=f"entry {len(self._tree) - 1}")
            for _, document, hashed in chained(connection, len(self._tree), self._head):
                self._tree.append(leaf_hash(document))
                self._head = hashed

    def _kept(self, connection: Connection, *, newest_only: bool = False) -> tuple[Checkpoint, ...]:
        query = select(checkpoints).order_by(checkpoints.c.size.desc())
        rows = connection.execute(query.limit(1) if newest_only else query).all()
        return tuple(self._opened(row) for row in rows)

    def _opened(self, row: Row[Any]) -> Checkpoint:
        place = f"checkpoint {row.size}"
        if not isinstance(row.note, bytes):
            raise LedgerBroken("a checkpoint kept here is not readable", place=place)
        for key in self._known():
            try:
                opened = open_checkpoint(
                    SignedCheckpoint(note=row.note), origin=self._origin, public_key=raw_ed25519(key)
                )
            except NotVerified:
                continue  # another key of this ledger may have signed it
            if opened.size == row.size:
                return opened
        raise LedgerBroken("a checkpoint kept here was changed, or another ledger's key signed it", place=place)
