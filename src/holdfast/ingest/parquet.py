"""Parquet from outside: columns of plain types, within limits, as the same text that CSV would have held.

Decides which column types can be rows of a data set. One set of rules then serves both formats, so that a contract
means the same for each. Timestamps stay timestamps: a Parquet file says exactly which moment it means.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from holdfast.core.errors import InvalidData
from holdfast.core.project import Data
from holdfast.ingest.raw import MAX_ROWS, Header, Raw, check_header, check_timestamps
from holdfast.ingest.reasons import fault_table

_EXACT: Final = 2**53  # below it a 64-bit float holds every whole number
UTC: Final = pl.Datetime("us", "UTC")


def read(path: Path, data: Data) -> Raw:
    """Return the rows of a Parquet file.

    Raises:
        InvalidData: Not Parquet, damaged, a column of a nested or binary type, or beyond the limits.
    """
    try:
        types = pl.read_parquet_schema(path)
        header = check_header(types, data, f"{data.source}, schema")
        if header.names != tuple(types):
            raise InvalidData("a column's name begins or ends with a space", place=f"{data.source}, schema")
        check_timestamps({name: types[name] for name in header.declared}, data)
        wanted = _readable(header, types, data.source)
        count = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
        if count > MAX_ROWS:
            raise InvalidData(f"{count} rows", place=data.source, expected=f"at most {MAX_ROWS}")
        frame = pl.read_parquet(path, columns=wanted, glob=False).select(wanted)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        words = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InvalidData(f"this is not readable as Parquet: {words}", place=data.source) from error
    return Raw(
        frame=frame.select([_as_text(frame.get_column(name)) for name in frame.columns]),
        rows=pl.int_range(1, frame.height + 1, eager=True, dtype=pl.Int64).alias("row"),
        rows_in=frame.height,
        faults=fault_table(()),
        undeclared=header.undeclared,
        personal=header.personal,
    )


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
