"""TensorFlow's SavedModel and GraphDef: every operator of every graph and function against a list of allowed ones.

A graph is a program: operators read and write files, speak to other processes and call back into Python (TensorFlow's
own security notes say so). The list is generated from TensorFlow's registry. Saving and restoring is what a SavedModel
does with its own variables, from the functions made for it; anywhere else it reaches for a file.
"""

import re
from typing import Final, NamedTuple

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models import keras
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.models.binary import damage
from holdfast.engines.scan.models.protobuf import Part, parts
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.wire import LEN, VARINT, Malformed

MAX_NODES: Final = 4_000_000  # nodes of all graphs; exported transformers have below 100,000
MAX_TOP: Final = 64  # fields of a file that are looked at to know it
MAX_NAME: Final = 512  # bytes of a name that is compared
MAX_FINGERPRINT: Final = 1024  # bytes; real ones have 100
PYTHON: Final = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
SAVING: Final = frozenset(
    {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "Save", "Restore", "SaveSlices"}
)
PRINTING: Final = frozenset({"Print", "PrintV2"})
STREAMS: Final = frozenset({b"stdout", b"stderr", b"log(info)", b"log(warning)", b"log(error)"})
TABLES: Final = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
_OPERATOR: Final = re.compile(rb"[A-Za-z_>][A-Za-z0-9_>./\-]{0,200}")
META_GRAPH_FIELDS: Final = range(1, 8)


class _Node(NamedTuple):
    """What is kept of a node."""

    name: bytes
    operator: str
    inputs: tuple[bytes, ...]
    functions: tuple[bytes, ...]  # that it calls
    stream: bytes
    at: int


def known(view: memoryview) -> bool:
    """Return whether a content is a SavedModel: a schema version, and graphs with what describes them."""
    top = _top(view)
    if any((part.number == 1 and part.kind != VARINT) or part.number >= 200 for part in top):
        return False  # a MetaGraphDef, or a model of Core ML
    return any(_is_meta_graph(view, part) for part in top if part.number == 2 and part.kind == LEN)


def known_meta_graph(view: memoryview) -> bool:
    """Return whether a content is a MetaGraphDef, as training of version 1 leaves beside its variables."""
    for part in _top(view):
        if part.number == 2 and part.kind == LEN:
            return _is_graph(view, part.start, part.end)
        if part.kind != LEN:
            return False
    return False


def known_graph(view: memoryview) -> bool:
    """Return whether a content is a GraphDef: nodes that begin with a name and an operator."""
    return bool(_top(view)) and _is_graph(view, 0, len(view))


def known_fingerprint(view: memoryview) -> bool:
    """Return whether a content is the fingerprint of a SavedModel: five checksums, a version and a name."""
    if len(view) > MAX_FINGERPRINT:
        return False
    fields = [(part.number, part.kind) for part in _fields(view, 0, len(view), MAX_TOP)]
    wanted = [(number, VARINT) for number in range(1, 6)]
    return fields[:2] == wanted[:2] and all(field in {*wanted, (6, LEN), (7, LEN)} for field in fields)


def scan_fingerprint(_content: Content, _examination: Examination) -> None:
    """Leave it: numbers that readers compare with the files beside it."""


def _is_graph(view: memoryview, start: int, end: int) -> bool:
    """Return whether the first node of a graph begins with a name and an operator."""
    for part in _fields(view, start, end, MAX_TOP):
        if part.number == 1 and part.kind == LEN:
            fields = _fields(view, part.start, part.end, 2)
            if [(field.number, field.kind) for field in fields] != [(1, LEN), (2, LEN)]:
                return False
            return _OPERATOR.fullmatch(view[fields[1].start : fields[1].end]) is not None
    return False


def _top(view: memoryview) -> list[Part]:
    return list(_fields(view, 0, len(view), MAX_TOP)) if view[:1] in {b"\x08", b"\x0a", b"\x12", b"\x22"} else []


def _fields(view: memoryview, start: int, end: int, most: int) -> list[Part]:
    """Return the first fields of a message, up to damage."""
    found = list[Part]()
    try:
        for part in parts(view, start, end):
            found.append(part)
            if len(found) >= most:
                break
    except Malformed:
        pass
    return found


def _is_meta_graph(view: memoryview, part: Part) -> bool:
    inside = _fields(view, part.start, part.end, 8)
    return bool(inside) and all(each.number in META_GRAPH_FIELDS and each.kind == LEN for each in inside)


def scan(content: Content, examination: Examination) -> None:
    """Scan every graph of a SavedModel."""
    with damage("tensorflow.malformed", content, examination):
        for part in parts(content.view, 0, len(content.view)):
            if part.number == 2 and part.kind == LEN:
                _meta_graph(part, content, examination)
            elif (part.number, part.kind) != (1, VARINT):
                _unknown(part, content, examination)


