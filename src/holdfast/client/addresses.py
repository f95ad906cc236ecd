"""Which of several gateways a call goes to: in turn, without those that failed, until a probe finds them ready again.

Decides without sockets. An address that cannot be reached is out at once, one that answers 503 after `IN_A_ROW` times.
It is asked whether it is ready (`GET /v2/health/ready`) after a second, then ever later up to half a minute, and is
back with its first yes; calls are no probes. Where all are out, the one that is due first is tried: better than nobody.
"""

import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.client.messages import Received
from holdfast.client.retries import BUSY
from holdfast.core.errors import InvalidInput, Unavailable

IN_A_ROW: Final = 3  # answers of 503: one alone is shed load, or a model whose breaker is open
FIRST_OUT_S: Final = 1.0  # before an address is probed; doubles with each no
LONGEST_OUT_S: Final = 30.0
PROBE_S: Final = 1.0  # for a probe to be answered
MOST: Final = 64  # addresses of one client


@dataclass(slots=True)
class _Health:
    failures: int = 0  # in a row
    out_s: float = 0.0  # for how long it stays out this time; 0 while it is not
    due_s: float = 0.0  # when it is probed


@dataclass(slots=True)
class Spread:
    """The addresses of one client and what is known of each; not for use by several threads at once."""

    count: int
    now: Callable[[], float] = time.monotonic
    _all: list[_Health] = field(init=False)
    _turn: int = 0

    def __post_init__(self) -> None:
        """Begin with all of them in good health."""
        self._all = [_Health() for _ in range(self.count)]

    def pick(self, tried: Sequence[int] = ()) -> int:
        """Return whose turn it is, rather one that this call has not tried."""
        order = [(self._turn + step) % self.count for step in range(self.count)]
        well = [each for each in order if not self._all[each].out_s]
        fresh = [each for each in well if each not in tried]
        chosen = (fresh or well or [min(order, key=lambda each: (each in tried, self._all[each].due_s))])[0]
        self._turn = (chosen + 1) % self.count
        return chosen

    def elsewhere(self, tried: Sequence[int]) -> bool:
        """Say whether there is an address in good health that a call has not tried."""
        return any(not health.out_s and each not in tried for each, health in enumerate(self._all))

    def note(self, which: int, received: Received | None) -> None:
        """Take note of an answer, or that there was none; only a probe brings back an address that is out."""
        health = self._all[which]
        if received is not None and received.status != BUSY:
            health.failures = 0
            return
        health.failures = health.failures + 1 if received is not None else IN_A_ROW
        if health.failures >= IN_A_ROW and self.count > 1 and not health.out_s:
            health.out_s, health.due_s = FIRST_OUT_S, self.now() + FIRST_OUT_S

    def due(self) -> int | None:
        """Return an address that is to be probed now, if there is one; the next probe of it is later."""
        now = self.now()
        for each, health in enumerate(self._all):
            if health.out_s and health.due_s <= now:
                health.out_s = min(2 * health.out_s, LONGEST_OUT_S)
                health.due_s = now + health.out_s
                return each
        return None

    def probed(self, which: int, *, ready: bool) -> None:
        """Take note of what a probe found."""
        if ready:
            self._all[which] = _Health()


def is_final(lost: Unavailable, *, elsewhere: bool) -> bool:
    """Say whether a call without an answer is not made again.

    That is so where an answer came and was no good, and where the same place would only be waited for once more, or is
    not whom we trust.
    """
    cause = lost.__cause__
    return cause is None or (not elsewhere and isinstance(cause, TimeoutError | ssl.SSLError))


def listed(urls: str | Sequence[str]) -> tuple[str, ...]:
    """Return addresses as a tuple, each once.

    Raises:
        InvalidInput: There is none, or there are too many.
    """
    found = (urls,) if isinstance(urls, str) else tuple(dict.fromkeys(urls))
    if not 1 <= len(found) <= MOST:
        raise InvalidInput(f"{len(found)} addresses of gateways", expected=f"1 to {MOST}")
    return found
