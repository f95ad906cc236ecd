"""The Gaussian copula: columns as normal scores, and back (Nelsen, An Introduction to Copulas, 2006, 2.9)."""

import math
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]

_INVERSE = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])
_ERF = np.vectorize(math.erf, otypes=[np.float64])


def normal_scores(values: Vector) -> Vector:
    """Return the normal scores of a column, shape (n,): the normal quantile of each value's mean rank over n + 1.

    >>> normal_scores(np.array([3.0, 1.0, 2.0])).round(4).tolist()
    [0.6745, -0.6745, 0.0]
    """
    distinct, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = ends - (counts - 1) / 2
    scores: Vector = _INVERSE(ranks / (len(values) + 1))[places]
    return scores if len(distinct) > 1 else np.zeros(len(values))


def normal_cdf(scores: Vector) -> Vector:
    """Return the standard normal distribution function, elementwise.

    >>> normal_cdf(np.array([0.0, 1.96])).round(3).tolist()
    [0.5, 0.975]
    """
    made: Vector = 0.5 * (1 + _ERF(scores / math.sqrt(2)))
    return made


def correlation_of_scores(scores: Vector) -> Vector:
    """Return the correlation matrix of normal scores, shape (n, d) → (d, d); a constant column goes with nothing.

    >>> correlation_of_scores(np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [3.0, 6.0, 0.0]])).round(6).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    spread = scores.std(axis=0)
    scaled = (scores - scores.mean(axis=0)) / np.where(spread == 0, 1, spread)
    made: Vector = scaled.T @ scaled / len(scores)
    np.fill_diagonal(made, 1.0)
    return made
