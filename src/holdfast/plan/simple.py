"""Plain baselines: what a query or a dashboard could do with the same rows, without any learning worth the name.

Three rules are fitted on two thirds of the rows and judged on the rest: always the more frequent answer, one threshold
on one column, and the more frequent answer of one group. Judged like a model: balanced accuracy with its interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.maths.intervals import Interval
from holdfast.maths.score_intervals import balanced_accuracy_interval

if TYPE_CHECKING:  # see `holdfast.plan.intake`
    from holdfast.engines.packed import Columns

Yes: TypeAlias = NDArray[np.bool_]
HELD_OUT: Final = 3  # one row in so many judges the rules that the others gave
DIVISION: Final = 0  # the same rows judge in every run: nobody may draw until the answer suits
MAX_GROUPS: Final = 50  # more values than that are an identifier, not a group


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """One plain rule: its name, what it says, the column it looks at, and how well it does on rows it has not seen."""

    name: str
    words: str
    column: str
    score: Interval


def plain_rules(rows: "Columns", yes: Yes, numeric: Sequence[str], groups: Sequence[str]) -> list[Plain]:
    """Return how each plain rule does, and each single column by itself: those are what leaks are looked for among.

    Args:
        rows: The cleaned rows.
        yes: Which of them are positive; each class must be on both sides of the division.
        numeric: Columns with an order.
        groups: Columns with few values.
    """
    held = np.zeros(len(yes), dtype=np.bool_)
    held[np.random.default_rng(DIVISION).permutation(len(yes))[::HELD_OUT]] = True
    found = [
        _judged("majority", "always the more frequent answer", "", yes, held, np.full(len(yes), _more(yes, ~held)))
    ]
    for name in numeric:
        values = rows.get_column(name).cast(float).to_numpy()
        found.append(_threshold(name, np.asarray(values, dtype=np.float64), yes, held))
    for name in groups:
        text = rows.get_column(name).cast(str).fill_null("").to_numpy()
        if len(np.unique(text)) <= MAX_GROUPS:
            found.append(_by_group(name, text, yes, held))
    return found


def _judged(name: str, words: str, column: str, yes: Yes, held: Yes, says: Yes) -> Plain:
    score = balanced_accuracy_interval(yes[held].astype(int), says[held].astype(int))
    return Plain(name=name, words=words, column=column, score=score)


def _more(yes: Yes, side: Yes) -> bool:
    return bool(2 * int(yes[side].sum()) >= int(side.sum()))


def _threshold(name: str, values: NDArray[np.float64], yes: Yes, held: Yes) -> Plain:
    """Return the best single threshold: the cut with the greatest gain of recall over false alarms on the fitted side.

    A missing value is answered as a low one: it is not above any threshold.
    """
    filled = np.where(np.isfinite(values), values, -np.inf)
    order = np.argsort(filled[~held], kind="stable")
    ranked, truth = filled[~held][order], yes[~held][order]
    low_yes = np.cumsum(truth) / max(1, int(truth.sum()))
    low_no = np.cumsum(~truth) / max(1, int((~truth).sum()))
    gain = low_no - low_yes  # of answering yes above the cut
    ends = np.append(ranked[1:] > ranked[:-1], False)  # a cut lies between two different values
    best = int(np.argmax(np.where(ends, np.abs(gain), -1.0)))
    cut, above = float(ranked[best]), bool(gain[best] >= 0)
    says = (filled > cut) == above
    return _judged("threshold", f"{name} {'>' if above else '<='} {cut:g}", name, yes, held, says)


def _by_group(name: str, text: NDArray[np.object_], yes: Yes, held: Yes) -> Plain:
    """Return the rule that answers yes for groups whose share of positives is above that of all."""
    overall = float(yes[~held].mean())
    chosen = [
        value for value in np.unique(text) if (mine := yes[~held & (text == value)]).size and mine.mean() > overall
    ]
    says = np.isin(text, chosen)
    shown = ", ".join(str(value) for value in chosen[:5]) or "no group"
    return _judged("group-mean", f"{name} in {shown}", name, yes, held, says)


def best(rules: Sequence[Plain], name: str) -> Plain | None:
    """Return the rule of a name that does best, by the value on rows it has not seen: the fairest opponent."""
    return max((rule for rule in rules if rule.name == name), key=lambda rule: rule.score.value, default=None)
