"""Limits that gateways on several machines count together, over a real Redis: also when it is gone and comes back."""

import http.client
import math
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from tests.conftest import absent
from tests.scenarios.test_gateway_process import Process

from holdfast.adapters.cells import SharedCells
from holdfast.adapters.redis_totals import RedisTotals
from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.core.guard import Call, Chain, Refusal
from holdfast.core.routes import GuardSpec
from holdfast.serve.credentials import CredentialTable
from holdfast.serve.guards.limits import (
    WithinQuotaSettings,
    WithinRateSettings,
    within_quota,
    within_rate,
)
from holdfast.serve.guards.surroundings import LocalNonces, Surroundings
from holdfast.serve.sharing import LOOK_AT_ALL, Sharing
from holdfast.testing import SettableClock
from holdfast.testing.world import API_KEY, GUARDS, INFER, ROW

pytestmark = pytest.mark.services


class Store:
    """A Redis that can be stopped and started."""

    def __init__(self, program: str, folder: Path, password: str = "") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self.command += ["--requirepass", password] if password else []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it listens."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("Redis does not listen")

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A Redis of this test alone."""
    program = shutil.which("redis-server")
    if program is None:
        absent("redis-server", "`make services` installs it")
    found = Store(program, tmp_path, "secret")
    found.start()
    yield found
    found.stop()


class Machine:
    """A gateway's limits on one machine."""

    def __init__(self, folder: Path, store: Store, *, apart: str = "share", rate: bool = False, days: int = 0) -> None:
        folder.mkdir()
        self.clock, self.now = SettableClock(), [100.0]
        self.clock.advance(timedelta(days=days))
        self.cells = SharedCells(folder / "limits.cells")
        surroundings = Surroundings(
            credentials=CredentialTable(bytes(32), ()),
            signatures={},
            cells=self.cells,
            nonces=LocalNonces(since=0.0),
            clock=self.clock,
            monotonic=lambda: self.now[0],
        )
        guard = (
            within_rate(WithinRateSettings(rate_per_s=10, burst=100, machines=2, apart=apart), surroundings)  # type: ignore[arg-type]
            if rate
            else within_quota(WithinQuotaSettings(rows=1000, machines=2, apart=apart), surroundings)  # type: ignore[arg-type]
        )
        self.chain = Chain((guard,))
        self.totals = RedisTotals(
            url=f"redis://127.0.0.1:{store.port}/3", prefix="world:production", key=bytes(32), password="secret"
        )
        self.sharing = Sharing(cells=self.cells, totals=self.totals, monotonic=lambda: self.now[0])

    def calls(self, count: int) -> int:
        """Make so many calls, and return how many passed."""
        import numpy as np

        rows = np.zeros((1, 1), dtype=np.float32)

        def one() -> Call | Refusal:
            call = Call(model="m", headers={}, body=b"", correlation="c", received_s=0.0, client="bob", rows=rows)
            return self.chain.admit(call)

        return sum(isinstance(one(), Call) for _ in range(count))

    def share(self) -> None:
        """Count together once."""
        self.sharing.round(self.chain, ("bob", "carol"))


@pytest.fixture
def machine(tmp_path: Path, store: Store) -> Iterator[Callable[..., Machine]]:
    """Make a machine of a name."""
    made: list[Machine] = []

    def make(name: str, **how: object) -> Machine:
        found = Machine(tmp_path / name, store, **how)  # type: ignore[arg-type]
        made.append(found)
        found.share()
        return found

    yield make
    for each in made:
        each.totals.close()
        each.cells.close()


@pytest.mark.requirement("GATE-04", by="holdfast.serve.sharing:Sharing.round")
def test_two_machines_together_give_the_quota_within_what_one_round_lets_slip(machine: Callable[..., Machine]) -> None:
    """A thousand rows a day: in rounds of fifty calls each, at most one round too many, and then none at all."""
    first, second = machine("first"), machine("second")
    passed = 0
    for _ in range(20):
        for each in (first, second):
            passed += each.calls(50)
            each.share()
    for each in (first, second):
        each.share()
    assert 1000 <= passed <= 1050
    assert (first.calls(10), second.calls(10)) == (0, 0)


@pytest.mark.requirement("GATE-03", by="holdfast.serve.sharing:Sharing._learn")
def test_two_machines_together_give_the_rate(machine: Callable[..., Machine]) -> None:
    """Ten a second and a burst of a hundred: over a minute of hammering both, what one machine would have given."""
    first, second = machine("first", rate=True), machine("second", rate=True)
    passed = 0
    for _ in range(600):
        for each in (first, second):
            each.now[0] += 0.1
            passed += each.calls(3)
            each.share()
    assert passed == pytest.approx(100 + 10 * 60, rel=0.03)


