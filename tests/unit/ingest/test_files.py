"""Files that are damaged, hostile or of another shape: a clear error with the place, or rows set aside."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
from tests.unit.ingest.world import COLUMNS, csv, parquet, project, run

from holdfast.core.errors import InvalidData
from holdfast.ingest import delimited, json_lines, raw, sources
from holdfast.ingest.dialect import PLAIN

GOOD = ("a,1,yes", "b,2,no")
HEAD = "id,x,label"


@pytest.mark.parametrize(
    ("source", "words", "place"),
    [
        (b"", "empty", "rows.csv"),
        (csv(HEAD), "no rows", "rows.csv"),
        (csv("id,label", "a,yes"), "'x' is missing", "rows.csv:1"),
        (csv("id;x;label", "a;1;yes"), "is missing", "rows.csv:1"),
        (csv("id,x,label,x", "a,1,yes,2"), "column 2 too", "rows.csv:1, column 4"),
        (csv("id,x, x ,label", "a,1,1,yes"), "column 2 too", "rows.csv:1, column 3"),
        (csv("id,x,,label", "a,1,1,yes"), "no name", "rows.csv:1, column 3"),
        (csv("id,x,label,=cmd()", "a,1,yes,1"), "cannot be a column's name", "column 4"),
        (csv("id,x,label,n\x1bote", "a,1,yes,1"), "cannot be a column's name", "column 4"),
        (csv("id,x,label,gnp\u202e.exe", "a,1,yes,1"), "cannot be a column's name", "column 4"),
        (csv("id,x,label," + "n" * 129, "a,1,yes,1"), "129 characters", "column 4"),
        ("id,x,label\na,1,yes\n".encode("utf-16"), "not UTF-8", "rows.csv:1"),
        (b"id,x,label,caf\xe9\na,1,yes,1\n", "not UTF-8", "rows.csv:1"),
        (b"id,x,label\ra,1,yes\r", "header cannot be read", "rows.csv:1"),
        (csv('"id,x,label', "a,1,yes"), "header cannot be read", "rows.csv:1"),
        (csv(HEAD, *GOOD, 'c,"3,yes', "d,4,no", "e,5,no"), "begins here", "rows.csv:4"),
        (csv(HEAD, 'c,"3', 'd"4,no'), "begins here", "rows.csv:2"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(
    tmp_path: Path, source: bytes | str, words: str, place: str
) -> None:
    """Each kind of damage has a message of its own, which names line and column, and nothing is stored."""
    with pytest.raises(InvalidData) as refusal:
        run(tmp_path, source)
    assert words in refusal.value.message
    assert place in refusal.value.place


@pytest.mark.parametrize(
    "first", ["+491701234567,2,yes", "ada@example.org,ada@example.org,yes", "ada@example.org,,yes"]
)
def test_nothing_is_said_of_a_first_row_that_is_no_header(tmp_path: Path, first: str) -> None:
    """A refusal goes on record for good, and such a row is somebody's."""
    with pytest.raises(InvalidData) as refusal:
        run(tmp_path, csv(first, "b,2,no"))
    assert "'id' is missing" in refusal.value.message
    assert first.partition(",")[0] not in f"{refusal.value}{refusal.value.expected}"


def test_a_missing_column_with_another_delimiter_is_explained(tmp_path: Path) -> None:
    """Semicolons are the most frequent reason why every column is missing."""
    with pytest.raises(InvalidData) as refusal:
        run(tmp_path, csv("id;x;label", "a;1;yes"))
    assert "another delimiter" in refusal.value.expected


@pytest.mark.parametrize(
    ("line", "code", "found"),
    [
        ("c,3", "ragged-row", "line 3: 2 fields where 3 were expected"),
        ("c,3,yes,", "ragged-row", "line 3: 4 fields where 3 were expected"),
        ('"c"d,3,yes', "malformed-row", "line 3"),
        ("c" * 131_073 + ",3,yes", "malformed-row", "field larger than field limit"),
        ("c\r,3,yes", "malformed-row", "line 3"),
        ("c,3,y\x00es", "control-character", "y\\x00es"),
        ("c\x1b[2J,3,yes", "control-character", "c\\x1b[2J"),
        (b"c\xff,3,yes", "undecodable-bytes", "line 3"),
    ],
)
def test_a_row_that_cannot_be_read_is_set_aside_alone(tmp_path: Path, line: bytes | str, code: str, found: str) -> None:
    """The rows around it are kept, and the quarantine says which row it was and why."""
    raw_line = line if isinstance(line, bytes) else line.encode()
    done = run(tmp_path, csv(HEAD, GOOD[0]).encode() + raw_line + b"\n" + csv(GOOD[1]).encode())
    assert done.rows["id"].to_list() == ["a", "b"]
    assert set(done.codes) == {2}
    assert code in done.codes[2]
    reason = next(why for why in done.aside[2].reasons if why.code == code)
    assert found in reason.found
    assert done.measures("ingest.contract/1")["rows_in"] == 3


