"""Records: what every kind of source becomes, one form: declared columns as text, and the name of the source.

Decides how a batch is read back, whatever it came as, and which version of a record counts: of those with one key the
one that arrived last. When something arrived is kept on record beside the batch; it is no column, so that no model can
learn from it. Nothing here is held in memory whole: rows pass in chunks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from holdfast.core.errors import InvalidData
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.core.sources import RESERVED, SOURCE_COLUMN, Source
from holdfast.engines.dataset import ROW_GROUP, ZSTD_LEVEL
from holdfast.ingest import delimited, dialect, json_lines, parquet
from holdfast.ingest.dialect import Dialect
from holdfast.ingest.raw import MAX_SOURCE, Header, check_header
from holdfast.ingest.reasons import Fault

KEY: Final = "_key"  # what names a record, in a batch of records
ROW: Final = "_row"  # digest of a record's values, by which one that comes twice is known
RECORDS: Final = "records"  # form of a batch of what no file was: rows of a database, an API, a stream
MAX_PARTS: Final = 100_000  # chunks of one data set


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch as stored: the bytes that came, or records."""

    path: Path
    form: str  # csv, parquet, jsonl or records
    place: str
    dialect: Dialect | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a file turns out to hold."""

    rows: int
    faults: tuple[Fault, ...]
    columns: tuple[str, ...]
    undeclared: tuple[str, ...]
    dialect: Dialect | None


def required(project: Project, source: Source) -> dict[str, Any]:
    """Return the columns, by the source's own names, that must be there or must not be read."""
    back = {target: name for name, target in source.rename.items()}
    declared = {back.get(name, name): column for name, column in project.data.columns.items()}
    return {
        name: column
        for name, column in declared.items()
        if column.use is Use.PERSONAL or not source.columns or name in source.columns
    }


def used(project: Project, source: Source) -> tuple[str, ...]:
    """Return the source's own names of all that may go on: declared columns that are not personal."""
    back = {target: name for name, target in source.rename.items()}
    return tuple(back.get(n, n) for n, column in project.data.columns.items() if column.use is not Use.PERSONAL)


def look(path: Path, project: Project, source: Source, place: str) -> Looked:
    """Read a file of a source through, some rows at a time, and say what it holds.

    Raises:
        InvalidData: It is empty or too large, not of its format, lacks a column, has a name that cannot be one, or more
            of its rows are broken than the project bears.
    """
    size = path.stat().st_size
    if size == 0:
        raise InvalidData("the file is empty", place=place, expected="a header and at least one row")
    if size > MAX_SOURCE:
        raise InvalidData(f"the file has {size} bytes", place=place, expected=f"at most {MAX_SOURCE}")
    found = _dialect(path, project, source, place)
    batch = Batch(path=path, form=source.kind, place=place, dialect=found)
    rows, faults, names = 0, list[Fault](), dict[str, None]()
    for frame, broken in chunks(batch, project, source):
        rows += frame.height + len(broken)
        faults += broken
        names |= dict.fromkeys(frame.columns)
    wanted = check_header(names, msgspec.structs.replace(project.data, columns=required(project, source)), place)
    if rows == 0:
        raise InvalidData("the file has no rows", place=place, expected="at least one row")
    if len(faults) > project.data.max_quarantined_share * rows:
        words = f"{len(faults)} of {rows} rows cannot be read; the first: {faults[0].detail}"
        raise InvalidData(words, place=place, expected=f"at most {project.data.max_quarantined_share:.0%}")
    _check_reserved(names, place)
    return Looked(rows=rows - len(faults), faults=tuple(faults), columns=wanted.declared,
                  undeclared=wanted.undeclared, dialect=found)  # fmt: skip


def _dialect(path: Path, project: Project, source: Source, place: str) -> Dialect | None:
    if source.kind != "csv":
        return None
    wanted = [name for name, column in required(project, source).items() if column.use is not Use.PERSONAL]
    said = source.file
    return dialect.find(
        path,
        encoding=said.encoding if said else "auto",
        delimiter=said.delimiter if said else "auto",
        quote=said.quote if said else "auto",
        place=place,
        wanted=wanted,
    )


def _check_reserved(names: Iterable[str], place: str) -> None:
    for name in names:
        if name in RESERVED:
            raise InvalidData(f"a column is called {name}", place=place, expected="a name that is not our own")


