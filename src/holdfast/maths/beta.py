"""The regularised incomplete beta function and its inverse, from which exact binomial intervals are made.

Written out because the package depends on numpy alone; scipy is the oracle in the tests.
"""

import math
from typing import Final

_LN_2PI: Final = math.log(2 * math.pi)
_STIRLING_FROM: Final = 10.0  # from here on six terms of Stirling's series are exact to 1e-15
_TINY: Final = 1e-300  # stands for a zero denominator in Lentz's method
_MAX_TERMS: Final = 1_000_000  # about sqrt(max(a, b)) terms are needed; more means a defect, not patience
_RELATIVE: Final = 4 * 2.0**-52  # width at which bisection and continued fraction stop


def regularised_incomplete_beta(x: float, a: float, b: float) -> float:
    """Return I_x(a, b), the distribution function of Beta(a, b) at x, absolutely accurate to 1e-10.

    The continued fraction of DLMF 8.17.22 by the modified Lentz method (Press et al., Numerical Recipes, 3rd ed.,
    §6.4), about sqrt(max(a, b)) terms. The factor in front is written with Stirling residuals (Loader 2000), so that
    large parameters do not cancel.

    Raises:
        ValueError: x outside [0, 1], or a or b not positive and finite.

    >>> round(regularised_incomplete_beta(0.5, 2, 3), 12)
    0.6875
    """
    if not (0 <= x <= 1 and 0 < a < math.inf and 0 < b < math.inf):
        raise ValueError(f"I_x(a, b) needs x in [0, 1] and positive a and b, got x={x}, a={a}, b={b}")
    if x in (0, 1):
        return float(x)
    if x < (a + 1) / (a + b + 2):  # where the fraction converges fast; elsewhere by symmetry
        return min(1.0, _front(x, a, b) * _fraction(x, a, b) / a)
    return max(0.0, 1 - _front(x, a, b) * _fraction(1 - x, b, a) / b)


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the x with I_x(a, b) = probability, by bisection, absolutely accurate to 1e-10.

    Raises:
        ValueError: A probability outside [0, 1], or a or b not positive and finite.

    >>> round(beta_quantile(0.6875, 2, 3), 12)
    0.5
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"a probability must lie between 0 and 1, got {probability}")
    low, high = 0.0, 1.0
    if probability in (low, high):
        return float(probability)
    while high - low > _RELATIVE * high:  # ends: every step halves the width, and doubles have a smallest spacing
        middle = (low + high) / 2
        if regularised_incomplete_beta(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _front(x: float, a: float, b: float) -> float:
    """Return x^a (1-x)^b / B(a, b)."""
    total = a + b
    excess = x * total - a if a < b else b - (1 - x) * total  # equal, but the smaller side loses fewer digits
    powers = a * _ln_ratio(x * (total / a), excess / a) + b * _ln_ratio((1 - x) * (total / b), -excess / b)
    residuals = _stirling_residual(total) - _stirling_residual(a) - _stirling_residual(b)
    return math.exp(powers + residuals + (math.log(a) + math.log(b) - math.log(total) - _LN_2PI) / 2)


def _ln_ratio(ratio: float, excess: float) -> float:
    """Return ln(ratio), where excess = ratio - 1 is the more exact of the two near one."""
    return math.log1p(excess) if abs(excess) < 1 / 2 else math.log(ratio)


def _stirling_residual(z: float) -> float:
    """Return ln Γ(z) less Stirling's (z - 1/2) ln z - z + ln(2π)/2 (DLMF 5.11.1)."""
    if z < _STIRLING_FROM:
        return math.lgamma(z) - ((z - 0.5) * math.log(z) - z + _LN_2PI / 2)
    r = 1 / (z * z)
    return (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - r * 691 / 360360))))) / z


def _fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction 1/(1 + d1/(1 + d2/(1 + ...))) of DLMF 8.17.22."""
    c = 1.0
    d = 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _away_from_zero(1 + even * d)
        c = _away_from_zero(1 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _away_from_zero(1 + odd * d)
        c = _away_from_zero(1 + odd / c)
        value *= d * c
        if abs(d * c - 1) < _RELATIVE:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge at x={x}, a={a}, b={b}")


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
