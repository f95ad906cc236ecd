"""The Merkle manifest of a table: cut at its row groups, one pass of hashing, and every difference named."""

import io
from contextlib import suppress
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidData, NotVerified
from holdfast.engines import layout
from holdfast.engines.layout import Layout, check_files, differences, layout_of, parse_layout, read_verified
from holdfast.engines.parquet_footer import row_groups

ROWS = 1000
FRAME = pl.DataFrame({"id": range(ROWS), "name": [f"n{i % 7}" for i in range(ROWS)], "x": [i / 3 for i in range(ROWS)]})


def parquet(frame: pl.DataFrame, group: int = 256) -> bytes:
    """The frame as Parquet with small row groups."""
    out = io.BytesIO()
    frame.write_parquet(out, row_group_size=group)
    return out.getvalue()


FILES = {"a.parquet": parquet(FRAME), "b.parquet": parquet(FRAME.reverse()), "log.json": b"{}\n"}
LAYOUT = layout_of(FILES)


def named(**changed: bytes) -> list[str]:
    """What is named where these files are otherwise; `_` stands for the dot of a name."""
    files = FILES | {name.replace("_", ".", 1): data for name, data in changed.items()}
    return [str(each) for each in differences(LAYOUT, files, files)]


def flipped(data: bytes, at: int) -> bytes:
    """The bytes with one bit turned."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("compression", ["zstd", "snappy", "uncompressed"])
@pytest.mark.parametrize("writer", ["polars", "arrow"])
def test_row_groups_are_where_another_reader_finds_them(compression: str, writer: str) -> None:
    """Offsets and rows are those that Arrow's own reader gives, for files of two writers."""
    out = io.BytesIO()
    if writer == "polars":
        FRAME.write_parquet(out, row_group_size=300, compression=compression)  # type: ignore[arg-type]
    else:
        codec = "none" if compression == "uncompressed" else compression
        pq.write_table(FRAME.to_arrow(), out, row_group_size=300, compression=codec)
    data = out.getvalue()
    meta = pq.ParquetFile(io.BytesIO(data)).metadata
    expected = []
    for group in (meta.row_group(number) for number in range(meta.num_row_groups)):
        columns = [group.column(number) for number in range(group.num_columns)]
        starts = [min(c.data_page_offset, c.dictionary_page_offset or c.data_page_offset) for c in columns]
        expected.append((min(starts), group.num_rows))
    assert [(group.start, group.rows) for group in row_groups(data)] == expected


@given(st.binary(max_size=60), st.integers(min_value=0, max_value=400))
def test_damaged_footers_are_refused_and_never_run_away(tail: bytes, cut: int) -> None:
    """Whatever stands where a footer should, it is read or refused as data: no other error, no endless loop."""
    whole = FILES["a.parquet"]
    data = whole[: len(whole) - 8 - cut] + tail + whole[-8:]
    with suppress(InvalidData):
        row_groups(data)


def test_files_are_cut_at_their_row_groups_without_a_gap() -> None:
    """Each row group is a part, with its rows; the parts together are the file."""
    (a, *_) = LAYOUT.files
    assert [part.what for part in a.parts] == ["row group 0", "row group 1", "row group 2", "row group 3", "footer"]
    assert sum(part.rows for part in a.parts) == ROWS
    assert a.size == len(FILES["a.parquet"])
    assert read_verified(LAYOUT, FILES, FILES.__getitem__) == FILES
    with pytest.raises(InvalidData, match="magic"):
        layout_of({"a.parquet": b"no"})


def test_a_flipped_bit_names_its_row_group_and_no_other() -> None:
    """In each row group, in the footer, in the log."""
    groups = row_groups(FILES["a.parquet"])
    for number, group in enumerate(groups):
        (only,) = named(a_parquet=flipped(FILES["a.parquet"], group.start + 9))
        assert only == f"a.parquet, row group {number} ({group.rows} rows): changed in place"
    assert named(a_parquet=flipped(FILES["a.parquet"], len(FILES["a.parquet"]) - 30)) == [
        "a.parquet, footer: changed in place"
    ]
    assert named(log_json=b"[]\n") == ["log.json, whole: changed in place"]


def test_files_that_lie_are_refused_as_those_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a stretch at a time: changed, shorter, longer, swapped, removed and added, in the very same words."""
    monkeypatch.setattr(layout, "_STRETCH", 1000)
    a = FILES["a.parquet"]
    cases = [
        {**FILES, "a.parquet": flipped(a, 40)},
        {**FILES, "a.parquet": flipped(a, len(a) - 3)},
        {**FILES, "a.parquet": a[:-1]},
        {**FILES, "a.parquet": a + b"\0"},
        {**FILES, "a.parquet": FILES["b.parquet"], "b.parquet": a},
        {**FILES, "c.parquet": b""},
        {name: data for name, data in FILES.items() if name != "b.parquet"},
    ]
    for number, files in enumerate([FILES, *cases]):
        lying = {name: tmp_path / f"{number}-{name}" for name in files}
        for name, place in lying.items():
            place.write_bytes(files[name])
        if files is FILES:
            check_files(LAYOUT, lying)
            continue
        with pytest.raises(NotVerified) as by_stretch:
            check_files(LAYOUT, lying)
        with pytest.raises(NotVerified) as in_memory:
            read_verified(LAYOUT, files, files.__getitem__)
        assert str(by_stretch.value) == str(in_memory.value)


def test_one_other_value_in_a_valid_file_names_its_row_group() -> None:
    """The file is written anew, checksums and statistics and all, of another length: still the row group is known."""
    other = FRAME.with_columns(pl.when(pl.col("id") == 600).then(-123456.75).otherwise(pl.col("x")).alias("x"))
    (only,) = named(a_parquet=parquet(other))
    assert "row group 2" in only
    assert "row group 0" not in only


def test_swapped_removed_and_added_files_are_called_so() -> None:
    """Two files that changed places are named each with the other; what is missing and what is new is named too."""
    assert named(a_parquet=FILES["b.parquet"], b_parquet=FILES["a.parquet"]) == [
        "a.parquet: swapped: its bytes are those of b.parquet",
        "b.parquet: swapped: its bytes are those of a.parquet",
    ]
    less = {name: data for name, data in FILES.items() if name != "b.parquet"} | {"c.parquet": b""}
    assert [str(each) for each in differences(LAYOUT, less, less)] == [
        "b.parquet: removed",
        "c.parquet: added: it was not signed",
    ]
    with pytest.raises(NotVerified, match=r"b\.parquet: removed; c\.parquet: added"):
        read_verified(LAYOUT, less, less.__getitem__)


def test_another_list_has_another_root() -> None:
    """A list is believed by its root alone: one with a row group left out, or in another spelling, is refused."""
    assert parse_layout(LAYOUT.document, LAYOUT.root) == LAYOUT
    shorter = Layout(files=LAYOUT.files[:-1])
    assert shorter.root != LAYOUT.root
    for document in (shorter.document, LAYOUT.document + b" ", b"{}", b"\xff"):
        with pytest.raises(NotVerified):
            parse_layout(document, LAYOUT.root)
