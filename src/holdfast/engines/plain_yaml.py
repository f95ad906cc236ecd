"""The part of YAML that trackers write for machines: mappings, lists and scalars by indentation, read strictly.

Nothing is guessed: anchors, aliases, tags, flow collections, block texts, several documents and tabs are refused, and
so is a key that appears twice. Every scalar is a text, quotes taken off; whoever wants a number asks for one.
"""

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from holdfast.core.errors import InvalidInput

Value: TypeAlias = "str | dict[str, Value] | list[Value]"

MAX_TEXT: Final = 1 << 20  # characters; an MLmodel file with a signature has ten thousand
MAX_LINES: Final = 20_000
MAX_DEPTH: Final = 16  # levels of indentation
_KEY: Final = re.compile(r"(?P<key>[A-Za-z0-9_./@ -]{1,200}|'[^']{1,200}'|\"[^\"\\]{1,200}\"):(?: +(?P<rest>.*))?")
_REFUSED: Final = ("&", "*", "!", "|", ">", "{", "[", "%", "@", "`")
_EMPTY: Final = {"{}", "[]"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line that says something: its number, its indentation, its text."""

    number: int
    indent: int
    text: str


def read_yaml(text: str) -> dict[str, Value]:
    r"""Return the mapping that a text holds.

    Raises:
        InvalidInput: It is anything but mappings, lists and scalars by indentation; with the line.

    >>> read_yaml("run_id: abc\nflavors:\n  sklearn:\n    version: '1.5'\n")
    {'run_id': 'abc', 'flavors': {'sklearn': {'version': '1.5'}}}
    """
    if len(text) > MAX_TEXT or text.count("\n") > MAX_LINES:
        raise InvalidInput("the text is too long", expected=f"at most {MAX_TEXT} characters and {MAX_LINES} lines")
    lines = [
        Line(number, len(line) - len(line.lstrip(" ")), line.strip(" \r"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    for line in lines:
        if "\t" in line.text or not line.text.isprintable() or line.text in {"---", "..."}:
            raise _refused(line, "a tab, a control character or a document mark")
    if not lines:
        return {}
    value, rest = _block(lines, 0, lines[0].indent, 0)
    if rest != len(lines) or not isinstance(value, dict):
        raise _refused(lines[min(rest, len(lines) - 1)], "something that is no mapping")
    return value


def _refused(line: Line, what: str) -> InvalidInput:
    return InvalidInput(f"line {line.number} holds {what}", expected="plain mappings, lists and scalars")


def _block(lines: list[Line], at: int, indent: int, depth: int) -> tuple[Value, int]:
    if depth > MAX_DEPTH:
        raise _refused(lines[at], f"more than {MAX_DEPTH} levels")
    if lines[at].text == "-" or lines[at].text.startswith("- "):
        return _list(lines, at, indent)
    found: dict[str, Value] = {}
    while at < len(lines) and lines[at].indent == indent:
        line = lines[at]
        match = _KEY.fullmatch(line.text)
        if match is None:
            raise _refused(line, "no plain key and value")
        key = match["key"].strip("'\"").strip()
        if key in found:
            raise _refused(line, f"the key {key!r} again")
        at += 1
        if match["rest"]:
            found[key] = _scalar(line, match["rest"].strip())
        elif at < len(lines) and (lines[at].indent > indent or _is_item(lines[at], indent)):
            found[key], at = _block(lines, at, lines[at].indent, depth + 1)
        else:
            found[key] = ""
    if at < len(lines) and lines[at].indent > indent:
        raise _refused(lines[at], "a line indented under a value")
    return found, at


def _is_item(line: Line, indent: int) -> bool:
    return line.indent == indent and (line.text == "-" or line.text.startswith("- "))


def _list(lines: list[Line], at: int, indent: int) -> tuple[Value, int]:
    found: list[Value] = []
    while at < len(lines) and _is_item(lines[at], indent):
        line = lines[at]
        rest = line.text[1:].strip()
        if _KEY.fullmatch(rest) or rest.startswith("- ") or not rest:
            raise _refused(line, "a mapping or a list inside of a list")
        found.append(_scalar(line, rest))
        at += 1
    if at < len(lines) and lines[at].indent > indent:
        raise _refused(lines[at], "a line indented under a value")
    return found, at


def _scalar(line: Line, text: str) -> str:
    if text in _EMPTY:
        return ""
    quote = text[0]
    if quote in "'\"":
        inner = text[1:-1]
        plain = len(text) > 1 and text.endswith(quote) and quote not in inner.replace("''", "")
        if not plain or (quote == '"' and "\\" in inner):
            raise _refused(line, "a quoted text that is not plain")
        return inner.replace("''", "'") if quote == "'" else inner
    if text.startswith(_REFUSED) or " #" in text or ": " in text or text.endswith(":"):
        raise _refused(line, "an anchor, a tag, a flow collection or a block text")
    return text
