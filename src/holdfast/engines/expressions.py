"""The language of feature code: one expression, checked once, computed over tables and over single rows alike.

Decides what an expression may say and what it means for one row; `expressions_frames` says the same to Polars, and the
parity control holds the two against each other. It is closed: names of columns, numbers, texts, and the functions in
`FUNCTIONS`; no attribute, no loop, no call of anything else, so that reading it is knowing all that it does. Knows
nothing but the standard library, so that a gateway can use it.

Missing values (None) stay missing through arithmetic and comparison; `and`, `or` and `not` follow Kleene's logic. NaN
is a number, equal to itself and larger than every other, as in Polars. Times are microseconds since 1970 in UTC;
calendar functions see them in the view's own time zone.
"""

import ast
import calendar
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from holdfast.core.errors import InvalidInput

Type: TypeAlias = Literal["float", "int", "bool", "string", "timestamp"]
Sort: TypeAlias = Literal["row", "request"]
Value: TypeAlias = float | int | bool | str | None

MAX_CODE: Final = 2_000  # characters; longer code belongs into two features
MAX_DEPTH: Final = 40  # nested operations; what people write stays below ten
EVENT_TIME: Final = "event_time"  # the moment that is asked about: of the label, or of the request
EARLIER: Final = "earlier_events"
SINCE: Final = "seconds_since_last_event"
HISTORY: Final = (EARLIER, SINCE)
ANY_ZONE: Final = "UTC"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS: Final = ("float", "int", "bool")
_FRIDAY: Final = 4