def test_an_unfinished_quote_in_the_last_line_is_set_aside(tmp_path: Path) -> None:
    """It swallowed nothing but itself, so the other rows stand."""
    assert run(tmp_path, csv(HEAD, *GOOD) + 'c,"3,yes').codes == {3: ["malformed-row"]}


def test_nothing_of_a_ragged_row_is_shown(tmp_path: Path) -> None:
    """Its columns may have shifted, so any of its values may be a person's."""
    done = run(tmp_path, csv(HEAD, *GOOD, "c,3,Ada Lovelace,yes"))
    assert "Ada" not in str(done.aside)


def test_byte_order_mark_line_ends_and_quotes_are_understood(tmp_path: Path) -> None:
    """What spreadsheets write is read as it is meant, fields that hold commas, quotes and line ends among it."""
    done = run(tmp_path, b'\xef\xbb\xbfid,x,label\r\n"a, ""1""\r\nq",1,yes\r\n\r\nb,2,no\r\n')
    assert done.rows["id"].to_list() == ['a, "1"\r\nq', "b"]
    assert ("blank-lines", "file") in done.findings("ingest.contract/1")


def test_text_is_never_coerced(tmp_path: Path) -> None:
    """An id with leading zeros, a number-like id and an id that looks like a date stay what they are."""
    lines = ("007,1,yes", "1e5,2,no", "2024-01-02,3,no", "true,4,no")
    assert run(tmp_path, csv(HEAD, *lines)).rows["id"].to_list() == ["007", "1e5", "2024-01-02", "true"]


def test_undeclared_columns_are_held_out_and_recorded(tmp_path: Path) -> None:
    """A column that nobody declared is not used, and the evidence says so."""
    done = run(tmp_path, csv("extra,id,x,label", "9,a,1,yes", "9,b,2,no"))
    assert done.rows.columns == ["id", "x", "label"]
    assert ("undeclared-column", "extra") in done.findings("ingest.contract/1")
    assert done.measures("ingest.contract/1")["undeclared_columns"] == 1


@pytest.mark.parametrize(
    ("module", "limit", "value", "words"),
    [
        (sources, "MAX_SOURCE", 10, "bytes"),
        (raw, "MAX_COLUMNS", 2, "3 columns"),
        (delimited, "MAX_LINE", 10, "line is too long"),
        (delimited, "MAX_ROWS", 1, "too many rows"),
    ],
)
def test_a_file_beyond_a_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, limit: str, value: int, words: str
) -> None:
    """Each named limit is kept; here each is lowered until a small file is beyond it."""
    monkeypatch.setattr(module, limit, value)
    with pytest.raises(InvalidData, match=words):
        run(tmp_path, csv(HEAD + " " * 9, *GOOD))


