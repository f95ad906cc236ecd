"""Whose turn it is in a worker that gets more requests than it can answer: overload is shed, and the rest stays fast.

A worker answers one call at a time on one loop, so work that waits shows as a round of the loop that takes long. Within
a slice of time calls are answered as they come, at no cost. What comes after it waits; then

1. for as long as the line empties now and then, the first come is the first answered;
2. once it has not been empty for an interval, and until nobody was refused for one, the newest is answered first, and
   whoever has waited for longer than the target is refused: adaptive LIFO with controlled delay (B. Maurer, Fail at
   scale, ACM Queue 2015, after K. Nichols and V. Jacobson, Controlling queue delay, 2012, RFC 8289).

Both times grow with how long an answer itself takes, which waiting does not change; nothing is learned from the delay
of answers, so that a long overload never becomes what is normal. Health and metrics never wait.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from holdfast.serve.exchange import HttpRequest, HttpResponse

SLICE_S: Final = 0.002  # of answering in one round of the loop, before it looks for what has arrived
INTERVAL_S: Final = 0.1  # RFC 8289 section 4.2: a round trip of those who call
TARGET_S: Final = 0.01  # that anybody waits under overload
INTERVAL_ANSWERS: Final = 50.0  # the same in answers, where these take long
TARGET_ANSWERS: Final = 10.0
MOST_WAITING: Final = 1024  # requests with their bodies in memory
MOST_BYTES: Final = 64 << 20  # of these bodies together
SMOOTHING: Final = 0.05  # weight of the newest answer in the mean time that one takes
NEVER_WAIT: Final = frozenset({"/v2/health/live", "/v2/health/ready", "/metrics"})


class Core(Protocol):
    """What is asked for answers."""

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        ...

    def shed(self) -> HttpResponse:
        """Return the refusal of a request that nobody looks at."""
        ...


class Turns:
    """The line of one worker."""

    def __init__(self, core: Core, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin with nobody in line."""
        self._core, self._clock = core, clock
        self._waiting: deque[tuple[float, HttpRequest, asyncio.Future[HttpResponse]]] = deque()
        self._held = 0  # bytes of bodies in line
        self._round = 0.0  # when this round of the loop began to answer; 0 before it has
        self._filled = 0.0  # since when the line has not been empty
        self._refused = -math.inf  # when somebody had waited for too long
        self._answer_s = 0.0  # how long an answer takes

    def free(self, path: str) -> bool:
        """Say whether a request may be answered at once."""
        if self._waiting:
            return path in NEVER_WAIT
        if not self._round:
            self._round = self._clock()
            asyncio.get_running_loop().call_soon(self._next)
            return True
        return self._clock() - self._round < SLICE_S or path in NEVER_WAIT

    def wait(self, request: HttpRequest) -> "asyncio.Future[HttpResponse]":
        """Return what will be the response, or the refusal."""
        now, future = self._clock(), asyncio.get_running_loop().create_future()
        if not self._waiting:
            self._filled = now
        while self._waiting and (len(self._waiting) >= MOST_WAITING or self._held + len(request.body) > MOST_BYTES):
            self._settle(self._taken(newest=False)[2], self._core.shed())
        self._waiting.append((now, request, future))
        self._held += len(request.body)
        return future

    def _next(self) -> None:
        """Begin another round of the loop: answer those in line, for a slice of time."""
        self._round = 0.0
        if not self._waiting:
            return
        begun = now = self._clock()
        self._round = begun
        interval = max(INTERVAL_S, INTERVAL_ANSWERS * self._answer_s)
        overloaded = begun - self._filled > interval or begun - self._refused < interval
        self._shed(begun, max(TARGET_S, TARGET_ANSWERS * self._answer_s) if overloaded else interval)
        while self._waiting and now - begun < SLICE_S:
            _, request, future = self._taken(newest=overloaded)
            self._settle(future, self._core.handle(request))
            after = self._clock()
            self._answer_s += SMOOTHING * (after - now - self._answer_s)
            now = after
        asyncio.get_running_loop().call_soon(self._next)

    def _shed(self, now: float, longest: float) -> None:
        """Refuse whoever has waited for longer; the oldest stand first."""
        while self._waiting and now - self._waiting[0][0] > longest:
            self._settle(self._taken(newest=False)[2], self._core.shed())
            self._refused = now

    def _taken(self, *, newest: bool) -> tuple[float, HttpRequest, "asyncio.Future[HttpResponse]"]:
        """Take one out of the line: the newest, or the oldest."""
        taken = self._waiting.pop() if newest else self._waiting.popleft()
        self._held -= len(taken[1].body)
        return taken

    @staticmethod
    def _settle(future: "asyncio.Future[HttpResponse]", response: HttpResponse) -> None:
        if not future.done():  # whoever waited may be gone
            future.set_result(response)
