"""The database: durable, private, of the newest schema, and clear about what it cannot open."""

import os
import stat
import threading
from pathlib import Path
from typing import NoReturn

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, insert, inspect, make_url, select, text
from tests.unit.adapter_kit import child, open_ledger

from holdfast.adapters import connecting
from holdfast.adapters.database import (
    OPERATIONAL,
    PRIMARY,
    PROJECTIONS,
    SCHEMA,
    leases,
    metadata,
    migration_config,
    open_database,
    reading,
    writing,
)
from holdfast.core.errors import InvalidInput, LedgerBroken, MissingExtra, Unavailable


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A new database."""
    return open_database(tmp_path / "ledger.db")


def test_every_table_is_history_or_rebuilt_or_operational(engine: Engine) -> None:
    """The three lists are all there is, in the code and in the file: no table is forgotten by `rebuild`."""
    listed = [table.name for table in (*PRIMARY, *PROJECTIONS, *OPERATIONAL)]
    assert sorted(listed) == sorted(metadata.tables)
    with reading(engine) as connection:
        assert sorted(inspect(connection).get_table_names()) == sorted([*listed, "alembic_version"])


def test_an_acknowledged_commit_is_on_disk(engine: Engine) -> None:
    """WAL with full sync, foreign keys on, and no functions for planted triggers: on every connection of the pool."""
    for _ in range(2):
        with reading(engine) as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
            }
        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "trusted_schema": 0}
        engine.dispose()


def test_the_file_and_its_log_are_nobody_elses(tmp_path: Path) -> None:
    """Mode 0600 in 0700, whatever the umask."""
    old = os.umask(0)
    try:
        ledger = open_ledger(tmp_path / "workspace" / "ledger.db")
        with writing(ledger._engine) as connection:
            connection.execute(insert(leases), {"name": "a", "holder": "b", "expires": "c"})
    finally:
        os.umask(old)
    files = list((tmp_path / "workspace").iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "workspace").stat().st_mode) == 0o700


def test_the_migrations_make_what_the_code_expects(engine: Engine) -> None:
    """The migrated file differs from the metadata in nothing, and the newest migration is the one we name."""
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        assert ScriptDirectory.from_config(migration_config(connection)).get_heads() == [SCHEMA]


def test_every_migration_can_be_taken_back(engine: Engine) -> None:
    """Down to nothing and up again gives the same tables."""
    with writing(engine) as connection:
        command.downgrade(migration_config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        command.upgrade(migration_config(connection), "head")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_current_database_is_opened_without_loading_the_migrations(tmp_path: Path) -> None:
    """Alembic is loaded to make a file, and never again for it: it would double the time a command takes to start."""
    source = (
        "import sys; from pathlib import Path; from holdfast.adapters.database import open_database;"
        "open_database(Path(sys.argv[1])); print('alembic' in sys.modules)"
    )
    said = []
    for _ in range(2):
        with child(source, tmp_path / "ledger.db") as process:
            said.append(process.communicate()[0].strip())
    assert said == [b"True", b"False"]


def test_a_newer_schema_serves_older_code_as_long_as_it_says_so(engine: Engine, tmp_path: Path) -> None:
    """Opened as it is while it serves ours; left alone afterwards, and the error names both schemas."""
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert open_database(tmp_path / "ledger.db").connect() is not None
    with writing(engine) as connection:
        connection.execute(text("UPDATE schema_serves SET oldest = '9998'"))
    with pytest.raises(Unavailable, match=f"9999.*{SCHEMA}"):
        open_database(tmp_path / "ledger.db")


def test_a_migration_that_dies_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tables or none: the next opening starts from the beginning and succeeds."""

    def dying(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise KeyboardInterrupt

    upgrade = command.upgrade
    with monkeypatch.context() as broken:
        broken.setattr(command, "upgrade", dying)
        with pytest.raises(KeyboardInterrupt):
            open_database(tmp_path / "ledger.db")
    with open_database(tmp_path / "ledger.db").connect() as connection:
        assert set(metadata.tables) < set(inspect(connection).get_table_names())


@pytest.mark.parametrize(
    "content", [b"this is no database, and long enough to be seen as none" * 100, b"SQLite format 3"]
)
def test_a_file_that_is_no_database_is_an_error_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    """It is not overwritten: it may be what is left of one."""
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(LedgerBroken, match="damaged"):
        open_database(path)
    assert path.read_bytes() == content


def test_a_place_that_cannot_hold_a_database_is_an_error(tmp_path: Path) -> None:
    """A folder in its place, or a file in place of its folder."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "ledger.db"):
        with pytest.raises(Unavailable, match=str(path)):
            open_database(path)


def test_an_engine_that_is_not_ours_is_refused() -> None:
    """Only SQLite and PostgreSQL keep the promises made here; a missing driver is named, a password is not."""
    with pytest.raises(InvalidInput, match="mysql"):
        open_database("mysql://localhost/x")
    with pytest.raises(MissingExtra, match="pg8000") as caught:
        open_database("postgresql+pg8000://ada:password1@localhost/x")
    assert "password1" not in str(caught.value)


def test_writers_take_turns_and_one_that_waits_too_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one transaction writes, another cannot begin to, and readers go on reading."""
    monkeypatch.setattr(connecting, "BUSY_TIMEOUT_S", 0.05)
    engine = open_database(tmp_path / "ledger.db")
    row = {"name": "a", "holder": "b", "expires": "c"}
    with writing(engine) as connection:
        connection.execute(insert(leases), row)
        with reading(engine) as other:
            assert other.execute(select(leases)).all() == []
        with pytest.raises(Unavailable, match="another process held the database"), writing(engine):
            pass
    with reading(engine) as other:
        assert len(other.execute(select(leases)).all()) == 1


def test_a_reader_sees_one_moment_however_many_queries_it_makes(engine: Engine) -> None:
    """What is committed meanwhile appears to the next reader, not to this one."""
    row = {"name": "a", "holder": "b", "expires": "c"}
    with reading(engine) as connection:
        assert connection.execute(select(leases)).all() == []
        with writing(engine) as other:
            other.execute(insert(leases), row)
        assert connection.execute(select(leases)).all() == []
    with reading(engine) as connection:
        assert len(connection.execute(select(leases)).all()) == 1


def test_a_block_that_raises_changes_nothing(engine: Engine) -> None:
    """The transaction is rolled back and the next one can begin."""

    def attempt() -> NoReturn:
        with writing(engine) as connection:
            connection.execute(insert(leases), {"name": "a", "holder": "b", "expires": "c"})
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            attempt()
    with reading(engine) as connection:
        assert connection.execute(select(leases)).all() == []


def test_more_readers_than_connections_are_told_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback of the pool's."""
    monkeypatch.setattr(connecting, "BUSY_TIMEOUT_S", 0.05)
    engine = open_database(tmp_path / "ledger.db")
    ready, done = threading.Barrier(16), threading.Event()

    def hold() -> None:
        with reading(engine):
            ready.wait()
            done.wait()

    threads = [threading.Thread(target=hold) for _ in range(15)]
    for thread in threads:
        thread.start()
    ready.wait()
    with pytest.raises(Unavailable, match="no connection came free"), reading(engine):
        pass
    done.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(("said", "connect_s", "silent_ms"), [("", 10, 20_000), ("?connect_timeout=3", "3", 20_000)])
def test_a_server_that_falls_silent_is_given_up_on(said: str, connect_s: object, silent_ms: int) -> None:
    """By limits of ours, and what the address says counts more."""
    pytest.importorskip("psycopg")
    engine, found = connecting.engine_on(make_url(f"postgresql+psycopg://ada@db.example/x{said}")), {}

    @event.listens_for(engine, "do_connect")
    def told(_dialect: object, _record: object, _words: object, given: dict[str, object]) -> None:
        found.update(given)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        engine.connect()
    assert (found["connect_timeout"], found["tcp_user_timeout"]) == (connect_s, silent_ms)
    assert found["keepalives_idle"] == 10
