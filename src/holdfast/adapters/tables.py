"""Tables of rows on disk, for scoring: CSV and Parquet read in chunks, parts written whole.

A file is opened once: what is hashed and what is scored is one and the same open file, whatever happens to its name.
CSV is RFC 4180 in UTF-8 with a header; it is read row by row by Python's own reader, which needs no more memory than a
chunk. A cell that holds no plain number becomes NaN, which the guards refuse, and a row with too few or too many cells
is named as broken: such rows are in the output like every other. Parquet needs Polars.
"""

import csv
import fcntl
import hashlib
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from holdfast.adapters.durable import PRIVATE_DIRECTORY, PRIVATE_FILE
from holdfast.adapters.published import read_bounded, replace_durably
from holdfast.core.batch import PLAN, Chunk, Form, Plan, Scored, columns_of
from holdfast.core.errors import Conflict, InvalidData, InvalidInput, MissingExtra, NotFound, Unavailable

MAX_FILE: Final = 1 << 30  # bytes of one file of the output
MAX_CELL: Final = 1 << 20  # characters of one cell; more is a document, not a value
LOCK: Final = ".lock"
_NUMBER: Final = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)  # no NaN, no infinity, no _


def open_table(path: Path) -> "CsvFile | ParquetFile":
    """Open a table by the end of its name.

    Raises:
        InvalidInput: It is called neither `.csv` nor `.parquet`.
        NotFound: There is no such file.
    """
    kinds: dict[str, type[CsvFile | ParquetFile]] = {".csv": CsvFile, ".parquet": ParquetFile}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise InvalidInput("the input is no table", place=str(path), expected=".csv or .parquet")
    return kind(path)


class _OpenFile:
    """A file that stays open, so that nothing can be put in its place."""

    form: Form

    def __init__(self, path: Path) -> None:
        """Open it for reading.

        Raises:
            NotFound: There is no such file.
            Unavailable: The operating system does not let us read it.
        """
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound("there is no such file", place=str(path), remedy="Name a file that is there.") from None
        except OSError as error:
            raise Unavailable(f"the input cannot be read: {error.strerror}", place=str(path)) from error

    def digest(self) -> str:
        """Return the digest of the file's bytes as they are now."""
        with self._bytes() as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _bytes(self) -> io.BufferedReader:
        """Return a reader of the open file's bytes from its beginning, which moves no other reader."""
        return Path(f"/proc/self/fd/{self._descriptor}").open("rb")

    def _positions(self, header: Sequence[str], names: Sequence[str]) -> list[int]:
        if len(set(header)) != len(header):
            raise InvalidData("a column is there twice", place=str(self.path))
        missing = [name for name in names if name not in header]
        if missing:
            raise InvalidData(
                f"{len(missing)} columns are missing, the first is {missing[0]!r}",
                place=str(self.path),
                expected="every input of the model and every column that is kept, by name",
                remedy="Add them, or take them out of --keep; a call to the model's metadata lists its inputs.",
            )
        return [header.index(name) for name in names]


