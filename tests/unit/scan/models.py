"""ONNX models for the scanner's tests, and what the `onnx` package itself says about them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from holdfast.core.evidence import SEVERITIES, Finding, Severity
from holdfast.engines.scan import onnx as scanner
from holdfast.engines.scan.report import Findings, Structure

OPSETS = (helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3))


def scan(data: bytes) -> tuple[Structure, list[Finding]]:
    """What the scanner says about these bytes."""
    findings = Findings()
    structure = scanner.scan(memoryview(data), "model.onnx", findings)
    return structure, findings.kept


def worst(findings: list[Finding]) -> Severity | None:
    """The severity of the worst finding."""
    return max((finding.severity for finding in findings), key=SEVERITIES.index, default=None)


def rules(findings: list[Finding]) -> set[str]:
    """The rules that found something."""
    return {finding.rule for finding in findings}


def tensor(name: str, values: Any) -> TensorProto:
    """A tensor with its values as raw bytes."""
    return numpy_helper.from_array(np.asarray(values), name)


def model(nodes: list[Any] | None = None, *, initializers: tuple[Any, ...] = (), **parts: Any) -> onnx.ModelProto:
    """A model of a few nodes, y = Gemm(x) by default."""
    if nodes is None:
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
        initializers = (tensor("w", np.ones((3, 2), np.float32)), tensor("b", np.zeros(2, np.float32)), *initializers)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        initializer=list(initializers),
    )
    parts.setdefault("opset_imports", OPSETS)
    return helper.make_model(graph, producer_name="holdfast-tests", ir_version=10, **parts)


def forest() -> bytes:
    """A small tree ensemble with float, integer and string attributes, as skl2onnx writes them."""
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "y"],
        domain="ai.onnx.ml",
        nodes_treeids=[0] * 300,
        nodes_nodeids=list(range(300)),
        nodes_values=[float(i) / 7 for i in range(300)],
        nodes_modes=["BRANCH_LEQ"] * 150 + ["LEAF"] * 150,
        class_weights=[0.5] * 150,
        classlabels_int64s=[0, 1],
        post_transform="NONE",
    )
    return model([node]).SerializeToString()


def nested(depth: int) -> bytes:
    """If inside If inside If …, and in the innermost a constant."""
    body = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=tensor("", np.float32(1.0)))],
        "innermost",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [])],
    )
    leaf = body
    for level in range(depth):
        node = helper.make_node("If", ["condition"], [f"y{level}"], then_branch=body, else_branch=leaf)
        out = [helper.make_tensor_value_info(f"y{level}", TensorProto.FLOAT, [])]
        given = [helper.make_tensor_value_info("condition", TensorProto.BOOL, [])] if level == depth - 1 else []
        body = helper.make_graph([node], f"level{level}", given, out)
    return helper.make_model(body, opset_imports=OPSETS, ir_version=10).SerializeToString()


def with_function() -> bytes:
    """A local function and a node that calls it."""
    relu = helper.make_node("Relu", ["a"], ["b"])
    twice = helper.make_function(
        "local", "Twice", ["a"], ["c"], [relu, helper.make_node("Add", ["b", "b"], ["c"])], [OPSETS[0]]
    )
    call = helper.make_node("Twice", ["x"], ["y"], domain="local")
    opsets = (*OPSETS, helper.make_opsetid("local", 1))
    return model([call], functions=[twice], opset_imports=opsets).SerializeToString()


def honest() -> dict[str, bytes]:
    """Models as exporters write them: none of them may have a finding."""
    loop_body = helper.make_graph(
        [helper.make_node("Identity", ["cond_in"], ["cond_out"]), helper.make_node("Relu", ["v_in"], ["v_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("cond_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_in", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("cond_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_out", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["trips", "go", "x"], ["y"], body=loop_body)
    kinds = [np.float64, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint32, np.uint64, np.float16]
    typed = tuple(tensor(f"t{i}", np.arange(5).astype(kind)) for i, kind in enumerate(kinds))
    listed = helper.make_tensor("listed", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0])
    words = TensorProto(name="words", data_type=TensorProto.STRING, dims=[2], string_data=[b"benign", b"malignant"])
    half = helper.make_tensor("half", TensorProto.FLOAT16, [3], np.ones(3, np.float16))
    return {
        "gemm": model().SerializeToString(),
        "forest": forest(),
        "nested": nested(4),
        "function": with_function(),
        "loop": model(
            [loop], initializers=(tensor("trips", np.int64(10)), tensor("go", np.ones((), np.bool_)))
        ).SerializeToString(),
        "types": model(initializers=(*typed, listed, words, half)).SerializeToString(),
        "shapes": model(
            [helper.make_node("Expand", ["x", "shape"], ["y"])],
            initializers=(tensor("shape", np.array([8, 3], np.int64)),),
        ).SerializeToString(),
        "notes": _with_notes().SerializeToString(),
    }


def _with_notes() -> onnx.ModelProto:
    made = model(doc_string="trained on 2024 data; see the card")
    helper.set_model_props(made, {"task": "classification", "names": "benign, malignant"})
    return made


def operators(data: bytes) -> Counter[tuple[str, str]]:
    """Every operator that the `onnx` package finds, in graphs, subgraphs and local functions."""
    loaded = onnx.load_model_from_string(data)
    graphs = [loaded.graph, *(g for info in loaded.training_info for g in (info.initialization, info.algorithm))]
    nodes = [node for graph in graphs for node in _nodes(graph.node)]
    nodes += [node for function in loaded.functions for node in _nodes(function.node)]
    return Counter(("" if node.domain == "ai.onnx" else node.domain, node.op_type) for node in nodes)


def _nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)


def counted(structure: Structure) -> Counter[tuple[str, str]]:
    """The same as the scanner found it."""
    return Counter({(operator.domain, operator.name): operator.count for operator in structure.operators})


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, payload: bytes | int) -> bytes:
    """One field of a message: bytes with their length, or a number."""
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload
