"""The canary's machine under random plans and signals: its cap, its way back, its end."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import Conflict, InvalidInput
from holdfast.core.telemetry import LATENCY_EDGES_MS, Window
from holdfast.rollout import PROMOTED, RETURNED, Rules, Share, Verdict, analyse, canary

plans = st.lists(st.floats(0.01, 0.99), max_size=5, unique=True).map(lambda shares: (*sorted(shares), 1.0))
signals = st.lists(st.sampled_from([Verdict.START, Verdict.WAIT, Verdict.ADVANCE, Verdict.RETURN]), max_size=40)


@pytest.mark.guarantee("G20")
@given(plans, signals)
def test_candidate_traffic_never_exceeds_the_step_it_has_earned(plan: tuple[float, ...], told: list[Verdict]) -> None:
    """Whatever the signals, the share is at most the plan's after as many advances as were given since the start."""
    machine, state, advances, share = canary(plan), canary(plan).initial, 0, 0.0
    for signal in told:
        try:
            state, commands = machine.step(state, signal)
        except Conflict:
            continue  # the machine refuses what its table does not hold
        (command,) = commands
        assert isinstance(command, Share)
        share = command.share
        advances = {Verdict.START: 0, Verdict.ADVANCE: advances + 1}.get(signal, advances)
        assert share <= plan[min(advances, len(plan) - 1)]


@pytest.mark.guarantee("G20")
@given(plans)
def test_a_failure_leads_back_to_the_baseline_from_every_step(plan: tuple[float, ...]) -> None:
    """From each state in which a candidate answers, RETURN leads to no candidate traffic at all."""
    machine = canary(plan)
    steps = [state for state in machine.states() if state.startswith("step-")]
    for state in steps:
        assert machine.step(state, Verdict.RETURN) == (RETURNED, (Share(0.0),))
    assert len(steps) == len(plan) - 1


@given(plans)
def test_only_advances_lead_to_promotion(plan: tuple[float, ...]) -> None:
    """One advance a step, and the last one promotes."""
    machine, state = canary(plan), canary(plan).initial
    state, _ = machine.step(state, Verdict.START)
    for _ in range(len(plan) - 1):
        assert state != PROMOTED
        state, _ = machine.step(state, Verdict.ADVANCE)
    assert state == PROMOTED


@given(st.lists(st.floats(-1, 2), max_size=6))
def test_a_plan_that_does_not_rise_to_one_is_refused(shares: list[float]) -> None:
    """No plan can leave a candidate at a share for ever, or lower it on an advance."""
    rises = bool(shares) and all(a < b for a, b in pairwise(shares)) and shares[0] > 0 and shares[-1] == 1
    if not rises:
        with pytest.raises(InvalidInput):
            canary(shares)


def windows(candidate: tuple[int, int], baseline: tuple[int, int]) -> tuple[Window, Window]:
    """Return a block from (failures, calls) of both."""
    return tuple(window(n, failures=failures) for failures, n in (candidate, baseline))  # type: ignore[return-value]


def window(requests: int, **counts: Any) -> Window:
    """Return a window of calls, all of them fast."""
    latency = (requests, *[0] * len(LATENCY_EDGES_MS))
    empty: dict[str, Any] = {"rows": requests, "failures": 0, "flagged": 0, "inputs": {}, "scores": ()}
    return Window(**(empty | {"requests": requests, "latency": latency} | counts))


RULES = Rules(min_requests=100, alpha=0.02)


def test_silence_earns_nothing() -> None:
    """Without enough calls the verdict is to wait, however good they look."""
    found = analyse([windows((0, 5), (0, 50))], RULES)
    assert found.verdict is Verdict.WAIT


def test_enough_calls_without_harm_pass() -> None:
    """As many calls as the plan asks for, failing no more often than the baseline's."""
    found = analyse([windows((0, 10), (0, 90))] * 12, RULES)
    assert found.verdict is Verdict.ADVANCE


def test_a_worse_candidate_fails_before_it_has_seen_all_its_calls() -> None:
    """A candidate that fails every third call is returned, also while it is still waiting for its calls."""
    found = analyse([windows((3, 10), (0, 90))] * 5, Rules(min_requests=10_000, alpha=0.02))
    assert found.verdict is Verdict.RETURN
    assert "worse" in found.words
