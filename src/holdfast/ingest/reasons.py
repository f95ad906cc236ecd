"""Why rows are set aside: every reason by code, in words, and a table of which row has which."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import polars as pl


class Reason(StrEnum):
    """A stable code for one way in which a row breaks the contract."""

    RAGGED = "ragged-row"
    MALFORMED = "malformed-row"
    UNDECODABLE = "undecodable-bytes"
    CONTROL = "control-character"
    TOO_LONG = "field-too-long"
    MISSING = "missing-value"
    NOT_FLOAT = "not-a-number"
    NOT_INTEGER = "not-an-integer"
    NOT_BOOLEAN = "not-a-boolean"
    NOT_ALLOWED = "not-an-allowed-value"
    BELOW = "below-minimum"
    ABOVE = "above-maximum"
    NO_FORMAT = "timestamp-unreadable"
    TWO_MEANINGS = "timestamp-ambiguous"
    COPY = "duplicate-row"
    CONFLICT = "conflicting-duplicate"
    MERGED = "merged-into-another"
    RULE = "breaks-a-rule"
    PATTERN = "not-of-the-pattern"
    LENGTH = "length-out-of-bounds"
    NOT_UNIQUE = "not-unique"
    NO_REFERENCE = "refers-to-nothing"
    LIKELY_ERROR = "likely-error"
    DOUBTFUL = "doubtful-value"
    DECIDED = "decided-by-a-person"


WORDS: Final = {
    Reason.RAGGED: "the row has more or fewer fields than the header",
    Reason.MALFORMED: "the row is not well-formed",
    Reason.UNDECODABLE: "a field holds bytes that are not UTF-8",
    Reason.CONTROL: "a field holds control characters",
    Reason.TOO_LONG: "a field is longer than any value of a table",
    Reason.MISSING: "a value is missing where one is required",
    Reason.NOT_FLOAT: "the value is not a finite decimal number",
    Reason.NOT_INTEGER: "the value is not a whole number of 64 bits",
    Reason.NOT_BOOLEAN: "the value is not one of true, false, 1 and 0",
    Reason.NOT_ALLOWED: "the value is not among the allowed ones",
    Reason.BELOW: "the value is below the declared minimum",
    Reason.ABOVE: "the value is above the declared maximum",
    Reason.NO_FORMAT: "the timestamp fits none of the declared formats",
    Reason.TWO_MEANINGS: "the timestamp means different moments in different declared formats",
    Reason.COPY: "an earlier row says exactly the same",
    Reason.CONFLICT: "another row has this id and says something else",
    Reason.MERGED: "another row is about the same entity, and this one was merged into it",
    Reason.RULE: "a rule of the contract does not hold for the row",
    Reason.PATTERN: "the value does not have the pattern that the contract demands",
    Reason.LENGTH: "the value is shorter or longer than the contract allows",
    Reason.NOT_UNIQUE: "other rows hold the same, where the contract demands that each is the only one",
    Reason.NO_REFERENCE: "the value is not among those that the contract refers to",
    Reason.LIKELY_ERROR: "the value lies out and is likely an error: `holdfast data review list` says why",
    Reason.DOUBTFUL: "the value lies out and is doubtful: it waits for a person's decision",
    Reason.DECIDED: "a person has decided that the value may not be used",
}

STRUCTURAL: Final = frozenset({Reason.RAGGED, Reason.MALFORMED, Reason.UNDECODABLE})
"""Reasons against a record as a whole; their detail is words about it, never its contents: columns may have shifted."""

FAULTS: Final = pl.Schema({"row": pl.Int64, "code": pl.String, "column": pl.String, "detail": pl.String})
"""A table of faults: number of the row in the source from 1, reason, column or "", and what was found there or ""."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One reason why one row is set aside; `detail` is the offending value, or words where the row has no columns."""

    row: int
    code: Reason
    column: str = ""
    detail: str = ""


def fault_table(faults: Iterable[Fault]) -> pl.DataFrame:
    """Return single faults as a table."""
    rows = [(fault.row, fault.code.value, fault.column, fault.detail) for fault in faults]
    return pl.DataFrame(rows, schema=FAULTS, orient="row")


def faults_where(mask: pl.Series, *, rows: pl.Series, code: Reason, column: str, values: pl.Series) -> pl.DataFrame:
    """Return the faults of one check: one for each row where the mask is true.

    Args:
        mask: Boolean, one per row; missing counts as no fault.
        rows: The rows' numbers in the source.
        code: The reason.
        column: The column that was checked.
        values: The offending values as text.
    """
    found = pl.DataFrame({"row": rows, "detail": values, "mask": mask.fill_null(value=False)}).filter("mask")
    return found.select(
        pl.col("row").cast(pl.Int64),
        pl.lit(code.value).alias("code"),
        pl.lit(column).alias("column"),
        pl.col("detail").fill_null(""),
    )


def merged(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return one table of all faults, by row."""
    every = pl.concat([pl.DataFrame(schema=FAULTS), *tables])
    return every.sort("row", "column", "code", maintain_order=True)
