"""From a fitted model to ONNX bytes that keep the contract. Runs inside the sandbox."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from holdfast.engines.boosted.graphs import of_estimator
from holdfast.engines.boosted.trees import CannotError
from holdfast.engines.canonical_onnx import IR_VERSION, OPSET, Shape, canonical_model
from holdfast.train.linear import Linear
from holdfast.train.recipe import RecipeFaultError

BASELINE_GRAPH: Final = "holdfast-linear-baseline"  # another name: baseline and candidate are never the same bytes
EXPORTABLE: Final = "a fitted classifier that can be exported (docs/reference/recipe.md lists them), or ONNX bytes"


def export_estimator(estimator: Any, features: int, classes: Sequence[str]) -> bytes:
    """Return a fitted classifier with the interface of scikit-learn as canonical ONNX.

    Args:
        estimator: Fitted on class indices 0 to len(classes) - 1, with `predict_proba`.
        features: How many it takes.
        classes: What its answers are called.

    Raises:
        RecipeFaultError: It is no such classifier, or cannot be exported.
    """
    _check_estimator(estimator, len(classes))
    try:
        return of_estimator(estimator, features, len(classes), values=False)
    except CannotError as error:
        raise RecipeFaultError(str(error), expected=EXPORTABLE) from error


def _check_estimator(estimator: Any, classes: int) -> None:
    kind = type(estimator).__name__
    if isinstance(estimator, type):
        raise RecipeFaultError(f"the recipe returned the class {estimator.__name__}", expected="a fitted object")
    if not callable(getattr(estimator, "predict_proba", None)):
        raise RecipeFaultError(f"the recipe returned a {kind}, which has no predict_proba", expected=EXPORTABLE)
    known = getattr(estimator, "classes_", None)
    if known is None:
        raise RecipeFaultError(f"the recipe returned a {kind} that is not fitted", expected="fit(…) before return")
    if np.asarray(known).tolist() != list(range(classes)):
        raise RecipeFaultError(
            f"the {kind} was fitted on classes {np.asarray(known).tolist()}"[:200],
            expected=f"class indices 0 to {classes - 1}, as in data.train.labels",
        )


def export_linear(model: Linear) -> bytes:
    """Return the linear baseline as canonical ONNX: the same arithmetic in float32."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "median": model.median,
        "mean": model.mean,
        "scale": model.scale,
        "weights": model.weights,
        "bias": model.bias,
    }
    nodes = [
        helper.make_node("IsNaN", ["x"], ["absent"]),
        helper.make_node("Where", ["absent", "median", "x"], ["filled"]),
        helper.make_node("Sub", ["filled", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["p"], axis=1),
    ]
    features, classes = model.weights.shape
    graph = helper.make_graph(
        nodes,
        BASELINE_GRAPH,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, classes])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET[""])]
    made = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    return canonical_model(made, "p", Shape(features=features, classes=classes, graph=BASELINE_GRAPH))
