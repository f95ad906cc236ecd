"""Gaps between groups: the right pair, bounds for all pairs, and groups too small to know."""

from collections.abc import Sequence

import numpy as np
import pytest

from holdfast.maths.fairness import (
    MAX_GROUPS,
    GroupRate,
    demographic_parity_gap,
    equal_opportunity_gap,
    equalized_odds_gap,
)
from holdfast.maths.intervals import bonferroni, newcombe_difference


def _column(cells: Sequence[tuple[str, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return outcomes and groups from (group, successes, n)."""
    outcome = [np.repeat([1, 0], [k, n - k]) for _, k, n in cells]
    return np.concatenate(outcome), np.repeat([name for name, _, _ in cells], [n for _, _, n in cells])


def test_the_gap_is_that_of_the_most_different_pair() -> None:
    """Of three groups the highest and the lowest are named, and every rate is listed."""
    gap = demographic_parity_gap(*_column([("a", 30, 100), ("b", 55, 100), ("c", 12, 80)]))
    assert (gap.rate, gap.highest, gap.lowest, gap.smallest_n) == ("positive rate", "b", "c", 80)
    assert gap.gap.value == pytest.approx(0.40)
    assert gap.gap.n == 80
    assert gap.rates[2] == GroupRate(group="c", successes=12, n=80)
    pair = newcombe_difference(55, 100, 12, 80, bonferroni(0.95, 3))
    assert (gap.gap.low, gap.gap.high) == (pair.low, pair.high)


def test_a_small_group_cannot_pass_by_being_small() -> None:
    """Three rows that happen to agree with the rest leave the upper bound above any sensible limit."""
    large = [("a", 500, 1000), ("b", 500, 1000)]
    assert demographic_parity_gap(*_column(large)).gap.high < 0.06
    gap = demographic_parity_gap(*_column([*large, ("c", 2, 4)]))
    assert gap.gap.value == 0
    assert gap.gap.high > 0.35
    assert gap.smallest_n == 4


def test_a_group_without_rows_that_count_is_unknown() -> None:
    """No positive labels in a group: its true positive rate may be anything, so the bound is 1."""
    labels, predictions = [1, 1, 1, 1, 0, 0], [1, 0, 1, 0, 0, 1]
    gap = equal_opportunity_gap(labels, predictions, ["a", "a", "b", "b", "c", "c"])
    assert (gap.gap.value, gap.gap.high, gap.smallest_n) == (0.0, 1.0, 0)


def test_fewer_than_two_known_groups_have_no_gap() -> None:
    """One group, or one with rows that count: an error, because 0 would pass."""
    with pytest.raises(ValueError, match="needs 2 to"):
        demographic_parity_gap([1, 0], ["a", "a"])
    with pytest.raises(ValueError, match="fewer than two groups"):
        equal_opportunity_gap([1, 1, 0, 0], [1, 0, 1, 0], ["a", "a", "b", "b"])


def test_an_identifier_is_no_group() -> None:
    """A column with a name for every row is refused before thousands of pairs are compared."""
    n = MAX_GROUPS + 1
    with pytest.raises(ValueError, match="needs 2 to"):
        demographic_parity_gap([1] * n, range(n))


def test_equal_opportunity_looks_at_the_positives_only() -> None:
    """Groups treated alike where the label is 1 have no gap, whatever happens where it is 0."""
    labels = [1, 1, 0, 0] * 20
    predictions = [1, 0, 1, 1] * 10 + [1, 0, 0, 0] * 10
    groups = ["a"] * 40 + ["b"] * 40
    assert equal_opportunity_gap(labels, predictions, groups).gap.value == 0
    odds = equalized_odds_gap(labels, predictions, groups)
    assert (odds.rate, odds.gap.value, odds.highest) == ("false positive rate", 1.0, "a")


def test_equalized_odds_is_bounded_by_the_less_certain_rate() -> None:
    """Many negatives and few positives: the upper bound is that of the few."""
    labels, groups = [1] * 6 + [0] * 2000, ["a", "b"] * 1003
    predictions = [1] * 6 + [0] * 2000
    odds = equalized_odds_gap(labels, predictions, groups)
    assert odds.gap.value == 0
    assert odds.gap.high > 0.5
    assert odds.smallest_n == 3


def test_with_equal_groups_the_gap_is_covered() -> None:
    """Four groups with rates 0.5 to 0.6: the largest true gap, 0.1, lies within in at least 95 of 100 samples."""
    rng = np.random.default_rng(18)
    groups = np.repeat(np.arange(4), 150)
    rates = np.array([0.5, 0.55, 0.58, 0.6])[groups]
    covered = [
        (i := demographic_parity_gap(rng.uniform(size=600) < rates, groups).gap).low <= 0.1 <= i.high
        for _ in range(400)
    ]
    assert np.mean(covered) >= 0.95
