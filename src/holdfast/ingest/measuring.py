"""Measuring a batch: one number for each check of the whole, all that can be are taken in one pass.

Decides the definitions; bounds are left to `core.checks`. What cannot be measured gives no number and says why.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from holdfast.core.checks import Check
from holdfast.core.errors import without_values
from holdfast.maths.distances import ks_two_sample, population_stability_index, psi_from_counts

Measured = tuple[float | None, str]


def measure(
    frame: pl.DataFrame, checks: Sequence[Check], references: Mapping[str, pl.DataFrame], now: datetime | None
) -> list[Measured]:
    """Return for each check what was measured, and why not where nothing was."""
    taken = {index: found for index, check in enumerate(checks) if (found := _expression(check)) is not None}
    try:
        row = frame.select(found.alias(str(index)) for index, found in taken.items()).row(0) if taken else ()
    except pl.exceptions.PolarsError as error:
        row = tuple(None for _ in taken)
        return [(None, without_values(error)) for _ in checks]
    values = dict(zip(taken, row, strict=True))
    return [
        _number(values[index]) if index in values else _apart(frame, check, references, now)
        for index, check in enumerate(checks)
    ]


def _number(value: object) -> Measured:
    if isinstance(value, bool | int | float):
        return float(value), ""
    return None, "there is no value to measure"


def _expression(check: Check) -> pl.Expr | None:
    """Return what is measured as one number of the engine, or None where it takes more than an expression."""
    if check.kind == "rows":
        return pl.len()
    key = pl.struct(check.columns) if len(check.columns) > 1 else pl.col(check.columns[0])
    counted = _counted(check, key)
    if counted is not None:
        return counted / pl.len() if check.kind.endswith("_share") else counted
    match check.kind:
        case "distinct":
            return key.drop_nulls().n_unique()
        case "minimum":
            return key.min()
        case "maximum":
            return key.max()
        case "mean":
            return key.mean()
    return None


def _counted(check: Check, key: pl.Expr) -> pl.Expr | None:
    """Return the number of rows of one kind."""
    match check.kind:
        case "nulls" | "null_share":
            return key.null_count()
        case "missing" | "missing_share":
            return (key.is_null() | key.cast(pl.String).is_in(list(check.values))).sum()
        case "invalid" | "invalid_share":
            text = key.cast(pl.String)
            valid = text.str.contains(f"^(?:{check.pattern})$") if check.pattern else text.is_in(list(check.values))
            return (~valid).sum()
        case "duplicates" | "duplicate_share":
            whole = pl.all_horizontal(pl.col(name).is_not_null() for name in check.columns)
            return (key.is_duplicated() & whole).sum()
    return None


def _apart(frame: pl.DataFrame, check: Check, references: Mapping[str, pl.DataFrame], now: datetime | None) -> Measured:
    name = check.columns[0]
    live = frame.get_column(name).drop_nulls()
    if live.len() == 0:
        return None, "there is no value to measure"
    if check.kind == "age_h":
        newest = live.max()
        if now is None or not isinstance(newest, datetime):
            return None, "there is no clock"
        return (now - newest).total_seconds() / 3600, ""
    found = references.get(check.against)
    if found is None or name not in found.columns:
        return None, f"the reference {check.against!r} is not there, or lacks the column"
    reference = found.get_column(name).drop_nulls()
    if reference.len() == 0:
        return None, "the reference holds no value"
    return _distance(check, reference, live)


def _distance(check: Check, reference: pl.Series, live: pl.Series) -> Measured:
    if not live.dtype.is_numeric():
        first, second = (_tally(series) for series in (reference, live))
        cells = sorted(first.keys() | second.keys())
        return psi_from_counts([first.get(cell, 0) for cell in cells], [second.get(cell, 0) for cell in cells]), ""
    if not reference.dtype.is_numeric():
        return None, "the reference holds no numbers"
    one, two = (series.cast(pl.Float64).to_numpy() for series in (reference, live))
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        return None, "not every value is a number"
    if check.kind == "ks":
        return ks_two_sample(one, two).statistic, ""
    return population_stability_index(one, two), ""


def _tally(series: pl.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in series.cast(pl.String).value_counts().iter_rows()}
