"""Intervals against published numbers, scipy, and their own promise: how often they cover."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from scipy import stats

from holdfast.maths import intervals, scores
from holdfast.maths.intervals import (
    Interval,
    bonferroni,
    bootstrap,
    clopper_pearson,
    newcombe_difference,
    normal_quantile,
    paired_difference,
    quantile_interval,
    wilson,
)

TRIALS = [(0, 1), (1, 1), (0, 30), (3, 30), (30, 30), (499, 1000), (1, 100_000), (99_999, 100_000)]


@pytest.mark.parametrize(("k", "n"), TRIALS)
@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("ours", "method"), [(wilson, "wilson"), (clopper_pearson, "exact")])
def test_proportions_equal_scipy(
    ours: Callable[[int, int, float], Interval], method: Literal["wilson", "exact"], k: int, n: int, level: float
) -> None:
    """Wilson and Clopper-Pearson agree with scipy to 1e-10, ends included."""
    theirs = stats.binomtest(k, n).proportion_ci(level, method)
    i = ours(k, n, level)
    assert (i.low, i.high) == pytest.approx((theirs.low, theirs.high), abs=1e-10)
    assert (i.value, i.n, i.level) == (k / n, n, level)


def _coverage(interval: Callable[[int, int], Interval], n: int, grid: np.ndarray) -> np.ndarray:
    """How often the intervals of n rows hold each true proportion of the grid, summed over all outcomes."""
    outcomes = [interval(k, n) for k in range(n + 1)]
    low, high = (np.array([[getattr(i, end)] for i in outcomes]) for end in ("low", "high"))
    holds = (low <= grid) & (grid <= high)
    return np.where(holds, stats.binom.pmf(np.arange(n + 1)[:, None], n, grid), 0.0).sum(axis=0)


@pytest.mark.parametrize("n", [5, 23, 60])
def test_clopper_pearson_never_covers_less_than_its_level(n: int) -> None:
    """For every proportion on a grid the exact coverage is at least 95 %."""
    assert _coverage(clopper_pearson, n, np.linspace(0.001, 0.999, 500)).min() >= 0.95


@pytest.mark.parametrize("n", [10, 60])
def test_wilson_covers_its_level_on_average(n: int) -> None:
    """The mean coverage over proportions lies within a point of 95 %."""
    coverage = _coverage(wilson, n, np.linspace(0.001, 0.999, 999))
    assert coverage.mean() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_without_observations_a_proportion_is_vacuous(interval: Callable[[int, int], Interval]) -> None:
    """Empty means no: [0, 1] passes neither a lower nor an upper limit, and n says why."""
    assert interval(0, 0) == Interval(value=0.5, low=0.0, high=1.0, n=0, level=0.95)


def test_without_observations_a_difference_is_vacuous() -> None:
    """If either group is empty the difference may be anything."""
    vacuous = Interval(value=0.0, low=-1.0, high=1.0, n=0, level=0.95)
    assert newcombe_difference(5, 10, 0, 0) == vacuous
    assert newcombe_difference(0, 0, 5, 10) == vacuous
    assert paired_difference(0, 0, 0, 0) == vacuous


# Newcombe 1998b, Statistics in Medicine 17:873, table II, method 10, contrasts (a) to (h).
CONTRASTS = [
    ((56, 70, 48, 80), (0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.1705, 0.8090)),
    ((6, 7, 2, 7), (0.0582, 0.8062)),
    ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ((0, 10, 0, 10), (-0.2775, 0.2775)),
    ((10, 10, 0, 20), (0.6791, 1.0000)),
    ((10, 10, 0, 10), (0.6075, 1.0000)),
]


@pytest.mark.parametrize(("counts", "bounds"), CONTRASTS)
def test_a_difference_equals_newcombes_table(counts: tuple[int, int, int, int], bounds: tuple[float, float]) -> None:
    """All eight contrasts of the paper, to its four digits."""
    i = newcombe_difference(*counts)
    assert (round(i.low, 4), round(i.high, 4)) == bounds
    assert i.n == min(counts[1], counts[3])


def test_a_paired_difference_covers_its_level() -> None:
    """For a candidate and a baseline that err on the same rows, 95 % of the intervals hold the true difference."""
    rng = np.random.default_rng(4)
    shares = np.array([0.80, 0.08, 0.04, 0.08])
    draws = rng.multinomial(200, shares, size=2000)
    covered = [(i := paired_difference(*row)).low <= 0.04 <= i.high for row in draws.tolist()]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_pairing_narrows_what_unpaired_groups_leave_open() -> None:
    """Two models that agree on most rows are told apart by fewer rows if compared row by row."""
    paired = paired_difference(160, 20, 4, 16)
    apart = newcombe_difference(180, 200, 164, 200)
    assert paired.value == pytest.approx(apart.value)
    assert paired.high - paired.low < apart.high - apart.low


def test_a_pair_of_perfect_models_has_a_difference_that_is_not_certain() -> None:
    """Margins of zero leave no correlation to estimate; the interval stays open to both sides."""
    i = paired_difference(30, 0, 0, 0)
    assert i.low < 0 == i.value < i.high


@pytest.mark.parametrize(
    "counts", [(3, 2), (-1, 2), (0, -1), (1.5, 2), ("1", 2)], ids=["more", "negative", "negative n", "part", "text"]
)
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    """Counts are whole numbers, and no group has more successes than rows."""
    with pytest.raises(ValueError, match=r"successes among|not negative|whole numbers"):
        wilson(*counts)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.5, float("nan")])
def test_a_level_that_is_no_level_is_refused(level: float) -> None:
    """95 is not 0.95."""
    with pytest.raises(ValueError, match="level"):
        wilson(1, 2, level)


@pytest.mark.parametrize(
    ("value", "low", "high", "n"), [(0.5, 0.6, 0.7, 1), (float("nan"), 0, 1, 1), (0, -np.inf, 1, 1), (0, 0, 0, -1)]
)
def test_an_interval_that_is_none_cannot_be_made(value: float, low: float, high: float, n: int) -> None:
    """Bounds are finite, enclose the value, and no sample is negative."""
    with pytest.raises(ValueError, match=r"not an interval|cannot have"):
        Interval(value=value, low=low, high=high, n=n, level=0.95)


def test_normal_quantiles_equal_scipy() -> None:
    """From the far tail to the middle, to twelve digits."""
    for p in (1e-12, 0.001, 0.025, 0.3, 0.5, 0.975):
        assert normal_quantile(p) == pytest.approx(float(stats.norm.ppf(p)), rel=1e-12, abs=1e-15)
    with pytest.raises(ValueError, match="inside"):
        normal_quantile(1.0)


def test_bonferroni_divides_the_error() -> None:
    """Ten intervals at 99.5 % hold together at 95 %; no comparison at all is an error."""
    assert bonferroni(0.95, 10) == pytest.approx(0.995)
    with pytest.raises(ValueError, match="at least one"):
        bonferroni(0.95, 0)


@pytest.mark.parametrize(("n", "probability"), [(100, 0.5), (400, 0.99), (1000, 0.95), (60, 0.1)])
def test_a_quantile_interval_never_covers_less_than_its_level(n: int, probability: float) -> None:
    """With ranks l and u the coverage is P(l ≤ Binomial(n, p) < u) for every continuous law."""
    i = quantile_interval(np.arange(1, n + 1), probability)
    ranks = stats.binom(n, probability)
    assert ranks.cdf(i.high - 1) - ranks.cdf(i.low - 1) >= 0.95
    assert ranks.cdf(i.low) > 0.025  # and the next rank would be one too many
    assert ranks.sf(i.high - 2) > 0.025


def test_too_few_values_cannot_bound_a_far_quantile() -> None:
    """The 99th percentile needs 368 values; 367 have no upper bound, and none is made up."""
    assert quantile_interval(range(368), 0.99).high == 367
    with pytest.raises(ValueError, match="too few"):
        quantile_interval(range(367), 0.99)
    with pytest.raises(ValueError, match="inside"):
        quantile_interval(range(367), 1.0)


def test_a_bootstrap_covers_its_level() -> None:
    """For the mean of a skewed law, nine intervals in ten hold the truth, as many as the level says."""
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(300):
        i = bootstrap(np.mean, [rng.exponential(size=80)], rng, 200, 0.9)
        covered.append(i.low <= 1 <= i.high)
    assert np.mean(covered) == pytest.approx(0.88, abs=0.05)


def test_a_bootstrap_keeps_rows_together() -> None:
    """Every resample hands over pairs that were pairs before, of any number of columns."""
    x = np.arange(30.0)

    def broken_pairs(first: np.ndarray, second: np.ndarray) -> float:
        return float(np.abs(first * 2 - second[:, 0]).sum())

    i = bootstrap(broken_pairs, [x, np.stack((x * 2, x), axis=1)], np.random.default_rng(0), 50)
    assert (i.low, i.high) == (0.0, 0.0)


def test_a_bootstrap_is_fixed_by_its_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same generator gives the same interval, however many resamples are drawn at a time."""
    x = np.random.default_rng(6).normal(size=50)
    one_block = bootstrap(np.std, [x], np.random.default_rng(7), 300)
    monkeypatch.setattr(intervals, "_MAX_INDEX_CELLS", 50 * 7)
    assert bootstrap(np.std, [x], np.random.default_rng(7), 300) == one_block
    assert bootstrap(np.std, [x], np.random.default_rng(8), 300) != one_block


