"""Evidence that one arm has the event more often than the other, counted block by block, with no rate to be guessed.

In a block with n_a and n_b outcomes of candidate and baseline, k of them events, Fisher's conditional law of the
candidate's share k_a depends on the odds ratio ω alone (Fisher 1935; noncentral hypergeometric). The block's
e-variable against "ω is at most 1" is the likelihood ratio of a fixed alternative ω > 1 to ω = 1,

    S_ω = ω^k_a / E[ω^J],   J hypergeometric(n_a + n_b, k, n_a).

Its mean is 1 at ω = 1 and smaller below, since S_ω rises with k_a and k_a falls stochastically with ω (monotone
likelihood ratio). So the product over blocks is an e-process for every candidate that is no worse, whatever the common
rate is and however it drifts from block to block: what both arms suffer from condemns nobody. A mixture of fixed ω
needs no earlier block to learn from, which is why it catches a small canary sooner than a plug-in (`sequential`).
Grünwald, de Heide and Koolen, Safe testing, JRSS B 86 (2024), arXiv:1906.07801. What a block counts must not depend on
its outcomes.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from holdfast.maths.sequential import Block

RATIOS: Final = {1.5: 0.05, 2.0: 0.25, 3.0: 0.4, 5.0: 0.25, 15.0: 0.05}
"""Alternatives ω of the mixture with their weights: what a bad release does to a rate lies somewhere among them.

Any weights of sum 1 are valid; these bet on a rate that doubles to quintuples, and lose ln 20 where it is otherwise.
"""


class Odds:
    """The evidence so far that the candidate's odds of an event exceed the baseline's.

    >>> odds = Odds()
    >>> for _ in range(8):
    ...     odds.update(Block(candidate_failures=2, candidate_n=10, baseline_failures=0, baseline_n=90))
    >>> odds.ln_e > 15
    True
    """

    __slots__ = ("_ratios", "_terms", "_weights", "ln_e", "ln_peak", "seen")

    def __init__(self, ratios: Mapping[float, float] = RATIOS) -> None:
        """Start with no evidence.

        Args:
            ratios: The alternatives ω of the mixture, with their weights.

        Raises:
            ValueError: There is none, one that is not above 1, or weights of another sum than 1.
        """
        if not ratios or min(ratios) <= 1 or min(ratios.values()) <= 0 or not math.isclose(sum(ratios.values()), 1):
            raise ValueError(f"alternatives are odds ratios above 1 with weights of sum 1, got {ratios}")
        self._ratios, self._weights = tuple(ratios), tuple(ratios.values())
        self._terms = [0.0] * len(ratios)
        self.ln_e = 0.0
        self.ln_peak = 0.0
        self.seen = Block(candidate_failures=0, candidate_n=0, baseline_failures=0, baseline_n=0)

    def update(self, block: Block) -> None:
        """Count one more block; one in which only one arm had outcomes is no comparison and weighs nothing."""
        events = block.candidate_failures + block.baseline_failures
        if block.candidate_n and block.baseline_n and events:
            for index, ratio in enumerate(self._ratios):
                mean = _ln_mean(ratio, block.candidate_n, block.baseline_n, events)
                self._terms[index] += block.candidate_failures * math.log(ratio) - mean
            self.ln_e = ln_mean_exp(self._terms, self._weights)
            self.ln_peak = max(self.ln_peak, self.ln_e)
        self.seen = Block(
            candidate_failures=self.seen.candidate_failures + block.candidate_failures,
            candidate_n=self.seen.candidate_n + block.candidate_n,
            baseline_failures=self.seen.baseline_failures + block.baseline_failures,
            baseline_n=self.seen.baseline_n + block.baseline_n,
        )


def ln_mean_exp(values: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Return ln Σ w exp(v), with equal weights of sum 1 where none are given.

    >>> round(ln_mean_exp([0.0, math.log(3)]), 4)
    0.6931
    """
    shares = weights or [1 / len(values)] * len(values)
    top = max(values)
    return top + math.log(sum(w * math.exp(v - top) for v, w in zip(values, shares, strict=True)))


@lru_cache(maxsize=4096)
def _ln_mean(ratio: float, n_a: int, n_b: int, events: int) -> float:
    """Return ln E[ω^J] for J hypergeometric: events, of n_a + n_b outcomes, that fall to the candidate's n_a.

    >>> round(math.exp(_ln_mean(3.0, 1, 9, 1)), 4)  # 0.9 + 0.1 * 3
    1.2
    """
    span = range(max(0, events - n_b), min(events, n_a) + 1)
    base = _ln_choose(n_a + n_b, events)
    terms = [_ln_choose(n_a, j) + _ln_choose(n_b, events - j) - base + j * math.log(ratio) for j in span]
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))


def _ln_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
