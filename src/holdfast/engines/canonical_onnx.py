"""Canonical ONNX: one computation, one sequence of bytes. Runs inside the sandbox.

Exporters name tensors by counters and sets, order nodes by chance, and sign their work; two exports of one model then
differ.
Here a graph is rebuilt from its output backwards: nodes in the order they are needed, names by position, attributes
sorted, nothing that is not computed with, versions as given. What remains is a function of the computation alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from holdfast.engines.scoring_worker import INPUT, OUTPUTS

IR_VERSION: Final = 8  # the first that carries opset 17
OPSET: Final = {
    "": 17,
    "ai.onnx.ml": 3,
}  # fixed, so that a newer exporter writes the same; every ONNX Runtime since 1.12 reads it
ROWS: Final = "rows"  # name of the one open dimension
LABEL, PROBABILITIES = OUTPUTS
VALUES: Final = "values"  # the one output of a model that gives values instead of probabilities


class NotCanonicalError(Exception):
    """The model uses something of ONNX that has no canonical form here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What goes in and out: how many features and classes, and what the graph is called."""

    features: int
    classes: int
    graph: str


@dataclass(slots=True)
class _Namer:
    """Names by position, counted over the whole model so that an inner graph never hides an outer name."""

    tensors: int = 0
    nodes: int = 0

    def tensor(self) -> str:
        self.tensors += 1
        return f"t{self.tensors - 1}"

    def node(self) -> str:
        self.nodes += 1
        return f"n{self.nodes - 1}"


@dataclass(slots=True)
class _Scope:
    """One graph being rebuilt: what its tensors are called now, and what it is made of so far."""

    namer: _Namer
    names: dict[str, str]
    producers: Mapping[str, NodeProto]
    constants: Mapping[str, TensorProto]
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)


def canonical_model(model: ModelProto, answers: str, shape: Shape, *, values: bool = False) -> bytes:
    """Return the canonical bytes of a model that computes `answers`, with the contract's input and outputs.

    The label is the first class of highest probability, computed in the graph, so the two can never disagree. A model
    that gives values, a regressor, has one output, `values`, and is nothing that a gateway serves.

    Args:
        model: Any model with one input.
        answers: Name of the tensor, float of shape (rows, classes), that the graph computes.
        shape: What to declare; for values `classes` is how many a row gets.
        values: Whether the answers are values instead of probabilities.

    Raises:
        NotCanonicalError: Local functions, sparse constants, several inputs, operators outside the standard, or a
            tensor that nobody computes.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    inputs = [item.name for item in graph.input if item.name not in constants]
    if model.functions or graph.sparse_initializer or len(inputs) != 1:
        raise NotCanonicalError("the model has local functions, sparse constants or several inputs")
    scope = _Scope(_Namer(), {inputs[0]: INPUT}, _producers(graph), constants)
    _rebuild(scope, [answers])
    scope.nodes += _ending(scope.names[answers], scope.namer, values=values)
    rebuilt = helper.make_graph(
        scope.nodes,
        shape.graph,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [ROWS, shape.features])],
        _outputs(shape, values=values),
        scope.initializers,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in sorted(_opsets(model, scope.nodes).items())]
    made = helper.make_model(rebuilt, opset_imports=opsets, ir_version=IR_VERSION, producer_name="holdfast")
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString(deterministic=True))


def _outputs(shape: Shape, *, values: bool) -> list[Any]:
    if values:
        return [helper.make_tensor_value_info(VALUES, TensorProto.FLOAT, [ROWS, shape.classes])]
    return [
        helper.make_tensor_value_info(LABEL, TensorProto.INT64, [ROWS]),
        helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [ROWS, shape.classes]),
    ]


def _ending(probabilities: str, namer: _Namer, *, values: bool) -> list[NodeProto]:
    if values:
        return [helper.make_node("Identity", [probabilities], [VALUES], name=namer.node())]
    return [
        helper.make_node("Identity", [probabilities], [PROBABILITIES], name=namer.node()),
        helper.make_node("ArgMax", [PROBABILITIES], [LABEL], name=namer.node(), axis=1, keepdims=0),
    ]


