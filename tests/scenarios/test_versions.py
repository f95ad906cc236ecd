"""Versions of data: committed by runs and by people, named, compared, checked out, and held to what was signed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import deltalake
import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal
from tests.scenarios.stand import blob

from holdfast.core.artifact import Digest
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified, Refused
from holdfast.core.ledger import Draft
from holdfast.core.versions import COMMITTED, stream_of
from holdfast.engines import delta
from holdfast.engines.dataset import to_parquet
from holdfast.lifecycle.data_diff import MASK, data_diff
from holdfast.lifecycle.data_versions import (
    data_branch,
    data_checkout,
    data_commit,
    data_log,
    data_tag,
    data_verify,
)
from holdfast.lifecycle.erasure import data_erase
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.trail import data_trail
from holdfast.lifecycle.versions import layout_for, version_of

WHY = "A test of versions."
BANDS = {"under-50": "50-and-over", "50-and-over": "under-50"}


def edit(plant: Plant, *, row: int = 20, column: str = "mean_radius", value: str = "12.5") -> str:
    """Change one value of the project's source and drop the row after it; return the id of the changed row."""
    path = plant.home.root / "patients.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    header = lines[0].decode().strip().split(",")
    cells = lines[row].split(b",")
    assert len(cells) == len(header), "a row without quoted commas"
    was = cells[header.index(column)].decode()
    cells[header.index(column)] = (BANDS[was] if column == "age_band" else value).encode()
    path.write_bytes(b"".join([*lines[:row], b",".join(cells), *lines[row + 2 :]]))
    return cells[0].decode()


@pytest.fixture
def edited(plant: Plant) -> tuple[Plant, str]:
    """The finished project with a second version, of which one value is another and a row is gone."""
    changed = edit(plant)
    data_commit(plant, message="One value corrected")
    return plant, changed


@pytest.fixture
def table(plant: Plant, tmp_path: Path) -> Path:
    """The first version, checked out as a Delta table."""
    data_checkout(plant, version="main", out=tmp_path / "table", reason=WHY)
    return tmp_path / "table"


def swap_value(folder: Path) -> None:
    """Write the table's Parquet anew with one other value: valid in itself, statistics and all."""
    path = folder / "data.parquet"
    frame = pl.read_parquet(path)
    other = pl.when(pl.int_range(pl.len()) == 7).then(frame["mean_area"][7] + 1).otherwise(pl.col("mean_area"))
    path.chmod(0o600)
    path.write_bytes(to_parquet(frame.with_columns(other.alias("mean_area"))))


@pytest.mark.requirement("PROV-02")
def test_a_run_commits_what_it_ingests_and_a_second_one_only_what_is_new(plant: Plant) -> None:
    """Author, message, parents and digest are signed and on record; the same rows make no second version."""
    (first,) = data_log(plant).document["versions"]
    assert first["parents"] == []
    assert first["author"] == plant.person
    assert first["rows"] > 500
    run(plant, until="ingest")
    assert len(data_log(plant).document["versions"]) == 1
    edit(plant)
    run(plant, until="ingest")
    second, again = data_log(plant).document["versions"]
    assert again == {**first, "names": []}
    assert second["parents"] == [first["version"]]
    assert second["names"] == ["main"]


@pytest.mark.requirement("PROV-02")
def test_versions_are_named_and_gone_back_to(edited: tuple[Plant, str], tmp_path: Path) -> None:
    """A tag stays where it is, branches go on apart, and an earlier version's rows can be committed again."""
    plant, _ = edited
    first = version_of(plant, "main~1")
    data_tag(plant, tag="intake-1", version="main~1")
    data_branch(plant, branch="trial", version="intake-1")
    with pytest.raises(Conflict, match="taken"):
        data_tag(plant, tag="intake-1")
    with pytest.raises(Conflict, match="taken"):
        data_branch(plant, branch="intake-1")
    with pytest.raises(InvalidInput, match="could be a digest"):
        data_tag(plant, tag="deadbeef")
    data_commit(plant, message="Tried", branch="trial")
    assert version_of(plant, "trial").commit.dataset == version_of(plant, "main").commit.dataset
    assert version_of(plant, "trial~1").digest == first.digest == version_of(plant, first.digest[7:19]).digest
    data_commit(plant, message="Back", version="intake-1")
    back = version_of(plant, "main").commit
    assert (back.dataset, back.root) == (first.commit.dataset, first.commit.root)
    data_checkout(plant, version="intake-1", out=tmp_path / "as-it-came.csv", reason=WHY, form="source")
    assert (tmp_path / "as-it-came.csv").read_bytes() == plant.blobs.get(Digest(first.commit.source))


