"""The database: one schema for SQLite and PostgreSQL, opened durable, migrated before use.

Three sorts of tables, and the difference is a promise:

- `PRIMARY`: the history itself, entries and signed checkpoints; nothing else holds it;
- `PROJECTIONS`: what queries read; `SqlLedger.rebuild` makes each of them anew from the entries, exactly;
- `OPERATIONAL`: what only the present needs; losing them loses no history.

A transaction adds to history (`recording`), writes what is of the present (`writing`), both alone among their like of
all processes from the first statement, or reads (`reading`: one moment of the database, however many statements). What
the engines raise becomes an error with a remedy here.

The schema may be newer than the code, which a rolling upgrade needs: the first new replica migrates while old ones go
on, and an old one that is started again must still come up. So a migration only adds (tables, columns with a default on
the server); one that takes something away comes a release after the code that no longer uses it, and raises
`schema_serves.oldest` to the first schema whose code can do without.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from holdfast.adapters import connecting
from holdfast.adapters.durable import PRIVATE_DIRECTORY, PRIVATE_FILE
from holdfast.core.errors import Conflict, HoldfastError, LedgerBroken, Unavailable

SCHEMA: Final = "0009"  # the newest migration; a database that says so is opened without loading Alembic
MIGRATIONS: Final = Path(__file__).with_name("migrations")
_ADVISORY_LOCK: Final = 0x686F6C6466617374  # "holdfast": the lock of PostgreSQL that makes writers take turns

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _integer() -> BigInteger:
    return BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER PRIMARY KEY is SQLite's own row number


def _position() -> Column[int]:
    return Column("position", _integer(), ForeignKey("entries.position"), nullable=False)


entries: Final = Table(
    "entries",
    metadata,
    Column("position", _integer(), primary_key=True, autoincrement=False),
    Column("time", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("stream_position", _integer(), nullable=False),
    Column("document", LargeBinary, nullable=False),  # the canonical bytes; the other columns repeat what they say
    Column("hash", Text, nullable=False),
    UniqueConstraint("stream", "stream_position"),
)
checkpoints: Final = Table(
    "checkpoints",
    metadata,
    Column("size", _integer(), primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
)
artifacts: Final = Table(
    "artifacts",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("size", _integer(), nullable=False),
    _position(),
)
edges: Final = Table(
    "edges",
    metadata,
    Column("child", Text, primary_key=True),
    Column("parent", Text, primary_key=True),
    Column("parent_kind", Text, primary_key=True),
    Index(None, "parent"),
)
evidence: Final = Table(
    "evidence",
    metadata,
    Column("position", _integer(), ForeignKey("entries.position"), primary_key=True, autoincrement=False),
    Column("envelope", Text, nullable=False),
    Column("control", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("run", Text, nullable=False),
    Index(None, "subject"),
)
pointers: Final = Table(
    "pointers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False),  # empty: the name points to nothing
    _position(),
)
streams: Final = Table(
    "streams",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("length", _integer(), nullable=False),
    Column("head", Text, nullable=False),
)
bills: Final = Table(
    "bills",
    metadata,
    Column("release", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("serial", Text, nullable=False),
    _position(),
)
parts: Final = Table(
    "bill_parts",
    metadata,
    Column("list", Text, primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("ecosystem", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("licence", Text, nullable=False),
    # Each index holds all that its question reads, so that no row is fetched for it: three times as fast.
    Index(None, "name", "version", "list", "kind", "ecosystem", "licence"),
    Index(None, "digest", "list", "kind", "name", "version", "licence"),
    Index(None, "licence", "list", "kind", "name", "version"),
)
holds: Final = Table(
    "bill_holds",
    metadata,
    Column("release", Text, primary_key=True),
    Column("list", Text, primary_key=True),
    Index(None, "list", "release"),
)
tunings: Final = Table(
    "tunings",
    metadata,
    Column("child", Text, primary_key=True),  # a model that was made from another one
    Column("parent", Text, primary_key=True),
)
marks: Final = Table(
    "marks",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    _position(),
)
endpoints: Final = Table(
    "endpoints",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("place", Text, primary_key=True),  # baseline or candidate
    Column("release", Text, nullable=False),  # empty: nothing answers there
    Column("share", Text, nullable=False),  # of the calls; as text, so that a table made anew is the same to the byte
    _position(),
)
leases: Final = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires", Text, nullable=False),
)
sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("expires", Text, nullable=False),
    Index(None, "name"),
)
nonces: Final = Table(
    "nonces",
    metadata,
    Column("nonce", Text, primary_key=True),
    Column("used_at", Text, nullable=False),
)
jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("command", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("leased_until", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("result", Text, nullable=False),
    Index(None, "state"),
)
answers: Final = Table(
    "answers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("request", Text, nullable=False),
    Column("expires", Text, nullable=False),
    Column("held_until", Text, nullable=False),  # while the first request is being carried out
    Column("status", Integer, nullable=False),  # 0 until there is an answer
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index(None, "expires"),
)

serves: Final = Table(
    "schema_serves",
    metadata,
    Column("oldest", Text, nullable=False),  # schema of the oldest code that may work with this database; one row
)

PRIMARY: Final = (entries, checkpoints)
PROJECTIONS: Final = (artifacts, edges, evidence, pointers, streams, bills, parts, holds, tunings, marks, endpoints)
OPERATIONAL: Final = (leases, nonces, sessions, jobs, answers, serves)


def open_database(place: Path | str) -> Engine:
    """Return an engine on a database whose schema is current; a missing SQLite file is made.

    Args:
        place: The path of an SQLite file, or the URL of a PostgreSQL database (`postgresql+psycopg://…`).

    Raises:
        InvalidInput: The URL is of another engine.
        MissingExtra: The driver is not installed.
        Unavailable: The database does not answer, or its schema is newer and no longer serves this code.
        LedgerBroken: The file is damaged, or no database.
    """
    url = URL.create("sqlite", database=str(place)) if isinstance(place, Path) else make_url(place)
    if isinstance(place, Path):
        _make_private(place)
    engine = connecting.engine_on(url)
    _bring_up_to_date(engine)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Run one transaction alone among all writers of all processes; it is durable when the block has ended.

    Raises:
        Unavailable: Another writer held the database for too long, the disk is full, or the server is gone.
        LedgerBroken: The file is damaged.
    """
    with translated(), engine.connect() as connection:
        connection.execution_options(holdfast_writes=True)
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            yield connection


