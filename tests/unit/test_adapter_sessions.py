"""Sessions in the database: one secret at a time, and none that outlives its time, its account or its closing."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.adapters.database import open_database
from holdfast.adapters.sessions import SqlSessions
from holdfast.core.identity import Session
from holdfast.testing.clock import SettableClock

NOW = SettableClock().now()


def session(number: str = "1", name: str = "emil", hours: int = 12) -> Session:
    """A session that goes on for some hours."""
    return Session(id=number, name=name, how="test", hash="first", expires=NOW + timedelta(hours=hours))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[SqlSessions]:
    """Where sessions are kept."""
    engine = open_database(tmp_path / "ledger.db")
    yield SqlSessions(engine)
    engine.dispose()


def test_a_session_goes_on_until_it_expires_or_is_closed(kept: SqlSessions) -> None:
    """And is found as it was kept, by its id only."""
    kept.open(session(), NOW)
    assert kept.get("1", NOW + timedelta(hours=11, minutes=59)) == session()
    assert kept.get("1", NOW + timedelta(hours=12)) is None
    assert kept.get("2", NOW) is None
    assert kept.close("1")
    assert not kept.close("1")
    assert kept.get("1", NOW) is None


def test_a_secret_is_replaced_by_the_one_who_has_it(kept: SqlSessions) -> None:
    """Of many at once with the same secret, one gets the next; and who has an earlier one gets nothing."""
    kept.open(session(), NOW)
    got: list[bool] = []
    threads = [threading.Thread(target=lambda n=n: got.append(kept.renew("1", "first", f"next-{n}"))) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False, False, False, False, True]
    assert not kept.renew("1", "first", "again")
    found = kept.get("1", NOW)
    assert found is not None
    assert found.hash.startswith("next-")


def test_all_sessions_of_an_account_end_at_once(kept: SqlSessions) -> None:
    """And nobody else's."""
    for number, name in (("1", "emil"), ("2", "emil"), ("3", "rita")):
        kept.open(session(number, name), NOW)
    assert (kept.count("emil", NOW), kept.close_all("emil"), kept.count("emil", NOW)) == (2, 2, 0)
    assert kept.get("3", NOW) is not None


def test_what_has_expired_is_forgotten_with_the_next_one(kept: SqlSessions) -> None:
    """The table holds those who work, not all who ever did."""
    kept.open(session("1", hours=1), NOW)
    kept.open(session("2"), NOW + timedelta(hours=2))
    assert kept.get("1", NOW) is None
    assert kept.get("2", NOW) is not None
