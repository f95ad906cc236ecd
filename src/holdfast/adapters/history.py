"""Rows of the ledger as entries: nothing is handed on that does not fit its hash, its place and its columns."""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from holdfast.adapters.database import entries
from holdfast.adapters.projections import Change, Rows, fold
from holdfast.core.errors import InvalidInput, LedgerBroken
from holdfast.core.ledger import Entry, entry_hash, parse_entry

PAGE: Final = 1000  # rows fetched at once: half a megabyte of ordinary entries


def size_of(connection: Connection) -> int:
    """Return the number of entries."""
    newest = connection.execute(select(func.max(entries.c.position))).scalar()
    return 0 if newest is None else int(newest) + 1


def checked(row: Row[Any]) -> Entry:
    """Return the entry of a row if the row says nothing else than its document.

    Raises:
        LedgerBroken: It does, or the document does not have the row's hash.
    """
    said, document, hashed = _parts(row)
    if entry_hash(document) != hashed:
        raise LedgerBroken("the entry was changed after it was written", place=f"entry {said[0]}")
    try:
        entry = parse_entry(document)
    except LedgerBroken as error:
        raise LedgerBroken(error.message, place=f"entry {said[0]}") from error
    _check_columns(entry, said)
    return entry


def chained(connection: Connection, start: int, previous: str) -> Generator[tuple[Entry, bytes, str], None, None]:
    """Yield entries from `start` on with document and hash, each linked to the one before it.

    Args:
        connection: One moment of the database.
        start: The first position.
        previous: The hash of the entry before it.

    Raises:
        LedgerBroken: An entry was changed or is missing.
    """
    with closing(_streamed(connection, start)) as found:
        for position, row in enumerate(found, start):
            entry = checked(row)
            if entry.position != position or entry.previous != previous:
                reason = f"the chain breaks between entry {position - 1} and this one"
                raise LedgerBroken(reason, place=f"entry {position}")
            previous = row.hash
            yield entry, row.document, previous


def audited(connection: Connection, rows: Rows) -> Generator[tuple[bytes, str], None, None]:
    """Yield all rows as `core.ledger.audit` takes them; once it asks for the next, look at what it does not know.

    Args:
        connection: One moment of the database.
        rows: Takes in what the entries mean for the projections.

    Raises:
        LedgerBroken: A column or a body says what cannot be.
    """
    with closing(_streamed(connection, 0)) as found:
        for row in found:
            said, document, hashed = _parts(row)
            yield document, hashed
            entry = parse_entry(document)
            _check_columns(entry, said)
            rows.add(folded(entry, hashed))


def folded(entry: Entry, hashed: str) -> Sequence[Change]:
    """Return what an entry of the ledger changes.

    Raises:
        LedgerBroken: Its body cannot be read, so this code never took it in.
    """
    try:
        return fold(entry, hashed)
    except InvalidInput as error:
        reason = f"the entry's body cannot be read: {error.message}"
        raise LedgerBroken(reason, place=f"entry {entry.position}") from error


def _streamed(connection: Connection, start: int) -> Generator[Row[Any], None, None]:
    query = select(entries).where(entries.c.position >= start).order_by(entries.c.position)
    with connection.execute(query.execution_options(yield_per=PAGE)) as found:
        yield from found


def _parts(row: Row[Any]) -> tuple[tuple[Any, ...], bytes, str]:
    """Return the columns up to the document, the document, and its hash; by place, for they are read by the million."""
    values: tuple[Any, ...] = tuple(row)
    document, hashed = values[6], values[7]
    if not isinstance(document, bytes) or not isinstance(hashed, str):  # SQLite stores any type in any column
        raise LedgerBroken("the entry was changed after it was written", place=f"entry {values[0]}")
    return values[:6], document, hashed


def _check_columns(entry: Entry, said: tuple[Any, ...]) -> None:
    if said != (entry.position, entry.time, entry.kind, entry.actor, entry.stream, entry.stream_position):
        raise LedgerBroken("the entry's columns say something else than its document", place=f"entry {said[0]}")
