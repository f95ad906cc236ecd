"""Distances against scipy, hand-computed numbers, and their behaviour under drift and without."""

from typing import Literal

import numpy as np
import pytest
from scipy import stats

from holdfast.maths import distances

SIZES = [(1, 1), (5, 3), (30, 30), (200, 57), (1000, 1000)]
LARGE = [(1001, 40), (3000, 2500), (20_000, 300)]


def _columns(n: int, m: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, m])
    x, y = rng.normal(size=n), rng.normal(0.1, 1.1, size=m)
    return (np.round(x, 1), np.round(y, 1)) if ties else (x, y)


@pytest.mark.requirement("MON-17", by="holdfast.maths.distances:ks_two_sample")
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "m"), SIZES + LARGE)
def test_kolmogorov_smirnov_equals_scipy(n: int, m: int, ties: bool) -> None:
    """Statistic and p-value are scipy's: its exact method for small samples, its asymptotic one for large."""
    x, y = _columns(n, m, ties=ties)
    method: Literal["asymp", "exact"] = "asymp" if max(n, m) > distances.KS_EXACT_LIMIT else "exact"
    theirs = stats.ks_2samp(x, y, method=method)
    ours = distances.ks_two_sample(x, y)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-14)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.reference_n, ours.live_n) == (n, m)
    assert ours.method.startswith(method)


def test_one_row_against_one_row_is_no_drift() -> None:
    """Two different rows are as far apart as can be, and that means nothing."""
    result = distances.ks_two_sample([0.0], [1.0])
    assert (result.statistic, result.p_value) == (1.0, 1.0)


def test_a_single_row_against_a_large_reference_is_no_drift() -> None:
    """Nor does one live row prove anything against ten thousand, wherever it lies inside them."""
    assert distances.ks_two_sample(np.arange(10_000), [2_000.0]).p_value > 0.3


def test_kolmogorov_smirnov_on_histograms_is_conservative() -> None:
    """Binned, the distance is never larger and the p-value never smaller than on the rows themselves."""
    x, y = _columns(800, 600, ties=False)
    edges = np.linspace(-2, 2, 9)
    whole = distances.ks_two_sample(x, y)
    binned = distances.ks_from_counts(*(np.histogram(side, [-np.inf, *edges, np.inf])[0] for side in (x, y)))
    assert 0 < binned.statistic <= whole.statistic
    assert whole.p_value <= binned.p_value < 1
    assert binned.reference_n == 800
    assert distances.ks_from_counts([5_000, 0], [0, 5_000]).p_value < 1e-100


@pytest.mark.requirement("MON-18", by="holdfast.maths.distances:population_stability_index")
def test_psi_of_a_moved_column_is_the_sum_over_the_references_cells() -> None:
    """Deciles of 0..99 are cells of ten; a live column of 55..94 fills them 0 0 0 0 0 5 10 10 10 5."""
    live = np.arange(55, 95)
    p = np.full(10, 10.5) / 105
    q = np.array([0.5] * 5 + [5.5] + [10.5] * 3 + [5.5]) / 45
    expected = float(((q - p) * np.log(q / p)).sum())
    assert distances.population_stability_index(np.arange(100), live) == pytest.approx(expected, rel=1e-12)


@pytest.mark.requirement("MON-18", by="holdfast.maths.distances:population_stability_index")
def test_psi_keeps_the_cells_of_the_reference_whatever_comes() -> None:
    """Cells are the reference's: the live sample's order, scale and outliers change none of them."""
    reference = np.random.default_rng(0).normal(size=2000)
    far = distances.population_stability_index(reference, np.full(500, 1e6))
    farther = distances.population_stability_index(reference, np.full(500, 1e9))
    assert far == farther > 3


@pytest.mark.requirement("MON-18", by="holdfast.maths.distances:psi_from_counts")
def test_an_empty_cell_counts_much_and_not_infinitely() -> None:
    """Empty on one side: finite, and larger than any filled cell would be. Empty on both: nothing at all."""
    one_side = distances.psi_from_counts([100, 100, 0], [100, 0, 100])
    assert one_side == distances.psi_from_counts([100, 0, 100], [100, 100, 0])
    assert distances.psi_from_counts([100, 99, 1], [100, 1, 99]) < one_side < np.inf
    assert distances.psi_from_counts([50, 50, 0], [500, 500, 0]) == distances.psi_from_counts([50, 50], [500, 500])


def test_psi_finds_a_value_that_a_constant_column_never_had() -> None:
    """Quantile cells alone would put everything in one cell and see nothing."""
    assert distances.population_stability_index(np.ones(500), np.ones(100)) < 0.01
    assert distances.population_stability_index(np.ones(500), np.append(np.ones(80), np.zeros(20))) > 0.5


