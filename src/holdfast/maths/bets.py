"""Bets against honest chances: has something begun to happen more often than it may, looked at after every batch?

Each trial i happens with a chance of at most u_i. Whoever bets that the odds are κ times as high multiplies what he has
by q/u where it happens and by (1 - q)/(1 - u) where not, q = κu / (1 - u + κu); while the chances hold, his mean never
grows. Nobody knows κ, nor when it begins, so what is had is spread over several κ and over all beginnings s,
1/(s(s + 1)) on each. The sum is an e-process: by Ville's inequality (1939) it reaches 1/α at any time whatever with a
probability of at most α (Shin, Ramdas and Rinaldo, E-detectors, New England Journal of Statistics in Data Science 2024,
arXiv:2203.03532).
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

TIMES: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)  # κ: odds that are bet on
Batch: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.float64]]
"""What happened, shape (n,), and the highest honest chance of each trial."""


def ln_evidence(batches: Sequence[Batch]) -> NDArray[np.float64]:
    """Return the logarithm of the e-process after each batch, shape (batches,).

    Raises:
        ValueError: A chance outside (0, 1).

    >>> rare = np.full(100, 0.02)
    >>> twice, often = np.arange(100) < 2, np.arange(100) < 6
    >>> ln_evidence([(twice, rare)] * 20).round(1)[[0, 19]].tolist()  # 2 in 100, as may be
    [-0.3, -2.1]
    >>> ln_evidence([(often, rare)] * 20).round(1)[[0, 9, 19]].tolist()
    [1.3, 24.2, 50.9]
    """
    had = np.zeros(len(TIMES))  # by κ, over the beginnings so far
    found = []
    for number, (happened, chances) in enumerate(batches, 1):
        if ((chances <= 0) | (chances >= 1)).any():
            raise ValueError("chances lie inside (0, 1)")
        had = (had + 1 / (number * (number + 1))) * np.exp(_growth(happened, chances))
        had = np.minimum(had, 1e300)  # enough for any alarm, and still a number
        found.append(np.log(had.mean() + 1 / (number + 1)))
    return np.array(found)


def _growth(happened: NDArray[np.bool_], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by what each bet grows over a batch, as logarithms, shape (κ,)."""
    times = np.array(TIMES)[:, None]
    q = times * chances / (1 - chances + times * chances)
    return np.asarray(np.where(happened, np.log(q / chances), np.log((1 - q) / (1 - chances))).sum(axis=1))
