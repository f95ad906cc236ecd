"""What the labels should have been, and how well each annotator labels, by expectation and maximisation.

Decides a probability for each class of each item; leaves to others whom to believe and how sure is sure enough.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from holdfast.maths.arrays import Floats, Integers, same_length

SMOOTHING: Final = 0.5  # labels added to each cell of a confusion matrix: no annotator is ever certain
TOLERANCE: Final = 1e-6  # no probability moves further in a round once it has converged
MAX_ROUNDS: Final = 200  # EM of this model converges in tens


@dataclass(frozen=True, slots=True, kw_only=True)
class Consensus:
    """The fitted model.

    Attributes:
        posterior: Of shape (items, classes): the probability of each class.
        without: Of shape (labels, classes): the same of the label's item, had the label not been given.
        confusion: Of shape (annotators, classes, labels): how often an annotator gives a label to a class.
        prior: How often each class occurs.
        rounds: Of expectation and maximisation.
    """

    posterior: Floats
    without: Floats
    confusion: Floats
    prior: Floats
    rounds: int


def dawid_skene(items: npt.ArrayLike, annotators: npt.ArrayLike, labels: npt.ArrayLike, k: int) -> Consensus:
    """Fit the model of Dawid and Skene (1979): an annotator has a matrix of errors, labels are independent given it.

    1. Start from the shares of votes; 2. M: prior and confusion matrices from the posteriors, smoothed;
    3. E: posteriors from them; 4. again until nothing moves. Nothing is drawn: the same labels give the same result.
    The start makes the majority right on the whole: where most annotators turn labels, the turned ones win.

    Args:
        items: The item of each label, from 0 on without gaps.
        annotators: The annotator of each label, from 0 on without gaps.
        labels: The label, from 0 to k − 1.
        k: How many classes there are.

    Raises:
        ValueError: The three do not pair up, are empty or no such numbers, or there are fewer than two classes.

    Two who agree and one who turns every label: the third is believed by turning it back.

    >>> item = np.repeat(np.arange(6), 3)
    >>> label = [0, 0, 1, 1, 1, 0] * 3
    >>> fitted = dawid_skene(item, [0, 1, 2] * 6, label, 2)
    >>> fitted.posterior.argmax(axis=1).tolist()
    [0, 1, 0, 1, 0, 1]
    >>> [round(float(each[0, 0]), 2) for each in fitted.confusion]
    [0.87, 0.87, 0.13]
    """
    i, j, y = (_places(each, name) for each, name in ((items, "items"), (annotators, "annotators"), (labels, "labels")))
    same_length(items=i, annotators=j, labels=y)
    if k < 2 or y.max() >= k:
        raise ValueError(f"labels up to {y.max()} of {k} classes; at least two are needed")
    n, m = int(i.max()) + 1, int(j.max()) + 1
    votes = np.bincount(i * k + y, minlength=n * k).reshape(n, k).astype(np.float64)
    if not votes.any(axis=1).all():
        raise ValueError("an item has no label")
    posterior = votes / votes.sum(axis=1, keepdims=True)  # 1.
    rounds, moved = 0, 1.0
    prior, confusion = _maximised(posterior, i, j, y, m)  # 2.
    score = _scores(prior, confusion, i, j, y)
    while moved >= TOLERANCE and rounds < MAX_ROUNDS:  # 4.
        before, posterior = posterior, _normal(score)  # 3.
        moved, rounds = float(np.abs(posterior - before).max()), rounds + 1
        prior, confusion = _maximised(posterior, i, j, y, m)  # 2.
        score = _scores(prior, confusion, i, j, y)
    posterior = _normal(score)
    without = _normal(score[i] - np.log(confusion[j, :, y]))
    return Consensus(posterior=posterior, without=without, confusion=confusion, prior=prior, rounds=rounds)


def _places(values: npt.ArrayLike, name: str) -> Integers:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu" or array.min() < 0:
        raise ValueError(f"{name} must be whole numbers from 0 on, in one dimension and not empty")
    return array.astype(np.int64, copy=False)


def _maximised(posterior: Floats, i: Integers, j: Integers, y: Integers, m: int) -> tuple[Floats, Floats]:
    k = posterior.shape[1]
    cells = j * k + y
    confusion = np.empty((m, k, k))
    for c in range(k):
        confusion[:, c, :] = np.bincount(cells, weights=posterior[i, c], minlength=m * k).reshape(m, k)
    confusion += SMOOTHING
    confusion /= confusion.sum(axis=2, keepdims=True)
    prior = posterior.sum(axis=0) + SMOOTHING
    return prior / prior.sum(), confusion


def _scores(prior: Floats, confusion: Floats, i: Integers, j: Integers, y: Integers) -> Floats:
    n = int(i.max()) + 1
    score = np.tile(np.log(prior), (n, 1))
    logs = np.log(confusion)
    for c in range(len(prior)):
        score[:, c] += np.bincount(i, weights=logs[j, c, y], minlength=n)
    return score


def _normal(score: Floats) -> Floats:
    shares = np.exp(score - score.max(axis=1, keepdims=True))
    normal: Floats = shares / shares.sum(axis=1, keepdims=True)
    return normal
