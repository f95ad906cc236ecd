"""Data sets as stored: what the folder of a DATASET holds, written by `ingest` and read by every later stage.

Decides the bytes of a table: same rows, same bytes, so that the same input always has the same digest. Leaves to
`ingest` what may stand in it.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import polars as pl

from holdfast.core.artifact import Artifact, File, Kind, canonical, manifest, parse_digest, parse_manifest
from holdfast.core.errors import NotVerified
from holdfast.core.ports import Blobs, Workspace
from holdfast.core.schema import Column, Use
from holdfast.engines.packed import Packed, packed_file

Rows = TypeVar("Rows", pl.DataFrame, Packed)
TABLE: Final = "data.parquet"
SCHEMA: Final = "schema.json"
ROW_GROUP: Final = 1 << 17  # rows; fixed, because the writer's own choice could follow the number of threads
ZSTD_LEVEL: Final = 3  # fixed for the same reason; higher levels cost more time than they save space


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A column as the project declared it, by name: order matters here, and canonical JSON sorts names."""

    name: str
    column: Column


class Schema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The columns of a data set in order, and those that were declared for it but held back as personal."""

    columns: tuple[Declared, ...]
    held_back: tuple[str, ...] = ()

    def of(self, use: Use) -> tuple[str, ...]:
        """Return the names of the columns of one use, in order."""
        return tuple(item.name for item in self.columns if item.column.use is use)

    def column(self, name: str) -> Column:
        """Return one column's declaration.

        Raises:
            NotVerified: The data set has no such column.
        """
        for item in self.columns:
            if item.name == name:
                return item.column
        raise NotVerified(f"the data set has no column {name!r}", place=SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A data set's rows and what its columns are."""

    rows: pl.DataFrame
    schema: Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The same, packed as it lies in the store."""

    rows: Packed
    schema: Schema


def to_parquet(frame: pl.DataFrame) -> bytes:
    """Return a table as Parquet: equal tables give equal bytes with one version of Polars (no times, fixed layout)."""
    out = io.BytesIO()
    frame.rechunk().write_parquet(
        out, compression="zstd", compression_level=ZSTD_LEVEL, statistics=True, row_group_size=ROW_GROUP
    )
    return out.getvalue()


def from_parquet(data: bytes) -> pl.DataFrame:
    """Return the table in Parquet bytes of our own making; bytes from outside go through `ingest.sources`."""
    return pl.read_parquet(io.BytesIO(data))


def store_file(blobs: Blobs, path: str, data: bytes) -> File:
    """Store one file of a folder and return its entry for the folder's manifest."""
    return File(path=path, digest=blobs.put(data), size=len(data))


def store_dataset(ws: Workspace, schema: Schema, rows: Packed) -> Artifact:
    """Store a data set and return it; the columns of `rows` are those of the schema, in order."""
    table = ws.scratch / TABLE
    rows.sink(table, compression_level=ZSTD_LEVEL, row_group_size=ROW_GROUP)
    stored = File(path=TABLE, digest=ws.blobs.put_file(table), size=table.stat().st_size)
    table.unlink()
    return ws.store_folder(Kind.DATASET, manifest((stored, store_file(ws.blobs, SCHEMA, canonical(schema)))))


def open_dataset(blobs: Blobs, artifact: Artifact) -> Dataset:
    """Return the rows and the schema of a stored data set.

    Raises:
        NotFound: A part of it is not in the store.
        NotVerified: The folder is not a data set, or its rows do not have the columns that its schema names.
    """
    folder = parse_manifest(blobs.get(artifact.digest))
    rows, document = (blobs.get(parse_digest(folder.file(path).digest)) for path in (TABLE, SCHEMA))
    with _readable(artifact):
        schema, frame = msgspec.json.decode(document, type=Schema), from_parquet(rows)
    return Dataset(rows=_checked(frame, schema, artifact), schema=schema)


def open_stored(blobs: Blobs, artifact: Artifact) -> Stored:
    """Return the same, its rows packed: of a large data set a column at a time is opened.

    Raises:
        NotFound: A part of it is not in the store.
        NotVerified: The folder is not a data set, or its rows do not have the columns that its schema names.
    """
    folder = parse_manifest(blobs.get(artifact.digest))
    path = blobs.path(parse_digest(folder.file(TABLE).digest))
    with _readable(artifact):
        schema = msgspec.json.decode(blobs.get(parse_digest(folder.file(SCHEMA).digest)), type=Schema)
        rows = packed_file(path)
    return Stored(rows=_checked(rows, schema, artifact), schema=schema)


@contextmanager
def _readable(artifact: Artifact) -> Iterator[None]:
    try:
        yield
    except (msgspec.MsgspecError, pl.exceptions.PolarsError) as error:
        raise NotVerified(f"the data set cannot be read: {error}", place=artifact.digest) from error


def _checked(rows: Rows, schema: Schema, artifact: Artifact) -> Rows:
    if tuple(rows.columns) != tuple(item.name for item in schema.columns):
        raise NotVerified("the rows do not have the columns of the schema", place=artifact.digest)
    return rows
