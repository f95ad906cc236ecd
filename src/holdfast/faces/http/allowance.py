"""How often somebody may ask: token buckets, one for each principal, and one for each address that fails to be one."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from holdfast.core.errors import TooMany

MOST: Final = 10_000  # buckets kept; the one that was not asked of for longest is forgotten, and was full again by then


class Allowance:
    """Token buckets by name; not for several threads."""

    def __init__(self, *, rate_per_s: float, burst: float, monotonic: Callable[[], float]) -> None:
        """Every bucket begins full."""
        self._rate, self._burst, self._monotonic = rate_per_s, burst, monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def set_rate(self, per_s: float) -> None:
        """Fill the buckets at another rate from now on, and let them hold one second of it."""
        self._rate = self._burst = per_s

    def spend(self, name: str) -> None:
        """Take one token.

        Raises:
            TooMany: There is none.
        """
        left = self._left(name)
        if left < 1:
            raise TooMany("too many requests in too short a time")
        self._put(name, left - 1)

    def check(self, name: str) -> None:
        """Check that there is a token, and leave it there.

        Raises:
            TooMany: There is none.
        """
        if self._left(name) < 1:
            raise TooMany("too many requests in too short a time")

    def _left(self, name: str) -> float:
        now = self._monotonic()
        left, since = self._buckets.get(name, (self._burst, now))
        return min(self._burst, left + (now - since) * self._rate)

    def _put(self, name: str, left: float) -> None:
        self._buckets[name] = (left, self._monotonic())
        self._buckets.move_to_end(name)
        if len(self._buckets) > MOST:
            self._buckets.popitem(last=False)
