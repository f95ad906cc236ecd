"""Chat templates in Jinja, judged by their tokens: nothing is compiled, and nothing but known constructs passes.

Loaders of the large libraries render them in Jinja's sandbox; others have not (CVE-2024-34359), and then one attribute
chain that begins with a dunder name runs any command. Judged are statements, names, attributes, subscripts, filters and
calls, each against what templates of published models use.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan import plain
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models import jsontree
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.models.jsontree import Row, Table, Value
from holdfast.engines.scan.report import shown

MAX_TEMPLATE: Final = 1 << 20  # bytes of one template; the longest published ones have 30,000
RULES: Final = "template"
_BLOCK: Final = re.compile(r"\{\{|\{%|\{#")
_OPEN: Final = re.compile(rb"\{%[-+]?\s*+(?:for|if|set|macro|import|include|from|extends|call|filter|with|block)\b")
_SUSPECT: Final = re.compile(rb"__\w|\blipsum\b|\bcycler\b|\bjoiner\b|\|\s*+attr\b|\\x5f", re.IGNORECASE)
_MESSAGES: Final = re.compile(rb"\bmessages?\b")
_BEGINS: Final = re.compile(rb"\{[{%]")
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|N\{([^}]{1,80})\}|(.))", re.DOTALL
)
_RAW_END: Final = re.compile(r"\{%[-+]?\s*+endraw\s*+[-+]?%\}")
_TOKEN: Final = re.compile(
    r"""\s*+(?:(?P<name>[^\W\d]\w*+)|(?P<string>'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")|(?P<number>\d[\w.]*+)"""
    r"""|(?P<end>[-+]?%\}|-?\}\})|(?P<operator>//|\*\*|[=!<>]=|[-+*/%~|.,:;()\[\]{}<>=]))""",
    re.DOTALL,
)
_LOADING: Final = frozenset({"import", "include", "from", "extends", "block", "endblock"})
_GLOBALS: Final = frozenset({"lipsum", "cycler", "joiner", "self", "request", "g", "url_for", "get_flashed_messages"})
_ALWAYS: Final = frozenset({"lipsum", "cycler", "joiner", "url_for", "get_flashed_messages"})
"""Objects of Jinja and Flask from which attribute chains to Python's own functions begin; templates need none."""
_DUNDER: Final = re.compile(r"__\w+__|\A__|__\Z|\A_[a-z]+_\Z|func_globals|gi_frame|f_globals|\bmro\b")
_HANDOVER: Final = frozenset(".[")


def known(view: memoryview) -> bool:
    """Return whether a text holds blocks of Jinja that speak of messages, or that reach for what no template needs."""
    head = bytes(view[:MAX_TEMPLATE])
    if jsontree.begins(view) or not plain.is_text(view):
        return False
    speaks = _OPEN.search(head) is not None
    return any(_SUSPECT.search(block) or (speaks and _MESSAGES.search(block)) for block in _blocks(head))


def _blocks(text: bytes) -> Iterator[bytes]:
    """Yield the blocks of a text, roughly: from each beginning to the next end."""
    position = 0
    while found := _BEGINS.search(text, position):
        end = text.find(b"}}" if found.group() == b"{{" else b"%}", found.end())
        if end < 0:
            return
        yield text[found.end() : end]
        position = end


def known_configuration(view: memoryview) -> bool:
    """Return whether a content is JSON with a chat template."""
    return jsontree.names(view, "chat_template")


def scan(content: Content, examination: Examination) -> None:
    """Judge a template that is a file of its own."""
    plain.scan(content, examination)
    judge(content.view, content, 0, examination)


def scan_configuration(content: Content, examination: Examination) -> None:
    """Judge every chat template in a tokenizer's or processor's configuration."""
    plain.scan(content, examination)
    stack: list[Value] = [jsontree.read(content, examination, "config")]
    while stack:
        value = stack.pop()
        if isinstance(value, Table):
            for key, member in value.items():
                if "template" in key.lower():
                    _named(member, content, value.at, examination)
                stack.append(member)
        elif isinstance(value, Row):
            stack.extend(value)


def _named(member: Value, content: Content, at: int, examination: Examination) -> None:
    """Judge the value of a key that names a template: one text, or several; tables inside are met later."""
    texts = member if isinstance(member, Row) else member.values() if isinstance(member, Table) else (member,)
    for text in texts:
        if isinstance(text, str):
            judge(memoryview(text.encode("utf-8", "replace")), content, at, examination)


def judge(text: memoryview, content: Content, at: int, examination: Examination) -> None:
    """Judge one template.

    Args:
        text: Its bytes.
        content: Where it stands, for places.
        at: The offset in the content at which it, or the value that holds it, begins.
        examination: Where to report.
    """
    if len(text) > MAX_TEMPLATE:
        said = f"a template of {len(text)} bytes; at most {MAX_TEMPLATE} are judged"
        examination.add(Severity.MEDIUM, "limit.template", content.at(at), said)
        return
    examination.step(len(text) // 4)
    _Judge(bytes(text).decode("utf-8", "replace"), content.at(at), examination).run()


class _Judge:
    """One pass over one template."""

    def __init__(self, text: str, place: str, examination: Examination) -> None:
        self.text, self.place, self.examination = text, place, examination
        self.macros = {found.group(1) for found in re.finditer(r"\bmacro\s+(\w+)", text)}
        self.macros |= {found.group(1) for found in re.finditer(r"\bset\s+(\w+)", text)}

    def run(self) -> None:
        """Find each block and judge its tokens."""
        position, text = 0, self.text
        while found := _BLOCK.search(text, position):
            if found.group() == "{#":
                end = text.find("#}", found.end())
                if end < 0:
                    self._add(Severity.MEDIUM, "malformed", "a comment that does not end")
                    return
                position = end + 2
                continue
            tokens, position = self._tokens(found.end(), statement=found.group() == "{%")
            if position < 0:
                return
            self._judge(tokens, statement=found.group() == "{%")
            if tokens and tokens[0][1] == "raw" and found.group() == "{%":
                closing = _RAW_END.search(text, position)
                position = closing.end() if closing else len(text)

    def _tokens(self, position: int, *, statement: bool) -> tuple[list[tuple[str, str]], int]:
        """Return kind and text of each token of a block and the position after it, or -1 where it never ends."""
        tokens, text, braces = list[tuple[str, str]](), self.text, 0
        if text[position : position + 1] in {"-", "+"}:
            position += 1
        while True:
            found = _TOKEN.match(text, position)
            if found is None:
                rest = text[position : position + 40].strip()
                said = f"a block with {shown(rest)!r} in it" if rest else "a block that does not end"
                self._add(Severity.MEDIUM, "malformed", said)
                return tokens, -1
            kind, value, position = str(found.lastgroup), found.group().strip(), found.end()
            if kind == "end" and (value.endswith("%}") == statement) and not braces:
                return tokens, position
            if kind == "end":  # a dictionary's own braces, or an operator before one
                position = found.start(kind) + 1
                kind, value = "operator", text[found.start(kind)]
            braces += (value == "{") - (value == "}") if kind == "operator" else 0
            tokens.append((kind, _literal(value) if kind == "string" else value))

    def _judge(self, tokens: list[tuple[str, str]], *, statement: bool) -> None:
        if statement:
            word = tokens[0][1] if tokens else ""
            if word in _LOADING:
                self._add(Severity.HIGH, "loading", f"the statement {word!r}, which loads another template")
            elif word not in words("jinja", "statements"):
                self._add(Severity.MEDIUM, "statement", f"the statement {shown(word)!r}, which no chat template needs")
        padded = [("", ""), *(tokens[1:] if statement and tokens else tokens), ("", "")]
        for before, token, after in zip(padded, padded[1:], padded[2:], strict=False):
            if token[0] == "name":
                self._name(before[1], token[1], after[1])
            elif token[0] == "string":
                self._string(before[1], token[1], after[1])

    def _name(self, before: str, name: str, after: str) -> None:
        if _DUNDER.search(name):
            severity = Severity.CRITICAL if before in _HANDOVER or name.startswith("__") else Severity.HIGH
            self._add(
                severity, "dunder", f"the name {shown(name)!r}, from which a chain leads to Python's own functions"
            )
        elif before == "|":
            self._filter(name)
        elif before == ".":
            if after == "(" and name not in words("jinja", "methods"):
                self._add(Severity.MEDIUM, "call", f"a call of the method {shown(name)!r}")
        elif name in _ALWAYS or (name in _GLOBALS and after in {".", "[", "|", "("}):
            self._add(Severity.HIGH, "global", f"the object {name!r}, which no chat template needs")
        elif after == "(" and not self._callable(name) and before != "is":
            self._add(Severity.MEDIUM, "call", f"a call of the function {shown(name)!r}")

    def _callable(self, name: str) -> bool:
        return name in self.macros or name in words("jinja", "functions") or name in words("jinja", "words")

    def _filter(self, name: str) -> None:
        if name == "attr":
            self._add(Severity.HIGH, "attr", "the filter 'attr', which reads an attribute whose name is computed")
        elif name not in words("jinja", "filters"):
            self._add(Severity.MEDIUM, "filter", f"the filter {shown(name)!r}, which no chat template needs")

    def _string(self, before: str, text: str, after: str) -> None:
        if re.search(r"__\w+__", text) or (before == "[" and _DUNDER.search(text)):
            said = f"the text {shown(text, 60)!r}, the name of an attribute that leads to Python's own functions"
            self._add(Severity.CRITICAL if before in {"[", "("} else Severity.HIGH, "dunder", said)
        elif text == "attr" and before == "(":  # `map` takes a filter by its name
            self._filter(text)
        elif re.search(r"%\d*c|\{\d*:c\}", text) or (text and not text.strip("_") and self._listed(before, after)):
            said = f"a name put together by {shown(text, 60)!r}, as those that lead to Python's own functions are"
            self._add(Severity.HIGH, "dunder", said)
        elif {before, after} & {"~", "+", "*"} and (text.strip("_") == "" != text or _DUNDER.search(text)):
            said = f"a name put together from {shown(text, 60)!r}, as those that lead to Python's own functions are"
            self._add(Severity.HIGH, "dunder", said)

    def _listed(self, before: str, after: str) -> bool:
        """Return whether a text stands in a list, as pieces that are joined do, and not as a last argument."""
        return before in {"[", ","} and after in {",", "]"}

    def _add(self, severity: Severity, rule: str, said: str) -> None:
        self.examination.add(severity, f"{RULES}.{rule}", self.place, said)


def _literal(quoted: str) -> str:
    """Return the text of a string as Jinja reads it, its escapes resolved."""
    inner = quoted[1:-1]
    if "\\" not in inner:
        return inner
    return _ESCAPE.sub(_resolved, inner)


def _resolved(escape: re.Match[str]) -> str:
    *numbers, name, other = escape.groups()
    for digits, radix in zip(numbers, (16, 16, 16, 8), strict=True):
        if digits:
            return chr(min(int(digits, radix), 0x10FFFF))
    if name:
        try:
            return unicodedata.lookup(name)
        except KeyError:
            return ""
    return "" if other == "\n" else str(other)