class CsvFile(_OpenFile):
    """Rows of a CSV file."""

    form: Form = "csv"

    def columns(self) -> tuple[str, ...]:
        """Return the names of its columns, in order.

        Raises:
            InvalidData: It is empty, or no CSV in UTF-8.
        """
        with self._text() as text:
            return tuple(self._header(self._lines(text)))

    def chunks(self, inputs: Sequence[str], keep: Sequence[str], rows: int, skip: frozenset[int]) -> Iterator[Chunk]:
        """Yield chunks of so many rows; of those whose number is in `skip`, only how many rows they hold.

        Raises:
            InvalidData: A column is missing or there twice, or this is no CSV in UTF-8.
        """
        with self._text() as text:
            lines = self._lines(text)
            header = self._header(lines)
            wanted, copied = self._positions(header, inputs), self._positions(header, keep)
            number, first, held = 0, 0, list[list[str]]()
            while True:
                line = self._next(lines)
                if line is not None:
                    held.append(line)
                if held and (line is None or len(held) == rows):
                    yield self._chunk(first, held, len(header), wanted, copied, skipped=number in skip)
                    number, first, held = number + 1, first + len(held), []
                if line is None:
                    return

    def _text(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(self._bytes(), encoding="utf-8-sig", newline="")

    @staticmethod
    def _lines(text: io.TextIOWrapper) -> Any:
        csv.field_size_limit(MAX_CELL)
        return csv.reader(text, strict=True)

    def _header(self, lines: Any) -> list[str]:
        header = self._next(lines)
        if header is None:
            raise InvalidData("the input is empty", place=str(self.path), expected="a line with the columns' names")
        return header

    def _next(self, lines: Any) -> list[str] | None:
        """Return the next row; a blank line is none."""
        try:
            return next((line for line in lines if line), None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidData(
                f"line {lines.line_num}: {error}", place=str(self.path), expected="CSV in UTF-8"
            ) from error

    def _chunk(
        self, first: int, lines: list[list[str]], width: int, wanted: list[int], copied: list[int], *, skipped: bool
    ) -> Chunk:
        values = np.full((len(lines), len(wanted)), math.nan)
        if skipped:
            return Chunk(first=first, values=values)
        broken: dict[int, str] = {}
        for row, line in enumerate(lines):
            if len(line) == width:
                values[row] = [_value(line[at]) for at in wanted]
            else:
                broken[row] = f"the row has {len(line)} cells, and the header {width}"
        kept = tuple(tuple(line[at] if at < len(line) else "" for line in lines) for at in copied)
        return Chunk(first=first, values=values, kept=kept, broken=broken)


def _value(cell: str) -> float:
    return float(cell) if _NUMBER.fullmatch(cell) else math.nan


class ParquetFile(_OpenFile):
    """Rows of a Parquet file, read through Polars."""

    form: Form = "parquet"

    def columns(self) -> tuple[str, ...]:
        """Return the names of its columns, in order.

        Raises:
            InvalidData: This is no Parquet.
            MissingExtra: Polars is not installed.
        """
        polars = _polars()
        try:
            with self._bytes() as file:
                return tuple(polars.read_parquet_schema(file))
        except polars.exceptions.PolarsError as error:
            raise InvalidData(f"{type(error).__name__}: {error}", place=str(self.path), expected="Parquet") from error

    def chunks(self, inputs: Sequence[str], keep: Sequence[str], rows: int, skip: frozenset[int]) -> Iterator[Chunk]:
        """Yield chunks of so many rows; of those whose number is in `skip`, only how many rows they hold.

        Raises:
            InvalidData: A column is missing or no column of numbers, or this is no Parquet.
            MissingExtra: Polars is not installed.
        """
        polars = _polars()
        try:
            with self._bytes() as file:
                yield from self._scanned(polars, file, inputs, keep, rows, skip)
        except polars.exceptions.PolarsError as error:
            raise InvalidData(f"{type(error).__name__}: {error}", place=str(self.path), expected="Parquet") from error

    def _scanned(
        self,
        polars: Any,
        file: io.BufferedReader,
        inputs: Sequence[str],
        keep: Sequence[str],
        rows: int,
        skip: frozenset[int],
    ) -> Iterator[Chunk]:
        scanned = polars.scan_parquet(file)
        schema = scanned.collect_schema()
        self._positions(schema.names(), [*inputs, *keep])
        total = scanned.select(polars.len()).collect().item()
        for number, first in enumerate(range(0, total, rows)):
            if number in skip:
                values = np.full((min(rows, total - first), len(inputs)), math.nan)
                yield Chunk(first=first, values=values)
                continue
            frame = scanned.select(list(dict.fromkeys([*inputs, *keep]))).slice(first, rows).collect()
            cast = (polars.col(name).cast(polars.Float64, strict=False).fill_null(math.nan) for name in inputs)
            numbers = frame.select(cast).to_numpy() if inputs else np.empty((frame.height, 0))
            kept = tuple(tuple(frame[name].cast(polars.String, strict=False).fill_null("").to_list()) for name in keep)
            yield Chunk(first=first, values=numbers, kept=kept)


def encode_part(plan: Plan, chunk: Chunk, scored: Sequence[Scored]) -> bytes:
    """Return a part of the output: CSV or Parquet, one row for each row, by the plan.

    Raises:
        Conflict: A copied column is called as one of the output's.
        MissingExtra: Polars is not installed, and the plan asks for Parquet.
    """
    columns = columns_of(plan)
    empty = ("",) * len(plan.classes)
    rows = [
        (
            chunk.first + number,
            *(column[number] for column in chunk.kept),
            each.outcome,
            each.label,
            *(each.probabilities or empty),
            each.code,
            each.reason,
            " ".join(each.flags),
        )
        for number, each in enumerate(scored)
    ]
    if plan.form == "parquet":
        return _parquet(plan, columns, rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def _parquet(plan: Plan, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> bytes:
    polars = _polars()
    scores = {f"probability {name}" for name in plan.classes}
    kinds = {name: polars.Float64 if name in scores else polars.String for name in columns} | {"row": polars.Int64}
    data = {
        name: [None if name in scores and row[at] == "" else row[at] for row in rows] for at, name in enumerate(columns)
    }
    buffer = io.BytesIO()
    polars.DataFrame(data, schema=kinds).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _polars() -> Any:
    try:
        import polars as pl
    except ImportError as error:
        raise MissingExtra("Parquet needs Polars", remedy="pip install 'holdfast[lifecycle]', or use CSV.") from error
    return pl


class OutputFolder:
    """A folder of parts; whoever holds it is alone, and the kernel lets go of it for who dies."""

    def __init__(self, path: Path) -> None:
        """Make or open the folder, and hold it.

        Raises:
            Conflict: Another process writes into it, or it holds something else.
            Unavailable: It cannot be made.
        """
        self.path = path
        try:
            path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            foreign = [each.name for each in path.iterdir() if each.name != LOCK]
            if foreign and not (path / PLAN).exists() and not all(name.startswith(f".{PLAN}.") for name in foreign):
                raise Conflict("the folder holds something else", place=str(path), expected="a new or empty folder")
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
        except OSError as error:
            raise Unavailable(f"the output cannot be written: {error.strerror}", place=str(path)) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise Conflict("another process writes into this folder", place=str(path)) from error

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None where there is none."""
        return read_output(self.path, name)

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole and durably, over what is there.

        Raises:
            Unavailable: The disk is full or failing; what was there is still there.
        """
        try:
            replace_durably(self.path / name, data)
        except OSError as error:
            raise Unavailable(f"the output cannot be written: {error.strerror}", place=str(self.path / name)) from error

    def close(self) -> None:
        """Let go of the folder, and of what a crash has left half written."""
        for left in self.path.glob(".*.*"):
            if left.name != LOCK:
                left.unlink(missing_ok=True)
        os.close(self._lock)


def read_output(path: Path, name: str) -> bytes | None:
    """Return the bytes of a file of an output folder; None where there is none.

    Raises:
        HoldfastError: It is no regular file, or cannot be read.
    """
    try:
        return read_bounded(path / name, MAX_FILE, name)
    except NotFound:
        return None
