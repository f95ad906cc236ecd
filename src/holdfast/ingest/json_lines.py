"""JSON Lines: one object a line, as the same text that CSV would have held.

Decides which lines are rows: an object with distinct names, whose values are texts, numbers, truth values or nothing.
Objects inside are flattened with points, lists kept as JSON text. Numbers stay the text they are written as, so that
nothing is rounded on the way. A line that is something else is set aside alone.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl

from holdfast.core.errors import InvalidData
from holdfast.core.flat_json import record
from holdfast.core.project import Data
from holdfast.engines.packed import pack
from holdfast.ingest.delimited import CHUNK, CHUNK_BYTES, Chunk, raw_of
from holdfast.ingest.raw import MAX_COLUMNS, MAX_LINE, MAX_ROWS, Raw, check_header
from holdfast.ingest.reasons import Fault, Reason

_BOM: Final = b"\xef\xbb\xbf"


def chunks(stream: BinaryIO, place: str) -> Iterator[Chunk]:
    """Yield the rows of a file, some at a time; at least one chunk, which may be empty.

    Raises:
        InvalidData: A line or the file is beyond the limits, or no UTF-8 at all.
    """
    waiting, numbers, faults = list[dict[str, str | None]](), list[int](), list[Fault]()
    rows_in = blank = number = size = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise InvalidData("the line is too long", place=f"{place}:{number}", expected=f"at most {MAX_LINE} bytes")
        line = line.removeprefix(_BOM) if number == 1 else line
        if not line.strip():
            blank += 1
            continue
        rows_in += 1
        if rows_in > MAX_ROWS:
            raise InvalidData("too many rows", place=f"{place}:{number}", expected=f"at most {MAX_ROWS}")
        size += len(line)
        try:
            waiting.append(record(line.decode()))
            numbers.append(rows_in)
        except UnicodeDecodeError:
            faults.append(Fault(row=rows_in, code=Reason.UNDECODABLE, detail=f"line {number}"))
        except ValueError as error:
            faults.append(Fault(row=rows_in, code=Reason.MALFORMED, detail=f"line {number}: {error}"))
        if len(waiting) == CHUNK or size >= CHUNK_BYTES:
            yield Chunk(frame=as_frame(waiting), numbers=numbers, faults=faults, rows_in=rows_in, blank=blank)
            waiting, numbers, faults, size = [], [], [], 0
    yield Chunk(frame=as_frame(waiting), numbers=numbers, faults=faults, rows_in=rows_in, blank=blank)


def as_frame(records: list[dict[str, str | None]]) -> pl.DataFrame:
    """Return records as a table of texts, its columns in the order in which they were first seen."""
    names = dict.fromkeys(name for each in records for name in each)
    if len(names) > MAX_COLUMNS:
        raise InvalidData(f"{len(names)} columns", expected=f"at most {MAX_COLUMNS}")
    return pl.DataFrame({name: pl.Series(name, [each.get(name) for each in records], pl.String) for name in names})


def pieces(path: Path, data: Data) -> Iterator[Raw]:
    """Yield the rows of a JSON Lines file, some at a time; which columns there are is known once all were read.

    Raises:
        InvalidData: A declared column is in no row, a name cannot be a column's, or the file is beyond the limits.
    """
    with path.open("rb") as stream:
        found = [(replace(part, frame=pl.DataFrame()), pack([part.frame])) for part in chunks(stream, data.source)]
    header = check_header(dict.fromkeys(name for _, rows in found for name in rows.columns), data, data.source)
    for part, rows in found:
        frame, lacking = rows.open(), pl.repeat(None, len(part.numbers), dtype=pl.String, eager=True)
        columns = [frame.get_column(name) if name in rows.columns else lacking.alias(name) for name in header.wanted]
        yield raw_of(part, pl.DataFrame(columns), header)
