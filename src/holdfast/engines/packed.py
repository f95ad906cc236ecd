"""Packed tables: rows that lie compressed, of which a column, or some columns, are opened at a time.

Decides how a table larger than what may be held open is kept between steps: as Parquet, in parts of some rows each. A
packed table never changes: what filters or replaces returns another, which shares the parts that stayed the same, and
whoever holds the first still sees all of it. Opening columns returns what a `DataFrame` of the same rows would.
"""

import io
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self

import polars as pl

PART: Final = 1 << 17  # rows of a part, where a table that is open is packed
COUNTED: Final = 1 << 20  # values that are counted together: some 100 MB while they are, where all are distinct


class Columns(Protocol):
    """What a `DataFrame` and a packed table have in common: columns by name, one at a time."""

    @property
    def columns(self) -> list[str]:
        """The names, in order."""
        ...

    @property
    def height(self) -> int:
        """How many rows."""
        ...

    def get_column(self, name: str, /) -> pl.Series:
        """Return one column."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A table in parts.

    Attributes:
        types: What the columns are, in order.
        parts: Parquet, as bytes or in a file that nobody changes; each has at least these columns.
        heights: Rows of each part.
        folder: Where parts are written; in memory where there is none. Whoever gave it removes it, with all parts.
    """

    types: pl.Schema
    parts: tuple[bytes | Path, ...] = field(repr=False)
    heights: tuple[int, ...]
    folder: Path | None = None

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return self.types.names()

    @property
    def height(self) -> int:
        """How many rows there are."""
        return sum(self.heights)

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.types)

    def get_column(self, name: str, /) -> pl.Series:
        """Return one column, opened."""
        return self.pick([name]).get_column(name)

    def pick(self, names: Collection[str]) -> pl.DataFrame:
        """Return some columns, opened, in the table's order; names that it does not have are passed over."""
        wanted = [name for name in self.columns if name in names]
        types = pl.Schema({name: self.types[name] for name in wanted})
        return pl.concat([pl.DataFrame(schema=types), *(_read(part, wanted) for part in self.parts)])

    def open(self) -> pl.DataFrame:
        """Return all of it, opened."""
        return self.pick(self.columns)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rows part by part, opened, in order."""
        for part in self.parts:
            yield _read(part, self.columns)

    def slices(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield some columns, at most `PART` rows at a time, in order; of a file no more is opened than those rows."""
        for part, height in zip(self.parts, self.heights, strict=True):
            for start in range(0, height, PART):
                lazy = pl.scan_parquet(io.BytesIO(part) if isinstance(part, bytes) else part, glob=False)
                yield lazy.slice(start, PART).select(names).collect()

    def select(self, names: Sequence[str]) -> Self:
        """Return only some columns, in this order."""
        return self._with(types=pl.Schema({name: self.types[name] for name in names}))

    def drop(self, names: Collection[str]) -> Self:
        """Return the table without some columns; names that it does not have are passed over."""
        return self.select([name for name in self.columns if name not in names])

    def filter(self, mask: pl.Series) -> Self:
        """Return the rows where a mask is true, a boolean for each row; parts of which all rows stay are shared."""
        parts, heights, start = list[bytes | Path](), list[int](), 0
        for part, height in zip(self.parts, self.heights, strict=True):
            stays = mask.slice(start, height)
            start += height
            count = int(stays.sum())
            if count == height:
                parts.append(part)
            elif count:
                parts.append(_written(_read(part, self.columns).filter(stays), self.folder))
            heights += [count] if count else []
        return self._with(parts=tuple(parts), heights=tuple(heights))

    def with_columns(self, column: pl.Series) -> Self:
        """Return the table with a column, one value a row, in the place of that of its name, or behind all."""
        types, parts, start = dict(self.types), list[bytes | Path](), 0
        types[column.name] = column.dtype
        for frame, height in zip(self.frames(), self.heights, strict=True):
            parts.append(_written(frame.with_columns(column.slice(start, height)), self.folder))
            start += height
        return self._with(types=pl.Schema(types), parts=tuple(parts))

    def sink(self, path: Path, *, compression_level: int, row_group_size: int) -> None:
        """Write the table as one Parquet file, the same bytes as if it were written from an open table."""
        lazy = [pl.scan_parquet(io.BytesIO(part) if isinstance(part, bytes) else part) for part in self.parts]
        pl.concat([pl.LazyFrame(schema=self.types), *(part.select(self.columns) for part in lazy)]).sink_parquet(
            path, compression="zstd", compression_level=compression_level, statistics=True,
            row_group_size=row_group_size, maintain_order=True,
        )  # fmt: skip

    def _with(
        self,
        types: pl.Schema | None = None,
        parts: tuple[bytes | Path, ...] | None = None,
        heights: tuple[int, ...] | None = None,
    ) -> Self:
        return type(self)(
            types=self.types if types is None else types,
            parts=self.parts if parts is None else parts,
            heights=self.heights if heights is None else heights,
            folder=self.folder,
        )


def pack(frames: Iterable[pl.DataFrame], folder: Path | None = None) -> Packed:
    """Return a packed table of open ones, which have the same columns; there is at least one of them.

    Args:
        frames: The rows.
        folder: Where parts are written, if not held in memory; whoever gives it removes it when the table is done with.
    """
    types, parts, heights = pl.Schema(), list[bytes | Path](), list[int]()
    for frame in frames:
        types = frame.schema
        for some in frame.iter_slices(PART):
            parts.append(_written(some, folder))
            heights.append(some.height)
    return Packed(types=types, parts=tuple(parts), heights=tuple(heights), folder=folder)


def stacked(tables: Sequence[Packed]) -> Packed:
    """Return tables of the same columns as one; their parts are shared."""
    parts = tuple(part for table in tables for part in table.parts)
    heights = tuple(height for table in tables for height in table.heights)
    return Packed(types=tables[-1].types, parts=parts, heights=heights, folder=tables[-1].folder)


def packed_file(path: Path) -> Packed:
    """Return the table in a Parquet file of our own making, where it lies; the file must stay as it is.

    Raises:
        polars.exceptions.PolarsError: It is no Parquet.
    """
    types = pl.Schema(pl.read_parquet_schema(path))
    height = int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
    return Packed(types=types, parts=(path,), heights=(height,))


def counted(values: pl.Series) -> pl.DataFrame:
    """Return each distinct value as `text`, and as `rows` in how many rows it stands, in no order; nulls are values.

    Of many values some are counted at a time, told apart by their hash: counting takes several times their memory.
    """
    values = values.alias("text")
    several = -(-len(values) // COUNTED)
    if several <= 1:
        return values.value_counts(name="rows")
    which = values.hash() % several
    return pl.concat([values.filter(which == each).value_counts(name="rows") for each in range(several)])


def _written(frame: pl.DataFrame, folder: Path | None) -> bytes | Path:
    out = io.BytesIO()
    frame.write_parquet(out, compression="zstd", compression_level=1, statistics=False)
    if folder is None:
        return out.getvalue()
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".parquet", delete=False) as file:
        file.write(out.getbuffer())
    return Path(file.name)


def _read(part: bytes | Path, names: Sequence[str]) -> pl.DataFrame:
    return pl.read_parquet(part, columns=list(names), glob=False).select(names)
