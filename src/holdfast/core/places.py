"""Which rows of a call a flag of its answer is about, as a header says it: counted from 0, as numbers and ranges."""

from collections.abc import Iterable, Mapping
from typing import Final

ROWS_OF: Final[Mapping[str, str]] = {
    "out-of-range": "x-holdfast-out-of-range-rows",
    "degraded-features": "x-holdfast-degraded-rows",
}
"""The header that names the rows of each flag that is about some; it is left out where a call has one row."""


def said(rows: Iterable[int]) -> bytes:
    """Return rows as a header says them.

    >>> said([0, 3, 4, 5])
    b'0,3-5'
    """
    there = set(rows)
    begins = sorted(row for row in there if row - 1 not in there)
    ends = sorted(row for row in there if row + 1 not in there)
    ranges = zip(begins, ends, strict=True)
    return ",".join(f"{begin}" if begin == end else f"{begin}-{end}" for begin, end in ranges).encode()


def read(header: str, rows: int) -> frozenset[int]:
    """Return the rows that a header names, of a call of so many.

    Raises:
        ValueError: It is no such header, or names a row that the call does not have.

    >>> sorted(read("0,3-5", 6))
    [0, 3, 4, 5]
    """
    found: set[int] = set()
    for each in header.split(","):
        begin, _, end = each.partition("-")
        named = range(int(begin), int(end or begin) + 1)
        if not named or named[-1] >= rows:
            raise ValueError(header[:40])
        found.update(named)
    return frozenset(found)
