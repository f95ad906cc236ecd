"""SERV-11 in one gateway: workers that hang, die or rest under load, and who answers meanwhile."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.test_gateway_process import Process, eventually

from holdfast.adapters import load
from holdfast.testing.world import API_KEY, INFER, ROW

pytestmark = pytest.mark.services
GIVEN_UP_S = 5.0  # the shipped value is 10
CALLS = 40  # with a queue for each of two workers, all on one side once in 10^12


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a gateway, and ends it after the test."""
    started: list[Process] = []

    def begin(**options: Any) -> Process:
        started.append(Process(tmp_path, check_every_s=0.2, given_up_s=GIVEN_UP_S, **options))
        return started[-1].ready()

    yield begin
    for process in started:
        process.end()


def worker(gateway: Process, number: int) -> dict[str, Any]:
    """What a worker last said of itself."""
    found: dict[str, Any] = json.loads((gateway.folder / "home" / f"loaded-{number}.json").read_text())
    return found


def shares(gateway: Process, number_of_workers: int = 2) -> list[int]:
    """How many calls each worker has answered."""
    time.sleep(0.5)  # each tells it five times a second
    return [worker(gateway, number)["calls"] for number in range(number_of_workers)]


def call(gateway: Process, times: int, *, meanwhile: Callable[[], None] = lambda: None, keep: bool = False) -> Counter:
    """Make calls at once, nobody asking twice, and do something once all of them are connected; count the statuses."""
    host, port = gateway.address
    raw = load.request(f"{host}:{port}", INFER, (("x-api-key", API_KEY),), ROW)

    async def play() -> Counter:
        sender = load.Sender(host=host, port=port, timeout_s=30.0)
        calls = [asyncio.create_task(sender.send(raw, due_s=0.0, keep=keep)) for _ in range(times)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(meanwhile)
        found = await asyncio.gather(*calls)
        await sender.close()
        return Counter(each.status for each in found)

    return asyncio.run(play())


def stop(gateway: Process, number: int) -> int:
    """Stop a worker that has nothing to do, as a loop that is stuck would stand."""
    pid = int(worker(gateway, number)["pid"])
    os.kill(pid, signal.SIGSTOP)
    return pid


@pytest.mark.requirement("SERV-11", by="holdfast.adapters.posts:Post.wanted")
def test_a_worker_that_hangs_gets_no_calls_is_replaced_and_comes_back(start: Callable[..., Process]) -> None:
    """No call fails or is asked twice, also none that waited in its queue; its successor gets its share again."""
    gateway = start(workers=2)
    hung = stop(gateway, 0)
    begun = time.monotonic()
    assert call(gateway, CALLS) == {200: CALLS}  # about half of them stood in the queue of the one that hangs
    assert time.monotonic() - begun < GIVEN_UP_S  # the other took them; nobody waited for the kill
    assert worker(gateway, 0)["pid"] == hung
    eventually(lambda: worker(gateway, 0)["pid"] != hung)
    assert b"was silent for" in (gateway.folder / "errors.log").read_bytes()
    time.sleep(1.0)
    before = shares(gateway)
    assert call(gateway, CALLS) == {200: CALLS}
    assert all(after > first for after, first in zip(shares(gateway), before, strict=True))


@pytest.mark.requirement("SERV-11", by="holdfast.adapters.supervisor:Supervisor._judge")
def test_a_worker_that_goes_on_in_time_is_not_replaced(start: Callable[..., Process]) -> None:
    """It was out of the spread for as long as it was silent, and is back with the same process."""
    gateway = start(workers=2)
    hung = stop(gateway, 0)
    time.sleep(1.5)
    assert call(gateway, CALLS) == {200: CALLS}
    os.kill(hung, signal.SIGCONT)
    time.sleep(GIVEN_UP_S + 0.5)
    before = shares(gateway)
    assert call(gateway, CALLS) == {200: CALLS}
    assert worker(gateway, 0)["pid"] == hung
    assert shares(gateway)[0] > before[0]


@pytest.mark.requirement("SERV-11", by="holdfast.adapters.supervisor:Supervisor._be_worker")
@pytest.mark.parametrize("workers", [1, 2])
def test_what_waits_in_the_queue_of_a_killed_worker_is_answered(start: Callable[..., Process], workers: int) -> None:
    """By the others; where there are none, by its successor. Nobody asks twice."""
    gateway = start(workers=workers)
    stopped = stop(gateway, 0)
    assert call(gateway, CALLS, meanwhile=lambda: os.kill(stopped, signal.SIGKILL)) == {200: CALLS}


@pytest.mark.requirement("SERV-11", by="holdfast.adapters.http_direct:Straight.part")
@pytest.mark.parametrize("keep", [False, True])
def test_a_worker_that_rests_finishes_what_it_has_and_gets_nothing_new(
    start: Callable[..., Process], *, keep: bool
) -> None:
    """Under load, no call fails, on new connections and on kept ones; later it gets its share again."""
    gateway = start(workers=2)
    host, port = gateway.address
    raw = load.request(f"{host}:{port}", INFER, (("x-api-key", API_KEY),), ROW)
    pid = int(worker(gateway, 0)["pid"])
    seen: dict[str, list[int]] = {}

    async def traffic(sender: load.Sender, until: asyncio.Event) -> list[int]:
        found = []
        while not until.is_set():
            found.append((await sender.send(raw, due_s=0.0, keep=keep)).status)
            await asyncio.sleep(0.01)
        return found

    async def play() -> list[int]:
        sender, until = load.Sender(host=host, port=port), asyncio.Event()
        callers = [asyncio.create_task(traffic(sender, until)) for _ in range(8)]
        for name in ("rests", "answers"):
            await asyncio.sleep(1.0)
            os.kill(pid, signal.SIGUSR2)
            await asyncio.sleep(1.0)
            seen[f"{name} before"] = await asyncio.to_thread(shares, gateway)
            await asyncio.sleep(1.0)
            seen[f"{name} after"] = await asyncio.to_thread(shares, gateway)
        until.set()
        found = [status for statuses in await asyncio.gather(*callers) for status in statuses]
        await sender.close()
        return found

    assert set(asyncio.run(play())) == {200}
    assert seen["rests after"][0] == seen["rests before"][0]
    assert seen["rests after"][1] > seen["rests before"][1]
    assert keep or seen["answers after"][0] > seen["answers before"][0]  # who keeps a connection makes no new one


@pytest.mark.requirement("SERV-11", by="holdfast.adapters.supervisor:bind")
def test_new_connections_are_spread_evenly(start: Callable[..., Process], record: Any) -> None:
    """Of 800 calls on connections of their own, each of two workers gets 40 to 60 % (a fair coin: once in 10^8)."""
    gateway = start(workers=2)
    before = shares(gateway)
    for _ in range(20):
        assert call(gateway, CALLS) == {200: CALLS}
    found = [after - first for after, first in zip(shares(gateway), before, strict=True)]
    record.save("spread-over-workers", seed=None, result={"calls": 20 * CALLS, "by_worker": found})
    assert sum(found) == 20 * CALLS
    assert min(found) >= 0.4 * sum(found)


@pytest.mark.requirement("SERV-11", by="holdfast.adapters.supervisor:Supervisor._mark")
def test_where_all_rest_all_answer(start: Callable[..., Process]) -> None:
    """Nobody is better off with nobody: the marks are lifted while there is none to stand in."""
    gateway = start(workers=2)
    for number in range(2):
        os.kill(int(worker(gateway, number)["pid"]), signal.SIGUSR2)
    time.sleep(0.5)
    before = shares(gateway)
    assert call(gateway, CALLS) == {200: CALLS}
    assert all(after > first for after, first in zip(shares(gateway), before, strict=True))


DYING = """
import sys, time
from holdfast.adapters import supervisor
from holdfast.adapters.supervisor import Supervisor

def work(number, post, say_ready):
    try:
        open(sys.argv[1], "x").close()
    except FileExistsError:
        sys.exit(1)
    post.own.listen()
    say_ready()
    time.sleep(0.5)
    sys.exit(1)

Supervisor(host="127.0.0.1", port=0, workers=1, work=work, on_ready=lambda port: print(port, flush=True)).run()
"""


@pytest.mark.requirement("SERV-11", by="holdfast.adapters.supervisor:GONE_S")
def test_where_no_worker_comes_back_callers_are_refused_rather_than_left_waiting(tmp_path: Path) -> None:
    """For some seconds they wait for a successor; then who balances over machines must see that none is here."""
    source = str(Path(sys.modules["holdfast"].__file__ or "").parents[1])
    program = [sys.executable, "-c", DYING, str(tmp_path / "once")]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"PYTHONPATH": source}
    ) as one:
        try:
            assert one.stdout is not None
            address = ("127.0.0.1", int(one.stdout.readline()))
            time.sleep(1.0)
            socket.create_connection(address, timeout=1.0).close()

            def refused() -> bool:
                try:
                    socket.create_connection(address, timeout=1.0).close()
                except ConnectionRefusedError:
                    return True
                return False

            eventually(refused)
        finally:
            one.terminate()