def scan_meta_graph(content: Content, examination: Examination) -> None:
    """Scan a MetaGraphDef that is a file of its own."""
    with damage("tensorflow.malformed", content, examination):
        _meta_graph(Part(2, LEN, 0, len(content.view)), content, examination)


def scan_graph(content: Content, examination: Examination) -> None:
    """Scan a graph that is a file of its own."""
    with damage("tensorflow.malformed", content, examination):
        _Graph(content, examination, assets=False).run(0, len(content.view))


def _unknown(part: Part, content: Content, examination: Examination) -> None:
    said = f"a field {part.number} that the format does not have, with {part.end - part.start} bytes"
    examination.add(Severity.MEDIUM, "tensorflow.unknown-field", content.at(part.start), said)


def _meta_graph(meta: Part, content: Content, examination: Examination) -> None:
    fields = list(parts(content.view, meta.start, meta.end))
    assets = any(part.number == 6 for part in fields)
    for part in fields:
        if part.kind != LEN:
            raise Malformed(part.start, "a graph's description that is not one")
        if part.number == 2:
            _Graph(content, examination, assets=assets).run(part.start, part.end)
        elif part.number == 6:
            _asset(part, content, examination)
        elif part.number == 7:
            _objects(part, content, examination)
        elif part.number not in META_GRAPH_FIELDS:
            _unknown(part, content, examination)


def _asset(asset: Part, content: Content, examination: Examination) -> None:
    for part in parts(content.view, asset.start, asset.end):
        name = bytes(content.view[part.start : min(part.end, part.start + 4096)])
        if part.number == 2 and (name.startswith(b"/") or b".." in name or b":" in name or b"\\" in name):
            said = f"the asset {shown(name)!r} lies outside the model's folder"
            examination.add(Severity.HIGH, "tensorflow.asset", content.at(part.start), said)


def _objects(graph: Part, content: Content, examination: Examination) -> None:
    """Look for configurations of Keras in the objects of a SavedModel, where versions before 2.5 kept them."""
    for part in parts(content.view, graph.start, graph.end):
        if part.number != 1 or part.kind != LEN:
            continue
        for kind in parts(content.view, part.start, part.end):
            if kind.number == 4 and kind.kind == LEN:  # SavedUserObject
                keras.metadata(kind, content, examination, field=3)


