"""Feature code over tables: the meaning that `expressions` gives one row, said to Polars.

What is not the same bit for bit is a defect of one of the two: `tests/properties` and the parity control look for it.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl

from holdfast.engines.expressions import Expression, Node

Wall: TypeAlias = Any  # `Expr.dt` of a moment in the view's zone

TYPES: Final[dict[str, Any]] = {
    "float": pl.Float64,
    "int": pl.Int64,
    "bool": pl.Boolean,
    "string": pl.String,
    "timestamp": pl.Int64,  # microseconds since 1970, UTC
}
_MICROSECONDS: Final = 1e6
_FRIDAY: Final = 5


def seconds(microseconds: pl.Expr) -> pl.Expr:
    """Return a number of microseconds in seconds."""
    return _divided(microseconds, pl.lit(_MICROSECONDS))


def _divided(first: pl.Expr, second: pl.Expr) -> pl.Expr:
    """Return a quotient as IEEE 754 rounds it: by a single divisor, Polars multiplies by its reciprocal."""
    missing = first.is_null() | second.is_null()
    return pl.when(~missing).then(pl.map_batches([first, second], _quotients, return_dtype=pl.Float64))


def _quotients(parts: Sequence[pl.Series]) -> pl.Series:
    with np.errstate(all="ignore"):
        return pl.Series(np.divide(parts[0].to_numpy(), parts[1].to_numpy()))


_MEANS: Final[dict[str, Callable[..., pl.Expr]]] = {
    "where": lambda condition, yes, no: pl.when(condition).then(yes).otherwise(no),
    "is_missing": lambda value: value.is_null(),
    "fill": lambda value, other: pl.when(value.is_null()).then(other).otherwise(value),
    "and": lambda *parts: pl.all_horizontal(parts),
    "or": lambda *parts: pl.any_horizontal(parts),
    "not": operator.inv,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "number": lambda value: value.cast(pl.Float64),
    "negative": operator.neg,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "abs": lambda value: value.abs(),
    "sqrt": lambda value: value.sqrt(),
    "log": lambda value: value.log(),
    "log1p": lambda value: value.log1p(),
    "exp": lambda value: value.exp(),
    "floor": lambda value: value.floor(),
    "length": lambda text: text.str.len_chars(),
    "seconds_between": lambda first, second: seconds((first - second).cast(pl.Float64)),
}


def _day(wall: Wall) -> pl.Expr:
    day: pl.Expr = wall.day().cast(pl.Int64)
    return day


def _days(wall: Wall) -> pl.Expr:
    """Return how many days a month has: of the date, because a wall clock may skip the moment at its end."""
    days: pl.Expr = wall.date().dt.month_end().dt.day().cast(pl.Int64)
    return days


def _friday_of_payday(wall: Wall, day: int) -> pl.Expr:
    paid = pl.min_horizontal(pl.lit(day, dtype=pl.Int64), _days(wall))
    paid_today: pl.Expr = (wall.weekday() == _FRIDAY) & (paid - _day(wall)).is_between(0, 2)
    return paid_today


def _between(wall: Wall, begin: str, end: str) -> pl.Expr:
    now = wall.hour().cast(pl.Int64) * 60 + wall.minute().cast(pl.Int64)
    first, last = (int(text[:2]) * 60 + int(text[3:]) for text in (begin, end))
    inside: pl.Expr = (now >= first) & (now < last) if first <= last else (now >= first) | (now < last)
    return inside


_CALENDAR: Final[dict[str, Callable[..., pl.Expr]]] = {
    "hour": lambda wall: wall.hour(),
    "minute": lambda wall: wall.minute(),
    "weekday": lambda wall: wall.weekday(),
    "day": lambda wall: wall.day(),
    "month": lambda wall: wall.month(),
    "weekend": lambda wall: wall.weekday() > _FRIDAY,
    "lunch_break": lambda wall: _between(wall, "11:30", "15:00"),
    "time_between": _between,
    "last_friday": lambda wall: (wall.weekday() == _FRIDAY) & (_day(wall) + 7 > _days(wall)),
    "payday_friday": _friday_of_payday,
}
MEANT: Final = frozenset(_MEANS) | frozenset(_CALENDAR)
"""Every operation that has a meaning over tables; a test compares it with the language."""


def compiled(expression: Expression, zone: str) -> pl.Expr:
    """Return an expression over a frame whose columns have the types of `TYPES`."""
    return _polars(expression.root, zone).cast(TYPES[expression.type])


def _polars(node: Node, zone: str) -> pl.Expr:
    if node.op == "column":
        return pl.col(str(node.value))
    if node.op == "literal":
        return pl.lit(node.value, dtype=TYPES[node.type])
    if node.op in _CALENDAR:
        moment, *settings = node.parts
        wall = _polars(moment, zone).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone).dt
        found = _CALENDAR[node.op](wall, *(each.value for each in settings))
    else:
        found = _MEANS[node.op](*(_polars(part, zone) for part in node.parts))
    typed: pl.Expr = found.cast(TYPES[node.type])
    return typed
