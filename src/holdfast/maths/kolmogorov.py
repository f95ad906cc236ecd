"""How probable a Kolmogorov-Smirnov distance is when nothing changed: exact for small samples, near-exact for large.

`distances` measures the distance; this module says what it means.
"""

import math
from typing import Final

import numpy as np

from holdfast.maths.arrays import Floats

SMALL: Final = 140  # sample size up to which Simard and L'Ecuyer compute the middle of the distribution exactly
_DURBIN_LIMIT: Final = 100_000  # above it the matrix power costs more than the expansion errs
_EXACT_SUM_LIMIT: Final = 1_000_000  # terms of Smirnov's sum; beyond, Maag and Dicaire err by 4e-5 of any p > 1e-7
_SCALE: Final = 2.0**128  # intermediate results are kept inside this factor


def two_sample_survival(numerator: int, m: int, n: int) -> float:
    """Return P(D >= numerator / (m n)) for two samples of one continuous law, sizes m and n, exactly.

    Counts lattice paths (Hodges 1958, The significance probability of the Smirnov two-sample test): of all paths from
    (0, 0) to (m, n), the share that somewhere leaves the band |i/m - j/n| < D. The share is carried along
    anti-diagonals as a sum of positive terms, so small probabilities keep their relative accuracy. O(m n) time.

    Args:
        numerator: D times m times n, a whole number for samples without weights.
        m: Size of the first sample.
        n: Size of the second sample.

    >>> round(two_sample_survival(12, 4, 3) * 35, 12)  # D = 1: two of C(7, 3) = 35 paths
    2.0
    """
    m, n = min(m, n), max(m, n)
    share = np.zeros(m + 1)  # share[i]: of the paths to (i, k - i), those that have left the band
    for k in range(m + n + 1):
        first, last = max(0, k - n), min(m, k)
        i = np.arange(first, last + 1)
        if k:
            from_left = np.where(i > 0, share[i - 1], 0.0)  # i = 0 weighs this by zero
            share[first : last + 1] = (i / k) * from_left + (1 - i / k) * share[i]
        left = np.abs(i * n - (k - i) * m) >= numerator
        share[first : last + 1][left] = 1.0
    return float(share[m])


def one_sample_survival(d: float, n: int) -> float:
    """Return P(D_n >= d), the two-sided Kolmogorov distribution of one sample of size n.

    Chooses among four methods as Simard and L'Ecuyer do (2011, Computing the two-sided Kolmogorov-Smirnov distribution,
    J. Stat. Softw. 39(11)): twice the one-sided law in the tail, Durbin's matrix in the middle, Pelz and Good's
    expansion for large n. At least five digits agree everywhere with the exact law, ten for n up to 140.

    >>> round(one_sample_survival(0.40925, 10), 4)  # Massey's table: the 5 % critical value for n = 10 is 0.409
    0.05
    """
    if n * d <= 1 / 2:
        return 1.0
    if d >= 1:
        return 0.0
    tail = n * d * d
    if d >= 1 / 2 or tail > (4.0 if n <= SMALL else 2.2):
        return min(1.0, 2 * _one_sided_survival(d, n))
    if n <= SMALL or (n <= _DURBIN_LIMIT and n * d**1.5 <= 1.4):
        return 1 - _durbin(d, n)
    return 1 - _pelz_good(d, n)


def _one_sided_survival(d: float, n: int) -> float:
    """Return P(D+_n >= d): Smirnov's sum, or for large n the form of Maag and Dicaire (1971)."""
    if n > _EXACT_SUM_LIMIT:
        return math.exp(-((6 * n * d + 1) ** 2) / (18 * n))
    j = np.arange(math.floor(n * (1 - d)) + 1)
    rest = 1 - d - j / n
    ln_choose = np.concatenate(([0.0], np.cumsum(np.log((n - j[1:] + 1) / j[1:]))))
    kept = rest > 0
    j, rest, ln_choose = j[kept], rest[kept], ln_choose[kept]
    return float(d * np.exp(ln_choose + (j - 1) * np.log(d + j / n) + (n - j) * np.log(rest)).sum())


