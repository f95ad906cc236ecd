"""Labels by several people: how far they agree, whose labels cannot be believed, and what the labels should be.

Decides which annotators are flagged, which items are settled and which are conflicts for a person. It never settles an
item silently: where the consensus is less sure than a stated bound, or most annotators are flagged, the item is a
conflict. Leaves to others where tables lie and what is put on record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from holdfast.core.errors import InvalidData
from holdfast.maths.agreement import Metric, cohen_kappa, krippendorff_alpha
from holdfast.maths.arrays import Floats, Integers
from holdfast.maths.dawid_skene import Consensus, dawid_skene
from holdfast.maths.intervals import Interval, bonferroni, wilson

if TYPE_CHECKING:
    import polars as pl

MAX_ANNOTATORS: Final = 2000  # each has a matrix of errors in memory
MAX_CLASSES: Final = 50  # labels beyond that are texts, not classes
MAX_CELLS: Final = 20_000_000  # items by classes, 160 MB of probabilities
MAX_PAIRS: Final = 300  # pairs of annotators that are compared one by one: 25 annotators
MAX_NAME: Final = 200  # characters of an item, annotator or label
LEVEL: Final = 0.95  # of the intervals of all annotators together
USEFUL: Final = 0.25  # of the way from chance to full agreement; who is surely below it says nothing about an item

Standing = Literal["agrees", "at chance", "against", "too few labels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """A long table by number: names in the order of text (labels in their own), one row a label."""

    items: Sequence[str]
    annotators: Sequence[str]
    classes: Sequence[str]
    item: Integers
    annotator: Integers
    label: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotator:
    """How one annotator stands to the consensus of the others.

    Attributes:
        name: As in the table.
        labels: How many were given.
        agreement: Share that equals what is believed of the item without this label, with its interval.
        chance: What somebody would reach who gives the same labels without looking.
        standing: `against` where the interval lies below chance, `at chance` where it lies below what is useful.
    """

    name: str
    labels: int
    agreement: Interval
    chance: float
    standing: Standing

    @property
    def flagged(self) -> bool:
        """Whether the labels cannot be believed."""
        return self.standing in {"at chance", "against"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Cohen's kappa of two annotators over what both labelled."""

    one: str
    other: str
    both: int
    kappa: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is believed of each item.

    Attributes:
        best: The likeliest class of each item, −1 where no believed annotator labelled it.
        confidence: Its probability; 0 where there is none.
        certain: Whether the item is settled; all others are conflicts.
        left_out: Annotators whose labels do not count.
        majority: Whether the annotators that are believed are the majority; if not, nothing is settled.
    """

    best: Integers
    confidence: Floats
    certain: Sequence[bool]
    left_out: Sequence[str]
    majority: bool


def read_labels(table: "pl.DataFrame", columns: tuple[str, str, str], allowed: Sequence[str] = ()) -> Labels:
    """Return the labels of a long table of texts.

    Args:
        table: One row a label.
        columns: The names of the columns of items, annotators and labels.
        allowed: The labels that may be, in their order; those that occur if empty, numbers as numbers.

    Raises:
        InvalidData: A column or value is missing, a label is unknown, somebody labelled an item twice with different
            labels, there are fewer than two annotators or labels, or too much of anything.
    """
    import polars as pl

    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InvalidData(f"there is no column {missing[0][:80]!r}", expected=", ".join(table.columns)[:300])
    rows = table.select(pl.col(name).str.strip_chars().alias(to) for name, to in zip(columns, "iaz", strict=True))
    for name, to in zip(columns, "iaz", strict=True):
        bad = (rows[to].is_null() | (rows[to] == "") | (rows[to].str.len_chars() > MAX_NAME)).fill_null(value=True)
        if bad.any():
            row = int(bad.arg_max() or 0) + 1
            expected = f"1 to {MAX_NAME} characters"
            raise InvalidData("a value is missing or too long", place=f"{name}, row {row}", expected=expected)
    rows = rows.unique().sort("i", "a")  # the same said twice is said once; the order of the table means nothing
    twice = rows.filter(pl.struct("i", "a").is_duplicated())
    if len(twice):
        item, annotator, _ = twice.row(0)
        raise InvalidData(f"{annotator!r} gave {item!r} two different labels", expected="one label an item and person")
    known = _classes(rows["z"].unique().to_list(), allowed)
    items, annotators = rows["i"].unique().sort().to_list(), rows["a"].unique().sort().to_list()
    _check_size(len(items), annotators, known)
    return Labels(
        items=items,
        annotators=annotators,
        classes=known,
        item=_numbers(rows["i"], items),
        annotator=_numbers(rows["a"], annotators),
        label=_numbers(rows["z"], known),
    )


def _numbers(column: "pl.Series", names: Sequence[str]) -> Integers:
    import polars as pl

    return column.replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()


def _classes(found: list[str], allowed: Sequence[str]) -> list[str]:
    """Return the labels in their order."""
    unknown = sorted(set(found) - set(allowed))
    if allowed and unknown:
        raise InvalidData(f"the label {unknown[0][:80]!r} is unknown", expected=", ".join(allowed)[:300])
    if allowed:
        return list(dict.fromkeys(allowed))
    values = _values(found)
    return sorted(found) if values is None else [found[place] for place in np.argsort(values, kind="stable")]


def _values(names: Sequence[str]) -> Floats | None:
    """Return labels as numbers; None where one is none."""
    try:
        values = np.array([float(name) for name in names])
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def _check_size(items: int, annotators: Sequence[str], known: Sequence[str]) -> None:
    if len(annotators) < 2:  # noqa: PLR2004 - agreement is between two
        raise InvalidData(f"{annotators[0]!r} is the only annotator", expected="at least two")
    if len(known) < 2:  # noqa: PLR2004
        raise InvalidData(f"every label is {known[0]!r}", expected="at least two different labels")
    if len(annotators) > MAX_ANNOTATORS or len(known) > MAX_CLASSES or items * len(known) > MAX_CELLS:
        raise InvalidData(
            f"{items} items, {len(annotators)} annotators, {len(known)} labels",
            expected=f"at most {MAX_ANNOTATORS} annotators, {MAX_CLASSES} labels, {MAX_CELLS} items by labels",
        )


def alpha(labels: Labels, metric: Metric) -> float | None:
    """Return Krippendorff's alpha; None where it cannot be told: no item has two labels.

    Raises:
        InvalidData: Interval is asked for, and a label is no number.
    """
    values = _values(labels.classes) if metric == "interval" else None
    if metric == "interval" and values is None:
        raise InvalidData("a label is no number", place="--metric", expected="numbers, or nominal or ordinal")
    k = len(labels.classes)
    counts = np.bincount(labels.item * k + labels.label, minlength=len(labels.items) * k).reshape(-1, k)
    try:
        return krippendorff_alpha(counts, metric, values)
    except ValueError:
        return None


def pairs(labels: Labels) -> tuple[Pair, ...]:
    """Return Cohen's kappa of every two annotators, the lowest first; none where there are too many of them."""
    m = len(labels.annotators)
    if m * (m - 1) // 2 > MAX_PAIRS:
        return ()
    by = [np.flatnonzero(labels.annotator == each) for each in range(m)]
    found = []
    for one, other in combinations(range(m), 2):
        _, a, b = np.intersect1d(labels.item[by[one]], labels.item[by[other]], return_indices=True)
        try:
            kappa = cohen_kappa(labels.label[by[one][a]], labels.label[by[other][b]])
        except ValueError:  # nothing in common, or one label throughout: nothing can be told
            continue
        found.append(Pair(one=labels.annotators[one], other=labels.annotators[other], both=len(a), kappa=kappa))
    return tuple(sorted(found, key=lambda each: (each.kappa, each.one, each.other)))


