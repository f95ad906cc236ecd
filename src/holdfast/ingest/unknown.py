"""Unknown files: read as a table of texts without a declaration, in a dialect that is found out and said.

Decides nothing about what a file holds. Rows that cannot be read are counted, the first of them said; a file whose
dialect two readings fit is refused, as it would be at ingest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from holdfast.core.errors import InvalidData
from holdfast.core.project import Data
from holdfast.ingest import delimited, json_lines
from holdfast.ingest.dialect import DELIMITERS, Dialect, find, find_encoding
from holdfast.ingest.raw import MAX_SOURCE, Header
from holdfast.ingest.reasons import Fault
from holdfast.ingest.vetting import read_table

JSON_LINES: Final = (".jsonl", ".ndjson")
_HEAD: Final = 64 * 1024  # bytes in which a header ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A table of texts, how its file is written, and the rows that could not be read."""

    table: pl.DataFrame
    form: str  # csv, jsonl or parquet
    dialect: Dialect | None = None
    faults: Sequence[Fault] = ()

    @property
    def words(self) -> str:
        """How the file is written, as people read it."""
        return self.dialect.words if self.dialect is not None else {"jsonl": "JSON Lines"}.get(self.form, "Parquet")


def read_unknown(path: Path) -> Unknown:
    """Return the rows of a CSV, JSON Lines or Parquet file.

    Raises:
        InvalidData: It is empty, too large, compressed or binary, in no reading a table, or in more than one.
    """
    size = path.stat().st_size
    if not 0 < size <= MAX_SOURCE:
        raise InvalidData(f"the file has {size} bytes", place=path.name, expected=f"1 to {MAX_SOURCE}")
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head.startswith(b"PAR1"):
        return Unknown(table=read_table(path.read_bytes(), path.name), form="parquet")
    if path.suffix.lower() in JSON_LINES:
        with path.open("rb") as stream:
            parts = list(json_lines.chunks(stream, path.name))
        table = pl.concat([part.frame for part in parts], how="diagonal")
        return _checked(
            Unknown(table=table, form="jsonl", faults=[each for part in parts for each in part.faults]), path
        )
    return _delimited(path, head)


def _delimited(path: Path, head: bytes) -> Unknown:
    delimiter = "auto" if _divided(path, head) else ","  # of one column there is nothing to find out
    dialect = find(path, encoding="auto", delimiter=delimiter, quote="auto", place=path.name)
    data = Data(source=path.name, format="csv", origin="unknown", licence="unknown", columns={})
    frames, faults = list[pl.DataFrame](), list[Fault]()
    with path.open("rb") as stream:
        for part in delimited.chunks(stream, data, path.name, dialect):
            if not isinstance(part, Header):
                frames.append(part.frame)
                faults += part.faults
    return _checked(Unknown(table=pl.concat(frames), form="csv", dialect=dialect, faults=faults), path)


def _divided(path: Path, head: bytes) -> bool:
    """Say whether the header has anything in it that could divide columns."""
    encoding, _ = find_encoding(path, head, path.name)
    text = head.decode({"utf-8": "utf-8-sig"}.get(encoding, encoding), errors="replace")
    return any(mark in text.partition("\n")[0] for mark in DELIMITERS)


def _checked(found: Unknown, path: Path) -> Unknown:
    if not found.table.height:
        words = f"not one row can be read; the first: {found.faults[0].detail}" if found.faults else "there are no rows"
        raise InvalidData(words, place=path.name, expected="a header and at least one row")
    return found
