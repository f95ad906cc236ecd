"""Sensitivity: the class of each column, of the data set and of the model, derived from what the project declares.

Decides classes only. Whoever handles a value acts on its class: ingest on what it shows of a refused row, the tier on
how strictly a model is controlled, the endpoint on how finely it answers.
"""

from collections.abc import Iterable
from typing import Final

from holdfast.core.planning import CLASSES, Sensitivity
from holdfast.core.project import Project
from holdfast.core.schema import Column, Use

BY_USE: Final = {Use.PERSONAL: Sensitivity.PERSONAL, Use.PROTECTED: Sensitivity.CONFIDENTIAL}
"""What a column is at least, whatever it is declared: an attribute that the law protects is told to nobody."""

WITHHELD: Final = frozenset({Sensitivity.CONFIDENTIAL, Sensitivity.PERSONAL})
"""Classes of which no value is shown in what people read, and no fine answer is given."""


def most(classes: Iterable[Sensitivity]) -> Sensitivity:
    """Return the most sensitive of some classes; of none, the most sensitive there is: unknown is not harmless."""
    return max(classes, key=CLASSES.index, default=CLASSES[-1])


def of_column(column: Column) -> Sensitivity | None:
    """Return the class of a column by its own declaration and use, or None where neither says anything."""
    said = [each for each in (column.sensitivity, BY_USE.get(column.use)) if each is not None]
    return most(said) if said else None


def of_columns(project: Project) -> dict[str, Sensitivity]:
    """Return the class of every declared column; where nothing is said of one, it is as sensitive as the project."""
    risk = Sensitivity(project.risk.sensitivity)
    return {name: of_column(column) or risk for name, column in project.data.columns.items()}


def of_dataset(project: Project) -> Sensitivity:
    """Return the class of the data set: at least that of its most sensitive column, and of the declared risk."""
    return most([Sensitivity(project.risk.sensitivity), *of_columns(project).values()])


def of_model(project: Project) -> Sensitivity:
    """Return the class of the model: that of its data, which it may give away."""
    return of_dataset(project)


def withheld(project: Project) -> tuple[str, ...]:
    """Return the columns of which no value may be shown, by their own class."""
    return tuple(name for name, column in project.data.columns.items() if of_column(column) in WITHHELD)
