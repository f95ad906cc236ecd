"""Registry: what is recorded about a release, the decision over all of it, and what an endpoint serves.

Decides nothing by itself: `build_passport` gathers, `holdfast.core.policy.decide` decides, `standing` says what
follows, and `fold` says what a release has become by all that is on record.
"""

from holdfast.registry.admission import build_passport, closure, news_of
from holdfast.registry.record import Opener, Record, fold
from holdfast.registry.standing import (
    Standing,
    exchanged,
    promoted,
    renewed,
    returned_to,
    rolled_back,
    swapped,
    with_candidate,
    without_candidate,
)
from holdfast.registry.states import LIFECYCLE, Signal, State

__all__ = [
    "LIFECYCLE",
    "Opener",
    "Record",
    "Signal",
    "Standing",
    "State",
    "build_passport",
    "closure",
    "exchanged",
    "fold",
    "news_of",
    "promoted",
    "renewed",
    "returned_to",
    "rolled_back",
    "swapped",
    "with_candidate",
    "without_candidate",
]
