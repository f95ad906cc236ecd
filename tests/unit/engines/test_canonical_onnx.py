import random

import numpy as np
import onnx
import pytest
from onnx import helper
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from holdfast.engines.canonical_onnx import OPSET, NotCanonicalError, Shape, canonical_model
from holdfast.engines.scoring_worker import answer, open_model
from holdfast.train.export import export_estimator
from holdfast.train.recipe import RecipeFaultError

SHAPE = Shape(features=30, classes=2, graph="holdfast")
ROWS, LABELS = load_breast_cancer(return_X_y=True)
MODELS = {
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(5, random_state=0),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier()),  # exported with a loop: a graph in a graph
}


def exported(name: str) -> onnx.ModelProto:
    """What skl2onnx itself writes."""
    fitted = MODELS[name].fit(ROWS, LABELS)
    return to_onnx(fitted, ROWS[:1].astype(np.float32), options={"zipmap": False}, target_opset=OPSET)


def disguise(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """The same computation written differently: nodes and constants in another order, all inner tensors renamed."""
    rng = random.Random(seed)  # noqa: S311 - it shuffles a test
    other = onnx.ModelProto()
    other.CopyFrom(model)
    fixed = {item.name for item in other.graph.input}
    names = {name for node in other.graph.node for name in (*node.input, *node.output)} - fixed - {""}
    renamed = {name: f"x{rng.random()}" for name in sorted(names)} | {"probabilities": "probabilities"}
    nodes = list(other.graph.node)
    rng.shuffle(nodes)
    for node in nodes:
        node.name, node.doc_string = f"called {rng.random()}", "by somebody"
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        for graph in (item.g for item in node.attribute if item.HasField("g")):
            for inner in graph.node:
                inner.input[:] = [renamed.get(name, name) for name in inner.input]
            for output in graph.output:
                output.name = renamed.get(output.name, output.name)
            for inner in graph.node:
                inner.output[:] = [renamed.get(name, name) for name in inner.output]
    constants = list(other.graph.initializer)
    rng.shuffle(constants)
    for tensor in constants:
        tensor.name, tensor.doc_string = renamed.get(tensor.name, tensor.name), "a constant"
    del other.graph.node[:], other.graph.initializer[:]
    other.graph.node.extend(nodes)
    other.graph.initializer.extend(constants)
    other.producer_name, other.doc_string = "another exporter", "another day"
    other.metadata_props.add(key="time", value=str(rng.random()))
    return other


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_names_order_and_remarks_do_not_change_the_bytes(name: str, seed: int) -> None:
    """Two files of one computation, differing in whatever an exporter is free to choose, have one canonical form."""
    model = exported(name)
    assert canonical_model(disguise(model, seed), "probabilities", SHAPE) == canonical_model(
        model, "probabilities", SHAPE
    )


def test_another_weight_is_other_bytes() -> None:
    """What is computed is kept: one constant changed, another digest."""
    model, other = exported("pipeline"), exported("pipeline")
    scaler = next(node for node in other.graph.node if node.op_type == "Scaler")
    scaler.attribute[0].floats[0] += 1.0
    assert canonical_model(model, "probabilities", SHAPE) != canonical_model(other, "probabilities", SHAPE)


@pytest.mark.parametrize("name", MODELS)
def test_the_canonical_form_answers_as_the_estimator(name: str) -> None:
    """Rebuilding changes no answer, and the label is the class of highest probability."""
    fitted = MODELS[name].fit(ROWS, LABELS)
    asked = ROWS.astype(np.float32)
    labels, probabilities = answer(open_model(export_estimator(fitted, 30, ("no", "yes"))), asked, 2)
    assert np.abs(probabilities - fitted.predict_proba(asked)).max() < 1e-5
    assert (labels == probabilities.argmax(axis=1)).all()


def test_what_is_not_needed_is_left_out() -> None:
    """Nodes that no output depends on are no part of the computation: nothing can hide in them."""
    model = exported("forest")
    plain = canonical_model(model, "probabilities", SHAPE)
    model.graph.node.append(helper.make_node("Identity", ["X"], ["aside"], name="aside"))
    assert canonical_model(model, "probabilities", SHAPE) == plain


def test_operators_outside_the_standard_have_no_canonical_form() -> None:
    """An operator that only one runtime knows is refused when exported, not when served."""
    model = exported("forest")
    model.graph.node[0].domain = "com.example"
    with pytest.raises(NotCanonicalError, match=r"com\.example"):
        canonical_model(model, "probabilities", SHAPE)


def test_a_tensor_that_nobody_computes_is_refused() -> None:
    """A graph with a hole in it is not finished by guessing."""
    model = exported("pipeline")
    with pytest.raises(NotCanonicalError, match="nothing computes"):
        canonical_model(model, "elsewhere", SHAPE)


def test_local_functions_are_refused() -> None:
    """A model that brings operators of its own is not what an exporter writes."""
    model = exported("forest")
    model.functions.append(onnx.FunctionProto(name="mine", domain="here"))
    with pytest.raises(NotCanonicalError, match="local functions"):
        canonical_model(model, "probabilities", SHAPE)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (object(), "object, which has no predict_proba"),
        (RandomForestClassifier(), "not fitted"),
        (RandomForestClassifier(2).fit(ROWS, LABELS + 1), r"fitted on classes \[1, 2\]"),
        (RandomForestClassifier(2).fit(ROWS, np.where(LABELS, "a", "b")), r"fitted on classes \['a', 'b'\]"),
    ],
)
def test_what_is_no_classifier_of_these_classes_is_refused(made: object, words: str) -> None:
    """Whatever a recipe returns instead of a fitted classifier is named, with what was expected."""
    with pytest.raises(RecipeFaultError, match=words):
        export_estimator(made, 30, ("no", "yes"))
