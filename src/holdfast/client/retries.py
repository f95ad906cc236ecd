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
_TRY_AGAIN: Final = frozenset({429, 503})


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

    def pause_s(self, received: Received) -> float | None:
        """Return how long to wait before the next attempt, or None where this answer is the last."""
        if received.status == OK:
            self.patience.budget.succeeded()
            return None
        if received.status not in _TRY_AGAIN:
            return None
        allowed = self.patience.budget.take()
        wait_s = _named_wait(received.headers) or self._wait_s
        if not allowed or self._left == 0 or wait_s > self._left_s:
            return None
        self._left, self._left_s, self._wait_s = self._left - 1, self._left_s - wait_s, 2 * wait_s
        return wait_s


def _named_wait(headers: dict[str, str]) -> float | None:
    """Return the seconds that Retry-After names (RFC 9110, 10.2.3); a date or nonsense counts as nothing."""
    named = headers.get("retry-after", "")
    return float(named) if named.isascii() and named.isdigit() else None
