"""Transforms of columns into features: the one code that training and serving both run.

Decides how a declared transform is computed and when it has no value. Knows numpy and nothing else, so that a gateway
can use it; leaves to `features` which columns there are, and to models how they cope with a missing value (NaN).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import Digest, digest_json
from holdfast.core.errors import InvalidData
from holdfast.core.text import Hashing, bucket_name
from holdfast.engines.texts import hashed

Floats: TypeAlias = NDArray[np.float64]
MAX_FLOAT32: Final = float(np.finfo(np.float32).max)  # models take 32-bit floats; more would reach them as infinity


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One input of a model: its name, and the transform of which columns it is.

    `column`: the column itself; `hashed`: one bucket of a text, which stands among the columns under its own name.
    """

    name: str
    of: tuple[str, ...]
    transform: Literal["column", "log1p", "square", "ratio", "difference", "hashed"] = "column"


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that turns columns into a model's inputs, in order, and what its answers are called.

    `version` is that of the arithmetic below: it rises when a transform would give other numbers.
    """

    features: tuple[Feature, ...]
    classes: tuple[str, ...]
    version: Literal[1] = 1
    texts: dict[str, Hashing] | msgspec.UnsetType = msgspec.UNSET  # by column of text

    @property
    def hashings(self) -> Mapping[str, Hashing]:
        """How each column of text is hashed; none where there is none."""
        return {} if self.texts is msgspec.UNSET else self.texts

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of a model's inputs."""
        return tuple(feature.name for feature in self.features)

    @property
    def digest(self) -> Digest:
        """The digest of its canonical JSON: equal for equal features in equal order."""
        return digest_json(self)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return numerator / denominator


HASHED: Final = "hashed"  # the one transform that is not of numbers: see `text_columns`
TRANSFORMS: Final[dict[str, tuple[int, Callable[..., Any]]]] = {
    "column": (1, lambda values: values),
    "log1p": (1, np.log1p),
    "square": (1, np.square),
    "ratio": (2, _ratio),
    "difference": (2, np.subtract),
}
"""Each transform by name: how many columns it takes, and its function of them."""


def apply(features: Sequence[Feature], columns: Mapping[str, Floats]) -> Floats:
    """Return the features, shape (n, features), float64, in order.

    Args:
        features: What to compute.
        columns: Values by column name, each of shape (n,); NaN where a value is missing, which makes the feature NaN.

    Raises:
        InvalidData: A column is missing, a transform takes another number of columns, or has no finite value that a
            32-bit float can hold for a row whose columns are all present (log1p of -1 or less, a ratio by zero).
    """
    computed = [_compute(feature, columns) for feature in features]
    if not computed:  # empty means no: a model without inputs would answer from nothing
        raise InvalidData("a view without features", expected="at least one feature")
    return np.column_stack(computed)


def text_columns(hashings: Mapping[str, Hashing], texts: Mapping[str, Sequence[str | None]]) -> dict[str, Floats]:
    """Return every bucket of every text as a column, by the bucket's name.

    Raises:
        InvalidData: A column is missing, or a text is too long.
    """
    absent = [name for name in hashings if name not in texts]
    if absent:
        raise InvalidData(f"there is no column {absent[0]!r}", expected="a column of text of the data set")
    found: dict[str, Floats] = {}
    for name, hashing in hashings.items():
        rows = hashed(hashing, texts[name], place=f"column {name}")
        found |= {bucket_name(name, bucket): rows[:, bucket] for bucket in range(hashing.buckets)}
    return found


def _compute(feature: Feature, columns: Mapping[str, Floats]) -> Floats:
    place = f"feature {feature.name}"
    if feature.transform == HASHED:
        if feature.name not in columns:
            raise InvalidData(f"there is no column {feature.name!r}", place=place, expected="the text, hashed")
        return columns[feature.name]  # a row of them has length 1 at most: nothing to look for
    takes, function = TRANSFORMS[feature.transform]
    if len(feature.of) != takes:
        raise InvalidData(f"{feature.transform} of {len(feature.of)} columns", place=place, expected=f"{takes}")
    absent = [name for name in feature.of if name not in columns]
    if absent:
        raise InvalidData(f"there is no column {absent[0]!r}", place=place, expected="a feature column of the data set")
    inputs = [np.asarray(columns[name], dtype=np.float64) for name in feature.of]
    with np.errstate(all="ignore"):  # what has no value is found below, and refused with its row
        values = np.asarray(function(*inputs), dtype=np.float64)
    missing = np.any([np.isnan(column) for column in inputs], axis=0)
    impossible = ~missing & ~(np.abs(values) <= MAX_FLOAT32)  # NaN fails the comparison too
    if impossible.any():
        row = int(np.argmax(impossible))
        given = ", ".join(f"{name} = {column[row]:g}" for name, column in zip(feature.of, inputs, strict=True))
        raise InvalidData(
            f"{feature.transform} has no 32-bit value for {given}, and for {int(impossible.sum()) - 1} more rows",
            place=f"{place}, row {row}",
            expected="columns whose declared range keeps the transform finite",
            remedy="Narrow minimum and maximum of these columns under [data.columns], or choose another transform.",
        )
    return values
