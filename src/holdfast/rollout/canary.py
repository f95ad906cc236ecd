"""The canary: which share of the calls a candidate may answer, and when it has earned the next step.

`canary` makes the machine of a plan; `analyse` reads what both releases did. Nothing here moves traffic: `lifecycle`
signs the route table that a step leads to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from holdfast.core.errors import InvalidInput
from holdfast.core.machine import Machine
from holdfast.maths.sequential import Block, RateTest, p_value, rejects, update

IDLE: Final = "idle"
PROMOTED: Final = "promoted"
RETURNED: Final = "returned"


class Verdict(StrEnum):
    """What the analysis says, and the signals of the machine."""

    START = "start"
    WAIT = "wait"
    ADVANCE = "advance"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Share:
    """Let the candidate answer this share of the calls."""

    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """What an analysis found, in numbers and words."""

    verdict: Verdict
    candidate_requests: int
    p_value: float
    words: str


def canary(steps: Sequence[float]) -> Machine[str, Verdict, Share]:
    """Return the machine of a plan: each advance leads to the next share, the last to promotion, a return to none.

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
    table: dict[tuple[str, Verdict], tuple[str, tuple[Share, ...]]] = {}
    first = states[0] if states else PROMOTED
    for start in (IDLE, PROMOTED, RETURNED):
        table[start, Verdict.START] = (first, (Share(steps[0]),))
    for state, share, following, higher in zip(states, steps, after, steps[1:], strict=False):
        table[state, Verdict.WAIT] = (state, (Share(share),))
        table[state, Verdict.ADVANCE] = (following, (Share(higher),))
        table[state, Verdict.RETURN] = (RETURNED, (Share(0.0),))
    return Machine(name="canary", initial=IDLE, table=table)


def analyse(blocks: Iterable[Block], *, min_requests: int, alpha: float) -> Canary:
    """Compare the failures of candidate and baseline, anytime-valid: looking often costs nothing.

    Args:
        blocks: Failures and calls of both, a block a telemetry window, since the present step began.
        min_requests: Calls the candidate must have answered before it may pass: absence of evidence earns nothing.
        alpha: Chance of returning a candidate that is no worse, however often one looks (Ville's inequality).
    """
    test = RateTest()
    for block in blocks:
        test = update(test, block)
    answered = test.seen.candidate_n
    rates = (
        f"{test.seen.candidate_failures} of {answered} candidate calls failed against "
        f"{test.seen.baseline_failures} of {test.seen.baseline_n} (anytime-valid p = {p_value(test):.3g})"
    )
    if rejects(test, alpha):
        verdict, words = Verdict.RETURN, f"worse: {rates}"
    elif answered < min_requests:
        verdict, words = Verdict.WAIT, f"{answered} of {min_requests} calls seen: {rates}"
    else:
        verdict, words = Verdict.ADVANCE, f"no worse: {rates}"
    return Canary(verdict=verdict, candidate_requests=answered, p_value=p_value(test), words=words)
