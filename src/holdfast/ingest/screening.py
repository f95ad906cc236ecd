"""Screening of a table for poison: which rows are suspect, by which screen, and what is measured of the whole.

Decides which columns the screens see and how findings are worded. A suspect row is set before people, never dropped:
policies say how many are too many, and `data screen --out` parts the rows at a person's word.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from holdfast.core.control import NotApplicable, Report
from holdfast.core.errors import InvalidData
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.engines.dataset import Stored
from holdfast.engines.packed import Columns as Rows
from holdfast.engines.packed import Packed, counted
from holdfast.engines.screens.lenses import Column, Names
from holdfast.engines.screens.material import Learned, Material, from_columns, learned
from holdfast.engines.screens.screening import ALARMS, LEAST, SCREENS, Screened, screen

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
        columns: What the screens see, by name; of packed rows each is opened when it is asked for.
        texts: Which of them hold sentences.
        classes: The values of the label, in order.
        labels: Index of each row's value, shape (m,).
        kept: Which rows have a label, as indices into the table, shape (m,).
    """

    columns: Mapping[str, Column]
    texts: tuple[str, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    kept: np.ndarray

    @property
    def material(self) -> Material:
        """The rows as the screens take them."""
        return from_columns(self.columns, self.labels, len(self.classes), texts=self.texts)

    @property
    def learned(self) -> Learned:
        """The rows as the screens take them where there are many: a part at a time."""
        return learned(self.columns, self.labels, len(self.classes), texts=self.texts)


def tabulate(rows: Rows, label: str, features: Sequence[str]) -> Table:
    """Return rows with a label, and the columns that say something about them.

    Raises:
        InvalidData: There is no such label, it has too many values, or too few rows have one.
    """
    if label not in rows.columns:
        raise InvalidData(f"there is no column {label[:80]!r}", place="--label", expected=", ".join(rows.columns)[:300])
    given = rows.get_column(label).cast(pl.String, strict=False)
    kept = np.flatnonzero(given.is_not_null().to_numpy())
    named = _names(given.drop_nulls())
    classes = tuple(str(each) for each in named.distinct)
    if len(classes) > MAX_CLASSES:
        words = f"the label has {len(classes)} values"
        raise InvalidData(words, place=label, expected=f"at most {MAX_CLASSES} classes")
    if len(kept) < LEAST or len(classes) < 2:  # noqa: PLR2004 - one class has nothing to be mistaken for
        words = f"{len(kept)} rows of {len(classes)} classes have a label"
        raise InvalidData(words, place=label, expected=f"at least {LEAST} rows of two classes")
    opened = _Opened(rows, kept, {})
    texts = []
    for name in features:
        sort = _sort(opened.series(name)) if name != label else None
        if sort is not None:
            opened.sorts[name] = sort
            texts += [name] if sort == "sentences" else []
    if not opened.sorts:
        raise InvalidData("beside the label no column says anything", place=label)
    columns: Mapping[str, Column] = opened if isinstance(rows, Packed) else dict(opened)
    return Table(columns=columns, texts=tuple(texts), classes=classes, labels=named.codes.astype(np.int64), kept=kept)


@dataclass(frozen=True, slots=True)
class _Opened(Mapping[str, Column]):
    """Columns of which each is made of the rows when it is asked for."""

    rows: Rows
    kept: np.ndarray
    sorts: dict[str, str]

    def __getitem__(self, name: str) -> Column:
        series, sort = self.series(name), self.sorts[name]
        if sort != "numbers":
            return _names(_words(series))
        values = series.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
        return np.where(np.isfinite(values), values, np.nan)

    def __iter__(self) -> Iterator[str]:
        return iter(self.sorts)

    def __len__(self) -> int:
        return len(self.sorts)

    def series(self, name: str) -> pl.Series:
        """Return a column of the rows that have a label."""
        series = self.rows.get_column(name)
        return series.gather(self.kept.tolist()) if len(self.kept) < len(series) else series


def _sort(series: pl.Series) -> str | None:
    """Return what a column holds: numbers, names or sentences; None where it says nothing."""
    if series.dtype.is_temporal() or series.dtype.is_nested():
        return None
    numbers = series.cast(pl.Float64, strict=False)
    if numbers.is_finite().fill_null(value=False).sum() * 2 > len(series):
        told = numbers.fill_nan(None)
        return "numbers" if told.null_count() or told.min() != told.max() else None
    words = _words(series)
    if float(words.str.count_matches(r"\S+").mean() or 0.0) >= SENTENCE:  # type: ignore[arg-type]  # of numbers
        return "sentences"
    return "names" if 1 < counted(words).height <= NAMELIKE * len(series) else None


def _words(series: pl.Series) -> pl.Series:
    return series.cast(pl.String).fill_null("").str.strip_chars()


def _names(words: pl.Series) -> Names:
    """Return texts by their distinct values, in the order of their letters."""
    distinct = counted(words).get_column("text").sort()
    codes = words.cast(pl.Enum(distinct)).to_physical().to_numpy()
    return Names(distinct=np.array(distinct.to_list(), dtype=object), codes=codes)


def screened(
    table: Table, *, alarms: float = ALARMS, trusted: np.ndarray | None = None, details: bool = True
) -> Screened:
    """Return what the screens find; the same rows give the same answer."""
    return screen(table.learned, seed=SEED, alarms=alarms, trusted=trusted, details=details)


def measures(table: Table, found: Screened) -> tuple[Measure, ...]:
    """Return the shares of suspect rows, in all and by screen; of the very table, so without an interval."""
    n = len(table.labels)
    by = {name: int((found.loudest[found.suspects] == SCREENS.index(name)).sum()) for name in WORDS}
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
            rule=f"screen.{found.by(row)}",
            message=f"{WORDS[found.by(row)]} ({found.share[row]:.2%} of honest rows look as bad)",
        )
        for row in found.suspects[:LISTED]
    ]
    return (*triggers, *rows)


def report(dataset: Stored, project: Project) -> Report | NotApplicable:
    """Return what the screens find in the rows of a data set as stored; it names them by their ids nowhere.

    Raises:
        InvalidData: The rows cannot be screened.
    """
    rows = dataset.rows
    labelled = rows.height - rows.get_column(project.label).null_count()
    if labelled < LEAST:
        return NotApplicable(reason=f"{labelled} labelled rows are too few to learn what honest ones look like")
    features = [name for use in (Use.FEATURE, Use.TEXT) for name in project.columns_of(use) if name in rows.columns]
    table = tabulate(rows, project.label, features)
    found = screened(table, details=False)
    facts = {
        "label": project.label,
        "columns": ", ".join(table.columns)[:2000],
        "screens": "class-adjusted confident learning with channel, spectral signatures, trigger mining",
        "calibration": "labels drawn from out-of-fold beliefs",
    }
    return Report(measures=measures(table, found), findings=findings(table, found), facts=facts)
