"""The incomplete beta function against scipy and against exact arithmetic."""

from fractions import Fraction
from math import comb, inf

import numpy as np
import pytest
from scipy import special

from holdfast.maths.beta import beta_quantile, regularised_incomplete_beta


def test_it_equals_scipy_over_seven_orders_of_magnitude() -> None:
    """Parameters from 0.1 to a million, around the bulk and in both tails: 1e-10 absolute."""
    rng = np.random.default_rng(1)
    for _ in range(1500):
        a, b = 10 ** rng.uniform(-1, 6, size=2)
        mean = a / (a + b)
        x = float(np.clip(mean + 2 * rng.normal() * np.sqrt(mean * (1 - mean) / (a + b + 1)), 0, 1))
        assert regularised_incomplete_beta(x, a, b) == pytest.approx(special.betainc(a, b, x), abs=1e-10)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (3, 8), (40, 2), (17, 17)])
@pytest.mark.parametrize("x", [0.0, 0.125, 0.5, 0.875, 1.0])
def test_it_equals_the_exact_binomial_sum(a: int, b: int, x: float) -> None:
    """For whole parameters I_x(a, b) is P(Binomial(a+b-1, x) ≥ a), summed here in fractions."""
    n, p = a + b - 1, Fraction(x)
    exact = sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(a, n + 1))
    assert regularised_incomplete_beta(x, a, b) == pytest.approx(float(exact), rel=1e-13, abs=1e-300)


def test_the_smallest_number_is_in_the_domain() -> None:
    """Nothing underflows to a logarithm of zero next to the ends."""
    assert regularised_incomplete_beta(5e-324, 0.25, 0.25) == pytest.approx(
        special.betainc(0.25, 0.25, 5e-324), rel=1e-9
    )
    assert regularised_incomplete_beta(1 - 2**-53, 1e-3, 0.25) < 1


def test_the_quantile_equals_scipy() -> None:
    """The inverse agrees to 1e-10 at the probabilities that confidence levels ask for."""
    rng = np.random.default_rng(2)
    for _ in range(120):
        a, b = 10 ** rng.uniform(0, 5, size=2)
        probability = float(rng.choice([0.0005, 0.025, 0.5, 0.975, 0.9995]))
        assert beta_quantile(probability, a, b) == pytest.approx(special.betaincinv(a, b, probability), abs=1e-10)


def test_the_quantile_of_certainty_is_the_end_of_the_range() -> None:
    """Probability 0 and 1 are the ends, without a search."""
    assert (beta_quantile(0, 2, 3), beta_quantile(1, 2, 3)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("x", "a", "b"), [(-0.1, 1, 1), (1.1, 1, 1), (float("nan"), 1, 1), (0.5, 0, 1), (0.5, 1, -2), (0.5, inf, 1)]
)
def test_arguments_outside_the_domain_are_refused(x: float, a: float, b: float) -> None:
    """No number is returned where the function has none."""
    with pytest.raises(ValueError, match="needs x in"):
        regularised_incomplete_beta(x, a, b)


@pytest.mark.parametrize("probability", [-0.1, 1.5, float("nan")])
def test_a_quantile_of_no_probability_is_refused(probability: float) -> None:
    """A quantile needs a probability."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        beta_quantile(probability, 1, 1)
