"""States of a release, from draft to tombstone, as one table.

Decides which state may follow which; what *proves* a signal is read from the ledger in `record`. Nobody sets a state:
it is the fold of what is on record, and a pair that is not in the table does not happen.
"""

from enum import StrEnum
from typing import Final

from holdfast.core.machine import Machine


class State(StrEnum):
    """How far a release has come."""

    DRAFT = "draft"  # recorded, nothing proved
    FINALISED = "finalised"  # packaged, with card and a complete bill of materials
    SCANNED = "scanned"  # every model in it was scanned, without a grave finding
    SIGNED = "signed"  # every file is signed by the release key
    ASSESSED = "assessed"  # measured, and no measurement is missing
    CANDIDATE = "candidate"  # every rule of its policy holds but the approvals
    APPROVED = "approved"  # as many persons as the policy asks for have approved
    STAGING = "staging"  # permitted for staging, and published there
    CANARY = "canary"  # a candidate beside what answers: it gets a share of the calls, copies of them, or stands by
    PRODUCTION = "production"  # answers
    RETIRED = "retired"  # out of use for good
    PURGED = "purged"  # its bytes may be collected; the tombstone stays
    QUARANTINED = "quarantined"  # may not answer until somebody has looked at it
    REVOKED = "revoked"  # it, or something it derives from, may never be used again


class Signal(StrEnum):
    """What the ledger may say of a release."""

    PACKAGED = "packaged"
    SCANNED_CLEAN = "scanned-clean"
    SIGNED_WHOLE = "signed-whole"
    MEASURED = "measured"
    GATED = "gated"
    APPROVED = "approved"
    SPOILED = "spoiled"  # something it had come this far by does not hold any more
    STAGED = "staged"
    SHARED = "shared"  # routed to as a candidate
    ROUTED = "routed"  # routed to as the baseline
    RETURNED = "returned"  # no longer routed to
    QUARANTINED = "quarantined"
    CLEARED = "cleared"
    REVOKED = "revoked"
    RETIRED = "retired"
    PURGED = "purged"


class Effect(StrEnum):
    """What has to be done with a transition by whoever causes it."""

    WITHDRAW = "withdraw"  # take it out of production
    TOMBSTONE = "tombstone"  # put on record what is going to be collected


LADDER: Final = (
    (State.DRAFT, Signal.PACKAGED),
    (State.FINALISED, Signal.SCANNED_CLEAN),
    (State.SCANNED, Signal.SIGNED_WHOLE),
    (State.SIGNED, Signal.MEASURED),
    (State.ASSESSED, Signal.GATED),
    (State.CANDIDATE, Signal.APPROVED),
    (State.APPROVED, Signal.STAGED),
)
"""The way up: each state, and the signal that leads to the next one. The first six follow from evidence alone."""

ANSWERING: Final = frozenset({State.CANARY, State.PRODUCTION})
"""States in which callers get a release's answers."""

BARRED: Final = frozenset({State.QUARANTINED, State.REVOKED, State.RETIRED, State.PURGED})
"""States in which a release may not answer, whatever else holds."""

Rows = dict[tuple[State, Signal], tuple[State, tuple[Effect, ...]]]


def _table() -> Rows:
    """Return every transition, so that the exhaustive test and the diagram come from the same rows."""
    ends = (*(state for state, _ in LADDER[1:]), State.STAGING)
    rows: Rows = {(state, signal): (end, ()) for (state, signal), end in zip(LADDER, ends, strict=True)}
    rows[State.STAGING, Signal.STAGED] = (State.STAGING, ())  # a newer table of the same standing
    proved = ends[:-1]
    rows |= {(state, Signal.SPOILED): (State.DRAFT, ()) for state in (*proved, State.STAGING)}
    # A release that answers may be told to stand by: blue and green change places.
    shared = (State.APPROVED, State.STAGING, State.CANARY, State.PRODUCTION)
    rows |= {(state, Signal.SHARED): (State.CANARY, ()) for state in shared}
    routed = (State.APPROVED, State.STAGING, State.CANARY, State.PRODUCTION)
    rows |= {(state, Signal.ROUTED): (State.PRODUCTION, ()) for state in routed}
    rows |= {
        (state, Signal.RETURNED): (State.APPROVED, ()) for state in (State.STAGING, State.CANARY, State.PRODUCTION)
    }
    for state in State:
        effects = (Effect.WITHDRAW,) if state in ANSWERING else ()
        if state not in {State.PURGED, State.QUARANTINED, State.REVOKED}:
            rows[state, Signal.QUARANTINED] = (State.QUARANTINED, effects)
        if state not in {State.PURGED, State.REVOKED}:
            rows[state, Signal.REVOKED] = (State.REVOKED, effects)
        if state not in {*ANSWERING, State.RETIRED, State.PURGED}:
            rows[state, Signal.RETIRED] = (State.RETIRED, ())
    # What was cleared begins again with what its evidence proves; gates and approvals are to be given anew.
    rows[State.QUARANTINED, Signal.CLEARED] = (State.DRAFT, ())
    rows[State.RETIRED, Signal.PURGED] = (State.PURGED, (Effect.TOMBSTONE,))
    return rows


LIFECYCLE: Final[Machine[State, Signal, Effect]] = Machine(name="release", initial=State.DRAFT, table=_table())
"""The life of a release."""
