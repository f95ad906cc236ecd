"""Distances of a client's rows, where classes lie, and squeezed rows."""

import numpy as np
import pytest

from holdfast.maths.spread import Distances, Spread, fit_spread
from holdfast.maths.squeeze import Squeeze
from holdfast.maths.typical import LEVELS, fit_typical


def clouds(count: int, seed: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Rows of some classes, each around a place of its own."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(classes, size=count)
    return (draw.standard_normal((count, 4)) + 3 * labels[:, None]).astype(np.float32), labels


def test_runs_like_those_that_were_fitted_do_not_differ_and_made_up_rows_do() -> None:
    """Twenty honest runs stay below the limit; rows spread evenly, and rows made from others, do not."""
    spread = fit_spread([clouds(1000, seed)[0] for seed in range(8)])
    assert spread is not None

    def widest(rows: np.ndarray) -> float:
        seen = Distances()
        return max(spread.differs(last) for place in rows if (last := seen.observe(place)) is not None)

    assert all(widest(clouds(1000, seed)[0]) <= spread.limit for seed in range(20, 40))
    draw = np.random.default_rng(9)
    assert widest(draw.uniform(-20, 30, (300, 4)).astype(np.float32)) > spread.limit
    seeds = clouds(100, 50)[0]
    assert (
        widest((seeds[draw.integers(100, size=300)] + draw.normal(0, 0.01, (300, 4))).astype(np.float32)) > spread.limit
    )


def test_a_row_again_adds_no_distance() -> None:
    """Somebody who asks one question a thousand times is measured by nothing."""
    seen = Distances()
    assert [seen.observe(np.ones(3, dtype=np.float32)) for _ in range(1000)] == [None] * 1000
    assert seen.known == 0


@pytest.mark.parametrize(
    ("quantiles", "limit"),
    [((1.0,), 0.5), ((2.0, 1.0), 0.5), ((0.0, float("nan")), 0.5), ((0.0, 1.0), 0.0)],
    ids=["one", "falling", "no number", "no limit"],
)
def test_a_spread_that_nobody_can_have_fitted_is_refused(quantiles: tuple[float, ...], limit: float) -> None:
    """It is read back from a release's file."""
    with pytest.raises(ValueError, match="spread"):
        Spread(quantiles=quantiles, limit=limit)


@pytest.mark.parametrize("level", LEVELS[:4])
def test_honest_rows_are_strange_no_more_often_than_stated(level: float) -> None:
    """Over thirty fits with 2,000 rows each, the mean rate is at most the level and half a standard error."""
    rates = []
    for seed in range(30):
        rows, labels = clouds(2000, seed)
        typical = fit_typical(rows, labels, 3)
        assert typical is not None
        rates.append(float(typical.strange(*clouds(2000, 1000 + seed), level).mean()))
    assert np.mean(rates) <= level + 0.5 * float(np.std(rates)) / np.sqrt(len(rates))


def test_a_row_answered_as_a_class_it_does_not_lie_with_is_strange() -> None:
    """At 1 %, more than nine in ten rows whose answer was turned to the class farthest away are found."""
    typical = fit_typical(*clouds(2000, 1), 3)
    assert typical is not None
    rows, labels = clouds(500, 2)
    assert typical.strange(rows, np.where(labels == 0, 2, 0), 0.01)[labels != 1].mean() > 0.9


def test_a_class_that_no_row_was_answered_as_lies_in_the_middle_and_breaks_nothing() -> None:
    """A model may answer a class for the first time in production."""
    rows, labels = clouds(200, 3, classes=2)
    typical = fit_typical(rows, labels, 5)
    assert typical is not None
    assert typical.strange(rows, np.full(200, 4), 0.01).shape == (200,)


def test_medians_take_single_pixels_out_and_leave_areas() -> None:
    """One white pixel in the dark is gone; a white half stays, up to its edge."""
    squeeze = Squeeze(low=np.zeros(36, "f"), high=np.ones(36, "f"), clip=False, levels=0, median=3, height=6, width=6)
    lone, half = np.zeros((6, 6), "f"), np.zeros((6, 6), "f")
    lone[2, 3], half[:, :3] = 1.0, 1.0
    found = squeeze(np.stack([lone.ravel(), half.ravel()]))
    assert not found[0].any()
    assert np.array_equal(found[1].reshape(6, 6), half)


def test_levels_hold_in_a_range_that_is_not_from_zero_and_leave_open_columns() -> None:
    """Five levels from -2 to 2; a column without a range stays as it is; NaN stays missing."""
    low, high = np.array([-2, -np.inf], "f"), np.array([2, np.inf], "f")
    squeeze = Squeeze(low=low, high=high, clip=True, levels=5, median=0, height=0, width=0)
    rows = np.array([[-1.4, 0.123], [9.0, 5.5], [np.nan, 1.0]], "f")
    assert np.array_equal(squeeze(rows), np.array([[-1, 0.123], [2, 5.5], [np.nan, 1]], "f"), equal_nan=True)
