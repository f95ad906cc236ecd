"""Screening of a table for poison: which rows are suspect, by which screen, and what is measured of the whole.

Decides which columns the screens see and how findings are worded. A suspect row is set before people, never dropped:
policies say how many are too many, and `data screen --out` parts the rows at a person's word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from holdfast.core.control import NotApplicable, Report
from holdfast.core.errors import InvalidData
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.engines.dataset import Dataset
from holdfast.engines.screens.material import Column, Material, from_columns
from holdfast.engines.screens.screening import ALARMS, LEAST, Screened, screen

MAX_CLASSES: Final = 100  # of a label; a column with more values is a number, and no class can be far from it
SENTENCE: Final = 3.0  # words that the values of a column have on average, from which on it holds sentences
NAMELIKE: Final = 0.9  # share of distinct values from which on a column of short texts names its rows
LISTED: Final = 100  # suspects that are findings; the count of all is a measure
SEED: Final = 0x5C4EE9  # of folds and random features: the same rows give the same suspects
WORDS: Final = {
    "label": "its label is not what rows like it bear",
    "spectrum": "it stretches its class like few others",
    "trigger": "it bears a pattern that brings a label along",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows ready to be screened.

    Attributes:
        columns: What the screens see, by name.
        texts: Which of them hold sentences.
        classes: The values of the label, in order.
        labels: Index of each row's value, shape (m,).
        kept: Which rows have a label, as indices into the table, shape (m,).
    """

    columns: dict[str, Column]
    texts: tuple[str, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    kept: np.ndarray

    @property
    def material(self) -> Material:
        """The rows as the screens take them."""
        return from_columns(self.columns, self.labels, len(self.classes), texts=self.texts)


def tabulate(rows: pl.DataFrame, label: str, features: Sequence[str]) -> Table:
    """Return rows with a label, and the columns that say something about them.

    Raises:
        InvalidData: There is no such label, it has too many values, or too few rows have one.
    """
    if label not in rows.columns:
        raise InvalidData(f"there is no column {label[:80]!r}", place="--label", expected=", ".join(rows.columns)[:300])
    given = rows[label].cast(pl.String, strict=False)
    kept = np.flatnonzero(given.is_not_null().to_numpy())
    classes, labels = np.unique(given.to_numpy()[kept].astype(np.str_), return_inverse=True)
    if len(classes) > MAX_CLASSES:
        words = f"the label has {len(classes)} values"
        raise InvalidData(words, place=label, expected=f"at most {MAX_CLASSES} classes")
    if len(kept) < LEAST or len(classes) < 2:  # noqa: PLR2004 - one class has nothing to be mistaken for
        words = f"{len(kept)} rows of {len(classes)} classes have a label"
        raise InvalidData(words, place=label, expected=f"at least {LEAST} rows of two classes")
    table = rows[kept.tolist()] if len(kept) < len(rows) else rows
    columns, texts = _columns(table, [name for name in features if name != label])
    if not columns:
        raise InvalidData("beside the label no column says anything", place=label)
    return Table(
        columns=columns,
        texts=texts,
        classes=tuple(str(each) for each in classes),
        labels=labels.astype(np.int64),
        kept=kept,
    )


def _columns(table: pl.DataFrame, names: Sequence[str]) -> tuple[dict[str, Column], tuple[str, ...]]:
    columns: dict[str, Column] = {}
    texts = []
    for name in names:
        series = table[name]
        if series.dtype.is_temporal() or series.dtype.is_nested():
            continue
        numbers = series.cast(pl.Float64, strict=False)
        if numbers.is_finite().fill_null(value=False).sum() * 2 > len(table):
            values = numbers.fill_null(float("nan")).to_numpy().astype(np.float64)
            if len(np.unique(values)) > 1:
                columns[name] = np.where(np.isfinite(values), values, np.nan)
            continue
        words = series.cast(pl.String).fill_null("").str.strip_chars()
        if float(words.str.count_matches(r"\S+").mean() or 0.0) >= SENTENCE:  # type: ignore[arg-type]  # of numbers
            texts.append(name)
        elif not 1 < words.n_unique() <= NAMELIKE * len(table):
            continue
        columns[name] = words.to_numpy().astype(np.str_)
    return columns, tuple(texts)


def screened(table: Table, *, alarms: float = ALARMS, trusted: np.ndarray | None = None) -> Screened:
    """Return what the screens find; the same rows give the same answer."""
    return screen(table.material, seed=SEED, alarms=alarms, trusted=trusted)


def measures(table: Table, found: Screened) -> tuple[Measure, ...]:
    """Return the shares of suspect rows, in all and by screen; of the very table, so without an interval."""
    n = len(table.labels)
    by = {name: int((found.by[found.suspects] == name).sum()) for name in WORDS}
    return (
        exactly("screened_rows", n),
        exactly("suspect_share", len(found.suspects) / n, n=n),
        *(exactly(f"suspect_by_{name}_share", count / n, n=n) for name, count in by.items()),
        exactly("triggers", len(found.triggers), n=n),
        exactly("turned_label_share", float(1 - np.diag(found.channel).min()), n=n),
        exactly("stated_alarm_share", found.alarms),
    )


def findings(table: Table, found: Screened) -> tuple[Finding, ...]:
    """Return the triggers, and the most suspect rows by their number in the table, from 1."""
    triggers = [
        Finding(
            place=" and ".join(each.facts)[:300],
            severity=Severity.HIGH,
            rule="screen.trigger",
            message=f"{len(each.rows)} rows bear it, {each.purity:.0%} of them labelled {table.classes[each.label]!r}; "
            f"rows like them without it are so labelled in {each.expected:.0%}",
        )
        for each in found.triggers
    ]
    rows = [
        Finding(
            place=f"row {int(table.kept[row]) + 1}",
            severity=Severity.MEDIUM,
            rule=f"screen.{found.by[row]}",
            message=f"{WORDS[str(found.by[row])]} ({found.share[row]:.2%} of honest rows look as bad)",
        )
        for row in found.suspects[:LISTED]
    ]
    return (*triggers, *rows)


def report(dataset: Dataset, project: Project) -> Report | NotApplicable:
    """Return what the screens find in the rows of a data set as stored; it names them by their ids nowhere.

    Raises:
        InvalidData: The rows cannot be screened.
    """
    rows = dataset.rows
    labelled = rows[project.label].is_not_null().sum()
    if labelled < LEAST:
        return NotApplicable(reason=f"{labelled} labelled rows are too few to learn what honest ones look like")
    features = [name for use in (Use.FEATURE, Use.TEXT) for name in project.columns_of(use) if name in rows.columns]
    table = tabulate(rows, project.label, features)
    found = screened(table)
    facts = {
        "label": project.label,
        "columns": ", ".join(table.columns)[:2000],
        "screens": "class-adjusted confident learning with channel, spectral signatures, trigger mining",
        "calibration": "labels drawn from out-of-fold beliefs",
    }
    return Report(measures=measures(table, found), findings=findings(table, found), facts=facts)
