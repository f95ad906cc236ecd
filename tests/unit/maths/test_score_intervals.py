"""Intervals of composed scores: they cover, and a small perfect sample does not look certain."""

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from holdfast.maths.intervals import Interval
from holdfast.maths.score_intervals import auc_interval, balanced_accuracy_interval, f1_interval

PERFECT = [0] * 6 + [1] * 6


@pytest.mark.parametrize("interval", [auc_interval, balanced_accuracy_interval, f1_interval])
def test_twelve_perfect_rows_do_not_prove_a_perfect_model(interval: Callable[[list, list], Interval]) -> None:
    """The upper bound is 1, the lower bound far from it: a gate at 0.9 stays shut."""
    i = interval(PERFECT, PERFECT)
    assert i.value == i.high == 1.0
    assert 0.4 < i.low < 0.8


@pytest.mark.parametrize("interval", [auc_interval, balanced_accuracy_interval, f1_interval])
def test_twelve_rows_all_wrong_do_not_prove_a_hopeless_model(interval: Callable[[list, list], Interval]) -> None:
    """The mirror image: the lower bound is 0, the upper bound is not."""
    i = interval(PERFECT, PERFECT[::-1])
    assert i.value == i.low == 0.0
    assert 0.2 < i.high < 0.7


@pytest.mark.parametrize("shift", [0.5, 1.5, 3.0])
def test_an_auc_interval_covers_its_level(shift: float) -> None:
    """Two normal classes: the true area is Φ(shift/√2), and about 95 % of the intervals hold it."""
    rng = np.random.default_rng(10)
    truth = float(stats.norm.cdf(shift / sqrt(2)))
    y = np.array([1] * 30 + [0] * 60)
    covered = []
    for _ in range(600):
        i = auc_interval(y, rng.normal(size=90) + shift * y)
        covered.append(i.low <= truth <= i.high)
    assert np.mean(covered) > 0.93


def test_a_balanced_accuracy_interval_covers_its_level() -> None:
    """Three classes of 10, 40 and 150 rows with recalls of 0.9, 0.7 and 0.5."""
    rng = np.random.default_rng(11)
    y = np.repeat([0, 1, 2], [10, 40, 150])
    recall = np.array([0.9, 0.7, 0.5])[y]
    covered = []
    for _ in range(800):
        i = balanced_accuracy_interval(y, np.where(rng.uniform(size=y.size) < recall, y, (y + 1) % 3))
        covered.append(i.low <= 0.7 <= i.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_an_f1_interval_covers_its_level() -> None:
    """Positives a tenth of the rows, recall 0.8, false alarms 0.05: F1 is 0.711."""
    rng = np.random.default_rng(13)
    truth = 2 * 0.08 / (2 * 0.08 + 0.02 + 0.045)
    covered = []
    for _ in range(2000):
        y = rng.uniform(size=400) < 0.1
        predicted = rng.uniform(size=400) < np.where(y, 0.8, 0.05)
        i = f1_interval(y, predicted)
        covered.append(i.low <= truth <= i.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_more_rows_narrow_every_interval() -> None:
    """Ten times the same rows leave less than half of the doubt."""
    y, predicted = [0, 0, 0, 1, 1, 1] * 5, [0, 0, 1, 1, 1, 0] * 5
    for interval in (auc_interval, balanced_accuracy_interval, f1_interval):
        few, many = interval(y, predicted), interval(y * 10, predicted * 10)
        assert few.value == pytest.approx(many.value)
        assert many.high - many.low < (few.high - few.low) / 2
