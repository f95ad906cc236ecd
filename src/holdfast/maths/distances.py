"""How far live data is from the reference: PSI, Kolmogorov-Smirnov, Kullback-Leibler, Wasserstein, total variation.

Each takes the reference first and the live sample second, and has a form that takes counts of the same cells where a
sample need not be kept (`sketch`). Decides the definitions; leaves limits to policies, `psi_limit` excepted, which
turns a false-alarm rate into one.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from holdfast.maths.arrays import Floats, finite, same_length, tallies
from holdfast.maths.histogram import cell_counts, reference_edges
from holdfast.maths.intervals import normal_quantile
from holdfast.maths.kolmogorov import one_sample_survival, two_sample_survival

BINS: Final = 10  # deciles, as the credit-risk literature uses PSI
SMOOTHING: Final = 0.5  # rows added to every cell: Jeffreys' prior, so that an empty cell is rare, not impossible
KS_EXACT_LIMIT: Final = 1000  # rows in either sample up to which the p-value is exact (a few ten milliseconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class KsResult:
    """A two-sample Kolmogorov-Smirnov test.

    Attributes:
        statistic: The largest distance of the two distribution functions, 0 to 1.
        p_value: How often samples of one law are that far apart.
        reference_n: Rows of the reference sample.
        live_n: Rows of the live sample.
        method: `exact`, or `asymptotic` where a sample has more than `KS_EXACT_LIMIT` rows.
    """

    statistic: float
    p_value: float
    reference_n: int
    live_n: int
    method: Literal["exact", "asymptotic"]


def population_stability_index(
    reference: npt.ArrayLike, live: npt.ArrayLike, *, bins: int = BINS, smoothing: float = SMOOTHING
) -> float:
    """Return the population stability index Σ (q - p) ln(q / p) over cells fixed by the reference, in nats.

    The symmetrised Kullback-Leibler divergence (Jeffreys 1946; Siddiqi 2006, Credit Risk Scorecards). Cells are cut by
    `histogram.reference_edges` and filled up as `psi_from_counts` says.

    Args:
        reference: Shape (n,), finite; decides the cells.
        live: Shape (m,), finite.
        bins: Cells wanted.
        smoothing: Rows added to every cell.

    Raises:
        ValueError: Empty, NaN or infinity, bins out of range, or smoothing not positive.

    >>> population_stability_index(range(100), range(100))
    0.0
    >>> round(population_stability_index(range(100), range(50, 150)), 4)
    2.2837
    """
    return psi_from_counts(*_binned(reference, live, bins), smoothing=smoothing)


def psi_from_counts(
    reference_counts: npt.ArrayLike, live_counts: npt.ArrayLike, *, smoothing: float = SMOOTHING
) -> float:
    """Return the population stability index of two histograms over the same cells, in nats.

    Empty cells are safe: a cell empty in both is left out, as it says nothing; to every other cell of both histograms
    `smoothing` rows are added, so that a cell empty in one counts much, not infinitely. Equal counts give 0; swapping
    the two gives the same number.

    Args:
        reference_counts: Shape (cells,), whole numbers, at least one positive.
        live_counts: The same shape.
        smoothing: Rows added to every cell, more than 0.

    Raises:
        ValueError: Shapes that differ, impossible counts, an empty histogram, or smoothing not positive.

    >>> round(psi_from_counts([50, 50], [90, 10], smoothing=1e-9), 4)  # 0.4 ln 1.8 + (-0.4) ln 0.2
    0.8789
    """
    p, q = _smoothed(reference_counts, live_counts, smoothing)
    return float(((q - p) * np.log(q / p)).sum())


def psi_limit(reference_n: int, live_n: int, cells: int, *, false_alarm_rate: float) -> float:
    """Return the PSI that samples of one law exceed at about the given rate.

    Under no drift PSI / (1/n + 1/m) is asymptotically χ² with cells - 1 degrees of freedom (Yurdakul and Naranjo 2020,
    J. Risk Model Validation 14(4)); its quantile is taken by Wilson and Hilferty's cube (1931), within 4 % for rates of
    0.1 to 0.001. The customary 0.1 and 0.25 ignore sample size: with 100 live rows, 10 cells pass 0.1 every third time
    by chance.

    Raises:
        ValueError: An empty sample, fewer than two cells, or a rate outside (0, 1).

    >>> round(psi_limit(10_000, 100, 10, false_alarm_rate=0.05), 3)
    0.171
    """
    if reference_n < 1 or live_n < 1 or cells < 2:  # one cell cannot differ
        raise ValueError(f"needs rows in both samples and two cells, got {reference_n}, {live_n} and {cells}")
    freedom = cells - 1
    spread = 2 / (9 * freedom)
    z = -normal_quantile(false_alarm_rate)
    chi2 = freedom * max(0.0, 1 - spread + z * math.sqrt(spread)) ** 3
    return (1 / reference_n + 1 / live_n) * chi2


def ks_two_sample(reference: npt.ArrayLike, live: npt.ArrayLike) -> KsResult:
    """Return the two-sided two-sample Kolmogorov-Smirnov test.

    Equal to `scipy.stats.ks_2samp`: its method `exact` if neither sample has more than `KS_EXACT_LIMIT` rows, else its
    method `asymp`, the one-sample law at the effective size n m / (n + m). With ties the p-value errs towards no drift.

    Args:
        reference: Shape (n,), finite.
        live: Shape (m,), finite.

    Raises:
        ValueError: Empty, NaN or infinity.

    >>> result = ks_two_sample([1, 2, 3, 4], [3, 4, 5, 6, 7])
    >>> round(result.statistic, 12), round(result.p_value, 6), result.method
    (0.6, 0.285714, 'exact')
    """
    x, y = np.sort(finite(reference, "reference")), np.sort(finite(live, "live"))
    pooled = np.concatenate((x, y))
    below_x, below_y = (np.searchsorted(side, pooled, side="right").astype(np.int64) for side in (x, y))
    return _ks(below_x, below_y, x.size, y.size)


def ks_from_counts(reference_counts: npt.ArrayLike, live_counts: npt.ArrayLike) -> KsResult:
    """Return the Kolmogorov-Smirnov test of two histograms over the same ordered cells; conservative.

    The distance is taken at the cells' edges only, so it is a lower bound of the samples' own, and the p-value, taken
    from it as in `ks_two_sample`, an upper bound: drift inside a cell is not seen, but what is reported is there.

    Raises:
        ValueError: Shapes that differ, impossible counts, or an empty histogram.

    >>> ks_from_counts([10, 10, 0], [0, 10, 10]).statistic
    0.5
    """
    r, c = _tally_pair(reference_counts, live_counts)
    below_r, below_c = (np.cumsum(side).astype(np.int64) for side in (r, c))
    return _ks(below_r, below_c, int(r.sum()), int(c.sum()))


def kl_divergence(
    reference: npt.ArrayLike, live: npt.ArrayLike, *, bins: int = BINS, smoothing: float = SMOOTHING
) -> float:
    """Return KL(live ‖ reference) = Σ q ln(q / p) over cells fixed by the reference, in nats.

    The direction: what it costs, per live row, to describe live data by the reference's law (Kullback and Leibler
    1951). A live value where the reference had none weighs much; a reference cell that live data left empty weighs
    little. Cells and smoothing as for `population_stability_index`, which is the sum of both directions.

    Raises:
        ValueError: As `population_stability_index`.

    >>> round(kl_divergence(range(100), range(50, 150)), 4)
    0.9366
    """
    return kl_from_counts(*_binned(reference, live, bins), smoothing=smoothing)


def kl_from_counts(
    reference_counts: npt.ArrayLike, live_counts: npt.ArrayLike, *, smoothing: float = SMOOTHING
) -> float:
    """Return KL(live ‖ reference) of two histograms over the same cells, in nats; smoothed as `psi_from_counts`.

    Raises:
        ValueError: As `psi_from_counts`.

    >>> round(kl_from_counts([50, 50], [90, 10], smoothing=1e-9), 4)  # 0.9 ln 1.8 + 0.1 ln 0.2
    0.3681
    """
    p, q = _smoothed(reference_counts, live_counts, smoothing)
    return max(0.0, float((q * np.log(q / p)).sum()))  # never negative but by rounding


def wasserstein_1d(reference: npt.ArrayLike, live: npt.ArrayLike) -> float:
    """Return the first Wasserstein distance ∫ |F - G| dx, exact, in the unit of the values (Vallender 1974).

    How far, on average, a row must move for one sample to become the other.

    Raises:
        ValueError: Empty, NaN or infinity, or values so far apart that a float64 cannot hold the distance.

    >>> wasserstein_1d([0, 1, 3], [5, 6, 8])
    5.0
    """
    x, y = np.sort(finite(reference, "reference")), np.sort(finite(live, "live"))
    pooled = np.sort(np.concatenate((x, y)))
    f, g = (np.searchsorted(side, pooled[:-1], side="right") / side.size for side in (x, y))
    with np.errstate(over="ignore", invalid="ignore"):
        distance = float((np.abs(f - g) * np.diff(pooled)).sum())
    if not math.isfinite(distance):
        raise ValueError("the values are too far apart to measure")
    return distance


def total_variation(reference: npt.ArrayLike, live: npt.ArrayLike, *, bins: int = BINS) -> float:
    """Return the total variation distance Σ |p - q| / 2 over cells fixed by the reference, 0 to 1.

    The share of rows that would have to change cells.

    Raises:
        ValueError: Empty, NaN or infinity, or bins out of range.

    >>> total_variation(range(100), range(50, 150))
    0.5
    """
    return total_variation_from_counts(*_binned(reference, live, bins))


def total_variation_from_counts(reference_counts: npt.ArrayLike, live_counts: npt.ArrayLike) -> float:
    """Return the total variation distance of two histograms over the same cells, 0 to 1; needs no smoothing.

    Raises:
        ValueError: Shapes that differ, impossible counts, or an empty histogram.

    >>> total_variation_from_counts([3, 1], [2, 2])
    0.25
    """
    r, c = _tally_pair(reference_counts, live_counts)
    return min(1.0, float(np.abs(r / r.sum() - c / c.sum()).sum() / 2))


def _binned(reference: npt.ArrayLike, live: npt.ArrayLike, bins: int) -> tuple[npt.ArrayLike, npt.ArrayLike]:
    edges = reference_edges(reference, bins)
    return cell_counts(finite(reference, "reference"), edges), cell_counts(finite(live, "live"), edges)


def _tally_pair(reference_counts: npt.ArrayLike, live_counts: npt.ArrayLike) -> tuple[Floats, Floats]:
    r, c = tallies(reference_counts, "reference counts"), tallies(live_counts, "live counts")
    same_length(reference=r, live=c)
    return r, c


def _smoothed(reference_counts: npt.ArrayLike, live_counts: npt.ArrayLike, smoothing: float) -> tuple[Floats, Floats]:
    """Return the shares p of the reference and q of the live histogram in the cells that either has seen."""
    if not 0 < smoothing < math.inf:
        raise ValueError(f"smoothing must be positive, got {smoothing}")
    r, c = _tally_pair(reference_counts, live_counts)
    seen = (r + c) > 0
    p, q = r[seen] + smoothing, c[seen] + smoothing
    return p / p.sum(), q / q.sum()


def _ks(below_reference: npt.NDArray[np.int64], below_live: npt.NDArray[np.int64], n: int, m: int) -> KsResult:
    """Return the test from how many rows of each sample lie at or below common points."""
    distance = float(np.abs(below_reference / n - below_live / m).max())
    if max(n, m) <= KS_EXACT_LIMIT:
        numerator = int(np.abs(below_reference * m - below_live * n).max())
        p_value = two_sample_survival(numerator, n, m)
        return KsResult(statistic=distance, p_value=p_value, reference_n=n, live_n=m, method="exact")
    p_value = one_sample_survival(distance, max(1, round(n * m / (n + m))))
    return KsResult(statistic=distance, p_value=p_value, reference_n=n, live_n=m, method="asymptotic")
