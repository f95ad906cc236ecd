"""The classifier two-sample test: how well a classifier tells two samples apart (Lopez-Paz and Oquab, ICLR 2017)."""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float64]

RIDGE: Final = 1.0  # penalty of the logistic regression, on standardised features
STEPS: Final = 25  # of Newton's method
MAX_FEATURES: Final = 300  # of products of columns


def separability(one: Matrix, other: Matrix, rng: np.random.Generator) -> float:
    """Return the AUC, on rows kept back, of a logistic regression with squares and products that tells samples apart.

    Args:
        one: Shape (n, d), scaled to about 0 to 1.
        other: Shape (m, d), of the same scale.
        rng: Which rows are kept back.

    Returns:
        0.5 where nothing tells them apart, 1 where everything does.

    >>> rng = np.random.default_rng(0)
    >>> same = separability(rng.random((400, 2)), rng.random((400, 2)), rng)
    >>> shifted = separability(rng.random((400, 2)), rng.random((400, 2)) + 1, rng)
    >>> abs(same - 0.5) < 0.1, shifted > 0.99
    (True, True)
    """
    size = min(len(one), len(other))
    rows = np.concatenate([one[rng.permutation(len(one))[:size]], other[rng.permutation(len(other))[:size]]])
    labels = np.concatenate([np.zeros(size), np.ones(size)])
    features = _features(rows)
    order = rng.permutation(2 * size)
    known, kept = order[:size], order[size:]
    weights = _logistic(features[known], labels[known])
    return auc(features[kept] @ weights, labels[kept])


def auc(scores: Matrix, labels: Matrix) -> float:
    """Return the area under the ROC curve: the chance that a row of label 1 scores higher, ties counted half.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    0.75
    """
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positive = labels == 1
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / max(1, n * m))


def _features(rows: Matrix) -> Matrix:
    first, second = np.triu_indices(rows.shape[1])
    products = rows[:, first[:MAX_FEATURES]] * rows[:, second[:MAX_FEATURES]]
    every = np.column_stack([rows, products])
    spread = every.std(axis=0)
    scaled = (every - every.mean(axis=0)) / np.where(spread < 1e-12, 1, spread)
    return np.column_stack([np.ones(len(rows)), scaled])


def _logistic(features: Matrix, labels: Matrix) -> Matrix:
    weights = np.zeros(features.shape[1])
    penalty = RIDGE * np.eye(features.shape[1])
    penalty[0, 0] = 1e-9
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(features @ weights, -30, 30)))
        gradient = features.T @ (chance - labels) + penalty @ weights
        curvature = (features * (chance * (1 - chance))[:, None]).T @ features + penalty
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return weights
