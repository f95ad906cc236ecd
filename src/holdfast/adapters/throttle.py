"""A limit of requests that is never exceeded, whatever crashes: at most n in any t seconds, counted where they arrive.

The moments of the last n requests are kept. A request is counted from when its answer was there, since it arrived
before that; the next that would be the n+1st waits until t seconds after the first of them. They lie in a file, written
before each request, because a process that dies must not forget what it has sent: one of which no answer is known
counts from when the file is read again. A token bucket of size n would let 2n - 1 through in one window.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from holdfast.adapters.published import replace_durably
from holdfast.core.sources import MAX_REQUESTS, Limit

MARGIN_S: Final = 0.002  # clocks that differ by their resolution
MAX_FILE: Final = MAX_REQUESTS * 32  # bytes


@dataclass(slots=True, kw_only=True)
class Throttle:
    """One server's limit."""

    limit: Limit
    file: Path
    now: Callable[[], float] = time.time  # of this machine, also behind a restart
    sleep: Callable[[float], None] = time.sleep
    _moments: deque[float] | None = field(default=None)

    def wait(self) -> None:
        """Wait until a request may be sent, and count it."""
        moments = self._read()
        if len(moments) >= self.limit.requests:
            first = moments.popleft()
            while (left := first + self.limit.per_s + MARGIN_S - self.now()) > 0:
                self.sleep(left)
        moments.append(self.now())
        replace_durably(self.file, msgspec.json.encode({"open": True, "moments": list(moments)}))

    def answered(self) -> None:
        """Count the request from now: it has arrived."""
        moments = self._read()
        if moments:
            moments[-1] = self.now()

    def _read(self) -> deque[float]:
        if self._moments is None:
            now, found = self.now(), list[float]()
            try:
                data = self.file.read_bytes()[:MAX_FILE]
                found = [float(each) for each in msgspec.json.decode(data)["moments"]]
            except FileNotFoundError:
                pass
            except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
                found = [now] * self.limit.requests  # what was sent cannot be told: as many as may be
            if found:
                found[-1] = now  # whether its answer came is not known
            self._moments = deque(sorted(min(each, now) for each in found)[-self.limit.requests :])
        return self._moments
