"""From trees and estimators to canonical ONNX. Runs inside the sandbox.

skl2onnx writes what it knows; histogram boosting, XGBoost and LightGBM are written by us wherever they stand, also
inside a pipeline of scikit-learn: skl2onnx 1.20 fails on the first, and knows nothing of the others.
"""

import importlib
import itertools
import sys
import warnings
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.boosted import boosters
from holdfast.engines.boosted.trees import CannotError, Ensemble, emit
from holdfast.engines.canonical_onnx import IR_VERSION, OPSET, Shape, canonical_model

GRAPH: Final = "holdfast"
EDGES: Final = 200  # rows made of the thresholds of trees
_WRAPPERS: Final = (
    ("sklearn.ensemble", ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")),
    ("xgboost", ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor")),
    ("lightgbm", ("LGBMClassifier", "LGBMRegressor")),
)


def canonical_of(ensemble: Ensemble) -> bytes:
    """Return trees as canonical ONNX with the contract of models that are served, or of those that give values."""
    from onnx import TensorProto, helper

    nodes: list[Any] = []
    constants: list[Any] = []
    counter = itertools.count()

    def name(what: str) -> str:
        return f"{what}{next(counter)}"

    def add(kind: str, inputs: list[str], outputs: list[str], domain: str, attributes: dict[str, Any]) -> None:
        nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))

    def constant(value: float) -> str:
        constants.append(helper.make_tensor(name("constant"), TensorProto.FLOAT, [1], [value]))
        return str(constants[-1].name)

    made = emit(ensemble, "input", name, add, constant)
    width = len(ensemble.classes) or ensemble.targets
    graph = helper.make_graph(
        nodes,
        GRAPH,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, ensemble.features])],
        [helper.make_tensor_value_info(made, TensorProto.FLOAT, [None, width])],
        constants,
    )
    sets = [helper.make_opsetid(domain, version) for domain, version in OPSET.items()]
    model = helper.make_model(graph, opset_imports=sets, ir_version=IR_VERSION)
    shape = Shape(features=ensemble.features, classes=width, graph=GRAPH)
    return canonical_model(model, made, shape, values=not ensemble.classes)


def of_estimator(loaded: Any, features: int, width: int, *, values: bool) -> bytes:
    """Return a fitted object with scikit-learn's interface as canonical ONNX.

    Raises:
        CannotError: It cannot be exported, with the exporter's reason.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    _register()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about itself
            model = to_onnx(
                loaded,
                initial_types=[("input", FloatTensorType([None, features]))],
                options=None if values else {"zipmap": False},
                target_opset=OPSET,
            )
        output = model.graph.output[0].name if values else "probabilities"
        return canonical_model(model, output, Shape(features=features, classes=width, graph=GRAPH), values=values)
    except (MemoryError, CannotError):
        raise
    except Exception as error:
        words = str(error).strip().partition("\n")[0]
        raise CannotError(f"a {type(loaded).__name__} cannot be exported to ONNX: {words}") from error


def _ensemble(loaded: Any) -> Ensemble:
    if type(loaded).__module__.startswith("xgboost"):
        return boosters.xgboost(boosters.parse_xgboost(bytes(loaded.get_booster().save_raw("json"))))
    if type(loaded).__module__.startswith("lightgbm"):
        return boosters.lightgbm(loaded.booster_.model_to_string())
    return boosters.histogram(loaded)


def _register() -> None:
    """Tell skl2onnx how the models of boosting are written, those whose library is in this process."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    def shapes(operator: Any) -> None:
        rows = operator.inputs[0].type.shape[0]
        if len(operator.outputs) == 1:
            operator.outputs[0].type = FloatTensorType([rows, 1])
            return
        operator.outputs[0].type = Int64TensorType([rows])
        operator.outputs[1].type = FloatTensorType([rows, len(operator.raw_operator.classes_)])

    for module, names in _WRAPPERS:
        if module.partition(".")[0] not in sys.modules:  # then the object is none of its
            continue
        library = importlib.import_module(module)
        for name in names:
            kind = getattr(library, name, None)
            if kind is not None:
                options = {
                    "nocl": [True, False],
                    "zipmap": [True, False, "columns"],
                    "output_class_labels": [False, True],
                }
                update_registered_converter(
                    kind, f"Holdfast{name}", shapes, _convert, options=options if "Class" in name else None
                )


def _convert(scope: Any, operator: Any, container: Any) -> None:
    from onnx import TensorProto

    ensemble = _ensemble(operator.raw_operator)

    def add(kind: str, inputs: list[str], outputs: list[str], domain: str, attributes: dict[str, Any]) -> None:
        name = scope.get_unique_operator_name(kind)
        version = OPSET[domain]
        container.add_node(kind, inputs, outputs, op_domain=domain, op_version=version, name=name, **attributes)

    def constant(value: float) -> str:
        name = scope.get_unique_variable_name("constant")
        container.add_initializer(name, TensorProto.FLOAT, [1], [value])
        return str(name)

    made = emit(ensemble, operator.inputs[0].full_name, scope.get_unique_variable_name, add, constant)
    if len(operator.outputs) > 1:
        add("ArgMax", [made], [operator.outputs[0].full_name], "", {"axis": 1, "keepdims": 0})
    add("Identity", [made], [operator.outputs[-1].full_name], "", {})


def edges(document: bytes, features: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Return rows at, just below and just above the thresholds of trees that read the rows as they are.

    Where a conversion rounds a threshold to the wrong side, rows drawn at random never show it, and these do.

    Returns:
        Shape (EDGES, features), or (0, features) where the model has no such trees.
    """
    import onnx

    found: dict[int, set[float]] = {}
    for node in onnx.load_model_from_string(document).graph.node:
        if not node.op_type.startswith("TreeEnsemble") or node.input[0] != "input":
            continue
        said = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        for feature, value, mode in zip(
            said["nodes_featureids"], said["nodes_values"], said["nodes_modes"], strict=True
        ):
            if mode != b"LEAF" and np.isfinite(value):
                found.setdefault(feature, set()).add(value)
    if not found:
        return np.empty((0, features), np.float32)
    rows = np.zeros((EDGES, features), np.float32)
    for feature, values in sorted(found.items()):
        chosen = random.choice(np.array(sorted(values), dtype=np.float32), EDGES)
        side = random.integers(3, size=EDGES)
        below, above = (np.nextafter(chosen, np.float32(end)) for end in (-np.inf, np.inf))
        rows[:, feature] = np.choose(side, (below, chosen, above))
    return rows
