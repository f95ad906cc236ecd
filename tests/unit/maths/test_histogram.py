"""Cells: balanced on the reference, robust to rounding, and honest about values never seen."""

import numpy as np
import pytest

from holdfast.maths.histogram import cell_counts, reference_edges


def test_a_continuous_column_is_cut_into_equal_parts() -> None:
    """A thousand distinct values in ten cells of one hundred."""
    x = np.random.default_rng(0).normal(size=1000)
    assert cell_counts(x, reference_edges(x, 10)).tolist() == [100] * 10


def test_a_heavy_value_gets_a_cell_of_its_own() -> None:
    """A column that is zero in 60 % of its rows keeps the zeros apart from their neighbours."""
    x = np.concatenate((np.zeros(600), np.random.default_rng(0).exponential(size=400)))
    counts = cell_counts(x, reference_edges(x, 10))
    assert counts[0] == 600
    assert counts.min() > 0


@pytest.mark.parametrize("value", [0.0, -0.0, 0.1, -1e300, 5e-324, np.finfo(float).max])
def test_a_constant_column_notices_any_other_value(value: float) -> None:
    """One value makes a cell that holds it; what lies clearly below or above falls beside."""
    edges = reference_edges([value] * 3, 10)
    other = value / 2 if abs(value) > 1e-30 else 1.0
    live = cell_counts([value, value, other], edges)
    assert live.max() == 2
    assert live.sum() == 3


@pytest.mark.parametrize("values", [np.arange(0, 3, 0.1), [0.1, 0.2, 0.3], np.random.default_rng(1).normal(size=500)])
def test_values_that_went_through_float32_stay_in_their_cells(values: np.ndarray) -> None:
    """The gateway sees 32-bit inputs; that alone is no drift."""
    reference = np.repeat(values, 3)
    edges = reference_edges(reference, 10)
    rounded = reference.astype(np.float32)
    assert cell_counts(rounded, edges).tolist() == cell_counts(reference, edges).tolist()


def test_a_column_of_few_values_has_cells_for_the_gaps() -> None:
    """Between 0 and 1 lies a cell that the reference leaves empty and a live 0.5 fills."""
    edges = reference_edges([0, 1, 1], 10)
    assert cell_counts([0, 1, 1], edges).tolist() == [0, 1, 0, 2, 0]
    assert cell_counts([-1, 0.5, 2, 0], edges).tolist() == [1, 1, 1, 0, 1]


def test_neighbouring_doubles_are_told_apart() -> None:
    """Values with no number between them still fall in different cells, in both ways of cutting."""
    one, next_one = 1.0, float(np.nextafter(1.0, 2.0))
    for bins in (2, 10):
        counts = cell_counts([one, next_one, next_one], reference_edges([one, next_one, next_one], bins))
        assert sorted(counts[counts > 0].tolist()) == [1, 2]


@pytest.mark.parametrize("bins", [-1, 0, 1, 1025])
def test_a_number_of_bins_out_of_range_is_refused(bins: int) -> None:
    """One cell compares nothing, thousands hold too little each."""
    with pytest.raises(ValueError, match="bins must be"):
        reference_edges([1.0, 2.0], bins)


@pytest.mark.parametrize("edges", [[2.0, 1.0], [1.0, 1.0], [np.nan]])
def test_edges_that_do_not_increase_are_refused(edges: list[float]) -> None:
    """Cells read back from a file are checked before anything is counted in them."""
    with pytest.raises(ValueError, match="increase"):
        cell_counts([1.0], edges)


def test_nan_belongs_to_no_cell() -> None:
    """A missing value is the caller's to count."""
    with pytest.raises(ValueError, match="NaN"):
        cell_counts([1.0, np.nan], [0.0])
