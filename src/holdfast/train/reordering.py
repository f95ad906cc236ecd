"""Puts the probabilities of an ONNX model into another order of classes. Runs inside the sandbox.

Command line: MODEL LEFT ORDER FEATURES, the order as places among the model's own classes. Writes `ordered.onnx`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto, helper

from holdfast.engines.canonical_onnx import PROBABILITIES, Shape, canonical_model

ORDERED: Final = "ordered.onnx"
GRAPH: Final = "holdfast"


def main(args: Sequence[str]) -> int:
    """Write the model anew; return the exit code."""
    path, left, order, features = args
    places = [int(each) for each in order.split(",")]
    model = onnx.load_model_from_string(Path(path).read_bytes())
    taken = {name for node in model.graph.node for name in node.output} | {i.name for i in model.graph.initializer}
    index, output = (next(f"{word}{n}" for n in range(len(taken) + 1) if f"{word}{n}" not in taken) for word in "io")
    model.graph.initializer.append(helper.make_tensor(index, TensorProto.INT64, [len(places)], places))
    model.graph.node.append(helper.make_node("Gather", [PROBABILITIES, index], [output], axis=1))
    shape = Shape(features=int(features), classes=len(places), graph=GRAPH)
    (Path(left) / ORDERED).write_bytes(canonical_model(model, output, shape))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