@pytest.mark.requirement("PROV-02")
def test_a_branch_moves_only_from_where_it_is_expected(edited: tuple[Plant, str]) -> None:
    """Who commits on what they saw is refused where somebody else has committed meanwhile."""
    plant, _ = edited
    with pytest.raises(Conflict, match="not at main~1"):
        data_commit(plant, message="Late", expect="main~1")
    edit(plant, row=30)
    assert data_commit(plant, message="In time", expect="main").document["changed"]
    with pytest.raises(NotFound, match="no branch 'trail'"):
        data_commit(plant, message="A mistyped branch", branch="trail")
    for message in ("", "two\nlines", "x" * 501):
        with pytest.raises(InvalidInput, match="message"):
            data_commit(plant, message=message, version="main~1")


def test_a_commit_that_nobody_entitled_has_signed_is_no_version(plant: Plant) -> None:
    """Somebody writes an entry of their own, with another data set's digest and the good envelope."""
    at = version_of(plant, "main")
    forged = {**at.entry.body, "dataset": "sha256:" + "0" * 64, "commit": "sha256:" + "1" * 64}
    stream = stream_of(at.commit.name)
    plant.ledger.append([Draft(kind=COMMITTED, actor="mallory", stream=stream, body=forged)])
    with pytest.raises(NotVerified, match="something else than the commit that was signed"):
        version_of(plant, "main")
    with pytest.raises(NotVerified, match="something else"):
        data_log(plant)


@pytest.mark.requirement("PROV-02")
def test_a_diff_shows_each_changed_cell_and_masks_what_nobody_may_see(
    edited: tuple[Plant, str], tmp_path: Path
) -> None:
    """Old and new value of each cell by key; of a protected column only that it changed."""
    plant, changed = edited
    edit(plant, row=25, column="age_band")
    data_commit(plant, message="An age band, and one more row gone")
    once = data_diff(plant, before="main~2", after="main~1").document
    (line,) = [each for each in once["lines"] if each["what"] == "changed"]
    assert (line["column"], line["new"]) == ("mean_radius", "12.5")
    assert changed in line["row"]
    assert once["removed"] == 1
    assert once["same"] + once["removed"] + once["changed"] == version_of(plant, "main~2").commit.rows
    out = tmp_path / "all.jsonl"
    both = data_diff(plant, before="main~2", limit=0, out=out).document
    assert both["lines"] == []
    written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(written) == both["added"] + both["removed"] + both["cells"]
    assert [(each["old"], each["new"]) for each in written if each["column"] == "age_band"] == [(MASK, MASK)]
    with pytest.raises(InvalidInput, match="no column"):
        data_diff(plant, before="main~1", key="shoe_size")
    with pytest.raises(InvalidInput, match="more than one row"):
        data_diff(plant, before="main~1", key="clinic")


@pytest.mark.requirement("PROV-02")
def test_a_checkout_is_a_plain_delta_table_that_other_engines_read(plant: Plant, table: Path) -> None:
    """delta-rs, Polars, DuckDB and Arrow give the same rows; no column is of a type that older readers do not know."""
    expected = delta.read_table(table, layout_for(plant, version_of(plant, "main").commit))
    by_delta = deltalake.DeltaTable(str(table))
    assert_frame_equal(pl.from_arrow(by_delta.to_pyarrow_table()), expected)  # type: ignore[arg-type]
    assert_frame_equal(pl.read_delta(str(table)), expected)
    files = [uri.removeprefix("file://") for uri in by_delta.file_uris()]
    assert len(duckdb.read_parquet(files).limit(expected.height + 1).fetchall()) == expected.height
    assert not [field for field in pq.read_schema(table / "data.parquet") if "view" in str(field.type)]
    reply = data_verify(plant, folder=table)
    assert reply.document["rows"] == expected.height
    assert table.stat().st_mode & 0o077 == 0


