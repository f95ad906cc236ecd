"""A clock that stands still until it is told to move."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(slots=True)
class SettableClock:
    """A clock for tests: `now()` is what was set last.

    >>> clock = SettableClock()
    >>> clock.advance(timedelta(hours=1))
    >>> clock.now().isoformat()
    '2030-01-01T01:00:00+00:00'
    """

    moment: datetime = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the moment that was set, in UTC."""
        return self.moment.astimezone(UTC)

    def set(self, moment: datetime) -> None:
        """Make it this moment, which may lie in the past: real clocks are set back too."""
        self.moment = moment

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.moment += by
