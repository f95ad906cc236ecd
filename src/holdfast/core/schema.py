"""Schemas: the columns of a table as declared, and the inputs and outputs of a model as promised.

One declaration serves the contract at ingest, the features, and the gateway's input validation.
"""

import math
from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.planning import Sensitivity
from holdfast.core.text import TextInput


class ColumnType(StrEnum):
    """What a column holds, once cleaned."""

    FLOAT = "float"
    INTEGER = "int"
    STRING = "string"
    CATEGORY = "category"
    BOOLEAN = "bool"
    TIMESTAMP = "timestamp"


class Use(StrEnum):
    """What a column is for; only `feature` columns reach a model as they are."""

    FEATURE = "feature"
    TEXT = "text"  # a model sees what a declared hashing makes of it
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
    described_by: str = ""  # the person who says what the column holds
    draft: bool = False  # made by a profile: held out until somebody describes it
    sensitivity: Sensitivity | None = None  # what it is at least; else what its use and the project's risk make it


def is_described(column: Column) -> bool:
    """Say whether a column may be learned from: a draft may not before a person has said what it holds."""
    return not column.draft or bool(column.description.strip() and column.described_by.strip())


def is_held(column: Column) -> bool:
    """Say whether a column goes into the data set: it is not personal, and somebody knows what it holds."""
    return column.use is not Use.PERSONAL and is_described(column)


class Online(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a signature says of an input that a gateway can look up: of which feature, and what may stand in for it."""

    view: str
    feature: str
    version: str  # digest of the view that the model was trained with
    entity: tuple[str, ...] = ()  # the columns by which the view knows an entity, and so what a caller names instead
    default: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None
    fresh_s: int = 0  # age of the view's newest event beyond which it is stale; 0: any


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One input of a model, in order: its name and the range it was declared and trained in."""

    name: str
    minimum: float | None = None
    maximum: float | None = None
    online: Online | msgspec.UnsetType = msgspec.UNSET  # the registered feature it is, where it is one
    whole: bool | msgspec.UnsetType = msgspec.UNSET  # true: of a column of whole numbers, or of yes and no


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model takes and gives: `inputs` in column order as float32, and the classes it answers with.

    Where it takes texts, the inputs that they become stand among the others; callers give the texts.
    """

    inputs: tuple[Field, ...]
    classes: tuple[str, ...]
    positive: str = ""  # the class whose probability is the score that is watched for drift; the last one if left out
    texts: tuple[TextInput, ...] | msgspec.UnsetType = msgspec.UNSET  # in order of place


def texts_of(signature: Signature) -> tuple[TextInput, ...]:
    """Return the texts that a model takes."""
    return () if signature.texts is msgspec.UNSET else signature.texts


def numbers_of(signature: Signature) -> tuple[int, ...]:
    """Return the places of the inputs that callers give as numbers: all that no text becomes."""
    made = {place for text in texts_of(signature) for place in range(text.at, text.end)}
    return tuple(place for place in range(len(signature.inputs)) if place not in made)


def entities_of(signature: Signature) -> tuple[str, ...]:
    """Return what a caller names whose call leaves out what can be looked up: the columns of the views' entities."""
    looked_up = [each.online for each in signature.inputs if isinstance(each.online, Online)]
    return tuple(dict.fromkeys(column for online in looked_up for column in online.entity))


def texts_fit(signature: Signature) -> bool:
    """Say whether each text has its inputs among the signature's, apart from those of the others, and a name."""
    taken: set[int] = set()
    names = {signature.inputs[place].name for place in numbers_of(signature)}
    for text in texts_of(signature):
        places = range(text.at, text.end)
        if text.at < 0 or text.end > len(signature.inputs) or not taken.isdisjoint(places) or text.name in names:
            return False
        taken.update(places)
        names.add(text.name)
    return True


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
    if column.use is Use.TEXT and column.type is not ColumnType.STRING:
        raise InvalidInput(f"a {column.type} is no text", place=place, expected="a string")
    if column.use is Use.FEATURE and column.type not in {ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN}:
        raise InvalidInput(f"a {column.type} cannot be a feature as it is", place=place, expected="float, int or bool")
