"""Typos: rare values of a column that are nearly a frequent one, by edits of single characters.

Decides what a rare value was meant to be only where exactly one frequent value is nearest, near enough for its length,
and much more frequent. Numbers that differ in digits are other numbers: they are corrected only where a letter stands
where a digit should.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

MAX_DISTINCT: Final = 5_000  # values of one column that are compared, a second's work; more is no set of names
LETTERS_PER_EDIT: Final = 4  # characters of a value for each edit that it may be away from what was meant
MOST_EDITS: Final = 3
TIMES: Final = 3  # how much more frequent what was meant must be


def distance(one: str, other: str, most: int) -> int:
    """Return the Damerau-Levenshtein distance (optimal string alignment), or `most` + 1 where it is larger.

    >>> distance("birmingham", "birmxnghma", 3)
    2
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        now = [i]
        for j, right in enumerate(other, 1):
            cost = min(row[j] + 1, now[j - 1] + 1, row[j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                cost = min(cost, before[j - 2] + 1)
            now.append(cost)
        if min(now) > most:
            return most + 1
        before, row = row, now
    return row[-1]


def corrections(texts: pl.Series, values: Sequence[str] = (), *, at_least: int = 2) -> dict[str, str]:
    """Return what each rare value of a column was meant to be, where that is beyond doubt.

    Args:
        texts: The column.
        values: The only values that can be meant; the column's own frequent ones where none are given.
        at_least: Rows that a frequent value has.
    """
    counted = texts.drop_nulls().value_counts(name="rows")
    if counted.height > MAX_DISTINCT:
        return {}
    rows = {str(value): int(count) for value, count in counted.iter_rows()}
    meant = list(values) or [value for value, count in rows.items() if count >= max(at_least, TIMES)]
    pieces = _Pieces(meant)
    found = {}
    for value, count in rows.items():
        if value in values:
            continue
        near = sorted(each for each in pieces.near(value) if values or rows[each] >= TIMES * count)
        best = _nearest(value, near)
        if best is not None and best != value:
            found[value] = best
    return {value: best for value, best in found.items() if best not in found}


class _Pieces:
    """Values by pieces of their text: n edits, each of which may spoil two, leave one of 2n + 1 pieces as it was."""

    def __init__(self, values: Sequence[str]) -> None:
        self.by_piece: dict[tuple[int, str], set[str]] = defaultdict(set)
        for value in values:
            for number, piece in _cut(value, _allowed(value)):
                self.by_piece[number, piece].add(value)

    def near(self, value: str) -> set[str]:
        """Return the values that may be within the allowed edits of a text."""
        found: set[str] = set()
        for (_, piece), values in self.by_piece.items():
            if piece in value:
                found |= values
        return found


def _cut(value: str, edits: int) -> Iterator[tuple[int, str]]:
    pieces = 2 * edits + 1
    size = max(1, len(value) // pieces)
    for number in range(pieces):
        start = number * size
        yield number, value[start : start + size] if number < pieces - 1 else value[start:]


def _allowed(value: str) -> int:
    return min(MOST_EDITS, len(value) // LETTERS_PER_EDIT)  # none in a code of three letters: all are near each other


def _nearest(value: str, near: Sequence[str]) -> str | None:
    """Return the one value that is nearest and near enough, or None where there is a doubt."""
    best, least, twice = None, MOST_EDITS + 1, False
    for each in near:
        if each == value or _other_number(value, each):
            continue
        most = min(_allowed(each), least)
        away = distance(value, each, most)
        if away > most:  # then it is only known to be further away, by how much is not
            continue
        twice = away == least
        if away < least:
            best, least = each, away
    return None if twice else best


def _other_number(value: str, meant: str) -> bool:
    """Say whether two texts differ as two numbers do: a digit may only have a letter in its place."""
    if [char for char in value if char.isdigit()] == [char for char in meant if char.isdigit()]:
        return False
    if len(value) != len(meant):
        return True
    pairs = ((one, two) for one, two in zip(value, meant, strict=True) if one != two)
    return any(one.isdigit() or not one.isalpha() for one, two in pairs if one.isdigit() or two.isdigit())
