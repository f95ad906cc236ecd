"""Rules about rows as expressions of the engine: what `core.row_rules` parsed, compiled once, evaluated by column.

Decides what a rule makes of missing values: a comparison with one is unknown, and a rule that is unknown of a row does
not hold for it. Whoever wants missing values to pass says so: `x is missing or x > 0`.
"""

import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Final

import polars as pl

from holdfast.core.row_rules import Node

_ARITHMETIC: Final[Mapping[str, Callable[[pl.Expr, pl.Expr], pl.Expr]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_COMPARED: Final[Mapping[str, Callable[[pl.Expr, pl.Expr], pl.Expr]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_ON_ONE: Final[Mapping[str, Callable[[pl.Expr], pl.Expr]]] = {
    "not": operator.invert,
    "missing": lambda part: part.is_null(),
    "length": lambda part: part.str.len_chars(),
    "lower": lambda part: part.str.to_lowercase(),
}
_MICROSECONDS: Final = 3_600_000_000  # in an hour


def compiled(node: Node) -> pl.Expr:
    """Return a rule as an expression of truth, null where it is unknown."""
    if node.does in {"and", "or"}:
        return reduce(operator.and_ if node.does == "and" else operator.or_, [compiled(part) for part in node.parts])
    if node.does in {"column", "value"}:
        return pl.col(str(node.value)) if node.does == "column" else pl.lit(node.value)
    if node.does in _COMPARED:
        return _COMPARED[node.does](*(_finite(part) for part in node.parts))
    if node.does in _ON_ONE:
        return _ON_ONE[node.does](compiled(node.parts[0]))
    if node.does == "in":
        return compiled(node.parts[0]).is_in(list(node.value) if isinstance(node.value, tuple) else [])
    if node.does == "hours":
        first, second = (compiled(part) for part in node.parts)
        return (second - first).dt.total_microseconds() / _MICROSECONDS
    return _computed(node)


def _computed(node: Node) -> pl.Expr:
    numbers = [_number(part) for part in node.parts]
    if node.does in _ARITHMETIC:
        return _ARITHMETIC[node.does](*numbers)
    return numbers[0].abs() if node.does == "abs" else -numbers[0]


def _number(node: Node) -> pl.Expr:
    """Return a number as a float: whole numbers of the engine would wrap around in silence."""
    return pl.lit(node.value) if node.does == "value" else compiled(node).cast(pl.Float64)


def _finite(node: Node) -> pl.Expr:
    """Return one side of a comparison; what was computed and is no number is unknown, where the engine has an order."""
    side = compiled(node)
    if node.does in {*_ARITHMETIC, "negative", "abs"}:
        return pl.when(side.is_finite()).then(side)
    return side
