"""PMML: functions by name, extensions, tables that lie elsewhere, and elements of other vocabularies.

The language describes models and runs no code; its readers in Java take a function's name for a class on their path,
and extensions for whatever a vendor made of them.
"""

import re
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models import xmltree
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.models.xmltree import Element, Listener
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.text import MAX_TEXT, looks_executable

SPACE: Final = re.compile(r"https?://www\.dmg\.org/PMML-[1-4](?:[._]\d){0,2}|")
MAX_FUNCTIONS: Final = 10_000  # names of functions that are called; models have dozens
ELSEWHERE: Final = frozenset({"TableLocator", "Script", "script"})
FREE: Final = frozenset({"InlineTable", "Extension"})
"""Elements in which the language allows elements of any vocabulary."""


def known(view: memoryview) -> bool:
    """Return whether the root element is PMML."""
    return xmltree.root(view)[1] == "PMML"


def scan(content: Content, examination: Examination) -> None:
    """Scan a model."""
    judge = _Judge(content, examination)
    listener = Listener(start=judge.start, text=judge.text, end=judge.end)
    xmltree.walk(content, examination, "pmml", listener)
    judge.finish()


class _Judge:
    """What one scan remembers: where it is, what was defined and what was called."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.examination = content, examination
        self.path: list[str] = []
        self.at = 0
        self.words: list[str] = []
        self.kept = 0
        self.defined = set[str]()
        self.called = dict[str, int]()

    def start(self, element: Element) -> None:
        """Judge the beginning of an element."""
        self.at = element.at
        free = any(name in FREE for name in self.path)
        if not free and not SPACE.fullmatch(element.space):
            said = f"the element {shown(element.name)!r} of the vocabulary {shown(element.space)!r}"
            self._add(Severity.MEDIUM, "foreign", said)
        elif element.name in ELSEWHERE and not free:
            self._add(Severity.HIGH, "external", f"{shown(element.name)!r}: data or code that stand elsewhere")
        elif element.name == "DefineFunction":
            self.defined.add(element.attributes.get("name", ""))
        self.path.append(element.name)
        for name, value in element.attributes.items():
            if name == "function" and len(self.called) < MAX_FUNCTIONS:
                self.called.setdefault(value, element.at)
            elif "Extension" in self.path:
                self._note(value)

    def text(self, text: str) -> None:
        """Keep the words of an extension, up to a limit."""
        if "Extension" in self.path and self.kept < MAX_TEXT:
            self.words.append(text)
            self.kept += len(text)

    def end(self) -> None:
        """Judge an extension as a whole."""
        if self.path and self.path.pop() == "Extension" and "Extension" not in self.path:
            self._note("".join(self.words))
            self.words, self.kept = [], 0

    def finish(self) -> None:
        """Judge what was called, now that all that is defined is known."""
        for name, at in self.called.items():
            if name in self.defined or name in words("pmml", "functions"):
                continue
            self.at = at
            if "." in name or "/" in name or ":" in name:
                said = f"the function {shown(name)!r}, which readers in Java take for a class"
                self._add(Severity.HIGH, "function", said)
            else:
                self._add(Severity.MEDIUM, "function", f"the function {shown(name)!r}, which PMML does not have")

    def _note(self, text: str) -> None:
        if looks := looks_executable(text[:MAX_TEXT].encode("utf-8", "replace")):
            self._add(Severity.HIGH, "extension", f"an extension that looks like {shown(looks)}")

    def _add(self, severity: Severity, rule: str, said: str) -> None:
        self.examination.add(severity, f"pmml.{rule}", self.content.at(self.at), said)