def _durbin(d: float, n: int) -> float:
    """Return P(D_n < d) by Durbin's matrix (Marsaglia, Tsang and Wang 2003, J. Stat. Softw. 8(18))."""
    k = math.ceil(n * d)
    h = k - n * d
    size = 2 * k - 1
    inverse_factorial = 1 / np.cumprod(np.arange(1.0, size + 1))  # 1/1! ... 1/size!
    edge = (1 - h ** np.arange(1, size + 1)) * inverse_factorial
    edge[-1] = (1 - 2 * h**size + max(0.0, 2 * h - 1) ** size) * inverse_factorial[-1]
    offset = np.subtract.outer(np.arange(size), np.arange(size)) + 1
    matrix = np.where(offset >= 0, np.concatenate(([1.0], inverse_factorial))[np.maximum(offset, 0)], 0.0)
    matrix[:, 0] = edge
    matrix[-1, :] = edge[::-1]
    power, exponent = _matrix_power(matrix, n)
    ln_n_factorial = math.lgamma(n + 1) - n * math.log(n)
    return min(1.0, float(power[k - 1, k - 1]) * math.exp(ln_n_factorial + exponent * math.log(_SCALE)))


def _matrix_power(matrix: Floats, n: int) -> tuple[Floats, int]:
    """Return matrix^n as (M, e), meaning M times _SCALE^e, by repeated squaring."""
    result, result_exponent = np.eye(len(matrix)), 0
    exponent = 0
    while n:
        if n % 2:
            result = result @ matrix
            result_exponent += exponent
        matrix = matrix @ matrix
        exponent *= 2
        n //= 2
        if matrix.max() > _SCALE:
            matrix = matrix / _SCALE
            exponent += 1
        if result.max() > _SCALE:
            result = result / _SCALE
            result_exponent += 1
    return result, result_exponent


def _pelz_good(d: float, n: int) -> float:
    """Return P(D_n < d) by four terms of Pelz and Good's expansion (1976, J. R. Stat. Soc. B 38(2))."""
    z = math.sqrt(n) * d
    pi2, z2 = math.pi**2, z * z
    h2 = (np.arange(1.0, 2 * math.ceil(16 * z / math.pi) + 1, 2) / 2) ** 2  # (k + 1/2)^2
    k2 = np.arange(1.0, math.ceil(16 * z / math.pi) + 1) ** 2
    half = np.exp(-h2 * pi2 / (2 * z2))
    whole = np.exp(-k2 * pi2 / (2 * z2))
    root = math.sqrt(math.pi / 2)
    term0 = 2 * root / z * half.sum()
    term1 = root / (3 * z2**2) * ((pi2 * h2 - z2) * half).sum()
    polynomial2 = 6 * z2**3 + 2 * z2**2 + pi2 * (2 * z2**2 - 5 * z2) * h2 + pi2**2 * (1 - 2 * z2) * h2**2
    term2 = root / (36 * z**7) * (polynomial2 * half).sum() - root * pi2 / (18 * z**3) * (k2 * whole).sum()
    polynomial3 = (
        -30 * z2**3
        - 90 * z2**4
        + pi2 * (135 * z2**2 - 96 * z2**3) * h2
        + pi2**2 * (212 * z2**2 - 60 * z2) * h2**2
        + pi2**3 * (5 - 30 * z2) * h2**3
    )
    term3 = root / (3240 * z2**5) * (polynomial3 * half).sum()
    term3 += root / (108 * z2**3) * ((3 * pi2 * z2 * k2 - pi2**2 * k2**2) * whole).sum()
    return float(term0 + term1 / math.sqrt(n) + term2 / n + term3 / n**1.5)
