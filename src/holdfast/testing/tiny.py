"""A tiny model of three inputs, as ONNX, with its signature and its profile: the same bytes in every run."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from holdfast.core.artifact import canonical
from holdfast.core.schema import Field, Signature
from holdfast.maths.nearness import Space
from holdfast.maths.sketch import profile

SIGNATURE: Final = Signature(
    inputs=(
        Field(name="age", minimum=0.0, maximum=100.0),
        Field(name="mean radius", minimum=0.0, maximum=30.0),
        Field(name="trend"),
    ),
    classes=("benign", "malignant"),
)


def tiny_model(weights: Sequence[float] = (0.02, 0.1, 1.0), bias: float = -2.0) -> bytes:
    """Return an ONNX model with one float32 input of three columns: a logistic regression in two classes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    columns = np.array([[0.0, weight] for weight in weights], dtype=np.float32)
    intercept = np.array([0.0, bias], dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["input", "weights"], ["product"]),
        helper.make_node("Add", ["product", "intercept"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", len(weights)])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2]),
        ],
        [numpy_helper.from_array(columns, "weights"), numpy_helper.from_array(intercept, "intercept")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def training_profile(signature: Signature = SIGNATURE, space: Space | None = None) -> bytes:
    """Return a profile.json over a thousand rows that fill the declared ranges evenly, or -1 to 1 where none is."""
    even = np.linspace(0.0, 1.0, 1000)
    bounds = {field.name: (field.minimum, field.maximum) for field in signature.inputs}
    columns = {
        name: even * 2 - 1 if low is None or high is None else low + even * (high - low)
        for name, (low, high) in bounds.items()
    }
    inputs = {name: profile(values) for name, values in columns.items()}
    return canonical({"inputs": inputs, "score": profile(even), "space": space})
