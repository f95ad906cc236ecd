"""How well predictions fit labels: one number per score, no weights, no averaging choices.

Labels and binary predictions are 0 and 1, 1 being the positive class. Scores that compare classes refuse a sample with
one class: such a sample cannot tell a good model from a constant. Decides the definition; leaves to `intervals` and
`score_intervals` how far to trust it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from holdfast.maths.arrays import Flags, Floats, binary, classes, finite, probabilities, same_length

CERTAINTY: Final = float(np.finfo(np.float64).eps)  # log_loss keeps this distance from 0 and 1, as scikit-learn does


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """How often each binary prediction met each label."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


def confusion(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> Confusion:
    """Return the confusion counts of binary predictions, shape (n,) each.

    Raises:
        ValueError: Empty, unequal lengths, or anything but 0 and 1.

    >>> confusion([1, 1, 0, 0, 0], [1, 0, 1, 0, 0])
    Confusion(true_positives=1, false_positives=1, false_negatives=1, true_negatives=2)
    """
    y, predicted = binary(labels, "labels"), binary(predictions, "predictions")
    same_length(labels=y, predictions=predicted)
    return Confusion(
        true_positives=int((y & predicted).sum()),
        false_positives=int((~y & predicted).sum()),
        false_negatives=int((y & ~predicted).sum()),
        true_negatives=int((~y & ~predicted).sum()),
    )


def accuracy(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> float:
    """Return the share of rows predicted right; any classes, named by text or numbers, one class included.

    Raises:
        ValueError: Empty, unequal lengths, missing values, or text compared with numbers.

    >>> accuracy(["a", "b", "b", "a"], ["a", "b", "a", "a"])
    0.75
    """
    y, predicted = _class_pair(labels, predictions)
    return float((y == predicted).mean())


def balanced_accuracy(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> float:
    """Return the unweighted mean of each label class's recall (Brodersen et al. 2010).

    Raises:
        ValueError: As `accuracy`, or labels of one class only.

    >>> balanced_accuracy([1, 0, 0, 0], [1, 0, 0, 1])
    0.8333333333333333
    """
    recalls = [hits / total for hits, total in class_hits(labels, predictions)]
    return float(np.mean(recalls))


def class_hits(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> tuple[tuple[int, int], ...]:
    """Return for each label class, in sorted order, how many rows were predicted right and how many there are.

    Raises:
        ValueError: As `balanced_accuracy`.

    >>> class_hits([1, 0, 0, 0], [1, 0, 0, 1])
    ((2, 3), (1, 1))
    """
    y, predicted = _class_pair(labels, predictions)
    names, inverse, totals = np.unique(y, return_inverse=True, return_counts=True)
    if names.size == 1:
        raise ValueError("labels hold one class only")
    hits = np.bincount(inverse, weights=y == predicted)
    return tuple((int(hit), int(total)) for hit, total in zip(hits, totals, strict=True))


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the area under the ROC curve: P(score of a positive > score of a negative) + P(equal)/2.

    The Mann-Whitney statistic over average ranks (Hanley and McNeil 1982), exact for ties. O(n log n).

    Args:
        labels: Shape (n,), 0 and 1.
        scores: Shape (n,), finite, any unit; higher means more likely positive.

    Raises:
        ValueError: Labels of one class only, unequal lengths, or NaN.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    y, x = binary(labels, "labels"), finite(scores, "scores")
    same_length(labels=y, scores=x)
    positives, negatives = _both_classes(y)
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2  # the average rank of each distinct score, from 1
    u = rank[inverse][y].sum() - positives * (positives + 1) / 2
    return float(u / (positives * negatives))


def precision(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> float:
    """Return the share of positive predictions that are right; 0.0 if nothing was predicted positive.

    Raises:
        ValueError: Labels of one class only, unequal lengths, or anything but 0 and 1.

    >>> precision([1, 0, 1, 0], [1, 1, 0, 0])
    0.5
    """
    cells = _judged(labels, predictions)
    predicted = cells.true_positives + cells.false_positives
    return cells.true_positives / predicted if predicted else 0.0  # a model that finds nothing has not earned a one


def recall(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> float:
    """Return the share of positive labels that were predicted so (sensitivity, true positive rate).

    Raises:
        ValueError: As `precision`.

    >>> recall([1, 0, 1, 1], [1, 1, 0, 1])
    0.6666666666666666
    """
    cells = _judged(labels, predictions)
    return cells.true_positives / (cells.true_positives + cells.false_negatives)


def f1(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> float:
    """Return the harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN).

    Raises:
        ValueError: As `precision`.

    >>> f1([1, 0, 1, 1], [1, 1, 0, 1])
    0.6666666666666666
    """
    cells = _judged(labels, predictions)
    errors = cells.false_positives + cells.false_negatives
    return 2 * cells.true_positives / (2 * cells.true_positives + errors)


def brier(labels: npt.ArrayLike, probabilities_of_one: npt.ArrayLike) -> float:
    """Return the mean squared distance of predicted probabilities from the labels (Brier 1950); 0 is perfect, 1 worst.

    Raises:
        ValueError: Labels other than 0 and 1, probabilities outside [0, 1], unequal lengths, NaN.

    >>> brier([1, 0], [0.8, 0.4])
    0.1
    """
    y, p = _probability_pair(labels, probabilities_of_one)
    return float(np.mean((p - y) ** 2))


def log_loss(labels: npt.ArrayLike, probabilities_of_one: npt.ArrayLike) -> float:
    """Return the mean negative log-likelihood of the labels, in nats; 0 is perfect.

    Probabilities are kept `CERTAINTY` away from 0 and 1: being certainly wrong once costs 36 nats, not infinity.

    Raises:
        ValueError: As `brier`.

    >>> round(log_loss([1, 0], [0.8, 0.4]), 6)
    0.366985
    """
    y, p = _probability_pair(labels, probabilities_of_one)
    p = np.clip(p, CERTAINTY, 1 - CERTAINTY)
    return float(-np.mean(np.where(y, np.log(p), np.log1p(-p))))


def _judged(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> Confusion:
    _both_classes(binary(labels, "labels"))
    return confusion(labels, predictions)


def _both_classes(y: Flags) -> tuple[int, int]:
    positives = int(y.sum())
    if positives in (0, y.size):
        raise ValueError("labels hold one class only")
    return positives, y.size - positives


def _class_pair(
    labels: npt.ArrayLike, predictions: npt.ArrayLike
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    y, predicted = classes(labels, "labels"), classes(predictions, "predictions")
    same_length(labels=y, predictions=predicted)
    if (y.dtype.kind == "U") != (predicted.dtype.kind == "U"):  # numpy would call every such pair unequal
        raise ValueError(f"labels are {y.dtype}, predictions are {predicted.dtype}: one is text, the other numbers")
    return y, predicted


def _probability_pair(labels: npt.ArrayLike, probabilities_of_one: npt.ArrayLike) -> tuple[Flags, Floats]:
    y, p = binary(labels, "labels"), probabilities(probabilities_of_one, "probabilities")
    same_length(labels=y, probabilities=p)
    return y, p