def test_a_rare_class_cannot_vanish_from_stratified_resamples() -> None:
    """Two positives among forty rows are lost in every seventh plain resample; within strata never."""
    y = np.array([1] * 2 + [0] * 38)
    x = np.linspace(0, 1, 40)
    with pytest.raises(ValueError, match="one class"):
        bootstrap(scores.auc, [y, x], np.random.default_rng(0), 200)
    i = bootstrap(scores.auc, [y, x], np.random.default_rng(0), 200, strata=y)
    assert i.value == scores.auc(y, x)
    with pytest.raises(ValueError, match="strata for"):
        bootstrap(scores.auc, [y, x], np.random.default_rng(0), 200, strata=y[:-1])


def test_a_bootstrap_interval_always_holds_its_estimate() -> None:
    """The maximum is above every resample's; the interval is stretched to it."""
    x = np.arange(40.0)
    i = bootstrap(lambda rows: float(len(np.unique(rows))), [x], np.random.default_rng(0), 200)
    assert i.value == i.high == 40
    assert i.low < 30


@pytest.mark.parametrize(
    ("rows", "resamples", "message"), [(19, 1000, "too few to resample"), (50, 39, "cannot give a level")]
)
def test_a_bootstrap_of_too_little_is_refused(rows: int, resamples: int, message: str) -> None:
    """Few rows would give an interval far too narrow, few resamples none at all."""
    with pytest.raises(ValueError, match=message):
        bootstrap(np.mean, [np.zeros(rows)], np.random.default_rng(0), resamples)


@pytest.mark.parametrize("arrays", [[], [np.float64(3)]])
def test_a_bootstrap_of_nothing_is_refused(arrays: list[np.ndarray]) -> None:
    """It needs at least one array with rows."""
    with pytest.raises(ValueError, match="at least one array"):
        bootstrap(np.mean, arrays, np.random.default_rng(0))
