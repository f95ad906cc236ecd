"""assess.slices/1: accuracy in each group of rows, and in the one of which least good can be said."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.assess.case import Case, bounded
from holdfast.core.control import Report
from holdfast.core.errors import InvalidData
from holdfast.core.evidence import Measure
from holdfast.maths.intervals import bonferroni, wilson

NAME: Final = "assess.slices/1"
MAX_SLICES: Final = (
    1000  # values of all columns together; more are an identifier, and each would hold a handful of rows
)


def measure(case: Case) -> Report:
    """Return `accuracy:<column>=<value>` for each slice with Wilson's 95 % interval, and `worst_slice_accuracy`.

    The worst slice is the one with the lowest lower bound: a slice too small to know is the worst. Its interval holds
    for all slices at once (Bonferroni), because it was picked among them. Without declared slices each class is one.

    Raises:
        InvalidData: More slices than anybody could look at.
    """
    groups = dict(case.slices) or {case.label: _classes(case)}
    found = [(column, str(value), values == value) for column, values in groups.items() for value in np.unique(values)]
    if len(found) > MAX_SLICES:
        raise InvalidData(f"{len(found)} slices", place="[data.columns]", expected=f"at most {MAX_SLICES}")
    right = case.predicted == case.labels
    level = bonferroni(0.95, len(found))
    measures, together = [], []
    for column, value, there in found:
        hits, rows = int(right[there].sum()), int(there.sum())
        measures.append(bounded(f"accuracy:{column}={value}", wilson(hits, rows)))
        together.append((wilson(hits, rows, level), f"{column}={value}"))
    worst, name = min(together, key=lambda item: (item[0].low, item[1]))
    return Report(measures=(bounded("worst_slice_accuracy", worst), *_distinct(measures)), facts={"worst_slice": name})


def _classes(case: Case) -> NDArray[np.str_]:
    return np.array(case.signature.classes, dtype=np.str_)[case.labels]


def _distinct(measures: list[Measure]) -> tuple[Measure, ...]:
    """Refuse two slices of one name, which a `=` in column and value could make."""
    if len({item.name for item in measures}) != len(measures):
        raise InvalidData("two slices have one name", place="[data.columns]", expected="column names without =")
    return tuple(measures)
