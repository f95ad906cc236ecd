"""What the scan of an ONNX model looks for, message by message, and how it is bounded.

Each rule sees one finished message with the few values that `schema` keeps of it, and reports at once; what needs the
whole file (literals, functions, foreign domains) is judged in `finish`.
"""

import struct
from collections import Counter
from collections.abc import Callable
from math import prod
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from holdfast.core.evidence import Severity
from holdfast.engines.scan import bombs
from holdfast.engines.scan.bombs import Key, Literal, Watched
from holdfast.engines.scan.models import allowed
from holdfast.engines.scan.report import Findings, Operator, Structure, shown
from holdfast.engines.scan.schema import ELEMENT_BITS, EXTERNAL, INT32, INT64, STRING, Field, Frame
from holdfast.engines.scan.wire import LEN, signed

DOMAINS: Final = frozenset({"", "ai.onnx.ml"})
"""Operator sets that the ONNX standard defines and every runtime ships; `ai.onnx` is the empty one's other name."""
MAX_NODES: Final = 1_000_000  # the largest exported transformers have below 100,000
MAX_OPERATORS: Final = 4096  # distinct operators; the standard has about 230
MAX_FUNCTIONS: Final = 4096  # local functions; an exporter writes one for each kind of module
MAX_CALLS: Final = 100_000  # distinct operators summed over local functions; a thousand functions of a hundred each
MAX_LITERALS: Final = 50_000  # small integer constants remembered by name
MAX_WATCHED: Final = 10_000  # nodes whose literals are looked up at the end
MAX_NAME: Final = 512  # bytes of a name that is compared; longer ones cannot be told apart
MAX_RANK: Final = 32  # dimensions of a tensor; numpy stops at 64, runtimes at 8 or so
MAX_LITERAL: Final = 16  # numbers of a constant that may be a shape


class _Use(NamedTuple):
    """Where an operator was first seen, and the copy of its names that is kept."""

    key: Key
    place: str


