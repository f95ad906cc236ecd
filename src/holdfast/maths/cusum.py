"""Cumulative sums: has what happens one by one begun to happen more often, or to be larger, than it used to?

Page, Continuous inspection schemes, Biometrika 41 (1954). The sum of log-likelihood ratios, held at 0 from below,

    S_t = max(0, S_{t-1} + log p_1(x_t) / p_0(x_t)),

passes h within n steps of p_0 with a probability of at most n e^{-h}, whatever n is: each of the n beginnings is a
Wald test whose likelihood ratio exceeds e^h with probability at most e^{-h}. That bound is what `alarm_at` inverts.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Coin:
    """A cumulative sum over events that happen or do not: rarely (`usual`) or often (`suspect`)."""

    usual: float  # p_0: the share of times it happens where nothing is wrong
    suspect: float  # p_1: the share that is looked for

    def __post_init__(self) -> None:
        """Refuse shares that cannot be told apart."""
        if not 0 < self.usual < self.suspect < 1:
            raise ValueError(f"needs 0 < usual < suspect < 1, got {self.usual} and {self.suspect}")

    @property
    def up(self) -> float:
        """What an event adds."""
        return math.log(self.suspect / self.usual)

    @property
    def down(self) -> float:
        """What its absence takes away."""
        return -math.log((1 - self.suspect) / (1 - self.usual))

    def step(self, total: float, *, happened: bool) -> float:
        """Return the sum after one more trial.

        >>> round(Coin(usual=0.1, suspect=0.6).step(0.0, happened=True), 4)
        1.7918
        """
        return max(0.0, total + self.up if happened else total - self.down)

    def highest(self, happened: NDArray[np.bool_]) -> float:
        """Return the highest that the sum gets over trials, shape (n,): its path less its running minimum."""
        path = np.cumsum(np.where(happened, self.up, -self.down))
        floor = np.minimum.accumulate(np.minimum(path, 0.0))
        return float((path - np.concatenate(([0.0], floor[:-1]))).max(initial=0.0))


def alarm_at(false_alarms: float, trials: int) -> float:
    """Return the height that the sum passes within so many usual trials with at most this probability.

    >>> round(alarm_at(0.001, 1000), 3)
    13.816
    """
    if not 0 < false_alarms < 1 or trials < 1:
        raise ValueError(f"needs a probability and a number of trials, got {false_alarms} and {trials}")
    return math.log(trials / false_alarms)