def test_rows_beyond_one_chunk_keep_their_order_and_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are packed in chunks; a fault in the last chunk still has its own number."""
    monkeypatch.setattr(delimited, "CHUNK", 2)
    lines = [f"r{number},{number},yes" for number in range(7)]
    done = run(tmp_path, csv(HEAD, *lines[:6], "bad,bad,yes", lines[6]))
    assert done.rows["id"].to_list() == [f"r{number}" for number in range(7)]
    assert done.codes == {7: ["not-a-number"]}


def frame() -> pl.DataFrame:
    """Three rows, the last without a value."""
    return pl.DataFrame({"id": ["a", "b", "c"], "x": [1.5, 2.0, None], "label": ["yes", "no", "yes"]})


def test_parquet_and_csv_of_the_same_rows_are_the_same_data_set(tmp_path: Path) -> None:
    """One set of rules serves both formats, to the byte."""
    from_csv = run(tmp_path / "1", csv(HEAD, "a,1.5,yes", "b,2,no", "c,,yes"))
    from_parquet = run(tmp_path / "2", parquet(frame()), project(form="parquet"))
    assert from_csv.dataset == from_parquet.dataset
    assert from_csv.codes == from_parquet.codes == {3: ["missing-value"]}


def test_whole_numbers_that_a_missing_value_made_floats_stay_whole(tmp_path: Path) -> None:
    """Other tools store integers with a gap as floats; a fraction among them is still none."""
    declared = project(COLUMNS.replace('"float"', '"int"'), form="parquet")
    done = run(tmp_path, parquet(frame().with_columns(x=pl.Series([1.0, 2.5, None]))), declared)
    assert done.rows["x"].to_list() == [1]
    assert done.codes == {2: ["not-an-integer"], 3: ["missing-value"]}


def test_nan_and_infinity_in_parquet_are_no_numbers(tmp_path: Path) -> None:
    """They compare with nothing, so no range could hold them."""
    rows = frame().with_columns(x=pl.Series([1.5, float("nan"), float("inf")]))
    assert run(tmp_path, parquet(rows), project(form="parquet")).codes == {2: ["not-a-number"], 3: ["not-a-number"]}


def test_a_field_of_any_format_is_of_bounded_length(tmp_path: Path) -> None:
    """A Parquet file could hold a gigabyte in one field; the row is set aside, and little of it is shown."""
    done = run(
        tmp_path, parquet(frame().with_columns(id=pl.Series(["a", "b" * 131_073, "c"]))), project(form="parquet")
    )
    assert "field-too-long" in done.codes[2]
    assert len(done.aside[2].reasons[0].found) == 80


def test_moments_in_parquet_are_taken_as_they_are(tmp_path: Path) -> None:
    """A zone is converted to UTC; moments without one are UTC; no text format is needed."""
    columns = COLUMNS + 't = { type = "timestamp", use = "time" }\n'
    moments = pl.Series(["2024-03-01T10:00:00"] * 3).str.to_datetime()
    berlin = moments.dt.replace_time_zone("Europe/Berlin").dt.cast_time_unit("ns")
    for series, hour in ((moments, 10), (berlin, 9)):
        rows = frame().with_columns(x=pl.lit(1.0), t=series)
        done = run(tmp_path, parquet(rows), project(columns, form="parquet"))
        assert done.rows["t"].dtype == pl.Datetime("us", "UTC")
        assert done.rows["t"].to_list() == [datetime(2024, 3, 1, hour, tzinfo=UTC)] * 3


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda _: b"PAR1 but not really PAR1", "not readable as Parquet"),
        (lambda rows: parquet(rows)[:-9], "not readable as Parquet"),
        (lambda rows: parquet(rows.with_columns(x=pl.Series([[1.0], [2.0], []]))), "List"),
        (lambda rows: parquet(rows.with_columns(x=pl.Series([b"1", b"2", b"3"]))), "Binary"),
        (lambda rows: parquet(rows.with_columns(x=pl.date(2024, 1, 1))), "holds timestamps"),
        (lambda rows: parquet(rows.drop("x")), "'x' is missing"),
        (lambda rows: parquet(rows.rename({"x": " x"})), "begins or ends with a space"),
        (lambda rows: parquet(rows.clear()), "no rows"),
    ],
)
def test_parquet_that_cannot_be_rows_is_refused(
    tmp_path: Path, damage: Callable[[pl.DataFrame], bytes], words: str
) -> None:
    """Damage and foreign types are one clear error."""
    with pytest.raises(InvalidData, match=words):
        run(tmp_path, damage(frame()), project(form="parquet"))


def test_an_undeclared_nested_column_in_parquet_is_held_out(tmp_path: Path) -> None:
    """What is not used need not be readable."""
    rows = frame().with_columns(x=pl.lit(1.0), tags=pl.Series([["a"], ["b"], []]))
    done = run(tmp_path, parquet(rows), project(form="parquet"))
    assert done.rows.columns == ["id", "x", "label"]
    assert ("undeclared-column", "tags") in done.findings("ingest.contract/1")


def test_json_lines_are_packed_by_bytes_as_well_as_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long rows do not pile up until there are fifty thousand of them; no row is lost at a division."""
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", 1000)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"a": "{str(n) * 200}"}}\n' for n in range(10)), encoding="utf-8")
    with path.open("rb") as stream:
        parts = list(json_lines.chunks(stream, "rows.jsonl"))
    assert max(part.frame.height for part in parts) == 5
    assert [number for part in parts for number in part.numbers] == list(range(1, 11))


def test_csv_rows_are_packed_by_bytes_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of delimited texts, whose rows may have two thousand long fields."""
    monkeypatch.setattr(delimited, "CHUNK_BYTES", 1000)
    text = csv(HEAD, *(f"{str(n) * 200},{n},yes" for n in range(10)))
    done = run(tmp_path, text)
    assert done.rows.height == 10
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8")
    with path.open("rb") as stream:
        parts = list(delimited.chunks(stream, project().data, "rows.csv", PLAIN))[1:]
    assert max(part.frame.height for part in parts if isinstance(part, delimited.Chunk)) == 5
