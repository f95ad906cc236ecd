"""Cleaning: text to values by exact, versioned rules, each of which counts what it changed.

Decides what a text means by the column's declared type: nothing is rounded, completed or guessed, and a text that is no
value of its type is a fault. Cleaning what is clean changes nothing. Bounds, allowed and required values are left to
`checking`.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from holdfast.core.project import Data
from holdfast.core.schema import Column, ColumnType
from holdfast.ingest import timestamps
from holdfast.ingest.raw import MAX_FIELD
from holdfast.ingest.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One cleaning rule: its name with its version, the measure that counts its changes, and what it does."""

    name: str
    counts: str
    does: str
    of_entities: bool = False  # applied only where the project says what tells entities apart
    decided: bool = False  # applied only where outliers are sorted, and persons decide about them


RULES: Final = (
    Rule(name="decided/1", counts="values_corrected", does="a value is what a person decided that it is", decided=True),
    Rule(name="trim/1", counts="values_trimmed", does="white space around a value is removed"),
    Rule(name="null-literal/1", counts="null_literals", does="a declared literal such as NULL becomes a missing value"),
    Rule(name="timestamp/1", counts="timestamps_normalised", does="a declared format becomes a moment in UTC"),
    Rule(
        name="entity-merge/1",
        counts="rows_merged",
        does="rows about one entity become one, and a trail keeps them",
        of_entities=True,
    ),
    Rule(
        name="entity-separate/1",
        counts="ids_separated",
        does="an entity whose id another one has gets its own",
        of_entities=True,
    ),
    Rule(name="duplicate/1", counts="duplicate_rows", does="of rows that say the same of one id the first is kept"),
)
"""What is done to every batch, in this order; a rule that changes other values gets another version."""

NUMBER: Final = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
INTEGER: Final = r"^[+-]?[0-9]+$"
_CONTROL: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"  # all of them but tab and line ends, which text may hold
_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """One column after cleaning: its values, its text where a fault must be shown, its faults, and what was changed."""

    values: pl.Series
    texts: pl.Series
    faults: tuple[tuple[Reason, pl.Series], ...]
    trimmed: int = 0
    null_literals: int = 0
    normalised: int = 0


def clean(raw: pl.Series, column: Column, data: Data) -> Cleaned:
    """Return a column's values.

    Args:
        raw: Text as read, or moments of a Parquet file.
        column: The column's declaration.
        data: The declared null literals and timestamp formats.

    Raises:
        InvalidProject: A timestamp format that cannot mean a moment.
    """
    if raw.dtype.is_temporal():
        return Cleaned(values=raw, texts=raw.cast(pl.String), faults=())
    texts = raw.str.strip_chars()
    trimmed = int((texts != raw).sum())
    literal = texts.is_in(list(data.null_literals))
    nulled = int((literal & (texts != "")).sum())  # an empty field is missing already: there was no literal to convert
    texts = texts.set(literal.fill_null(value=False), None)
    values, faults = _typed(texts, column, data)
    normalised = int(values.is_not_null().sum()) if column.type is ColumnType.TIMESTAMP else 0
    return Cleaned(
        values=values,
        texts=texts,
        faults=(*_unacceptable(texts), *faults),
        trimmed=trimmed,
        null_literals=nulled,
        normalised=normalised,
    )


def _unacceptable(texts: pl.Series) -> tuple[tuple[Reason, pl.Series], ...]:
    """Return the faults that a text can have whatever it should mean."""
    return (Reason.CONTROL, texts.str.contains(_CONTROL)), (Reason.TOO_LONG, texts.str.len_chars() > MAX_FIELD)


def _typed(texts: pl.Series, column: Column, data: Data) -> tuple[pl.Series, tuple[tuple[Reason, pl.Series], ...]]:
    match column.type:
        case ColumnType.FLOAT:
            number = texts.str.contains(NUMBER)
            values = texts.set(~number.fill_null(value=False), None).cast(pl.Float64, strict=False)
            values = values.set(values.is_infinite().fill_null(value=False), None)  # 1e999 is no number of 64 bits
            return values, ((Reason.NOT_FLOAT, texts.is_not_null() & values.is_null()),)
        case ColumnType.INTEGER:
            whole = texts.str.contains(INTEGER)
            values = texts.set(~whole.fill_null(value=False), None).cast(pl.Int64, strict=False)
            return values, ((Reason.NOT_INTEGER, texts.is_not_null() & values.is_null()),)
        case ColumnType.BOOLEAN:
            values = texts.str.to_lowercase().replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
            return values, ((Reason.NOT_BOOLEAN, texts.is_not_null() & values.is_null()),)
        case ColumnType.TIMESTAMP:
            place, zone = f"[data.columns.{texts.name}]", data.timestamp_zone
            moments = timestamps.parse(texts, data.timestamp_formats, place=place, zone=zone)
            return moments.values, (
                (Reason.NO_FORMAT, moments.unreadable),
                (Reason.TWO_MEANINGS, moments.ambiguous),
            )
        case ColumnType.STRING | ColumnType.CATEGORY:
            return texts, ()
