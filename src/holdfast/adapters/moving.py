"""Moving a ledger from one database into another: entry by entry, byte for byte, checked on the way and at the end.

Nobody may write while it moves, and nobody may write into the old one afterwards: the source is locked for all writers,
and its table of entries gets another name in the same transaction. A process that still has it open fails from then on.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, insert, select, text

from holdfast.adapters.database import checkpoints, entries, nonces, reading, recording, streams
from holdfast.adapters.history import PAGE, chained, folded, size_of
from holdfast.adapters.projections import Rows
from holdfast.core.errors import Conflict, LedgerBroken
from holdfast.core.ledger import GENESIS

MOVED: Final = "entries_moved"  # what the old table of entries is called afterwards


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was copied."""

    entries: int
    checkpoints: int
    nonces: int
    head: str  # hash of the newest entry


@contextmanager
def moving(source: Engine, target: Engine) -> Iterator[Moved]:
    """Copy a ledger, and lock the old one; when the block ends well, the old one can never be written again.

    What is copied is durable in the target when the block begins. Copied are entries and checkpoints, from which
    everything else is made, and spent nonces: a permit must not be good for a second time. Leases, jobs and kept
    answers are of the present only, and stay behind.

    Raises:
        Conflict: The target holds a ledger already.
        LedgerBroken: The source's history does not fit its hashes, or the copy is not the same; nothing was changed.
    """
    with recording(source) as old:
        with recording(target) as new:
            if size_of(new):
                raise Conflict("there is a ledger in that database already", remedy="Name an empty database.")
            moved = _copy(old, new)
        _compare(old, target)
        yield moved
        old.execute(text(f"ALTER TABLE entries RENAME TO {MOVED}"))


def _copy(old: Connection, new: Connection) -> Moved:
    rows, head, count = Rows(), GENESIS, 0
    waiting: list[dict[str, Any]] = []
    with closing(chained(old, 0, GENESIS)) as history:
        for entry, document, hashed in history:
            rows.add(folded(entry, hashed))
            waiting.append(
                {
                    "position": entry.position,
                    "time": entry.time,
                    "kind": entry.kind,
                    "actor": entry.actor,
                    "stream": entry.stream,
                    "stream_position": entry.stream_position,
                    "document": document,
                    "hash": hashed,
                }
            )
            head, count = hashed, count + 1
            if len(waiting) == PAGE:
                new.execute(insert(entries), waiting)
                waiting = []
    if waiting:
        new.execute(insert(entries), waiting)
    rows.replace(new, rows.differing(new))
    return Moved(entries=count, checkpoints=_all(old, new, checkpoints), nonces=_all(old, new, nonces), head=head)


def _all(old: Connection, new: Connection, table: Table) -> int:
    found = [row._asdict() for row in old.execute(select(table))]
    if found:
        new.execute(insert(table), found)
    return len(found)


def _compare(old: Connection, target: Engine) -> None:
    """Check that both say the same: every entry and hash, every head, every checkpoint, every spent nonce."""
    with reading(target) as new:
        for table, columns in (
            (entries, (entries.c.position, entries.c.document, entries.c.hash)),
            (streams, (streams.c.stream, streams.c.length, streams.c.head)),
            (checkpoints, (checkpoints.c.size, checkpoints.c.note)),
            (nonces, (nonces.c.nonce, nonces.c.used_at)),
        ):
            if not _same(old, new, columns):
                raise LedgerBroken(f"the copy says something else in {table.name}", place=f"table {table.name}")


def _same(old: Connection, new: Connection, columns: Sequence[Any]) -> bool:
    """Compare two tables row by row, a page at a time; order is by the first column, as bytes."""
    query = select(*columns)
    if columns[0].table is entries:  # the long one: never wholly in memory
        ordered = query.order_by(columns[0]).execution_options(yield_per=PAGE)
        with old.execute(ordered) as left, new.execute(ordered) as right:
            return all(a == b for a, b in zip(left, right, strict=True))
    return sorted(map(tuple, old.execute(query))) == sorted(map(tuple, new.execute(query)))
