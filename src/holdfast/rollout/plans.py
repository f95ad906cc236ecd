"""The plans by which a release comes beside the one that answers, each as the table of a machine.

One candidate at a time stands beside a baseline: as a canary whose share grows by steps, in an A/B test, behind a
flag, in the shadow (it gets copies and answers nobody) or standing by (blue-green). What differs is how much of the
traffic it may answer and who may move it; what is the same is the way back. Nothing here moves traffic: `lifecycle`
signs the route table that a step leads to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from holdfast.core.errors import InvalidInput
from holdfast.core.machine import Machine
from holdfast.rollout.analysis import Verdict

IDLE: Final = "idle"
PROMOTED: Final = "promoted"
RETURNED: Final = "returned"
RUNNING: Final = "running"
STANDING_BY: Final = "standing-by"
SWITCHED: Final = "switched"


class Plan(StrEnum):
    """What a candidate is there for; `core.routes.PLANS` names the same, which the signed route table says."""

    CANARY = "canary"
    AB = "ab"
    FLAG = "flag"
    SHADOW = "shadow"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class Share:
    """Let the candidate answer this share of the calls."""

    share: float


@dataclass(frozen=True, slots=True)
class Exchange:
    """Let baseline and candidate change places."""


Command = Share | Exchange
Rows = dict[tuple[str, Verdict], tuple[str, tuple[Command, ...]]]


def canary(steps: Sequence[float]) -> Machine[str, Verdict, Command]:
    """Return the machine of a canary: each advance leads to the next share, the last to promotion, a return to none.

    Raises:
        InvalidInput: The shares do not rise to 1.

    >>> canary((0.1, 1.0)).step("step-0", Verdict.RETURN)
    ('returned', (Share(share=0.0),))
    """
    if not steps or list(steps) != sorted(set(steps)) or not (steps[0] > 0 and steps[-1] == 1):
        raise InvalidInput("the steps of a canary do not rise to 1", expected="for example 0.1, 0.5, 1.0")
    # The last share is all of the traffic: reaching it *is* the promotion.
    states = [f"step-{number}" for number in range(len(steps) - 1)]
    after = [*states[1:], PROMOTED]
    table = _starts(states[0] if states else PROMOTED, Share(steps[0]))
    for state, share, following, higher in zip(states, steps, after, steps[1:], strict=False):
        table[state, Verdict.WAIT] = (state, (Share(share),))
        table[state, Verdict.ADVANCE] = (following, (Share(higher),))
        table[state, Verdict.RETURN] = (RETURNED, (Share(0.0),))
    return Machine(name=Plan.CANARY, initial=IDLE, table=table)


def trial(plan: Plan, share: float) -> Machine[str, Verdict, Command]:
    """Return the machine of an A/B test, a flag or a shadow: one share while it runs, then all of the traffic or none.

    A flag may be set anew while it runs, which begins its machine with another share; a shadow's share is 0.

    Raises:
        InvalidInput: The share is none, or no share that such a plan may have.
    """
    most = 0.0 if plan is Plan.SHADOW else 1.0
    if not 0 <= share <= most or (plan is Plan.AB and share in {0.0, 1.0}):
        raise InvalidInput(f"a share of {share}", expected="0" if plan is Plan.SHADOW else "a share between 0 and 1")
    table = _starts(RUNNING, Share(share))
    table[RUNNING, Verdict.WAIT] = (RUNNING, (Share(share),))
    if plan is Plan.FLAG:
        table[RUNNING, Verdict.START] = (RUNNING, (Share(share),))
    table[RUNNING, Verdict.ADVANCE] = (PROMOTED, (Share(1.0),))
    table[RUNNING, Verdict.RETURN] = (RETURNED, (Share(0.0),))
    return Machine(name=plan, initial=IDLE, table=table)


def standby() -> Machine[str, Verdict, Command]:
    """Return the machine of blue-green: both are loaded, one answers, and they change places as often as one says.

    >>> standby().step("switched", Verdict.SWITCH)
    ('standing-by', (Exchange(),))
    """
    table = _starts(STANDING_BY, Share(0.0))
    for state, other in ((STANDING_BY, SWITCHED), (SWITCHED, STANDING_BY)):
        table[state, Verdict.WAIT] = (state, (Share(0.0),))
        table[state, Verdict.SWITCH] = (other, (Exchange(),))
        table[state, Verdict.RETURN] = (RETURNED, (Share(0.0),))
    return Machine(name=Plan.STANDBY, initial=IDLE, table=table)


def _starts(first: str, share: Share) -> Rows:
    return {(start, Verdict.START): (first, (share,)) for start in (IDLE, PROMOTED, RETURNED)}
