"""Kolmogorov's distribution against scipy, in each region where another method computes it."""

from math import comb, sqrt

import numpy as np
import pytest
from scipy import stats

from holdfast.maths.kolmogorov import one_sample_survival, two_sample_survival

SCALED = (0.2, 0.35, 0.5, 0.8, 1.0, 1.3, 1.45, 1.6, 2.0, 3.0, 4.0)  # d times sqrt(n): from certain to 1e-14


@pytest.mark.parametrize("n", [1, 2, 3, 7, 25, 100, 140, 141, 300, 2000, 100_000, 100_001, 200_000])
def test_one_sample_equals_scipy(n: int) -> None:
    """Durbin's matrix, Smirnov's sum and Pelz and Good's expansion agree with scipy's to eight digits."""
    for scaled in SCALED if n < 10_000 else SCALED[::3]:
        d = scaled / sqrt(n)
        assert one_sample_survival(d, n) == pytest.approx(float(stats.kstwo.sf(d, n)), rel=1e-8, abs=1e-300)


def test_very_large_samples_agree_to_four_digits() -> None:
    """Above a million rows the tail has a closed form, good to 4e-5 of any p that could matter."""
    for scaled in (1.5, 2.0, 3.0):
        n = 1_200_000
        d = scaled / sqrt(n)
        assert one_sample_survival(d, n) == pytest.approx(float(stats.kstwo.sf(d, n)), rel=4e-5)


def test_the_tail_far_out_is_small_and_never_negative() -> None:
    """Deep in the tail the probability underflows towards zero from above."""
    assert 0 <= one_sample_survival(0.4, 5000) < 1e-300


def test_two_sample_equals_scipy_exactly() -> None:
    """For sizes of all kinds, coprime or not, the path count agrees to twelve digits."""
    rng = np.random.default_rng(3)
    for _ in range(150):
        m, n = (int(size) for size in rng.integers(1, 60, size=2))
        result = stats.ks_2samp(rng.normal(size=m), rng.normal(0.7, 1, size=n), method="exact")
        numerator = round(float(result.statistic) * m * n)
        assert two_sample_survival(numerator, m, n) == pytest.approx(float(result.pvalue), rel=1e-12)


def test_two_sample_keeps_relative_accuracy_in_the_tail() -> None:
    """Complete separation of 60 and 70 rows has probability 2 / C(130, 60), about 1e-38, not zero by cancellation."""
    assert two_sample_survival(60 * 70, 60, 70) == pytest.approx(2 / comb(130, 60), rel=1e-12)


def test_distance_zero_is_certain() -> None:
    """Any two samples are at least zero apart."""
    assert two_sample_survival(0, 3, 5) == 1.0
