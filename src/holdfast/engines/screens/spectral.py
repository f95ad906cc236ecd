"""Spectral signatures: rows that stretch their class in one direction (Tran, Li and Madry 2018)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.screens.lenses import Floats

STEPS: Final = 30  # of the power method; the direction of poisoned rows converges in a few
LEAST_ROWS: Final = 20  # of a class


def signatures(representation: Floats, labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return each row's squared correlation with its class's top singular vector, in its class's mean, shape (n,).

    Section 3.2, algorithm 1: centre the class's representations, take the top right singular vector of them.
    """
    scores = np.zeros(len(labels))
    for each in range(classes):
        rows = np.flatnonzero(labels == each)
        if len(rows) < LEAST_ROWS:
            continue
        centred = representation[rows] - representation[rows].mean(axis=0)
        direction = np.ones(centred.shape[1], dtype=np.float32) / np.float32(np.sqrt(centred.shape[1]))
        for _ in range(STEPS):
            direction = centred.T @ (centred @ direction)
            length = float(np.linalg.norm(direction))
            if length == 0:
                break
            direction /= np.float32(length)
        found = (centred @ direction).astype(np.float64) ** 2
        scores[rows] = found / max(float(found.mean()), 1e-12)
    return scores
