"""The fact the canary test rests on: whatever it has seen, the next block's factor has mean at most 1 without harm."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.maths.sequential import Block, RateTest, e_value, rejects, update

rates = st.floats(0, 1)
sizes = st.integers(0, 4)


@st.composite
def states(draw: st.DrawFn, alternative: str) -> RateTest:
    """A state after any history."""
    n_a, n_b = draw(st.integers(0, 200)), draw(st.integers(0, 200))
    seen = Block(
        candidate_failures=draw(st.integers(0, n_a)),
        candidate_n=n_a,
        baseline_failures=draw(st.integers(0, n_b)),
        baseline_n=n_b,
    )
    return RateTest(alternative=alternative, seen=seen)  # type: ignore[arg-type]


def _binomial(k: int, n: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


def _mean_factor(state: RateTest, sizes: tuple[int, int], rates: tuple[float, float]) -> float:
    """The mean of the next block's factor over all its outcomes, exactly."""
    (n_a, n_b), (p_a, p_b) = sizes, rates
    mean = 0.0
    for k_a in range(n_a + 1):
        for k_b in range(n_b + 1):
            block = Block(candidate_failures=k_a, candidate_n=n_a, baseline_failures=k_b, baseline_n=n_b)
            weight = _binomial(k_a, n_a, p_a) * _binomial(k_b, n_b, p_b)
            mean += weight * e_value(update(state, block))
    return mean


@given(state=states("different"), n_a=sizes, n_b=sizes, rate=rates)
def test_between_equals_no_bet_gains(state: RateTest, n_a: int, n_b: int, rate: float) -> None:
    """At equal rates, whatever they are, the mean factor is at most 1: the test is a fair game or worse."""
    assert _mean_factor(state, (n_a, n_b), (rate, rate)) <= 1 + 1e-9


@given(state=states("worse"), n_a=sizes, n_b=sizes, first=rates, second=rates)
def test_against_a_candidate_that_is_no_worse_no_bet_gains(
    state: RateTest, n_a: int, n_b: int, first: float, second: float
) -> None:
    """At every candidate rate up to the baseline's the one-sided mean factor is at most 1."""
    candidate, baseline = sorted((first, second))
    assert _mean_factor(state, (n_a, n_b), (candidate, baseline)) <= 1 + 1e-9


@given(state=states("worse"), k=st.integers(0, 4))
def test_evidence_against_a_candidate_rises_with_its_failures(state: RateTest, k: int) -> None:
    """One failure more of the candidate, or one less of the baseline, never lowers the evidence."""

    def after(k_a: int, k_b: int) -> float:
        block = Block(candidate_failures=k_a, candidate_n=5, baseline_failures=k_b, baseline_n=5)
        return update(state, block).ln_e

    assert after(k, 2) <= after(k + 1, 2) + 1e-12
    assert after(2, k + 1) <= after(2, k) + 1e-12


@given(state=states("different"), k=st.tuples(*[st.integers(0, 5)] * 2))
def test_the_two_sided_test_does_not_care_which_is_which(state: RateTest, k: tuple[int, int]) -> None:
    """Exchanging candidate and baseline in history and block gives the same evidence."""
    seen = state.seen
    turned = Block(
        candidate_failures=seen.baseline_failures,
        candidate_n=seen.baseline_n,
        baseline_failures=seen.candidate_failures,
        baseline_n=seen.candidate_n,
    )
    block = Block(candidate_failures=k[0], candidate_n=5, baseline_failures=k[1], baseline_n=7)
    mirror = Block(candidate_failures=k[1], candidate_n=7, baseline_failures=k[0], baseline_n=5)
    other = RateTest(alternative="different", seen=turned)
    assert update(other, mirror).ln_e == pytest.approx(update(state, block).ln_e, abs=1e-9)


@given(blocks=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_the_peak_never_falls_and_counts_add_up(blocks: list[tuple[int, int]]) -> None:
    """A stream of any outcomes: the peak is the largest evidence so far, and every outcome is counted."""
    state, largest = RateTest(), 0.0
    for k_a, k_b in blocks:
        block = Block(candidate_failures=k_a, candidate_n=3, baseline_failures=k_b, baseline_n=3)
        state = update(state, block)
        largest = max(largest, state.ln_e)
        assert state.ln_peak == largest
        assert rejects(state, 0.05) == (largest >= math.log(20))
    assert state.seen.candidate_n == 3 * len(blocks)
    assert state.seen.baseline_failures == sum(k_b for _, k_b in blocks)
