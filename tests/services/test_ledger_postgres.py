"""The same schema and the same ledger on PostgreSQL: what holds on SQLite holds there."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import delete, inspect, text
from tests.services.ledger_places import place_named
from tests.unit.adapter_kit import history, named, note, open_ledger, opened

from holdfast.adapters.database import (
    PROJECTIONS,
    metadata,
    migration_config,
    open_database,
    reading,
    recording,
    writing,
)
from holdfast.adapters.ledger import SqlLedger
from holdfast.core.errors import Conflict, LedgerBroken, Refused, Unavailable
from holdfast.core.merkle import leaf_hash, verify_inclusion
from holdfast.testing import SettableClock

pytestmark = pytest.mark.services


@pytest.fixture
def url(tmp_path: Path, require_service: Callable[[str, str, int], None]) -> Iterator[str]:
    """A database of this test alone."""
    with place_named("postgresql", tmp_path, require_service) as place:
        yield str(place)


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    """An empty ledger in it."""
    ledger = open_ledger(url)
    yield ledger
    ledger.close()


def change(ledger: SqlLedger, statement: str) -> None:
    """Changes the tables behind the ledger's back."""
    with writing(ledger._engine) as connection:
        connection.execute(text(statement))


def test_the_migrations_make_what_the_code_expects_there_too(ledger: SqlLedger) -> None:
    """No difference between the migrated database and the metadata; and every migration can be taken back."""
    with writing(ledger._engine) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        command.downgrade(migration_config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        command.upgrade(migration_config(connection), "head")
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_a_commit_is_on_disk_before_it_is_acknowledged_however_the_server_is_set_up(url: str) -> None:
    """A server that acknowledges early by default is told not to."""
    first = open_database(url)
    with writing(first) as connection:
        name = connection.execute(text("SELECT current_database()")).scalar()
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    first.dispose()
    engine = open_database(url)
    with reading(engine) as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
    engine.dispose()


def test_the_same_history_has_the_same_root_in_both_engines(ledger: SqlLedger, url: str, tmp_path: Path) -> None:
    """Byte for byte the same entries, and row for row the same projections."""
    clocks = SettableClock(), SettableClock()
    both = open_ledger(url, clocks[0]), open_ledger(tmp_path / "ledger.db", clocks[1])
    entries = [each.append(history()) for each in both]
    assert entries[0] == entries[1]
    assert both[0].root() == both[1].root()
    assert both[0].verify() == both[1].verify()
    dumps: list[dict[str, Any]] = []
    for each in both:
        with reading(each._engine) as connection:
            dumps.append({table.name: sorted(map(tuple, connection.execute(table.select()))) for table in PROJECTIONS})
    assert dumps[0] == dumps[1]
    assert all(dumps[0].values())
    both[0].close()


def test_compare_and_swap_nonces_leases_and_pointers_hold_there_too(ledger: SqlLedger, url: str) -> None:
    """What keeps two control planes apart keeps them apart on a server."""
    ledger.append(history())
    heads = ledger.heads(["notes", "nobody"])
    ledger.append([note("x")], expect=heads, consume_nonce="n")
    with pytest.raises(Conflict):
        ledger.append([note("x")], expect=heads)
    with pytest.raises(Refused):
        ledger.append([note("x")], consume_nonce="n")
    other = open_ledger(url)
    with ledger.lease("run"), pytest.raises(Conflict, match="going on"), other.lease("run"):
        pass
    with other.lease("run"):
        pass
    assert other.pointer("production") == named("model")
    other.close()


def test_proofs_and_checkpoints_hold_there_too(ledger: SqlLedger) -> None:
    """Each entry is proved in the signed tree."""
    entries = ledger.append(history())
    checkpoint = opened(ledger.checkpoint())
    for entry in entries:
        path = ledger.inclusion(entry.position, checkpoint.size)
        verify_inclusion(leaf_hash(entry.document), entry.position, checkpoint.size, path, checkpoint.root)
    assert ledger.verify([checkpoint]).anchored == len(entries)


@pytest.mark.requirement("REG-09", by="holdfast.core.ledger:audit")
@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE entries SET document = document || '\\x20' WHERE position = 7", "entry 7"),
        ("UPDATE entries SET actor = 'eve' WHERE position = 7", "entry 7"),
        ("DELETE FROM entries WHERE position = 7", "entry 7"),
        ("UPDATE entries SET position = 99 WHERE position = 7", "entry 7"),
        ("DELETE FROM entries WHERE position = 10", "entry 10"),
        ("UPDATE pointers SET digest = 'eve'", "table pointers"),
        ("DELETE FROM evidence", "table evidence"),
    ],
)
def test_tampering_is_found_and_located_there_too(ledger: SqlLedger, statement: str, place: str) -> None:
    """Edits, deletions and reordering in the server's tables, held against a checkpoint kept elsewhere."""
    ledger.append(history())
    outside = opened(ledger.checkpoint())
    change(ledger, statement)
    with pytest.raises(LedgerBroken) as caught:
        ledger.verify([outside])
    assert caught.value.place == place


