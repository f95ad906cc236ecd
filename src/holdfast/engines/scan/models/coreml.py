"""Core ML models: a protobuf message whose layers, operators and linked files are named by texts.

After `Model.proto`, `NeuralNetwork.proto` and `MIL.proto` of the coremltools repository. A custom model or layer is a
class of the program that loads it; a linked model is another file.
"""

from collections.abc import Iterator
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.models.binary import damage, note
from holdfast.engines.scan.models.protobuf import Part, parts
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.wire import LEN, VARINT, Malformed

MAX_TOP: Final = 64  # fields of a file that are looked at to know it
MAX_DEPTH: Final = 16  # models and networks inside one another
DESCRIPTION, METADATA, USER_DEFINED = 2, 100, 100
PIPELINES, PIPELINE = frozenset({200, 201}), 202
NETWORKS: Final = frozenset({303, 403, 500})
PROGRAM, CUSTOM, LINKED, SERIALIZED = 502, 555, 556, 3000
PLAIN: Final = frozenset(
    {300, 301, 302, 304, 400, 401, 402, 404, 501, 560, 600, 601, 602, 603, 604, 606, 607, 609, 610, 900}
    | set(range(2000, 2007))
)
"""Kinds of models that are numbers and texts alone."""
TYPES: Final = PLAIN | PIPELINES | NETWORKS | {PIPELINE, PROGRAM, CUSTOM, LINKED, SERIALIZED}
CUSTOM_LAYER, BRANCH, LOOP = 500, 605, 615
INSIDE: Final = "@model_path/"
"""What names of blobs begin with that lie in the model's own package."""


def known(view: memoryview) -> bool:
    """Return whether a content is a message with a version, a description and one of the kinds of models."""
    numbers = list[tuple[int, int]]()
    if bytes(view[:1]) not in {b"\x08", b"\x12"}:
        return False
    try:
        for part in parts(view, 0, len(view)):
            numbers.append((part.number, part.kind))
            if len(numbers) >= MAX_TOP:
                break
    except Malformed:
        pass
    return (1, VARINT) in numbers and any(number in TYPES and kind == LEN for number, kind in numbers)


def scan(content: Content, examination: Examination) -> None:
    """Judge the model, those inside it, and what they name."""
    with damage("coreml.malformed", content, examination):
        _Walk(content, examination).run()


class _Walk:
    """One pass over one model, with a stack of its own: what kind of message lies where, and how deep."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.view, self.examination = content, content.view, examination
        self.waiting: list[tuple[str, int, int, int]] = []

    def run(self) -> None:
        readers = {"model": self._model, "network": self._network, "program": self._program, "block": self._block}
        self.waiting.append(("model", 0, len(self.view), 0))
        while self.waiting:
            kind, start, end, depth = self.waiting.pop()
            if depth > MAX_DEPTH:
                raise Malformed(start, f"models, networks or blocks nested deeper than {MAX_DEPTH}")
            readers[kind](start, end, depth)

    def _parts(self, start: int, end: int) -> Iterator[Part]:
        for part in parts(self.view, start, end):
            self.examination.step(1)
            yield part

    def _inside(self, part: Part, *numbers: int) -> Iterator[Part]:
        """Yield the messages that are reached from one by the given numbers of fields."""
        level = [part]
        for number in numbers:
            level = [
                each
                for outer in level
                for each in self._parts(outer.start, outer.end)
                if each.number == number and each.kind == LEN
            ]
        yield from level

    def _text(self, part: Part, number: int) -> bytes:
        return b"".join(bytes(self.view[each.start : each.end][:4096]) for each in self._inside(part, number))

    def _model(self, start: int, end: int, depth: int) -> None:
        for part in self._parts(start, end):
            if part.number == DESCRIPTION and part.kind == LEN:
                self._notes(part)
            elif part.number in PIPELINES | {PIPELINE}:
                path = (1,) if part.number == PIPELINE else (1, 1)
                self.waiting += [("model", each.start, each.end, depth + 1) for each in self._inside(part, *path)]
            elif part.number in NETWORKS:
                self.waiting.append(("network", part.start, part.end, depth + 1))
            elif part.number == PROGRAM:
                self.waiting.append(("program", part.start, part.end, depth + 1))
            elif part.number == CUSTOM:
                said = f"the class {shown(self._text(part, 10))!r} of the program that loads it"
                self._add(Severity.HIGH, "custom", said, part.start)
            elif part.number == LINKED:
                self._add(Severity.HIGH, "linked", "a model that is another file", part.start)
            elif part.number == SERIALIZED:
                self._add(Severity.MEDIUM, "unsupported", "a serialised model, which is not judged", part.start)
            elif part.number not in PLAIN | {1, 10}:
                said = f"a field {part.number}, which the format does not have"
                self._add(Severity.MEDIUM, "unknown-field", said, part.start)

    def _notes(self, description: Part) -> None:
        for metadata in self._inside(description, METADATA):
            for part in self._parts(metadata.start, metadata.end):
                if part.kind == LEN:
                    place = self.content.at(part.start)
                    note("coreml.metadata", "a note", self.view[part.start : part.end], place, self.examination)

    def _network(self, start: int, end: int, depth: int) -> None:
        for layer in self._parts(start, end):
            if layer.number != 1 or layer.kind != LEN:
                continue
            for part in self._parts(layer.start, layer.end):
                if part.number == CUSTOM_LAYER and part.kind == LEN:
                    said = f"a layer of the class {shown(self._text(part, 10))!r} of the program that loads it"
                    self._add(Severity.HIGH, "custom", said, part.start)
                elif part.number in {BRANCH, LOOP} and part.kind == LEN:
                    for number in (1, 2) if part.number == BRANCH else (3, 4):
                        inner = self._inside(part, number)
                        self.waiting += [("network", each.start, each.end, depth + 1) for each in inner]

    def _program(self, start: int, end: int, depth: int) -> None:
        whole = Part(PROGRAM, LEN, start, end)
        blocks = self._inside(whole, 2, 2, 3, 2)  # functions and their blocks, both by name
        self.waiting += [("block", each.start, each.end, depth + 1) for each in blocks]

    def _block(self, start: int, end: int, depth: int) -> None:
        for operation in self._inside(Part(0, LEN, start, end), 3):
            name = self._text(operation, 1).decode("utf-8", "replace")
            if name not in words("coreml", "operators"):
                said = f"the operator {shown(name)!r}, which Core ML does not have"
                self._add(Severity.HIGH, "custom", said, operation.start)
            inner = self._inside(operation, 4)
            self.waiting += [("block", each.start, each.end, depth + 1) for each in inner]
            for blob in self._inside(operation, 5, 2, 5):
                where = self._text(blob, 1).decode("utf-8", "replace")
                if not where.startswith(INSIDE) or ".." in where.split("/"):
                    said = f"weights in the file {shown(where)!r}, outside of the model's package"
                    self._add(Severity.HIGH, "linked", said, blob.start)

    def _add(self, severity: Severity, rule: str, said: str, at: int) -> None:
        self.examination.add(severity, f"coreml.{rule}", self.content.at(at), said)
