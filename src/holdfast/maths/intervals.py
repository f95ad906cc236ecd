"""Intervals for proportions, their differences, quantiles, and whatever else by bootstrap.

Policies compare the *bounds* of these intervals, so that a small sample cannot pass. Decides how wide an interval must
be; leaves to `score_intervals` the scores that are made of several proportions, and to policies what is good enough.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import index
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from holdfast.maths.arrays import Integers, classes, finite, same_length
from holdfast.maths.beta import beta_quantile, regularised_incomplete_beta

MIN_BOOTSTRAP_ROWS: Final = 20  # of fewer rows a percentile interval covers far less often than its level says
_MAX_INDEX_CELLS: Final = 2**22  # 32 MiB of row numbers drawn at a time, whatever the number of resamples


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate and the bounds that hold at `level` over repeated samples; always low ≤ value ≤ high, all finite.

    Attributes:
        value: The estimate; the midpoint of what is possible where `n` is 0.
        low: Lower confidence bound.
        high: Upper confidence bound.
        n: Observations behind the estimate; of two groups the smaller. 0 says that nothing was observed.
        level: Two-sided confidence level, between 0 and 1.
    """

    value: float
    low: float
    high: float
    n: int
    level: float

    def __post_init__(self) -> None:
        """Refuse bounds that are not finite or do not enclose the value, and an impossible sample or level."""
        if not (-math.inf < self.low <= self.value <= self.high < math.inf):  # NaN fails every comparison
            raise ValueError(f"not an interval: {self.low} ≤ {self.value} ≤ {self.high}")
        if self.n < 0:
            raise ValueError(f"a sample cannot have {self.n} rows")
        _check_level(self.level)


def normal_quantile(probability: float) -> float:
    """Return z with Φ(z) = probability, Φ being the standard normal distribution function.

    Raises:
        ValueError: A probability outside (0, 1).

    >>> round(normal_quantile(0.975), 6)
    1.959964
    """
    if not 0 < probability < 1:
        raise ValueError(f"a normal quantile needs a probability inside (0, 1), got {probability}")
    return NormalDist().inv_cdf(probability)


def bonferroni(level: float, comparisons: int) -> float:
    """Return the level that each of several intervals needs for all of them to hold together at `level`.

    Raises:
        ValueError: A level outside (0, 1), or fewer than one comparison.

    >>> round(bonferroni(0.95, 5), 12)
    0.99
    """
    _check_level(level)
    if comparisons < 1:
        raise ValueError(f"needs at least one comparison, got {comparisons}")
    return 1 - (1 - level) / comparisons


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion (Wilson 1927; Newcombe 1998a, method 3).

    Covers close to its level on average, also near 0 and 1. Without observations it is vacuous: 0.5 in [0, 1], n = 0.

    Raises:
        ValueError: Counts that are not whole, negative or more successes than n; a level outside (0, 1).

    >>> i = wilson(8, 10)
    >>> round(i.low, 4), i.value, round(i.high, 4)
    (0.4902, 0.8, 0.9433)
    """
    k, n = _binomial(successes, n)
    _check_level(level)
    if n == 0:  # empty means no: a lower bound of 0 and an upper bound of 1 pass no limit worth the name
        return Interval(value=0.5, low=0.0, high=1.0, n=0, level=level)
    z2 = _z(level) ** 2
    p = k / n
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low = 0.0 if k == 0 else min(p, max(0.0, centre - half))
    high = 1.0 if k == n else max(p, min(1.0, centre + half))
    return Interval(value=p, low=low, high=high, n=n, level=level)


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return the exact interval of a proportion (Clopper and Pearson 1934), which never covers less than its level.

    Wider than `wilson`; for claims where the level is a promise. Without observations it is vacuous: 0.5 in [0, 1], n =
    0.

    Raises:
        ValueError: Counts that are not whole, negative or more successes than n; a level outside (0, 1).

    >>> i = clopper_pearson(8, 10)
    >>> round(i.low, 4), i.value, round(i.high, 4)
    (0.4439, 0.8, 0.9748)
    """
    k, n = _binomial(successes, n)
    _check_level(level)
    if n == 0:  # empty means no
        return Interval(value=0.5, low=0.0, high=1.0, n=0, level=level)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else beta_quantile(tail, k, n - k + 1)
    high = 1.0 if k == n else 1 - beta_quantile(tail, n - k, k + 1)
    return Interval(value=k / n, low=min(low, k / n), high=max(high, k / n), n=n, level=level)


