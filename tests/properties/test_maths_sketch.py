"""What holds for every column: nothing is lost, and parts merge into the whole."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from holdfast.maths.histogram import cell_counts, reference_edges
from holdfast.maths.sketch import add_counts, categorical_profile, profile

values = st.one_of(st.floats(allow_infinity=False), st.sampled_from([0.0, -0.0, 1.0, math.nan]))
columns = st.lists(values, min_size=1, max_size=40)
live = st.lists(st.floats(), max_size=40)
texts = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "ß", ""]), st.text(max_size=3)), max_size=25)
bins = st.integers(2, 40)


@given(column=columns, count=bins)
def test_a_profile_loses_no_row(column: list[float], count: int) -> None:
    """Every row is in one cell or missing; the cells binned again are the profile's own."""
    p = profile(column, count)
    assert p.n == len(column)
    assert p.missing == sum(math.isnan(value) for value in column)
    assert p.bin(column) == p.cells
    present = [value for value in column if not math.isnan(value)]
    assert (p.minimum, p.maximum) == ((min(present), max(present)) if present else (None, None))


@given(column=columns, first=live, second=live, count=bins)
def test_counts_of_parts_merge_into_the_count_of_the_whole(
    column: list[float], first: list[float], second: list[float], count: int
) -> None:
    """Windows, workers and replicas may be counted apart, in any order."""
    p = profile(column, count)
    merged = add_counts(p.bin(first), p.bin(second))
    assert merged == p.bin(first + second) == add_counts(p.bin(second), p.bin(first))
    assert sum(merged) == len(first) + len(second)


@given(column=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=80), count=bins)
def test_cells_are_at_most_as_many_as_wanted_and_none_is_empty_unless_values_are_few(
    column: list[float], count: int
) -> None:
    """Many distinct values: cells of nearly equal size. Few: one cell each and the gaps."""
    edges = reference_edges(column, count)
    counts = cell_counts(column, edges)
    heaviest = max(np.unique(np.array(column), return_counts=True)[1])
    if len(set(column)) > count // 2:
        assert len(counts) <= count
        assert counts.min() >= 1
        assert counts.max() <= len(column) / count + 2 * heaviest
    else:
        assert len(counts) <= count + 1
        assert np.count_nonzero(counts) == len(set(column))


@given(column=columns, low=st.floats(allow_nan=False), high=st.floats(allow_nan=False), count=bins)
def test_cells_keep_the_order_of_values(column: list[float], low: float, high: float, count: int) -> None:
    """A larger value is never in a lower cell."""
    p = profile(column, count)
    small, large = sorted((low, high))
    assert p.bin([small])[:-1].index(1) <= p.bin([large])[:-1].index(1)


@given(column=texts.filter(len), first=texts, second=texts, limit=st.integers(1, 10))
def test_categories_lose_no_row_and_merge(
    column: list[str | None], first: list[str | None], second: list[str | None], limit: int
) -> None:
    """The same for text: known, other and missing rows add up."""
    c = categorical_profile(column, limit)
    assert c.n == len(column)
    assert c.bin(column) == c.cells
    assert c.missing == column.count(None)
    assert len(c.categories) <= limit
    assert c.other == 0 or len(c.categories) == limit
    assert list(c.counts) == sorted(c.counts, reverse=True)
    assert add_counts(c.bin(first), c.bin(second)) == c.bin(first + second)
