"""UBJSON as XGBoost writes it, read into the same tree as JSON, each length checked against the bytes that are there.

After the specification, draft 12: markers, counted and typed containers. Typed arrays of numbers stay where they are.
"""

import struct
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models.binary import number, piece
from holdfast.engines.scan.models.jsontree import MAX_VALUES, Numbers, Row, Table, Value
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.wire import Malformed

MAX_DEPTH: Final = 512  # values inside one another
_CODES: Final = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
"""Codes of `struct` by marker; numbers are big-endian."""
_WHOLE: Final = frozenset("iUIlL")
_ATOMS: Final[dict[str, Value]] = {"Z": None, "T": True, "F": False}


def read(content: Content, examination: Examination, prefix: str) -> Value:
    """Return the tree of a content, or nothing after a finding that says why."""
    try:
        return _Tree(content, examination, prefix).read()
    except Malformed as error:
        examination.add(Severity.MEDIUM, f"{prefix}.malformed", content.at(error.offset), error.words)
    return None


class _Open:
    """A container that is being read: how many members are left, where that is known."""

    __slots__ = ("kind", "left", "value")

    def __init__(self, value: Table | Row, left: int | None, kind: str) -> None:
        self.value, self.left, self.kind = value, left, kind


class _Tree:
    """One pass over one content, with a stack of its own."""

    def __init__(self, content: Content, examination: Examination, prefix: str) -> None:
        self.content, self.view, self.examination, self.prefix = content, content.view, examination, prefix
        self.position, self.values = 0, 0
        self.stack: list[_Open] = []

    def read(self) -> Value:
        root = self._value(self._marker())
        while self.stack:
            self._next(self.stack[-1])
        if self.position != len(self.view):
            raise Malformed(self.position, "bytes after the end of the value")
        self.examination.step(self.values)
        return root

    def _next(self, around: _Open) -> None:
        """Read one more member of the innermost container, or its end."""
        closing = "}" if isinstance(around.value, Table) else "]"
        if around.left == 0 or (around.left is None and self._peek() == closing):
            self.position += around.left is None
            self.stack.pop()
            return
        if around.left is not None:
            around.left -= 1
        at, key = self.position, ""
        if isinstance(around.value, Table):
            key = self._text(self._length())
        value = self._value(around.kind or self._marker())
        if isinstance(around.value, Row):
            around.value.append(value)
            return
        if key in around.value:
            said = f"the key {shown(key)!r} stands twice, and readers differ in which one counts"
            self.examination.add(Severity.HIGH, f"{self.prefix}.duplicate-key", self.content.at(at), said)
            while key in around.value:  # both are judged
                key += f" (again at {at})"
        around.value[key] = value

    def _value(self, marker: str) -> Value:
        self.values += 1
        if self.values > MAX_VALUES:
            raise Malformed(self.position, f"more than {MAX_VALUES} values")
        if marker in _CODES:
            size = struct.calcsize(_CODES[marker])
            (value,) = struct.unpack(_CODES[marker], piece(self.view, self.position, size))
            self.position += size
            return str(value).encode()
        if marker in _ATOMS:
            return _ATOMS[marker]
        if marker == "C":
            return self._text(1)
        if marker in {"S", "H"}:
            return self._text(self._length())
        if marker in {"[", "{"}:
            return self._container(marker)
        raise Malformed(self.position, f"a value of the kind {shown(marker)!r}")

    def _container(self, marker: str) -> Value:
        at, kind, left = self.position - 1, "", None
        if len(self.stack) >= MAX_DEPTH:
            raise Malformed(at, f"values nested deeper than {MAX_DEPTH}")
        if self._peek() == "$":
            self.position += 1
            kind = self._marker()
            if self._peek() != "#":
                raise Malformed(self.position, "a typed container without a count")
        if self._peek() == "#":
            self.position += 1
            left = self._length()
        if marker == "[" and kind in _CODES and left is not None:
            size = left * struct.calcsize(_CODES[kind])
            begin = self.position
            piece(self.view, begin, size)
            self.position += size
            return Numbers(self.view, begin, self.position, _CODES[kind])
        if left is not None and left > len(self.view) - self.position and kind not in _ATOMS:
            raise Malformed(at, f"a container of {left} values in {len(self.view) - self.position} bytes")
        value = Table(at) if marker == "{" else Row(at)
        self.stack.append(_Open(value, left, kind))
        return value

    def _length(self) -> int:
        marker = self._marker()
        value = self._value(marker) if marker in _WHOLE else None
        if not isinstance(value, bytes) or value.startswith(b"-"):
            raise Malformed(self.position, "a length that is none")
        return int(value)

    def _text(self, size: int) -> str:
        raw = bytes(piece(self.view, self.position, size))
        self.position += size
        return raw.decode("utf-8", "replace")

    def _marker(self) -> str:
        """Return the next marker, and step over no-ops."""
        while self._peek() == "N":
            self.position += 1
        self.position += 1
        return chr(self.view[self.position - 1])

    def _peek(self) -> str:
        return chr(number(self.view, self.position, 1))