def newcombe_difference(
    first_successes: int, first_n: int, second_successes: int, second_n: int, level: float = 0.95
) -> Interval:
    """Return the interval of p1 - p2 for independent groups (Newcombe 1998b, Stat. Med. 17:873, method 10).

    Squares and adds the distances to Wilson's bounds. If either group is empty it is vacuous: 0 in [-1, 1], n = 0.

    Raises:
        ValueError: Counts that are not whole, negative or more successes than rows; a level outside (0, 1).

    >>> i = newcombe_difference(56, 70, 48, 80)  # the paper's first example
    >>> round(i.low, 4), round(i.value, 4), round(i.high, 4)
    (0.0524, 0.2, 0.3339)
    """
    first, second = wilson(first_successes, first_n, level), wilson(second_successes, second_n, level)
    n = min(first.n, second.n)
    if n == 0:  # empty means no
        return Interval(value=0.0, low=-1.0, high=1.0, n=0, level=level)
    value = first.value - second.value
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    high = value + math.hypot(first.high - first.value, second.value - second.low)
    return Interval(value=value, low=max(-1.0, low), high=min(1.0, high), n=n, level=level)


def paired_difference(both: int, first_only: int, second_only: int, neither: int, level: float = 0.95) -> Interval:
    """Return the interval of p1 - p2 for one set of rows judged twice (Newcombe 1998c, Stat. Med. 17:2635, method 10).

    For a candidate and a baseline scored on the same test rows: as rows that both get right or wrong say nothing about
    the difference, it is narrower than `newcombe_difference`. Without rows it is vacuous: 0 in [-1, 1], n = 0.

    Args:
        both: Rows where both succeeded.
        first_only: Rows where only the first succeeded.
        second_only: Rows where only the second succeeded.
        neither: Rows where both failed.
        level: Confidence level.

    Raises:
        ValueError: Counts that are not whole or negative; a level outside (0, 1).

    >>> i = paired_difference(14, 5, 0, 22)  # Altman et al. 2000, Statistics with Confidence, p. 54
    >>> round(i.low, 3), round(i.value, 3), round(i.high, 3)
    (0.011, 0.122, 0.226)
    """
    r, s, t, u = (_count(cell) for cell in (both, first_only, second_only, neither))
    n = r + s + t + u
    first, second = wilson(r + s, n, level), wilson(r + t, n, level)
    if n == 0:  # empty means no
        return Interval(value=0.0, low=-1.0, high=1.0, n=0, level=level)
    margins = (r + s) * (t + u) * (r + t) * (s + u)
    covariance: float = r * u - s * t
    if covariance > 0:  # a positive correlation narrows the interval, so it is corrected for continuity
        covariance = max(covariance - n / 2, 0)
    phi = covariance / math.sqrt(margins) if margins else 0.0
    value = (s - t) / n
    low = value - _correlated(first.value - first.low, second.high - second.value, phi)
    high = value + _correlated(first.high - first.value, second.value - second.low, phi)
    return Interval(value=value, low=max(-1.0, low), high=min(1.0, high), n=n, level=level)


def quantile_interval(values: npt.ArrayLike, probability: float, level: float = 0.95) -> Interval:
    """Return the interval of a quantile by order statistics, without any assumption on the law (for latencies).

    The bounds are the l-th and u-th smallest value, l and u being binomial quantiles (Hahn and Meeker 1991, §5.2); it
    never covers less than its level. The 0.99 quantile at 0.95 needs at least 368 values.

    Args:
        values: Shape (n,), any unit; the interval has the same.
        probability: Which quantile, inside (0, 1).
        level: Confidence level.

    Raises:
        ValueError: NaN or infinity, a probability or level outside (0, 1), or too few values to bound the quantile.

    >>> i = quantile_interval(range(1, 101), 0.5)
    >>> i.low, i.value, i.high
    (40.0, 50.0, 61.0)
    """
    x = np.sort(finite(values, "values"))
    _check_level(level)
    if not 0 < probability < 1:
        raise ValueError(f"a quantile needs a probability inside (0, 1), got {probability}")
    n, tail = x.size, (1 - level) / 2
    lower = _last(lambda rank: _at_least(n - rank + 1, n, 1 - probability) <= tail, n)
    upper = n + 1 - _last(lambda rank: _at_least(n + 1 - rank, n, probability) <= tail, n)
    if lower == 0 or upper == n + 1:
        raise ValueError(f"{n} values are too few to bound the {probability} quantile at level {level}")
    value = x[math.ceil(n * probability) - 1]
    return Interval(value=float(value), low=float(x[lower - 1]), high=float(x[upper - 1]), n=n, level=level)


