"""A structural scan of ONNX models: what is in the file, without building, loading or executing anything.

Walks ModelProto field by field with an explicit stack, counts what it sees and keeps only what the rules read; tensor
data is stepped over, never copied. Rules and severities: `docs/reference/release.md`. What the numbers in a model
compute is not judged here: a clean scan says that readers agree on what the file holds and that it reaches for nothing
outside.
"""

import re
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan import wire
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.report import Findings, Structure, shown
from holdfast.engines.scan.rules import Rules
from holdfast.engines.scan.schema import MESSAGES, Field, Frame
from holdfast.engines.scan.text import MAX_TEXT, looks_executable
from holdfast.engines.scan.wire import LEN, VARINT, WIDTHS, Malformed

MAX_MODEL: Final = (1 << 31) - 1  # bytes: no protobuf reader takes a longer message
MAX_DEPTH: Final = 64  # messages inside one another; protobuf itself stops at 100, real models below 20
MAX_FIELDS: Final = 20_000_000  # fields read; a forest of a million nodes has ten million
IR_VERSION, PRODUCER, GRAPH, OPSET_IMPORT = 1, 2, 7, 8
"""Numbers of the fields of a ModelProto by which a model is known."""
MAX_BLOB: Final = 1024  # bytes of an unknown field that could be an innocent number or name
_MINIMAL: Final = rb"(?:[\x80-\xff]{9}\x01|[\x80-\xff]{1,8}[\x01-\x7f]|[\x00-\x7f])"
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")
_ZIP_END: Final = re.compile(rb"PK\x05\x06", re.DOTALL)
_ZIP_TAIL: Final = 22 + 0xFFFF  # bytes: a zip's end record with the longest comment


def known(view: memoryview) -> bool:
    """Return whether a content reads as a ModelProto: its first fields are those of one, and a graph is among them.

    ONNX has no magic number. A file whose fields are in order up to the first it does not have counts as ONNX too, so
    that damage is reported as damage of a model.
    """
    position, seen, fields, producer = 0, set[int](), MESSAGES["ModelProto"], True
    try:
        while position < len(view) and len(seen) < len(fields):
            number, kind, position, _ = wire.tag(view, position, len(view))
            field = fields.get(number)
            if field is None or field.wire != kind:
                break
            seen.add(number)
            if kind == VARINT:
                position = wire.varint(view, position, len(view))[1]
            else:
                start, position, _ = wire.span(view, position, len(view))
                if number == PRODUCER and _CONTROL.search(view[start : min(position, start + MAX_BLOB)]):
                    producer = False  # bytes where a name would stand: the graphs of a SavedModel
            if number == GRAPH:
                return seen != {GRAPH}
    except Malformed:
        pass
    return IR_VERSION in seen and bool(seen & ({OPSET_IMPORT, GRAPH, PRODUCER} if producer else {OPSET_IMPORT, GRAPH}))


def scan_content(content: Content, examination: Examination) -> None:
    """Scan an ONNX model wherever it was found."""
    scan(content.view, content.path, examination.findings)


def scan(view: memoryview, name: str, findings: Findings) -> Structure:
    """Scan one ONNX file and return its structure; whatever is wrong becomes a finding.

    Never raises for what the bytes hold; time is bounded by `MAX_FIELDS`, memory by the limits of `rules`.

    Args:
        view: The file's bytes, for example a mapped file.
        name: Its path, for findings.
        findings: Where to report.
    """
    if len(view) > MAX_MODEL:
        findings.add(Severity.HIGH, "limit.size", name, f"{len(view)} bytes; readers take at most {MAX_MODEL}")
        return Structure()
    _check_polyglot(view, name, findings)
    walk = _Walk(view, name, findings)
    try:
        walk.run()
    except Malformed as error:
        place = f"{name} byte {error.offset}"
        findings.add(Severity.HIGH, "onnx.malformed", place, f"this is not an ONNX model: {error.words}")
    return walk.rules.finish()


