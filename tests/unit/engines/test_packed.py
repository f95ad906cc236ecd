"""Packed tables: whatever is opened is what an open table of the same rows would say, to the byte of what is stored."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.engines import packed
from holdfast.engines.dataset import ROW_GROUP, ZSTD_LEVEL, to_parquet
from holdfast.engines.packed import Packed, counted, pack, packed_file

LOCAL = pl.Schema()
LOCAL.update({"id": pl.String(), "x": pl.Float64(), "n": pl.Int64(), "t": pl.Datetime("us"), "b": pl.Boolean()})
CELLS = st.tuples(
    st.none() | st.text(max_size=20).filter(lambda text: "\0" not in text),
    st.none() | st.floats(allow_nan=False),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.datetimes(),
    st.none() | st.booleans(),
)


def frame_of(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    """Rows as an open table."""
    return pl.DataFrame(rows, schema=LOCAL, orient="row").with_columns(pl.col("t").dt.replace_time_zone("UTC"))


def written(table: Packed, folder: Path) -> bytes:
    """What is stored of a table."""
    path = folder / "out.parquet"
    table.sink(path, compression_level=ZSTD_LEVEL, row_group_size=ROW_GROUP)
    return path.read_bytes()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.lists(CELLS, max_size=5), min_size=1, max_size=4), data=st.data())
def test_a_packed_table_says_what_an_open_one_does(
    parts: list[list[tuple[object, ...]]], data: st.DataObject, tmp_path: Path
) -> None:
    """Opened, filtered, with another column, written: in memory or in a folder, and the first one stays as it was."""
    frames = [frame_of(rows) for rows in parts]
    whole = pl.concat(frames)
    table = pack(frames, data.draw(st.sampled_from([None, tmp_path])))
    mask = pl.Series(data.draw(st.lists(st.booleans(), min_size=whole.height, max_size=whole.height)), dtype=pl.Boolean)
    fresh = pl.Series("n", [str(place) for place in range(whole.height)], dtype=pl.String)
    assert table.filter(mask).open().equals(whole.filter(mask))
    assert table.with_columns(fresh).open().equals(whole.with_columns(fresh))
    assert table.drop({"x", "none"}).open().equals(whole.drop("x"))
    assert pl.concat([whole.clear(), *table.slices(table.columns)]).equals(whole)
    assert table.get_column("id").equals(whole.get_column("id"))
    assert table.open().equals(whole)
    assert table.height == whole.height
    if whole.height:
        assert written(table, tmp_path) == to_parquet(whole)


def test_rows_in_parts_are_stored_as_the_same_bytes(tmp_path: Path) -> None:
    """Digests of data sets do not tell whether rows came in one piece: over the border of a row group, too."""
    rows = ROW_GROUP + 7_000
    numbers = pl.int_range(rows, eager=True)
    whole = pl.DataFrame({"id": "c" + numbers.cast(pl.String), "x": numbers / 7, "town": (numbers % 3).cast(pl.String)})
    table = pack(whole.iter_slices(50_000), tmp_path)
    assert len(table.parts) == 3
    assert written(table, tmp_path) == to_parquet(whole)
    stored = packed_file(tmp_path / "out.parquet")
    some = list(stored.slices(["x", "id"]))
    assert [each.height for each in some] == [packed.PART, rows - packed.PART]
    assert pl.concat(some).equals(whole.select("x", "id"))
    assert written(table.filter(numbers % 5 > 0), tmp_path) == to_parquet(whole.filter(numbers % 5 > 0))


def test_values_are_counted_alike_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told apart by their hash, or all at once: each distinct value with its rows, a missing one among them."""
    values = pl.Series("v", ["a", "b", None, "a", "c", "b", "a"])
    at_once = counted(values).sort("text")
    monkeypatch.setattr(packed, "COUNTED", 2)
    assert counted(values).sort("text").equals(at_once)
    assert at_once.rows() == [(None, 1), ("a", 3), ("b", 2), ("c", 1)]
