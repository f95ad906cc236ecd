"""Cells that are fixed by a reference sample and count whatever comes later.

Cell i holds the values from edge i-1 up to, not including, edge i; the first and last cells are open, so every number
falls in exactly one. No edge coincides with a reference value: a value that went through float32 on its way to the
gateway must not change cells.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from holdfast.maths.arrays import Floats, Integers, finite

MAX_BINS: Final = 1024  # more cells than this hold too few rows each to compare
_ROUNDING: Final = 2.0**-20  # relative half-width of a single value's cell, sixteen times the rounding of a float32
_SMALLEST: Final = 2.0**-126  # half-width of the cell of zero: the smallest normal float32


def reference_edges(reference: npt.ArrayLike, bins: int) -> Floats:
    """Return inner edges, increasing, that cut a reference sample into cells of nearly equal numbers of rows.

    With more than bins/2 distinct values there are at most `bins` cells, cut half-way between neighbouring values, and
    none is empty. With fewer, each value gets a narrow cell of its own and the gaps between, below and above are cells
    too, so that a value never seen before shows: one value gives three cells.

    Args:
        reference: Shape (n,), finite.
        bins: 2 to `MAX_BINS`.

    Raises:
        ValueError: Empty, NaN or infinity, or bins out of range.

    >>> reference_edges(range(8), 4)
    array([1.5, 3.5, 5.5])
    """
    if not 2 <= bins <= MAX_BINS:  # one cell compares nothing
        raise ValueError(f"bins must be 2 to {MAX_BINS}, got {bins}")
    distinct, rows = np.unique(finite(reference, "reference"), return_counts=True)
    if distinct.size <= bins // 2:
        return _around(distinct)
    left_of_cut = np.cumsum(rows)[:-1]
    wanted = rows.sum() * np.arange(1, bins) / bins
    after = np.minimum(np.searchsorted(left_of_cut, wanted), left_of_cut.size - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(wanted - left_of_cut[before] <= left_of_cut[after] - wanted, before, after)
    cut = np.unique(nearer)
    lower, upper = distinct[cut], distinct[cut + 1]
    middle = lower / 2 + upper / 2
    edges: Floats = np.where((lower < middle) & (middle < upper), middle, upper)  # neighbours have nothing between
    return edges


def cell_counts(values: npt.ArrayLike, edges: npt.ArrayLike) -> Integers:
    """Return how many values fall in each cell, shape (len(edges) + 1,).

    Args:
        values: Shape (n,), n may be 0; infinities fall in the open cells.
        edges: Inner edges, strictly increasing; none at all makes one cell.

    Raises:
        ValueError: NaN among the values, or edges that do not increase.

    >>> cell_counts([0, 1, 1, 9], [1.0, 2.0]).tolist()
    [1, 2, 1]
    """
    x, inner = np.asarray(values, dtype=np.float64), np.asarray(edges, dtype=np.float64)
    if np.isnan(x).any():
        raise ValueError("values hold NaN, which belongs to no cell")
    if not (np.diff(inner) > 0).all() or np.isnan(inner).any():
        raise ValueError("edges must increase")
    return np.bincount(np.searchsorted(inner, x, side="right"), minlength=inner.size + 1).astype(np.int64)


def _around(distinct: Floats) -> Floats:
    """Return two edges around each value, nearer to it than to its neighbours."""
    gap = np.diff(distinct, prepend=-np.inf, append=np.inf)
    half = np.minimum(np.maximum(np.abs(distinct) * _ROUNDING, _SMALLEST), np.minimum(gap[:-1], gap[1:]) / 4)
    with np.errstate(over="ignore"):  # beside the largest doubles an edge may be infinite; it then separates nothing
        edges = np.concatenate((distinct - half, np.maximum(distinct + half, np.nextafter(distinct, np.inf))))
    return np.unique(edges[np.isfinite(edges)])
