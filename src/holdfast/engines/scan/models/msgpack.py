"""MessagePack as Flax writes it: one map of names to arrays, its extension types, and what hides in texts and bytes.

After the MessagePack specification and `flax.serialization`: extension 1 is an array, 2 a complex number, 3 a scalar.
Other readers give extensions a meaning of their own, and one of them (`msgpack-numpy`) unpickles arrays of objects.
"""

from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models.binary import damage, elements, piece
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.text import MAX_TEXT, looks_executable
from holdfast.engines.scan.wire import Malformed

MAX_DEPTH: Final = 512  # values inside one another; readers stop at 512 or 1,024
MAX_VALUES: Final = 20_000_000
MAX_KEY: Final = 1024  # bytes of a key that is compared
ARRAY, COMPLEX, SCALAR, TIMESTAMP = 1, 2, 3, -1
WIDTHS: Final = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8,
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16, "V2": 2,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3b11fnuz": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1,
    "int4": 1, "uint4": 1,
}  # fmt: skip
"""Bytes of one element by the name of its type."""
_FIXED: Final = {
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
}  # fmt: skip
_SIZED: Final = {
    0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4), 0xC7: ("extension", 1), 0xC8: ("extension", 2),
    0xC9: ("extension", 4), 0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4), 0xDC: ("array", 2),
    0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip


def head(view: memoryview, at: int) -> tuple[str, int, int, int]:
    """Return the kind of a value, its size or count, the offset behind its head, and the type of an extension.

    Raises:
        Malformed: No value begins there, or it ends behind the content.
    """
    byte = piece(view, at, 1)[0]
    kind, size, after = "number", 0, at + 1
    if byte < 0x80 or byte >= 0xE0:
        return kind, 0, after, 0
    if byte < 0x90:
        kind, size = "map", byte & 15
    elif byte < 0xA0:
        kind, size = "array", byte & 15
    elif byte < 0xC0:
        kind, size = "text", byte & 31
    elif byte in _FIXED:
        size = _FIXED[byte]
    elif byte in _SIZED:
        kind, width = _SIZED[byte]
        size, after = int.from_bytes(piece(view, after, width), "big"), after + width
    elif 0xD4 <= byte <= 0xD8:
        kind, size = "extension", 1 << (byte - 0xD4)
    else:
        raise Malformed(at, "a byte that begins no value")
    code = 0
    if kind == "extension":
        code, after = int.from_bytes(piece(view, after, 1), "big", signed=True), after + 1
    if kind not in {"map", "array"}:
        piece(view, after, size)
    elif size * (1 + (kind == "map")) > len(view) - after:
        raise Malformed(at, f"a container of {size} values in {len(view) - after} bytes")
    return kind, size, after, code


def known(view: memoryview) -> bool:
    """Return whether a content is a map whose first key is a name."""
    if not len(view) or not (0x81 <= view[0] <= 0x8F or view[0] in {0xDE, 0xDF}):
        return False
    try:
        _, count, at, _ = head(view, 0)
        kind, size, after, _ = head(view, at)
        name = bytes(view[after : after + min(size, MAX_KEY)]).decode("utf-8")
    except (Malformed, UnicodeDecodeError):
        return False
    return count > 0 and kind in {"text", "bytes"} and 0 < size <= MAX_KEY and name.isprintable()


def scan(content: Content, examination: Examination) -> None:
    """Walk all values."""
    with damage("msgpack.malformed", content, examination):
        _Walk(content, examination).run()


class _Open:
    """A container that is being read."""

    __slots__ = ("keys", "left", "map", "notes")

    def __init__(self, count: int, *, mapping: bool) -> None:
        self.left, self.map = 2 * count if mapping else count, mapping
        self.keys = set[bytes]()
        self.notes = dict[bytes, bytes]()  # short values under the keys by which arrays are known


