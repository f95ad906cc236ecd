"""TensorFlow Lite models: a FlatBuffer of operators, of which custom ones and those of TensorFlow are named by texts.

After `schema.fbs` of the LiteRT repository. Indices into lists and places of buffers are held against what is there.
"""

from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models import tensorflow
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.models.binary import damage, note
from holdfast.engines.scan.models.flatbuffer import Buffer
from holdfast.engines.scan.report import shown

IDENTIFIER: Final = b"TFL3"
CODES, GRAPHS, DESCRIPTION, BUFFERS = 1, 2, 3, 4
"""Fields of a Model."""
TENSORS, OPERATORS = 0, 3
"""Fields of a SubGraph."""
CUSTOM: Final = 32  # the builtin code of operators that are named by a text
LAST: Final = 230  # builtin codes that are known; 206 are defined so far
FLEX: Final = "Flex"


def known(view: memoryview) -> bool:
    """Return whether a content is a FlatBuffer with the identifier of TensorFlow Lite."""
    return bytes(view[4:8]) == IDENTIFIER


def scan(content: Content, examination: Examination) -> None:
    """Judge operators, indices and buffers."""
    with damage("tflite.malformed", content, examination):
        _Model(content, examination).run()


class _Model:
    """One pass over one model."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.examination, self.buffer = content, examination, Buffer(content.view)

    def run(self) -> None:
        buffer, root = self.buffer, self.buffer.root()
        note("tflite.metadata", "the description", buffer.text(root, DESCRIPTION), self.content.path, self.examination)
        codes = list(buffer.tables(root, CODES))
        for code in codes:
            self._code(code)
        buffers = list(buffer.tables(root, BUFFERS))
        for each in buffers:
            self._data(each)
        for graph in buffer.tables(root, GRAPHS):
            for operator in buffer.tables(graph, OPERATORS):
                self._index("an operator", buffer.whole(operator, 0), len(codes), operator)
            for tensor in buffer.tables(graph, TENSORS):
                self._index("a tensor's buffer", buffer.whole(tensor, 2), len(buffers), tensor)

    def _code(self, code: int) -> None:
        builtin = max(self.buffer.whole(code, 0, 1) & 127, self.buffer.whole(code, 3))
        name = self.buffer.text(code, 1).decode("utf-8", "replace")
        if builtin > LAST:
            self._add(Severity.MEDIUM, "unsupported", f"an operator of number {builtin}, which is not known", code)
        elif builtin == CUSTOM and name.startswith(FLEX):
            self._flex(name.removeprefix(FLEX), code)
        elif builtin == CUSTOM and name not in words("tflite", "custom"):
            said = f"the custom operator {shown(name)!r}, whose code is in a library"
            self._add(Severity.HIGH, "operator.custom", said, code)

    def _flex(self, name: str, code: int) -> None:
        """Judge an operator that TensorFlow itself runs."""
        if name in tensorflow.PYTHON:
            self._add(Severity.CRITICAL, "python", f"the operator {name!r} calls a function of Python", code)
        elif name in words("tensorflow", "allowed"):
            self._add(Severity.LOW, "operator.flex", f"the operator {name!r}, for which TensorFlow must be there", code)
        elif name in words("tensorflow", "reaching"):
            said = f"the operator {name!r} can reach files, other processes or the network"
            self._add(Severity.HIGH, "operator.file", said, code)
        else:
            said = f"the operator {shown(name)!r} of TensorFlow, which is not on the list"
            self._add(Severity.HIGH, "operator.custom", said, code)

    def _data(self, data: int) -> None:
        self.buffer.vector(data, 0, 1)
        offset, size = self.buffer.whole(data, 1, 8), self.buffer.whole(data, 2, 8)
        if offset > 1 and offset + size > len(self.content.view):  # 0 and 1 say that the data are not outside
            said = f"a buffer of {size} bytes at {offset}, in a file of {len(self.content.view)}"
            self._add(Severity.HIGH, "offsets", said, data)

    def _index(self, what: str, index: int, count: int, at: int) -> None:
        self.examination.step(1)
        if index >= count:
            self._add(Severity.HIGH, "index", f"{what} of number {index}, of {count} that there are", at)

    def _add(self, severity: Severity, rule: str, said: str, at: int) -> None:
        self.examination.add(severity, f"tflite.{rule}", self.content.at(at), said)
