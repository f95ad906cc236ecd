"""The table of features as a stage sees it: opened, split, stored as a SPLIT, turned into arrays for the sandbox."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from holdfast.core.artifact import Artifact, Digest, Kind, manifest, parse_manifest
from holdfast.core.errors import InvalidData, NotVerified
from holdfast.core.ports import Blobs, Workspace
from holdfast.core.project import Project
from holdfast.engines.dataset import from_parquet, store_file, to_parquet
from holdfast.engines.transform import View
from holdfast.train.split import Shares, Side, assign, repeated_rows

TABLE: Final = "features.parquet"
VIEW: Final = "view.json"
FILES: Final[Mapping[Side, str]] = {
    Side.TRAIN: "train.parquet",
    Side.VALIDATION: "validation.parquet",
    Side.TEST: "test.parquet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One side as arrays: features float32 of shape (n, d), as they will be served; class indices of shape (n,)."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """A split table of features.

    Attributes:
        view: What the columns are.
        artifact: The SPLIT.
        sealed: The blob that holds the test rows; no training job may be able to read it.
        train: Rows to learn from.
        validation: Rows to tune on.
        test_rows: How many rows are sealed.
        overlap: Ids that are on more than one side.
        repeated: Sealed rows whose features also are a row to learn from or tune on.
    """

    view: View
    artifact: Artifact
    sealed: Digest
    train: Rows
    validation: Rows
    test_rows: int
    overlap: int
    repeated: int


def split(ws: Workspace, project: Project, features: Artifact) -> Sides:
    """Split the table of features and store the sides.

    Raises:
        InvalidData: A class has too few rows for three sides, a row has no id, or a feature is infinite.
        NotVerified: The artifact is not a table of features.
    """
    view, table = _open(ws.blobs, features)
    if table.get_column("id").null_count():
        raise InvalidData("some rows have no id", place=TABLE, expected="an id in every row")
    labels = table.get_column("label").to_numpy()
    shares = Shares(test=project.train.test_share, validation=project.train.validation_share)
    where = assign(table.get_column("id").to_list(), labels, shares, project.train.seed)
    frames = {side: table.filter(pl.Series(where == side)) for side in Side}
    files = [store_file(ws.blobs, FILES[side], to_parquet(frame)) for side, frame in frames.items()]
    folder = manifest(files)
    rows = {side: _arrays(frame, view) for side, frame in frames.items()}
    seen = np.concatenate((rows[Side.TRAIN].features, rows[Side.VALIDATION].features))
    return Sides(
        view=view,
        artifact=ws.store_folder(Kind.SPLIT, folder),
        sealed=Digest(folder.file(FILES[Side.TEST]).digest),
        train=rows[Side.TRAIN],
        validation=rows[Side.VALIDATION],
        test_rows=frames[Side.TEST].height,
        overlap=_overlap([frame.get_column("id") for frame in frames.values()]),
        repeated=len(repeated_rows(rows[Side.TEST].features, seen)),
    )


def _open(blobs: Blobs, features: Artifact) -> tuple[View, pl.DataFrame]:
    folder = parse_manifest(blobs.get(features.digest))
    document, rows = (blobs.get(Digest(folder.file(path).digest)) for path in (VIEW, TABLE))
    try:
        view, table = msgspec.json.decode(document, type=View), from_parquet(rows)
    except (msgspec.MsgspecError, pl.exceptions.PolarsError) as error:
        raise NotVerified(f"the features cannot be read: {error}", place=features.digest) from error
    missing = [name for name in ("id", *view.names, "label") if name not in table.columns]
    if missing:
        raise NotVerified(f"the table of features has no column {missing[0]!r}", place=features.digest)
    return view, table


def _arrays(frame: pl.DataFrame, view: View) -> Rows:
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
        features = frame.select(view.names).to_numpy().astype(np.float32)
    if np.isinf(features).any():
        name = view.names[int(np.argmax(np.isinf(features).any(axis=0)))]
        raise InvalidData("an infinite value", place=f"feature {name}", expected="numbers that a 32-bit float holds")
    return Rows(features=features, labels=frame.get_column("label").to_numpy().astype(np.int64))


def _overlap(ids: list[pl.Series]) -> int:
    """Return how many ids are on more than one side, counted from the sides themselves."""
    sides = pl.concat([side.unique() for side in ids]).value_counts(name="sides")
    return sides.filter(pl.col("sides") > 1).height


def parity_rows(validation: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the rows on which an export is held against its estimator: the validation rows, then each with holes.

    In every copy one value in ten is missing, and at least one.

    Args:
        validation: Shape (n, d); the result has shape (2 n, d).
        rng: Chooses which values.
    """
    n, d = validation.shape
    holes = rng.random((n, d)) < 0.1  # noqa: PLR2004 - the share the docstring states
    holes[np.arange(n), rng.integers(0, d, size=n)] = True
    return np.concatenate((validation, np.where(holes, np.float32(np.nan), validation)))
