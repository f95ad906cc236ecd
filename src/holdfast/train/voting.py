"""Puts models that learned from disjoint subsets into one ONNX model that lets them vote. Runs inside the sandbox.

Command line: GIVEN LEFT MODELS FEATURES CLASSES. Reads `0.onnx`, `1.onnx` …; writes `voting.onnx`, whose probabilities
are those of `maths.votes` and whose label is the class of most votes, the lowest of equals. What a model answers beside
its vote is held between 0 and 1 before it counts at all.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper

from holdfast.engines.canonical_onnx import IR_VERSION, PROBABILITIES, NotCanonicalError, Shape, canonical_model
from holdfast.engines.scoring_worker import INPUT
from holdfast.maths.votes import VOICE

VOTING: Final = "voting.onnx"
GRAPH: Final = "holdfast-voting"
EXIT_FORM: Final = 65  # sysexits.h, EX_DATAERR: the models cannot be put into one graph


def main(args: Sequence[str]) -> int:
    """Write the model; return the exit code."""
    given, left, models, features, classes = args
    documents = [(Path(given) / f"{number}.onnx").read_bytes() for number in range(int(models))]
    try:
        document = voting_model(documents, Shape(features=int(features), classes=int(classes), graph=GRAPH))
    except NotCanonicalError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FORM
    (Path(left) / VOTING).write_bytes(document)
    return 0


def voting_model(documents: Sequence[bytes], shape: Shape) -> bytes:
    """Return one model whose label is the class that most models answer with.

    Args:
        documents: Models that keep the contract.
        shape: Features and classes of each of them, and the name of the graph.

    Raises:
        NotCanonicalError: A model has no canonical form, or they use different versions of the operators.
    """
    models = [onnx.load_model_from_string(document) for document in documents]
    opsets = {tuple(sorted((item.domain, item.version) for item in model.opset_import)) for model in models}
    versions: dict[str, int] = {}
    for domain, version in (pair for each in opsets for pair in each):
        if versions.setdefault(domain, version) != version:
            raise NotCanonicalError("the models of the subsets use different versions of the operators")
    nodes, constants = [], []
    for number, model in enumerate(models):
        if model.functions or model.graph.sparse_initializer:
            raise NotCanonicalError("a model has local functions or sparse constants")
        named = compose.add_prefix(model, f"m{number}/", rename_inputs=False, rename_value_infos=True)
        nodes += list(named.graph.node)
        constants += list(named.graph.initializer)
        nodes += _heard(f"m{number}/{PROBABILITIES}", number)
    nodes += _count(len(models))
    constants += _constants(len(models), shape.classes)
    return canonical_model(_model(nodes, constants, versions, shape), "v/shares", shape)


def _heard(answer: str, number: int) -> list[onnx.NodeProto]:
    """Return the nodes from one model's probabilities to its vote, shape (rows, 1), and what else it may say."""
    return [
        helper.make_node("ArgMax", [answer], [f"v/{number}"], axis=1, keepdims=1),
        helper.make_node("IsNaN", [answer], [f"v/nan{number}"]),
        helper.make_node("Where", [f"v/nan{number}", "v/zero", answer], [f"v/real{number}"]),
        helper.make_node("Clip", [f"v/real{number}", "v/zero", "v/one"], [f"v/said{number}"]),
    ]


def _count(models: int) -> list[onnx.NodeProto]:
    """Return the nodes from votes and what else was said to the probabilities, shape (rows, classes)."""
    return [
        helper.make_node("Concat", [f"v/{number}" for number in range(models)], ["v/all"], axis=1),
        helper.make_node("Unsqueeze", ["v/all", "v/last"], ["v/each"]),
        helper.make_node("Equal", ["v/each", "v/classes"], ["v/for"]),
        helper.make_node("Cast", ["v/for"], ["v/ones"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["v/ones", "v/models"], ["v/votes"], keepdims=0),
        helper.make_node("ArgMax", ["v/votes"], ["v/top"], axis=1, keepdims=1),
        helper.make_node("Equal", ["v/top", "v/names"], ["v/is"]),
        helper.make_node("Cast", ["v/is"], ["v/first"], to=TensorProto.FLOAT),
        helper.make_node("Sum", [f"v/said{number}" for number in range(models)], ["v/sum"]),
        helper.make_node("Div", ["v/sum", "v/many"], ["v/mean"]),
        helper.make_node("Add", ["v/mean", "v/first"], ["v/beside"]),
        helper.make_node("Mul", ["v/beside", "v/voice"], ["v/little"]),
        helper.make_node("Add", ["v/votes", "v/little"], ["v/much"]),
        helper.make_node("Div", ["v/much", "v/whole"], ["v/shares"]),
    ]


def _constants(models: int, classes: int) -> list[TensorProto]:
    names = np.arange(classes, dtype=np.int64)
    values: dict[str, NDArray[Any]] = {
        "v/classes": names.reshape(1, 1, -1),
        "v/names": names.reshape(1, -1),
        "v/last": np.array([2], dtype=np.int64),
        "v/models": np.array([1], dtype=np.int64),
        "v/many": np.array(models, dtype=np.float32),
        "v/voice": np.array(VOICE, dtype=np.float32),
        "v/whole": np.array(models + 2 * VOICE, dtype=np.float32),
        "v/zero": np.array(0, dtype=np.float32),
        "v/one": np.array(1, dtype=np.float32),
    }
    return [numpy_helper.from_array(value, name) for name, value in values.items()]


def _model(
    nodes: list[onnx.NodeProto], constants: list[TensorProto], versions: dict[str, int], shape: Shape
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        GRAPH,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, shape.features])],
        [helper.make_tensor_value_info("v/shares", TensorProto.FLOAT, [None, shape.classes])],
        constants,
    )
    opset = [helper.make_opsetid(domain, version) for domain, version in sorted(versions.items())]
    return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
