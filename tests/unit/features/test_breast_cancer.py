"""The breast-cancer example: a file that is messy in known ways, a clean data set, a weak recipe and a strong one."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.unit.ingest.world import MADE_WITH, Run, run

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.project import parse_project
from holdfast.engines.dataset import from_parquet
from holdfast.features import build
from holdfast.maths.scores import auc, balanced_accuracy

EXAMPLE = Path(__file__).parents[3] / "examples" / "breast-cancer"


def load(name: str) -> ModuleType:
    """A file of the example as a module."""
    spec = importlib.util.spec_from_file_location(f"breast_cancer_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make_data() -> ModuleType:
    """What writes the file."""
    return load("make_data")


@pytest.fixture(scope="module")
def done(make_data: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The example, ingested."""
    project, _ = parse_project((EXAMPLE / "holdfast.toml").read_bytes())
    return run(tmp_path_factory.mktemp("example"), make_data.export(), project)


@pytest.fixture(scope="module")
def features(done: Run) -> pl.DataFrame:
    """The example's table of features."""
    project, _ = parse_project((EXAMPLE / "holdfast.toml").read_bytes())
    result = build(done.ws, project, done.dataset, MADE_WITH)
    folder = parse_manifest(done.ws.blobs.get(result.one(Kind.FEATURES).digest))
    return from_parquet(done.ws.blobs.get(Digest(folder.file("features.parquet").digest)))


def test_the_file_has_the_same_bytes_each_time(make_data: ModuleType, tmp_path: Path) -> None:
    """All disorder comes from one seed."""
    assert make_data.write(tmp_path).read_bytes() == make_data.export()
    assert make_data.export(seed=1) != make_data.export()


def test_every_kind_of_disorder_is_found_and_every_patient_is_kept(done: Run, make_data: ModuleType) -> None:
    """569 patients less three who contradict themselves; each bad row stands in the quarantine for its reason."""
    mess = make_data.MESS
    found = [code for codes in done.codes.values() for code in codes]
    assert {code: found.count(code) for code in set(found)} == {
        "duplicate-row": mess.copies,
        "above-maximum": mess.slips,
        "not-a-number": mess.commas,
        "missing-value": mess.missing,
        "not-an-allowed-value": mess.unknown,
        "timestamp-ambiguous": mess.ambiguous,
        "timestamp-unreadable": mess.nonsense,
        "ragged-row": mess.ragged,
        "undecodable-bytes": mess.undecodable,
        "conflicting-duplicate": 2 * mess.conflicts,
    }
    assert done.rows.height == 569 - mess.conflicts
    assert done.rows["patient_id"].n_unique() == done.rows.height
    assert done.measures("ingest.contract/1")["null_literals"] >= mess.nulls


def test_personal_data_does_not_get_through(done: Run) -> None:
    """The declared column is not read; the notes, declared harmless, are caught by what stands in them."""
    assert {"contact_email", "notes"}.isdisjoint(done.rows.columns)
    assert done.evidence("ingest.personal/1").facts == {"caught": "notes", "declared": "contact_email"}
    assert done.measures("ingest.personal/1")["personal_values_left"] == 0
    stored = [blob for blob in done.ws.blobs.held.values() if not blob.startswith(b"patient_id,")]  # type: ignore[attr-defined]
    assert not [blob for blob in stored if b"example.org" in blob or b"202-555" in blob]


def test_age_band_and_clinic_do_not_depend_on_the_diagnosis(done: Run) -> None:
    """Equal shares in each class, but for the few set aside: a gap that is measured is the model's, or chance."""
    for column in ("age_band", "clinic"):
        for _, group in done.rows.group_by("diagnosis"):
            counts = group[column].value_counts()["count"].to_list()
            assert max(counts) - min(counts) <= 4


@dataclass(frozen=True)
class Rows:
    features: Any
    labels: Any


@dataclass(frozen=True)
class Given:
    train: Rows
    feature_names: tuple[str, ...]
    classes: tuple[str, ...] = ("benign", "malignant")


@pytest.mark.parametrize(("kind", "good"), [("weak", False), ("strong", True)])
def test_the_weak_recipe_is_weak_and_the_strong_one_is_strong(features: pl.DataFrame, kind: str, good: bool) -> None:
    """On rows it has not seen, with missing values among them; under noise of a tenth of a standard deviation too."""
    names = tuple(name for name in features.columns if name not in {"id", "label"} and ":" not in name)
    values, labels = features.select(names).to_numpy(), features["label"].to_numpy()
    test = np.arange(len(labels)) % 4 == 0
    given = Given(train=Rows(values[~test], labels[~test]), feature_names=names)
    model = load("train").train(given, {"kind": kind}, 7)
    right = balanced_accuracy(labels[test], model.predict(values[test]))
    ranks = auc(labels[test], model.predict_proba(values[test])[:, 1])
    assert len(names) == 30
    assert np.isnan(values).any()
    assert (right > 0.94, ranks > 0.98) == (good, good)
    noise = np.random.default_rng(0).normal(0, 0.1, values[test].shape) * np.nanstd(values[~test], axis=0)
    assert (balanced_accuracy(labels[test], model.predict(values[test] + noise)) > 0.92) == good


def test_a_recipe_that_is_asked_for_neither_says_what_it_knows() -> None:
    """A slip in params.kind is no silent default."""
    with pytest.raises(ValueError, match="weak and strong"):
        load("train").train(None, {"kind": "best"}, 7)