@pytest.mark.parametrize("smoothing", [0.0, -1.0, float("nan"), float("inf")])
def test_smoothing_that_would_not_smooth_is_refused(smoothing: float) -> None:
    """Without added rows an empty cell would be infinite."""
    with pytest.raises(ValueError, match="smoothing"):
        distances.psi_from_counts([1, 2], [2, 1], smoothing=smoothing)


@pytest.mark.parametrize(("n", "m", "cells"), [(10_000, 100, 10), (2_000, 2_000, 10), (10_000, 500, 4)])
def test_a_psi_limit_keeps_its_false_alarm_rate(n: int, m: int, cells: int) -> None:
    """Of 3,000 windows without drift about one in twenty exceeds the limit for 5 %, one in a hundred that for 1 %."""
    rng = np.random.default_rng(14)
    law = np.full(cells, 1 / cells)
    found = [
        distances.psi_from_counts(r, c)
        for r, c in zip(rng.multinomial(n, law, 3000), rng.multinomial(m, law, 3000), strict=True)
    ]
    for rate in (0.05, 0.01):
        limit = distances.psi_limit(n, m, cells, false_alarm_rate=rate)
        assert np.mean(np.array(found) > limit) == pytest.approx(rate, rel=0.35)


def test_a_psi_limit_is_a_chi_square_quantile() -> None:
    """Wilson and Hilferty's cube stays within 4 % of scipy's quantile."""
    for cells in (2, 3, 10, 33, 200):
        for rate in (0.1, 0.05, 0.01, 0.001):
            exact = float(stats.chi2.isf(rate, cells - 1)) * (1 / 300 + 1 / 70)
            assert distances.psi_limit(300, 70, cells, false_alarm_rate=rate) == pytest.approx(exact, rel=0.04)


@pytest.mark.parametrize(("n", "m", "cells", "rate"), [(0, 5, 5, 0.1), (5, 0, 5, 0.1), (5, 5, 1, 0.1), (5, 5, 5, 1.0)])
def test_a_psi_limit_without_rows_cells_or_rate_is_refused(n: int, m: int, cells: int, rate: float) -> None:
    """No limit is made up for nothing."""
    with pytest.raises(ValueError, match=r"needs rows|inside"):
        distances.psi_limit(n, m, cells, false_alarm_rate=rate)


@pytest.mark.requirement("MON-19", by="holdfast.maths.distances:kl_divergence")
def test_kl_is_that_of_the_live_law_from_the_reference() -> None:
    """Equal to scipy's entropy(live, reference) over smoothed cells, and not to the other direction."""
    reference, live = np.arange(100), np.arange(55, 95)
    p = np.full(10, 10.5) / 105
    q = np.array([0.5] * 5 + [5.5] + [10.5] * 3 + [5.5]) / 45
    found = distances.kl_divergence(reference, live)
    assert found == pytest.approx(float(stats.entropy(q, p)), rel=1e-12)
    assert found != pytest.approx(float(stats.entropy(p, q)), rel=0.1)


@pytest.mark.requirement("MON-19", by="holdfast.maths.distances:kl_from_counts")
def test_kl_in_both_directions_adds_up_to_psi() -> None:
    """Jeffreys' identity, with the same smoothing."""
    r, c = [30, 50, 0, 20], [10, 60, 25, 5]
    both = distances.kl_from_counts(r, c) + distances.kl_from_counts(c, r)
    assert both == pytest.approx(distances.psi_from_counts(r, c), rel=1e-12)


@pytest.mark.requirement("MON-20", by="holdfast.maths.distances:wasserstein_1d")
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "m"), SIZES + LARGE)
def test_wasserstein_equals_scipy(n: int, m: int, ties: bool) -> None:
    """The exact one-dimensional value, for samples of different sizes and with ties."""
    x, y = _columns(n, m, ties=ties)
    assert distances.wasserstein_1d(x, y) == pytest.approx(float(stats.wasserstein_distance(x, y)), rel=1e-12)


def test_a_distance_beyond_the_largest_number_is_refused() -> None:
    """No infinite distance is returned."""
    with pytest.raises(ValueError, match="too far apart"):
        distances.wasserstein_1d([-1.7e308], [1.7e308])


def test_total_variation_is_the_share_that_moved() -> None:
    """A quarter of the rows in another cell is a distance of a quarter; nothing in common is 1."""
    assert distances.total_variation_from_counts([2, 2], [1, 3]) == 0.25
    assert distances.total_variation_from_counts([5, 0], [0, 7]) == 1.0
    assert distances.total_variation(np.arange(100), np.arange(25, 100).repeat(4)) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    "from_counts",
    [
        distances.psi_from_counts,
        distances.kl_from_counts,
        distances.ks_from_counts,
        distances.total_variation_from_counts,
    ],
)
def test_histograms_over_different_cells_are_not_compared(from_counts: object) -> None:
    """A profile from another version has other cells; that is an error, not a distance."""
    with pytest.raises(ValueError, match="do not pair up"):
        from_counts([1, 2, 3], [1, 2])  # type: ignore[operator]
