"""The part of YAML that is plain: mappings, lists and scalars by indentation, read strictly.

Nothing is guessed: anchors, aliases, tags, flow mappings, several documents and tabs are refused, and so is a key that
appears twice. Lists in brackets, block texts and comments behind values are read where a document is written by people
(`people`), refused where it is written by machines. Every scalar is a text, quotes taken off; whoever wants a number
asks for one.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from holdfast.core.errors import InvalidInput

Value: TypeAlias = "str | dict[str, Value] | list[Value]"

MAX_TEXT: Final = 1 << 20  # characters; an MLmodel file with a signature has ten thousand
MAX_LINES: Final = 20_000
MAX_DEPTH: Final = 16  # levels of indentation
_KEY: Final = re.compile(r"(?P<key>[A-Za-z0-9_./@ -]{1,200}|'[^']{1,200}'|\"[^\"\\]{1,200}\"):(?: +(?P<rest>.*))?")
_REFUSED: Final = ("&", "*", "!", "|", ">", "{", "[", "%", "@", "`")
_EMPTY: Final = {"{}", "[]"}
_BLOCK: Final = re.compile(r"(?P<before>(?:- +)?(?:[^'\"#:]{1,200}): +)(?P<style>[|>])(?P<end>[-+]?)(?: +#.*)?")
_COMMENT: Final = re.compile(r"""(?P<value>'(?:[^']++|'')*+'|"[^"]*+"|\[[^\]]*+\]) ++#.*""")
_ITEM: Final = re.compile(r"""\s*+('(?:[^']++|'')*+'|"[^"\\]*+"|[^,'"\[\]{}#&*!|>%@`]++)\s*+(?:,|$)""")
# Nothing here is tried twice (`+` behind a quantifier): a line of a megabyte takes no longer than a megabyte of lines.


@dataclass(frozen=True, slots=True)
class Line:
    """One line that says something: its number, its indentation, its text."""

    number: int
    indent: int
    text: str
    block: str | None = None  # the text below it, where it announces one
    people: bool = False  # whether a list in brackets is read


def read_yaml(text: str, *, people: bool = False) -> dict[str, Value]:
    r"""Return the mapping that a text holds.

    Args:
        text: The text.
        people: Read what people write, too: lists in brackets, block texts, comments behind values, one `---` on top.

    Raises:
        InvalidInput: It is anything but mappings, lists and scalars by indentation; with the line.

    >>> read_yaml("run_id: abc\nflavors:\n  sklearn:\n    version: '1.5'\n")
    {'run_id': 'abc', 'flavors': {'sklearn': {'version': '1.5'}}}
    """
    if len(text) > MAX_TEXT or text.count("\n") > MAX_LINES:
        raise InvalidInput("the text is too long", expected=f"at most {MAX_TEXT} characters and {MAX_LINES} lines")
    lines = _written(text) if people else _plain(text)
    for line in lines:
        if "\t" in line.text or not line.text.isprintable() or line.text in {"---", "..."}:
            raise _refused(line, "a tab, a control character or a document mark")
    if not lines:
        return {}
    value, rest = _block(lines, 0, lines[0].indent, 0)
    if rest != len(lines) or not isinstance(value, dict):
        raise _refused(lines[min(rest, len(lines) - 1)], "something that is no mapping")
    return value


