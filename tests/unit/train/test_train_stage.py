import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import polars as pl
import pytest
from tests.unit.train.small_project import (
    FOREST,
    LOGISTIC,
    SmallProject,
    evidence_of,
    make_project,
    rows,
    sealed,
    value_of,
)

from holdfast.core.artifact import Kind, parse_manifest
from holdfast.core.errors import InvalidData, InvalidRecipe, NotVerified, StageFailed
from holdfast.core.evidence import Outcome, Severity
from holdfast.core.schema import Signature
from holdfast.engines.dataset import from_parquet
from holdfast.maths.sketch import Profile
from holdfast.testing.sandbox import UnsafeInProcessSandbox, UnsafeSandboxWarning
from holdfast.train import CONTROLS


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    """A small project whose jobs run in this process."""
    return make_project(tmp_path)


def test_training_leaves_four_artifacts_and_all_its_evidence(project: SmallProject) -> None:
    """A split, a model, a baseline and metrics; every control has left evidence about the model, none failed."""
    result = project.train()
    assert [item.kind for item in result.artifacts] == [Kind.SPLIT, Kind.MODEL, Kind.BASELINE, Kind.METRICS]
    assert [item.control for item in result.evidence] == [control.name for control in CONTROLS]
    model = result.one(Kind.MODEL)
    assert {item.subject for item in result.evidence} == {model.digest}
    assert {item.outcome for item in result.evidence} == {Outcome.MEASURED}
    assert {result.one(Kind.SPLIT).digest, project.features.digest} < set(result.evidence[0].made_with.data)


def test_a_model_folder_is_model_signature_and_profile(project: SmallProject) -> None:
    """Beside the weights: inputs with their declared ranges, classes, and what was seen in training."""
    model = project.train().one(Kind.MODEL)
    names = [file.path for file in parse_manifest(project.ws.blobs.get(model.digest)).files]
    assert names == ["model.onnx", "profile.json", "signature.json"]
    signature = msgspec.json.decode(project.file(model, "signature.json"), type=Signature)
    assert [(item.name, item.minimum) for item in signature.inputs] == [
        ("age", -10.0),
        ("dose", -10.0),
        ("mass", None),
        ("span", None),
    ]
    assert signature.classes == ("ill", "well")
    read = json.loads(project.file(model, "profile.json"))
    profiles = {name: msgspec.convert(item, Profile) for name, item in read["inputs"].items()}
    assert set(profiles) == {"age", "dose", "mass", "span"}
    assert {item.n for item in profiles.values()} == {144}  # the train rows alone
    assert msgspec.convert(read["score"], Profile).n == 36  # the validation rows


