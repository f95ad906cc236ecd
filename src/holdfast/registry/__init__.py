"""Registry: what is recorded about a release, the decision over all of it, and what an endpoint serves.

Decides nothing by itself: `build_passport` gathers, `holdfast.core.policy.decide` decides, `standing` says what
follows.
"""

from holdfast.registry.admission import build_passport, closure, news_of
from holdfast.registry.standing import Standing, promoted, renewed, rolled_back, with_candidate, without_candidate

__all__ = [
    "Standing",
    "build_passport",
    "closure",
    "news_of",
    "promoted",
    "renewed",
    "rolled_back",
    "with_candidate",
    "without_candidate",
]
