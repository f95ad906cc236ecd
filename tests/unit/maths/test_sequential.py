"""The canary test: it may be watched without end, and it finds what is worse."""

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pytest

from holdfast.maths.sequential import Alternative, Block, RateTest, e_value, p_value, rejects, update

ALPHA = 0.05


class Effort(Protocol):
    """How many times a test tries."""

    def __call__(self, *, ci: int, record: int) -> int:
        """The quick count, or the full one."""


def _outcomes_until_rejection(
    rng: np.random.Generator, rates: tuple[float, float], sizes: tuple[int, int], blocks: int, alternative: Alternative
) -> int | None:
    """Watch one stream block by block; return the candidate's outcomes at rejection, None if there was none."""
    failures = [rng.binomial(n, p, size=blocks).tolist() for n, p in zip(sizes, rates, strict=True)]
    state = RateTest(alternative=alternative)
    for k_a, k_b in zip(*failures, strict=True):
        block = Block(candidate_failures=k_a, candidate_n=sizes[0], baseline_failures=k_b, baseline_n=sizes[1])
        state = update(state, block)
        if rejects(state, ALPHA):
            return state.seen.candidate_n
    return None


@pytest.mark.parametrize(
    ("rates", "sizes", "alternative"),
    [
        ((0.05, 0.05), (5, 20), "worse"),
        ((0.3, 0.3), (2, 2), "different"),
    ],
    ids=["a canary of a fifth of the traffic", "two halves, either direction"],
)
def test_a_harmless_candidate_watched_all_the_time_is_seldom_rejected(
    effort: Effort, rates: tuple[float, float], sizes: tuple[int, int], alternative: Alternative
) -> None:
    """Looked at after each of 60 blocks, 2,000 equal pairs are rejected at most at rate alpha, and four deviations."""
    rng = np.random.default_rng(15)
    streams = effort(ci=2000, record=20_000)
    rejected = sum(_outcomes_until_rejection(rng, rates, sizes, 60, alternative) is not None for _ in range(streams))
    assert rejected <= ALPHA * streams + 4 * (ALPHA * (1 - ALPHA) * streams) ** 0.5


@pytest.mark.parametrize(("sizes", "limit"), [((1, 1), 700), ((1, 9), 400), ((5, 20), 500)])
def test_a_candidate_that_fails_five_times_as_often_is_found(sizes: tuple[int, int], limit: int) -> None:
    """From 1 % to 5 %: in nine streams of ten within 700 candidate outcomes at equal traffic, 400 at a tenth."""
    rng = np.random.default_rng(16)
    found = [_outcomes_until_rejection(rng, (0.05, 0.01), sizes, limit // sizes[0], "worse") for _ in range(100)]
    assert sum(outcomes is not None for outcomes in found) >= 90


def test_a_better_candidate_is_never_called_worse() -> None:
    """From 5 % to 1 % the one-sided test bets on nothing for long; the two-sided one says different."""
    rng = np.random.default_rng(17)
    one_sided = [_outcomes_until_rejection(rng, (0.01, 0.05), (5, 5), 200, "worse") for _ in range(50)]
    two_sided = [_outcomes_until_rejection(rng, (0.01, 0.05), (5, 5), 200, "different") for _ in range(50)]
    assert sum(outcomes is not None for outcomes in one_sided) <= 2
    assert sum(outcomes is not None for outcomes in two_sided) >= 45


def test_the_first_block_proves_nothing() -> None:
    """Guesses come from earlier blocks only: a verdict from one block would have used its outcomes twice."""
    first = update(RateTest(), Block(candidate_failures=1000, candidate_n=1000, baseline_failures=0, baseline_n=1000))
    assert e_value(first) == p_value(first) == 1.0
    assert not rejects(first, 0.5)


def test_traffic_on_one_side_alone_teaches_but_proves_nothing() -> None:
    """Without outcomes of both there is nothing to compare, but the baseline's rate is learnt."""
    state = RateTest()
    for _ in range(5):
        state = update(state, Block(candidate_failures=0, candidate_n=0, baseline_failures=1, baseline_n=100))
    assert e_value(state) == 1.0
    assert (state.seen.baseline_failures, state.seen.baseline_n) == (5, 500)


def test_a_rejection_stays_a_rejection() -> None:
    """Ville's inequality bounds the largest value ever reached, so a later lucky streak takes nothing back."""
    high = RateTest(seen=Block(candidate_failures=40, candidate_n=100, baseline_failures=1, baseline_n=100))
    high = replace(high, ln_e=4.0, ln_peak=4.0)
    after = update(high, Block(candidate_failures=0, candidate_n=20, baseline_failures=10, baseline_n=20))
    assert e_value(after) < e_value(high)
    assert rejects(after, ALPHA)
    assert p_value(after) == p_value(high)


def test_overwhelming_evidence_stays_a_number() -> None:
    """However long a broken candidate runs, evidence and p-value are finite."""
    state = RateTest(seen=Block(candidate_failures=900, candidate_n=1000, baseline_failures=1, baseline_n=1000))
    state = update(state, Block(candidate_failures=9000, candidate_n=10_000, baseline_failures=0, baseline_n=10_000))
    assert state.ln_e > 700
    assert np.isfinite(e_value(state))
    assert p_value(state) > 0


@pytest.mark.parametrize("counts", [(2, 1, 0, 1), (0, 1, 2, 1), (-1, 1, 0, 1), (0, -1, 0, 1)])
def test_impossible_blocks_are_refused(counts: tuple[int, int, int, int]) -> None:
    """More failures than outcomes, or fewer than none."""
    names = ("candidate_failures", "candidate_n", "baseline_failures", "baseline_n")
    with pytest.raises(ValueError, match="failures must lie"):
        Block(**dict(zip(names, counts, strict=True)))


@pytest.mark.parametrize(
    "edit",
    [
        {"ln_e": float("nan")},
        {"ln_e": 2.0},
        {"ln_peak": -1.0, "ln_e": -1.0},
        {"ln_peak": float("inf")},
        {"alternative": "better"},
    ],
)
def test_an_edited_state_is_refused(edit: dict[str, Any]) -> None:
    """A state read back from storage must be one that updates can give."""
    with pytest.raises(ValueError, match=r"impossible evidence|alternative"):
        RateTest(**edit)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0, float("nan")])
def test_an_alpha_that_is_no_error_rate_is_refused(alpha: float) -> None:
    """5 is not 5 %."""
    with pytest.raises(ValueError, match="alpha"):
        rejects(RateTest(), alpha)