def test_jobs_are_given_features_and_labels_and_nothing_else(project: SmallProject) -> None:
    """No id, slice, protected value or sealed row is in any folder that a job may read."""
    split = project.train().one(Kind.SPLIT)
    sandbox = project.ws.sandbox
    assert isinstance(sandbox, UnsafeInProcessSandbox)
    sealed = from_parquet(project.file(split, "test.parquet"))
    secrets = [name.encode() for name in sealed.get_column("id")] + [b"north", b"protected", b"patient"]
    values = sealed.select("age", "dose", "mass", "span").to_numpy().astype(np.float32)
    secrets += [row.tobytes() for row in values]
    given = [path for _, readable, _ in sandbox.declared for path in readable]
    files = [file for path in given for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    assert len(files) > 8
    for file in files:
        data = file.read_bytes()
        assert not [secret for secret in secrets if secret in data], file.name


def test_the_sides_hold_every_row_once(project: SmallProject) -> None:
    """The three tables together are the table of features, with all its columns."""
    split = project.train().one(Kind.SPLIT)
    sides = [from_parquet(project.file(split, f"{name}.parquet")) for name in ("train", "validation", "test")]
    assert pl.concat(sides).sort("id").equals(sealed(rows()).sort("id"))


def test_the_same_inputs_give_the_same_artifacts(tmp_path: Path) -> None:
    """In two workspaces, the same features, recipe and project give the same four digests and the same evidence."""
    first, second = (make_project(tmp_path / name).train(FOREST) for name in _folders(tmp_path, "a", "b"))
    assert [item.digest for item in first.artifacts] == [item.digest for item in second.artifacts]
    assert [item.reproducible for item in first.evidence] == [item.reproducible for item in second.evidence]


def test_another_seed_is_another_model(tmp_path: Path) -> None:
    """The project's seed reaches split and recipe."""
    a, b = _folders(tmp_path, "a", "b")
    first = make_project(tmp_path / a).train(FOREST)
    second = make_project(tmp_path / b, edit=("seed = 11", "seed = 12")).train(FOREST)
    assert first.one(Kind.MODEL).digest != second.one(Kind.MODEL).digest
    assert first.one(Kind.SPLIT).digest != second.one(Kind.SPLIT).digest


def _folders(root: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (root / name).mkdir()
    return names


def test_a_sandbox_that_lets_everything_through_is_told(project: SmallProject) -> None:
    """What the sandbox forbids is tried, not assumed: this process has network and reads all files, and it shows."""
    told = evidence_of(project.train(), "train.sandbox/1")
    assert value_of(told, "network_denied") == 0
    assert value_of(told, "undeclared_paths_readable") == 2
    assert {item.rule for item in told.findings} == {"network-open", "undeclared-path"}
    assert {item.severity for item in told.findings} == {Severity.CRITICAL}


def test_the_unsafe_sandbox_says_what_it_is() -> None:
    """Whoever makes a sandbox without confinement is warned."""
    with pytest.warns(UnsafeSandboxWarning, match="without any confinement"):
        UnsafeInProcessSandbox()


def test_repeated_rows_across_the_split_are_counted(tmp_path: Path) -> None:
    """Patients entered twice under two ids are on both sides: counted, and a finding."""
    table = rows()
    twins = table.with_columns(pl.col("id") + "-again")
    result = make_project(tmp_path, table=pl.concat([table, twins])).train()
    told = evidence_of(result, "train.split/1")
    assert value_of(told, "overlap_ids") == 0
    assert value_of(told, "duplicate_rows_across") > 20
    assert [item.rule for item in told.findings] == ["repeated-rows"]


def test_parity_is_measured_between_estimator_and_export(project: SmallProject) -> None:
    """The export's answers are compared with the estimator's on every validation row."""
    told = evidence_of(project.train(), "train.export/1")
    assert 0 <= value_of(told, "parity_max_abs") < 1e-5
    assert next(item.n for item in told.measures if item.name == "parity_max_abs") == 36


SHIFTED = """
from sklearn.linear_model import LogisticRegression

def train(data, params, seed):
    model = LogisticRegression().fit(data.train.features, data.train.labels)
    honest = model.predict_proba
    model.predict_proba = lambda rows: honest(rows)[:, ::-1]
    return model
"""


def test_an_estimator_that_answers_unlike_its_export_is_found_out(project: SmallProject) -> None:
    """Where export and estimator answer otherwise, parity shows it: what was tuned is not what would be served."""
    assert value_of(evidence_of(project.train(SHIFTED), "train.export/1"), "parity_max_abs") > 0.5


def test_rows_with_missing_values_count_to_parity_where_the_project_has_them(tmp_path: Path) -> None:
    """A forest takes missing values and its export answers them otherwise: with such rows in the project it shows."""
    a, b = _folders(tmp_path, "a", "b")
    whole = evidence_of(make_project(tmp_path / a).train(FOREST), "train.export/1")
    assert value_of(whole, "parity_max_abs") < 1e-5
    assert value_of(whole, "parity_missing_max_abs") > 0.1
    holed = evidence_of(make_project(tmp_path / b, table=rows(missing=0.1)).train(FOREST), "train.export/1")
    assert value_of(holed, "parity_max_abs") > 0.1


def test_an_estimator_that_refuses_missing_values_is_not_asked_about_them(project: SmallProject) -> None:
    """Logistic regression refuses a missing value; parity is then of whole rows alone."""
    told = evidence_of(project.train(LOGISTIC), "train.export/1")
    assert [item.name for item in told.measures] == ["parity_max_abs"]


def test_a_model_that_cannot_answer_the_projects_missing_values_is_refused(tmp_path: Path) -> None:
    """A recipe that drops rows with missing values to train: its model has no answer to a third of the rows."""
    code = LOGISTIC.replace(
        "return LogisticRegression(max_iter=1000).fit(data.train.features, data.train.labels)",
        "import numpy as np\n    whole = ~np.isnan(data.train.features).any(axis=1)\n"
        "    return LogisticRegression().fit(data.train.features[whole], data.train.labels[whole])",
    )
    with pytest.raises(InvalidRecipe, match="are no probabilities"):
        make_project(tmp_path, table=rows(missing=0.1)).train(code)


ONNX = """
import numpy as np
from onnx import TensorProto, helper, numpy_helper

def train(data, params, seed):
    weights = np.array([[-1, 1], [1, -1], [0, 0], [0, 0]], dtype="float32")
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["probabilities"], axis=1),
        helper.make_node("{label}", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "mine",
        [helper.make_tensor_value_info("{input}", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
         helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString().replace(b"input", b"{input}")
"""


def test_a_recipe_may_return_onnx_itself(project: SmallProject) -> None:
    """Bytes that keep the contract are taken as they are; there is nothing to compare them with, and that is said."""
    result = project.train(ONNX.replace("{label}", "ArgMax").replace("{input}", "input"))
    told = evidence_of(result, "train.export/1")
    assert told.outcome is Outcome.NOT_APPLICABLE
    assert "ONNX itself" in told.reason
    document = project.file(result.one(Kind.MODEL), "model.onnx")
    assert onnx.load_from_string(document).graph.name == "mine"


def test_onnx_with_other_inputs_is_refused(project: SmallProject) -> None:
    """A model whose input has another name would be refused by every gateway: it is refused here."""
    with pytest.raises(InvalidRecipe, match=r"the model takes \[\('inpux', 'tensor\(float\)'\)\]"):
        project.train(ONNX.replace("{label}", "ArgMax").replace("{input}", "inpux"))


def test_onnx_whose_label_is_not_its_likeliest_class_is_refused(project: SmallProject) -> None:
    """A label that contradicts the probabilities would be served, and never assessed: it is refused."""
    with pytest.raises(InvalidRecipe, match="the label is not the class of highest probability"):
        project.train(ONNX.replace("{label}", "ArgMin").replace("{input}", "input"))


def test_onnx_whose_answers_are_no_probabilities_is_refused(project: SmallProject) -> None:
    """Scores that do not sum to one are not called probabilities."""
    code = ONNX.replace("{label}", "ArgMax").replace("{input}", "input")
    with pytest.raises(InvalidRecipe, match="are no probabilities"):
        project.train(code.replace('"Softmax", ["z"], ["probabilities"], axis=1', '"Relu", ["z"], ["probabilities"]'))


def test_the_metrics_are_of_the_validation_rows(project: SmallProject) -> None:
    """Candidate and baseline side by side, on rows to tune on; the sealed rows are not touched."""
    metrics = json.loads(project.file(project.train().one(Kind.METRICS), "metrics.json"))
    assert metrics.keys() == {"candidate", "baseline"}
    assert metrics["candidate"].keys() == {"validation"}
    assert 0.5 < metrics["baseline"]["validation"]["auc"] <= 1


def test_the_environment_is_recorded_and_named_by_the_evidence(project: SmallProject) -> None:
    """Interpreter, CPU class, package versions and threads are kept; evidence names them by digest."""
    result = project.train()
    metrics = parse_manifest(project.ws.blobs.get(result.one(Kind.METRICS).digest))
    assert evidence_of(result, "train.sandbox/1").facts["environment"] == metrics.file("environment.json").digest
    kept = json.loads(project.file(result.one(Kind.METRICS), "environment.json"))
    assert {"python", "machine", "cpu", "packages", "threads"} <= kept.keys()
    assert {"numpy", "onnxruntime"} <= kept["packages"].keys()


def test_what_a_recipe_leaves_beside_the_model_is_ignored_and_told(project: SmallProject) -> None:
    """Files that nobody asked for stay in the sandbox's folder; evidence counts them."""
    code = LOGISTIC.replace("def train(data, params, seed):\n", "def train(data, params, seed):\n    LEAVE\n").replace(
        "LEAVE", f"open({str(project.ws.scratch / 'recipe' / 'left' / 'weights.pkl')!r}, 'wb').write(b'x')"
    )
    told = evidence_of(project.train(code), "train.sandbox/1")
    assert value_of(told, "unexpected_files") == 1
    assert ("weights.pkl", "unexpected-file") in [(item.place, item.rule) for item in told.findings]


def test_infinite_features_are_refused(tmp_path: Path) -> None:
    """A value that no 32-bit float holds is named with its feature; nothing is trained on it."""
    table = rows().with_columns(
        pl.when(pl.col("id").str.ends_with("7")).then(1e300).otherwise(pl.col("mass")).alias("mass")
    )
    with pytest.raises(InvalidData, match="infinite") as caught:
        make_project(tmp_path, table=table).train()
    assert "mass" in caught.value.place


def test_rows_without_an_id_are_refused(tmp_path: Path) -> None:
    """Without an id a row cannot be kept to one side."""
    table = rows().with_columns(pl.when(pl.col("label") == 1).then(pl.col("id")).alias("id"))
    with pytest.raises(InvalidData, match="no id"):
        make_project(tmp_path, table=table).train()


def test_features_of_another_shape_are_not_trusted(tmp_path: Path) -> None:
    """A table that lacks a column its view names is not the features it says it is."""
    with pytest.raises(NotVerified, match="no column 'span'"):
        make_project(tmp_path, table=rows().drop("span")).train()


def test_a_job_that_writes_answers_of_another_size_fails_the_stage(project: SmallProject) -> None:
    """The recipe shares its job's folder, so it can write over the estimator's answers; their size is checked."""
    path = project.ws.scratch / "recipe" / "left" / "estimated.f32"
    code = f"""
import pathlib
{LOGISTIC}
honest = pathlib.Path.write_bytes
def write(self, data):
    return honest(self, data[:-4] if str(self) == {str(path)!r} else data)
pathlib.Path.write_bytes = write
"""
    import pathlib

    before = pathlib.Path.write_bytes
    try:
        with pytest.raises(StageFailed, match="another size"):
            project.train(code)
    finally:
        pathlib.Path.write_bytes = before  # type: ignore[method-assign]


BOOSTED = {
    "histogram boosting": ("sklearn.ensemble", "HistGradientBoostingClassifier", "max_iter=10"),
    "XGBoost": ("xgboost", "XGBClassifier", "n_estimators=10"),
    "LightGBM": ("lightgbm", "LGBMClassifier", "n_estimators=10, verbose=-1"),
}


@pytest.mark.parametrize(("module", "kind", "given"), BOOSTED.values(), ids=BOOSTED)
def test_boosted_trees_leave_as_onnx_that_answers_rows_with_missing_values_alike(
    tmp_path: Path, module: str, kind: str, given: str
) -> None:
    """A recipe may return them alone: the trees send a missing value where the library does."""
    pytest.importorskip(module)
    code = f"""
from {module} import {kind}

def train(data, params, seed):
    return {kind}({given}, random_state=seed).fit(data.train.features, data.train.labels)
"""
    holed = evidence_of(make_project(tmp_path, table=rows(missing=0.1)).train(code), "train.export/1")
    assert value_of(holed, "parity_max_abs") < 1e-6
    assert value_of(holed, "parity_missing_max_abs") < 1e-6
