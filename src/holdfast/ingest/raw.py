"""Raw tables: what a reader of files gives, the limits that every reader keeps, and which headers are acceptable.

Decides which column names can be told apart and shown, and which columns are read at all. How a file becomes a raw
table is left to `delimited` and `parquet`, what its text means to `cleaning`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from holdfast.core.errors import InvalidData
from holdfast.core.ports import GIB, MIB
from holdfast.core.project import Data
from holdfast.core.schema import ColumnType, Use

MAX_SOURCE: Final = 1 * GIB  # bytes; columns of so many are opened one at a time, and still take memory
MAX_COLUMNS: Final = 2_000  # wider tables are exports of something that was never meant as rows
MAX_NAME: Final = 128  # characters of a column's name; it appears in evidence, tables and pages
MAX_LINE: Final = 16 * MIB  # bytes; a longer line is a file without line ends, or an attack on memory
MAX_FIELD: Final = 131_072  # characters of one field, as Python's csv reader has it; more is a document, not a value
MAX_ROWS: Final = 20_000_000  # rows; a Parquet file of a few bytes can claim any number


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """What a file holds: readable rows as text (timestamps of a Parquet file as such), and the faults of the others.

    A file may come in pieces, each with some of its rows. `frame` has the declared columns, without the personal ones,
    in declared order, then the undeclared ones; `rows` is each row's number in the source, from 1; `rows_in` and
    `blank_lines` count from the beginning of the file.
    """

    frame: pl.DataFrame
    rows: pl.Series
    rows_in: int
    faults: pl.DataFrame
    undeclared: tuple[str, ...]
    personal: tuple[str, ...]  # declared personal columns that were there, and were not read
    blank_lines: int = 0


def joined(pieces: Sequence[Raw]) -> Raw:
    """Return the rows of a file whole, from its pieces in order; of counts, each piece says those up to its end."""
    last = pieces[-1]
    return replace(
        last,
        frame=pl.concat([piece.frame for piece in pieces]),
        rows=pl.concat([piece.rows for piece in pieces]),
        faults=pl.concat([piece.faults for piece in pieces]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A table's column names, checked against the declaration."""

    names: tuple[str, ...]
    declared: tuple[str, ...]  # to be read, in declared order
    undeclared: tuple[str, ...]  # read only to be searched for personal data
    personal: tuple[str, ...]  # not read at all

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns to read, in order."""
        return self.declared + self.undeclared


def check_header(names: Iterable[str], data: Data, place: str) -> Header:
    """Return the header if every name can be told apart and shown, and every declared column is there.

    A column declared `personal` may be absent: all that is ever done with it is to leave it out.

    Raises:
        InvalidData: With the column's number as the place.
    """
    found = tuple(name.strip() for name in names)
    if len(found) > MAX_COLUMNS:
        raise InvalidData(f"{len(found)} columns", place=place, expected=f"at most {MAX_COLUMNS}")
    declared = tuple(name for name, column in data.columns.items() if column.use is not Use.PERSONAL)
    absent = [name for name in declared if name not in found]
    if absent:  # asked first: in a file without a header the first row is no names, and nothing of it may be said
        hint = "" if len(found) > 1 else "; the only column there is may be a line with another delimiter than a comma"
        raise InvalidData(
            f"the declared column {absent[0]!r} is missing ({len(absent)} of {len(declared)} are)",
            place=place,
            expected=f"every column of [data.columns]{hint}",
        )
    seen: dict[str, int] = {}
    for number, name in enumerate(found, 1):
        _check_name(name, f"{place}, column {number}")
        if name in seen:
            raise InvalidData(
                f"the name {name!r} is that of column {seen[name]} too", place=f"{place}, column {number}"
            )
        seen[name] = number
    return Header(
        names=found,
        declared=declared,
        undeclared=tuple(name for name in found if name not in data.columns),
        personal=tuple(name for name in found if name in data.columns and name not in declared),
    )


def check_names(names: Iterable[str], place: str) -> None:
    """Check that every name can be shown.

    Raises:
        InvalidData: One cannot be a column's name.
    """
    for number, name in enumerate(names, 1):
        _check_name(name, f"{place}, column {number}")


def _check_name(name: str, place: str) -> None:
    """Refuse a name that would do something where it is shown, sorted or opened in a spreadsheet."""
    if not name:
        raise InvalidData("a column has no name", place=place, expected="a name for each column")
    if len(name) > MAX_NAME:
        raise InvalidData(f"a column's name has {len(name)} characters", place=place, expected=f"at most {MAX_NAME}")
    if not name.isprintable() or "\ufffd" in name or name[0] in "=+-@":
        raise InvalidData(
            f"{name!a} cannot be a column's name",
            place=place,
            expected="printable UTF-8 text that does not start with =, +, - or @",
        )


def check_timestamps(types: dict[str, pl.DataType], data: Data) -> None:
    """Refuse timestamps where the project declares something else.

    Raises:
        InvalidData: A column's own type contradicts its declaration for every row.
    """
    for name, dtype in types.items():
        column = data.columns.get(name)
        if column is not None and dtype.is_temporal() and column.type is not ColumnType.TIMESTAMP:
            raise InvalidData(f"column {name!r} holds timestamps", place=data.source, expected=f"a {column.type}")
