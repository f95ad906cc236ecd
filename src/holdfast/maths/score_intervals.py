"""Intervals for scores that are not one proportion: area under the curve, balanced accuracy, F1.

Unlike a bootstrap they need no randomness, and they stay wide when a small sample is predicted perfectly, so that ten
lucky rows cannot pass a gate.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy.typing as npt

from holdfast.maths.arrays import binary
from holdfast.maths.intervals import Interval, normal_quantile, wilson
from holdfast.maths.scores import auc, balanced_accuracy, class_hits, confusion, f1

_HALVINGS: Final = 60  # of [0, 1]; the width left is below the spacing of doubles near one


def auc_interval(labels: npt.ArrayLike, scores: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Return the interval of the area under the ROC curve (Newcombe 2006, Stat. Med. 25:559, method 5).

    A score interval: the bounds θ solve (θ̂ - θ)² = z² V(θ), with Hanley and McNeil's variance at θ itself and both
    class sizes in its inner part replaced by their mean. At θ̂ = 1 it is not degenerate.

    Raises:
        ValueError: As `scores.auc`, or a level outside (0, 1).

    >>> i = auc_interval([0] * 10 + [1] * 10, range(20))
    >>> round(i.low, 3), i.value, i.high
    (0.8, 1.0, 1.0)
    """
    y = binary(labels, "labels")
    estimate = auc(labels, scores)
    z2 = normal_quantile((1 - level) / 2) ** 2
    positives = int(y.sum())
    pairs, inner = positives * (y.size - positives), y.size / 2 - 1

    def outside(theta: float) -> bool:
        spread = 1 + inner * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (estimate - theta) ** 2 >= z2 * theta * (1 - theta) * spread / pairs

    low, high = _edge(outside, 0.0, estimate), _edge(outside, 1.0, estimate)
    return Interval(value=estimate, low=low, high=high, n=y.size, level=level)


def balanced_accuracy_interval(labels: npt.ArrayLike, predictions: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Return the interval of the mean recall over classes.

    The recalls are independent proportions; their Wilson bounds are combined by squaring and adding (MOVER: Zou and
    Donner 2008, Stat. Med. 27:1693).

    Raises:
        ValueError: As `scores.balanced_accuracy`, or a level outside (0, 1).

    >>> i = balanced_accuracy_interval([0] * 10 + [1] * 10, [0] * 10 + [1] * 10)
    >>> round(i.low, 3), i.value, i.high
    (0.804, 1.0, 1.0)
    """
    recalls = [wilson(hits, total, level) for hits, total in class_hits(labels, predictions)]
    value = balanced_accuracy(labels, predictions)
    below = math.hypot(*(recall.value - recall.low for recall in recalls)) / len(recalls)
    above = math.hypot(*(recall.high - recall.value for recall in recalls)) / len(recalls)
    n = sum(recall.n for recall in recalls)
    return Interval(value=value, low=max(0.0, value - below), high=min(1.0, value + above), n=n, level=level)


def f1_interval(labels: npt.ArrayLike, predictions: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Return the interval of F1; its n counts the rows that are not true negatives, which F1 ignores.

    F1 = 2 J / (1 + J) rises with J = TP / (TP + FP + FN), and J is a proportion (Hand, Christen and Kirielle 2021, F*:
    an interpretable transformation of the F-measure), so Wilson's bounds of J give the bounds of F1.

    Raises:
        ValueError: As `scores.f1`, or a level outside (0, 1).

    >>> i = f1_interval([1] * 10 + [0] * 90, [1] * 8 + [0] * 92)
    >>> round(i.low, 3), round(i.value, 3), round(i.high, 3)
    (0.658, 0.889, 0.971)
    """
    cells = confusion(labels, predictions)
    n = cells.true_positives + cells.false_positives + cells.false_negatives
    value = f1(labels, predictions)
    jaccard = wilson(cells.true_positives, n, level)
    low, high = (2 * bound / (1 + bound) for bound in (jaccard.low, jaccard.high))
    return Interval(value=value, low=min(low, value), high=max(high, value), n=n, level=level)


def _edge(outside: Callable[[float], bool], outer: float, inner: float) -> float:
    """Return by bisection where `outside` ends between an outer point and an inner one."""
    for _ in range(_HALVINGS):
        middle = (outer + inner) / 2
        if outside(middle):
            outer = middle
        else:
            inner = middle
    return outer
