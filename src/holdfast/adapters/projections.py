"""Projections: what each entry of the ledger means for the tables that queries read.

A fold is a pure function of one entry. Appending applies it in the entry's own transaction, `rebuild` applies it to the
whole history, and both end in the same rows because nothing else goes in. A body that a fold cannot read is refused
before it becomes history: later readers, passports first of all, would stumble over it for ever.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import Connection, Insert, Table, and_, bindparam, delete, select
from sqlalchemy.dialects import sqlite

from holdfast.adapters import bill_folds
from holdfast.adapters.database import (
    PROJECTIONS,
    artifacts,
    bills,
    edges,
    endpoints,
    entries,
    evidence,
    marks,
    pointers,
    streams,
    tunings,
)
from holdfast.core.artifact import Kind, parse_digest
from holdfast.core.errors import InvalidInput
from holdfast.core.ledger import GENESIS, Entry
from holdfast.core.passport import FILED, RECORDED

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

MAX_TEXT: Final = 512  # characters of a name that a table is searched by; PostgreSQL's index rows end near 2700 bytes
_ROWS_AT_ONCE: Final = 1000  # rows fetched at once when whole tables are compared
_NAMES_AT_ONCE: Final = 500  # names in one query; SQLite's oldest limit on parameters is 999

Change: TypeAlias = tuple[Table, tuple[Any, ...]]
"""A table, and a whole row of it in the order of its columns; each table begins with the columns of its key."""

Fold: TypeAlias = Callable[[Entry, str], Sequence[Change]]


def plain(value: object, what: str) -> str:
    """Return a text that can name something: printable, not empty, not long.

    Raises:
        InvalidInput: It is not.
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise InvalidInput(f"{what} is {str(value)[:80]!r}", expected=f"1 to {MAX_TEXT} printable characters")
    return value


def recorded(entry: Entry, _: str) -> Sequence[Change]:
    """Fold `artifact.recorded`: what the artifact is, and an edge to each of its parents."""
    body = entry.body
    size = body.get("size", 0)
    if type(size) is not int or size < 0:
        raise InvalidInput(f"the size {size!r} of an artifact", expected="a whole number of bytes")
    if not isinstance(body.get("parents"), list):
        raise InvalidInput("an artifact without a list of parents", expected="a list, empty for what came from outside")
    digest = _digest(entry.stream)
    changes: list[Change] = [(artifacts, (digest, _kind(body.get("kind")), size, entry.position))]
    for parent in body["parents"]:
        if not isinstance(parent, dict):
            raise InvalidInput("a parent that is no object", expected="kind and digest")
        named, kind = _digest(parent.get("digest")), _kind(parent.get("kind"))
        changes.append((edges, (digest, named, kind)))
        if kind == body["kind"] == Kind.MODEL:
            changes.append((tunings, (digest, named)))
    return changes


def filed(entry: Entry, _: str) -> Sequence[Change]:
    """Fold `evidence.filed`: which envelope holds what a control said about which subject in which run."""
    body = entry.body
    envelope, subject = _digest(body.get("envelope")), _digest(entry.stream)
    control, run = plain(body.get("control"), "the control"), plain(body.get("run"), "the run")
    return ((evidence, (entry.position, envelope, control, subject, run)),)


def grown(entry: Entry, hashed: str) -> Sequence[Change]:
    """Fold every entry: how long its stream is now, and the hash that the next entry names."""
    return ((streams, (entry.stream, entry.stream_position + 1, hashed)),)


def moved(entry: Entry, _: str) -> Sequence[Change]:
    """Fold every entry whose body has `pointer`: the name now points to this digest, or to nothing if it is empty."""
    pointer = entry.body.get("pointer")
    if pointer is None:
        return ()
    if not isinstance(pointer, dict):
        raise InvalidInput("a pointer that is no object", expected="name and digest")
    name, digest = plain(pointer.get("name"), "the pointer's name"), pointer.get("digest")
    return ((pointers, (name, _digest(digest) if digest else "", entry.position)),)


FOLDS: Final[Mapping[str, Fold]] = {RECORDED: recorded, FILED: filed, **bill_folds.FOLDS}
"""What entries of a kind mean, beyond `ALWAYS`."""

ALWAYS: Final[tuple[Fold, ...]] = (grown, moved)
"""What every entry means."""

