"""Profiles: what an unknown table seems to hold, and a draft that trains nothing before people completed it."""

import tomllib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ingest.world import PROJECT

from holdfast.core.errors import InvalidData, InvalidInput
from holdfast.core.project import parse_project
from holdfast.core.schema import ColumnType, Use
from holdfast.engines.odcs import read_contract
from holdfast.ingest.profile import profile
from holdfast.lifecycle.profiling import profile as command

ROWS = 200
TABLE = {
    "id": [f"c-{n}" for n in range(ROWS)],
    "zip": [f"0{n % 90:04}" for n in range(ROWS)],
    "x": [f"{n / 10}" if n % 50 else "-999" for n in range(1, ROWS + 1)],
    "n": [str(n % 7) if n % 20 else "NULL" for n in range(ROWS)],
    "when": [f"{n % 27 + 1:02}/0{n % 9 + 1}/2024" for n in range(ROWS)],
    "day": [f"2024-03-{n % 30 + 1:02}" for n in range(ROWS)],
    "kind": ["a", "b"] * (ROWS // 2),
    "mail": [f"user{n}@example.org" for n in range(ROWS)],
    "ok": ["true", "False"] * (ROWS // 2),
    "empty": [""] * ROWS,
}


@pytest.mark.requirement("DATA-05", by="holdfast.ingest.profile:profile")
def test_each_column_is_what_it_seems_to_be() -> None:
    """Types, literals that mean missing, sentinels, formats, keys, shapes, personal data."""
    found = {each.name: each for each in profile(pl.DataFrame(TABLE)).columns}
    types = {name: each.type.value for name, each in found.items()}
    assert types == {
        "id": "string",
        "zip": "string",  # a number would lose its beginning
        "x": "float",
        "n": "int",
        "when": "timestamp",
        "day": "timestamp",
        "kind": "category",
        "mail": "string",
        "ok": "bool",
        "empty": "string",
    }
    assert found["n"].null_like == {"NULL": 10}
    assert found["x"].sentinels == (-999.0,)
    assert found["id"].key
    assert found["mail"].personal == ("email",)
    assert found["day"].formats == ("%Y-%m-%d",)
    assert set(found["when"].formats) >= {"%d/%m/%Y"}
    assert found["zip"].shapes[0] == ("9", ROWS)
    assert found["kind"].values == ("a", "b")
    assert found["empty"].missing == ROWS
    assert found["x"].low == "-999"


@pytest.mark.requirement("DATA-05")
def test_a_draft_trains_nothing_until_its_columns_are_described(tmp_path: Path) -> None:
    """The draft is a project's declaration as it is; what it drafts as personal is not even read."""
    path = tmp_path / "rows.csv"
    pl.DataFrame(TABLE).write_csv(path)
    text = command(path=path, form="toml").text
    columns = tomllib.loads(text)["data"]["columns"]
    assert {name: column.get("use", "feature") for name, column in columns.items()}["mail"] == "personal"
    assert all(column["draft"] for column in columns.values())
    body = text.partition("[data.columns]\n")[2] + 'label = { type = "category", use = "label" }\n'
    described = body.replace(
        'x = { type = "float", ', 'x = { description = "length", described_by = "Ada", type = "float", '
    )
    project, _ = parse_project(PROJECT.format(columns=described, data="", features="", format="csv").encode())
    assert project.feature_columns == ("x",)  # of three numbers and a truth
    contract = read_contract(command(path=path, form="odcs").text.encode())
    assert contract.columns["x"].draft
    assert contract.columns["day"].type is ColumnType.TIMESTAMP
    assert contract.columns["mail"].use is Use.PERSONAL


def test_pairs_of_columns_are_keys_where_no_column_is() -> None:
    """Candidates to be tried by people."""
    table = pl.DataFrame({"a": ["1", "1", "2", "2"], "b": ["x", "y", "x", "y"], "c": ["k", "k", "k", "k"]})
    assert profile(table).pairs == (("a", "b"),)


@given(st.lists(st.none() | st.text(max_size=8), min_size=1, max_size=8))
def test_any_column_has_a_profile(values: list[str | None]) -> None:
    """Whatever stands in it; rows are present or missing."""
    found = profile(pl.DataFrame({"x": pl.Series(values, dtype=pl.String)})).columns[0]
    assert 0 <= found.missing <= found.rows
    assert found.misfits <= found.rows - found.missing


@pytest.mark.requirement("DATA-05", by="holdfast.ingest.unknown:read_unknown")
@pytest.mark.parametrize(
    ("content", "dialect", "rows"),
    [
        ("größe;wer\n1,5;a\n2,5;b\n".encode("cp1252"), ("cp1252", ";", '"'), 2),
        ("a\tb\n1\tx\n2\ty\n".encode("utf-16"), ("utf-16", "\t", '"'), 2),
        (b"\xef\xbb\xbf'a'|'b'\n'1|2'|'x'\n'3'|'y'\n", ("utf-8", "|", "'"), 2),
        (b'a,b\n"1,5",x\n2,y\n', ("utf-8", ",", '"'), 2),
        (b"only\n1\n2\n3\n", ("utf-8", ",", '"'), 3),
    ],
)
def test_how_the_file_is_written_is_found_out_and_said(
    tmp_path: Path, content: bytes, dialect: tuple[str, str, str], rows: int
) -> None:
    """Encoding, delimiter and quotes, in words and as they would be declared."""
    path = tmp_path / "export.csv"
    path.write_bytes(content)
    reply = command(path=path)
    said = reply.document["dialect"]
    assert (said["encoding"], said["delimiter"], said["quote"]) == dialect
    assert said["words"] in reply.says
    assert reply.document["rows"] == rows


@pytest.mark.requirement("DATA-05", by="holdfast.ingest.unknown:read_unknown")
def test_broken_rows_are_counted_and_what_two_readings_fit_is_refused(tmp_path: Path) -> None:
    """A ragged row is said with its line; JSON Lines are read as well; a file that says nothing clear is no table."""
    path = tmp_path / "export.csv"
    path.write_text("a;b\n" + "1;2\n" * 20 + "1;2;3\n", encoding="utf-8")
    reply = command(path=path)
    assert (reply.document["unreadable"], reply.document["rows"]) == (1, 20)
    assert "line 22" in reply.says
    path.write_text("a,b;c\n1,2;3\n4,5;6\n", encoding="utf-8")
    with pytest.raises(InvalidData, match="more than one reading"):
        command(path=path)
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"a": 1}\n{"a": 2}\n', encoding="utf-8")
    assert command(path=lines).document["format"] == "jsonl"
    with pytest.raises(InvalidInput, match="missing"):
        command(path=tmp_path / "nothing.csv")


@pytest.mark.requirement("DATA-05", by="holdfast.ingest.profile:profile")
@pytest.mark.parametrize(
    ("column", "values", "listed"),
    [
        ("state", ["new", "paid", "sent"], True),
        ("town", ["Ulm", "New York"], True),
        ("seller", ["Ada Lovelace", "Grace Hopper"], False),
        ("by", ["Ada Lovelace", "Grace Hopper", "Ludwig van Beethoven"], False),
        ("customerName", ["ada", "grace"], False),
        ("what", ["it never worked and I want my money", "all was well with this one"], False),
        ("mail", ["ada@example.org", "grace@example.org"], False),
    ],
)
def test_a_draft_lists_codes_and_never_people_or_free_text(column: str, values: list[str], *, listed: bool) -> None:
    """What a declaration would show to everybody who reads it."""
    found = profile(pl.DataFrame({column: values * 20, "n": list(map(str, range(20 * len(values))))}))
    allowed = found.draft()[column].allowed
    assert (sorted(allowed) == sorted(values)) if listed else allowed == ()
    assert bool(found.columns[0].unlisted) is (not listed)


@pytest.mark.requirement("DATA-05", by="holdfast.ingest.profile:profile")
def test_a_value_of_a_single_row_is_not_declared_as_allowed() -> None:
    """It may be a slip; then no value is listed, since a list that lacks it would set its rows aside."""
    found = profile(pl.DataFrame({"state": ["new", "paid"] * 20 + ["apid"]}))
    assert found.draft()["state"].allowed == ()
    assert "fewer than 3 rows" in found.columns[0].unlisted
