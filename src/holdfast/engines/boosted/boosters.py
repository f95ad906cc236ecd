"""Models of XGBoost and LightGBM, and scikit-learn's histogram boosting, read into trees without their libraries.

What cannot be said in ONNX exactly (splits by sets of categories, linear leaves, vectors in leaves, zero as a missing
value) or whose answers are no probabilities is refused by name: a conversion that is nearly right is wrong.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.boosted import ubj
from holdfast.engines.boosted.trees import CannotError, Ensemble, Link, Tree, check, floor32

_XGBOOST: Final[Mapping[str, Link]] = {
    "binary:logistic": "sigmoid",
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:absoluteerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:logistic": "logistic",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
}
_LIGHTGBM: Final[Mapping[str, Link]] = {
    "binary": "sigmoid",
    "multiclass": "softmax",
    "regression": "identity",
    "regression_l1": "identity",
    "huber": "identity",
    "fair": "identity",
    "quantile": "identity",
    "mape": "identity",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
    "cross_entropy": "logistic",
}
_HISTOGRAM: Final[Mapping[str, Link]] = {
    "HalfBinomialLoss": "sigmoid",
    "HalfMultinomialLoss": "softmax",
    "HalfSquaredError": "identity",
    "AbsoluteError": "identity",
    "PinballLoss": "identity",
    "HalfPoissonLoss": "exp",
    "HalfGammaLoss": "exp",
}
_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of LightGBM's decision_type
_TINY: Final = np.float32(1e-35)  # its `kZeroThreshold`: values up to it are read as zero
_ZERO, _NAN = 1, 2  # its kinds of missing values, in the two bits above


def xgboost(document: Mapping[str, Any]) -> Ensemble:
    """Return the trees of a model of XGBoost, as its JSON says (schema of 1.6 and later).

    Raises:
        CannotError: It holds what has no exact form here.
    """
    try:
        return _xgboost(document["learner"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CannotError(f"the XGBoost model cannot be read: {error!r}"[:200]) from error


def parse_xgboost(data: bytes) -> Mapping[str, Any]:
    """Return the document in JSON or UBJSON.

    Raises:
        CannotError: It is neither.
    """
    try:
        found = ubj.read(data) if data[1:2] not in {b'"', b"\n", b" ", b"\r", b"\t"} else json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CannotError("the XGBoost model is no JSON") from error
    if not isinstance(found, dict):
        raise CannotError("the XGBoost model is no table of JSON")
    return found


def best_iteration(document: Mapping[str, Any]) -> int | None:
    """Return the round that early stopping chose, as the wrappers of XGBoost answer with; None where all count."""
    found = document["learner"].get("attributes", {}).get("best_iteration")
    return int(found) if isinstance(found, str) and found.isdecimal() else None


def _xgboost(learner: Mapping[str, Any]) -> Ensemble:
    params, objective, booster = (
        learner["learner_model_param"],
        learner["objective"]["name"],
        learner["gradient_booster"],
    )
    link = _XGBOOST.get(objective)
    if link is None:
        raise CannotError(f"answers of the objective {objective[:40]!r} have no form here")
    weights = [1.0]
    if booster["name"] == "dart":
        weights, booster = [float(each) for each in booster["weight_drop"]], booster["gbtree"]
    elif booster["name"] != "gbtree":
        raise CannotError(f"a booster {booster['name'][:40]!r} is no sum of trees")
    groups = max(int(params["num_class"]), 1)
    if int(params.get("num_target", 1)) > 1:
        raise CannotError("a model of several targets has no form here")
    model = booster["model"]
    count = _rounds(model, best_iteration({"learner": learner}))
    weights = weights if len(weights) == len(model["trees"]) else [1.0] * len(model["trees"])
    trees = tuple(
        _xgboost_tree(tree, int(group), weight)
        for tree, group, weight in zip(model["trees"][:count], model["tree_info"], weights, strict=False)
    )
    return check(
        Ensemble(
            kind=f"XGBoost, {objective}",
            trees=trees,
            features=int(params["num_feature"]),
            base=_base(str(params["base_score"]), link, groups),
            strict=True,
            link=link,
            classes=_names(link, groups),
        )
    )


def _names(link: Link, groups: int) -> tuple[str, ...]:
    return {"sigmoid": ("0", "1"), "softmax": tuple(map(str, range(groups)))}.get(link, ())


def _rounds(model: Mapping[str, Any], best: int | None) -> int:
    """Return how many trees count: all, or those up to the round that early stopping chose."""
    starts = model.get("iteration_indptr")
    if best is None or not starts:
        if best is not None:
            raise CannotError("early stopping chose a round, and the file does not say which trees are of it")
        return len(model["trees"])
    return int(starts[best + 1])


def _base(text: str, link: Link, groups: int) -> tuple[float, ...]:
    """Return the sums that trees add to: what XGBoost says of them in the space of answers, put through the link."""
    said = [float(each) for each in text.strip("[]").split(",") if each]
    if len(said) not in {1, groups}:
        raise CannotError(f"{len(said)} base scores for {groups} sums")
    said = said if len(said) == groups else said * groups
    if link in {"sigmoid", "logistic"}:
        return tuple(math.log(each / (1 - each)) for each in said)
    return tuple(math.log(each) for each in said) if link == "exp" else tuple(said)


def _xgboost_tree(tree: Mapping[str, Any], group: int, weight: float) -> Tree:
    left = np.asarray(tree["left_children"], dtype=np.int64)
    if any(tree.get("split_type", ())) or tree.get("categories"):
        raise CannotError("a split by a set of categories has no exact form here: encode them as numbers first")
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise CannotError("leaves that hold vectors have no form here")
    conditions = np.asarray(tree["split_conditions"], dtype=np.float64)
    return Tree(
        feature=np.asarray(tree["split_indices"], dtype=np.int64),
        threshold=conditions.astype(np.float32),  # written from float32, so this is exact
        left=left,
        right=np.asarray(tree["right_children"], dtype=np.int64),
        missing_left=np.asarray(tree["default_left"], dtype=np.int64) != 0,
        leaf=left == -1,
        value=conditions.astype(np.float32).astype(np.float64) * weight,
        target=group,
    )


def lightgbm(text: str) -> Ensemble:
    """Return the trees of a model of LightGBM, as its text says (versions 3 and 4 of the format).

    Raises:
        CannotError: It holds what has no exact form here.
    """
    body = text.partition("\nend of trees")[0].replace("\r", "")
    head, *parts = body.split("\nTree=")
    try:
        return _lightgbm(_fields(head), [_fields(part) for part in parts], lines=head.split("\n"))
    except (KeyError, ValueError, IndexError) as error:
        raise CannotError(f"the LightGBM model cannot be read: {error!r}"[:200]) from error


def _fields(section: str) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in section.split("\n"))}


def _lightgbm(head: Mapping[str, str], trees: list[dict[str, str]], *, lines: list[str]) -> Ensemble:
    name, *options = head.get("objective", "").split()
    link = _LIGHTGBM.get(name)
    if link is None or "sqrt" in options:
        raise CannotError(f"answers of the objective {head.get('objective', '')[:40]!r} have no form here")
    sigma = next((float(each[8:]) for each in options if each.startswith("sigmoid:")), 1.0)
    groups = int(head["num_tree_per_iteration"])
    weight = sigma / (len(trees) / groups) if "average_output" in lines else sigma
    return check(
        Ensemble(
            kind=f"LightGBM, {name}",
            trees=tuple(_lightgbm_tree(tree, index % groups, weight) for index, tree in enumerate(trees)),
            features=int(head["max_feature_idx"]) + 1,
            base=(0.0,) * groups,
            strict=False,
            link=link,
            classes=_names(link, groups),
        )
    )


def _lightgbm_tree(tree: Mapping[str, str], group: int, weight: float) -> Tree:
    if tree.get("is_linear", "0").strip() != "0":
        raise CannotError("leaves that hold linear models have no form here")
    leaves = np.array(tree["leaf_value"].split(), dtype=np.float64) * weight
    inner = int(tree["num_leaves"]) - 1
    if inner == 0:
        return _stump(float(leaves[0]), group)

    def numbers(key: str, kind: type) -> Any:
        found: Any = np.array(tree[key].split(), dtype=kind)
        if len(found) != inner:
            raise ValueError(key)
        return found

    decisions = numbers("decision_type", np.int64)
    if (decisions & _CATEGORICAL).any():
        raise CannotError("a split by a set of categories has no exact form here: encode them as numbers first")
    missing, thresholds = decisions >> 2 & 3, numbers("threshold", np.float64)
    if (missing == _ZERO).any():
        raise CannotError("a model that takes zero for a missing value has no exact form here")
    # Where no missing value was seen in training, LightGBM takes one for zero (`Tree::NumericalDecision`).
    to_left = np.where(missing == _NAN, decisions & _DEFAULT_LEFT != 0, thresholds >= 0)
    children = [numbers(key, np.int64) for key in ("left_child", "right_child")]
    left, right = (np.where(each < 0, inner + ~each, each) for each in children)  # leaves stand behind inner nodes
    nothing = np.zeros(len(leaves), dtype=np.int64)
    return Tree(
        feature=np.concatenate((numbers("split_feature", np.int64), nothing)),
        threshold=np.concatenate((_around_zero(floor32(thresholds)), nothing.astype(np.float32))),
        left=np.concatenate((left, nothing)),
        right=np.concatenate((right, nothing)),
        missing_left=np.concatenate((to_left, nothing > 0)),
        leaf=np.arange(inner + len(leaves)) >= inner,
        value=np.concatenate((np.zeros(inner), leaves)),
        target=group,
    )


def _around_zero(thresholds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return thresholds that say of tiny values what LightGBM does: it reads what is at most 1e-35 as zero."""
    tiny = np.abs(thresholds) <= _TINY
    below = np.nextafter(-_TINY, np.float32(-np.inf))
    return np.where(tiny, np.where(thresholds < 0, below, _TINY), thresholds).astype(np.float32)


