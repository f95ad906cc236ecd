"""How far values lie out: robust scores of one column, and of each value given the others of its row.

Scores are by median and median absolute deviation (Rousseeuw & Croux 1993, "Alternatives to the Median Absolute
Deviation", JASA 88), each side of the median by its own, so that a skewed column has no far side for its skew alone.
What a value should be by the rest of its row follows from the inverse of a winsorised correlation matrix (Wilcox 2022,
"Introduction to Robust Estimation and Hypothesis Testing", section 9.3): the squared Mahalanobis distance of a row,
cell by cell. Decides no bound.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from holdfast.maths.arrays import Floats

CONSISTENT: Final = 1.4826  # makes the median absolute deviation of a normal sample its standard deviation
CLIP: Final = 2.5  # robust standard deviations beyond which a value tells a correlation no more
RIDGE: Final = 0.01  # added to the diagonal, so that columns that say the same leave a matrix that can be inverted


@dataclass(frozen=True, slots=True, kw_only=True)
class Robust:
    """Centre and spreads of a column; a spread is infinite where half of that side's values are the median."""

    centre: float
    below: float
    above: float

    def scores(self, values: npt.ArrayLike) -> Floats:
        """Return values in spreads from the centre, shape as given; NaN stays NaN.

        >>> Robust(centre=10.0, below=2.0, above=5.0).scores([6.0, 10.0, 20.0]).tolist()
        [-2.0, 0.0, 2.0]
        """
        away = np.asarray(values, dtype=np.float64) - self.centre
        return np.asarray(np.where(away < 0, away / self.below, away / self.above), dtype=np.float64)


def robust(values: npt.ArrayLike) -> Robust:
    """Return the median of a sample, and the spread of each side of it: 1.4826 times the median distance.

    A side on which more than half of the distances are nothing has the spread of those that are not: in a column of
    which most values are equal, the others tell how far others lie.

    Args:
        values: Shape (n,); NaN is left out.

    Raises:
        ValueError: No value is finite.

    >>> found = robust([1, 2, 3, 4, 100])
    >>> found.centre, round(found.below, 3), round(found.above, 3)
    (3.0, 1.483, 1.483)
    >>> robust([0, 0, 0, 0, 0, 0, 4, 6, 8]).above
    8.8956
    """
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        raise ValueError("no value is finite")
    centre = float(np.median(sample))
    return Robust(centre=centre, below=_spread(centre - sample), above=_spread(sample - centre))


def _spread(away: Floats) -> float:
    """Return the spread of one side: of distances that are not negative."""
    side = away[away >= 0]
    middle = float(np.median(side)) if side.size else 0.0
    if middle == 0.0:
        side = side[side > 0]
        middle = float(np.median(side)) if side.size else 0.0
    return CONSISTENT * middle if middle > 0 else float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """What each column should be by the others of its row.

    Attributes:
        middle: Shape (d,), means of the clipped scores.
        size: Shape (d,), their standard deviations; 1 where a column says nothing.
        inverse: Shape (d, d), of their correlation matrix.
        explained: Shape (d,), the share of each column's variance that the others explain, 0 to 1.
    """

    middle: Floats
    size: Floats
    inverse: Floats
    explained: Floats

    def residuals(self, scores: npt.ArrayLike, *, clip: float = CLIP) -> Floats:
        """Return how far each value lies from what the rest of its row says, in standard deviations of what is left.

        Args:
            scores: Shape (n, d), robust scores; NaN is taken for the centre.
            clip: Others than the value itself count no further, so that one wild value does not make its neighbours
                look wild; a row that is far out as a whole is seen as such by a wide clip only.

        >>> given = conditional(np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, 2.0], [-2.0, -2.0]]))
        >>> given.residuals([[2.0, 2.0], [2.0, -2.0]]).round(1).tolist()
        [[0.1, 0.1], [17.8, -17.8]]
        """
        raw = np.asarray(scores, dtype=np.float64)
        seen = (np.clip(np.nan_to_num(raw, nan=0.0), -clip, clip) - self.middle) / self.size
        own = np.diag(self.inverse)
        expected = seen - seen @ self.inverse / own  # of j, from the others alone: the sum is without x_j P_jj
        return np.asarray(((raw - self.middle) / self.size - expected) * np.sqrt(own), dtype=np.float64)


def conditional(scores: npt.ArrayLike) -> Conditional:
    """Return what columns say of each other, from the inverse of the correlation matrix of their clipped scores.

    Of normal columns with correlation matrix R and P = inverse of R, the value of column j given the others has the
    mean x_j - (P x)_j / P_jj and the variance 1 / P_jj (Lauritzen 1996, "Graphical Models", section 5.1).

    Args:
        scores: Shape (n, d), robust scores; NaN is taken for the centre.

    >>> given = conditional(np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, 2.0], [-2.0, -2.0]]))
    >>> given.explained.round(2).tolist()
    [0.98, 0.98]
    """
    seen = np.clip(np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=0.0), -CLIP, CLIP)
    middle, size = seen.mean(axis=0), seen.std(axis=0)
    size = np.where(size > 0, size, 1.0)
    unit = (seen - middle) / size
    matrix = unit.T @ unit / len(unit)
    np.fill_diagonal(matrix, 1.0)
    inverse = np.linalg.inv(matrix + RIDGE * np.eye(len(matrix)))
    return Conditional(
        middle=middle, size=size, inverse=inverse, explained=np.clip(1.0 - 1.0 / np.diag(inverse), 0.0, 1.0)
    )


def islands(ordered: npt.ArrayLike, gap: float) -> tuple[int, int]:
    """Return where the mainland of ordered values begins and ends: what lies beyond wide gaps is apart from it.

    The mainland is the stretch around the median that no gap wider than `gap` interrupts.

    Args:
        ordered: Shape (n,), finite, ascending.
        gap: The widest step that is none.

    Returns:
        The first place of the mainland and the one behind its last.

    >>> islands([-50.0, 1.0, 2.0, 3.0, 4.0, 20.0, 21.0], 5.0)
    (1, 5)
    """
    values = np.asarray(ordered, dtype=np.float64)
    if not values.size:
        return 0, 0
    middle = values.size // 2
    wide = np.flatnonzero(np.diff(values) > gap)  # a gap behind each of these places
    left, right = wide[wide < middle], wide[wide >= middle]
    return int(left[-1]) + 1 if left.size else 0, int(right[0]) + 1 if right.size else values.size
