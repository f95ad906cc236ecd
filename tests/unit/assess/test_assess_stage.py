from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.unit.train.small_project import FOREST, SmallProject, evidence_of, make_project, rows, value_of

from holdfast.assess import CONTROLS, assess
from holdfast.assess.sealed import open_case
from holdfast.core.artifact import Artifact, Kind, canonical, manifest, parse_manifest
from holdfast.core.control import Result
from holdfast.core.errors import NotVerified
from holdfast.core.evidence import Outcome
from holdfast.core.policy import parse_policy
from holdfast.core.schema import Signature
from holdfast.engines.dataset import from_parquet, store_file


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    """A small project whose jobs run in this process."""
    return make_project(tmp_path)


def assessed(project: SmallProject, trained: Result, **other: Artifact | int) -> Result:
    """What assessing a trained model leaves."""
    given = {"model": trained.one(Kind.MODEL), "baseline": trained.one(Kind.BASELINE), "split": trained.one(Kind.SPLIT)}
    return assess(
        project.ws,
        project.project,
        features=project.features,
        made_with=project.made_with,
        **(given | other),  # type: ignore[arg-type]
    )


def outcomes(result: Result) -> set[Outcome]:
    """How the controls ended, but for the certificate: of a model that does not vote it never applies."""
    told = {item.control: item.outcome for item in result.evidence}
    assert told.pop("assess.certificate/1") is Outcome.NOT_APPLICABLE
    return set(told.values())


def test_every_control_leaves_measured_evidence_about_the_model(project: SmallProject) -> None:
    """Seven controls, in the order they are listed, each with its own measures, all about the model's digest."""
    trained = project.train()
    result = assessed(project, trained, test_reads=1)
    assert result.artifacts == ()
    assert [item.control for item in result.evidence] == [control.name for control in CONTROLS]
    assert {(item.subject, item.kind) for item in result.evidence} == {(trained.one(Kind.MODEL).digest, Kind.MODEL)}
    assert outcomes(result) == {Outcome.MEASURED}
    assert value_of(evidence_of(result, "assess.quality/1"), "rows") == 60
    assert set(result.evidence[0].made_with.data) == {
        item.digest for item in (*trained.artifacts[:3], project.features)
    }


def test_accuracy_is_that_of_the_sealed_rows(project: SmallProject) -> None:
    """The number is the one that counting the sealed rows by hand gives."""
    trained = project.train()
    case = open_case(
        project.ws,
        project.project,
        trained.one(Kind.MODEL),
        trained.one(Kind.BASELINE),
        trained.one(Kind.SPLIT),
        seed=0,
        test_reads=0,
    )
    sealed = from_parquet(project.file(trained.one(Kind.SPLIT), "test.parquet"))
    assert (case.labels == sealed.get_column("label").to_numpy()).all()
    assert set(case.slices) == {"site"}
    assert set(case.protected) == {"sex"}
    by_hand = (case.predict(case.features).argmax(axis=1) == sealed.get_column("label").to_numpy()).mean()
    found = evidence_of(assessed(_fresh(project), trained), "assess.quality/1")
    assert value_of(found, "accuracy") == pytest.approx(by_hand)
    assert "test_reads" not in {item.name for item in found.measures}


def _fresh(project: SmallProject, name: str = "second") -> SmallProject:
    """The same project with an empty scratch folder, as each stage gets one."""
    scratch = project.ws.scratch.with_name(name)
    scratch.mkdir()
    ws = replace(project.ws, scratch=scratch)
    return SmallProject(ws=ws, project=project.project, features=project.features, made_with=project.made_with)


def test_the_same_rows_are_asked_once(project: SmallProject) -> None:
    """Controls share answers to sealed rows: model, baseline, noise, attack (two), squeezing (three), timing: nine."""
    trained = project.train(FOREST)
    sandbox = project.ws.sandbox
    before = len(sandbox.declared)  # type: ignore[attr-defined]
    assessed(project, trained)
    assert len(sandbox.declared) - before == 9  # type: ignore[attr-defined]


def test_the_same_seed_gives_the_same_evidence(project: SmallProject) -> None:
    """Assessed twice with one seed, all evidence but the timings is the same."""
    trained = project.train(FOREST)
    first, second = assessed(project, trained), assessed(_fresh(project), trained)
    assert [item.reproducible for item in first.evidence] == [item.reproducible for item in second.evidence]


def test_another_seed_draws_other_noise(project: SmallProject) -> None:
    """The seed of the evidence, not the project's, moves what is drawn at random."""
    trained = project.train(FOREST)
    first = assessed(project, trained)
    other = _fresh(project)
    other = SmallProject(
        ws=other.ws,
        project=other.project,
        features=other.features,
        made_with=msgspec.structs.replace(other.made_with, seed=4),
    )
    brier = [
        next(item for item in evidence_of(result, "assess.quality/1").measures if item.name == "brier")
        for result in (first, assessed(other, trained))
    ]
    assert brier[0].value == brier[1].value
    assert brier[0].low != brier[1].low