@dataclass(frozen=True, slots=True)
class Function:
    """A function: what it takes, what it gives, and what it does with one row's values, none of them missing."""

    takes: tuple[str, ...]
    gives: Type
    does: Callable[..., Value]
    says: str


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of an expression that was checked: its name, its operands or value, and the type it gives."""

    op: str
    type: Type
    parts: tuple["Node", ...] = ()
    value: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """Code that was checked against the columns it may read."""

    code: str
    root: Node
    columns: frozenset[str]
    sort: Sort

    @property
    def type(self) -> Type:
        """What it gives."""
        return self.root.type

    def evaluate(self, row: Mapping[str, Value], zone: str = ANY_ZONE) -> Value:
        """Return its value for one row: columns, and for request features the event time and the history, by name."""
        return _value(self.root, row, _zone(zone))


def local(moment: int, zone: ZoneInfo) -> datetime:
    """Return a moment in microseconds since 1970 as the clock on the wall there shows it.

    Raises:
        ValueError: It lies outside the years 1 to 9999.
    """
    try:
        return (_EPOCH + timedelta(microseconds=moment)).astimezone(zone)
    except OverflowError as error:
        raise ValueError("a time outside the years 1 to 9999") from error


def check_zone(name: str) -> None:
    """Check that there is a time zone of this name.

    Raises:
        InvalidInput: There is none.
    """
    _zone(name)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(f"there is no time zone {name[:60]!r}", expected="a name such as Europe/Berlin") from error


def _friday_of_payday(when: datetime, day: int) -> bool:
    """Say whether wages of that day are paid on this Friday: on the day itself, or before the weekend it falls in.

    >>> [_friday_of_payday(datetime(2026, 7, d), 25) for d in (17, 24, 31)]
    [False, True, False]
    """
    if when.weekday() != _FRIDAY:
        return False
    paid = min(day, calendar.monthrange(when.year, when.month)[1])
    return 0 <= paid - when.day <= 2


def _last_friday(when: datetime) -> bool:
    return when.weekday() == _FRIDAY and when.day + 7 > calendar.monthrange(when.year, when.month)[1]


def _minutes(text: str) -> int:
    hour, colon, minute = text.partition(":")
    if not (colon and len(text) == 5 and hour.isdecimal() and minute.isdecimal()):
        raise InvalidInput(f"{text[:20]!r} is no time of day", expected='such as "12:30"')
    found = int(hour) * 60 + int(minute)
    if int(minute) >= 60 or found > 24 * 60:
        raise InvalidInput(f"{text!r} is no time of day", expected='"00:00" to "24:00"')
    return found


def _between(when: datetime, begin: str, end: str) -> bool:
    now, first, last = when.hour * 60 + when.minute, _minutes(begin), _minutes(end)
    return first <= now < last if first <= last else now >= first or now < last


def _log(value: float) -> float:
    if value > 0:
        return math.log(value)
    return -math.inf if value == 0 else math.nan


def _log1p(value: float) -> float:
    if value > -1:
        return math.log1p(value)
    return -math.inf if value == -1 else math.nan


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _divide(above: float, below: float) -> float:
    if below != 0:
        return above / below
    if above == 0 or math.isnan(above):
        return math.nan
    return math.copysign(math.inf, above) * math.copysign(1.0, below)


def _floor(value: float) -> float:
    whole = value == 0 or not abs(value) < 1 << 53  # minus zero stays what it is, and so do NaN and infinity
    return value if whole else float(math.floor(value))


FUNCTIONS: Final[dict[str, Function]] = {
    "abs": Function(("number",), "float", abs, "without its sign"),
    "sqrt": Function(("number",), "float", lambda v: math.sqrt(v) if v >= 0 else math.nan, "square root"),
    "log": Function(("number",), "float", _log, "natural logarithm"),
    "log1p": Function(("number",), "float", _log1p, "logarithm of 1 + x"),
    "exp": Function(("number",), "float", _exp, "exponential"),
    "floor": Function(("number",), "float", _floor, "the whole number below"),
    "length": Function(("string",), "int", len, "characters of a text"),
    "hour": Function(("timestamp",), "int", lambda t: t.hour, "0 to 23, on the wall clock of the view's zone"),
    "minute": Function(("timestamp",), "int", lambda t: t.minute, "0 to 59"),
    "weekday": Function(("timestamp",), "int", lambda t: t.isoweekday(), "1 Monday to 7 Sunday"),
    "day": Function(("timestamp",), "int", lambda t: t.day, "day of the month"),
    "month": Function(("timestamp",), "int", lambda t: t.month, "1 to 12"),
    "weekend": Function(("timestamp",), "bool", lambda t: t.isoweekday() > 5, "Saturday or Sunday"),
    "lunch_break": Function(
        ("timestamp",), "bool", lambda t: _between(t, "11:30", "15:00"), "from 11:30 until before 15:00"
    ),
    "time_between": Function(
        ("timestamp", "text", "text"), "bool", _between, 'from "22:00" until before "06:00", over midnight too'
    ),
    "last_friday": Function(("timestamp",), "bool", _last_friday, "the last Friday of its month"),
    "payday_friday": Function(
        ("timestamp", "day"),
        "bool",
        _friday_of_payday,
        "the Friday on which wages of that day are paid: the day, or the weekend after it; 31 is the month's last day",
    ),
}
"""Every function by name, beside `is_missing`, `fill`, `where`, `smaller`, `larger`, `seconds_between` and history."""

_COMPARE: Final[dict[type, str]] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="
}  # fmt: skip
_ARITHMETIC: Final[dict[type, str]] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPUTE: Final[dict[str, Callable[[float, float], float]]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _divide
}  # fmt: skip
_COMPARES: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne
}  # fmt: skip


def parse(code: str, columns: Mapping[str, Type], *, place: str = "") -> Expression:
    """Return the expression in a piece of code.

    A row feature reads columns of its source; a request feature reads the event time and the entity's history, and is
    computed when it is asked for. One that wanted both would have no single moment it is true at.

    Raises:
        InvalidInput: It is no expression of this language, names an unknown column, or mixes both sorts.
    """
    if len(code) > MAX_CODE:
        raise InvalidInput(f"code of {len(code)} characters", place=place, expected=f"at most {MAX_CODE}")
    try:
        tree = ast.parse(code.strip(), mode="eval").body
        checker = _Checker(columns)
        root = checker.node(tree, 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InvalidInput(f"{code[:80]!r} is no expression: {words}", place=place) from error
    except InvalidInput as error:
        raise InvalidInput(f"{error.message} in {code[:80]!r}", place=place, expected=error.expected) from error
    if checker.request and checker.columns:
        words = f"{code[:80]!r} reads {min(checker.columns)!r} and the moment of the request"
        raise InvalidInput(words, place=place, expected="columns of the source, or the request's own context")
    if not checker.request and not checker.columns:
        raise InvalidInput(f"{code[:80]!r} reads nothing", place=place, expected="a column, or event_time")
    return Expression(
        code=code.strip(), root=root, columns=frozenset(checker.columns), sort="request" if checker.request else "row"
    )


class _Checker:
    """Turns Python's syntax tree into nodes of this language; whatever is not named here is refused."""

    def __init__(self, columns: Mapping[str, Type]) -> None:
        self.known = columns
        self.columns: set[str] = set()
        self.request = False

    def node(self, tree: ast.expr, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise InvalidInput("nested too deep", expected=f"at most {MAX_DEPTH} levels")
        match tree:
            case ast.Constant(value=value):
                return _literal(value)
            case ast.Name(id=name):
                return self._name(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return Node("negative", "float", (_number(self.node(operand, depth + 1)),))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Node("not", "bool", (_truth(self.node(operand, depth + 1)),))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                parts = tuple(_number(self.node(each, depth + 1)) for each in (left, right))
                return Node(_ARITHMETIC[type(op)], "float", parts)
            case ast.BoolOp(op=op, values=values):
                name = "and" if isinstance(op, ast.And) else "or"
                return Node(name, "bool", tuple(_truth(self.node(each, depth + 1)) for each in values))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
                return _compared(_COMPARE[type(op)], self.node(left, depth + 1), self.node(right, depth + 1))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(name, [self.node(each, depth + 1) for each in args])
        raise InvalidInput(f"{type(tree).__name__} is not part of the language", expected="see the reference")

    def _name(self, name: str) -> Node:
        if name == EVENT_TIME:
            self.request = True
            return Node("column", "timestamp", value=EVENT_TIME)
        if name not in self.known:
            raise InvalidInput(f"there is no column {name!r}", expected=", ".join(sorted(self.known))[:300])
        self.columns.add(name)
        return Node("column", self.known[name], value=name)

    def _call(self, name: str, args: list[Node]) -> Node:
        if name in HISTORY:
            _arity(name, args, 0)
            self.request = True
            return Node("column", "int" if name == EARLIER else "float", value=name)
        if name == "is_missing":
            _arity(name, args, 1)
            return Node(name, "bool", tuple(args))
        if name in {"fill", "smaller", "larger"}:
            _arity(name, args, 2)
            first, second = _alike(args[0], args[1], name)
            if name == "fill":
                return Node("fill", first.type, (first, second))
            condition = _compared("<" if name == "smaller" else ">", first, second)
            return Node("where", first.type, (condition, first, second))
        if name == "where":
            _arity(name, args, 3)
            first, second = _alike(args[1], args[2], name)
            return Node("where", first.type, (_truth(args[0]), first, second))
        if name == "seconds_between":
            _arity(name, args, 2)
            return Node(name, "float", tuple(_typed(each, "timestamp", name) for each in args))
        function = FUNCTIONS.get(name)
        if function is None:
            raise InvalidInput(f"there is no function {name[:40]!r}", expected=", ".join(sorted(FUNCTIONS)))
        _arity(name, args, len(function.takes))
        parts = tuple(_argument(each, takes, name) for each, takes in zip(args, function.takes, strict=True))
        return Node(name, function.gives, parts)


def _argument(node: Node, takes: str, name: str) -> Node:
    if takes == "number":
        return _number(node)
    if takes in {"text", "day"}:
        if node.op != "literal" or not isinstance(node.value, str if takes == "text" else int):
            raise InvalidInput(f"{name} takes a {takes} that is written there")
        if takes == "text":
            _minutes(str(node.value))
        elif not 1 <= int(node.value) <= 31:
            raise InvalidInput(f"{name} takes a day of the month", expected="1 to 31")
        return node
    return _typed(node, takes, name)


def _literal(value: Any) -> Node:
    if isinstance(value, bool):
        return Node("literal", "bool", value=value)
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return Node("literal", "int", value=value)
    if isinstance(value, float) and math.isfinite(value):
        return Node("literal", "float", value=value)
    if isinstance(value, str):
        return Node("literal", "string", value=value)
    raise InvalidInput(f"{str(value)[:40]} is no value of the language", expected="a number, a text, True or False")


def _arity(name: str, args: list[Node], wanted: int) -> None:
    if len(args) != wanted:
        raise InvalidInput(f"{name} of {len(args)} values", expected=str(wanted))


def _typed(node: Node, wanted: str, name: str) -> Node:
    if node.type != wanted:
        raise InvalidInput(f"{name} of a {node.type}", expected=f"a {wanted}")
    return node


def _number(node: Node) -> Node:
    if node.type not in _NUMBERS:
        raise InvalidInput(f"arithmetic with a {node.type}", expected="numbers")
    return node if node.type == "float" else Node("number", "float", (node,))


def _truth(node: Node) -> Node:
    return _typed(node, "bool", "a condition")


def _alike(first: Node, second: Node, name: str) -> tuple[Node, Node]:
    if first.type == second.type:
        return first, second
    if first.type in _NUMBERS and second.type in _NUMBERS:
        return _number(first), _number(second)
    raise InvalidInput(f"{name} of a {first.type} and a {second.type}", expected="two values of one type")


def _compared(name: str, first: Node, second: Node) -> Node:
    first, second = _alike(first, second, name)
    if first.type in {"bool", "string"} and name not in {"==", "!="}:
        raise InvalidInput(f"{name} of a {first.type}", expected="== or !=")
    return Node(name, "bool", (first, second))


def _value(node: Node, row: Mapping[str, Value], zone: ZoneInfo) -> Value:
    op = node.op
    if op == "column":
        return row[str(node.value)]
    if op == "literal":
        return node.value
    if op == "where":
        chosen = node.parts[1] if _value(node.parts[0], row, zone) is True else node.parts[2]
        return _value(chosen, row, zone)
    values = [_value(part, row, zone) for part in node.parts]
    if op == "is_missing":
        return values[0] is None
    if op == "fill":
        return values[1] if values[0] is None else values[0]
    if op in {"and", "or"}:
        return _kleene(values, absorbing=op == "or")
    if any(value is None for value in values):
        return None
    return _present(node, values, zone)


def _present(node: Node, values: list[Any], zone: ZoneInfo) -> Value:
    """Return what an operation gives whose operands are all there."""
    op, first = node.op, values[0]
    if op in _COMPUTE:
        return _compute(op, *values)
    if op in _COMPARES:
        return _compares(op, first, values[1])
    if op == "number":
        return float(first)
    if op == "negative":
        return -float(first)
    if op == "not":
        return not first
    if op == "seconds_between":
        return float(first - values[1]) / 1e6
    function = FUNCTIONS[op]
    if function.takes[0] == "timestamp":
        return function.does(local(first, zone), *values[1:])
    return function.does(*values)


def _compute(op: str, first: float, second: float) -> float:
    return _COMPUTE[op](first, second)


def _compares(op: str, first: Any, second: Any) -> bool:
    """Compare as Polars does: NaN is equal to itself, and larger than every other number."""
    if isinstance(first, float) and (first != first or second != second):  # noqa: PLR0124 - that is how NaN shows
        first, second = int(first != first), int(second != second)  # noqa: PLR0124
    return _COMPARES[op](first, second)


def _kleene(values: list[Value], *, absorbing: bool) -> bool | None:
    if any(value is absorbing for value in values):
        return absorbing
    return None if any(value is None for value in values) else not absorbing
