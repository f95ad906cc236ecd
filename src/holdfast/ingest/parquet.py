"""Parquet from outside: columns of plain types, within limits, as the same text that CSV would have held.

Decides which column types can be rows of a data set. One set of rules then serves both formats, so that a contract
means the same for each. Timestamps stay timestamps: a Parquet file says exactly which moment it means.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl

from holdfast.core.errors import InvalidData, without_values
from holdfast.core.project import Data
from holdfast.ingest.raw import MAX_ROWS, Header, Raw, check_header, check_timestamps
from holdfast.ingest.reasons import fault_table

_EXACT: Final = 2**53  # below it a 64-bit float holds every whole number
UTC: Final = pl.Datetime("us", "UTC")


MAX_CELLS: Final = 2_000_000_000  # rows times columns; a few bytes of Parquet can claim any number
CHUNK: Final = 100_000  # rows held at one time


def pieces(path: Path, data: Data) -> Iterator[Raw]:
    """Yield the rows of a Parquet file, some at a time; at least one piece.

    Raises:
        InvalidData: Not Parquet, damaged, a column of a nested or binary type, or beyond the limits.
    """
    with _readable_as_parquet(data.source):
        header, _, _ = _opened(path, data, data.source)
    before = 0
    for frame in chunks(path, data, data.source):
        yield Raw(
            frame=frame,
            rows=pl.int_range(before + 1, before + frame.height + 1, eager=True, dtype=pl.Int64).alias("row"),
            rows_in=before + frame.height,
            faults=fault_table(()),
            undeclared=header.undeclared,
            personal=header.personal,
        )
        before += frame.height


def chunks(path: Path, data: Data, place: str) -> Iterator[pl.DataFrame]:
    """Yield the rows of a Parquet file, some at a time.

    Raises:
        InvalidData: Not Parquet, damaged, a column of a nested or binary type, or beyond the limits.
    """
    with _readable_as_parquet(place):
        _, wanted, count = _opened(path, data, place)
    for start in range(0, max(count, 1), CHUNK):
        with _readable_as_parquet(place):
            frame = pl.scan_parquet(path, glob=False).select(wanted).slice(start, CHUNK).collect()
        yield frame.select([_as_text(frame.get_column(name)) for name in frame.columns])


@contextmanager
def _readable_as_parquet(place: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise InvalidData(f"this is not readable as Parquet: {without_values(error)}", place=place) from error


def _opened(path: Path, data: Data, place: str) -> tuple[Header, list[str], int]:
    """Return the header, the columns to read and the number of rows."""
    types = pl.read_parquet_schema(path)
    header = check_header(types, data, f"{place}, schema")
    if header.names != tuple(types):
        raise InvalidData("a column's name begins or ends with a space", place=f"{place}, schema")
    check_timestamps({name: types[name] for name in header.declared}, data)
    wanted = _readable(header, types, place)
    count = int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
    if count > MAX_ROWS or count * len(wanted) > MAX_CELLS:
        words = f"{count} rows of {len(wanted)} columns"
        raise InvalidData(words, place=place, expected=f"at most {MAX_ROWS} rows and {MAX_CELLS} values")
    return header, wanted, count


def _readable(header: Header, types: Mapping[str, pl.DataType], place: str) -> list[str]:
    """Return the columns to read: undeclared ones of other types are held out unread."""
    wanted = []
    for name in header.wanted:
        dtype = types[name]
        plain = dtype.is_numeric() or dtype in {pl.String, pl.Boolean, pl.Date, pl.Categorical, pl.Enum, pl.Null}
        if plain or isinstance(dtype, pl.Datetime):
            wanted.append(name)
        elif name in header.declared:
            raise InvalidData(f"column {name!r} is of type {dtype}", place=place, expected="text, numbers or moments")
    return wanted


def _as_text(column: pl.Series) -> pl.Series:
    """Return a column as the text that CSV would hold; moments in UTC, those without a zone being taken as UTC."""
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        zoned = column.dt.replace_time_zone("UTC") if dtype.time_zone is None else column.dt.convert_time_zone("UTC")
        return zoned.cast(UTC)
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if dtype.is_float():  # whole numbers that became floats because a value was missing stay whole numbers
        whole = (column == column.floor()) & (column.abs() < _EXACT)
        as_whole = column.set(~whole.fill_null(value=False), None).cast(pl.Int64).cast(pl.String)
        return as_whole.zip_with(as_whole.is_not_null(), column.cast(pl.String))
    return column.cast(pl.String)
