"""Views: which features a project declares over a data set, in order, and which classes its labels have."""

from typing import Final

import msgspec
import polars as pl

from holdfast.core.errors import InvalidData, InvalidProject
from holdfast.core.project import Project
from holdfast.core.schema import ColumnType, Use
from holdfast.core.text import bucket_name
from holdfast.engines.dataset import Stored
from holdfast.engines.transform import TRANSFORMS, Feature, View

MIN_CLASSES: Final = 2  # of one class there is nothing to learn
MAX_CLASSES: Final = 1_000  # more values than that are a measurement, not classes
RESERVED: Final = frozenset({"id", "label"})  # columns that every table of features has besides the features
PREFIXES: Final = ("slice:", "protected:")  # the same, for columns that quality and fairness are reported by


def view_of(project: Project, data: Stored) -> View:
    """Return the features of a project over a data set: listed columns or all, transforms, buckets of texts, views.

    A feature column that was held back as personal is left out where the project took all columns, and refused where
    the project names it: a list is a promise.

    Raises:
        InvalidData: A named column was held back, no column is left, or the labels are not classes.
        InvalidProject: A name stands twice or is reserved, or a transform takes other columns than those of use
        `feature`.
    """
    there = data.schema.of(Use.FEATURE)
    texts = project.features.texts
    named = (*project.features.columns, *(name for item in project.features.transforms for name in item.of), *texts)
    held_back = [name for name in named if name in data.schema.held_back]
    if held_back:
        raise InvalidData(
            f"column {held_back[0]!r} was held back: its values are personal data",
            place="[features]",
            expected="columns that hold no personal data",
        )
    columns = tuple(name for name in project.feature_columns if name in there)
    if not columns and not texts:
        raise InvalidData("every feature column was held back", place="[features]", expected="at least one column")
    own = tuple(Feature(name=name, of=(name,)) for name in columns) + _transforms(project, there)
    own += tuple(
        Feature(name=bucket_name(name, bucket), of=(name,), transform="hashed")
        for name, hashing in texts.items()
        for bucket in range(hashing.buckets)
    )
    features = own + tuple(Feature(name=name, of=(name,)) for name in project.features.use)
    _check_names([feature.name for feature in features])
    return View(features=features, classes=_classes(project, data), texts=texts or msgspec.UNSET)


def label_texts(project: Project, data: Stored) -> pl.Series:
    """Return every row's label as the text that names its class.

    Raises:
        InvalidData: The label is of a type whose values are no names.
    """
    column = project.data.columns[project.label]
    if column.type in {ColumnType.FLOAT, ColumnType.TIMESTAMP}:
        raise InvalidData(
            f"the label {project.label!r} is a {column.type}", place="[data.columns]", expected="category, int or bool"
        )
    return data.rows.get_column(project.label).cast(pl.String)


def _transforms(project: Project, there: tuple[str, ...]) -> tuple[Feature, ...]:
    made = []
    for item in project.features.transforms:
        place = f"[[features.transforms]] {item.name}"
        takes = TRANSFORMS[item.transform][0]
        if len(item.of) != takes:
            raise InvalidProject(f"{item.transform} of {len(item.of)} columns", place=place, expected=f"{takes}")
        strange = [name for name in item.of if name not in there]
        if strange:
            raise InvalidProject(f"{strange[0]!r} is not a column of use feature", place=place)
        made.append(Feature(name=item.name, of=item.of, transform=item.transform))
    return tuple(made)


def _check_names(names: list[str]) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidProject(f"two features are called {twice!r}", place="[features]", expected="distinct names")
    for name in names:
        if name in RESERVED or name.startswith(PREFIXES) or not name or not name.isprintable():
            raise InvalidProject(
                f"{name!r} cannot be a feature's name",
                place="[features]",
                expected=f"not {' or '.join(sorted(RESERVED))}, and without the prefix {' or '.join(PREFIXES)}",
            )


def _classes(project: Project, data: Stored) -> tuple[str, ...]:
    found = sorted(label_texts(project, data).unique())
    if not MIN_CLASSES <= len(found) <= MAX_CLASSES:
        raise InvalidData(
            f"the label {project.label!r} has {len(found)} classes",
            place="[data.columns]",
            expected=f"{MIN_CLASSES} to {MAX_CLASSES}",
        )
    if project.train.positive not in found:
        raise InvalidData(
            f"no row has the positive label {project.train.positive!r}",
            place="[train].positive",
            expected=f"one of {', '.join(found[:10])}",
        )
    return tuple(found)
