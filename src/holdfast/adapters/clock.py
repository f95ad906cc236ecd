"""Clock and entropy of the operating system."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The time of day as this machine believes it to be, in UTC."""

    def now(self) -> datetime:
        """Return the present moment, zone-aware, in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class SystemEntropy:
    """The kernel's random number generator."""

    def token(self, nbytes: int) -> bytes:
        """Return `nbytes` bytes nobody can guess (getrandom(2))."""
        return os.urandom(nbytes)