def bootstrap(
    statistic: Callable[..., float],
    arrays: Sequence[npt.ArrayLike],
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
    *,
    strata: npt.ArrayLike | None = None,
) -> Interval:
    """Return the percentile bootstrap interval of any statistic of rows (Efron and Tibshirani 1993, chapter 13).

    Rows stay together: each resample draws row numbers with replacement and hands every array's rows to `statistic` in
    the given order. An interval that misses the estimate itself is stretched to it. A statistic at its ceiling in every
    resample gets width zero, which claims too much: use `wilson` or `score_intervals` where they fit.

    Args:
        statistic: Takes as many arrays as given and returns a finite number; what it raises passes through.
        arrays: One or more arrays of equal first dimension n ≥ `MIN_BOOTSTRAP_ROWS`.
        rng: Source of the row numbers; the same state gives the same interval.
        resamples: How many; at least one must lie beyond each bound.
        level: Confidence level.
        strata: Shape (n,); rows are drawn within each stratum, so that none can vanish (a class, for `auc`).

    Raises:
        ValueError: Too few rows or resamples, unequal lengths, or a statistic that is NaN or infinite.

    >>> i = bootstrap(np.mean, [np.arange(100.0)], np.random.default_rng(0))
    >>> 43 < i.low < i.value == 49.5 < i.high < 56
    True
    """
    columns = [np.asarray(array) for array in arrays]
    if not columns or min(column.ndim for column in columns) == 0:
        raise ValueError("needs at least one array with rows")
    same_length(**{f"array {position}": column for position, column in enumerate(columns)})
    n = len(columns[0])
    _check_level(level)
    if n < MIN_BOOTSTRAP_ROWS:
        raise ValueError(f"{n} rows are too few to resample; needs {MIN_BOOTSTRAP_ROWS}")
    if resamples * (1 - level) < 2:  # one resample beyond each of the two bounds
        raise ValueError(f"{resamples} resamples cannot give a level of {level}")
    value = _number(statistic(*columns))
    replicates = np.empty(resamples)
    rows = _strata(strata, n)
    step = max(1, _MAX_INDEX_CELLS // n)
    for start in range(0, resamples, step):
        drawn = _draw(rng, rows, min(step, resamples - start))
        for offset, chosen in enumerate(drawn):
            replicates[start + offset] = _number(statistic(*(column[chosen] for column in columns)))
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=min(value, float(low)), high=max(value, float(high)), n=n, level=level)


def _strata(strata: npt.ArrayLike | None, n: int) -> list[Integers]:
    """Return the row numbers of each stratum."""
    if strata is None:
        return [np.arange(n)]
    names = classes(strata, "strata")
    if names.size != n:
        raise ValueError(f"{names.size} strata for {n} rows")
    return [np.flatnonzero(names == name) for name in np.unique(names)]


def _draw(rng: np.random.Generator, rows: list[Integers], count: int) -> Integers:
    """Return row numbers, shape (count, n), drawn with replacement within each stratum."""
    drawn = [stratum[rng.integers(0, stratum.size, size=(count, stratum.size))] for stratum in rows]
    return np.concatenate(drawn, axis=1)


def _number(value: Any) -> float:  # whatever a caller's statistic returned
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"the statistic is {number}")
    return number


def _at_least(k: int, n: int, p: float) -> float:
    """Return P(B >= k) for B ~ Binomial(n, p)."""
    return 1.0 if k <= 0 else regularised_incomplete_beta(p, k, n - k + 1)


def _last(holds: Callable[[int], bool], n: int) -> int:
    """Return the largest rank in 1..n for which a condition that holds from 1 on still holds; 0 if it never does."""
    low, high = 0, n
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _correlated(first: float, second: float, phi: float) -> float:
    """Return the length of two errors added at correlation phi."""
    return math.sqrt(max(0.0, first * first - 2 * phi * first * second + second * second))


def _z(level: float) -> float:
    return -normal_quantile((1 - level) / 2)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies inside (0, 1), got {level}")


def _count(value: int) -> int:
    try:
        whole = index(value)
    except TypeError:
        raise ValueError(f"counts are whole numbers, got {value!r}") from None
    if whole < 0:
        raise ValueError(f"counts are not negative, got {whole}")
    return whole


def _binomial(successes: int, n: int) -> tuple[int, int]:
    k, rows = _count(successes), _count(n)
    if k > rows:
        raise ValueError(f"{k} successes among {rows}")
    return k, rows
