"""How differently groups are treated: the largest gap of a rate between two groups, with bounds for all pairs at once.

Decides the gap and how sure one may be of it; leaves to policies which gap is too large and how small a group may be.
Labels and predictions are 0 and 1, 1 being the favourable or looked-for outcome; groups are named by text or numbers.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from holdfast.maths.arrays import Flags, binary, classes, same_length
from holdfast.maths.intervals import Interval, bonferroni, newcombe_difference

MAX_GROUPS: Final = 100  # more names than this are an identifier; comparing all pairs would say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRate:
    """One group's rate: how many of its rows that count had the outcome."""

    group: str
    successes: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupGap:
    """The largest gap between two groups.

    Attributes:
        rate: Which rate: `positive rate`, `true positive rate` or `false positive rate`.
        gap: The observed gap; its bounds hold for the largest gap over all pairs together, so `high` is large as long
            as any group is too small to know. Its `n` is that of the smallest group.
        highest: The group with the highest observed rate.
        lowest: The group with the lowest.
        smallest_n: Rows that count in the smallest group; 0 says that nothing is known of it.
        rates: Every group's rate, by name.
    """

    rate: str
    gap: Interval
    highest: str
    lowest: str
    smallest_n: int
    rates: tuple[GroupRate, ...]


def demographic_parity_gap(predictions: npt.ArrayLike, groups: npt.ArrayLike, level: float = 0.95) -> GroupGap:
    """Return the largest difference of positive prediction rates (Calders and Verwer 2010).

    Newcombe's interval of each pair at Bonferroni's level; the lower bound is the largest lower bound of any pair, the
    upper the largest upper bound, so that with probability `level` the true largest gap lies between.

    Args:
        predictions: Shape (n,), 0 and 1.
        groups: Shape (n,).
        level: Confidence level of all pairs together.

    Raises:
        ValueError: Fewer than two groups or more than `MAX_GROUPS`, unequal lengths, missing values.

    >>> g = demographic_parity_gap([1] * 56 + [0] * 14 + [1] * 48 + [0] * 32, ["a"] * 70 + ["b"] * 80)
    >>> g.highest, g.lowest, round(g.gap.low, 4), round(g.gap.value, 4), round(g.gap.high, 4), g.smallest_n
    ('a', 'b', 0.0524, 0.2, 0.3339, 70)
    """
    predicted = binary(predictions, "predictions")
    return _gap("positive rate", _rates(predicted, np.ones_like(predicted), groups), level)


def equal_opportunity_gap(
    labels: npt.ArrayLike, predictions: npt.ArrayLike, groups: npt.ArrayLike, level: float = 0.95
) -> GroupGap:
    """Return the largest difference of true positive rates (Hardt, Price and Srebro 2016).

    Only rows labelled 1 count. A group without any is unknown: it makes the upper bound 1 and `smallest_n` 0.

    Raises:
        ValueError: As `demographic_parity_gap`, or fewer than two groups with rows that count.

    >>> g = equal_opportunity_gap([1, 1, 1, 1, 0], [1, 1, 1, 0, 0], ["a", "a", "b", "b", "c"])
    >>> g.gap.value, g.gap.high, g.smallest_n
    (0.5, 1.0, 0)
    """
    y, predicted = binary(labels, "labels"), binary(predictions, "predictions")
    return _gap("true positive rate", _rates(predicted, y, groups), level)


def equalized_odds_gap(
    labels: npt.ArrayLike, predictions: npt.ArrayLike, groups: npt.ArrayLike, level: float = 0.95
) -> GroupGap:
    """Return the larger of the gaps of true and of false positive rates (Hardt, Price and Srebro 2016).

    Both are corrected for twice the pairs; the bounds are the larger of the two gaps', the names those of the worse
    rate.

    Raises:
        ValueError: As `equal_opportunity_gap`, for either rate.

    >>> y, predicted, groups = [1, 1, 0, 0] * 2, [1, 1, 0, 0, 1, 1, 1, 0], [0] * 4 + [1] * 4
    >>> g = equalized_odds_gap(y, predicted, groups)
    >>> g.rate, g.gap.value, g.highest
    ('false positive rate', 0.5, '1')
    """
    y, predicted = binary(labels, "labels"), binary(predictions, "predictions")
    half = bonferroni(level, 2)
    both = (
        _gap("true positive rate", _rates(predicted, y, groups), half),
        _gap("false positive rate", _rates(predicted, ~y, groups), half),
    )
    worse = max(both, key=lambda gap: gap.gap.value)
    smallest = min(gap.smallest_n for gap in both)
    low, high = max(gap.gap.low for gap in both), max(gap.gap.high for gap in both)
    interval = Interval(value=worse.gap.value, low=low, high=high, n=smallest, level=level)
    return GroupGap(
        rate=worse.rate,
        gap=interval,
        highest=worse.highest,
        lowest=worse.lowest,
        smallest_n=smallest,
        rates=worse.rates,
    )


def _rates(outcome: Flags, counts: Flags, groups: npt.ArrayLike) -> tuple[GroupRate, ...]:
    """Return each group's rate of the outcome among its rows that count."""
    names = classes(groups, "groups")
    same_length(predictions=outcome, labels=counts, groups=names)
    found, inverse = np.unique(names, return_inverse=True)
    if not 2 <= found.size <= MAX_GROUPS:  # one group has nothing to differ from
        raise ValueError(f"needs 2 to {MAX_GROUPS} groups, got {found.size}")
    totals = np.bincount(inverse, weights=counts, minlength=found.size)
    hits = np.bincount(inverse, weights=outcome & counts, minlength=found.size)
    return tuple(
        GroupRate(group=str(name), successes=int(hit), n=int(total))
        for name, hit, total in zip(found, hits, totals, strict=True)
    )


def _gap(rate: str, rates: tuple[GroupRate, ...], level: float) -> GroupGap:
    """Return the largest gap, bounded over all pairs, whichever way round each pair differs."""
    known = sorted((group for group in rates if group.n), key=lambda group: group.successes / group.n)
    if len(known) < 2:  # empty means no
        raise ValueError(f"fewer than two groups have rows for the {rate}")
    each = bonferroni(level, len(rates) * (len(rates) - 1) // 2)
    pairs = [newcombe_difference(a.successes, a.n, b.successes, b.n, each) for a, b in combinations(rates, 2)]
    lowest, highest = known[0], known[-1]
    smallest = min(group.n for group in rates)
    gap = Interval(
        value=highest.successes / highest.n - lowest.successes / lowest.n,
        low=max(0.0, *(max(pair.low, -pair.high) for pair in pairs)),
        high=max(max(pair.high, -pair.low) for pair in pairs),
        n=smallest,
        level=level,
    )
    return GroupGap(rate=rate, gap=gap, highest=highest.group, lowest=lowest.group, smallest_n=smallest, rates=rates)
