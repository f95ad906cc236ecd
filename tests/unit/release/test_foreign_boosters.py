"""Foreign trees: XGBoost, LightGBM and histogram boosting as ONNX, compared with their libraries row by row."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from tests.unit.release import stands

from holdfast.core.artifact import Kind
from holdfast.core.control import run
from holdfast.core.evidence import Evidence, Outcome
from holdfast.core.ports import JobEnd, JobResult, Tier
from holdfast.engines.boosted import boosters, trees, ubj
from holdfast.engines.boosted.trees import CannotError, Ensemble, Tree
from holdfast.release.foreign import CONVERSION, TRIGGERS, Examined, opened
from holdfast.release.foreign.material import Converted, Facts, Look

xgboost = pytest.importorskip("xgboost", reason="xgboost-cpu is not installed: it is locked for Linux only")
lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")

RANDOM = np.random.default_rng(11)
ENDED = JobResult(end=JobEnd.FINISHED, exit_code=0, stdout=b"", stderr=b"", wall_s=1.0, cpu_s=1.0, tier=Tier.PROCESS)


def holed(rows: Any) -> Any:
    """Rows with a tenth of their values missing."""
    made = np.array(rows, dtype=np.float64)
    made[RANDOM.random(made.shape) < 0.1] = np.nan
    return made


BINARY, MANY, VALUES = (load(return_X_y=True) for load in (load_breast_cancer, load_iris, load_diabetes))
X: dict[str, Any] = {"n_estimators": 8, "n_jobs": 1}
L: dict[str, Any] = X | {"verbose": -1}


def xgb(kind: str, way: str, data: Any, **more: Any) -> tuple[str, bytes]:
    """A model of XGBoost in one of its forms."""
    model = getattr(xgboost, kind)(**X | more).fit(holed(data[0]), data[1])
    return (f"m.{way}", pickle.dumps(model) if way == "pkl" else bytes(model.get_booster().save_raw(way)))


def lgb(kind: str, way: str, data: Any, **more: Any) -> tuple[str, bytes]:
    """A model of LightGBM in one of its forms; one of none but whole rows takes a missing value for zero."""
    model = getattr(lightgbm, kind)(**L | more).fit(data[0] if way == "whole.txt" else holed(data[0]), data[1])
    return (f"m.{way}", pickle.dumps(model) if way == "pkl" else model.booster_.model_to_string().encode())


def own(model: Any, data: Any) -> tuple[str, bytes]:
    """A pickled model of scikit-learn."""
    return "m.pkl", pickle.dumps(model.fit(holed(data[0]), data[1]))


MODELS: dict[str, tuple[Any, Callable[[], tuple[str, bytes]]]] = {
    "xgboost-json": (BINARY, lambda: xgb("XGBClassifier", "json", BINARY)),
    "xgboost-ubj-of-many-classes": (MANY, lambda: xgb("XGBClassifier", "ubj", MANY)),
    "xgboost-pickle": (BINARY, lambda: xgb("XGBClassifier", "pkl", BINARY)),
    "xgboost-dart": (BINARY, lambda: xgb("XGBClassifier", "json", BINARY, booster="dart", rate_drop=0.5)),
    "xgboost-values": (VALUES, lambda: xgb("XGBRegressor", "json", VALUES)),
    "xgboost-counts": (VALUES, lambda: xgb("XGBRegressor", "ubj", VALUES, objective="count:poisson")),
    "lightgbm-text": (BINARY, lambda: lgb("LGBMClassifier", "txt", BINARY)),
    "lightgbm-of-whole-rows": (BINARY, lambda: lgb("LGBMClassifier", "whole.txt", BINARY)),
    "lightgbm-of-many-classes": (MANY, lambda: lgb("LGBMClassifier", "txt", MANY)),
    "lightgbm-pickle": (BINARY, lambda: lgb("LGBMClassifier", "pkl", BINARY)),
    "lightgbm-forest": (
        VALUES,
        lambda: lgb("LGBMRegressor", "txt", VALUES, boosting_type="rf", bagging_freq=1, bagging_fraction=0.6),
    ),
    "histogram": (BINARY, lambda: own(HistGradientBoostingClassifier(max_iter=8), BINARY)),
    "histogram-of-many-classes": (MANY, lambda: own(HistGradientBoostingClassifier(max_iter=8), MANY)),
    "histogram-in-a-pipeline": (
        BINARY,
        lambda: own(make_pipeline(SimpleImputer(), HistGradientBoostingClassifier(max_iter=8)), BINARY),
    ),
    "histogram-values": (VALUES, lambda: own(HistGradientBoostingRegressor(max_iter=8), VALUES)),
}


def looked(data: bytes, form: str, *, library: bool = True) -> Look:
    """What a look tells of a model; the hook of a real one could not be taken out of this process again."""
    readers: dict[str, Callable[[bytes], Any]] = {
        "xgboost": opened.read_xgboost,
        "lightgbm": opened.read_lightgbm,
        "pickle": lambda held: opened.Estimator(pickle.loads(held)),  # noqa: S301 - made here
    }
    facts = msgspec.convert(readers[form](data).facts | {"library": library}, Facts)
    return Look(job=ENDED, events=(), whole=True, facts=facts, words="")


def examined(place: Path, made: tuple[str, bytes], rows: Any) -> Examined:
    """A foreign model under examination, with rows of the kind it is meant for."""
    name, data = made
    ws = stands.workspace(place)
    reference = np.concatenate((rows, holed(rows)[:50])).astype(np.float32)
    under = Examined(ws=ws, subject=stands.folder(ws, Kind.FOREIGN, {name: data}), reference=reference)
    if name == "m.pkl" or under.model[0] in {"xgboost", "lightgbm"}:
        under._look = looked(data, under.model[0])
    return under


def measured(control: Any, under: Examined) -> tuple[Evidence, dict[str, float]]:
    """The evidence of a control, and its measures by name."""
    evidence = run(control, under, under.subject, stands.MADE_WITH)
    return evidence, {measure.name: measure.value for measure in evidence.measures}


@pytest.mark.requirement("SUP-02", by="holdfast.engines.boosted.trees:emit")
@pytest.mark.requirement("SUP-02", by="holdfast.engines.boosted.boosters:xgboost")
@pytest.mark.requirement("SUP-02", by="holdfast.engines.boosted.boosters:lightgbm")
@pytest.mark.requirement("SUP-02", by="holdfast.engines.boosted.boosters:histogram")
@pytest.mark.parametrize("name", list(MODELS))
def test_boosted_trees_answer_alike_after_the_conversion_also_at_their_thresholds_and_for_missing_values(
    name: str, tmp_path: Path
) -> None:
    """Generated rows, rows with holes, rows brought, and rows at, below and above each threshold."""
    (rows, _), make = MODELS[name]
    evidence, found = measured(CONVERSION, examined(tmp_path, make(), rows))
    assert evidence.outcome is Outcome.MEASURED, evidence.reason
    assert found["parity_max_abs"] < 1e-5
    assert found["label_changes"] == 0
    assert found["rows_refused"] == 0
    assert found["rows_with_missing_compared"] > 60
    assert found["rows_at_thresholds_compared"] == (0 if "pipeline" in name else 200)
    assert found["library_answered"] == 1


@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.conversion:_values")
@pytest.mark.parametrize(
    "model", [LinearRegression(), GradientBoostingRegressor(n_estimators=5)], ids=["line", "trees"]
)
def test_a_regressor_is_converted_and_searched_for_triggers_by_thirds_of_its_values(model: Any, tmp_path: Path) -> None:
    """What it gives is compared in proportion where it is above one; an honest one has no dormant feature."""
    rows, values = VALUES
    made = "m.pkl", pickle.dumps(model.fit(rows, values))
    under = examined(tmp_path, made, rows)
    evidence, found = measured(CONVERSION, under)
    assert evidence.outcome is Outcome.MEASURED, evidence.reason
    assert evidence.facts["task"] == "values"
    assert found["parity_max_abs"] < 1e-4
    under.reference = rows.astype(np.float32)
    assert measured(TRIGGERS, under)[1]["dormant_gap"] <= 0.5


@pytest.mark.guarantee("G71")
@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.conversion:_compared")
def test_one_swapped_weight_in_what_was_converted_is_seen(tmp_path: Path) -> None:
    """One leaf of one tree is given another sign, as whoever sits between conversion and comparison could do."""
    import onnx

    (rows, _), make = MODELS["lightgbm-text"]
    under = examined(tmp_path, make(), rows)
    honest = under.converted
    model = onnx.load_model_from_string(honest.document)
    (trees_,) = [node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor"]
    (weights,) = [each for each in trees_.attribute if each.name == "target_weights"]
    weights.floats[0] = -weights.floats[0] - 0.3
    swapped = model.SerializeToString()
    under._converted = Converted(document=swapped, kept=False, rows=honest.rows, answers=honest.answers, edges=200)
    assert measured(CONVERSION, under)[1]["parity_max_abs"] > 1e-3


@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.opened:Booster.answer")
def test_without_its_library_a_file_is_compared_with_what_was_read_of_it_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second walk over the same trees is less than the library's own answers, so a policy can tell them apart."""
    (rows, _), make = MODELS["xgboost-json"]
    made = make()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    under = examined(tmp_path, made, rows)
    under._look = looked(made[1], "xgboost", library=False)
    _, found = measured(CONVERSION, under)
    assert found["library_answered"] == 0
    assert found["parity_max_abs"] < 1e-5


