"""What is kept of a column so that later data can be compared with it: counts in fixed cells, never a row.

`profile` looks at training data once and fixes the cells; `Profile.bin` counts live windows in the same cells, and
`add_counts` joins the counts of windows, workers or replicas, in any order. Counts go into the `…_from_counts`
functions of `distances`. Holds nothing but numbers and text in tuples, so it is JSON as it stands.

The two extremes and the names of categories are values of the column: profile no column with personal data.

Unlike the rest of the package, NaN here means a missing value and is counted, never dropped.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from holdfast.maths.arrays import numbers
from holdfast.maths.histogram import cell_counts, reference_edges

BINS: Final = 32  # fine enough for a tail of 3 % of the rows, and less than a kilobyte of JSON
MAX_CATEGORIES: Final = 64  # further categories share the cell "other"; a category column with more is an identifier
_NAN: Final = np.float32(np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A numeric column of reference data.

    Attributes:
        edges: Inner edges, strictly increasing; the outer cells are open to both sides.
        counts: Rows in each cell, one more than edges.
        missing: Rows without a value.
        minimum: Smallest value; None if every value is missing.
        maximum: Largest value; None if every value is missing.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int
    minimum: float | None
    maximum: float | None

    def __post_init__(self) -> None:
        """Refuse what `profile` cannot have made, because profiles are read back from files."""
        if not all(math.isfinite(edge) for edge in self.edges) or not _increasing(self.edges):
            raise ValueError("edges of a profile must be finite and increase")
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError(f"{len(self.edges)} edges of a profile make one cell more, got {len(self.counts)}")
        _check_counts(self.cells)
        if self.minimum is None or self.maximum is None:
            if self.minimum is not self.maximum or self.missing < self.n:
                raise ValueError("a profile without values, and no other, has neither minimum nor maximum")
        elif not -math.inf < self.minimum <= self.maximum < math.inf or self.missing == self.n:
            raise ValueError(
                f"a profile of {self.n - self.missing} values cannot range {self.minimum} to {self.maximum}"
            )

    @property
    def n(self) -> int:
        """All rows, those without a value included."""
        return sum(self.cells)

    @property
    def cells(self) -> tuple[int, ...]:
        """The counts with the missing rows as last cell, laid out as `bin` returns them."""
        return (*self.counts, self.missing)

    def bin(self, values: npt.ArrayLike) -> tuple[int, ...]:
        """Return how many of these values fall in each cell, missing ones (NaN) as last cell.

        Leave the last cell out for `distances.ks_from_counts`, which needs ordered cells.

        Args:
            values: Shape (n,), n may be 0; infinities fall in the outer cells.

        Raises:
            ValueError: Not one-dimensional or not numbers.

        >>> profile([0.0, 0.0, 1.0, float("nan")], 4).bin([0.0, 7.0, float("nan")])
        (0, 1, 0, 0, 1, 1)
        """
        x = np.asarray(values)
        if x.shape == (0,):  # a window without traffic adds nothing, which is no error
            return (0,) * len(self.cells)
        x = numbers(values, "values")
        absent = np.isnan(x)
        return (*cell_counts(x[~absent], self.edges).tolist(), int(absent.sum()))


class Binning:
    """Counts rows in the cells of one profile for each column, all columns at once.

    The counts are those of `Profile.bin`, in less than half of its time: each edge is looked for in a sorted column,
    not each value among the edges.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        """Start with empty cells."""
        self._edges = [_least_single(np.array(each.edges)) for each in profiles]
        self._counts = [np.zeros(len(each.cells), np.int64) for each in profiles]

    @property
    def counts(self) -> list[tuple[int, ...]]:
        """The counts so far of each column, missing values as last cell."""
        return [tuple(each.tolist()) for each in self._counts]

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        """Count rows of shape (n, columns), n may be 0; NaN is a missing value, infinities fall in the outer cells."""
        columns = np.array(rows.T, order="C")
        columns.sort(axis=1)
        for column, edges, counts in zip(columns, self._edges, self._counts, strict=True):
            present = int(column.searchsorted(_NAN))  # NaN is sorted behind all numbers
            below = column[:present].searchsorted(edges)
            counts[:-1] += np.diff(below, prepend=0, append=present)
            counts[-1] += len(column) - present