def _stump(value: float, group: int) -> Tree:
    zero = np.zeros(1, dtype=np.int64)
    return Tree(
        feature=zero,
        threshold=zero.astype(np.float32),
        left=zero,
        right=zero,
        missing_left=zero > 0,
        leaf=zero == 0,
        value=np.array([value]),
        target=group,
    )


def histogram(model: Any) -> Ensemble:
    """Return the trees of a fitted HistGradientBoostingClassifier or -Regressor of scikit-learn.

    Raises:
        CannotError: It splits by categories, or has another loss than those that scikit-learn knows.
    """
    link = _HISTOGRAM.get(type(model._loss).__name__)  # noqa: SLF001 - scikit-learn gives no other way to its trees
    if link is None:
        raise CannotError(f"answers of the loss {type(model._loss).__name__} have no form here")  # noqa: SLF001
    if getattr(model, "_preprocessor", None) is not None:
        raise CannotError("a split by a set of categories has no exact form here: encode them as numbers first")
    base = np.asarray(model._baseline_prediction, dtype=np.float64).ravel()  # noqa: SLF001
    return check(
        Ensemble(
            kind=f"scikit-learn, {type(model).__name__}",
            trees=tuple(
                _histogram_tree(tree.nodes, target)
                for rounds in model._predictors  # noqa: SLF001
                for target, tree in enumerate(rounds)
            ),
            features=int(model.n_features_in_),
            base=tuple(base.tolist()),
            strict=False,
            link=link,
            classes=tuple(str(each) for each in getattr(model, "classes_", ())),
        )
    )


def _histogram_tree(nodes: Any, target: int) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    if (nodes["is_categorical"].astype(bool) & ~leaf).any():
        raise CannotError("a split by a set of categories has no exact form here: encode them as numbers first")
    return Tree(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=floor32(nodes["num_threshold"].astype(np.float64)),
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        leaf=leaf,
        value=nodes["value"].astype(np.float64),
        target=target,
    )