class _Graph:
    """One GraphDef with its library of functions."""

    def __init__(self, content: Content, examination: Examination, *, assets: bool) -> None:
        self.content, self.view, self.examination = content, content.view, examination
        self.assets, self.nodes = assets, 0

    def run(self, start: int, end: int) -> None:
        """Scan the main graph, then each function, and then who calls those that save."""
        main, bodies = list[_Node](), dict[bytes, list[_Node]]()
        for part in parts(self.view, start, end):
            if part.number == 1 and part.kind == LEN:
                self._keep(main, self._node(part))
            elif part.number == 2 and part.kind == LEN:
                self._library(part, bodies)
        savers = _savers(bodies)
        self._main(main, savers)
        for name, body in bodies.items():
            self._function(name, body, savers)

    def _keep(self, kept: list[_Node], node: _Node) -> None:
        """Judge a node by its operator, and keep what later rules look at."""
        self._operator(node)
        beside = any(each.lstrip(b"^").startswith(b"save") for each in node.inputs)
        if beside or node.functions or node.operator in SAVING or node.operator in {"Const", "Placeholder"}:
            kept.append(node)

    def _library(self, library: Part, bodies: dict[bytes, list[_Node]]) -> None:
        for function in parts(self.view, library.start, library.end):
            if function.number != 1 or function.kind != LEN:
                continue
            name, body = b"", list[_Node]()
            for part in parts(self.view, function.start, function.end):
                if part.number == 1 and part.kind == LEN:
                    name = self._text(next(iter(_fields(self.view, part.start, part.end, 1)), part))
                elif part.number == 3 and part.kind == LEN:
                    self._keep(body, self._node(part))
            if name in bodies:
                said = f"two functions are called {shown(name)!r}"
                self._add(Severity.HIGH, "duplicate", said, function.start)
            bodies.setdefault(name, []).extend(body)

    def _node(self, node: Part) -> _Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Malformed(node.start, f"more than {MAX_NODES} nodes; the rest was not scanned")
        name = operator = stream = b""
        inputs, functions, fields = list[bytes](), list[bytes](), 0
        for part in parts(self.view, node.start, node.end):
            fields += 1
            if part.kind != LEN:
                continue
            if part.number == 1:
                name = self._text(part)
            elif part.number == 2:
                operator = self._text(part)
            elif part.number == 3 and len(inputs) < 8:
                inputs.append(self._text(part))
            elif part.number == 5:
                key, called, text = self._attribute(part)
                functions += called
                stream = text if key == b"output_stream" else stream
        self.examination.step(fields)
        return _Node(name, operator.decode("utf-8", "replace"), tuple(inputs), tuple(functions), stream, node.start)

    def _attribute(self, entry: Part) -> tuple[bytes, list[bytes], bytes]:
        """Return the name of an attribute, the functions that it names, and its text."""
        key, functions, text = b"", list[bytes](), b""
        for part in parts(self.view, entry.start, entry.end):
            if part.kind != LEN or part.number > 2:
                continue
            if part.number == 1:
                key = self._text(part)
                continue
            for value in parts(self.view, part.start, part.end):
                if value.kind == LEN and value.number == 2:
                    text = self._text(value)
                elif value.kind == LEN and value.number == 10:
                    functions += self._called(value)
                elif value.kind == LEN and value.number == 1:
                    for each in parts(self.view, value.start, value.end):
                        functions += self._called(each) if each.number == 9 and each.kind == LEN else []
        return key, functions, text

    def _called(self, function: Part) -> list[bytes]:
        fields = _fields(self.view, function.start, function.end, 1)
        return [self._text(part) for part in fields if part.number == 1]

    def _text(self, part: Part) -> bytes:
        return bytes(self.view[part.start : min(part.end, part.start + MAX_NAME)])

    def _operator(self, node: _Node) -> None:
        operator, place = node.operator, f"the operator {shown(node.operator)!r} in the node {shown(node.name, 80)!r}"
        if operator in words("tensorflow", "allowed") or operator in SAVING:
            return
        if operator in PYTHON:
            self._add(Severity.CRITICAL, "python", f"{place} calls a function of Python", node.at)
        elif operator in PRINTING:
            if node.stream and node.stream not in STREAMS:
                said = f"{place} writes to {shown(node.stream)!r}"
                self._add(Severity.HIGH, "operator.file", said, node.at)
            else:
                self._add(Severity.LOW, "operator.print", f"{place} writes what passes to the log", node.at)
        elif operator in TABLES and self.assets:
            self._add(Severity.LOW, "operator.asset", f"{place} reads a vocabulary from an asset", node.at)
        elif operator in words("tensorflow", "reaching"):
            said = f"{place} can reach files, other processes or the network"
            self._add(Severity.HIGH, "operator.file", said, node.at)
        elif operator in words("tensorflow", "other"):
            self._add(Severity.MEDIUM, "operator.unjudged", f"{place} does what is not judged here", node.at)
        else:
            self._add(
                Severity.HIGH, "operator.custom", f"{place} is not one of TensorFlow's: its code is elsewhere", node.at
            )

    def _main(self, nodes: list[_Node], savers: set[bytes]) -> None:
        """Hold what saves in the main graph to the shape that writers give it."""
        names = {node.name for node in nodes if node.operator == "Placeholder"}
        for node in nodes:
            saves = node.name.startswith(b"save")
            if node.operator in SAVING and not saves:
                self._reaches(node, "outside of what saves the model")
            elif not saves and any(each.lstrip(b"^").startswith(b"save/") for each in node.inputs):
                self._reaches(node, "and has what saves the model run with it")
            elif savers & set(node.functions) and node.inputs[:1] and node.inputs[0].split(b":")[0] not in names:
                self._reaches(node, "and gives a function that saves a name of its own")
            elif savers & set(node.functions) and not node.inputs:
                self._reaches(node, "and calls a function that saves")

    def _function(self, name: bytes, nodes: list[_Node], savers: set[bytes]) -> None:
        constants = {node.name for node in nodes if node.operator == "Const"}
        made_for_it = b"traced_save" in name or b"traced_restore" in name
        for node in nodes:
            if node.operator in SAVING and not made_for_it:
                self._reaches(node, f"in the function {shown(name, 80)!r}")
            elif node.operator in SAVING and node.inputs and node.inputs[0].split(b":")[0] in constants:
                self._reaches(node, "with a name of its own")
            elif savers & set(node.functions) and not made_for_it:
                self._reaches(node, f"and calls what saves, in the function {shown(name, 80)!r}")

    def _reaches(self, node: _Node, where: str) -> None:
        said = f"the operator {shown(node.operator)!r} in the node {shown(node.name, 80)!r} {where}"
        self._add(Severity.HIGH, "operator.file", said, node.at)

    def _add(self, severity: Severity, rule: str, said: str, at: int) -> None:
        self.examination.add(severity, f"tensorflow.{rule}", self.content.at(at), said)


def _savers(bodies: dict[bytes, list[_Node]]) -> set[bytes]:
    """Return the functions that save or restore, themselves or through others that they call."""
    callers = dict[bytes, list[bytes]]()
    for name, body in bodies.items():
        for node in body:
            for called in node.functions:
                callers.setdefault(called, []).append(name)
    found = {name for name, body in bodies.items() if any(node.operator in SAVING for node in body)}
    waiting = list(found)
    while waiting:
        for caller in callers.pop(waiting.pop(), ()):
            if caller not in found:
                found.add(caller)
                waiting.append(caller)
    return found