def fit(labels: Labels) -> Consensus:
    """Return the model of these labels."""
    return dawid_skene(labels.item, labels.annotator, labels.label, len(labels.classes))


def judged(labels: Labels, fitted: Consensus) -> tuple[Annotator, ...]:
    """Return how each annotator stands to what the others say; nobody is flagged for what chance explains."""
    k, m = len(labels.classes), len(labels.annotators)
    others = fitted.without.argmax(axis=1)
    level = bonferroni(LEVEL, m)
    found = []
    for number, name in enumerate(labels.annotators):
        mine = labels.annotator == number
        given, believed, n = labels.label[mine], others[mine], int(mine.sum())
        chance = float(np.bincount(given, minlength=k) @ np.bincount(believed, minlength=k)) / n**2
        agreement = wilson(int((given == believed).sum()), n, level)
        standing = _standing(agreement, chance)
        found.append(Annotator(name=name, labels=n, agreement=agreement, chance=chance, standing=standing))
    return tuple(found)


def _standing(agreement: Interval, chance: float) -> Standing:
    if agreement.low > chance:
        return "agrees"
    if agreement.high < chance:
        return "against"
    if chance < 1 and agreement.high <= chance + USEFUL * (1 - chance):
        return "at chance"
    return "too few labels"


def settle(labels: Labels, fitted: Consensus, standing: Sequence[Annotator], bound: float) -> Settled:
    """Return the consensus, made again without flagged annotators where the others are the majority.

    Args:
        labels: All of them.
        fitted: Their model.
        standing: How each annotator stands.
        bound: The probability that a label needs in order to be settled.
    """
    flagged = np.array([each.flagged for each in standing])
    out = flagged[labels.annotator]
    if flagged.sum() * 2 >= len(flagged) or out.sum() * 2 >= len(out):  # whom to believe cannot be told: settle nothing
        best, confidence = fitted.posterior.argmax(axis=1), fitted.posterior.max(axis=1)
        return Settled(best=best, confidence=confidence, certain=[False] * len(best), left_out=(), majority=False)
    best, confidence = np.full(len(labels.items), -1), np.zeros(len(labels.items))
    kept, item = np.unique(labels.item[~out], return_inverse=True)
    _, annotator = np.unique(labels.annotator[~out], return_inverse=True)
    again = dawid_skene(item, annotator, labels.label[~out], len(labels.classes)) if out.any() else fitted
    best[kept], confidence[kept] = again.posterior.argmax(axis=1), again.posterior.max(axis=1)
    names = tuple(each.name for each in standing if each.flagged)
    certain = (confidence >= bound).tolist()
    return Settled(best=best, confidence=confidence, certain=certain, left_out=names, majority=True)


