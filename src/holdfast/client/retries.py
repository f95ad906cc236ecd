"""Whether and when a call is asked again: bounded in number, in time, and in what all calls together may ask again."""

import threading
from dataclasses import dataclass, field
from typing import Final

from holdfast.client.messages import Received
from holdfast.core.errors import InvalidInput

RETRIES: Final = 3  # attempts after the first
PATIENCE_S: Final = 30.0  # spent waiting over all attempts of one call
FIRST_WAIT_S: Final = 0.2  # where the gateway names no time; doubles with each attempt
TOKENS: Final = 10.0  # failures that a budget bears twice: at half of them it gives no retry any more
RATIO: Final = 0.1  # of a token that each success gives back: in the long run one retry for ten calls
OK: Final = 200
BUSY: Final = 503
_TRY_AGAIN: Final = frozenset({429, BUSY})


@dataclass(slots=True)
class RetryBudget:
    """What all calls of a client, or of several that share it, may ask again: a token bucket.

    As gRPC throttles retries (proposal A6, "Throttling Retry Attempts and Hedged RPCs"): each answer that would be
    retried takes a token, each success gives back a part of one, and nothing is retried at half of the tokens or below.
    A gateway that fails for everybody is then asked once for each call, and not four times. Safe for threads.
    """

    tokens: float = TOKENS
    ratio: float = RATIO
    _left: float = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Start full.

        Raises:
            InvalidInput: A budget that is none.
        """
        if self.tokens <= 0 or self.ratio <= 0:
            raise InvalidInput("a retry budget of nothing", expected="tokens and ratio above 0; retries=0 for none")
        self._left = self.tokens

    def succeeded(self) -> None:
        """Give back a part of a token."""
        if self._left < self.tokens:
            with self._lock:
                self._left = min(self.tokens, self._left + self.ratio)

    def take(self) -> bool:
        """Take a token for a failure, and say whether it may be retried."""
        with self._lock:
            self._left = max(0.0, self._left - 1.0)
            return self._left > self.tokens / 2


def budget_for(addresses: int, calls: int) -> RetryBudget:
    """Return a budget that bears the loss of an address with so many calls under way, where there are others."""
    return RetryBudget(tokens=TOKENS if addresses == 1 else max(TOKENS, 4.0 * calls))


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long one call is asked again."""

    retries: int = RETRIES
    patience_s: float = PATIENCE_S
    budget: RetryBudget = field(default_factory=RetryBudget)


@dataclass(slots=True)
class Attempts:
    """The attempts of one call."""

    patience: Patience
    _left: int = field(init=False)
    _left_s: float = field(init=False)
    _wait_s: float = field(init=False, default=FIRST_WAIT_S)

    def __post_init__(self) -> None:
        """Begin with all of both."""
        self._left, self._left_s = self.patience.retries, self.patience.patience_s

    def pause_s(self, received: Received | None, *, elsewhere: bool = False) -> float | None:
        """Return how long to wait before the next attempt, or None where this one was the last.

        Args:
            received: The answer; None where the connection was lost.
            elsewhere: Whether another address is there to be asked, which needs no waiting.
        """
        if received is not None and received.status == OK:
            self.patience.budget.succeeded()
            return None
        if received is not None and received.status not in _TRY_AGAIN:
            return None
        allowed = self.patience.budget.take()
        wait_s = _named_wait(received.headers if received is not None else {}) or self._wait_s
        if elsewhere and (received is None or received.status == BUSY):
            wait_s = 0.0
        if not allowed or self._left == 0 or wait_s > self._left_s:
            return None
        self._left, self._left_s, self._wait_s = self._left - 1, self._left_s - wait_s, 2 * wait_s or self._wait_s
        return wait_s


def _named_wait(headers: dict[str, str]) -> float | None:
    """Return the seconds that Retry-After names (RFC 9110, 10.2.3); a date or nonsense counts as nothing."""
    named = headers.get("retry-after", "")
    return float(named) if named.isascii() and named.isdigit() else None
