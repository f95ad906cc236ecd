"""Transforms that take small changes out of rows before a model sees them.

Xu, Evans and Qi, Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks, NDSS 2018: fewer levels of
each value, and a median over neighbouring pixels. What an attacker adds below half a level, or to few pixels, is gone;
what the model loses on honest rows by it must be measured, since nobody can know it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Squeeze:
    """What is done to rows, in this order: values into their ranges, onto few levels, medians of pixels."""

    low: NDArray[np.float32]  # of each column; minus infinity where it is open
    high: NDArray[np.float32]
    clip: bool
    levels: int  # of a column with a range; 0 leaves values as they are
    median: int  # side of the window over pixels; 0 leaves them
    height: int
    width: int

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return squeezed rows, shape (n, columns).

        >>> made = Squeeze(low=np.zeros(2, "f"), high=np.ones(2, "f"), clip=True, levels=5, median=0, height=0, width=0)
        >>> made(np.array([[0.3, 1.4]], dtype=np.float32)).tolist()
        [[0.25, 1.0]]
        """
        found = np.clip(rows, self.low, self.high) if self.clip else rows
        if self.levels:
            span = self.high - self.low
            ranged = np.isfinite(span) & (span > 0)
            step = np.where(ranged, span, 1.0) / (self.levels - 1)
            base = np.where(ranged, self.low, 0.0)
            found = np.where(ranged, base + np.rint((found - base) / step) * step, found)
        if self.median:
            found = medians(found, self.median, self.height, self.width)
        return np.ascontiguousarray(found, dtype=np.float32)


def medians(rows: NDArray[np.float32], side: int, height: int, width: int) -> NDArray[np.float32]:
    """Return the median of each pixel's window; beyond the edge stands the nearest pixel.

    >>> medians(np.array([[0, 0, 0, 0, 9, 0, 0, 0, 0]], dtype=np.float32), 3, 3, 3).tolist()
    [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    images = rows.reshape(len(rows), height, width)
    before = (side - 1) // 2
    padded = np.pad(images, ((0, 0), (before, side - 1 - before), (before, side - 1 - before)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    return np.asarray(np.median(windows, axis=(3, 4)), dtype=np.float32).reshape(len(rows), height * width)
