"""OpenVINO's intermediate representation: layers of known operator sets, and constants that fit what they declare.

The XML names operators; those outside of the standard sets come from libraries that a reader is told to load. The
weights lie in a `.bin` file beside it, which has no structure of its own.
"""

import re
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models import xmltree
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.models.binary import elements
from holdfast.engines.scan.models.xmltree import Element, Listener
from holdfast.engines.scan.report import shown

OPSET: Final = re.compile(r"opset([1-9]|1[0-9]|20)")
VERSIONS: Final = frozenset({"10", "11"})
BITS: Final = {
    "boolean": 8, "bf16": 16, "f16": 16, "f32": 32, "f64": 64, "i4": 4, "i8": 8, "i16": 16, "i32": 32, "i64": 64,
    "u1": 1, "u2": 2, "u3": 3, "u4": 4, "u6": 6, "u8": 8, "u16": 16, "u32": 32, "u64": 64, "nf4": 4, "f4e2m1": 4,
    "f8e4m3": 8, "f8e5m2": 8, "f8e8m0": 8,
}  # fmt: skip
"""Bits of one element by its type."""


def known(view: memoryview) -> bool:
    """Return whether the root element is OpenVINO's."""
    return xmltree.root(view) == ("", "net")


def scan(content: Content, examination: Examination) -> None:
    """Scan a model."""
    judge = _Judge(content, examination)
    xmltree.walk(content, examination, "openvino", Listener(start=judge.start, end=judge.end))


class _Judge:
    """What one scan remembers: where it is, and the layer around it."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.examination = content, examination
        self.path: list[str] = []
        self.layer = ""

    def start(self, element: Element) -> None:
        """Judge the beginning of an element."""
        self.path.append(element.name)
        if len(self.path) == 1 and element.attributes.get("version") not in VERSIONS:
            said = f"version {shown(element.attributes.get('version', ''))!r}; 10 and 11 are read"
            self._add(Severity.MEDIUM, "unsupported", said, element.at)
        elif element.name == "layer":
            self.layer = element.attributes.get("type", "")
            self._layer(element)
        elif element.name == "data" and self.layer in {"Const", "Constant"}:
            self._constant(element)

    def end(self) -> None:
        """Leave an element."""
        self.path.pop()

    def _layer(self, element: Element) -> None:
        version, name = element.attributes.get("version", ""), shown(self.layer)
        if not OPSET.fullmatch(version):
            said = f"the layer {name!r} of the operators {shown(version)!r}, whose code is in a library"
            self._add(Severity.HIGH, "custom-operator", said, element.at)
        elif self.layer.lower() not in words("openvino", "operators"):
            said = f"the layer {name!r}, which OpenVINO's operator sets do not have"
            self._add(Severity.HIGH, "custom-operator", said, element.at)

    def _constant(self, element: Element) -> None:
        """Hold a constant's bytes against its shape; where the weights end is another file's business."""
        declared = element.attributes
        kind, sizes = declared.get("element_type", ""), declared.get("shape", "").split(",")
        shape = [each.strip() for each in sizes if each.strip()]
        numbers = [declared.get("offset", "0"), declared.get("size", "0"), *shape]
        if not all(each.isdecimal() and len(each) < 20 for each in numbers):
            self._add(
                Severity.HIGH, "constant", "a constant whose offset, size or shape is no whole number", element.at
            )
        elif kind == "string":
            return
        elif kind not in BITS:
            self._add(Severity.MEDIUM, "type", f"a constant of the unknown element type {shown(kind)!r}", element.at)
        elif (elements([int(each) for each in shape]) * BITS[kind] + 7) // 8 != int(numbers[1]):
            said = f"a constant of shape {','.join(shape)[:80]} and type {kind} in {numbers[1]} bytes"
            self._add(Severity.HIGH, "constant", said, element.at)

    def _add(self, severity: Severity, rule: str, said: str, at: int) -> None:
        self.examination.add(severity, f"openvino.{rule}", self.content.at(at), said)