def categorical(kind: str) -> tuple[str, bytes]:
    """A model that splits by sets of categories."""
    rows = np.column_stack((RANDOM.integers(0, 6, 400), RANDOM.normal(size=400))).astype(np.float64)
    labels = (np.isin(rows[:, 0], (1, 4)) ^ (rows[:, 1] > 0)).astype(int)
    if kind == "xgboost":
        matrix = xgboost.DMatrix(rows, labels, feature_types=["c", "q"], enable_categorical=True)
        params = {"objective": "binary:logistic", "max_cat_to_onehot": 1, "nthread": 1}
        return "m.json", bytes(xgboost.train(params, matrix, 4).save_raw("json"))
    if kind == "lightgbm":
        model = lightgbm.LGBMClassifier(**L, min_data_per_group=1, cat_smooth=1).fit(
            rows, labels, categorical_feature=[0]
        )
        return "m.txt", model.booster_.model_to_string().encode()
    return "m.pkl", pickle.dumps(HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]).fit(rows, labels))


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm", "histogram"])
def test_splits_by_sets_of_categories_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    """A conversion that is nearly right is wrong."""
    name, data = categorical(kind)
    if kind == "histogram":
        evidence, _ = measured(CONVERSION, examined(tmp_path, (name, data), np.zeros((3, 2))))
        assert evidence.outcome is Outcome.FAILED
        assert "set of categories" in evidence.reason
        return
    with pytest.raises(CannotError, match="set of categories"):
        (opened.read_xgboost if kind == "xgboost" else opened.read_lightgbm)(data)


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("LGBMRegressor", {"linear_tree": True}, "linear models"),
        ("LGBMRegressor", {"zero_as_missing": True}, "takes zero for a missing value"),
        ("LGBMRegressor", {"reg_sqrt": True}, "objective"),
        ("XGBRegressor", {"booster": "gblinear"}, "no sum of trees"),
        ("XGBRegressor", {"objective": "rank:pairwise"}, "objective"),
    ],
    ids=["leaves-of-lines", "zero-is-missing", "root-of-values", "no-trees", "ranks"],
)
def test_what_has_no_exact_form_is_refused_by_name(kind: str, more: dict[str, Any], words: str) -> None:
    """Nothing is left out in silence."""
    rows, values = VALUES
    if kind.startswith("LGBM"):
        data = lightgbm.LGBMRegressor(**L | more).fit(holed(rows), values).booster_.model_to_string().encode()
        with pytest.raises(CannotError, match=words):
            opened.read_lightgbm(data)
        return
    model = xgboost.XGBRegressor(**X | {key: each for key, each in more.items() if key == "booster"}).fit(rows, values)
    document = json.loads(bytes(model.get_booster().save_raw("json")))
    document["learner"]["objective"]["name"] = more.get("objective", "reg:squarederror")
    with pytest.raises(CannotError, match=words):
        opened.read_xgboost(json.dumps(document).encode())


