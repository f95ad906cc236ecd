"""Leases: one holder at a time, named to whoever wants the same, and none that outlives its process."""

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, select, update
from tests.unit.adapter_kit import child, open_ledger

from holdfast.adapters import leases as module
from holdfast.adapters.database import leases, reading, writing
from holdfast.adapters.leases import Holder, this_process
from holdfast.adapters.ledger import SqlLedger
from holdfast.core.errors import Conflict, Unavailable
from holdfast.testing import SettableClock

HOLD: str = (
    "import sys, time; from pathlib import Path; from tests.unit.adapter_kit import open_ledger\n"
    "with open_ledger(Path(sys.argv[1])).lease('run'):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(600)\n"
)


@pytest.fixture
def clock() -> SettableClock:
    """The clock that decides when a lease has ended."""
    return SettableClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger lies."""
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path, clock: SettableClock) -> SqlLedger:
    """A ledger without leases."""
    return open_ledger(path, clock)


def held(ledger: SqlLedger) -> list[Any]:
    """The leases there are."""
    with reading(ledger._engine) as connection:
        return list(connection.execute(select(leases)).all())


def plant(ledger: SqlLedger, holder: Holder | str, clock: SettableClock) -> None:
    """Writes a lease that runs for another minute, held by whom the test likes."""
    text = holder if isinstance(holder, str) else msgspec.json.encode(holder).decode()
    expires = (clock.now() + timedelta(minutes=1)).isoformat(timespec="microseconds")
    with writing(ledger._engine) as connection:
        connection.execute(insert(leases), {"name": "run", "holder": text, "expires": expires})


def ends_at(ledger: SqlLedger, moment: str) -> bool:
    """Says whether the only lease ends at this moment."""
    return [row.expires for row in held(ledger)] == [moment]


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until something is so that will be so soon."""
    while not condition():
        time.sleep(0.005)


def test_a_lease_has_one_holder_who_is_named_to_the_next(ledger: SqlLedger, path: Path) -> None:
    """Whoever else wants it, in this process or another, is told by process and host, until it is given back."""
    with ledger.lease("run"):
        for other in (ledger, open_ledger(path)):
            with pytest.raises(Conflict, match=f"process {os.getpid()} on {os.uname().nodename}"), other.lease("run"):
                pass
        with ledger.lease("route"):
            assert len(held(ledger)) == 2
    assert not held(ledger)
    with open_ledger(path).lease("run"):
        pass


def test_a_block_that_raises_gives_its_lease_back(ledger: SqlLedger) -> None:
    """And its own error is what is seen."""
    with pytest.raises(ZeroDivisionError), ledger.lease("run"):
        raise ZeroDivisionError
    assert not held(ledger)


def test_a_lease_that_ran_out_is_taken_over_and_its_old_holder_is_told(
    ledger: SqlLedger, path: Path, clock: SettableClock
) -> None:
    """Two may have done the same now: the first learns it at the end of its block, unless its block failed anyway."""

    def overtaken(ending: type[Exception] | None) -> None:
        with ledger.lease("run", ttl_s=60):
            clock.advance(timedelta(seconds=59))
            with pytest.raises(Conflict, match="going on"), ledger.lease("run"):
                pass
            clock.advance(timedelta(seconds=1))
            with open_ledger(path, clock).lease("run"):
                pass
            if ending:
                raise ending

    with pytest.raises(Conflict, match="lost on the way"):
        overtaken(None)
    with pytest.raises(ZeroDivisionError):
        overtaken(ZeroDivisionError)


def test_a_holder_that_lives_keeps_its_lease(ledger: SqlLedger, clock: SettableClock) -> None:
    """It is renewed while the block runs, however long that is."""
    with ledger.lease("run", ttl_s=0.03):  # renewed every 10 ms of real time, while the clock that decides is set by us
        for _ in range(3):
            clock.advance(timedelta(seconds=0.02))
            ends = (clock.now() + timedelta(seconds=0.03)).isoformat(timespec="microseconds")
            wait_for(partial(ends_at, ledger, ends))
            with pytest.raises(Conflict), ledger.lease("run"):
                pass


def test_a_renewal_that_fails_on_a_busy_database_is_tried_again(
    ledger: SqlLedger, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failure loses nothing."""
    failed: list[int] = []
    renew = module._Held.renew

    def busy_once(self: module._Held) -> bool:
        if not failed:
            failed.append(1)
            raise Unavailable("busy")
        return renew(self)

    monkeypatch.setattr(module._Held, "renew", busy_once)
    with ledger.lease("run", ttl_s=0.03):
        clock.advance(timedelta(seconds=0.02))
        ends = (clock.now() + timedelta(seconds=0.03)).isoformat(timespec="microseconds")
        wait_for(partial(ends_at, ledger, ends))
    assert failed


def test_a_lease_that_was_lost_is_not_renewed(ledger: SqlLedger, clock: SettableClock) -> None:
    """The new holder's row stays the new holder's."""

    def robbed() -> None:
        with ledger.lease("run", ttl_s=0.03):
            with writing(ledger._engine) as connection:
                connection.execute(update(leases).values(holder="somebody"))
            time.sleep(0.05)  # several renewals would have come by now

    with pytest.raises(Conflict, match="lost"):
        robbed()
    assert [row.holder for row in held(ledger)] == ["somebody"]


@pytest.mark.parametrize("waited", [True, False], ids=["reaped", "zombie"])
def test_a_process_that_was_killed_blocks_nobody(path: Path, waited: bool) -> None:
    """Its lease would run for a minute; on the same machine it is free at once, noticed by its parent or not."""
    with child(HOLD, path) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        ledger = open_ledger(path)
        with pytest.raises(Conflict, match=f"process {process.pid}"), ledger.lease("run"):
            pass
        process.send_signal(signal.SIGKILL)
        if waited:
            process.wait()
        else:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and left unburied
        with ledger.lease("run"):
            assert len(held(ledger)) == 1


def test_a_process_id_that_was_used_again_is_not_taken_for_the_holder(ledger: SqlLedger, clock: SettableClock) -> None:
    """A living process of the holder's id that began at another moment is somebody else."""
    plant(ledger, msgspec.structs.replace(this_process(), started="1"), clock)
    with ledger.lease("run"):
        pass


@pytest.mark.parametrize("where", ["host", "space"])
def test_a_process_elsewhere_is_never_taken_for_dead(ledger: SqlLedger, clock: SettableClock, where: str) -> None:
    """On another machine or in another container nobody here can see it: its lease runs out, no sooner."""
    elsewhere = msgspec.structs.replace(this_process(), pid=1 << 22, started="1", **{where: "elsewhere"})
    plant(ledger, elsewhere, clock)
    with pytest.raises(Conflict, match=str(1 << 22)), ledger.lease("run"):
        pass
    clock.advance(timedelta(minutes=1))
    with ledger.lease("run"):
        pass


def test_a_row_that_names_nobody_blocks_nobody(ledger: SqlLedger, clock: SettableClock) -> None:
    """A holder that cannot be read cannot be waited for."""
    plant(ledger, "nobody", clock)
    with ledger.lease("run"):
        pass
