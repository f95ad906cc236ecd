"""Near rows, crowds and cumulative sums: what honest clients never reach, and an attacker soon does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.maths.cusum import Coin, alarm_at
from holdfast.maths.nearness import CHAIN, DIMENSIONS, FALSE_ALARMS, HONEST, Neighbours, Projection, Space, fit_space

ALARM = alarm_at(FALSE_ALARMS, HONEST)


def space(columns: int = 6, radius: float = 0.5) -> Space:
    """A space of columns that are measured as they are."""
    return Space(centre=(0.0,) * columns, weight=(1.0,) * columns, radius=radius, crowd=0.1, lines=True, rows=1000)


@given(st.lists(st.booleans(), max_size=200))
def test_a_cumulative_sum_is_never_negative_and_its_highest_is_that_of_its_steps(happened: list[bool]) -> None:
    """The sum over an array is the one step by step."""
    coin, total, highest = Coin(usual=0.1, suspect=0.6), 0.0, 0.0
    for each in happened:
        total = coin.step(total, happened=each)
        highest = max(highest, total)
        assert total >= 0
    assert coin.highest(np.array(happened, dtype=np.bool_)) == pytest.approx(highest)


def test_usual_trials_come_to_an_alarm_no_more_often_than_stated() -> None:
    """4,000 clients of 1,000 trials each, at the very rate that is called usual: at most 1 in 1,000 are suspected."""
    coin, draw = Coin(usual=0.1, suspect=0.6), np.random.default_rng(0)
    clients = 4000
    alarms = sum(coin.highest(draw.random(HONEST) < coin.usual) >= ALARM for _ in range(clients))
    assert alarms / clients <= FALSE_ALARMS


@pytest.mark.parametrize(("usual", "suspect"), [(0.0, 0.5), (0.5, 0.5), (0.6, 0.5), (0.5, 1.0)])
def test_shares_that_cannot_be_told_apart_are_refused(usual: float, suspect: float) -> None:
    """Empty means no."""
    with pytest.raises(ValueError, match="usual"):
        Coin(usual=usual, suspect=suspect)


@pytest.mark.parametrize("columns", [2, 6, 24, 100, 784])
def test_a_projection_keeps_distances(columns: int) -> None:
    """Up to 24 columns exactly, beyond them within a third for all of 50 pairs."""
    draw = np.random.default_rng(columns)
    rows = draw.standard_normal((100, columns)).astype(np.float32)
    places = Projection.of(space(columns), draw)(rows)
    assert places.shape == (100, min(columns, DIMENSIONS))
    true = np.linalg.norm(rows[::2] - rows[1::2], axis=1)
    kept = np.linalg.norm(places[::2] - places[1::2], axis=1)
    assert np.allclose(kept, true, rtol=1e-3 if columns <= DIMENSIONS else 0.5)


def test_a_near_row_is_found_among_many_and_a_far_one_is_not() -> None:
    """Of 300 rows half a radius from one before, at least 95 % are found; of 300 far ones none."""
    draw = np.random.default_rng(1)
    near = Neighbours(dimensions=6, radius=0.5, capacity=4096, draw=draw)
    base = (10 * draw.standard_normal((3000, 6))).astype(np.float32)
    slots = np.concatenate([near.visit(part)[0] for part in np.split(base, 30)])
    turned = draw.standard_normal((300, 6))
    close = base[:300] + (0.25 * turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)
    found = np.array([near.visit(each[None])[1][0] for each in close])
    assert (found == slots[:300]).mean() >= 0.95
    far = (1000 + 100 * draw.standard_normal((300, 6))).astype(np.float32)
    assert all(near.visit(each[None])[1][0] == -1 for each in far)


def test_rows_of_one_call_are_neighbours_of_one_another() -> None:
    """A row asked about together with one next to it is near it, and never near itself or a later one."""
    near = Neighbours(dimensions=2, radius=0.5, capacity=64, draw=np.random.default_rng(2))
    own, nearest = near.visit(np.array([[0, 0], [9, 9], [0.1, 0], [9, 9.1]], dtype=np.float32))
    assert nearest.tolist() == [-1, -1, own[0], own[1]]


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    """After as many rows as it holds, the first is not found any more."""
    near = Neighbours(dimensions=2, radius=0.5, capacity=64, draw=np.random.default_rng(3))
    first = np.zeros((1, 2), dtype=np.float32)
    near.visit(first)
    assert near.visit(first + np.float32(0.01))[1][0] == 0
    for step in range(1, 65):
        near.visit(np.full((1, 2), 100.0 * step, dtype=np.float32))
    assert near.visit(first)[1][0] == -1


def test_a_place_far_beyond_any_training_row_breaks_nothing() -> None:
    """The largest float32 overflows into a place far away."""
    rows = np.full((2, 6), np.finfo(np.float32).max, dtype=np.float32)
    places = Projection.of(space(), np.random.default_rng(4))(rows)
    near = Neighbours(dimensions=6, radius=0.5, capacity=64, draw=np.random.default_rng(5))
    assert np.isfinite(places).all()
    near.visit(places)


def test_a_space_is_the_same_each_time_holds_no_row_and_its_own_rows_raise_no_alarm() -> None:
    """Half of an alarm is all that runs of the rows it was fitted on may reach."""
    draw = np.random.default_rng(6)
    rows = np.cumsum(draw.standard_normal((1500, 5)), axis=0).astype(np.float32)  # as a sensor gives them
    labels = (rows[:, 0] > np.median(rows[:, 0])).astype(np.int64)
    fitted = fit_space(rows, labels, classes=2, alarm=ALARM, chain=CHAIN)
    assert fitted == fit_space(rows, labels, classes=2, alarm=ALARM, chain=CHAIN)
    assert fitted.radius > 0
    assert len(fitted.centre) == len(fitted.weight) == 5


def test_missing_values_and_constant_columns_are_measured_as_nothing() -> None:
    """A column without change has no weight; NaN counts as the column's mean."""
    draw = np.random.default_rng(7)
    rows = draw.standard_normal((300, 3)).astype(np.float32)
    rows[:, 1] = 5.0
    rows[::7, 2] = np.nan
    fitted = fit_space(rows, np.zeros(300, dtype=np.int64), classes=1, alarm=ALARM, chain=CHAIN)
    assert fitted.weight[1] == 0.0
    assert np.isfinite(fitted.centre).all()


@pytest.mark.parametrize(
    "changed",
    [{"centre": ()}, {"weight": (1.0,)}, {"weight": (-1.0, 1.0)}, {"radius": float("nan")}, {"crowd": -1.0}],
    ids=["no column", "another number of weights", "a negative weight", "no number", "a negative crowd"],
)
def test_a_space_that_nobody_can_have_fitted_is_refused(changed: dict[str, object]) -> None:
    """It is read back from a release's file."""
    said: dict[str, object] = {"centre": (0.0, 0.0), "weight": (1.0, 1.0), "radius": 1.0, "crowd": 1.0}
    with pytest.raises(ValueError, match="space"):
        Space(**(said | changed), lines=True, rows=10)  # type: ignore[arg-type]
