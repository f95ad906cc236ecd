"""Cell diffs, held against a comparison in plain Python."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.core.errors import InvalidInput
from holdfast.engines.cell_diff import Diff, compare

VALUES = st.one_of(st.none(), st.integers(-3, 3))
TABLES = st.dictionaries(st.integers(0, 12), st.tuples(VALUES, VALUES), max_size=10)
SCHEMA = {"id": pl.Int64, "a": pl.Int64, "b": pl.Int64}


def diff(folder: Path, older: pl.DataFrame, newer: pl.DataFrame, key: tuple[str, ...] = ("id",)) -> Diff:
    """Compare two frames by way of files."""
    older.write_parquet(folder / "older.parquet")
    newer.write_parquet(folder / "newer.parquet")
    return compare(folder / "older.parquet", folder / "newer.parquet", key)


def frame(rows: dict[int, tuple[Any, Any]]) -> pl.DataFrame:
    """Rows by id as a table."""
    return pl.DataFrame([(key, *values) for key, values in rows.items()], schema=SCHEMA, orient="row")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TABLES, TABLES)
def test_every_difference_is_found_and_nothing_else(
    tmp_path: Path, older: dict[int, tuple[Any, Any]], newer: dict[int, tuple[Any, Any]]
) -> None:
    """Added, removed, and each changed cell with both values, whatever the order of the rows; missing is a value."""
    found = diff(tmp_path, frame(older), frame(newer).reverse())
    assert set(found.added["id"]) == set(newer) - set(older)
    assert set(found.removed["id"]) == set(older) - set(newer)
    expected = {
        (key, "ab"[column], older[key][column], newer[key][column])
        for key in set(older) & set(newer)
        for column in range(2)
        if older[key][column] != newer[key][column]
    }
    assert {(*cell.key, cell.column, cell.old, cell.new) for cell in found.each_cell()} == expected
    assert found.same == sum(1 for key in set(older) & set(newer) if older[key] == newer[key])
    assert found.equal == (older == newer)


def test_without_a_key_whole_rows_are_counted(tmp_path: Path) -> None:
    """A row that stood three times and stands once was removed twice."""
    older, newer = pl.DataFrame({"x": [1, 1, 1, 2]}), pl.DataFrame({"x": [1, 2, 3]})
    found = diff(tmp_path, older, newer, ())
    assert found.removed["x"].to_list() == [1, 1]
    assert found.added["x"].to_list() == [3]
    assert found.same == 2


def test_columns_that_came_went_or_changed_their_type_are_named(tmp_path: Path) -> None:
    """Values of another type are compared as text, so that 1 and "1" are no change and 2 and "3" are one."""
    older = pl.DataFrame({"id": [1, 2], "was": [0, 0], "t": [1, 2]})
    newer = pl.DataFrame({"id": [1, 2], "is": [0, 0], "t": ["1", "3"]})
    found = diff(tmp_path, older, newer)
    assert (found.added_columns, found.removed_columns) == (("is",), ("was",))
    assert found.retyped == ("t: Int64 → String",)
    assert [(cell.old, cell.new) for cell in found.each_cell()] == [("2", "3")]
    assert not found.equal


def test_not_a_number_equals_itself(tmp_path: Path) -> None:
    """Nobody has changed a NaN that is still there."""
    table = pl.DataFrame({"id": [1], "x": [float("nan")]})
    assert diff(tmp_path, table, table).equal


def test_what_names_no_row_is_refused(tmp_path: Path) -> None:
    """A column that is not there, and one whose values name two rows."""
    table = pl.DataFrame({"id": [1, 1], "x": [1, 2]})
    with pytest.raises(InvalidInput, match="more than one row of the older"):
        diff(tmp_path, table, table)
    with pytest.raises(InvalidInput, match="no column 'y'"):
        diff(tmp_path, table, table, ("y",))