def _least_single(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return for each edge the least float32 that is not below it: no float32 lies between the two."""
    with np.errstate(over="ignore"):
        near = edges.astype(np.float32)
    return np.where(near < edges, np.nextafter(near, np.float32(np.inf)), near)


def profile(values: npt.ArrayLike, bins: int = BINS) -> Profile:
    """Return the profile of a numeric column, its cells cut by `histogram.reference_edges`.

    A column of few distinct values gets cells around each value and between them; one value, for instance, the cells
    below it, at it and above it. A column without any value has one cell, so that any value later shows against
    `missing`.

    Args:
        values: Shape (n,), n at least 1; NaN is a missing value.
        bins: Cells wanted, 2 to `histogram.MAX_BINS`.

    Raises:
        ValueError: No rows, not numbers, an infinite value, or bins out of range.

    >>> p = profile([5.0, 5.0, float("nan")])
    >>> p.counts, p.missing, p.n, p.minimum
    ((0, 2, 0), 1, 3, 5.0)
    """
    x = numbers(values, "values")
    present = x[~np.isnan(x)]
    absent = int(x.size - present.size)
    if present.size == 0:
        return Profile(edges=(), counts=(0,), missing=absent, minimum=None, maximum=None)
    edges = reference_edges(present, bins)
    return Profile(
        edges=tuple(edges.tolist()),
        counts=tuple(cell_counts(present, edges).tolist()),
        missing=absent,
        minimum=float(present.min()),
        maximum=float(present.max()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalProfile:
    """A text column of reference data.

    Attributes:
        categories: The most frequent categories, most frequent first.
        counts: Rows of each category.
        other: Rows of every further category.
        missing: Rows without a value.
    """

    categories: tuple[str, ...]
    counts: tuple[int, ...]
    other: int
    missing: int

    def __post_init__(self) -> None:
        """Refuse what `categorical_profile` cannot have made, because profiles are read back from files."""
        if len(self.counts) != len(self.categories) or len(set(self.categories)) != len(self.categories):
            raise ValueError("a profile needs distinct categories and one count for each")
        _check_counts(self.cells)

    @property
    def n(self) -> int:
        """All rows, those without a value included."""
        return sum(self.cells)

    @property
    def cells(self) -> tuple[int, ...]:
        """The counts with the other and the missing rows as last two cells, laid out as `bin` returns them."""
        return (*self.counts, self.other, self.missing)

    def bin(self, values: Iterable[str | None]) -> tuple[int, ...]:
        """Return how many of these values are of each category, then those of another, then the missing ones (None).

        Raises:
            ValueError: A value that is neither text nor None.

        >>> categorical_profile(["a", "a", "b"]).bin(["a", "new", None, "new"])
        (1, 0, 2, 1)
        """
        rows, absent = _tally(values)
        counts = tuple(rows[category] for category in self.categories)
        return (*counts, rows.total() - sum(counts), absent)


def categorical_profile(values: Iterable[str | None], limit: int = MAX_CATEGORIES) -> CategoricalProfile:
    """Return the profile of a text column: the `limit` most frequent categories, ties in alphabetical order.

    Args:
        values: At least one row; None is a missing value.
        limit: Categories with a cell of their own, at least 1.

    Raises:
        ValueError: No rows, a value that is neither text nor None, or a limit below 1.

    >>> categorical_profile(["b", "a", "b", "c", None], limit=2)
    CategoricalProfile(categories=('b', 'a'), counts=(2, 1), other=1, missing=1)
    """
    if limit < 1:
        raise ValueError(f"needs at least one category, got a limit of {limit}")
    rows, absent = _tally(values)
    kept = sorted(rows.items(), key=lambda item: (-item[1], item[0]))[:limit]
    counts = tuple(count for _, count in kept)
    return CategoricalProfile(
        categories=tuple(category for category, _ in kept),
        counts=counts,
        other=rows.total() - sum(counts),
        missing=absent,
    )


def add_counts(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """Return the cell-wise sum of two counts of the same profile: binning two windows apart or together is the same.

    Raises:
        ValueError: Different numbers of cells.

    >>> add_counts((1, 2), (3, 4))
    (4, 6)
    """
    if len(first) != len(second):
        raise ValueError(f"cannot add counts of {len(first)} and {len(second)} cells")
    return tuple(a + b for a, b in zip(first, second, strict=True))


def _tally(values: Iterable[str | None]) -> tuple[Counter[str], int]:
    """Return how often each text occurs, and how many values are missing."""
    rows: Counter[str | None] = Counter(values)
    absent = rows.pop(None, 0)
    texts = Counter[str]()
    for value, count in rows.items():
        if not isinstance(value, str):
            message = f"categories are text or None, got {value!r}"
            raise ValueError(message)  # noqa: TRY004 - callers catch one error for every unusable column
        texts[str(value)] = count
    return texts, absent


def _increasing(edges: Sequence[float]) -> bool:
    return all(left < right for left, right in pairwise(edges))


def _check_counts(cells: Sequence[int]) -> None:
    if min(cells) < 0 or sum(cells) == 0:  # empty means no: nothing can be compared with a profile of no rows
        raise ValueError("a profile needs counts that are not negative, and at least one row")