def test_a_rebuild_reproduces_every_table_there_too(ledger: SqlLedger) -> None:
    """Emptied tables come back as they were."""
    ledger.append(history())
    for table in PROJECTIONS:
        with writing(ledger._engine) as connection:
            connection.execute(delete(table))
    assert sorted(ledger.rebuild().differed) == sorted(table.name for table in PROJECTIONS)
    assert ledger.verify().size == len(history())


def test_writers_wait_for_one_another_and_are_told_when_it_takes_too_long(
    ledger: SqlLedger, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's lock keeps them apart, and its time-out becomes an error with a code."""
    monkeypatch.setattr("holdfast.adapters.connecting.BUSY_TIMEOUT_S", 0.05)
    other = open_database(url)
    with writing(ledger._engine), pytest.raises(Unavailable, match="lock timeout"), writing(other):
        pass
    with recording(ledger._engine), pytest.raises(Unavailable, match="lock timeout"), recording(other):
        pass
    with writing(other):
        pass
    other.dispose()


def test_what_adds_to_history_is_serializable_and_sees_what_came_before(ledger: SqlLedger, url: str) -> None:
    """Whoever waited sees what the one before has written, although its own transaction had begun by then."""
    seen: list[tuple[str, int]] = []
    other = open_database(url)

    def second() -> None:
        with recording(other) as connection:
            level = connection.execute(text("SHOW transaction_isolation")).scalar_one()
            seen.append((level, connection.execute(text("SELECT count(*) FROM checkpoints")).scalar_one()))

    with recording(ledger.engine) as connection:
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.3)
        assert not seen
        connection.execute(text("INSERT INTO checkpoints (size, note) VALUES (1, 'note')"))
    waiting.join()
    assert seen == [("serializable", 1)]
    other.dispose()


def test_a_reader_sees_one_moment_there_too(ledger: SqlLedger) -> None:
    """An audit is not confused by what is appended while it reads."""
    ledger.append([note("x")])
    with reading(ledger._engine) as connection:
        before = connection.execute(text("SELECT count(*) FROM entries")).scalar()
        ledger.append([note("y")])
        assert connection.execute(text("SELECT count(*) FROM entries")).scalar() == before == 1


def test_a_lease_ends_by_the_ledgers_clock_there_too(url: str) -> None:
    """A lost lease is noticed."""
    clock = SettableClock()
    ledger = open_ledger(url, clock)

    def overtaken() -> None:
        with ledger.lease("run"):
            clock.advance(timedelta(minutes=2))
            with ledger.lease("run"):
                pass

    with pytest.raises(Conflict, match="lost"):
        overtaken()
    ledger.close()


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    """Nothing listens on the discard port: an error with a code, and without the password."""
    pytest.importorskip("psycopg")
    with pytest.raises(Unavailable, match="HF700 database") as caught:
        open_database("postgresql+psycopg://nobody:password1@127.0.0.1:9/x?connect_timeout=2")
    assert "password1" not in str(caught.value)
