"""The plan of a canary at its edges; `tests/properties/test_rollout.py` holds what is true of every plan."""

import pytest

from holdfast.core.errors import Conflict
from holdfast.maths.sequential import Block
from holdfast.rollout import PROMOTED, RETURNED, Share, Verdict, analyse, canary


def test_a_plan_of_one_step_promotes_at_once() -> None:
    """All of the traffic is the last share."""
    assert canary((1.0,)).step("idle", Verdict.START) == (PROMOTED, (Share(1.0),))


def test_a_canary_that_is_going_on_cannot_be_started() -> None:
    """Nor can one that has ended go on."""
    plan = canary((0.1, 0.5, 1.0))
    with pytest.raises(Conflict):
        plan.step("step-0", Verdict.START)
    for ended in (PROMOTED, RETURNED):
        with pytest.raises(Conflict):
            plan.step(ended, Verdict.ADVANCE)
        assert plan.step(ended, Verdict.START)[0] == "step-0"


def test_no_traffic_at_all_is_a_wait() -> None:
    """Not even one block."""
    found = analyse([], min_requests=1, alpha=0.02)
    assert (found.verdict, found.candidate_requests, found.p_value) == (Verdict.WAIT, 0, 1.0)


def test_a_baseline_that_fails_as_often_condemns_nobody() -> None:
    """Both suffer from the same upstream."""
    both = Block(candidate_failures=5, candidate_n=50, baseline_failures=45, baseline_n=450)
    assert analyse([both] * 4, min_requests=100, alpha=0.02).verdict is Verdict.ADVANCE


def test_the_words_hold_the_figures() -> None:
    """A reader of the ledger sees what the decision rests on."""
    block = Block(candidate_failures=1, candidate_n=10, baseline_failures=2, baseline_n=90)
    words = analyse([block], min_requests=100, alpha=0.02).words
    assert words.startswith("10 of 100 calls seen: 1 of 10 candidate calls failed against 2 of 90")