@pytest.mark.guarantee("G86")
@pytest.mark.requirement("PROV-02")
@pytest.mark.parametrize(
    ("attack", "named"),
    [
        ("flip a bit of a page", "data.parquet, row group 0"),
        ("flip a bit of the footer", "data.parquet, footer"),
        ("another value, checksums and all", "data.parquet, row group 0"),
        ("remove the rows", "data.parquet: removed"),
        ("add a file", "part-1.parquet: added"),
        ("add an entry to the log", "_delta_log/00000000000000000001.json: added"),
        ("swap two files", "_holdfast/schema.json: swapped"),
        ("another schema", "_holdfast/schema.json: rewritten"),
        ("put an older table in its place", "data.parquet"),
    ],
)
def test_no_row_is_returned_of_a_table_that_was_changed(
    plant: Plant, table: Path, tmp_path: Path, attack: str, named: str
) -> None:
    """Whatever is done to a file of the table, it is found before a row is read, and the file and row group named."""
    rows, log = table / "data.parquet", table / delta.LOG
    for path in (rows, log, table / delta.SCHEMA_FILE):
        path.chmod(0o600)
    data = bytearray(rows.read_bytes())
    match attack:
        case "flip a bit of a page":
            data[1000] ^= 1
            rows.write_bytes(data)
        case "flip a bit of the footer":
            data[-20] ^= 1
            rows.write_bytes(data)
        case "another value, checksums and all":
            swap_value(table)
        case "remove the rows":
            rows.unlink()
        case "add a file":
            shutil.copyfile(rows, table / "part-1.parquet")
        case "add an entry to the log":
            more = deltalake.DeltaTable(str(table))
            more.delete("clinic = 'north'")
        case "swap two files":
            shutil.copyfile(log, table / delta.SCHEMA_FILE)
        case "another schema":
            (table / delta.SCHEMA_FILE).write_text("{}", encoding="utf-8")
        case _:
            edit(plant)
            data_commit(plant, message="Newer")
    with pytest.raises(NotVerified, match="not as it was signed") as refused:
        data_verify(plant, folder=table, version="main")
    assert named in str(refused.value)


def test_an_older_table_says_that_it_is_older(plant: Plant, table: Path) -> None:
    """Its own word makes it a version on record, but not the newest."""
    edit(plant)
    data_commit(plant, message="Newer")
    reply = data_verify(plant, folder=table)
    assert not reply.document["newest"]
    assert "main went on" in reply.says
    (table / delta.COMMIT_FILE).chmod(0o600)
    (table / delta.COMMIT_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(NotVerified):
        data_verify(plant, folder=table)


def test_a_stored_version_is_verified_before_it_is_handed_out(plant: Plant, tmp_path: Path) -> None:
    """The list of hashes in the store is another one: nothing is written, and nothing is on record as read."""
    at = version_of(plant, "main")
    before = plant.ledger.size()
    (path,) = blob(plant, at.commit.layout)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"rows":', b'"rows": ', 1))
    with pytest.raises(NotVerified):
        data_checkout(plant, version="main", out=tmp_path / "no", reason=WHY)
    assert not (tmp_path / "no").exists()
    assert plant.ledger.size() == before


def test_what_cannot_be_checked_out_is_said_and_nothing_is_written(plant: Plant, tmp_path: Path) -> None:
    """No reason, no such version, no such form, a folder that is there, rows that were erased."""
    out = tmp_path / "out"
    with pytest.raises(InvalidInput, match="reason"):
        data_checkout(plant, version="main", out=out, reason="")
    with pytest.raises(NotFound, match="no version 'v9'"):
        data_checkout(plant, version="v9", out=out, reason=WHY)
    with pytest.raises(NotFound, match="no versions of 'other'"):
        data_checkout(plant, version="other@main", out=out, reason=WHY)
    with pytest.raises(InvalidInput, match="form"):
        data_checkout(plant, version="main", out=out, reason=WHY, form="xlsx")
    with pytest.raises(InvalidInput, match="something already"):
        data_checkout(plant, version="main", out=tmp_path, reason=WHY)
    data_erase(plant, data=version_of(plant, "main").commit.source, reason=WHY)
    with pytest.raises(NotFound, match="erased"):
        data_checkout(plant, version="main", out=out, reason=WHY)
    with pytest.raises(Refused, match="erased"):
        data_diff(plant, before="main")
    assert not out.exists()
    assert data_log(plant).document["versions"], "what was erased is still on record"


@pytest.mark.requirement("PROV-09")
def test_the_trail_says_who_read_or_changed_the_data_and_when(edited: tuple[Plant, str], tmp_path: Path) -> None:
    """A suspect change leads to the identity that committed it, and a read to who read and what for."""
    plant, _ = edited
    other = replace(plant, person="eve@example.org")
    edit(other, row=40, value="28.11")
    data_commit(other, message="Looks innocent")
    data_checkout(other, version="main", out=tmp_path / "taken", reason="My own study.")
    steps = data_trail(plant).document["steps"]
    suspect = [step for step in steps if step["change"] and step["who"] == "eve@example.org"]
    assert [step["kind"] for step in suspect] == [COMMITTED]
    assert "Looks innocent" in suspect[0]["did"]
    (taken,) = [step for step in steps if step["kind"] == "data.read"]
    assert (taken["who"], taken["did"]) == ("eve@example.org", "read it: checkout (My own study.)")
    assert taken["dataset"] == version_of(plant, "main").commit.dataset
    trained = [step for step in steps if step["did"] == "features read it"]
    assert trained
    assert {step["who"] for step in trained} == {plant.person}
    only = data_trail(plant, by="eve@example.org", changes=True).document["steps"]
    assert [step["position"] for step in only] == [suspect[0]["position"]]
    with pytest.raises(NotFound):
        data_trail(plant, data="nothing")
