"""Chaos: workers killed, the control plane cut off and the disk full, in the midst of open-loop load."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from tests.conftest import absent
from tests.scenarios.test_gateway_process import PATIENCE_S, Process, eventually

from holdfast.adapters import load
from holdfast.core.errors import Refused
from holdfast.rollout.load import GOOD, Outcome, schedule
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import API_KEY, INFER, MODEL, ROW

pytestmark = pytest.mark.services
RATE = 40.0  # calls a second: far below what a worker answers, so that what is lost was lost to the experiment
ONE_S = 1.0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a gateway, and ends it after the test."""
    started: list[Process] = []

    def begin(**options: Any) -> Process:
        started.append(Process(tmp_path, **options))
        return started[-1].ready()

    yield begin
    for process in started:
        process.end()


def under_load(gateway: Process, seconds: float, experiment: Callable[[], None], after_s: float) -> list[Outcome]:
    """Make good calls by chance at a rate, and do something in the midst of them; latency counts from when due."""
    host, port = gateway.address
    sender = load.Sender(host=host, port=port)
    raw = load.request(f"{host}:{port}", INFER, (("x-api-key", API_KEY),), ROW)

    async def call(due_s: float) -> Outcome:
        said = await sender.send(raw, due_s=due_s, keep=False)
        return Outcome(kind=GOOD, status=said.status, code=said.code, latency_s=said.ended_s - said.due_s)

    async def act(_due_s: float) -> Outcome:
        await asyncio.to_thread(experiment)
        return Outcome(kind="experiment", status=0)

    async def play() -> list[Outcome]:
        due = schedule(random.Random(6), rate=RATE, seconds=seconds, attack_share=0.0)  # noqa: S311 - traffic
        calls: list[tuple[float, Callable[[float], Any]]] = [(each.at_s, call) for each in due]
        found = await load.play(sorted([*calls, (after_s, act)], key=lambda each: each[0]))
        await sender.close()
        return [each for each in found if each.kind == GOOD]

    return asyncio.run(play())


def workers(gateway: Process) -> set[int]:
    """The processes beneath the supervisor."""
    pid = gateway.process.pid
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.mark.requirement("ROLL-14", by="holdfast.adapters.supervisor:Supervisor._bury")
def test_killed_workers_cost_the_calls_they_held_and_are_replaced(
    start: Callable[..., Process], effort: Callable[..., int], record: Any
) -> None:
    """One of two is killed again and again: calls go on being answered, and nothing but a closed connection is seen."""
    gateway = start(workers=2, check_every_s=0.0)
    kills, chance = effort(ci=3, record=100), random.Random(2)  # noqa: S311 - moments, no secrets
    killed = 0

    def kill() -> None:
        nonlocal killed
        for _ in range(kills):
            eventually(lambda: len(workers(gateway)) == 2)  # one that is not ready yet leaves its queue to the other
            os.kill(chance.choice(sorted(workers(gateway))), signal.SIGKILL)
            killed += 1
            time.sleep(ONE_S)

    found = under_load(gateway, 2.0 + 4.0 * kills, kill, 0.5)
    answered = [each for each in found if each.status == 200]
    assert {each.status for each in found} <= {200, load.NOTHING}  # no wrong answer, no 5xx: only closed connections
    assert len(answered) >= 0.95 * len(found)
    eventually(lambda: len(workers(gateway)) == 2)
    assert all(_answers(gateway) for _ in range(10))
    result = {"kills": killed, "calls": len(found), "answered": len(answered), "wrong_answers": 0}
    record.save("chaos-workers", seed=2, result=result)


def test_swaps_under_load_fail_no_call(start: Callable[..., Process], effort: Callable[..., int], record: Any) -> None:
    """Two releases are published in turn while calls come in: each swap takes effect, and each call is answered."""
    gateway = start()
    world, swaps, took = gateway.world, effort(ci=12, record=1000), list[float]()
    releases = (gateway.release, world.release(tiny_model(bias=5.0)))

    def swap() -> None:
        with gateway.client() as client:
            for turn in range(1, swaps + 1):
                wanted = releases[turn % 2].digest.removeprefix("sha256:")[:12]
                gateway.publish(world.table(releases[turn % 2]))
                begun = time.monotonic()
                while client.infer(MODEL, [[50, 15, 0.1]]).release != wanted:
                    assert time.monotonic() < begun + PATIENCE_S, f"swap {turn} took no effect"
                    time.sleep(0.005)
                took.append(time.monotonic() - begun)

    found = under_load(gateway, 2.0 + 0.4 * swaps, swap, 0.2)
    statuses = Counter(each.status for each in found)
    back = sorted(took[1::2])
    result = {
        "swaps": len(took),
        "calls": len(found),
        "failed": len(found) - statuses[200],
        "seconds_until_the_older_release_answers": {"median": median(back), "p99": back[int(0.99 * (len(back) - 1))]},
    }
    record.save("hot-swaps", seed=6, result=result)
    assert statuses == {200: len(found)}
    assert len(took) == swaps


@pytest.mark.requirement("ROLL-14", by="holdfast.serve.gateway:Gateway.hold")
def test_a_control_plane_that_is_cut_off_and_comes_back_costs_no_call(start: Callable[..., Process]) -> None:
    """What it published is gone, then there again: every call is answered, and a newer table is obeyed."""
    gateway = start(check_every_s=0.3)
    published, away = gateway.folder / "published", gateway.folder / "away"

    def cut() -> None:
        published.rename(away)
        time.sleep(ONE_S)
        away.rename(published)

    found = under_load(gateway, 3.0, cut, 0.5)
    assert {each.status for each in found} == {200}
    gateway.publish(gateway.world.table(None))
    eventually(lambda: not _answers(gateway))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with very little room, where the gateway keeps its records."""
    program = shutil.which("mount")
    if program is None or os.geteuid() != 0:
        absent("a file system of one's own", "run as root, where mounting is allowed")
    place = tmp_path / "small"
    place.mkdir()
    arguments = [program, "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if subprocess.run(arguments, capture_output=True, check=False).returncode:
        absent("a file system of one's own", "run where mounting is allowed")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


@pytest.mark.requirement("ROLL-14", by="holdfast.serve.events:SecurityLog.give_back")
def test_a_full_disk_loses_no_record_and_refuses_no_call(
    start: Callable[..., Process], small: Path, tmp_path: Path
) -> None:
    """While there is no room, calls are answered and refusals are kept in memory; with room they are written, all."""
    gateway = start(check_every_s=0.0)
    spool = tmp_path / "home" / "spool"
    eventually(lambda: any(spool.glob("events-*")))
    _fill(small / "full")
    subprocess.run(["mount", "--bind", str(small), str(spool)], check=True, capture_output=True)
    try:
        for _ in range(5):
            assert _answers(gateway)
            with pytest.raises(Refused):
                gateway.infer(key="hf_" + "B" * 43)
        eventually(lambda: b"cannot be written" in (gateway.folder / "errors.log").read_bytes())
        assert _answers(gateway)
        (small / "full").unlink()
        eventually(lambda: any(each.stat().st_size for each in small.glob("events-*")))
    finally:
        gateway.end()
        subprocess.run(["umount", "-l", str(spool)], check=True, capture_output=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


def _answers(gateway: Process) -> bool:
    host, port = gateway.address

    async def ask() -> int:
        sender = load.Sender(host=host, port=port)
        raw = load.request(f"{host}:{port}", INFER, (("x-api-key", API_KEY),), ROW)
        said = await sender.send(raw, due_s=time.perf_counter(), keep=False)
        return said.status

    return asyncio.run(ask()) == 200
