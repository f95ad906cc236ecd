"""Dialects of business CSV: found out where one reading fits, refused where two do."""

from pathlib import Path

import pytest
from tests.unit.ingest.world import project

from holdfast.core.errors import InvalidData
from holdfast.ingest import delimited, dialect
from holdfast.ingest.delimited import Chunk
from holdfast.ingest.dialect import Dialect, find

TEXT = "id;x;label\nä1;1,5;yes\nb2;2,5;no\n"
EURO = "id;x;label\n€1;1,5;yes\nb2;2,5;no\n"


def found(folder: Path, data: bytes, *wanted: str, **declared: str) -> Dialect:
    """The dialect of these bytes."""
    path = folder / "rows.csv"
    path.write_bytes(data)
    said = {"encoding": "auto", "delimiter": "auto", "quote": "auto"} | declared
    return find(path, place="rows.csv", wanted=wanted, **said)


@pytest.mark.requirement("DATA-01")
@pytest.mark.parametrize(
    ("data", "encoding", "delimiter", "quote"),
    [
        (b"id,x\n1,2\n", "utf-8-sig", ",", '"'),
        (TEXT.encode(), "utf-8-sig", ";", '"'),
        (TEXT.encode("utf-8-sig"), "utf-8-sig", ";", '"'),
        (TEXT.encode("utf-16"), "utf-16-le", ";", '"'),
        (TEXT.encode("utf-16-le"), "utf-16-le", ";", '"'),
        (TEXT.encode("utf-16-be"), "utf-16-be", ";", '"'),
        (TEXT.encode("latin-1"), "cp1252", ";", '"'),
        (EURO.encode("cp1252"), "cp1252", ";", '"'),
        (b"id\tx\n1\t2,5\n", "utf-8-sig", "\t", '"'),
        (b"id|x\n1|2,5\n", "utf-8-sig", "|", '"'),
        (b"'id';'x'\n'1';'2;5'\n'it''s';'3'\n", "utf-8-sig", ";", "'"),
        (b'id,note\n1,"a;b\nc;d"\n2,"x;y"\n', "utf-8-sig", ",", '"'),
    ],
)
def test_the_dialect_of_a_business_file_is_found_out_and_said(
    tmp_path: Path, data: bytes, encoding: str, delimiter: str, quote: str
) -> None:
    """Encoding, delimiter and quotes follow from the bytes, and the words say that they were found out."""
    dialect = found(tmp_path, data)
    assert (dialect.encoding, dialect.delimiter, dialect.quote) == (encoding, delimiter, quote)
    assert "found out: encoding, delimiter, quotes" in dialect.words


@pytest.mark.requirement("DATA-01")
@pytest.mark.parametrize(
    ("data", "words", "place"),
    [
        (b"id,x;label\na,1;yes\n", "more than one reading", "rows.csv"),
        ("id;ä\n1;ä\n".encode() + b"2;\xff\n", "2 lines are UTF-8 beyond ASCII and 1 are not", "rows.csv:3"),
        (b"id;x\n1;\x81\n", "no letter for", "rows.csv:2"),
        (b"id\n1\n", "in no reading is this a table", "rows.csv"),
        (b"PK\x03\x04....", "a ZIP archive", "rows.csv"),
        (b"\x1f\x8b....", "compressed by gzip", "rows.csv"),
        ("id,x\n1,2\n".encode("utf-32"), "UTF-32", "rows.csv"),
        (b"\x00\x01\x02\x00\x00\x00\x03\x04\x00\x00", "order of bytes", "rows.csv"),
    ],
)
def test_what_has_two_readings_or_none_is_refused_not_guessed(
    tmp_path: Path, data: bytes, words: str, place: str
) -> None:
    """A clear message with the place, and what to declare."""
    with pytest.raises(InvalidData) as refusal:
        found(tmp_path, data)
    assert words in refusal.value.message
    assert refusal.value.place == place


def test_what_is_declared_is_not_found_out(tmp_path: Path) -> None:
    """A pinned dialect is taken, also where another reading would fit as well."""
    dialect = found(tmp_path, b"id,x;label\na,1;yes\n", encoding="latin-1", delimiter=";", quote='"')
    assert (dialect.encoding, dialect.delimiter, dialect.found) == ("latin-1", ";", ())
    assert "as declared" in dialect.words


def test_the_declared_columns_tell_two_readings_apart(tmp_path: Path) -> None:
    """Only in one of them has the header what must be there."""
    assert found(tmp_path, b"id,x;label\na,1;yes\n", "id").delimiter == ","


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_line_end_of_utf_16_is_no_half_of_a_letter(tmp_path: Path, encoding: str) -> None:
    """Letters that hold the byte of a line end, high or low, do not end a line."""
    letters = "ਅ\u0b0a\u200aĊ"  # each holds the byte 0x0A
    path = tmp_path / "rows.csv"
    path.write_bytes(f"id,x,label\n{letters},1,yes\nb{letters},2,no\n".encode(encoding))
    with path.open("rb") as stream:
        parts = list(delimited.chunks(stream, project().data, "rows.csv", Dialect(encoding=encoding)))
    rows = [row for part in parts if isinstance(part, Chunk) for row in part.frame.rows()]
    assert rows == [(letters, "1", "yes"), (f"b{letters}", "2", "no")]


def test_a_file_that_is_one_line_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its encoding is found out from pieces: what has no line ends would fill the memory."""
    monkeypatch.setattr(dialect, "MAX_LINE", 1000)
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" + b"x" * (1 << 21))
    with pytest.raises(InvalidData, match="line is too long") as error:
        find(path, encoding="auto", delimiter="auto", quote="auto", place="a.csv")
    assert error.value.place == "a.csv:2"