def _opsets(model: ModelProto, nodes: Iterable[NodeProto]) -> dict[str, int]:
    """Return the operator sets that the nodes use, in the versions the model was written for.

    Raises:
        NotCanonicalError: A node is of a set that the ONNX standard does not define.
    """
    declared: dict[str, int] = {}
    for item in model.opset_import:
        domain = _domain(item.domain)
        declared[domain] = max(item.version, declared.get(domain, 0))
    used = {""} | {node.domain for node in _all_nodes(nodes)}
    if used - OPSET.keys():
        raise NotCanonicalError(f"it needs operators of {min(used - OPSET.keys())[:80]!r}, which are not standard ONNX")
    return {domain: declared.get(domain, OPSET[domain]) for domain in used}


def _all_nodes(nodes: Iterable[NodeProto]) -> Iterable[NodeProto]:
    for node in nodes:
        yield node
        for inner in _inner_graphs(node):
            yield from _all_nodes(inner.node)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name  # two names of one operator set


def _producers(graph: GraphProto) -> dict[str, NodeProto]:
    return {name: node for node in graph.node for name in node.output if name}


def _inner_graphs(node: NodeProto) -> list[GraphProto]:
    return [graph for item in node.attribute for graph in ((item.g,) if item.HasField("g") else item.graphs)]


def _reads(node: NodeProto) -> list[str]:
    """Return what a node needs in order: its inputs, then what its inner graphs take from around them."""
    needed = [name for name in node.input if name]
    for graph in _inner_graphs(node):
        own = {item.name for item in graph.input} | {item.name for item in graph.initializer} | set(_producers(graph))
        used = [name for inner in graph.node for name in _reads(inner)] + [item.name for item in graph.output]
        needed += [name for name in used if name not in own]
    return needed


def _rebuild(scope: _Scope, wanted: list[str]) -> None:
    """Add to a scope whatever computes the wanted tensors, in the order it is needed (a walk without recursion)."""
    waiting = list(reversed(wanted))
    while waiting:
        name = waiting[-1]
        if name in scope.names:
            waiting.pop()
        elif name in scope.constants:
            scope.names[name] = scope.namer.tensor()
            scope.initializers.append(_tensor(scope.constants[name], scope.names[name]))
        elif name in scope.producers:
            node = scope.producers[name]
            missing = [needed for needed in _reads(node) if needed not in scope.names]
            waiting += reversed(missing)
            if not missing:
                _place(scope, node)
        else:
            raise NotCanonicalError(f"nothing computes the tensor {name[:80]!r}")


def _place(scope: _Scope, node: NodeProto) -> None:
    for output in node.output:
        if output:
            scope.names[output] = scope.namer.tensor()
    made = helper.make_node(
        node.op_type,
        [scope.names[name] if name else "" for name in node.input],
        [scope.names[name] if name else "" for name in node.output],
        name=scope.namer.node(),
        domain=_domain(node.domain),
    )
    made.attribute.extend(_attribute(scope, item) for item in sorted(node.attribute, key=lambda item: item.name))
    scope.nodes.append(made)


def _attribute(scope: _Scope, item: AttributeProto) -> AttributeProto:
    made = AttributeProto()
    made.CopyFrom(item)
    made.ClearField("doc_string")
    if item.HasField("g"):
        made.g.CopyFrom(_inner(scope, item.g))
    if item.HasField("t"):
        made.t.CopyFrom(_tensor(item.t, ""))
    for index, graph in enumerate(item.graphs):
        made.graphs[index].CopyFrom(_inner(scope, graph))
    for index, tensor in enumerate(item.tensors):
        made.tensors[index].CopyFrom(_tensor(tensor, ""))
    return made


def _inner(outer: _Scope, graph: GraphProto) -> GraphProto:
    """Rebuild the graph of a loop or branch: it sees the tensors around it, and its own hide them."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    names = dict(outer.names) | {item.name: outer.namer.tensor() for item in graph.input}
    names = {name: now for name, now in names.items() if name not in constants and name not in _producers(graph)}
    scope = _Scope(outer.namer, names, _producers(graph), constants)
    outputs = [item.name for item in graph.output]
    _rebuild(scope, outputs)
    made = helper.make_graph(scope.nodes, "inner", [], [], scope.initializers)
    made.input.extend(_value(item, scope.names) for item in graph.input)
    made.output.extend(_value(item, scope.names) for item in graph.output)
    return made


def _value(item: Any, names: Mapping[str, str]) -> Any:
    made = type(item)()
    made.CopyFrom(item)
    made.ClearField("doc_string")
    made.name = names[item.name]
    return made


def _tensor(tensor: TensorProto, name: str) -> TensorProto:
    made = TensorProto()
    made.CopyFrom(tensor)
    made.ClearField("doc_string")
    made.name = name
    return made
