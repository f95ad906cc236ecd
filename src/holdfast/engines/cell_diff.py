"""What differs between two tables, cell by cell, by the columns that name a row.

Decides which rows were added, removed or changed, and the old and the new value of each changed cell. Tables are read
in stretches by Polars' streaming engine: only what differs is held in memory. Leaves to the caller whose values may be
shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from holdfast.core.errors import InvalidInput

MAX_CHANGED: Final = 5_000_000  # rows; two tables that differ in more have not much in common
_OLD, _NEW, _MARK = (
    "\x1fold",
    "\x1fnew",
    "\x1fthere",
)  # no column's name ends so: names with control characters are refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell that differs, of a row that both tables have."""

    key: tuple[Any, ...]
    column: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What differs: counts of all of it, and the rows themselves.

    Attributes:
        key: The columns that name a row; empty where whole rows were compared.
        added_columns: In the newer table alone.
        removed_columns: In the older table alone.
        retyped: Columns whose type changed, with both types in words.
        added: Keys of rows in the newer table alone, or whole rows where there is no key.
        removed: The same, for the older table.
        changed: Rows with a cell that differs: key columns, and each compared column twice.
        cells: How many cells differ, by column.
        same: How many rows are equal in both.
    """

    key: tuple[str, ...]
    added_columns: tuple[str, ...]
    removed_columns: tuple[str, ...]
    retyped: tuple[str, ...]
    added: pl.DataFrame
    removed: pl.DataFrame
    changed: pl.DataFrame
    cells: dict[str, int]
    same: int

    def each_cell(self) -> Iterator[Cell]:
        """Yield every changed cell, by row and in the order of the columns."""
        columns = [name for name in self.cells if self.cells[name]]
        for row in self.changed.iter_rows(named=True):
            key = tuple(row[name] for name in self.key)
            for name in columns:
                old, new = row[name + _OLD], row[name + _NEW]
                if not _equal(old, new):
                    yield Cell(key=key, column=name, old=old, new=new)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        columns = self.added_columns or self.removed_columns or self.retyped
        return not columns and not (self.added.height or self.removed.height or self.changed.height)


def compare(older: Path, newer: Path, key: Sequence[str]) -> Diff:
    """Return what differs between two Parquet files.

    Args:
        older: The table before.
        newer: The table after.
        key: Columns that name a row; with none, whole rows are compared and counted.

    Raises:
        InvalidInput: A key column is missing from one of them, or names two rows of one; or they have little in common.
    """
    before, after = pl.scan_parquet(older, glob=False), pl.scan_parquet(newer, glob=False)
    old, new = dict(before.collect_schema()), dict(after.collect_schema())
    shared = [name for name in new if name in old]
    retyped = tuple(f"{name}: {old[name]} → {new[name]}" for name in shared if old[name] != new[name])
    before, after = (_as_text(each, [n for n in shared if old[n] != new[n]]) for each in (before, after))
    added_columns = tuple(name for name in new if name not in old)
    removed_columns = tuple(name for name in old if name not in new)
    columns = {"added_columns": added_columns, "removed_columns": removed_columns, "retyped": retyped}
    if not key:
        return _whole(before.select(shared), after.select(shared), columns)
    missing = [name for name in key if name not in shared]
    if missing:
        raise InvalidInput(f"no column {missing[0]!r} in both tables", expected=f"one of {', '.join(shared)[:200]}")
    for frame, where in ((before, "older"), (after, "newer")):
        _check_key(frame, key, where)
    return _keyed(before.select(shared), after.select(shared), list(key), columns)


def _as_text(frame: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
    return frame.with_columns(pl.col(name).cast(pl.String) for name in names)


def _check_key(frame: pl.LazyFrame, key: Sequence[str], where: str) -> None:
    counted = frame.group_by(key).len().filter(pl.col("len") > 1).select(pl.len()).collect(engine="streaming").item()
    if counted:
        words = f"{counted} values of {', '.join(key)} name more than one row of the {where} table"
        raise InvalidInput(words, expected="columns that name a row", remedy="Name other columns with --key.")


def _keyed(before: pl.LazyFrame, after: pl.LazyFrame, key: list[str], columns: dict[str, tuple[str, ...]]) -> Diff:
    compared = [name for name in after.collect_schema() if name not in key]
    left = before.select([*key, *(pl.col(name).alias(name + _OLD) for name in compared)])
    right = after.select([*key, *(pl.col(name).alias(name + _NEW) for name in compared)])
    differs = [pl.col(name + _OLD).ne_missing(pl.col(name + _NEW)) for name in compared]
    both = left.join(right, on=key, how="inner", nulls_equal=True)
    changed = (
        both.filter(pl.any_horizontal(differs)).head(MAX_CHANGED + 1).collect(engine="streaming")
        if differs
        else left.head(0).collect()
    )
    if changed.height > MAX_CHANGED:
        raise InvalidInput(f"more than {MAX_CHANGED} rows differ", expected="two versions of one table")
    removed = before.join(after, on=key, how="anti", nulls_equal=True).select(key).collect(engine="streaming")
    added = after.join(before, on=key, how="anti", nulls_equal=True).select(key).collect(engine="streaming")
    counts = (
        changed.select(pl.col(name + _OLD).ne_missing(pl.col(name + _NEW)).sum().alias(name) for name in compared)
        if compared
        else pl.DataFrame()
    )
    rows = before.select(pl.len()).collect().item()
    return Diff(
        key=tuple(key),
        added=added.sort(key),
        removed=removed.sort(key),
        changed=changed.sort(key),
        cells={name: int(counts[name].item()) for name in compared},
        same=rows - removed.height - changed.height,
        **columns,
    )


def _whole(before: pl.LazyFrame, after: pl.LazyFrame, columns: dict[str, tuple[str, ...]]) -> Diff:
    """Compare whole rows as multisets: a row that stands three times before and once after was removed twice."""
    names = list(after.collect_schema())
    left = before.group_by(names).agg(pl.len().cast(pl.Int64).alias(_MARK + _OLD))
    right = after.group_by(names).agg(pl.len().cast(pl.Int64).alias(_MARK + _NEW))
    joined = left.join(right, on=names, how="full", nulls_equal=True, coalesce=True)
    delta = (pl.col(_MARK + _NEW).fill_null(0) - pl.col(_MARK + _OLD).fill_null(0)).alias(_MARK)
    moved = joined.with_columns(delta).filter(pl.col(_MARK) != 0).select([*names, _MARK]).collect(engine="streaming")
    removed = _repeated(moved.filter(pl.col(_MARK) < 0), names)
    rows = before.select(pl.len()).collect().item()
    return Diff(
        key=(),
        added=_repeated(moved.filter(pl.col(_MARK) > 0), names),
        removed=removed,
        changed=moved.select(names).head(0),
        cells={},
        same=rows - removed.height,
        **columns,
    )


def _repeated(moved: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    times = pl.col(_MARK).abs()
    return (
        moved.select([pl.col(name).repeat_by(times).explode() for name in names]).sort(names)
        if moved.height
        else (moved.select(names))
    )


def _equal(old: Any, new: Any) -> bool:
    return bool(old == new) or (old != old and new != new)  # noqa: PLR0124 - NaN equals NaN: nobody changed it
