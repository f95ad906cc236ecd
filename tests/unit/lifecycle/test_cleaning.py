"""`holdfast data clean`: a file cleaned by declared rules, looked at, written when told, and then left as it is."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.ingest.world import PROJECT

from holdfast.core.errors import InvalidData, InvalidInput
from holdfast.ingest.quarantine import parse
from holdfast.lifecycle.cleaning import data_clean

COLUMNS = """
id = { type = "string", use = "id" }
x = { type = "float", minimum = 0, maximum = 100 }
town = { type = "category", use = "slice" }
seen = { type = "timestamp", use = "time", nullable = true }
mail = { type = "string", use = "personal" }
label = { type = "category", use = "label", allowed = ["no", "yes"] }
"""
RULES = """timestamp_formats = ["%d.%m.%Y", "%Y-%m-%dT%H:%M:%S%z"]
[[data.clean]]
name = "town/1"
kind = "lower"
columns = ["town"]
[[data.clean]]
name = "short/1"
kind = "replace"
columns = ["town"]
pairs = { "b" = "berlin" }
"""
HEAD = "id,x,town,seen,mail,label\n"
ROWS = HEAD + "a, 1 ,B,1.2.2024,a@b.de,yes\nb,2,Bonn,NULL,,no\nc,200,bonn,,,no\na,1,berlin,2024-02-01T00:00:00Z,,yes\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with rules of its own."""
    text = PROJECT.format(columns=COLUMNS, data=RULES, features="", format="csv")
    (tmp_path / "holdfast.toml").write_text(text, encoding="utf-8")
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    return tmp_path


@pytest.mark.requirement("DATA-10", by="holdfast.lifecycle.cleaning:data_clean")
def test_what_would_change_is_told_and_nothing_is_written(root: Path) -> None:
    """Counts by rule and column, a sample before and after, and why rows are set aside."""
    before = sorted(root.iterdir())
    found = data_clean(root, path=root / "rows.csv").document
    counts = {(each["rule"], each["column"]): each["count"] for each in found["rules"]}
    assert counts[("town/1", "town")] == 2
    assert counts[("short/1", "town")] == 1
    assert counts[("trim/1", "x")] == 1
    assert counts[("null-literal/1", "seen")] == 1
    assert counts[("duplicate/1", "id")] == 1
    assert (found["rows_in"], found["rows_held"], found["rows_set_aside"]) == (4, 2, 2)
    sample = {(each["row"], each["column"]): (each["before"], each["after"]) for each in found["sample"]}
    assert sample[(1, "town")] == ("B", "berlin")
    assert sample[(1, "seen")] == ("1.2.2024", "2024-02-01T00:00:00Z")
    assert found["left_out"] == ["mail"]
    assert sorted(root.iterdir()) == before


@pytest.mark.requirement("DATA-10", by="holdfast.lifecycle.cleaning:data_clean")
@pytest.mark.parametrize("name", ["clean.csv", "clean.parquet"])
def test_what_is_written_is_changed_no_more(root: Path, name: str) -> None:
    """Rows that hold, without personal columns; the others in the quarantine; cleaned again they are the same."""
    out, aside = root / name, root / "aside.jsonl"
    data_clean(root, path=root / "rows.csv", out=out, quarantine=aside)
    assert {each.row: [why.code for why in each.reasons] for each in parse(aside.read_bytes())} == {
        3: ["above-maximum"],
        4: ["duplicate-row"],
    }
    assert out.stat().st_mode & 0o077 == 0
    again = data_clean(root, path=out, out=root / f"again-{name}").document
    assert (root / f"again-{name}").read_bytes() == out.read_bytes()
    assert [each for each in again["rules"] if each["rule"] != "timestamp/1"] == []
    assert (again["rows_set_aside"], again["sample"]) == (0, [])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(towns=st.lists(st.sampled_from(["B", " b", "Bonn", "NULL", "", "ß", "B,b"]), min_size=1, max_size=6))
def test_cleaning_twice_is_cleaning_once(root: Path, towns: list[str]) -> None:
    """Whatever the rows: what comes out is left as it is."""
    for file in root.glob("*.parquet"):
        file.unlink()
    frame = pl.DataFrame({"id": [str(n) for n in range(len(towns))], "x": ["1"] * len(towns), "town": towns})
    frame.with_columns(seen=pl.lit(""), mail=pl.lit(""), label=pl.lit("yes")).write_csv(root / "rows.csv")
    try:
        data_clean(root, path=root / "rows.csv", out=root / "one.parquet")
    except InvalidData:
        return  # nothing holds: there is nothing to write
    data_clean(root, path=root / "one.parquet", out=root / "two.parquet")
    assert (root / "one.parquet").read_bytes() == (root / "two.parquet").read_bytes()


def test_nothing_is_overwritten_or_written_in_a_form_that_cannot_be_read_again(root: Path) -> None:
    """A file that is there, a form that nobody reads, moments in a format that is not declared."""
    with pytest.raises(InvalidInput, match="already"):
        data_clean(root, path=root / "rows.csv", out=root / "rows.csv")
    with pytest.raises(InvalidInput, match="not written"):
        data_clean(root, path=root / "rows.csv", out=root / "out.xls")
    path = root / "holdfast.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(', "%Y-%m-%dT%H:%M:%S%z"', ""), encoding="utf-8")
    with pytest.raises(InvalidInput, match="cannot read"):
        data_clean(root, path=root / "rows.csv", out=root / "out.csv")
    assert not (root / "out.csv").exists()