@pytest.mark.parametrize(("apart", "expected"), [("share", 500), ("refuse", 0)])
def test_while_the_others_are_out_of_reach_each_has_its_share_or_nothing(
    apart: str, expected: int, machine: Callable[..., Machine], store: Store
) -> None:
    """As the table says; and what was used meanwhile is told when they are back."""
    first, second = machine("first", apart=apart), machine("second", apart=apart)
    store.stop()
    for each in (first, second):
        each.now[0] += 10.0
        assert each.calls(700) == expected
        if expected:
            with pytest.raises(Unavailable):
                each.share()
    store.start()
    for _ in range(LOOK_AT_ALL + 1):
        for each in (first, second):
            with suppress(Unavailable):  # the first time it still has the old connection
                each.share()
    assert first.calls(1100) == 1000 - 2 * expected


def test_a_gateway_that_comes_back_knows_what_was_used_without_it(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    """And one that is new begins with what all have used."""
    first = machine("first")
    assert first.calls(600) == 600
    first.share()
    new = machine("new")
    assert new.cells.read("quota\0bob")[1] == 600
    assert new.calls(500) == 400


@pytest.mark.requirement("GATE-04", by="holdfast.core.allowances:Quota.join")
def test_what_was_used_in_earlier_periods_is_not_counted_against_a_new_gateways_first(
    machine: Callable[..., Machine],
) -> None:
    """Of a thousand rows a day, 900 went yesterday and 300 today: who comes today finds 700 left, and 1,200 in all."""
    first = machine("first")
    assert first.calls(900) == 900
    first.share()
    first.clock.advance(timedelta(days=1))
    assert first.calls(300) == 300
    first.share()
    new = machine("new", days=1)
    assert new.cells.read("quota\0bob")[1:3] == (300, 1200)
    assert new.calls(1000) == 700
    new.share()
    for _ in range(LOOK_AT_ALL):
        first.share()
    assert first.calls(10) == 0


@pytest.mark.parametrize("url", ["http://h/0", "redis:///0", "redis://:pw@h/0", "redis://h/x"])
def test_an_address_that_is_none_or_holds_a_password_is_refused(url: str) -> None:
    """Every child process could read it."""
    with pytest.raises(InvalidInput):
        RedisTotals(url=url, prefix="p", key=bytes(32))


def test_whatever_answers_in_place_of_a_store_is_out_of_reach(store: Store) -> None:
    """A wrong password, and somebody who speaks something else."""
    wrong = RedisTotals(url=f"redis://127.0.0.1:{store.port}/0", prefix="p", key=bytes(32), password="wrong")
    with pytest.raises(Unavailable, match="WRONGPASS"):
        wrong.add({"a": 1.0})
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        silent = RedisTotals(url=f"redis://127.0.0.1:{listening.getsockname()[1]}", prefix="p", key=bytes(32))
        with pytest.raises(Unavailable):
            silent.add({"a": math.pi})


@pytest.mark.requirement("GATE-03", by="holdfast.edge.assembly:sharing_of")
def test_two_gateways_over_one_store_give_one_burst_and_refuse_without_it(tmp_path: Path) -> None:
    """Processes over real sockets: whatever one lets pass, the other learns; and without the store they say 503."""
    program = shutil.which("redis-server")
    if program is None:
        absent("redis-server", "`make services` installs it")
    settings = {"rate_per_s": 0.001, "burst": 40, "machines": 2, "apart": "refuse"}
    guards = (*GUARDS[:2], GuardSpec(name="within-rate", configuration=settings), *GUARDS[3:])
    store = Store(program, tmp_path)
    store.start()
    found: list[Process] = []
    try:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            found.append(Process(tmp_path / name, limits_url=f"redis://127.0.0.1:{store.port}/0"))
        for each in found:
            each.ready()
            each.publish(each.world.table(each.release, guards=guards))
        first, second = found
        eventually(lambda: all(b"holdfast_route_epoch 2" in get(each, "/metrics") for each in found))
        eventually(lambda: status(first) == 200 and status(second) == 200)
        passed = sum(status(first) == 200 for _ in range(60))
        assert 0 < passed <= 40
        eventually(lambda: status(second) == 429)
        more = sum(status(second) == 200 for _ in range(60))
        assert more == 0
        store.stop()
        eventually(lambda: (status(first), status(second)) == (503, 503))
    finally:
        for each in found:
            each.end()
        store.stop()


def status(gateway: Process) -> int:
    """What a call is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", int(gateway.url.rpartition(":")[2]), timeout=30)
    with closing(connection):
        connection.request("POST", INFER, ROW, {"authorization": f"Bearer {API_KEY}"})
        return connection.getresponse().status


def get(gateway: Process, path: str) -> bytes:
    """What is read at a path."""
    connection = http.client.HTTPConnection("127.0.0.1", int(gateway.url.rpartition(":")[2]), timeout=30)
    with closing(connection):
        connection.request("GET", path)
        return connection.getresponse().read()


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never came about")
