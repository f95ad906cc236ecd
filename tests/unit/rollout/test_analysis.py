"""The plan of a canary at its edges, and each metric of its analysis; `tests/properties` holds what is always true."""

from typing import Any

import pytest

from holdfast.core.errors import Conflict, InvalidInput
from holdfast.core.telemetry import LATENCY_EDGES_MS, Window
from holdfast.rollout import PROMOTED, RETURNED, Plan, Rules, Share, Verdict, analyse, canary, trial

RULES = Rules(min_requests=100, alpha=0.02)
CELLS = len(LATENCY_EDGES_MS) + 1


def window(requests: int, *, cell: int = 0, **counts: Any) -> Window:
    """A window of calls that all took as long."""
    latency = tuple(requests if number == cell else 0 for number in range(CELLS))
    empty: dict[str, Any] = {"rows": requests, "failures": 0, "flagged": 0, "inputs": {}, "scores": ()}
    return Window(**(empty | {"requests": requests, "latency": latency} | counts))


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


@pytest.mark.parametrize(("plan", "share"), [(Plan.SHADOW, 0.1), (Plan.AB, 0.0), (Plan.AB, 1.0), (Plan.FLAG, 1.1)])
def test_a_share_that_a_plan_may_not_have_is_refused(plan: Plan, share: float) -> None:
    """A shadow answers nobody; a test needs two sides."""
    with pytest.raises(InvalidInput):
        trial(plan, share)


def test_no_traffic_at_all_is_a_wait() -> None:
    """Not even one block."""
    found = analyse([], RULES)
    assert (found.verdict, found.candidate_requests, found.p_value) == (Verdict.WAIT, 0, 1.0)


def test_a_baseline_that_fails_as_often_condemns_nobody() -> None:
    """Both suffer from the same upstream."""
    both = (window(50, failures=5), window(450, failures=45))
    assert analyse([both] * 4, RULES).verdict is Verdict.ADVANCE


def test_the_words_hold_the_figures() -> None:
    """A reader of the ledger sees what the decision rests on."""
    words = analyse([(window(10, failures=1), window(90, failures=2))], RULES).words
    assert words.startswith("10 of 100 calls seen: 1 of 10 candidate calls failed against 2 of 90")


@pytest.mark.requirement("ROLL-03", by="holdfast.rollout.analysis:Analysis.update")
@pytest.mark.parametrize(
    ("metric", "candidate"),
    [
        ("failures", window(20, failures=6)),
        ("refusals", window(20, refused=12)),
        ("flagged", window(20, marked=15)),
        ("slow_p95", window(20, cell=8)),
    ],
    ids=["failures", "refusals", "flagged", "slow"],
)
def test_a_candidate_that_is_worse_in_one_metric_is_returned(metric: str, candidate: Window) -> None:
    """Performance or security: each has its part of the budget, and the words name the metric."""
    good = window(180)
    found = analyse([(candidate, good)] * 20, Rules(min_requests=10_000, alpha=0.02))
    assert found.verdict is Verdict.RETURN
    assert found.words.startswith("worse: ")
    assert metric == "failures" or metric in found.words
    assert analyse([(window(20), good)] * 20, RULES).verdict is Verdict.ADVANCE


@pytest.mark.requirement("ROLL-03", by="holdfast.rollout.analysis:Analysis.score_shift")
def test_scores_that_move_away_from_the_baselines_are_returned() -> None:
    """The candidate scores everybody high, the baseline answers the same callers as in training."""
    trained = (25, 25, 25, 25, 0)
    alike, high = (5, 5, 5, 5, 0), (0, 0, 10, 10, 0)
    pairs = [(window(20, scores=high), window(20, scores=alike))] * 30
    assert analyse(pairs, RULES, (trained, trained)).verdict is Verdict.RETURN
    both = [(window(20, scores=high), window(20, scores=high))] * 30  # who drifts are the callers
    assert analyse(both, RULES, (trained, trained)).verdict is Verdict.ADVANCE


def test_a_slower_baseline_allows_a_slower_candidate() -> None:
    """What counts is the baseline at the same time, with the slack that the plan gives."""
    pairs = [(window(20, cell=6), window(180, cell=6))] * 20
    assert analyse(pairs, RULES).verdict is Verdict.ADVANCE