class Rules:
    """The rules of one scan and what they remember between messages."""

    def __init__(self, view: memoryview, name: str, findings: Findings) -> None:
        """Start with nothing seen."""
        self.view, self.file, self.findings = view, name, findings
        self._operators: Counter[Key] = Counter()
        self._functions: dict[Key, Counter[Key]] = {}
        self._body: Counter[Key] | None = None
        self._opsets: dict[tuple[str, int], str] = {}
        self._literals: dict[str, Literal] = {}
        self._watched: list[Watched] = []
        self._first_use: dict[Key, _Use] = {}
        self._calls = 0
        self._model = Frame("ModelProto", Field("model", LEN), 0, 0)
        self._nodes = self._tensors = self._parameters = 0
        self._closers: dict[str, Callable[[Frame, Frame, str], Any]] = {
            "NodeProto": self._node,
            "AttributeProto": self._attribute,
            "TensorProto": self._tensor,
            "SparseTensorProto": self._sparse,
            "OperatorSetIdProto": self._opset,
            "StringStringEntryProto": self._entry,
            "FunctionProto": self._function,
            "GraphProto": self._graph,
            "TrainingInfoProto": self._training,
        }

    def open(self, frame: Frame) -> None:
        """Notice that a message begins: nodes of a local function are counted to it."""
        if frame.name == "FunctionProto":
            self._body = Counter()

    def close(self, frame: Frame, parent: Frame | None, place: str) -> Any:
        """Judge a finished message and return what the message around it should keep of it."""
        if parent is None:
            self._model = frame
            return None
        closer = self._closers.get(frame.name)
        return closer(frame, parent, place) if closer else None

    def finish(self) -> Structure:
        """Judge what only the whole file shows, and return what the file is made of."""
        model = self._model
        if not model.kept.get("graph"):
            self._add(Severity.HIGH, "onnx.no-graph", self.file, "the model has no whole graph with nodes in it")
        if not self._opsets:
            self._add(Severity.MEDIUM, "onnx.no-opset", self.file, "the model does not say which operators it means")
        if self._nodes > MAX_NODES:
            self._add(Severity.HIGH, "limit.nodes", self.file, f"{self._nodes} nodes; at most {MAX_NODES}")
        self._foreign()
        bombs.judge(self._watched, self._literals, self.findings)
        bombs.judge_functions(self._functions, self.findings, self.file)
        totals: Counter[tuple[str, str]] = Counter()
        for (domain, name, _), count in self._operators.items():
            totals[domain, name] += count
        return Structure(
            operators=tuple(sorted(Operator(domain=d, name=n, count=count) for (d, n), count in totals.items())),
            opsets=tuple(sorted(self._opsets)),
            ir_version=int(model.kept.get("ir_version", [0])[0]) & 0x7FFFFFFF,
            producer=shown(f"{self._text(model, 'producer_name')} {self._text(model, 'producer_version')}".strip()),
            nodes=self._nodes,
            tensors=self._tensors,
            parameters=self._parameters,
        )

    def _add(self, severity: Severity, rule: str, place: str, words: str) -> None:
        self.findings.add(severity, rule, place, words)

    def _name(self, span: tuple[int, int]) -> str:
        start, end = span
        if end - start > MAX_NAME:
            place = f"{self.file} byte {start}"
            self._add(Severity.MEDIUM, "limit.name", place, f"a name of {end - start} bytes; {MAX_NAME} are compared")
        return bytes(self.view[start : min(end, start + MAX_NAME)]).decode("utf-8", "replace")

    def _text(self, frame: Frame, field: str) -> str:
        kept = frame.kept.get(field)
        return self._name(kept[0]) if kept else ""

    def _node(self, frame: Frame, _: Frame, place: str) -> int:
        self._nodes += 1
        key = (_domain(self._text(frame, "domain")), self._text(frame, "op_type"), self._text(frame, "overload"))
        if not key[1]:
            self._add(Severity.HIGH, "onnx.no-operator", place, "a node without an operator")
        self._count(key, place)
        attributes = dict(frame.kept.get("attribute", ()))
        if key[0] == "" and key[1] == "Constant":
            value = attributes.get("value") or attributes.get("value_int") or attributes.get("value_ints")
            self._remember(frame.kept.get("output", ()), value, place)
        elif key[0] == "" and key[1] in bombs.WATCHED:
            self._watch(frame, key[1], attributes, place)
        return 1

    def _count(self, key: Key, place: str) -> None:
        """Count a use of an operator, in the model and in the local function around it."""
        if key not in self._first_use:
            if len(self._first_use) >= MAX_OPERATORS:
                self._add(Severity.HIGH, "limit.operators", place, f"more than {MAX_OPERATORS} distinct operators")
                return
            self._first_use[key] = _Use(key=key, place=place)
        key = self._first_use[key].key  # one copy of the names, however many functions use them
        self._operators[key] += 1
        if self._body is None:
            return
        if key not in self._body:
            self._calls += 1
            if self._calls > MAX_CALLS:
                self._add(Severity.HIGH, "limit.functions", place, f"more than {MAX_CALLS} calls in local functions")
                return
        self._body[key] += 1

    def _watch(self, frame: Frame, op: str, attributes: dict[str, Literal], place: str) -> None:
        if len(self._watched) >= MAX_WATCHED:
            words = f"more than {MAX_WATCHED} nodes that take their size from a constant"
            self._add(Severity.MEDIUM, "limit.watched", place, words)
            return
        inputs = tuple(self._name(span) for span in frame.kept.get("input", ()))
        shape = attributes.get(bombs.SHAPE, ())
        self._watched.append(Watched(op=op, inputs=inputs, shape=shape, place=place))

    def _remember(self, names: Any, value: Literal | None, place: str) -> None:
        """Keep a small integer constant; of two under one name, the one that asks for more."""
        for span in tuple(names)[:1]:
            name = self._name(span)
            if not value:
                continue
            if len(self._literals) >= MAX_LITERALS and name not in self._literals:
                words = f"more than {MAX_LITERALS} small constants; the rest is not followed"
                self._add(Severity.MEDIUM, "limit.literals", place, words)
            else:
                self._literals[name] = max(self._literals.get(name, ()), value, key=_weight)

    def _attribute(self, frame: Frame, _: Frame, __: str) -> tuple[str, Literal]:
        kept = frame.kept
        tensor = next((value for value in kept.get("t", ()) if value), ())
        numbers = tuple(signed(value) for value in kept.get("i", ()) or kept.get("ints", ()))
        return self._text(frame, "name"), tensor or numbers

    def _tensor(self, frame: Frame, parent: Frame, place: str) -> Literal:
        self._tensors += 1
        dims = [signed(value) for value in frame.kept.get("dims", ())]
        kind = int((frame.kept.get("data_type") or [0])[-1])
        count = self._shape(dims, place)
        self._parameters = min(self._parameters + count, 1 << 62)
        external = frame.kept.get("external_data", ())
        if external or EXTERNAL in frame.kept.get("data_location", ()):
            self._external(dict(external), place)
            return ()
        self._carried(frame, kind, count, place)
        literal = self._literal(frame, kind, count)
        if parent.name == "GraphProto":
            self._remember(frame.kept.get("name", ()), literal, place)
        return literal

    def _shape(self, dims: list[int], place: str) -> int:
        if any(size < 0 for size in dims) or len(dims) > MAX_RANK:
            words = f"a tensor of shape {dims[:8]} with {len(dims)} dimensions"
            self._add(Severity.HIGH, "onnx.tensor.shape", place, words)
            return 0
        return prod(dims)

    def _carried(self, frame: Frame, kind: int, count: int, place: str) -> None:
        """Compare what a tensor declares with what it carries: readers that trust the shape read past the data."""
        bits = ELEMENT_BITS.get(kind, 0)
        if not bits and kind != STRING:
            self._add(Severity.MEDIUM, "onnx.tensor.type", place, f"a tensor of unknown element type {kind}")
        elif raw := frame.kept.get("raw_data"):
            start, end = raw[-1]
            if kind == STRING or (count * bits + 7) // 8 != end - start:
                words = f"a tensor declares {count} elements and carries {end - start} bytes"
                self._add(Severity.HIGH, "onnx.tensor.size", place, words)
        elif count > 4 * (frame.end - frame.start):  # the densest encoding packs four elements into a byte
            words = f"a tensor declares {count} elements in {frame.end - frame.start} bytes"
            self._add(Severity.HIGH, "onnx.tensor.size", place, words)

    def _literal(self, frame: Frame, kind: int, count: int) -> Literal:
        if kind not in {INT32, INT64} or not 0 < count <= MAX_LITERAL:
            return ()
        if raw := frame.kept.get("raw_data"):
            start, end = raw[-1]
            code = "q" if kind == INT64 else "i"
            size = struct.calcsize(code)
            usable = (end - start) // size * size
            return tuple(number for (number,) in struct.iter_unpack(f"<{code}", self.view[start : start + usable]))[
                :count
            ]
        values = frame.kept.get("int64_data" if kind == INT64 else "int32_data", ())
        return tuple(signed(value) for value in values)[:count]

    def _external(self, entries: dict[str, str], place: str) -> None:
        location = entries.get("location", "")
        path = PurePosixPath(location.replace("\\", "/"))
        outside = path.is_absolute() or ".." in path.parts or ":" in location
        severity = Severity.CRITICAL if outside else Severity.HIGH
        words = f"a tensor is read from another file: {shown(location)!r}"
        self._add(severity, "onnx.external-data", place, words)

    def _sparse(self, frame: Frame, _: Frame, place: str) -> None:
        count = self._shape([signed(value) for value in frame.kept.get("dims", ())], place)
        if count >= bombs.LARGE:
            severity = Severity.HIGH if count >= bombs.HUGE else Severity.MEDIUM
            words = f"a sparse tensor unfolds into {min(count, 1 << 63):.3g} elements"
            self._add(severity, "onnx.resources", place, words)

    def _opset(self, frame: Frame, _: Frame, place: str) -> None:
        if len(self._opsets) < MAX_OPERATORS:
            version = int(frame.kept.get("version", [0])[-1]) & 0x7FFFFFFF
            self._opsets.setdefault((_domain(self._text(frame, "domain")), version), place)

    def _entry(self, frame: Frame, parent: Frame, _: str) -> tuple[str, str] | None:
        if parent.name != "TensorProto" or frame.via.name != "external_data":
            return None
        return self._text(frame, "key"), self._text(frame, "value")

    def _function(self, frame: Frame, _: Frame, place: str) -> None:
        key = (_domain(self._text(frame, "domain")), self._text(frame, "name"), self._text(frame, "overload"))
        body, self._body = self._body, None
        if key[0] in DOMAINS:
            words = f"a local function takes the place of the standard operator {shown(key[1])!r}"
            self._add(Severity.HIGH, "onnx.function.shadow", place, words)
        if key in self._functions:
            self._add(Severity.HIGH, "onnx.duplicate", place, f"two local functions are called {shown(key[1])!r}")
        elif len(self._functions) >= MAX_FUNCTIONS:
            self._add(Severity.HIGH, "limit.functions", place, f"more than {MAX_FUNCTIONS} local functions")
        else:
            self._functions[key] = body or Counter()

    def _graph(self, frame: Frame, _: Frame, __: str) -> int | None:
        return 1 if frame.kept.get("node") else None

    def _training(self, _: Frame, __: Frame, place: str) -> None:
        self._add(Severity.MEDIUM, "onnx.training", place, "the model carries a training graph that no service needs")

    def _foreign(self) -> None:
        """Report operators from outside the standard that the file does not define itself: their code is elsewhere."""
        own = {domain for domain, _, _ in self._functions}
        for key in self._operators:
            if key not in self._functions and not _standard(key):
                words = f"the operator {shown('/'.join(key[:2]))!r} is not part of ONNX"
                self._add(Severity.HIGH, "onnx.custom-operator", self._first_use[key].place, words)
        for (domain, _), place in self._opsets.items():
            if domain not in DOMAINS and domain not in own:
                words = f"the model imports operators from {shown(domain)!r}"
                self._add(Severity.HIGH, "onnx.custom-domain", place, words)


def _standard(key: Key) -> bool:
    """Return whether an operator is one of ONNX's, of any version; an empty name is a finding of its own."""
    domain, name, _ = key
    return domain in DOMAINS and (not name or name in allowed.words("onnx", "classical" if domain else "standard"))


def _domain(text: str) -> str:
    return "" if text == "ai.onnx" else text


def _weight(literal: Literal) -> tuple[int, int, int]:
    """Return how much a constant asks for, as a shape, as a number, and last by its length."""
    sizes = [abs(value) for value in literal]
    return (prod(sizes) if sizes else 0), sum(sizes), len(sizes)
