"""Opens what a model is assessed with: sealed rows, the spread of the rows it learned from, the model as a function."""

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from holdfast.assess.case import Case, Groups
from holdfast.core.artifact import Artifact, Digest, digest_bytes, parse_manifest
from holdfast.core.errors import NotVerified
from holdfast.core.ports import Blobs, Workspace
from holdfast.core.project import Project
from holdfast.core.schema import Signature, Use
from holdfast.engines.dataset import from_parquet
from holdfast.engines.jobs import make_room
from holdfast.engines.protected import Protected
from holdfast.engines.scoring import Answers, Questions, ask

MODEL, SIGNATURE = "model.onnx", "signature.json"
TRAIN, TEST = "train.parquet", "test.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxedModel:
    """A model as a function: each new batch of rows is one sandboxed job, and the same rows are asked once."""

    ws: Workspace
    name: str  # of its jobs' folders
    model: Path
    classes: int
    known: dict[Digest, NDArray[np.float64]] = field(default_factory=dict)
    jobs: count = field(default_factory=count)  # type: ignore[type-arg]

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return class probabilities, shape (n, classes), for rows of shape (n, features)."""
        key = digest_bytes(repr(rows.shape).encode() + np.ascontiguousarray(rows).tobytes())
        if key not in self.known:
            self.known[key] = self._ask(rows, timed=0).probabilities
        return self.known[key]

    def seconds(self, rows: NDArray[np.float32], calls: int) -> NDArray[np.float64]:
        """Return the seconds of single-row calls, shape (calls,), rows in turn."""
        return self._ask(rows, timed=calls).seconds

    def _ask(self, rows: NDArray[np.float32], *, timed: int) -> Answers:
        questions = Questions(rows=rows.astype(np.float32, copy=False), classes=self.classes, timed=timed)
        room = make_room(self.ws.scratch, f"{self.name}-{next(self.jobs)}")
        return ask(self.ws.sandbox, self.model, questions, room)


def open_case(
    ws: Workspace, project: Project, model: Artifact, baseline: Artifact, split: Artifact, *, seed: int, test_reads: int
) -> Case:
    """Return everything the controls look at; the model's bytes stay unopened.

    Raises:
        NotFound: A part is not in the store.
        NotVerified: An artifact is not what its kind says, or model, baseline and rows do not belong together.
    """
    signature = _signature(ws.blobs, model)
    if _signature(ws.blobs, baseline) != signature:
        raise NotVerified("candidate and baseline have different signatures", place=baseline.digest)
    names = [item.name for item in signature.inputs]
    sealed = _rows(ws.blobs, split, TEST, names)
    seen = _rows(ws.blobs, split, TRAIN, names).select(names).to_numpy()
    if project.train.positive not in signature.classes:
        raise NotVerified(f"no class is called {project.train.positive!r}", place=SIGNATURE)
    functions = [
        SandboxedModel(ws=ws, name=name, model=_path(ws.blobs, artifact), classes=len(signature.classes))
        for name, artifact in (("model", model), ("baseline", baseline))
    ]
    return Case(
        features=sealed.select(names).to_numpy().astype(np.float32),
        labels=sealed.get_column("label").to_numpy().astype(np.int64),
        positive=signature.classes.index(project.train.positive),
        predict=functions[0],
        baseline=functions[1],
        seconds=functions[0].seconds,
        spread=_spread(seen),
        slices=_groups(sealed, Use.SLICE),
        protected=_protected(sealed, ws),
        label=project.label,
        signature=signature,
        seed=seed,
        test_reads=test_reads,
        subsets=project.train.subsets,
    )


def _signature(blobs: Blobs, artifact: Artifact) -> Signature:
    folder = parse_manifest(blobs.get(artifact.digest))
    try:
        return msgspec.json.decode(blobs.get(Digest(folder.file(SIGNATURE).digest)), type=Signature)
    except msgspec.MsgspecError as error:
        raise NotVerified(f"the signature cannot be read: {error}", place=artifact.digest) from error


def _path(blobs: Blobs, artifact: Artifact) -> Path:
    return blobs.path(Digest(parse_manifest(blobs.get(artifact.digest)).file(MODEL).digest))


def _rows(blobs: Blobs, split: Artifact, name: str, features: list[str]) -> pl.DataFrame:
    rows = from_parquet(blobs.get(Digest(parse_manifest(blobs.get(split.digest)).file(name).digest)))
    missing = [column for column in (*features, "label") if column not in rows.columns]
    if missing:
        raise NotVerified(f"{name} has no column {missing[0]!r}: the rows are not this model's", place=split.digest)
    return rows


def _spread(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each feature's standard deviation over its values, shape (d,); 0 where it has none."""
    there = ~np.isnan(rows)
    return np.array(
        [column[known].std() if known.any() else 0.0 for column, known in zip(rows.T, there.T, strict=True)]
    )


def _groups(rows: pl.DataFrame, use: Use) -> Groups:
    prefix = f"{use}:"
    columns = [name for name in rows.columns if name.startswith(prefix)]
    return {name.removeprefix(prefix): rows.get_column(name).to_numpy().astype(np.str_) for name in columns}


def _protected(rows: pl.DataFrame, ws: Workspace) -> Groups:
    """Return the protected attributes of the sealed rows; the key is asked for only where there are any.

    Raises:
        Refused: The key is not lent.
        NotVerified: A cell does not open, or was never sealed.
    """
    columns = [name for name in rows.columns if name.startswith(f"{Use.PROTECTED}:")]
    if not columns:
        return {}
    opened = Protected(ws.protected_key())
    found = {}
    for name in columns:
        if rows.get_column(name).dtype != pl.Binary:
            raise NotVerified("a protected attribute lies in the clear", place=name, remedy="Run again.")
        values = opened.open(name, rows.get_column(name).to_list())
        found[name.removeprefix(f"{Use.PROTECTED}:")] = np.asarray(values, dtype=np.str_)
    return found