def read_decisions(table: "pl.DataFrame", labels: Labels, flagged: Sequence[str]) -> Mapping[int, tuple[int, str]]:
    """Return a person's decisions from columns item, label and by: the label and the name, by item.

    Raises:
        InvalidData: A column, name or item is missing or unknown, an item is decided twice, or by a flagged annotator.
    """
    missing = [name for name in ("item", "label", "by") if name not in table.columns]
    if missing:
        raise InvalidData(f"there is no column {missing[0]!r}", place="--adjudicated", expected="item, label, by")
    items = {name: place for place, name in enumerate(labels.items)}
    known = {name: place for place, name in enumerate(labels.classes)}
    decided = dict[int, tuple[int, str]]()
    for row, cells in enumerate(table.select("item", "label", "by").iter_rows(), 1):
        item, label, by = ((each or "").strip() for each in cells)
        place = f"--adjudicated, row {row}"
        if item not in items or label not in known:
            what = f"the item {item[:80]!r}" if item not in items else f"the label {label[:80]!r}"
            raise InvalidData(f"{what} is unknown", place=place, expected="items and labels of the table")
        if not by or len(by) > MAX_NAME or not by.isprintable():
            raise InvalidData("nobody is named who decided", place=place, expected=f"a name of 1 to {MAX_NAME} letters")
        if by in flagged:
            raise InvalidData(f"{by!r} is flagged and cannot decide", place=place, expected="somebody else")
        if items[item] in decided:
            raise InvalidData(f"the item {item[:80]!r} is decided twice", place=place, expected="one decision an item")
        decided[items[item]] = (known[label], by)
    return decided
