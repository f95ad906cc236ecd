"""Limits that several processes share, for real: exact, also when one of them is killed, and after a restart."""

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.adapters.cells import SharedCells
from holdfast.core.allowances import Quota, Rate
from holdfast.core.errors import Unavailable

FOREVER = 4e9


def in_children(count: int, work: Callable[[int], int]) -> list[int]:
    """Run work in so many processes, and return each one's exit: what it returned, or minus the signal."""
    children = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = work(number)
            finally:
                os._exit(code)
        children.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


@pytest.mark.requirement("GATE-04", by="holdfast.adapters.cells:SharedCells.apply")
@pytest.mark.guarantee("G12")
def test_workers_together_let_exactly_the_quota_pass(tmp_path: Path) -> None:
    """Four processes charge one cell as fast as they can: of 2,000 that are allowed, 2,000 pass."""
    path, quota = tmp_path / "limits.cells", Quota(per_period=2000, period_s=1e8)

    def work(number: int) -> int:
        cells = SharedCells(path, worker=number)
        passed = sum(cells.apply("quota\0bob", quota.charge, 1e9, 1.0, FOREVER) == 0 for _ in range(1000))
        (tmp_path / f"passed-{number}").write_text(str(passed))
        return 0

    assert in_children(4, work) == [0] * 4
    assert sum(int((tmp_path / f"passed-{number}").read_text()) for number in range(4)) == 2000


@pytest.mark.guarantee("G12")
def test_limits_hold_within_one_percent_when_a_worker_is_killed_in_the_middle(tmp_path: Path) -> None:
    """The lock of the dead is free, and what it had counted still counts; at most its last call is uncertain."""
    path, rate = tmp_path / "limits.cells", Rate(interval_s=1e6, tolerance_s=1e6 * 999)

    def work(number: int, calls: int) -> int:
        cells = SharedCells(path, worker=number)
        with (tmp_path / f"passed-{number}").open("wb", buffering=0) as out:
            for call in range(calls):
                if cells.apply("rate\0bob", rate.charge, 5.0, 1.0, FOREVER) == 0:
                    out.write(b".")
                if number == 1 and call == 50:
                    os.kill(os.getpid(), signal.SIGKILL)
        return 0

    endless = os.fork()
    if endless == 0:
        work(0, 100_000_000)
        os._exit(0)
    ends = in_children(3, lambda number: work(number + 1, 200))
    os.kill(endless, signal.SIGKILL)  # wherever it is, also inside the lock
    os.waitpid(endless, 0)
    assert ends == [-signal.SIGKILL, 0, 0]
    work(4, 1100)  # nobody waits for the lock of a dead process
    passed = sum((tmp_path / f"passed-{number}").stat().st_size for number in range(5))
    assert abs(passed - 1000) <= 10


def test_a_lock_dies_with_the_worker_that_held_it(tmp_path: Path) -> None:
    """Killed inside of a change, it leaves the file open to the others, and the cell as it was or as it was to be."""
    path, quota = tmp_path / "limits.cells", Quota(per_period=10, period_s=1e8)
    SharedCells(path).apply("quota\0bob", quota.charge, 1e9, 3.0, FOREVER)

    def dying(values: tuple[float, ...], now: float, amount: float) -> tuple[float, None]:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0.0, None

    def work(number: int) -> int:
        SharedCells(path, worker=number).apply("quota\0bob", dying, 1e9, 1.0, FOREVER)
        return 0

    assert in_children(1, work) == [-signal.SIGKILL]
    cells = SharedCells(path)
    assert cells.read("quota\0bob")[1] == 3.0
    assert cells.apply("quota\0bob", quota.charge, 1e9, 7.0, FOREVER) == 0


@pytest.mark.requirement("GATE-04", by="holdfast.adapters.cells:SharedCells.checkpoint")
def test_a_restart_gives_nobody_a_fresh_budget(tmp_path: Path) -> None:
    """What was used is in the file when all processes are gone."""
    path, quota = tmp_path / "limits.cells", Quota(per_period=100, period_s=1e8, total=120)

    def work(number: int) -> int:
        cells = SharedCells(path, worker=number)
        cells.apply("quota\0bob", quota.charge, 1e9, 45.0, FOREVER)
        cells.checkpoint()
        return 0

    assert in_children(2, work) == [0, 0]
    again = SharedCells(path)
    assert again.read("quota\0bob")[1:3] == (90.0, 90.0)
    assert again.apply("quota\0bob", quota.charge, 1e9, 20.0, FOREVER) > 0


@pytest.mark.requirement("GATE-04", by="holdfast.adapters.cells:SharedCells.enter")
def test_a_client_keeps_no_more_workers_busy_than_it_may_and_the_dead_are_not_busy(tmp_path: Path) -> None:
    """Of three workers one client gets two at once; the slot of a killed worker is free once its successor begins."""
    path = tmp_path / "limits.cells"
    first, third = SharedCells(path, worker=0), SharedCells(path, worker=2)
    assert first.enter("bob", 2)

    def work(_number: int) -> int:
        assert SharedCells(path, worker=1).enter("bob", 2)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert in_children(1, work) == [-signal.SIGKILL]
    assert not third.enter("bob", 2)
    assert third.enter("carol", 2)
    third.leave()
    SharedCells(path, worker=1)
    assert third.enter("bob", 2)
    first.leave()
    assert SharedCells(path, worker=1).enter("bob", 2)


def test_what_cannot_be_counted_is_refused_and_room_comes_back_with_time(tmp_path: Path) -> None:
    """Full cells refuse a new name; one whose time is over makes room, and its old owner notices."""
    now = [100.0]
    cells = SharedCells(tmp_path / "limits.cells", cells=4, wall=lambda: now[0])
    quota = Quota(per_period=10, period_s=50.0)
    for name in ("a", "b", "c", "d"):
        assert cells.apply(name, quota.charge, now[0], 1.0, 200.0) == 0
    assert cells.apply("e", quota.charge, now[0], 1.0, 200.0) == math.inf
    now[0] = 201.0
    assert cells.apply("e", quota.charge, now[0], 5.0, 400.0) == 0
    assert cells.apply("a", quota.charge, now[0], 1.0, 400.0) == 0
    assert (cells.read("e")[1], cells.read("a")[1]) == (5.0, 1.0)


@pytest.mark.parametrize("content", [b"x" * 64, b"holdfast cells 1", b"holdfast cells 1" + bytes(48)])
def test_a_file_that_is_no_memory_of_limits_is_not_begun_anew(content: bytes, tmp_path: Path) -> None:
    """It might be one that was damaged, and everybody's budget would be whole again."""
    path = tmp_path / "limits.cells"
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="no such file"):
        SharedCells(path)
    assert path.read_bytes() == content