def test_the_round_that_early_stopping_chose_is_the_last_that_counts(tmp_path: Path) -> None:
    """As the wrapper answers; a Booster of its own would go on to the last tree."""
    rows, labels = BINARY
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, learning_rate=1, n_jobs=1)
    model.fit(rows[:300], labels[:300], eval_set=[(rows[300:], labels[300:])], verbose=False)
    found = opened.read_xgboost(bytes(model.get_booster().save_raw("ubj")))
    given_ = rows.astype(np.float32)
    assert len(found._ensemble.trees) == model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    assert np.abs(trees.answers(found._ensemble, given_) - model.predict_proba(given_)).max() < 1e-6
    assert np.abs(found.answer(given_) - model.predict_proba(given_)).max() < 1e-6


def stump(**changed: Any) -> Ensemble:
    """One tree of one split."""
    parts: dict[str, Any] = {
        "feature": np.zeros(3, np.int64),
        "threshold": np.array([0.5, 0, 0], np.float32),
        "left": np.array([1, 0, 0]),
        "right": np.array([2, 0, 0]),
        "missing_left": np.array([True, False, False]),
        "leaf": np.array([False, True, True]),
        "value": np.array([0.0, -1.0, 1.0]),
    }
    tree = Tree(**parts | changed)
    return Ensemble(kind="test", trees=(tree,), features=1, base=(0.0,), strict=True, link="identity")