def _plain(text: str) -> list[Line]:
    return [
        Line(number, len(line) - len(line.lstrip(" ")), line.strip(" \r"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _written(text: str) -> list[Line]:
    """Return the lines of what people write: without comments, block texts and bracketed lists in one line each."""
    found: list[Line] = []
    rows = [row.rstrip(" \r") for row in text.split("\n")]
    at = 1 if rows[0] == "---" else 0
    while at < len(rows):
        row, number = rows[at], at + 1
        at += 1
        bare, indent = row.strip(" "), len(row) - len(row.lstrip(" "))
        if not bare or bare.startswith("#"):
            continue
        if opens := _BLOCK.fullmatch(bare):
            inner = indent + (2 if bare.startswith("- ") else 0)
            block, at = _block_text(rows, at, inner, folded=opens["style"] == ">", end=opens["end"])
            found.append(Line(number, indent, opens["before"].rstrip(), block, people=True))
            continue
        found.append(Line(number, indent, _uncommented(bare), people=True))
    return found


def _block_text(rows: list[str], at: int, indent: int, *, folded: bool, end: str) -> tuple[str, int]:
    """Return the text that stands deeper than `indent` from a row on, and the row after it."""
    taken: list[str] = []
    while at < len(rows) and (not rows[at].strip() or len(rows[at]) - len(rows[at].lstrip(" ")) > indent):
        taken.append(rows[at])
        at += 1
    depth = min((len(row) - len(row.lstrip(" ")) for row in taken if row.strip()), default=0)
    lines = "\n".join(row[depth:] for row in taken).strip("\n").split("\n")
    text = re.sub(r"(?<!\n)\n(?!\n)", " ", "\n".join(lines)).replace("\n\n", "\n") if folded else "\n".join(lines)
    return (text if end == "-" or not text else f"{text}\n"), at


def _uncommented(bare: str) -> str:
    """Return a line without the comment behind its value."""
    if " #" not in bare:
        return bare
    match = _KEY.fullmatch(bare.removeprefix("- "))
    value = match["rest"] if match and match["rest"] else bare.removeprefix("- ")
    if value.startswith("#"):
        return bare[: len(bare) - len(value)].rstrip()
    if value[0] in "'\"[":
        cut = _COMMENT.fullmatch(value)
        return bare if cut is None else bare[: len(bare) - len(value)] + cut["value"]
    at = value.find(" #")
    return bare if at < 0 else bare[: len(bare) - len(value)] + value[:at].rstrip()


def _refused(line: Line, what: str) -> InvalidInput:
    return InvalidInput(f"line {line.number} holds {what}", expected="plain mappings, lists and scalars")


def _block(lines: list[Line], at: int, indent: int, depth: int) -> tuple[Value, int]:
    if depth > MAX_DEPTH:
        raise _refused(lines[at], f"more than {MAX_DEPTH} levels")
    if lines[at].text == "-" or lines[at].text.startswith("- "):
        return _list(lines, at, indent, depth)
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
        if line.block is not None:
            found[key] = line.block
        elif match["rest"] and (items := _bracketed(match["rest"].strip())) is not None and line.people:
            found[key] = items
        elif match["rest"]:
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


def _list(lines: list[Line], at: int, indent: int, depth: int) -> tuple[Value, int]:
    found: list[Value] = []
    while at < len(lines) and _is_item(lines[at], indent):
        line = lines[at]
        rest = line.text[1:].strip()
        if rest.startswith("- ") or not rest:
            raise _refused(line, "a list inside of a list")
        if _KEY.fullmatch(rest):
            inner = indent + len(line.text) - len(rest)
            lines[at] = replace(line, indent=inner, text=rest)
            item, at = _block(lines, at, inner, depth + 1)
            found.append(item)
            continue
        found.append(_scalar(line, rest))
        at += 1
    if at < len(lines) and lines[at].indent > indent:
        raise _refused(lines[at], "a line indented under a value")
    return found, at


def _bracketed(text: str) -> list[Value] | None:
    """Return the scalars of a list in brackets, or None where the text is none."""
    if not (text.startswith("[") and text.endswith("]")) or text == "[]":
        return None
    inner, at, found = text[1:-1].strip(), 0, list[Value]()
    while at < len(inner):
        item = _ITEM.match(inner, at)
        if item is None:
            return None
        word = item[1].strip()
        if not word:
            return None
        found.append(word[1:-1].replace("''", "'") if word[0] == "'" else word.strip('"') if word[0] == '"' else word)
        at = item.end()
    return found


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
