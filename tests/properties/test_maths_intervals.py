"""What holds for every proportion: bounds, mirror images, nesting, and that more evidence narrows."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.maths.beta import beta_quantile, regularised_incomplete_beta
from holdfast.maths.fairness import demographic_parity_gap
from holdfast.maths.intervals import (
    Interval,
    clopper_pearson,
    newcombe_difference,
    paired_difference,
    quantile_interval,
    wilson,
)

levels = st.floats(0.01, 0.9999)
shapes = st.floats(0.1, 1e4)


@st.composite
def proportions(draw: st.DrawFn, least: int = 1) -> tuple[int, int]:
    """Successes and rows."""
    n = draw(st.integers(least, 1_000))
    return draw(st.integers(0, n)), n


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@given(trial=proportions(), level=levels)
def test_a_proportion_lies_in_its_bounds_and_mirrors(
    interval: Callable[..., Interval], trial: tuple[int, int], level: float
) -> None:
    """0 ≤ low ≤ value ≤ high ≤ 1, and counting failures instead of successes turns the interval round."""
    k, n = trial
    i, mirror = interval(k, n, level), interval(n - k, n, level)
    assert 0 <= i.low <= i.value <= i.high <= 1
    assert i.low < i.high
    assert (1 - mirror.high, 1 - mirror.low) == pytest.approx((i.low, i.high), abs=1e-9)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@given(trial=proportions(), level=levels, wider=levels)
def test_a_higher_level_widens(
    interval: Callable[..., Interval], trial: tuple[int, int], level: float, wider: float
) -> None:
    """Intervals of one sample are nested by level."""
    narrow, wide = sorted((level, wider))
    inner, outer = interval(*trial, narrow), interval(*trial, wide)
    assert outer.low <= inner.low + 1e-12
    assert inner.high <= outer.high + 1e-12


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@given(trial=proportions(), times=st.integers(2, 50), level=levels)
def test_more_rows_at_the_same_rate_raise_the_lower_bound(
    interval: Callable[..., Interval], trial: tuple[int, int], times: int, level: float
) -> None:
    """So a gate on the lower bound can be met by evidence, and not by luck alone."""
    k, n = trial
    few, many = interval(k, n, level), interval(k * times, n * times, level)
    assert many.low >= few.low - 1e-12
    assert many.high <= few.high + 1e-12


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@given(trial=proportions(), level=levels)
def test_one_more_success_never_lowers_a_bound(
    interval: Callable[..., Interval], trial: tuple[int, int], level: float
) -> None:
    """Both bounds rise with the number of successes."""
    k, n = trial
    if k < n:
        less, more = interval(k, n, level), interval(k + 1, n, level)
        assert less.low <= more.low + 1e-12
        assert less.high <= more.high + 1e-12


@given(first=proportions(), second=proportions(), level=levels)
def test_swapping_the_groups_turns_a_difference_round(
    first: tuple[int, int], second: tuple[int, int], level: float
) -> None:
    """p1 - p2 and p2 - p1 are the same statement."""
    i, swapped = newcombe_difference(*first, *second, level=level), newcombe_difference(*second, *first, level=level)
    assert -1 <= i.low <= i.value <= i.high <= 1
    assert (-swapped.high, -swapped.low) == pytest.approx((i.low, i.high), abs=1e-12)


@given(cells=st.tuples(*[st.integers(0, 500)] * 4), level=levels)
def test_swapping_candidate_and_baseline_turns_a_paired_difference_round(
    cells: tuple[int, int, int, int], level: float
) -> None:
    """The same for rows that were judged twice."""
    both, first, second, neither = cells
    i, swapped = paired_difference(*cells, level=level), paired_difference(both, second, first, neither, level)
    assert -1 <= i.low <= i.value <= i.high <= 1
    assert (-swapped.high, -swapped.low) == pytest.approx((i.low, i.high), abs=1e-12)


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=30, max_size=60), level=st.floats(0.5, 0.99))
def test_the_bounds_of_a_quantile_are_values_that_were_seen(values: list[float], level: float) -> None:
    """No value between two measurements is made up, and the order of the sample does not matter."""
    i = quantile_interval(values, 0.5, level)
    assert {i.low, i.value, i.high} <= set(values)
    assert quantile_interval(values[::-1], 0.5, level) == i


@given(x=st.floats(0, 1), y=st.floats(0, 1), a=shapes, b=shapes)
def test_the_incomplete_beta_function_rises_and_mirrors(x: float, y: float, a: float, b: float) -> None:
    """A distribution function from 0 to 1, with I_x(a, b) = 1 - I_{1-x}(b, a)."""
    low, high = sorted((x, y))
    below, above = regularised_incomplete_beta(low, a, b), regularised_incomplete_beta(high, a, b)
    assert 0 <= below <= above + 1e-12 <= 1 + 1e-12
    if 1 - (1 - x) == x:
        mirrored = regularised_incomplete_beta(1 - x, b, a)
        assert 1 - mirrored == pytest.approx(regularised_incomplete_beta(x, a, b), abs=1e-10)


@given(probability=st.floats(0.001, 0.999), a=st.floats(1, 1e4), b=st.floats(1, 1e4))
def test_the_beta_quantile_is_the_inverse(probability: float, a: float, b: float) -> None:
    """The distribution function at the quantile is the probability."""
    x = beta_quantile(probability, a, b)
    assert regularised_incomplete_beta(x, a, b) == pytest.approx(probability, abs=1e-9)


@given(
    rates=st.lists(proportions(), min_size=2, max_size=5),
    level=st.floats(0.5, 0.99),
    shuffle=st.randoms(use_true_random=False),
)
def test_a_gap_does_not_depend_on_the_order_of_rows_or_groups(
    rates: list[tuple[int, int]], level: float, shuffle: Random
) -> None:
    """The gap is that of the rates, and its bounds hold at least those of every pair."""
    rows = [(int(row < min(k, 50)), str(group)) for group, (k, n) in enumerate(rates) for row in range(min(n, 50))]
    gap = demographic_parity_gap([row[0] for row in rows], [row[1] for row in rows], level)
    shuffle.shuffle(rows)
    assert demographic_parity_gap([row[0] for row in rows], [row[1] for row in rows], level) == gap
    observed = [min(k, 50, n) / min(n, 50) for k, n in rates]
    assert gap.gap.value == pytest.approx(max(observed) - min(observed))
    assert 0 <= gap.gap.low <= gap.gap.value <= gap.gap.high <= 1
