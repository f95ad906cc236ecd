"""Overload: what is shed, who is answered first, and how soon it is over. Simulated time on a real event loop."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from holdfast.serve.exchange import HttpRequest, HttpResponse
from holdfast.serve.turns import MOST_BYTES, MOST_WAITING, Turns

READ_S = 30e-6  # to read a request and to write a response
ANSWERED = HttpResponse(status=200, headers=(), body=b"")
SHED = HttpResponse(status=503, headers=(), body=b"")


@dataclass
class Worker:
    """A worker whose answers take as long as told, by a clock of its own."""

    answer_s: float
    now: float = 1.0
    shed_count: int = 0
    order: list[str] = field(default_factory=list)

    def handle(self, request: HttpRequest) -> HttpResponse:
        self.now += self.answer_s
        self.order.append(request.path)
        return ANSWERED

    def shed(self) -> HttpResponse:
        self.shed_count += 1
        return SHED


@dataclass(frozen=True)
class Outcome:
    """When a request came, how long it took, and how it ended."""

    came: float
    took: float
    answered: bool


def run(worker: Worker, arrivals: Sequence[float]) -> list[Outcome]:
    """Let requests arrive at these times, however the worker keeps up."""
    outcomes: list[Outcome] = []

    async def one(turns: Turns, came: float) -> None:
        worker.now += READ_S
        request = HttpRequest(method="POST", path=f"/{came}")
        response = worker.handle(request) if turns.free(request.path) else await turns.wait(request)
        outcomes.append(Outcome(came=came, took=worker.now - came, answered=response is ANSWERED))

    async def everything() -> None:
        turns, waiting = Turns(worker, lambda: worker.now), list(reversed(arrivals))
        tasks: set[asyncio.Future[None]] = set()
        while waiting or tasks:
            while waiting and waiting[-1] <= worker.now:
                tasks.add(asyncio.ensure_future(one(turns, waiting.pop())))
            tasks = {task for task in tasks if not task.done()}
            if not tasks and waiting:
                worker.now = max(worker.now, waiting[-1])
            await asyncio.sleep(0)

    asyncio.run(everything())
    return outcomes


def poisson(rate: float, begin: float, end: float, seed: int = 5) -> list[float]:
    """Arrivals at random, at this rate."""
    source, now, found = random.Random(seed), begin, []  # noqa: S311 - from a known seed
    while (now := now + source.expovariate(rate)) < end:
        found.append(now)
    return found


def p99(outcomes: Sequence[Outcome], begin: float = 0.0) -> float:
    """The time that 99 % of the answered took at most."""
    took = sorted(each.took for each in outcomes if each.answered and each.came >= begin)
    return took[int(len(took) * 0.99)]


@pytest.mark.requirement("GATE-18", by="holdfast.serve.turns:Turns.free")
@pytest.mark.parametrize("answer_s", [0.0005, 0.002, 0.02], ids=lambda seconds: f"{seconds * 1000:g} ms")
def test_at_twice_capacity_the_goodput_stays_the_answered_stay_fast_and_it_is_soon_over(answer_s: float) -> None:
    """Open loop: 3 s at 0.7 of capacity, 10 s at twice, then 0.7 again; callers do not slow down for us."""
    capacity = 1 / (answer_s + READ_S)
    arrivals = [
        *poisson(0.7 * capacity, 1.0, 4.0),
        *poisson(2.0 * capacity, 4.0, 14.0),
        *poisson(0.7 * capacity, 14.0, 24.0),
    ]
    outcomes = run(Worker(answer_s), arrivals)
    normal = p99([each for each in outcomes if each.came < 3.9])
    overload = [each for each in outcomes if 5.0 <= each.came < 14.0]
    goodput = sum(each.answered for each in overload) / 9.0
    assert goodput >= 0.9 * capacity
    assert p99(overload) <= max(3 * normal, 0.02)
    later = [each for each in outcomes if each.came >= 16.0]
    assert sum(each.answered for each in later) >= 0.99 * len(later)
    assert p99(later) <= 3 * normal


@pytest.mark.requirement("GATE-18", by="holdfast.serve.turns:Turns._shed")
def test_an_overload_that_lasts_never_becomes_normal() -> None:
    """After ten times as long, the same share is answered as fast as at first."""
    capacity = 1 / (0.005 + READ_S)
    outcomes = run(Worker(0.005), poisson(2.0 * capacity, 1.0, 61.0))
    early = [each for each in outcomes if 5.0 <= each.came < 15.0]
    late = [each for each in outcomes if 50.0 <= each.came < 60.0]
    assert sum(each.answered for each in late) == pytest.approx(sum(each.answered for each in early), rel=0.1)
    assert p99(late) <= 1.5 * p99(early)


def test_a_short_burst_is_answered_whole_and_in_order() -> None:
    """Twenty at once are no overload."""
    worker = Worker(0.001)
    outcomes = run(worker, [1.0 + number * 1e-9 for number in range(20)])
    assert all(each.answered for each in outcomes)
    assert worker.shed_count == 0
    assert worker.order == sorted(worker.order, key=lambda path: float(path[1:]))


def test_memory_is_bounded_and_whoever_asks_for_health_never_waits() -> None:
    """A flood beyond what may wait sheds the oldest at once."""

    async def flood(check: Callable[[Turns], None]) -> None:
        worker = Worker(1.0)
        turns = Turns(worker, lambda: worker.now)
        assert turns.free("/predict/m")
        worker.now += 1.0
        assert not turns.free("/predict/m")
        futures = [turns.wait(HttpRequest(method="POST", path="/predict/m")) for _ in range(MOST_WAITING + 5)]
        assert [future.done() for future in futures] == [True] * 5 + [False] * MOST_WAITING
        assert worker.shed_count == 5
        check(turns)
        for future in futures:
            future.cancel()

    def healthy(turns: Turns) -> None:
        assert turns.free("/v2/health/live")
        assert not turns.free("/predict/m")

    asyncio.run(flood(healthy))


def test_the_bodies_of_those_who_wait_are_bounded_together() -> None:
    """A few large ones fill the memory as many small ones do: the oldest are shed before it is full."""

    async def flood() -> None:
        worker = Worker(1.0)
        turns, body = Turns(worker, lambda: worker.now), b"x" * (MOST_BYTES // 8)
        assert turns.free("/predict/m")
        worker.now += 1.0
        futures = [turns.wait(HttpRequest(method="POST", path="/predict/m", body=body)) for _ in range(11)]
        assert [future.done() for future in futures] == [True] * 3 + [False] * 8
        await asyncio.wait(futures)
        later = [turns.wait(HttpRequest(method="POST", path="/predict/m", body=body)) for _ in range(8)]
        assert not any(future.done() for future in later)  # room is given back
        for future in later:
            future.cancel()

    asyncio.run(flood())
