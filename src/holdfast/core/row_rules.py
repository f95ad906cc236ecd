"""Rules about one row, in a small closed language: parsed here, compiled by `ingest` into expressions of its engine.

Decides what a rule may say and that its parts are of types that go together. There are no names but columns, four
functions, no loops, no statements and nothing to call: a rule from outside can be wrong, never dangerous.

::

    rule    = either [ "=>" rule ]                      # not the left, or the right
    either  = both { "or" both }
    both    = one { "and" one }
    one     = "not" one | sum [ compare sum | "is" ["not"] "missing" | ["not"] "in" "[" value { "," value } "]" ]
    sum     = product { ("+" | "-") product }
    product = factor { ("*" | "/") factor }
    factor  = "-" factor | number | 'text' | "true" | "false" | column | `column` | function "(" … ")" | "(" rule ")"
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from holdfast.core.errors import InvalidInput

Sort: TypeAlias = Literal["number", "text", "truth", "moment"]

MAX_RULE: Final = 2_000  # characters; a longer one is a program
MAX_DEPTH: Final = 40  # levels of brackets, so that no rule exhausts the stack
FUNCTIONS: Final[Mapping[str, tuple[tuple[Sort, ...], Sort]]] = {
    "length": (("text",), "number"),
    "lower": (("text",), "text"),
    "abs": (("number",), "number"),
    "hours": (("moment", "moment"), "number"),  # from the first to the second
}
"""What may be called: what each takes, and what it gives."""
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|(?P<text>'(?:[^']|'')*')|`(?P<quoted>[^`]+)`"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<mark>=>|<=|>=|!=|==|[<>+\-*/(),\[\]]))"
)
_WORDS: Final = frozenset({"and", "or", "not", "is", "in", "missing", "true", "false"})
_COMPARE: Final = frozenset({"<", "<=", ">", ">=", "==", "!="})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One part of a rule: what it does, what it gives, its parts, and its value where it has one."""

    does: str  # an operator, the name of a function, or column, value, missing, in
    sort: Sort
    parts: tuple["Node", ...] = ()
    value: str | float | bool | tuple[str | float | bool, ...] | None = None


def parse_rule(text: str, sorts: Mapping[str, Sort]) -> Node:
    """Return a rule about a row.

    Args:
        text: The rule.
        sorts: The columns that it may speak of, and what they hold.

    Raises:
        InvalidInput: It is no such rule, with the character; or its parts do not go together.

    >>> parse_rule("total >= price * 2", {"total": "number", "price": "number"}).does
    '>='
    """
    if len(text) > MAX_RULE:
        raise InvalidInput(f"a rule of {len(text)} characters", expected=f"at most {MAX_RULE}")
    parser = _Parser(text, sorts)
    found = parser.rule(0)
    parser.end()
    if found.sort != "truth":
        raise InvalidInput(f"the rule gives a {found.sort}", expected="something that is true or false of a row")
    return found


