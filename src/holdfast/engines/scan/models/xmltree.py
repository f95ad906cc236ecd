"""XML as a stream of elements: no document type, so no entity is ever expanded and nothing outside is ever asked for.

Expat reads, in the encoding that it finds; what it would do with a document type (entities that unfold without end,
files and addresses that it names) is a finding before it is done.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from xml.parsers import expat

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.report import shown

PIECE: Final = 1 << 16  # bytes handed to the reader at once
MAX_HEAD: Final = 1 << 20  # bytes in which the root element must begin
MAX_DEPTH: Final = 1024  # elements inside one another; in PMML a decision tree is as deep as the tree
INCLUDE: Final = "http://www.w3.org/2001/XInclude"
_BEGINNINGS: Final = (b"<", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0<", b" ", b"\t", b"\r", b"\n")


class Element(NamedTuple):
    """The beginning of an element: its namespace, its name, its attributes and its place in the content."""

    space: str
    name: str
    attributes: dict[str, str]
    at: int


class _Stop(Exception):
    """Enough was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Whom a walk tells about elements, texts and ends."""

    start: Callable[[Element], None]
    text: Callable[[str], None] = field(default=lambda _text: None)
    end: Callable[[], None] = field(default=lambda: None)


def _split(name: str) -> tuple[str, str]:
    space, _, local = name.rpartition(" ")
    return space, local


def root(view: memoryview) -> tuple[str, str]:
    """Return namespace and name of the root element, or two empty texts where the content is no XML."""
    if not bytes(view[:4]).startswith(_BEGINNINGS):
        return "", ""
    found = list[tuple[str, str]]()

    def start(name: str, _attributes: dict[str, str]) -> None:
        found.append(_split(name))
        raise _Stop

    reader = expat.ParserCreate(namespace_separator=" ")
    reader.StartElementHandler = start
    try:
        for at in range(0, min(len(view), MAX_HEAD), PIECE):
            reader.Parse(bytes(view[at : at + PIECE]), False)  # noqa: FBT003 - the reader takes no name for it
    except (_Stop, expat.ExpatError, ValueError, LookupError):
        pass
    return found[0] if found else ("", "")


def walk(content: Content, examination: Examination, prefix: str, listener: Listener) -> None:
    """Tell a listener about every element, and report what no model needs.

    Args:
        content: Whose bytes are read.
        examination: Where to report.
        prefix: What the rule for damage begins with.
        listener: Whom to tell.
    """
    _Walk(content, examination, listener).run(prefix)


class _Walk:
    """One pass over one content."""

    def __init__(self, content: Content, examination: Examination, listener: Listener) -> None:
        self.content, self.examination, self.listener = content, examination, listener
        self.depth = 0
        self.reader = expat.ParserCreate(namespace_separator=" ")
        self.reader.buffer_text = True
        self.reader.StartElementHandler = self._start
        self.reader.EndElementHandler = self._end
        self.reader.CharacterDataHandler = listener.text
        self.reader.StartDoctypeDeclHandler = self._doctype
        self.reader.ProcessingInstructionHandler = self._instruction

    def run(self, prefix: str) -> None:
        view = self.content.view
        try:
            for at in range(0, len(view), PIECE):
                self.reader.Parse(bytes(view[at : at + PIECE]), False)  # noqa: FBT003 - the reader takes no name for it
            self.reader.Parse(b"", True)  # noqa: FBT003 - the same: this was the end
        except _Stop:
            pass
        except (expat.ExpatError, ValueError, LookupError) as error:
            said = f"not well-formed: {shown(str(error))}"
            self._add(Severity.MEDIUM, f"{prefix}.malformed", said)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.examination.step(1 + len(attributes))
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._add(
                Severity.MEDIUM, "limit.xml", f"elements nested deeper than {MAX_DEPTH}; the rest was not scanned"
            )
            raise _Stop
        space, local = _split(name)
        if space == INCLUDE:
            said = f"an element that has another file included: {shown(attributes.get('href', ''))!r}"
            self._add(Severity.HIGH, "xml.include", said)
        self.listener.start(Element(space, local, attributes, max(0, self.reader.CurrentByteIndex)))

    def _end(self, _name: str) -> None:
        self.depth -= 1
        self.listener.end()

    def _doctype(self, name: str, system: str | None, _public: str | None, _inner: int) -> None:
        said = f"a document type {shown(name)!r}" + (f" at {shown(system)!r}" if system else "")
        self._add(Severity.HIGH, "xml.doctype", f"{said}: readers would expand its entities; the rest was not scanned")
        raise _Stop

    def _instruction(self, target: str, _data: str) -> None:
        self._add(Severity.MEDIUM, "xml.instruction", f"an instruction for {shown(target)!r}, which no model needs")

    def _add(self, severity: Severity, rule: str, said: str) -> None:
        self.examination.add(severity, rule, self.content.at(max(0, self.reader.CurrentByteIndex)), said)
