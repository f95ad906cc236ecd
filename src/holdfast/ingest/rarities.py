"""Rare names: values that hardly any row says, that are nearly a frequent one, or stand beside an impossible other.

Decides nothing from rarity alone: a seldom value is doubtful where the column has few of them, and a tail where it has
many. That two values do not go together is taken for an error where nearly all rows with the one say the same other.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

import polars as pl

from holdfast.ingest.outliers import Outlier, Why
from holdfast.ingest.typos import MAX_DISTINCT, corrections

SELDOM: Final = 0.0002  # of the rows
MISSPELT: Final = 0.0005  # of the rows that write a name wrong in the same way; more say a name of its own
MISTAKEN: Final = 2  # rows that may do so in any table
DISTINCT_SHARE: Final = 0.2  # of the rows that a column's values may be to be names at all
MANY: Final = 20  # seldom values of one column that are a tail
MAX_COLUMNS: Final = 30  # columns of which pairs are looked at; a wider table has more pairs than a person reads
RULES: Final = 0.995  # share of the rows with one value that must say the same other, and
RULING: Final = 100  # how many of them there must be
AT_MOST: Final = 3  # rows that say otherwise
PAIRED: Final = 200  # distinct values of a column that is looked at in pairs


def rarities(frame: pl.DataFrame, names: Sequence[str]) -> Iterator[Outlier]:
    """Yield the rare values of columns of names, each once, with what speaks for and against it."""
    few = [name for name in names if _is_names(frame.get_column(name))]
    odd = _combinations(frame, few)
    for name in few:
        texts = frame.get_column(name).cast(pl.String)
        counts = {str(value): int(rows) for value, rows in texts.drop_nulls().value_counts(name="rows").iter_rows()}
        nearly = {
            value: meant
            for value, meant in corrections(texts).items()
            if counts[value] <= max(MISTAKEN, MISSPELT * len(texts))
        }
        rare = {value for value, rows in counts.items() if rows <= max(1, SELDOM * len(texts)) and value not in nearly}
        tail = [Why.SMOOTH] if len(rare) > MANY else []
        here = odd.get(name, {})
        looked = texts.is_in(sorted({*nearly, *rare})).fill_null(value=False).arg_true().to_list()
        for place in sorted({*looked, *here}):
            value = str(texts[place])
            reasons = [Why.SPELLING] if value in nearly else []
            reasons += [Why.SELDOM, *tail] if value in rare else []
            reasons += [Why.COMBINATION] if place in here else []
            suggested = nearly.get(value) or here.get(place, "")
            yield Outlier(place=place, column=name, value=value, reasons=tuple(reasons), suggested=suggested)


def _is_names(texts: pl.Series) -> bool:
    distinct = texts.n_unique()
    return 2 <= distinct <= min(MAX_DISTINCT, max(2, DISTINCT_SHARE * len(texts)))  # noqa: PLR2004 - one says nothing


def _combinations(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return by column the places whose value nearly no row has together with another of its values, and the usual."""
    paired = [name for name in names if frame.get_column(name).n_unique() <= PAIRED][:MAX_COLUMNS]
    found: dict[str, dict[int, str]] = {}
    numbered = frame.select(pl.col(paired).cast(pl.String)).with_row_index("\0place")
    for one, other in combinations(paired, 2):
        counts = numbered.select(one, other).drop_nulls().group_by(one, other).len("rows")
        for by, of in ((one, other), (other, one)):
            ruled = counts.with_columns(
                pl.col("rows").sum().over(by).alias("all"),
                pl.col(of).sort_by("rows", descending=True).first().over(by).alias("usual"),
                pl.col("rows").max().over(by).alias("most"),
                pl.col("rows").sum().over(of).alias("said"),
            )
            strange = ruled.filter(
                (pl.col("all") >= RULING)
                & (pl.col("most") >= RULES * pl.col("all"))
                & (pl.col("rows") <= AT_MOST)
                & (pl.col(of) != pl.col("usual"))
                & (pl.col("said") > AT_MOST)  # else it is the value that is rare, not the pair
            )
            rows = numbered.join(strange.select(by, of, "usual"), on=[by, of])
            for place, usual in rows.select("\0place", "usual").iter_rows():
                found.setdefault(of, {}).setdefault(int(place), str(usual))
    return found
