"""Whether somebody's rows are chosen by a method: honest rows lie as far from one another as training rows do.

After PRADA (Juuti, Szyller, Marchal and Asokan, EuroS&P 2019), which looks at the distance of each new row to the
nearest of the same client's earlier ones. The paper asks whether these distances are normal; those of tabular rows are
not, honest or made up. So here they are held against the distances of training rows, by the statistic of Kolmogorov and
Smirnov: made-up rows lie too far apart, and rows made from one another too close.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

BEFORE: Final = 256  # rows of a client that a new one is compared with
WINDOW: Final = 200  # distances that are looked at together
FEWEST: Final = 100  # before there is anything to say
EVERY: Final = 25  # distances between two looks
QUANTILES: Final = 65
WIDER: Final = 1.25  # than the widest difference that a run of training rows showed, so that none like it alarms


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The distances of training rows: their quantiles, evenly spaced, and how far a client's may differ."""

    quantiles: tuple[float, ...]
    limit: float

    def __post_init__(self) -> None:
        """Refuse what `fit_spread` cannot have made: it is read back from files."""
        steps = np.diff(self.quantiles)
        if len(self.quantiles) < 2 or not np.isfinite(self.quantiles).all() or (steps < 0).any():
            raise ValueError("the quantiles of a spread are finite and rise")
        if not self.limit > 0:
            raise ValueError("the limit of a spread is above 0")

    def differs(self, distances: NDArray[np.float64]) -> float:
        """Return the largest difference between the shares of distances below any bound, 0 to 1.

        >>> Spread(quantiles=(0.0, 1.0), limit=0.5).differs(np.array([0.5, 0.6, 0.7, 0.8]))
        0.5
        """
        x = np.sort(distances)
        known = np.asarray(self.quantiles)
        level = np.linspace(0.0, 1.0, len(known))
        share = np.interp(x, known, level, left=0.0, right=1.0)
        rank = np.arange(len(x))
        return float(max((share - rank / len(x)).max(), ((rank + 1) / len(x) - share).max()))


@dataclass(slots=True)
class Distances:
    """The distances of one client's rows; bounded memory."""

    rows: NDArray[np.float32] | None = None
    count: int = 0
    last: NDArray[np.float64] = field(default_factory=lambda: np.zeros(WINDOW))
    known: int = 0

    def observe(self, place: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Take one row; every `EVERY` new ones, return the last distances, once there are enough of them.

        >>> Distances().observe(np.zeros(2, dtype=np.float32)) is None
        True
        """
        if self.rows is None:
            self.rows = np.zeros((BEFORE, len(place)), dtype=np.float32)
        looked = False
        if self.count:
            apart = self.rows[: min(self.count, BEFORE)] - place
            distance = float(np.sqrt(np.einsum("ij,ij->i", apart, apart).min()))
            if distance == 0:  # a row again tells nothing
                return None
            self.last[self.known % WINDOW] = distance
            self.known += 1
            looked = self.known >= FEWEST and self.known % EVERY == 0
        self.rows[self.count % BEFORE] = place
        self.count += 1
        return self.last[: min(self.known, WINDOW)].copy() if looked else None


def fit_spread(runs: list[NDArray[np.float32]]) -> Spread | None:
    """Return the spread of runs of training rows, each of shape (n, dimensions), sent one by one; None if too few.

    >>> fit_spread([np.zeros((5, 2), dtype=np.float32)]) is None
    True
    """
    known = []
    for run in runs:
        seen = Distances()
        known += [each for each in map(seen.observe, run) if each is not None]
    if not known:
        return None
    quantiles = np.quantile(np.concatenate(known), np.linspace(0, 1, QUANTILES))
    rounded = tuple(float(f"{value:.5g}") for value in quantiles.tolist())
    bare = Spread(quantiles=rounded, limit=1.0)
    widest = max(bare.differs(each) for each in known)
    return Spread(quantiles=rounded, limit=float(f"{min(WIDER * widest, 1.0):.5g}"))
