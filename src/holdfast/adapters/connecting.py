"""How each engine of the database is spoken to: durable, in turns, and given up on when it falls silent.

A server whose network is gone says nothing, not even that it is gone. Without the limits below a connection would wait
for as long as the kernel sends again what nobody takes: a quarter of an hour, or two hours where it only listens.
"""

import sqlite3
import time
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event

from holdfast.core.errors import InvalidInput, MissingExtra

BUSY_TIMEOUT_S: Final = 30.0  # a writer waits for others; the longest transaction, 10,000 entries, takes about 1 s
CONNECT_S: Final = 10  # until a server that does not answer is given up
SILENT_S: Final = 20  # until one is given up that takes nothing any more, not even the question whether it lives
WAL_PAUSE_S: Final = 0.01  # between two attempts to turn the write-ahead log on


def engine_on(url: URL) -> Engine:
    """Return an engine whose connections are made as this module says; none is made yet.

    Args:
        url: A database of SQLite or PostgreSQL. Parameters of libpq in it count more than ours.

    Raises:
        InvalidInput: It is of another engine.
        MissingExtra: The driver is not installed.
    """
    if url.get_backend_name() not in _ON_CONNECT:
        raise InvalidInput(f"a database of {url.get_backend_name()}", expected=" or ".join(_ON_CONNECT))
    said = {name: value for name, value in _limits(url).items() if name not in url.query}
    try:
        engine = create_engine(url, pool_timeout=BUSY_TIMEOUT_S, connect_args=said)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"the driver {error.name} is not installed", place=url.render_as_string()) from error
    event.listen(engine, "connect", _ON_CONNECT[engine.dialect.name])
    if engine.dialect.name == "sqlite":
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _limits(url: URL) -> dict[str, int]:
    """Return what libpq is told, so that no connection waits for ever on a server that fell silent.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    """
    if url.get_backend_name() != "postgresql":
        return {}
    return {
        "connect_timeout": CONNECT_S,
        "tcp_user_timeout": SILENT_S * 1000,
        "keepalives_idle": max(1, SILENT_S // 2),
        "keepalives_interval": max(1, SILENT_S // 4),
        "keepalives_count": 2,
    }


def _connect_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver would say it too late to read heads safely
    connection.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}").close()
    _into_wal(connection)
    for pragma in (
        "synchronous=FULL",  # with WAL: a commit that was acknowledged survives a power cut
        "wal_autocheckpoint=4000",  # pages, 16 MiB: groups of 1,000 entries write each page to its place less often
        "foreign_keys=ON",
        "trusted_schema=OFF",  # a planted trigger or view may not call functions with side effects
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _into_wal(connection: Any) -> None:
    """Turn the write-ahead log on: with it readers and the writer do not stop one another.

    In a new database this asks for a lock that SQLite refuses at once, whatever the busy timeout, where another process
    does the same in that moment; so whoever loses tries again.
    """
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() >= end:
                raise
            time.sleep(WAL_PAUSE_S)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("holdfast_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _connect_postgresql(connection: Any, _: object) -> None:
    # A server may be configured to acknowledge before it has written; history is not the place for that.
    connection.execute("SET synchronous_commit = on")
    connection.execute(f"SET lock_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    connection.commit()


_ON_CONNECT: Final = {"sqlite": _connect_sqlite, "postgresql": _connect_postgresql}
