"""Freshness: when a threat model must be looked at again, and which tickets that opens and closes.

Pure: whoever asks brings the last review, what is true now, and the tickets that are open.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

MATERIAL: Final = ("recipe", "dataset", "features", "exposure")
"""What makes a model another one for whoever attacks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """When the threat model was last reviewed, which document, and what was true then."""

    moment: datetime
    document: str
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What is true now."""

    moment: datetime
    document: str
    facts: Mapping[str, str]
    incidents: tuple[datetime, ...] = ()


def due(review: Review | None, now: Present) -> dict[str, str]:
    """Return why a review is due, cause to words; nothing where the last one still stands."""
    return dict(_causes(review, now))


def _causes(review: Review | None, now: Present) -> Iterator[tuple[str, str]]:
    if review is None:
        yield "never", "the threat model was never reviewed"
        return
    if (review.moment.year, review.moment.month) != (now.moment.year, now.moment.month):
        yield "month", f"it was last reviewed on {review.moment:%Y-%m-%d}, not this month"
    later = [moment for moment in now.incidents if moment > review.moment]
    if later:
        yield "incident", f"{len(later)} incidents were opened since, the last on {max(later):%Y-%m-%d}"
    if review.document != now.document:
        yield "document", "the threat model was changed since it was reviewed"
    for name in MATERIAL:
        if review.facts.get(name, "") != now.facts.get(name, ""):
            yield name, f"the {name} is another one since the review"


def moves(open_tickets: Collection[str], causes: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the tickets to open, cause to words, and the causes whose tickets are to be closed."""
    opened = {cause: words for cause, words in causes.items() if cause not in open_tickets}
    return opened, tuple(cause for cause in open_tickets if cause not in causes)
