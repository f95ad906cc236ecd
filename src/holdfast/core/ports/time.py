"""Ports of time and chance."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time of day, always in UTC."""

    def now(self) -> datetime:
        """Return the present moment, zone-aware, in UTC."""
        ...


class Entropy(Protocol):
    """Unpredictable bytes."""

    def token(self, nbytes: int) -> bytes:
        """Return `nbytes` bytes nobody can guess."""
        ...