def test_a_model_of_other_inputs_does_not_fit_the_rows(project: SmallProject, tmp_path: Path) -> None:
    """Sealed rows that lack an input of the model are not this model's: nothing is measured."""
    trained = project.train()
    model = trained.one(Kind.MODEL)
    signature = msgspec.json.decode(project.file(model, "signature.json"), type=Signature)
    renamed = msgspec.structs.replace(
        signature, inputs=(msgspec.structs.replace(signature.inputs[0], name="height"), *signature.inputs[1:])
    )
    with pytest.raises(NotVerified, match="different signatures"):
        assessed(project, trained, model=_with_signature(project, model, renamed))
    both = {
        name: _with_signature(project, trained.one(kind), renamed)
        for name, kind in (("model", Kind.MODEL), ("baseline", Kind.BASELINE))
    }
    with pytest.raises(NotVerified, match="no column 'height'"):
        assessed(project, trained, **both)


def _with_signature(project: SmallProject, model: Artifact, signature: Signature) -> Artifact:
    files = [file for file in parse_manifest(project.ws.blobs.get(model.digest)).files if file.path != "signature.json"]
    files.append(store_file(project.ws.blobs, "signature.json", canonical(signature)))
    return project.ws.store_folder(model.kind, manifest(files))


def test_a_model_file_that_is_no_model_fails_every_control_that_asks_it(project: SmallProject) -> None:
    """Bytes that cannot be loaded are failed evidence of each control, with the reason; nothing passes."""
    trained = project.train()
    model = trained.one(Kind.MODEL)
    files = [file for file in parse_manifest(project.ws.blobs.get(model.digest)).files if file.path != "model.onnx"]
    files.append(store_file(project.ws.blobs, "model.onnx", b"not a model"))
    result = assessed(project, trained, model=project.ws.store_folder(Kind.MODEL, manifest(files)))
    assert outcomes(result) == {Outcome.FAILED}
    asked = [item for item in result.evidence if item.outcome is Outcome.FAILED]
    assert all("cannot be loaded" in item.reason for item in asked)


def test_missing_values_are_assessed_as_they_are_served(tmp_path: Path) -> None:
    """Rows with missing values go to the model as such, and perturbing them leaves them missing."""
    code = """
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

def train(data, params, seed):
    model = make_pipeline(SimpleImputer(strategy="median"), LogisticRegression())
    return model.fit(data.train.features, data.train.labels)
"""
    project = make_project(tmp_path, table=rows(missing=0.1))
    result = assessed(project, project.train(code))
    assert outcomes(result) == {Outcome.MEASURED}


def test_three_classes_are_assessed_against_the_positive_one(tmp_path: Path) -> None:
    """Accuracy is over all classes; ranking, recall and precision are of the positive class against the rest."""
    table = rows(360).with_columns(label=pl.int_range(pl.len()) % 3)
    shift = np.array([[2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 2.0, 0]])[table.get_column("label").to_numpy()]
    table = table.with_columns(
        pl.Series(name, table.get_column(name).to_numpy() + shift[:, place])
        for place, name in enumerate(("age", "dose", "mass", "span"))
    )
    project = make_project(tmp_path, table=table)
    view = msgspec.json.decode(project.file(project.features, "view.json")) | {"classes": ["fair", "ill", "well"]}
    files = [
        file for file in parse_manifest(project.ws.blobs.get(project.features.digest)).files if file.path != "view.json"
    ]
    files.append(store_file(project.ws.blobs, "view.json", canonical(view)))
    features = project.ws.store_folder(Kind.FEATURES, manifest(files))
    project = SmallProject(ws=project.ws, project=project.project, features=features, made_with=project.made_with)
    result = assessed(project, project.train())
    assert outcomes(result) == {Outcome.MEASURED}
    assert value_of(evidence_of(result, "assess.quality/1"), "auc") > 0.8


@pytest.mark.requirement("TRN-02", by="holdfast.train.reference:train_baseline")
@pytest.mark.requirement("TRN-02", by="holdfast.assess.baseline:measure")
def test_a_linear_baseline_goes_the_whole_way_before_anything_more_complex(project: SmallProject) -> None:
    """Beside a forest a linear model is trained, exported, packaged and assessed on the same sealed rows.

    The forest's evidence holds what it gains over it, and the shipped policy accepts no model without both.
    """
    trained = project.train(FOREST)
    linear = trained.one(Kind.BASELINE)
    alone = assess(
        project.ws,
        project.project,
        model=linear,
        baseline=linear,
        split=trained.one(Kind.SPLIT),
        features=project.features,
        made_with=project.made_with,
    )
    assert outcomes(alone) == {Outcome.MEASURED}
    compared = evidence_of(assessed(_fresh(project), trained), "assess.baseline/1")
    of_linear = value_of(evidence_of(alone, "assess.quality/1"), "accuracy")
    of_forest = value_of(evidence_of(assessed(_fresh(project, "third"), trained), "assess.quality/1"), "accuracy")
    assert value_of(compared, "accuracy_gain") == pytest.approx(of_forest - of_linear)
    policy, _ = parse_policy((Path(__file__).parents[3] / "policies" / "baseline.toml").read_bytes())
    demanded = {rule.control for rule in policy.rule if rule.on is Kind.MODEL}
    assert {"train.baseline/1", "assess.baseline/1"} <= demanded