class _Parser:
    """Recursive descent over the grammar above; one method a line of it."""

    def __init__(self, text: str, sorts: Mapping[str, Sort]) -> None:
        self.text, self.sorts, self.at, self.tokens = text, sorts, 0, list[tuple[str, str, int]]()
        position = 0
        while position < len(text.rstrip()):
            found = _TOKEN.match(text, position)
            if found is None:
                raise InvalidInput(
                    f"character {position + 1} of the rule cannot be read", expected="the language of rules"
                )
            kind = found.lastgroup or ""
            self.tokens.append((kind, found[kind], position + 1))
            position = found.end()

    def peek(self, *wanted: str) -> str:
        """Return the next mark or word if it is one of these, without taking it."""
        if self.at < len(self.tokens):
            kind, value, _ = self.tokens[self.at]
            if kind in {"mark", "word"} and value in wanted:
                return value
        return ""

    def take(self, *wanted: str) -> str:
        """Return the next mark or word if it is one of these, and go past it."""
        found = self.peek(*wanted)
        self.at += bool(found)
        return found

    def need(self, wanted: str) -> None:
        if not self.take(wanted):
            raise self.fault(f"{wanted!r} is missing")

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise self.fault("something follows that belongs to nothing")

    def fault(self, words: str) -> InvalidInput:
        place = self.tokens[self.at][2] if self.at < len(self.tokens) else len(self.text) + 1
        return InvalidInput(f"{words}, at character {place} of the rule", expected="the language of rules")

    def rule(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.fault(f"more than {MAX_DEPTH} levels")
        left = self.joined("or", depth)
        if self.take("=>"):
            right = self.rule(depth + 1)
            self.both("truth", left, right)
            negated = Node(does="not", sort="truth", parts=(left,))
            return Node(does="or", sort="truth", parts=(negated, right))
        return left

    def joined(self, word: str, depth: int) -> Node:
        parts = [self.joined("and", depth) if word == "or" else self.one(depth)]
        while self.take(word):
            parts.append(self.joined("and", depth) if word == "or" else self.one(depth))
        if len(parts) == 1:
            return parts[0]
        self.both("truth", *parts)
        return Node(does=word, sort="truth", parts=tuple(parts))

    def one(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.fault(f"more than {MAX_DEPTH} levels")
        if self.take("not"):
            inner = self.one(depth + 1)
            self.both("truth", inner)
            return Node(does="not", sort="truth", parts=(inner,))
        left = self.series(("+", "-"), depth)
        if operator := self.take(*_COMPARE):
            right = self.series(("+", "-"), depth)
            if left.sort != right.sort:
                raise self.fault(f"a {left.sort} is compared with a {right.sort}")
            if left.sort == "truth" and operator not in {"==", "!="}:
                raise self.fault("truths have no order")
            return Node(does=operator, sort="truth", parts=(left, right))
        if self.take("is"):
            negated = bool(self.take("not"))
            self.need("missing")
            return self.negated(Node(does="missing", sort="truth", parts=(left,)), negated)
        negated = bool(self.peek("not")) and bool(self.take("not"))
        if self.take("in"):
            return self.negated(Node(does="in", sort="truth", parts=(left,), value=self.values(left)), negated)
        if negated:
            raise self.fault("'in' is missing")
        return left

    def negated(self, node: Node, negated: bool) -> Node:  # noqa: FBT001 - a word of the language
        return Node(does="not", sort="truth", parts=(node,)) if negated else node

    def values(self, of: Node) -> tuple[str | float | bool, ...]:
        self.need("[")
        found = list[str | float | bool]()
        while True:
            item = self.factor(0)
            if item.does != "value" or item.sort != of.sort or isinstance(item.value, tuple) or item.value is None:
                raise self.fault(f"the list holds something that is no {of.sort}")
            found.append(item.value)
            if not self.take(","):
                break
        self.need("]")
        return tuple(found)

    def series(self, operators: tuple[str, ...], depth: int) -> Node:
        def below() -> Node:
            return self.series(("*", "/"), depth) if "+" in operators else self.factor(depth)

        left = below()
        while operator := self.take(*operators):
            right = below()
            self.both("number", left, right)
            left = Node(does=operator, sort="number", parts=(left, right))
        return left

    def factor(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.fault(f"more than {MAX_DEPTH} levels")
        if self.take("-"):
            inner = self.factor(depth + 1)
            self.both("number", inner)
            if inner.does == "value" and isinstance(inner.value, float):
                return Node(does="value", sort="number", value=-inner.value)
            return Node(does="negative", sort="number", parts=(inner,))
        if self.take("("):
            inner = self.rule(depth + 1)
            self.need(")")
            return inner
        if self.at >= len(self.tokens):
            raise self.fault("the rule ends too early")
        return self.atom(depth)

    def atom(self, depth: int) -> Node:
        kind, value, _ = self.tokens[self.at]
        if kind == "mark" or (kind == "word" and value in _WORDS - {"true", "false"}):
            raise self.fault(f"{value!r} stands where a value should")
        self.at += 1
        if kind == "number":
            return Node(does="value", sort="number", value=float(value))
        if kind == "text":
            return Node(does="value", sort="text", value=value[1:-1].replace("''", "'"))
        if kind == "word" and value in {"true", "false"}:
            return Node(does="value", sort="truth", value=value == "true")
        if kind == "word" and self.peek("("):
            return self.call(value, depth)
        if value not in self.sorts:
            self.at -= 1
            raise self.fault(f"there is no column {value[:80]!r}")
        return Node(does="column", sort=self.sorts[value], value=value)

    def call(self, name: str, depth: int) -> Node:
        if name not in FUNCTIONS:
            self.at -= 1
            raise self.fault(f"{name[:80]!r} cannot be called; what can: {', '.join(FUNCTIONS)}")
        takes, gives = FUNCTIONS[name]
        self.need("(")
        parts = list[Node]()
        for index, sort in enumerate(takes):
            if index:
                self.need(",")
            parts.append(self.rule(depth + 1))
            self.both(sort, parts[-1])
        self.need(")")
        return Node(does=name, sort=gives, parts=tuple(parts))

    def both(self, sort: Sort, *parts: Node) -> None:
        for part in parts:
            if part.sort != sort:
                raise self.fault(f"a {part.sort} stands where a {sort} should")
