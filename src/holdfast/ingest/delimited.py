"""CSV: RFC 4180 with a header, commas and UTF-8, read record by record so that no row is padded, cut or merged.

Decides which records are rows. A row with too few or too many fields, stray quotes or undecodable bytes is set aside
alone; a quote that swallows the following lines makes every row after it doubtful, so that the file is refused with the
line.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl

from holdfast.core.errors import InvalidData
from holdfast.core.project import Data
from holdfast.ingest.raw import MAX_FIELD, MAX_LINE, MAX_ROWS, Header, Raw, check_header
from holdfast.ingest.reasons import Fault, Reason, fault_table

CHUNK: Final = 50_000  # rows that exist as Python strings at one time; the rest is packed by Polars
_BOM: Final = b"\xef\xbb\xbf"
_UNKNOWN: Final = "\ufffd"  # what stands for bytes that are not UTF-8


class _Lines:
    """The lines of a file as text, one at a time; remembers what was wrong with those of the present record."""

    def __init__(self, stream: BinaryIO, place: str) -> None:
        self._stream, self._place = stream, place
        self.number = 0
        self.undecodable = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > MAX_LINE:
            raise InvalidData(
                "the line is too long", place=f"{self._place}:{self.number}", expected=f"at most {MAX_LINE} bytes"
            )
        if self.number == 1:
            line = line.removeprefix(_BOM)
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.undecodable = True
            return line.decode(errors="replace")


def read(path: Path, data: Data) -> Raw:
    """Return the rows of a CSV file.

    Raises:
        InvalidData: No readable header, a record that spans lines and breaks, a line or a file beyond the limits.
    """
    with path.open("rb") as stream:
        lines = _Lines(stream, data.source)
        csv.field_size_limit(MAX_FIELD)  # what it is anyway, unless somebody in this process has raised it
        records = csv.reader(lines, strict=True)
        header = _read_header(records, lines, data)
        return _read_rows(records, lines, header, data.source)


def _read_header(records: Iterator[list[str]], lines: _Lines, data: Data) -> Header:
    place = f"{data.source}:1"
    try:
        names = next(records)
    except csv.Error as error:
        raise InvalidData(
            f"the header cannot be read: {error}", place=place, expected="CSV with lines that end in LF or CRLF"
        ) from error
    if lines.undecodable:
        raise InvalidData("the header is not UTF-8", place=place, expected="UTF-8 text")
    return check_header(names, data, place)


def _read_rows(records: Iterator[list[str]], lines: _Lines, header: Header, source: str) -> Raw:
    width, picks = len(header.names), [header.names.index(name) for name in header.wanted]
    frames, waiting, numbers, faults = list[pl.DataFrame](), list[list[str]](), list[int](), list[Fault]()
    rows_in = blank = 0
    while True:
        start, lines.undecodable = lines.number + 1, False
        try:
            cells = next(records, None)
        except csv.Error as error:
            if lines.number != start:
                raise _broken(error, source, start, lines.number) from error
            rows_in += 1
            faults.append(Fault(row=rows_in, code=Reason.MALFORMED, detail=f"line {start}: {error}"))
            continue
        if cells is None:
            break
        if not cells:
            blank += 1
            continue
        rows_in += 1
        if rows_in > MAX_ROWS:
            raise InvalidData("too many rows", place=f"{source}:{start}", expected=f"at most {MAX_ROWS}")
        fault = _structural(cells, rows_in, start, width, undecodable=lines.undecodable, header=header)
        if fault is not None:
            faults.append(fault)
            continue
        numbers.append(rows_in)
        waiting.append([cells[pick] for pick in picks])
        if len(waiting) == CHUNK:
            frames.append(_pack(waiting, header))
            waiting = []
    return Raw(
        frame=pl.concat([*frames, _pack(waiting, header)]).rechunk(),
        rows=pl.Series("row", numbers, dtype=pl.Int64),
        rows_in=rows_in,
        faults=fault_table(faults),
        undeclared=header.undeclared,
        personal=header.personal,
        blank_lines=blank,
    )


def _structural(
    cells: list[str], row: int, line: int, width: int, *, undecodable: bool, header: Header
) -> Fault | None:
    """Return why a record is no row, if it is none."""
    if len(cells) != width:
        return Fault(
            row=row, code=Reason.RAGGED, detail=f"line {line}: {len(cells)} fields where {width} were expected"
        )
    if undecodable:
        bad = next((number for number, cell in enumerate(cells) if _UNKNOWN in cell), 0)
        return Fault(row=row, code=Reason.UNDECODABLE, column=header.names[bad], detail=f"line {line}")
    return None


def _broken(error: csv.Error, source: str, start: int, stop: int) -> InvalidData:
    return InvalidData(
        f"a quoted field that begins here does not end properly up to line {stop} ({error})",
        place=f"{source}:{start}",
        expected='quotes in pairs, and a quote inside a quoted field written as ""',
    )


def _pack(rows: list[list[str]], header: Header) -> pl.DataFrame:
    schema = pl.Schema(dict.fromkeys(header.wanted, pl.String()))
    return pl.DataFrame(rows, schema=schema, orient="row") if rows else pl.DataFrame(schema=schema)
