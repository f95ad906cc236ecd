"""Whether a row lies where rows of its class lie, at a rate of false alarms that holds for any distribution.

The score of a row is its Mahalanobis distance to the means of the classes under one covariance (Lee, Lee, Lee and Shin,
NeurIPS 2018), twice: to the nearest mean (`odd`: like no class), and how much farther the mean of the class that the
model answers is (`apart`: answered as a class that it does not lie with). The limits are conformal (Vovk, Gammerman and
Shafer 2005; Laxhammar and Falkman 2010): of n rows that the means have not seen, the ⌈(n+1)(1-α/2)⌉th smallest score.
A new row that is drawn like them passes each limit with a probability of at most α/2, and either with at most α.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVELS: Final = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002)  # rates of false alarms that may be asked for
RIDGE: Final = 1e-3  # of the mean variance, so that columns that go together can be told apart
MOST_CLASSES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Typical:
    """Where the classes lie, and how far from there a row may."""

    means: tuple[tuple[float, ...], ...]  # of each class, in coordinates; of a class without rows, of all rows
    inverse: tuple[tuple[float, ...], ...]  # of the covariance
    odd: tuple[float, ...]  # limits, by `LEVELS`; infinite, and so None in a file, where rows were too few
    apart: tuple[float, ...]

    def scores(self, places: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """Return the scores odd and apart, shape (n,) each, of rows and the classes they were answered as."""
        means, inverse = np.asarray(self.means), np.asarray(self.inverse)
        apart = places[:, None, :].astype(np.float64) - means[None]
        squares = np.einsum("nkd,de,nke->nk", apart, inverse, apart)
        nearest = squares.min(axis=1)
        return nearest, squares[np.arange(len(labels)), labels] - nearest

    def strange(self, places: NDArray[np.float32], labels: NDArray[np.int64], false_alarms: float) -> NDArray[np.bool_]:
        """Say which rows are strange at a rate of false alarms, one of `LEVELS`."""
        level = LEVELS.index(false_alarms)
        odd, apart = self.scores(places, labels)
        return (odd > self.odd[level]) | (apart > self.apart[level])


def fit_typical(places: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> Typical | None:
    """Return where the classes lie: from every other row; the limits from the rest. None where rows are too few.

    Args:
        places: Coordinates of training rows, shape (n, dimensions).
        labels: What the model answers about them, shape (n,).
        classes: How many there are.

    >>> rows = np.array([[0.0], [0.1], [5.0], [5.1]] * 50, dtype=np.float32)
    >>> found = fit_typical(rows, np.array([0, 0, 1, 1] * 50), 2)
    >>> found.strange(np.array([[0.0], [0.0], [99.0]], dtype=np.float32), np.array([0, 1, 1]), 0.1).tolist()
    [False, True, True]
    """
    learned, kept = places[::2].astype(np.float64), places[1::2]
    if len(kept) < 1 / LEVELS[0] or classes > MOST_CLASSES:
        return None
    middle, said = learned.mean(axis=0), labels[::2]
    means = np.stack(
        [learned[said == each].mean(axis=0) if (said == each).any() else middle for each in range(classes)]
    )
    rest = learned - means[said]
    covariance = rest.T @ rest / len(rest)
    covariance += np.eye(len(covariance)) * (RIDGE * np.trace(covariance) / len(covariance) + 1e-12)
    bare = Typical(means=_short(means), inverse=_short(np.linalg.inv(covariance)), odd=(), apart=())
    odd, apart = bare.scores(kept, labels[1::2])
    return Typical(means=bare.means, inverse=bare.inverse, odd=_limits(odd), apart=_limits(apart))


def _limits(scores: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the conformal limit for each level, the largest float where rows are too few for it."""
    ordered, found = np.sort(scores), []
    for level in LEVELS:
        rank = math.ceil((len(ordered) + 1) * (1 - level / 2))
        found.append(
            float(f"{ordered[rank - 1]:.6g}") * (1 + 1e-5) if rank <= len(ordered) else float(np.finfo(float).max)
        )
    return tuple(found)


def _short(values: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{value:.6g}") for value in row) for row in values.tolist())
