"""Where the ledgers of these tests lie: an SQLite file, or a PostgreSQL database of the test's own."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import pytest

HOST: Final = "127.0.0.1"
PORT: Final = 5432
PLACES: Final = ("sqlite", pytest.param("postgresql", marks=pytest.mark.services))


@contextmanager
def place_named(name: str, folder: Path, require_service: Callable[[str, str, int], None]) -> Iterator[Path | str]:
    """A place for one ledger; a database is made on the server that listens here, and dropped afterwards.

    User and password are libpq's: PGUSER and PGPASSWORD, or whoever runs the tests.
    """
    if name == "sqlite":
        yield folder / "ledger.db"
        return
    require_service("postgres", HOST, PORT)
    try:
        import psycopg
    except ImportError as error:
        _absent(str(error))
    try:
        server = psycopg.connect(host=HOST, port=PORT, dbname="postgres", autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        _absent(str(error).strip())
    database = f"holdfast_test_{secrets.token_hex(6)}"
    user = server.info.user
    with server:
        server.execute(f"CREATE DATABASE {database}".encode())
        try:
            yield f"postgresql+psycopg://{user}@{HOST}:{PORT}/{database}"
        finally:
            server.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())


def _absent(why: str) -> NoReturn:
    message = f"a PostgreSQL database cannot be made here: {why}"
    if os.environ.get("HOLDFAST_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{message} (HOLDFAST_REQUIRE_SERVICES=1)", pytrace=False)
    pytest.skip(message)
