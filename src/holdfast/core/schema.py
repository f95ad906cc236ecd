"""Schemas: the columns of a table as declared, and the inputs and outputs of a model as promised.

One declaration serves the contract at ingest, the features, and the gateway's input validation.
"""

import math
from enum import StrEnum

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.planning import Sensitivity


class ColumnType(StrEnum):
    """What a column holds, once cleaned."""

    FLOAT = "float"
    INTEGER = "int"
    STRING = "string"
    CATEGORY = "category"
    BOOLEAN = "bool"
    TIMESTAMP = "timestamp"


class Use(StrEnum):
    """What a column is for; only `feature` columns reach a model."""

    FEATURE = "feature"
    LABEL = "label"
    ID = "id"
    TIME = "time"
    SLICE = "slice"  # quality is reported per value
    PROTECTED = "protected"  # fairness is measured per value; never a feature by default
    PERSONAL = "personal"  # must not get through: dropped, and its presence recorded
    IGNORED = "ignored"


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One declared column."""

    type: ColumnType
    use: Use = Use.FEATURE
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] = ()
    unit: str = ""
    description: str = ""
    sensitivity: Sensitivity | None = None  # what it is at least; else what its use and the project's risk make it


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One input of a model, in order: its name and the range it was declared and trained in."""

    name: str
    minimum: float | None = None
    maximum: float | None = None


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model takes and gives: `inputs` in column order as float32, and the classes it answers with."""

    inputs: tuple[Field, ...]
    classes: tuple[str, ...]
    positive: str = ""  # the class whose probability is the score that is watched for drift; the last one if left out


def check_column(name: str, column: Column) -> None:
    """Check one declaration.

    Raises:
        InvalidInput: Bounds on something without order, bounds that exclude everything or nothing, or values of no
            category.
    """
    place = f"[data.columns.{name}]"
    numeric = column.type in {ColumnType.FLOAT, ColumnType.INTEGER}
    if not numeric and (column.minimum is not None or column.maximum is not None):
        raise InvalidInput(f"minimum and maximum of a {column.type}", place=place, expected="a float or an int")
    if not all(math.isfinite(bound) for bound in (column.minimum, column.maximum) if bound is not None):
        raise InvalidInput("a bound that is no number", place=place, expected="not inf or nan, which bound nothing")
    if column.minimum is not None and column.maximum is not None and column.minimum > column.maximum:
        raise InvalidInput("minimum above maximum", place=place)
    if column.allowed and column.type not in {ColumnType.CATEGORY, ColumnType.STRING}:
        raise InvalidInput(f"allowed values of a {column.type}", place=place, expected="a category or a string")
    if column.use is Use.FEATURE and column.type not in {ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN}:
        raise InvalidInput(f"a {column.type} cannot be a feature as it is", place=place, expected="float, int or bool")