class _Walk:
    """One pass over one content, with a stack of its own."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.view, self.examination = content, content.view, examination
        self.stack: list[_Open] = []
        self.values = 0
        self.key = b""

    def run(self) -> None:
        position = self._value(0)
        while self.stack:
            around = self.stack[-1]
            if around.left == 0:
                self._close(self.stack.pop(), position)
                continue
            around.left -= 1
            is_key = around.map and around.left % 2 == 1
            position = self._key(position, around) if is_key else self._value(position)
        self.examination.step(self.values)
        if position != len(self.view):
            said = f"{len(self.view) - position} bytes behind the value"
            self._add(Severity.HIGH, "trailing", said, position)

    def _key(self, at: int, around: _Open) -> int:
        kind, size, after, _ = head(self.view, at)
        if kind not in {"text", "bytes"}:
            self.key = b""
            return self._value(at)
        self.key = bytes(self.view[after : after + min(size, MAX_KEY)])
        if self.key in around.keys:
            said = f"the key {shown(self.key)!r} stands twice, and readers differ in which one counts"
            self._add(Severity.HIGH, "duplicate-key", said, at)
        around.keys.add(self.key)
        return after + size

    def _value(self, at: int) -> int:
        self.values += 1
        if self.values > MAX_VALUES:
            raise Malformed(at, f"more than {MAX_VALUES} values; the rest was not scanned")
        kind, size, after, code = head(self.view, at)
        if kind in {"map", "array"}:
            if len(self.stack) >= MAX_DEPTH:
                raise Malformed(at, f"values nested deeper than {MAX_DEPTH}")
            self.stack.append(_Open(size, mapping=kind == "map"))
            return after
        body = self.view[after : after + size]
        if kind == "extension":
            self._extension(code, body, at)
        elif kind in {"text", "bytes"}:
            self._text(kind, body, at)
        return after + size

    def _text(self, kind: str, body: memoryview, at: int) -> None:
        if self.stack and self.key in {b"nd", b"kind", b"type"}:
            self.stack[-1].notes[self.key] = bytes(body[:8])
        if kind == "bytes" and len(body) > 2 and body[0] == 0x80 and 2 <= body[1] <= 5 and body[-1] == 0x2E:
            self.examination.enter(Content(body, self.content.inside(f"bytes at {at}")))
        elif kind == "text" and (looks := looks_executable(bytes(body[:MAX_TEXT]))):
            self._add(Severity.HIGH, "text.executable", f"a text that looks like {shown(looks)}", at)

    def _close(self, container: _Open, at: int) -> None:
        if {b"nd", b"data"} <= container.keys and container.notes.get(b"kind", b"") == b"O":
            said = "an array of objects as `msgpack-numpy` writes it: its data are a pickle"
            self._add(Severity.CRITICAL, "pickled", said, at)

    def _extension(self, code: int, body: memoryview, at: int) -> None:
        if code in {ARRAY, SCALAR}:
            try:
                self._array(body, at)
            except Malformed as error:
                self._add(Severity.MEDIUM, "malformed", f"an array that is none: {error.words}", at)
        elif code == TIMESTAMP:
            pass
        elif code != COMPLEX:
            said = f"an extension of type {code}, which Flax does not have: what it means is its reader's code"
            self._add(Severity.HIGH, "extension", said, at)

    def _array(self, body: memoryview, at: int) -> None:
        """Hold an array's shape and type against its bytes."""
        kind, count, position, _ = head(body, 0)
        if kind != "array" or count != 3:
            raise Malformed(at, "not of shape, type and data")
        _, rank, position, _ = head(body, position)
        shape = list[int]()
        for _ in range(rank):
            first = position
            _, size, after, _ = head(body, position)
            position = after + size
            shape.append(int.from_bytes(body[first + (size > 0) : position], "big"))
        _, size, after, _ = head(body, position)
        name = bytes(body[after : after + size]).decode("utf-8", "replace")
        _, held, after, _ = head(body, after + size)
        if name not in WIDTHS:
            self._add(Severity.MEDIUM, "type", f"an array of the unknown type {shown(name)!r}", at)
        elif elements(shape) * WIDTHS[name] != held or after + held != len(body):
            said = f"an array of shape {shape[:8]} and type {name} in {held} bytes"
            self._add(Severity.HIGH, "size", said, at)

    def _add(self, severity: Severity, rule: str, said: str, at: int) -> None:
        self.examination.add(severity, f"msgpack.{rule}", self.content.at(at), said)