LATEST: Final = frozenset({streams.name, pointers.name, marks.name, endpoints.name, bills.name})
"""Tables whose newest row of a key stands; in the others the first one does."""

_COLUMNS: Final = {table.name: tuple(column.name for column in table.columns) for table in PROJECTIONS}
_KEYS: Final = {table.name: len(table.primary_key.columns) for table in PROJECTIONS}
_HEADS: Final = (
    select(streams.c.stream, streams.c.length, streams.c.head)
    .join(
        entries,
        and_(
            entries.c.stream == streams.c.stream,
            entries.c.stream_position == streams.c.length - 1,
            entries.c.hash == streams.c.head,
        ),
    )
    .where(streams.c.stream.in_(bindparam("some", expanding=True)))
)


def fold(entry: Entry, hashed: str) -> Sequence[Change]:
    """Return all that one entry changes, in order.

    Raises:
        InvalidInput: Its body cannot be read.
    """
    changes = [change for each in ALWAYS for change in each(entry, hashed)]
    own = FOLDS.get(entry.kind)
    if own is not None:
        changes += [*own(entry, hashed)]
    return changes


class Rows:
    """The rows that a stretch of history leaves, by table and key."""

    __slots__ = ("_tables",)

    def __init__(self) -> None:
        """Start without rows."""
        self._tables: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = {table.name: {} for table in PROJECTIONS}

    def add(self, changes: Iterable[Change]) -> None:
        """Take in changes, in order."""
        for table, row in changes:
            name, key = table.name, row[: _KEYS[table.name]]
            if name in LATEST:
                self._tables[name][key] = row
            else:
                self._tables[name].setdefault(key, row)

    def write(self, connection: Connection) -> None:
        """Bring the tables up to date with these rows."""
        for table in PROJECTIONS:
            columns = _COLUMNS[table.name]
            rows = [dict(zip(columns, row, strict=True)) for row in self._tables[table.name].values()]
            if rows:
                connection.execute(_upsert(connection.dialect.name, table), rows)

    def differing(self, connection: Connection) -> tuple[Table, ...]:
        """Return the tables that hold something else than exactly these rows."""
        return tuple(table for table in PROJECTIONS if not self._same(connection, table))

    def replace(self, connection: Connection, tables: Sequence[Table]) -> None:
        """Make tables hold exactly these rows."""
        for table in tables:
            connection.execute(delete(table))
        self.write(connection)

    def _same(self, connection: Connection, table: Table) -> bool:
        rows, keys = self._tables[table.name], _KEYS[table.name]
        count = 0
        with connection.execute(select(table).execution_options(yield_per=_ROWS_AT_ONCE)) as found:
            for each in found:
                row = tuple(each)
                if rows.get(row[:keys]) != row:
                    return False
                count += 1
        return count == len(rows)


def read_heads(connection: Connection, names: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Return length and newest hash of each stream.

    A row counts only if the entry that it claims as the newest is there with this hash; what a row hides all the same
    (a stream cut short to an older, genuine entry) no append gets past, because positions of a stream are unique.
    """
    found = dict.fromkeys(names, (0, GENESIS))
    unique = list(found)
    for start in range(0, len(unique), _NAMES_AT_ONCE):
        some = unique[start : start + _NAMES_AT_ONCE]
        for stream, length, head in connection.execute(_HEADS, {"some": some}):
            found[stream] = (length, head)
    return found


def _insert(dialect: str, table: Table) -> "sqlite.Insert | postgresql.Insert":
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # where it is spoken: it takes a megabyte of each process

    return postgresql.insert(table)


@cache
def _upsert(dialect: str, table: Table) -> Insert:
    """Return the statement that brings rows in: newer ones over older ones in `LATEST`, else only where none is."""
    columns = _COLUMNS[table.name]
    insert = _insert(dialect, table)
    keys, others = columns[: _KEYS[table.name]], columns[_KEYS[table.name] :]
    if table.name in LATEST:
        newest = {name: insert.excluded[name] for name in others}
        return insert.on_conflict_do_update(index_elements=keys, set_=newest)
    return insert.on_conflict_do_nothing(index_elements=keys)


def _digest(value: object) -> str:
    return parse_digest(str(value))


def _kind(value: object) -> str:
    try:
        return Kind(str(value)).value
    except ValueError:
        raise InvalidInput(f"{value!r} is not a kind of artifact", expected=", ".join(Kind)) from None
