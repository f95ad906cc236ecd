"""Whatever bytes come in: an error in words, or rows in = rows out + rows set aside, and every row out holds."""

import contextlib
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.ingest.world import COLUMNS, Run, project, run

from holdfast.core.errors import HoldfastError
from holdfast.engines.dataset import from_parquet, to_parquet

DECLARED = project(
    COLUMNS + 't = { type = "timestamp", use = "time", nullable = true }\nn = { type = "int", nullable = true }\n',
    data='timestamp_formats = ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y"]',
)
HEADER = "id,x,label,t,n"

cells = st.one_of(
    st.sampled_from(["a", "b", "1", "2.5", "yes", "no", "NULL", "", "2024-03-01", "04/03/2024", "-1", "999", "nan"]),
    st.sampled_from(
        ['"', '""', '"a,b"', '"a\nb"', "\r", "\x00", "a\tb", "ada@example.org", "4111111111111111", "\ufffd"]
    ),
    st.text(max_size=8),
)
lines = st.one_of(
    st.tuples(
        st.sampled_from("abcdef"), st.sampled_from(["1", "2.50", "101", "x"]), st.sampled_from(["yes", "no", ""])
    ).map(lambda row: ",".join((*row, "2024-03-01", "7"))),
    st.lists(cells, max_size=7).map(",".join),
)
files = st.one_of(
    st.tuples(st.just(HEADER), st.lists(lines, max_size=12)).map(lambda file: "\n".join((file[0], *file[1])).encode()),
    st.lists(lines, max_size=6).map(lambda body: "\n".join(body).encode()),
    st.tuples(st.lists(lines, max_size=6), st.binary(max_size=20)).map(
        lambda file: "\n".join((HEADER, *file[0])).encode(errors="replace") + b"\n" + file[1]
    ),
    st.binary(max_size=60),
)


def outcome(source: bytes) -> Run | None:
    """What ingest makes of a file, or nothing where it is refused in words."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(HoldfastError):
        return run(Path(folder), source, DECLARED)
    return None


def check(done: Run) -> None:
    """Every row is somewhere, with its reasons or meeting its contract."""
    measures, rows = done.measures("ingest.contract/1"), done.rows
    assert measures["rows_in"] == rows.height + len(done.aside) == measures["rows_out"] + measures["rows_quarantined"]
    assert set(done.aside) <= set(range(1, int(measures["rows_in"]) + 1))
    assert all(item.reasons for item in done.aside.values())
    assert rows["id"].n_unique() == rows.height
    assert rows["x"].is_between(0, 100).all()
    assert rows["x"].null_count() == rows["id"].null_count() == 0
    assert set(rows["label"]) <= {"yes", "no"}
    assert done.measures("ingest.personal/1")["personal_values_left"] == 0


@settings(max_examples=150)
@given(files)
@example(f"{HEADER}\na,1,yes,2024-03-01,7\n".encode())
@example(f'{HEADER}\na,1,yes,2024-03-01,7\nb,"1,yes,,\nc,2,no,,\n'.encode())
@example(b"\xff\xfe" + HEADER.encode("utf-16-le"))
@pytest.mark.guarantee("G17")
def test_no_file_raises_anything_but_an_error_in_words_and_no_row_is_lost(source: bytes) -> None:
    """Random text and bytes, near misses of good files among them."""
    done = outcome(source)
    if done is not None:
        check(done)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["1", "1.0", "2"]), st.sampled_from(["yes", "no"])),
        min_size=1,
    )
)
def test_of_each_id_one_row_remains_exactly_where_its_rows_agree(rows: list[tuple[str, str, str]]) -> None:
    """Whatever the order and the number of copies."""
    done = outcome("\n".join(("id,x,label,t,n", *[",".join((*row, "", "")) for row in rows])).encode())
    said = {name: {(float(x), label) for other, x, label in rows if other == name} for name, _, _ in rows}
    agreed = [name for name, contents in said.items() if len(contents) == 1]
    assert (sorted(done.rows["id"]) if done else []) == sorted(agreed)


@settings(max_examples=60)
@given(data=st.binary(max_size=200), cut=st.integers(0, 600))
def test_damaged_parquet_is_an_error_in_words(data: bytes, cut: int) -> None:
    """Bytes that are none, and bytes that were once."""
    good = to_parquet(pl.DataFrame({"id": ["a"], "x": [1.0], "label": ["yes"], "t": ["2024-03-01"], "n": [7]}))
    declared = project(COLUMNS, form="parquet")
    for source in (data, good[: cut % len(good)], good[: cut % len(good)] + data + good[cut % len(good) :]):
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(HoldfastError):
            done = run(Path(folder), source, declared)
            assert done.measures("ingest.contract/1")["rows_in"] == done.rows.height + len(done.aside)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False), st.text(max_size=5), st.none() | st.booleans()), min_size=1, max_size=50
    ),
    st.integers(1, 49),
)
def test_equal_tables_have_equal_bytes_however_they_lie_in_memory(
    rows: list[tuple[float, str, bool | None]], cut: int
) -> None:
    """Chunks of a table in memory do not show in its file, and nothing is lost on the way."""
    frame = pl.DataFrame(rows, schema={"f": pl.Float64, "s": pl.String, "b": pl.Boolean}, orient="row")
    pieces = pl.concat([frame[:cut], frame[cut:]], rechunk=False)
    assert to_parquet(pieces) == to_parquet(frame)
    assert from_parquet(to_parquet(frame)).equals(frame)


@pytest.mark.parametrize("count", [1, 2, 400])
def test_every_row_of_a_large_file_is_accounted_for(count: int) -> None:
    """A fault in every seventh row, and the numbers of exactly those rows in the quarantine."""
    rows = [f"r{number},{'bad' if number % 7 == 6 else '1'},yes,," for number in range(count)]
    done = outcome("\n".join((HEADER, *rows)).encode())
    assert done is not None
    check(done)
    assert sorted(done.aside) == [number + 1 for number in range(count) if number % 7 == 6]
