"""What holds for every pair of samples: identity, symmetry, bounds, and how distances relate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdfast.maths import distances

numbers = st.floats(-1e6, 1e6)
samples = st.lists(numbers, min_size=1, max_size=25)
coarse = st.lists(st.integers(-5, 5), min_size=1, max_size=25)


@st.composite
def histograms(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Two histograms over the same cells, neither of them empty."""
    cells = draw(st.integers(2, 12))
    counts = st.lists(st.integers(0, 1000), min_size=cells, max_size=cells).filter(any)
    return draw(counts), draw(counts)


@given(pair=histograms(), smoothing=st.floats(1e-6, 10))
def test_psi_is_symmetric_finite_and_zero_for_equal_counts(pair: tuple[list[int], list[int]], smoothing: float) -> None:
    """No order of the two, no empty cell and no amount of smoothing changes that."""
    r, c = pair
    psi = distances.psi_from_counts(r, c, smoothing=smoothing)
    assert np.isfinite(psi)
    assert psi >= 0
    assert psi == pytest.approx(distances.psi_from_counts(c, r, smoothing=smoothing), rel=1e-12, abs=1e-15)
    assert distances.psi_from_counts(r, r, smoothing=smoothing) == 0


@given(pair=histograms())
def test_psi_does_not_depend_on_the_order_of_cells_or_on_cells_nobody_used(pair: tuple[list[int], list[int]]) -> None:
    """PSI compares shares, cell by cell."""
    r, c = pair
    psi = distances.psi_from_counts(r, c)
    assert distances.psi_from_counts(r[::-1], c[::-1]) == pytest.approx(psi, rel=1e-12, abs=1e-15)
    assert distances.psi_from_counts([*r, 0], [*c, 0]) == pytest.approx(psi, rel=1e-12, abs=1e-15)


@given(pair=histograms())
def test_kl_is_not_negative_and_bounds_total_variation(pair: tuple[list[int], list[int]]) -> None:
    """Pinsker's inequality, TV² ≤ KL/2, holds for the smoothed shares."""
    r, c = pair
    used = [(a + 0.5, b + 0.5) for a, b in zip(r, c, strict=True) if a + b]
    p, q = (np.array(side) / sum(side) for side in zip(*used, strict=True))
    kl = distances.kl_from_counts(r, c)
    assert kl >= 0
    assert (np.abs(p - q).sum() / 2) ** 2 <= kl / 2 + 1e-12


@given(pair=histograms())
def test_total_variation_is_a_distance_between_zero_and_one_above_the_binned_ks(
    pair: tuple[list[int], list[int]],
) -> None:
    """The distribution functions cannot differ by more than the shares do."""
    r, c = pair
    tv = distances.total_variation_from_counts(r, c)
    assert 0 <= tv <= 1
    assert tv == pytest.approx(distances.total_variation_from_counts(c, r), abs=1e-15)
    assert distances.ks_from_counts(r, c).statistic <= tv + 1e-12


@given(x=st.one_of(samples, coarse), y=st.one_of(samples, coarse))
def test_kolmogorov_smirnov_equals_scipy_and_is_symmetric(x: list[float], y: list[float]) -> None:
    """For any two samples, with or without ties."""
    ours = distances.ks_two_sample(x, y)
    try:
        theirs = stats.ks_2samp(x, y, method="exact")
    except RuntimeWarning:  # scipy gives up where its own sum for certainty rounds to more than one
        assert ours.p_value == pytest.approx(1.0)
    else:
        assert (ours.statistic, ours.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-10)
    swapped = distances.ks_two_sample(y, x)
    assert (swapped.statistic, swapped.p_value) == pytest.approx((ours.statistic, ours.p_value), rel=1e-12)


@given(x=samples, y=samples)
def test_kolmogorov_smirnov_knows_order_only(x: list[float], y: list[float]) -> None:
    """A strictly rising change of unit changes nothing; both samples against themselves are at distance zero."""
    result = distances.ks_two_sample(x, y)
    stretched = distances.ks_two_sample(np.array(x) * 8, np.array(y) * 8)  # a power of two rounds nothing
    assert stretched == result
    same = distances.ks_two_sample(x, x)
    assert (same.statistic, same.p_value) == (0.0, 1.0)


@given(x=st.lists(numbers, min_size=5, max_size=25), y=samples, edges=st.lists(numbers, unique=True, max_size=10))
def test_binning_never_makes_drift(x: list[float], y: list[float], edges: list[float]) -> None:
    """Whatever the cells, the binned test is at most as sure of a difference as the rows are."""
    cells = [-np.inf, *sorted(edges), np.inf]
    binned = distances.ks_from_counts(np.histogram(x, cells)[0], np.histogram(y, cells)[0])
    whole = distances.ks_two_sample(x, y)
    assert binned.statistic <= whole.statistic + 1e-12
    assert binned.p_value >= whole.p_value - 1e-12


@given(x=samples, y=samples)
def test_wasserstein_equals_scipy_and_is_symmetric(x: list[float], y: list[float]) -> None:
    """Exactly the one-dimensional value."""
    w = distances.wasserstein_1d(x, y)
    assert w == pytest.approx(float(stats.wasserstein_distance(x, y)), rel=1e-9, abs=1e-9)
    assert w == pytest.approx(distances.wasserstein_1d(y, x), rel=1e-12)
    assert distances.wasserstein_1d(x, x) == 0


@given(x=samples, shift=st.floats(-1e5, 1e5))
def test_moving_a_sample_is_as_far_as_it_moved(x: list[float], shift: float) -> None:
    """In the unit of the values."""
    moved = distances.wasserstein_1d(x, np.array(x) + shift)
    assert moved == pytest.approx(abs(shift), rel=1e-6, abs=1e-6)


@given(x=samples, y=samples, z=samples)
def test_wasserstein_takes_no_detour(x: list[float], y: list[float], z: list[float]) -> None:
    """The triangle inequality."""
    direct = distances.wasserstein_1d(x, z)
    assert direct <= distances.wasserstein_1d(x, y) + distances.wasserstein_1d(y, z) + 1e-6


@given(n=st.integers(1, 10**6), m=st.integers(1, 10**6), cells=st.integers(2, 100), rate=st.floats(0.001, 0.5))
def test_a_psi_limit_falls_with_rows_and_rises_as_alarms_become_rarer(n: int, m: int, cells: int, rate: float) -> None:
    """More rows allow a tighter limit, fewer false alarms demand a wider one."""
    limit = distances.psi_limit(n, m, cells, false_alarm_rate=rate)
    assert limit >= 0
    assert distances.psi_limit(2 * n, m, cells, false_alarm_rate=rate) <= limit
    assert distances.psi_limit(n, m, cells, false_alarm_rate=rate / 2) >= limit
    assert distances.psi_limit(m, n, cells, false_alarm_rate=rate) == pytest.approx(limit)
