"""What is said of a snapshot of advisories; the records themselves are foreign data, and lie beside it."""

from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.artifact import Moment

DEPENDENCIES: Final = "release.dependencies/1"  # the control whose findings are advisories


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is said of a snapshot: the day its records are as of, which they are, and how many."""

    date: Moment
    made: Moment
    records: int
    digest: str  # of the compressed records
    ecosystems: tuple[str, ...]
    source: str  # where they were had, in words

    def age_days(self, now: datetime) -> float:
        """Return how old it is."""
        return (now - self.date).total_seconds() / 86400
