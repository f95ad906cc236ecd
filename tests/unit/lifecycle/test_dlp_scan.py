"""`holdfast dlp scan`: any file, without a project; places, never values."""

import json
from pathlib import Path

import polars as pl
import pytest

from holdfast.core.errors import InvalidInput, UsageError
from holdfast.lifecycle.dlp_scan import dlp_scan

MAIL = "ada@example.org"


def written(folder: Path, name: str) -> Path:
    """One address in a file of some kind."""
    path = folder / name
    frame = pl.DataFrame({"id": [1, 2], "contact": ["none", MAIL]})
    if name.endswith(".parquet"):
        frame.write_parquet(path)
    elif name.endswith(".jsonl"):
        path.write_text(f'{{"id": 1, "contact": {{"mail": "{MAIL}"}}}}\n', "utf-8")
    elif name.endswith(".txt"):
        path.write_text(f"first line\nwrite to {MAIL}\n", "utf-8")
    else:
        path.write_text(f"id;contact\n1;none\n2;{MAIL}\n", "utf-8")
    return path


@pytest.mark.requirement("ACC-01")
@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl", "a.txt"])
def test_every_kind_of_file_is_read_and_no_value_is_shown(tmp_path: Path, name: str) -> None:
    """The column or line is named; the exit code stops a build."""
    reply = dlp_scan(paths=[written(tmp_path, name)])
    (found,) = reply.document["found"]
    assert (found["entity"], found["column"] or found["line"]) == ("email", 2 if name == "a.txt" else "contact")
    assert reply.exit_code == 1
    assert MAIL not in str(reply)


def test_what_is_allowed_is_listed_and_passes(tmp_path: Path) -> None:
    """An export that is meant to hold addresses need not stop a build."""
    reply = dlp_scan(paths=[written(tmp_path, "a.csv")], allow="email")
    assert (reply.exit_code, reply.document["clean"], len(reply.document["found"])) == (0, True, 1)


def test_sarif_names_file_line_and_kind(tmp_path: Path) -> None:
    """As code hosts take it in."""
    path, out = written(tmp_path, "a.txt"), tmp_path / "out.sarif"
    dlp_scan(paths=[path], format="sarif", output=out)
    (run,) = json.loads(out.read_text("utf-8"))["runs"]
    (result,) = run["results"]
    assert result["ruleId"] == "personal.email"
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 2
    assert MAIL not in out.read_text("utf-8")


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02PAR1", b"PAR1junkPAR1"])
def test_a_file_that_is_not_what_its_name_says_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    """Never a traceback."""
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="cannot be read"):
        dlp_scan(paths=[path])


def test_files_formats_and_kinds_that_are_not_there_are_said(tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(UsageError, match="no such file"):
        dlp_scan(paths=[tmp_path / "none.csv"])
    with pytest.raises(UsageError, match="no format"):
        dlp_scan(paths=[], format="xml")
    with pytest.raises(UsageError, match="no kind"):
        dlp_scan(paths=[], allow="names")


@pytest.mark.requirement("ACC-01")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("long.txt", ("x " * 100_000 + MAIL + "\n").encode()),
        ("cut.txt", ("x" * 65_530 + " " + MAIL + "\n").encode()),
        ("wide.txt", f"write to {MAIL}\n".encode("utf-16")),
        ("wide.csv", f"id,contact\n1,{MAIL}\n".encode("utf-16")),
        ("ragged.csv", f"id\n1,{MAIL}\n2,none\n".encode()),
        ("headless.csv", f"{MAIL},7\nnone,8\n".encode()),
    ],
)
def test_what_lies_where_nobody_looks_is_found(tmp_path: Path, name: str, content: bytes) -> None:
    """Behind a long line's beginning, in UTF-16, in fields that the header does not know, in place of a header."""
    path = tmp_path / name
    path.write_bytes(content)
    reply = dlp_scan(paths=[path])
    assert [(each["entity"], each["values"]) for each in reply.document["found"]] == [("email", 1)]
    assert (reply.exit_code, MAIL in str(reply)) == (1, False)


def test_what_is_no_text_is_not_called_clean(tmp_path: Path) -> None:
    """Nothing was looked at, so nothing may be said; and an error quotes no value."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"\x89PNG\x00\x00ada")
    with pytest.raises(InvalidInput, match="no text"):
        dlp_scan(paths=[path])
    broken = tmp_path / "a.csv"
    broken.write_text(f'id,contact\n1,{MAIL}\n2,"{MAIL}\n', "utf-8")
    with pytest.raises(InvalidInput) as error:
        dlp_scan(paths=[broken])
    assert MAIL not in str(error.value)