@contextmanager
def recording(engine: Engine) -> Iterator[Connection]:
    """Run one transaction that adds to history: as `writing`, and on PostgreSQL SERIALIZABLE.

    A serializable transaction sees the database as it was at its first query, so the lock must come before that: it is
    one on the table of entries, since a call of `pg_advisory_xact_lock` is a query itself. Whoever has the lock then
    sees all that the one before has written, and nothing is left to be serialized again.

    Raises:
        Unavailable: Another writer held the database for too long, the disk is full, or the server is gone.
        LedgerBroken: The file is damaged.
    """
    if engine.dialect.name != "postgresql":
        with writing(engine) as connection:
            yield connection
        return
    with translated(), engine.connect() as connection:
        connection.execution_options(isolation_level="SERIALIZABLE")
        with connection.begin():
            connection.execute(text("LOCK TABLE entries IN SHARE ROW EXCLUSIVE MODE"))
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Run one transaction that sees the database as it is at one moment.

    Raises:
        Unavailable: The server is gone.
        LedgerBroken: The file is damaged.
    """
    with translated(), engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn what an engine raises into an error with place and remedy."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(
            f"no connection came free within {connecting.BUSY_TIMEOUT_S:.0f} s", place="database"
        ) from error
    except DBAPIError as error:
        raise _translation(error) from error


def migration_config(connection: Connection) -> Any:
    """Return Alembic's configuration for the migrations that ship with this package, bound to a connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _translation(error: DBAPIError) -> HoldfastError:
    said = " ".join(str(error.orig).split()) or type(error.orig).__name__
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "decode to UTF-8" in said:
        return LedgerBroken(f"the database file is damaged: {said}", place="database")
    if name.startswith("SQLITE_CONSTRAINT") or str(getattr(error.orig, "sqlstate", "")).startswith("23"):
        return LedgerBroken(
            f"the tables contradict one another: {said}",
            place="database",
            remedy="`holdfast ledger verify` says where; `holdfast ledger rebuild` makes the projections anew.",
        )
    if getattr(error.orig, "sqlstate", "") in {"40001", "40P01"}:  # not to be serialized; a deadlock
        return Conflict("another transaction was faster; nothing was written", place="database")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unavailable(f"another process held the database for {connecting.BUSY_TIMEOUT_S:.0f} s", place="database")
    return Unavailable(f"the database refused: {said}", place="database")


def _make_private(path: Path) -> None:
    """Create the file before SQLite does, so that it, and the log beside it, is nobody else's to read."""
    try:
        path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE))
    except OSError as error:
        raise Unavailable(f"the database cannot be opened: {error.strerror}", place=str(path)) from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(select(text("version_num")).select_from(text("alembic_version"))).scalar()


def _serves_us(connection: Connection) -> bool:
    """Say whether the schema is the one this code knows, or a newer one that still serves it."""
    found = _revision(connection)
    if found is None or found < SCHEMA or not found.isdigit():
        return False
    if found == SCHEMA:
        return True
    oldest = connection.execute(select(serves.c.oldest)).scalar()
    return oldest is not None and oldest <= SCHEMA


def _bring_up_to_date(engine: Engine) -> None:
    with reading(engine) as connection:
        if _serves_us(connection):
            return
    # Loaded only where there is something to migrate: it takes as long as everything else together.
    from alembic import command
    from alembic.util import CommandError

    # Alone among all processes: of several that open a new file at once, one migrates and the others find it done.
    with writing(engine) as connection:
        if _serves_us(connection):
            return
        try:
            command.upgrade(migration_config(connection), "head")
        except CommandError as error:
            found = _revision(connection)
            raise Unavailable(
                f"the database has schema {found}, this Holdfast knows {SCHEMA}",
                place="database",
                expected="its own schema, or a newer one that says it serves it",
                remedy="Use the version of Holdfast that made it, or a newer one.",
            ) from error
