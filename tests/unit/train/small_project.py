"""A small project for the tests of training and assessing: rows of two classes, and everything a stage is handed."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from holdfast.adapters.blobs import DiskBlobs
from holdfast.assess import assess
from holdfast.core.artifact import Artifact, Digest, Kind, canonical, manifest, parse_manifest
from holdfast.core.control import Result
from holdfast.core.evidence import Evidence, MadeWith
from holdfast.core.ports import Sandbox, Workspace
from holdfast.core.project import Project, parse_project
from holdfast.engines.dataset import store_file, to_parquet
from holdfast.engines.protected import Protected
from holdfast.engines.transform import Feature, View
from holdfast.testing.clock import SettableClock
from holdfast.testing.sandbox import UnsafeInProcessSandbox, UnsafeSandboxWarning
from holdfast.train import train

FEATURES = ("age", "dose", "mass", "span")
CLASSES = ("ill", "well")
PROTECTED_KEY = bytes(range(32))
LOGISTIC = """
from sklearn.linear_model import LogisticRegression

def train(data, params, seed):
    return LogisticRegression(max_iter=1000).fit(data.train.features, data.train.labels)
"""
FOREST = """
from sklearn.ensemble import RandomForestClassifier

def train(data, params, seed):
    return RandomForestClassifier(10, random_state=seed).fit(data.train.features, data.train.labels)
"""
PROJECT = """
[project]
name = "small"
owner = "somebody"
[risk]
sensitivity = "synthetic"
exposure = "none"
stakes = "experimental"
[data]
source = "rows.csv"
format = "csv"
origin = "drawn"
licence = "CC0-1.0"
[data.columns]
patient = { type = "string", use = "id" }
age = { type = "float", minimum = -10.0, maximum = 10.0 }
dose = { type = "float", minimum = -10.0, maximum = 10.0 }
mass = { type = "float" }
span = { type = "float" }
outcome = { type = "category", use = "label" }
site = { type = "category", use = "slice" }
sex = { type = "category", use = "protected" }
[features]
[train]
recipe = "code/train.py:train"
positive = "ill"
seed = 11
[train.params]
trees = 10
[gates]
policy = "baseline"
"""


def rows(count: int = 240, *, seed: int = 5, missing: float = 0.0) -> pl.DataFrame:
    """A table of features as the stage before training leaves it: two overlapping classes, one row per patient."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    values = rng.normal(size=(count, len(FEATURES))) + labels[:, None] * np.array([1.6, -1.2, 0.0, 0.4])
    values[rng.random(values.shape) < missing] = np.nan
    return pl.DataFrame(
        {
            "id": [f"patient-{seed}-{number:05d}" for number in range(count)],
            **{name: values[:, place] for place, name in enumerate(FEATURES)},
            "label": labels,
            "slice:site": [("north", "south")[number // 2 % 2] for number in range(count)],
            "protected:sex": [("f", "m")[number // 4 % 2] for number in range(count)],
        }
    )


def sealed(table: pl.DataFrame) -> pl.DataFrame:
    """The table with its protected attribute sealed, as the stage before training leaves it."""
    name = "protected:sex"
    cells = Protected(PROTECTED_KEY).seal(name, table.get_column(name).to_list())
    return table.with_columns(pl.Series(name, cells, dtype=pl.Binary))


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallProject:
    """A workspace with a project in it whose features are built."""

    ws: Workspace
    project: Project
    features: Artifact
    made_with: MadeWith

    def recipe(self, code: str, **others: str) -> Artifact:
        """A RECIPE with this `train.py`, and other modules beside it."""
        files = {"train.py": code} | {f"{name}.py": text for name, text in others.items()}
        stored = [store_file(self.ws.blobs, name, text.encode()) for name, text in files.items()]
        return self.ws.store_folder(Kind.RECIPE, manifest(stored))

    def train(self, code: str = LOGISTIC, **others: str) -> Result:
        """What training with this recipe leaves."""
        return train(self.ws, self.project, self.features, self.recipe(code, **others), self.made_with)

    def assess(self, trained: Result) -> Result:
        """What assessing leaves of what training left."""
        return assess(
            self.ws,
            self.project,
            model=trained.one(Kind.MODEL),
            baseline=trained.one(Kind.BASELINE),
            split=trained.one(Kind.SPLIT),
            features=self.features,
            made_with=self.made_with,
        )

    def file(self, artifact: Artifact, name: str) -> bytes:
        """The bytes of one file of a folder."""
        return self.ws.blobs.get(Digest(parse_manifest(self.ws.blobs.get(artifact.digest)).file(name).digest))


def make_project(
    folder: Path, *, table: pl.DataFrame | None = None, sandbox: Sandbox | None = None, edit: tuple[str, str] = ("", "")
) -> SmallProject:
    """A small project in an empty folder.

    Args:
        folder: Where blobs and scratch go.
        table: Its features; `rows()` where none are given.
        sandbox: What its jobs run in; this very process where none is given.
        edit: A text of the project file and what stands in its place.
    """
    text = PROJECT.replace(*edit)
    project, digest = parse_project(text.encode())
    blobs = DiskBlobs(folder / "blobs")
    scratch = folder / "scratch"
    scratch.mkdir()
    ws = Workspace(
        blobs=blobs,
        sandbox=sandbox or in_process(),
        clock=SettableClock(),
        scratch=scratch,
        protected_key=lambda: PROTECTED_KEY,
    )
    table = sealed(rows() if table is None else table)
    view = View(features=tuple(Feature(name=name, of=(name,)) for name in FEATURES), classes=CLASSES)
    files = [store_file(blobs, "features.parquet", to_parquet(table)), store_file(blobs, "view.json", canonical(view))]
    return SmallProject(
        ws=ws,
        project=project,
        features=ws.store_folder(Kind.FEATURES, manifest(files)),
        made_with=MadeWith(code="sha256:" + "0" * 64, configuration=digest, seed=3),
    )


def in_process() -> UnsafeInProcessSandbox:
    """A sandbox that confines nothing, without its warning: what these tests are about lies outside the job."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsafeSandboxWarning)
        return UnsafeInProcessSandbox()


def evidence_of(result: Result, control: str) -> Evidence:
    """The evidence of one control."""
    return next(item for item in result.evidence if item.control == control)


def value_of(evidence: Evidence, name: str) -> float:
    """The value of one measure."""
    return next(item.value for item in (*evidence.measures, *evidence.timings) if item.name == name)