@pytest.mark.parametrize(
    "changed",
    [
        {"left": np.array([0, 0, 0])},
        {"left": np.array([2, 0, 0])},
        {"right": np.array([7, 0, 0])},
        {"left": np.array([-1, 0, 0])},
        {"feature": np.array([4, 0, 0])},
        {"value": np.array([0.0, np.inf, 1.0])},
        {"threshold": np.array([np.nan, 0, 0], np.float32)},
        {"target": 3},
    ],
    ids=["root", "two-parents", "beyond", "before", "feature", "value", "threshold", "target"],
)
def test_a_tree_that_a_reader_would_walk_out_of_is_refused(changed: dict[str, Any]) -> None:
    """Walks end, and stay inside of the arrays."""
    trees.check(stump())
    with pytest.raises(CannotError):
        trees.check(stump(**changed))


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(width=32, allow_nan=False))
def test_a_threshold_rounded_down_sends_every_row_the_same_way(threshold: float, value: float) -> None:
    """For float32 values: at most the threshold, and at most the rounded one, are one question."""
    rounded = trees.floor32(np.array([threshold]))[0]
    assert (value <= threshold) == (np.float32(value) <= rounded)


@pytest.mark.parametrize(
    "data",
    [b"{", b"{i\x02ab", b"[$d#i\x7f", b"[" * 100, b"Q", b"{U\x01a[#l\x7f\xff\xff\xff", struct.pack("<Q", 9), b"S", b""],
    ids=str,
)
def test_broken_ubjson_is_refused(data: bytes) -> None:
    """Whatever breaks off, or says it is longer than it is."""
    with pytest.raises(CannotError):
        ubj.read(data)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_readers_do_anything_but_read_or_refuse(data: bytes) -> None:
    """Of bytes that are no model a reader says so, in one way."""
    for read in (ubj.read, opened.read_xgboost, opened.read_lightgbm):
        try:
            read(data)
        except CannotError:
            continue
    with pytest.raises(CannotError):
        boosters.lightgbm(data.decode("latin-1"))
