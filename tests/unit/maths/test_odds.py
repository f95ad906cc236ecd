"""Evidence on odds, intervals at every n, and the check of a split: known values, validity, and what they refuse."""

import math
from itertools import product

import numpy as np
import pytest

from holdfast.maths.confidence_sequences import FEWEST, difference, hoeffding_radius, mismatch
from holdfast.maths.odds import RATIOS, Odds
from holdfast.maths.sequential import Block


def block(k_a: int, n_a: int, k_b: int, n_b: int) -> Block:
    """A block from counts."""
    return Block(candidate_failures=k_a, candidate_n=n_a, baseline_failures=k_b, baseline_n=n_b)


def evidence(ratios: dict[float, float], *blocks: Block) -> float:
    """The e-value of some blocks."""
    odds = Odds(ratios)
    for each in blocks:
        odds.update(each)
    return math.exp(odds.ln_e)


@pytest.mark.parametrize("ratio", [1.5, 3.0, 15.0])
@pytest.mark.parametrize("theta", [0.1, 0.5])
def test_the_mean_of_a_blocks_evidence_is_one_where_both_rates_are_equal(ratio: float, theta: float) -> None:
    """By summing over every outcome of a block, for any common rate."""
    n_a, n_b, mean = 3, 4, 0.0
    for k_a, k_b in product(range(n_a + 1), range(n_b + 1)):
        chance = math.comb(n_a, k_a) * math.comb(n_b, k_b) * theta ** (k_a + k_b)
        chance *= (1 - theta) ** (n_a + n_b - k_a - k_b)
        mean += chance * evidence({ratio: 1.0}, block(k_a, n_a, k_b, n_b))
    assert mean == pytest.approx(1.0)


def test_the_mean_is_below_one_where_the_candidate_is_better() -> None:
    """So the test is one-sided: nobody is condemned for failing less."""
    n_a, n_b, mean = 3, 4, 0.0
    for k_a, k_b in product(range(n_a + 1), range(n_b + 1)):
        chance = math.comb(n_a, k_a) * 0.1**k_a * 0.9 ** (n_a - k_a)
        chance *= math.comb(n_b, k_b) * 0.4**k_b * 0.6 ** (n_b - k_b)
        mean += chance * evidence({3.0: 1.0}, block(k_a, n_a, k_b, n_b))
    assert mean < 0.9


def test_a_block_of_one_side_weighs_nothing() -> None:
    """There is nothing to compare with; nor where nothing happened at all."""
    assert evidence(RATIOS, block(5, 5, 0, 0), block(0, 0, 0, 5), block(0, 5, 0, 5)) == 1.0


@pytest.mark.parametrize(
    "ratios", [{}, {1.0: 1.0}, {2.0: 0.5}, {2.0: 2.0, 3.0: -1.0}], ids=["none", "1", "half", "sum"]
)
def test_alternatives_that_bet_on_nothing_are_refused(ratios: dict[float, float]) -> None:
    """Odds ratios above 1, with weights of sum 1."""
    with pytest.raises(ValueError, match="odds ratios"):
        Odds(ratios)


def test_both_rates_may_drift_together() -> None:
    """An outage of what both depend on condemns nobody: at most one in fifty, here over 300 seeds."""
    condemned = 0
    for seed in range(300):
        chance, odds = np.random.default_rng(seed), Odds()
        for tick in range(100):
            rate = 0.5 if 40 <= tick < 60 else 0.01
            odds.update(block(int(chance.binomial(10, rate)), 10, int(chance.binomial(90, rate)), 90))
        condemned += odds.ln_peak >= math.log(50)
    assert condemned <= 6


def test_an_interval_of_no_outcomes_is_infinite_and_shrinks() -> None:
    """Never below what a fixed sample would have."""
    assert math.isinf(hoeffding_radius(0, 0.05))
    radii = [hoeffding_radius(n, 0.05) for n in (10, 100, 1000, 100_000)]
    assert radii == sorted(radii, reverse=True)
    assert all(
        radius > math.sqrt(math.log(40) / (2 * n)) for radius, n in zip(radii, (10, 100, 1000, 100_000), strict=True)
    )


def test_a_difference_is_covered_at_every_look() -> None:
    """Skewed values and an uneven split: the truth is left out in at most one of twenty runs, looking eight times."""
    missed, widths = 0, list[float]()
    for seed in range(60):
        chance = np.random.default_rng(seed)
        sides = chance.random(1600) < 0.2
        values = chance.exponential(1.0, 1600) + np.where(sides, 0.3, 0.0)
        found = [difference(zip(sides[:n], values[:n], strict=True), 0.2, 0.05) for n in range(200, 1601, 200)]
        missed += any(not each.low <= 0.3 <= each.high for each in found)
        widths.append(found[-1].high - found[-1].low)
    assert missed <= 3
    assert max(widths) < 0.6


def test_few_outcomes_have_no_asymptotic_interval() -> None:
    """It is told from thirty of each side on."""
    few = [(bool(n % 2), 1.0) for n in range(2 * FEWEST - 2)]
    assert math.isinf(difference(few, 0.5, 0.05).high)


def test_a_good_split_is_not_called_broken() -> None:
    """Looking at every unit, at one in a hundred; a split of 60 where 50 was asked for is found."""
    called = 0
    for seed in range(200):
        units = np.cumsum(np.random.default_rng(seed).random(1000) < 0.3)
        called += any(mismatch(int(k), n + 1 - int(k), 0.3) > math.log(100) for n, k in enumerate(units))
    assert called <= 2
    assert mismatch(600, 400, 0.5) > math.log(1000)
