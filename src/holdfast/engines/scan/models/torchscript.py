"""TorchScript source: the operators that code inside a torch archive calls, each against what PyTorch has.

The language is a subset of Python that runs in an interpreter of its own; it has no imports, but operators that read
and write files and speak to other processes, and `ops.LIBRARY.NAME` for whatever a library registers. Judged are
tokens, so that spaces, comments and line breaks hide nothing. The lists are generated from PyTorch's registry.
"""

import re
from collections.abc import Iterator
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan import plain
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.plain import MAX_PLAIN
from holdfast.engines.scan.report import shown

MAX_CHAIN: Final = 8  # names of a chain that are kept; the longest judged has four
_AHEAD: Final = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t\r\n\\]++|#[^\n]*+(?:\n|\Z))*+")
_BEGIN: Final = re.compile(rb"(?:class|def)[ \t\\]+\w+|op_version_set\s*=|@|[a-z_]+\s*=")
_SPEAKS: Final = re.compile(rb"\btorch\b|\bops\b|__torch__|\bfrom_file\b|\bsave\b")
_IMPORT: Final = re.compile(rb"^[ \t]*(?:import|from)[ \t]+[\w.]+", re.MULTILINE)
_MARK: Final = re.compile(rb"__torch__\.|__parameters__\s*=|\bops\.prim\.|\bself\)\.forward")
_TOKEN: Final = re.compile(
    r"""(?P<name>[^\W\d]\w*+)|(?P<number>\d[\w.]*+)|(?P<string>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')"""
    r"""|#[^\n]*+|[\s\\]++|(?P<other>.)""",
    re.DOTALL,
)
_BY_TEXT: Final = re.compile(r"""\bgetattr\s*\([^()]{0,200},\s*["']([^"'\n]{0,200})["']""")
_PYTHON: Final = frozenset(
    {"import", "eval", "exec", "compile", "open", "__import__", "lambda", "globals", "locals", "try", "yield", "async"}
)
"""Words of Python that TorchScript does not have; where they stand, something else was meant to read the file."""


def known(view: memoryview) -> bool:
    """Return whether a text begins as TorchScript does, and speaks of its operators; Python with imports is none."""
    start = _AHEAD.match(view)
    if not plain.is_text(view) or start is None or not _BEGIN.match(view, start.end()):
        return False
    head = view[: 1 << 20]
    return bool(_MARK.search(head) or (_SPEAKS.search(view) and not _IMPORT.search(head)))


def code(content: Content, examination: Examination) -> None:
    """Judge every operator and function that a source calls."""
    plain.scan(content, examination)
    if len(content.view) <= MAX_PLAIN:
        _Judge(content, examination).run()


class _Judge:
    """One pass over one source."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.examination = content, examination
        self.source = bytes(content.view).decode("latin-1")  # so that an offset in the text is one in the bytes
        self.defined = set(re.findall(r"\b(?:def|class)\s+(\w+)", self.source))
        self.bound = self.defined | set(re.findall(r"(?<!\w)(\w++)\s*+[=:]", self.source))

    def run(self) -> None:
        """Read chains of names and judge those that are called or that lead to a library."""
        before, waiting = "", list(self._chains())
        self.examination.step(len(waiting))
        for chain, after, at in waiting:
            if chain[0] in {"torch", "ops", "__torch__"} and len(chain) > 1:
                self._library(chain, at)
            elif len(chain) > 1:
                self._method(chain[-1], at)
            elif before not in {"def", "class"}:
                self._function(chain[0], after, at)
            before = chain[-1]
        for found in _BY_TEXT.finditer(self.source):
            name = found.group(1)
            if "\\" in name or name in words("torch", "reaching"):
                said = f"the attribute {shown(name)!r} by its name as a text"
                self._add(Severity.HIGH, "operator.file", said, found.start())

    def _chains(self) -> Iterator[tuple[list[str], str, int]]:
        """Yield each run of names and dots, the token behind it, and its offset."""
        chain, at, dotted = list[str](), 0, False
        for found in _TOKEN.finditer(self.source):
            kind, word = found.lastgroup, found.group()
            if kind is None:  # spaces, comments and line breaks
                continue
            if kind == "name" and (dotted or not chain):
                at, dotted = at if chain else found.start(), False
                if len(chain) < MAX_CHAIN:
                    chain.append(word)
                else:
                    chain[-1] = word  # the first names and the last are what is judged
                continue
            if kind == "other" and word == "." and not dotted:
                chain, at = (chain, at) if chain else (["."], found.start())
                dotted = True
                continue
            if chain:
                yield chain, word, at
            chain, at, dotted = ([word], found.start(), False) if kind == "name" else ([], 0, False)
        if chain:
            yield chain, "", at

    def _library(self, chain: list[str], at: int) -> None:
        if chain[0] == "__torch__":
            if chain[1:3] == ["torch", "classes"]:
                space = chain[3] if len(chain) > 3 else ""
                if space not in words("torchscript", "classes"):
                    said = f"the class {shown('.'.join(chain))!r}, whose code is in a library"
                    self._add(Severity.HIGH, "operator.custom", said, at)
            return
        space, name = ("aten", chain[1]) if chain[0] == "torch" else (chain[1], chain[2] if len(chain) > 2 else "")
        full = f"{space}::{name}"
        if space == "aten":
            self._aten(name, at)
        elif full in words("torchscript", "reaching"):
            said = f"the operator {shown(full)!r}, which reaches files or other processes"
            self._add(Severity.HIGH, "operator.file", said, at)
        elif full not in words("torch", "others") and full not in words("torchscript", "others"):
            said = f"the operator {shown(full)!r}, whose code is in a library"
            self._add(Severity.HIGH, "operator.custom", said, at)

    def _aten(self, name: str, at: int) -> None:
        if name in words("torch", "reaching"):
            said = f"the operator {name!r} of PyTorch, which reads or writes a file"
            self._add(Severity.HIGH, "operator.file", said, at)
        elif name not in words("torch", "allowed") and name not in words("torchscript", "constants"):
            said = f"the operator {shown(name)!r}, which PyTorch does not have"
            self._add(Severity.MEDIUM, "operator.unknown", said, at)

    def _method(self, name: str, at: int) -> None:
        """Judge a method: each operator of PyTorch is one, of any value."""
        if name in words("torch", "reaching") and name not in self.defined:
            said = f"the method {name!r}, which reads or writes a file"
            self._add(Severity.HIGH, "operator.file", said, at)

    def _function(self, name: str, after: str, at: int) -> None:
        if name in _PYTHON and (after == "(" or name in {"import", "lambda", "try", "yield", "async"}):
            said = f"{name!r}, which TorchScript does not have and Python does"
            self._add(Severity.HIGH, "python", said, at)
        elif after != "(" or name in self.bound or name in words("torchscript", "functions"):
            return
        elif name.startswith("rpc_"):
            self._add(Severity.HIGH, "operator.file", f"{name!r}, which speaks to other processes", at)
        else:
            self._add(Severity.MEDIUM, "function", f"the function {shown(name)!r}, which is not known", at)

    def _add(self, severity: Severity, rule: str, said: str, at: int) -> None:
        self.examination.add(severity, f"torchscript.{rule}", self.content.at(at), said)