class _Walk:
    """One pass over one file."""

    def __init__(self, view: memoryview, name: str, findings: Findings) -> None:
        self.view, self.file, self.findings = view, name, findings
        self.rules = Rules(view, name, findings)
        self.stack: list[Frame] = []
        self.budget = MAX_FIELDS

    def run(self) -> None:
        """Read every field of every message, in the order of the file."""
        stack, view, position = self.stack, self.view, 0
        stack.append(Frame("ModelProto", Field("model", LEN), 0, len(view)))
        while stack:
            frame = stack[-1]
            if position == frame.end:
                self._close()
                continue
            self.budget -= 1
            if self.budget < 0:
                words = f"more than {MAX_FIELDS} fields; the rest was not scanned"
                self.findings.add(Severity.HIGH, "limit.fields", self._place(position), words)
                return
            number, kind, after, minimal = wire.tag(view, position, frame.end)
            field = frame.fields.get(number)
            if field is None:
                position = self._unknown(frame, number, kind, after)
            else:
                position = self._known(frame, number, field, kind, after)
            if not minimal:
                self._padded(after)

    def _known(self, frame: Frame, number: int, field: Field, kind: int, position: int) -> int:
        """Read one field that the schema knows and return the position after it, or inside it for a message."""
        if frame.seen >> number & 1 and not field.repeated:
            words = f"{field.name} appears twice, and readers differ in which one counts"
            self.findings.add(Severity.HIGH, "onnx.duplicate", self._place(position), words)
        frame.seen |= 1 << number
        if kind != field.wire and not (kind == LEN and field.repeated):
            words = f"{field.name} has wire type {kind} instead of {field.wire}: readers skip or refuse it"
            self.findings.add(Severity.HIGH, "onnx.wire-type", self._place(position), words)
            return self._skip(frame, kind, position)
        if kind == LEN:
            return self._delimited(frame, field, position)
        if kind == VARINT:
            value, after, minimal = wire.varint(self.view, position, frame.end)
            if not minimal:
                self._padded(position)
            if field.keep and self._keep(frame, field, value):
                return after
        else:
            after = self._fixed(frame, kind, position)
        return self._run(frame, number, field, after) if field.repeated else after

    def _delimited(self, frame: Frame, field: Field, position: int) -> int:
        start, end, minimal = wire.span(self.view, position, frame.end)
        if not minimal:
            self._padded(position)
        if field.child:
            if len(self.stack) > MAX_DEPTH:
                raise Malformed(start, f"messages nested deeper than {MAX_DEPTH}")
            self.stack.append(Frame(field.child, field, start, end))
            self.rules.open(self.stack[-1])
            return start
        if field.wire != LEN:  # packed numbers, which every reader of a repeated field must take
            wire.check_packed(self.view, start, end, field.wire)
            self._unpack(frame, field, start, end)
        else:
            if field.text:
                self._text(frame, field, start, end)
            if field.keep:
                self._keep(frame, field, (start, end))
        return end

    def _unpack(self, frame: Frame, field: Field, start: int, end: int) -> None:
        """Keep the first numbers of a packed field, as many as the rules read."""
        room = field.keep
        while start < end and room and field.wire == VARINT:
            value, start, _ = wire.varint(self.view, start, end)
            self._keep(frame, field, value)
            room -= 1

    def _keep(self, frame: Frame, field: Field, value: object) -> bool:
        kept = frame.kept.setdefault(field.name, [])
        if len(kept) < field.keep:
            kept.append(value)
            return True
        if not field.repeated:
            kept[-1] = value  # protobuf's own rule: the last one counts
        return False

    def _run(self, frame: Frame, number: int, field: Field, position: int) -> int:
        """Step over the following values of the same unpacked repeated number, which nobody will read, in one go."""
        run = _RUNS.get((number, field.wire))
        found = run.match(self.view, position, frame.end) if run else None
        if found is None:
            return position
        self.budget -= (found.end() - position) // 2  # a value and its tag take two bytes or more
        return found.end()

    def _fixed(self, frame: Frame, kind: int, position: int) -> int:
        after = position + WIDTHS[kind]
        if after > frame.end:
            raise Malformed(position, f"a number of {WIDTHS[kind]} bytes that runs past its message's end")
        return after

    def _skip(self, frame: Frame, kind: int, position: int) -> int:
        if kind == VARINT:
            return wire.varint(self.view, position, frame.end)[1]
        return wire.span(self.view, position, frame.end)[1] if kind == LEN else self._fixed(frame, kind, position)

    def _unknown(self, frame: Frame, number: int, kind: int, position: int) -> int:
        after = self._skip(frame, kind, position)
        large = after - position > MAX_BLOB
        words = f"{frame.name} has no field {number}; {after - position} bytes of it are carried along unread"
        severity = Severity.MEDIUM if large or frame.name == "ModelProto" else Severity.LOW
        self.findings.add(severity, "onnx.unknown-field", self._place(position), words)
        return after

    def _text(self, frame: Frame, field: Field, start: int, end: int) -> None:
        place = self._place(start)
        if end - start > MAX_TEXT:
            words = f"{field.name} of {end - start} bytes; notes are at most {MAX_TEXT}"
            self.findings.add(Severity.MEDIUM, "onnx.text.long", place, words)
        looks = looks_executable(bytes(self.view[start : min(end, start + MAX_TEXT)]))
        if looks:
            severity = Severity.MEDIUM if field.name == "doc_string" else Severity.HIGH
            words = f"{field.name} of {frame.via.name} looks like {shown(looks)}"
            self.findings.add(severity, "onnx.text.executable", place, words)

    def _padded(self, position: int) -> None:
        words = "a number is padded with empty bytes, which no exporter writes"
        self.findings.add(Severity.MEDIUM, "onnx.padded", self._place(position), words)

    def _close(self) -> None:
        """Hand a message that was read to the rules, and what they make of it to the message around it."""
        frame = self.stack.pop()
        parent = self.stack[-1] if self.stack else None
        value = self.rules.close(frame, parent, self._place(frame.start))
        if parent is not None and frame.via.keep and value is not None:
            self._keep(parent, frame.via, value)

    def _place(self, position: int) -> str:
        path = "/".join(frame.via.name for frame in self.stack)
        return f"{self.file} byte {position} in {path}" if path else f"{self.file} byte {position}"