def chunks(batch: Batch, project: Project, source: Source) -> Iterator[tuple[pl.DataFrame, Sequence[Fault]]]:
    """Yield a batch's rows as text, some at a time, with the faults of those that cannot be read.

    Raises:
        InvalidData: The file cannot be read.
    """
    data = msgspec.structs.replace(project.data, columns=required(project, source))
    match batch.form:
        case "csv":
            with batch.path.open("rb") as stream:
                for part in delimited.chunks(stream, data, batch.place, batch.dialect or dialect.PLAIN):
                    if not isinstance(part, Header):
                        yield part.frame, part.faults
        case "jsonl":
            with batch.path.open("rb") as stream:
                for part in json_lines.chunks(stream, batch.place):
                    yield part.frame, part.faults
        case "parquet":
            for frame in parquet.chunks(batch.path, data, batch.place):
                yield frame.select(_moments_as_text(frame)), ()
        case _:
            yield pl.read_parquet(batch.path), ()


def _moments_as_text(frame: pl.DataFrame) -> list[pl.Expr]:
    return [
        pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ") if dtype.is_temporal() else pl.col(name)
        for name, dtype in frame.schema.items()
    ]


def key_of(columns: Sequence[str]) -> pl.Expr:
    """Return what names a record: the values of its key columns, each with its length before it."""
    parts = [pl.col(name).fill_null("") for name in columns]
    return pl.concat_str([pl.format("{}:{}", part.str.len_bytes(), part) for part in parts])


def merge(
    sources: Sequence[tuple[str, Source, Sequence[Batch]]], project: Project, folder: Path
) -> tuple[Path, Mapping[str, int]]:
    """Write all batches of all sources as one table, and return it with the rows of each source.

    Args:
        sources: Name, declaration and batches in the order in which they arrived.
        project: Whose declared columns are kept, the personal ones left out.
        folder: An empty folder; parts lie there until the table is written.

    Raises:
        InvalidData: A batch cannot be read.
    """
    wanted = [name for name, column in project.data.columns.items() if column.use is not Use.PERSONAL]
    tables, counts, number = list[pl.LazyFrame](), dict[str, int](), 0
    for name, source, batches in sources:
        parts = list[Path]()
        for batch in batches:
            for frame, _ in chunks(batch, project, source):
                if number >= MAX_PARTS:
                    raise InvalidData(f"more than {MAX_PARTS} parts", place=name, expected="fewer, larger batches")
                part = folder / f"part-{number:06d}.parquet"
                _form(frame, name, source, wanted).write_parquet(part, compression="zstd", compression_level=1)
                parts.append(part)
                number += 1
        if not parts:
            counts[name] = 0
            continue
        table = pl.scan_parquet(parts, glob=False, missing_columns="insert")
        if source.key or any(batch.form == RECORDS for batch in batches):
            table = table.unique(subset=KEY, keep="last", maintain_order=True)
        counts[name] = int(table.select(pl.len()).collect(engine="streaming").item())
        tables.append(table.drop(KEY))
    if not tables:
        raise InvalidData("no source has any rows", place=project.data.source, expected=_ways(sources))
    whole = pl.concat(tables, how="vertical")
    out = folder / "rows.parquet"
    there = [each for each in wanted if _anywhere(whole, each)]
    whole.select(*there, SOURCE_COLUMN).sink_parquet(
        out, compression="zstd", compression_level=ZSTD_LEVEL, statistics=True, row_group_size=ROW_GROUP,
        maintain_order=True,
    )  # fmt: skip
    return out, counts


def _ways(sources: Sequence[tuple[str, Source, Sequence[Batch]]]) -> str:
    """Return how rows of these sources come: some are fetched, others are handed in by whoever signs them."""
    pushed = [name for name, source, _ in sources if source.pushed]
    pulled = [name for name, source, _ in sources if not source.pushed]
    ways = [f"`holdfast source pull {name}`" for name in pulled]
    ways += [f"`holdfast source push {name} FILE` with what its sender has signed" for name in pushed]
    return f"rows: {'; '.join(ways[:4])}"


def _anywhere(whole: pl.LazyFrame, name: str) -> bool:
    """Say whether any row has a value: a column that no source has is missing, not empty."""
    return bool(whole.select(pl.col(name).is_not_null().any()).collect(engine="streaming").item())


def _form(frame: pl.DataFrame, name: str, source: Source, wanted: Sequence[str]) -> pl.DataFrame:
    """Return rows in the one form, with what names each record."""
    given = {source.rename.get(each, each): each for each in frame.columns if each not in RESERVED}
    columns = [
        pl.col(given[each]).cast(pl.String).alias(each) if each in given else pl.lit(None, pl.String).alias(each)
        for each in wanted
    ]
    keyed = key_of(source.key) if source.key else pl.lit(None, pl.String)
    key = pl.col(KEY) if KEY in frame.columns else keyed
    return frame.select(key.alias(KEY), *columns, pl.lit(name).alias(SOURCE_COLUMN))
