"""CSV: RFC 4180 with a header, read record by record in a known dialect so that no row is padded, cut or merged.

Decides which records are rows. A row with too few or too many fields, stray quotes or undecodable bytes is set aside
alone; a quote that swallows the following lines makes every row after it doubtful, so that the file is refused with the
line.
"""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl

from holdfast.core.errors import InvalidData
from holdfast.core.project import Data
from holdfast.ingest.dialect import PLAIN, Dialect
from holdfast.ingest.raw import MAX_FIELD, MAX_LINE, MAX_ROWS, Header, Raw, check_header
from holdfast.ingest.reasons import Fault, Reason, fault_table

CHUNK: Final = 50_000  # rows that exist as Python strings at one time; the rest is packed by Polars
CHUNK_BYTES: Final = 32 << 20  # and bytes of them: rows may be long
_UNKNOWN: Final = "\ufffd"  # what stands for bytes that are no text in the file's encoding


class _Lines:
    """The lines of a file as text, one at a time; remembers what was wrong with those of the present record."""

    def __init__(self, stream: BinaryIO, place: str, encoding: str) -> None:
        self._stream, self._place = stream, place
        self._wide = encoding.startswith("utf-16")
        self._encoding = "utf-8" if encoding == "utf-8-sig" else encoding
        self._marks: tuple[bytes, ...] = (codecs.BOM_UTF8,) if self._encoding == "utf-8" else ()
        if self._wide:
            self._marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            self._end = "\n".encode(self._encoding)
        self.number = 0
        self.bytes = 0  # so far
        self.undecodable = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._wide_line() if self._wide else self._stream.readline(MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.bytes += len(line)
        if len(line) > MAX_LINE:
            raise InvalidData(
                "the line is too long", place=f"{self._place}:{self.number}", expected=f"at most {MAX_LINE} bytes"
            )
        if self.number == 1:
            for mark in self._marks:
                line = line.removeprefix(mark)
        try:
            return line.decode(self._encoding)
        except UnicodeDecodeError:
            self.undecodable = True
            return line.decode(self._encoding, errors="replace")

    def _wide_line(self) -> bytes:
        """Return a line of UTF-16: a line end is two bytes, and its newline byte may be half of another letter."""
        line = b""
        while len(line) <= MAX_LINE:
            part = self._stream.readline(MAX_LINE + 1)
            line += part
            if self._encoding == "utf-16-le" and part.endswith(b"\n") and len(line) % 2:
                line += self._stream.read(1)
            if not part or (len(line) % 2 == 0 and line.endswith(self._end)):
                break
        return line


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows as text, their numbers in the source, and the faults of the rows between them."""

    frame: pl.DataFrame
    numbers: list[int]
    faults: list[Fault]
    rows_in: int  # so far
    blank: int  # so far


def pieces(path: Path, data: Data) -> Iterator[Raw]:
    """Yield the rows of a project's own CSV file, which is UTF-8 with commas, some at a time; at least one piece.

    Raises:
        InvalidData: No readable header, a record that spans lines and breaks, a line or a file beyond the limits.
    """
    with path.open("rb") as stream:
        parts = chunks(stream, data, data.source, PLAIN)
        header = next(parts)
        assert isinstance(header, Header)  # noqa: S101 - what `chunks` gives first
        for part in parts:
            assert isinstance(part, Chunk)  # noqa: S101 - and then
            yield raw_of(part, part.frame, header)


def raw_of(part: Chunk, frame: pl.DataFrame, header: Header) -> Raw:
    """Return some rows as a piece of their file."""
    return Raw(
        frame=frame,
        rows=pl.Series("row", part.numbers, dtype=pl.Int64),
        rows_in=part.rows_in,
        faults=fault_table(part.faults),
        undeclared=header.undeclared,
        personal=header.personal,
        blank_lines=part.blank,
    )


def chunks(stream: BinaryIO, data: Data, place: str, dialect: Dialect) -> Iterator[Header | Chunk]:
    """Yield the header of a CSV file, then its rows, some at a time; at least one chunk, which may be empty.

    Raises:
        InvalidData: No readable header, a record that spans lines and breaks, a line or a file beyond the limits.
    """
    lines = _Lines(stream, place, dialect.encoding)
    csv.field_size_limit(MAX_FIELD)  # what it is anyway, unless somebody in this process has raised it
    records = csv.reader(lines, strict=True, delimiter=dialect.delimiter, quotechar=dialect.quote)
    header = _read_header(records, lines, data, place)
    yield header
    yield from _read_rows(records, lines, header, place)


def _read_header(records: Iterator[list[str]], lines: _Lines, data: Data, source: str) -> Header:
    place = f"{source}:1"
    try:
        names = next(records)
    except csv.Error as error:
        raise InvalidData(
            f"the header cannot be read: {error}", place=place, expected="CSV with lines that end in LF or CRLF"
        ) from error
    except StopIteration:
        raise InvalidData("the file is empty", place=place, expected="a header and at least one row") from None
    if lines.undecodable:
        raise InvalidData("the header is not UTF-8", place=place, expected="UTF-8 text")
    return check_header(names, data, place)


def _read_rows(records: Iterator[list[str]], lines: _Lines, header: Header, source: str) -> Iterator[Chunk]:
    width, picks = len(header.names), [header.names.index(name) for name in header.wanted]
    waiting, numbers, faults = list[list[str]](), list[int](), list[Fault]()
    rows_in = blank = packed_to = 0
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
        if len(waiting) == CHUNK or lines.bytes - packed_to >= CHUNK_BYTES:
            yield Chunk(frame=_pack(waiting, header), numbers=numbers, faults=faults, rows_in=rows_in, blank=blank)
            waiting, numbers, faults, packed_to = [], [], [], lines.bytes
    yield Chunk(frame=_pack(waiting, header), numbers=numbers, faults=faults, rows_in=rows_in, blank=blank)


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
