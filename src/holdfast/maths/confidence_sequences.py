"""Intervals that hold at every sample size at once, and the check that a split is the split that was asked for.

`hoeffding_radius` is exact for bounded outcomes (the normal mixture of Howard, Ramdas, McAuliffe and Sekhon,
Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49 (2021), equation 14).
`difference` is *asymptotic*: it holds for any law with a finite variance, up to an error that vanishes as the sample
grows (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory and asymptotic confidence
sequences, Annals of Statistics 52 (2024), theorems 2.2 and 3.1). `mismatch` is an exact e-process (Lindon and Malek,
Anytime-valid inference for multinomial count data, NeurIPS 2022).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

TIGHT_AT: Final = 1000.0  # n at which both sequences are about as tight as they can be; elsewhere they are still valid
"""Tuning: it moves width between sample sizes, never the error."""
FEWEST: Final = 30  # outcomes of each arm before an asymptotic interval is told at all


def hoeffding_radius(n: int, alpha: float) -> float:
    """Return the half-width of the confidence sequence for the mean of n outcomes in [0, 1]; infinite for none.

    >>> round(hoeffding_radius(1000, 0.05), 4)  # a fixed sample of 1,000 would have 0.0429
    0.048
    """
    if n == 0:
        return math.inf
    v, rho = n / 4, TIGHT_AT / 4 / _tightness(alpha)  # outcomes in [0, 1] are sub-Gaussian with variance 1/4
    return math.sqrt((v + rho) * math.log((v + rho) / (rho * alpha**2))) / n


def _tightness(alpha: float) -> float:
    """Return by what the tightest n must be divided to get ρ (Howard et al. 2021, proposition 3)."""
    return -2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far the candidate's mean lies above the baseline's, with bounds that hold at every n."""

    value: float
    low: float
    high: float
    n: int


def difference(outcomes: Iterable[tuple[bool, float]], share: float, alpha: float) -> Difference:
    """Return the difference of two means under a known random split, with an asymptotic confidence sequence.

    Each outcome becomes the doubly robust φ = m_a - m_b + (y - m)/P(arm) with sign of its arm, where m_a and m_b are
    the arms' means of *earlier* outcomes; the mean of φ is the difference, whatever m is.

    Args:
        outcomes: Of each unit in the order in which they were assigned: whether the candidate had it, and its value.
        share: Chance of the candidate, inside (0, 1).
        alpha: Chance that the sequence ever leaves out the truth, in the limit.

    >>> found = difference([(True, 1.0), (False, 0.0)] * 200, 0.5, 0.05)
    >>> found.low > 0.5
    True
    """
    seen = {True: (0, 0.0), False: (0, 0.0)}
    count, mean, squares = 0, 0.0, 0.0
    for candidate, y in outcomes:
        before = {arm: total / n if n else 0.0 for arm, (n, total) in seen.items()}
        chance = share if candidate else 1 - share
        phi = before[True] - before[False] + (1 if candidate else -1) * (y - before[candidate]) / chance
        count += 1
        step = phi - mean
        mean += step / count
        squares += step * (phi - mean)
        n, total = seen[candidate]
        seen[candidate] = (n + 1, total + y)
    if min(n for n, _ in seen.values()) < FEWEST:
        return Difference(value=mean, low=-math.inf, high=math.inf, n=count)
    t, rho2 = float(count), _tightness(alpha) / TIGHT_AT
    radius = math.sqrt(squares / count)
    radius *= math.sqrt(2 * (t * rho2 + 1) / (t * t * rho2) * math.log(math.sqrt(t * rho2 + 1) / alpha))
    return Difference(value=mean, low=mean - radius, high=mean + radius, n=count)


def mismatch(candidate: int, baseline: int, share: float) -> float:
    """Return the evidence that units were not split as asked, as the logarithm of an e-value.

    The mixture of all binomial laws under Beta(1, 1), held against the law of the promised share.

    >>> mismatch(500, 500, 0.5) < 0 < math.log(1000) < mismatch(600, 400, 0.5)
    True
    """
    n = candidate + baseline
    ln_beta = math.lgamma(candidate + 1) + math.lgamma(baseline + 1) - math.lgamma(n + 2)
    return ln_beta - candidate * math.log(share) - baseline * math.log1p(-share)
