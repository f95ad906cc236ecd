"""The circuit breaker of one release: after repeated failures or slow answers it is left alone, probed, and let back.

States and transitions are a table (`BREAKER`); what counts as repeated is the route table's to say. A breaker knows no
clock: whoever asks says what time it is. It lives in one worker, and each worker finds out for itself.

After M. Nygard, *Release It!*, 2nd ed. (2018), "Circuit Breaker".
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from holdfast.core.machine import Machine
from holdfast.core.resilience import BreakerSettings


class Standing(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"  # calls pass
    OPEN = "open"  # none does
    HALF_OPEN = "half-open"  # one at a time does, to see


class Signal(StrEnum):
    """What happens to a breaker."""

    TRIPPED = "tripped"  # too many of the last calls failed or were slow
    COOLED = "cooled"  # it was open for long enough
    PROVED = "proved"  # enough probes in a row went well
    FAILED = "failed"  # a probe failed


class Command(StrEnum):
    """What is to be done on the way."""

    FORGET = "forget"  # the calls that were counted
    WAIT = "wait"  # begin to count the time for which it stays open


BREAKER: Final[Machine[Standing, Signal, Command]] = Machine(
    name="breaker",
    initial=Standing.CLOSED,
    table={
        (Standing.CLOSED, Signal.TRIPPED): (Standing.OPEN, (Command.FORGET, Command.WAIT)),
        (Standing.OPEN, Signal.COOLED): (Standing.HALF_OPEN, (Command.FORGET,)),
        (Standing.HALF_OPEN, Signal.PROVED): (Standing.CLOSED, (Command.FORGET,)),
        (Standing.HALF_OPEN, Signal.FAILED): (Standing.OPEN, (Command.FORGET, Command.WAIT)),
    },
)
"""The table; a pair that is not in it cannot happen, and is refused."""


@dataclass(slots=True, kw_only=True)
class Breaker:
    """One release's breaker; times are seconds of the monotonic clock."""

    settings: BreakerSettings
    standing: Standing = BREAKER.initial
    opened: int = 0  # how often it has opened
    _bad: deque[bool] = field(default_factory=deque)  # of the last calls, newest last
    _failures: int = 0  # of these
    _until_s: float = 0.0  # when it is probed
    _probed_s: float | None = None  # when the probe under way began; None: none is

    def lets(self, now_s: float) -> bool:
        """Say whether a call may reach the model now; what is let through must be told to `tell`."""
        if self.standing is Standing.CLOSED:
            return True
        if self.standing is Standing.OPEN:
            if now_s < self._until_s:
                return False
            self._step(Signal.COOLED, now_s)
        # One probe at a time; of one that nobody told the end of, nothing is awaited for ever.
        if self._probed_s is not None and now_s - self._probed_s < self.settings.open_s:
            return False
        self._probed_s = now_s
        return True

    def tell(self, now_s: float, *, failed: bool, seconds: float) -> None:
        """Take in how a call went that was let through."""
        slow = self.settings.latency_ms > 0 and seconds * 1000 > self.settings.latency_ms
        self._probed_s = None
        if self.standing is Standing.OPEN:  # it began before the breaker opened
            return
        self._count(bad=failed or slow)
        if self.standing is Standing.HALF_OPEN:
            if self._failures:
                self._step(Signal.FAILED, now_s)
            elif len(self._bad) >= self.settings.probes:
                self._step(Signal.PROVED, now_s)
        elif self._failures >= self.settings.failures:
            self._step(Signal.TRIPPED, now_s)

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until it is probed next."""
        return max(0.0, self._until_s - now_s)

    def _count(self, *, bad: bool) -> None:
        self._bad.append(bad)
        self._failures += bad
        if len(self._bad) > (self.settings.probes if self.standing is Standing.HALF_OPEN else self.settings.window):
            self._failures -= self._bad.popleft()

    def _step(self, signal: Signal, now_s: float) -> None:
        self.standing, commands = BREAKER.step(self.standing, signal)
        for command in commands:
            if command is Command.FORGET:
                self._bad.clear()
                self._failures = 0
                self._probed_s = None
            else:
                self._until_s = now_s + self.settings.open_s
                self.opened += 1