def _runs() -> dict[tuple[int, int], re.Pattern[bytes]]:
    """Return, per unpacked repeated number with a one-byte tag, the pattern of a run of well-formed values.

    Possessive, so that a run takes constant memory whatever its length.
    """
    bodies = {VARINT: _MINIMAL} | {kind: rb"[\x00-\xff]{%d}" % width for kind, width in WIDTHS.items()}
    wanted = {
        (number, field.wire)
        for message in MESSAGES.values()
        for number, field in message.items()
        if field.repeated and field.wire in bodies and number < 16
    }
    return {
        (number, kind): re.compile(rb"(?:\x%02x%s)++" % (number << 3 | kind, bodies[kind])) for number, kind in wanted
    }


_RUNS: Final = _runs()


def _check_polyglot(view: memoryview, name: str, findings: Findings) -> None:
    """Report a file that a zip reader would open too: zip is found from its end, ONNX from its beginning."""
    start = max(0, len(view) - _ZIP_TAIL)
    for found in _ZIP_END.finditer(view, start):
        record = found.start()
        if record + 22 <= len(view):
            comment = int.from_bytes(view[record + 20 : record + 22], "little")
            if record + 22 + comment == len(view):
                words = "the file ends as a zip archive: another reader sees other contents"
                findings.add(Severity.HIGH, "onnx.polyglot", f"{name} byte {record}", words)
