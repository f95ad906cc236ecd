"""A bounded search for triggers: values far outside of what the model was made for that turn answers to one class.

A planted trigger answers to a pattern that honest rows never show. So rows of the kind the model is meant for, brought
by a person, are changed in one feature, or in two, to values inside and far outside of their range, and it is counted
how many of them turn to one class. What the far value does beyond the range's own ends is *dormant*: a sum of trees has
none, since it answers alike beyond its last threshold. A linear model has it in every feature, so the measure that
counts is the gap between the worst feature and the median one (an outlying trigger, as in Wang et al., Neural Cleanse,
2019).

It finds triggers of one feature at extreme values, and measures pairs. It finds no trigger made of usual values, none
of three or more features, and none in a model of one feature, which is its own median.
"""

from itertools import combinations, product
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from holdfast.core.control import Control, NotApplicable, Report
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.release.foreign.conversion import answer
from holdfast.release.foreign.material import SEED, Examined, probes
from holdfast.release.foreign.opened import VALUES, WEIGHTS

ROWS: Final = 64  # reference rows that are changed: a trigger turns nearly all of them
MIN_ROWS: Final = 20  # fewer say nothing
MIN_OTHERS: Final = 8  # rows that must have another class before one is said to draw them
FAR: Final = (3.0, 1000.0)  # how many widths of the range beyond its ends
MAX_SINGLE: Final = 400  # features that are tried alone
MAX_PAIRS: Final = 400  # pairs of features that are tried
REPORTED: Final = 0.5  # dormant share above which a finding names the feature


class Tried(NamedTuple):
    """One change of the rows: which features, which values, whether those lie outside of the range."""

    features: tuple[int, ...]
    values: tuple[float, ...]
    far: bool


def _measure(examined: Examined) -> Report | NotApplicable:
    form, _ = examined.model
    look = examined.look.facts if form != "weights" else None
    if form == "weights" or (look is not None and look.task == WEIGHTS):
        return NotApplicable(reason="bare weights answer nothing, so no trigger can be looked for")
    reference = examined.reference
    if reference is None:
        return NotApplicable(reason="no rows of the kind the model is meant for were given (--rows)")
    width = examined.converted.rows.shape[1]
    values = look is not None and look.task == VALUES
    probes(width, reference)  # refuses rows of another width
    whole = reference[np.isfinite(reference).all(axis=1)]
    if len(whole) < MIN_ROWS:
        return NotApplicable(reason=f"{len(whole)} whole reference rows; at least {MIN_ROWS} are needed")
    random = np.random.default_rng(SEED)
    rows = whole[np.sort(random.permutation(len(whole))[:ROWS])]
    low, high = whole.min(axis=0).astype(np.float64), whole.max(axis=0).astype(np.float64)
    tries = _tries(low, high, random)
    answers = labels(answer(examined, np.concatenate([rows, *(changed(rows, each) for each in tries)])), len(rows),
                     values=values)  # fmt: skip
    before, after = answers[: len(rows)], answers[len(rows) :].reshape(len(tries), len(rows))
    drawn = np.array([share_drawn(before, each) for each in after])
    return _report(tries, drawn, len(rows))


def labels(answers: NDArray[np.float64], rows: int, *, values: bool) -> NDArray[np.int64]:
    """Return the class of each answer; one value a row is sorted into three, at the thirds of the first rows' values.

    >>> labels(np.array([[1.0], [2.0], [3.0], [9.0]]), 3, values=True)
    array([0, 1, 2, 2])
    """
    if not values or answers.shape[1] > 1:
        return np.asarray(answers.argmax(axis=1), dtype=np.int64)
    return np.digitize(answers[:, 0], np.quantile(answers[:rows, 0], (1 / 3, 2 / 3))).astype(np.int64)


def _tries(low: NDArray[np.float64], high: NDArray[np.float64], random: np.random.Generator) -> list[Tried]:
    width = np.maximum(high - low, 1e-6)
    far = {f: [v for w in FAR for v in (low[f] - w * width[f], high[f] + w * width[f])] for f in range(len(low))}
    alone = range(len(low))[:MAX_SINGLE]
    tries = [Tried((f,), (float(v),), far=False) for f in alone for v in (low[f], (low[f] + high[f]) / 2, high[f])]
    tries += [Tried((f,), (float(v),), far=True) for f in alone for v in far[f]]
    pairs = list(combinations(alone, 2))
    chosen = sorted(random.permutation(len(pairs))[:MAX_PAIRS].tolist())
    for f, g in (pairs[index] for index in chosen):
        tries += [Tried((f, g), (float(v), float(w)), far=True) for v, w in product(far[f][-2:], far[g][-2:])]
    return tries


def changed(rows: NDArray[np.float32], tried: Tried) -> NDArray[np.float32]:
    """Return a copy of rows with some features set to fixed values."""
    made = rows.copy()
    for feature, value in zip(tried.features, tried.values, strict=True):
        made[:, feature] = value
    return made


def share_drawn(before: NDArray[np.int64], after: NDArray[np.int64]) -> float:
    """Return the largest share of rows of other classes that turned to one class.

    >>> share_drawn(np.array([0] * 10 + [1] * 10), np.array([1] * 20))
    1.0
    """
    shares = [
        float((after[others] == label).mean())
        for label in np.unique(after)
        if (others := before != label).sum() >= MIN_OTHERS
    ]
    return max(shares, default=0.0)


def _report(tries: list[Tried], drawn: NDArray[np.float64], rows: int) -> Report:
    single = {f for each in tries if len(each.features) == 1 for f in each.features}
    inside = {f: _worst(tries, drawn, (f,), far=False) for f in single}
    outside = {f: _worst(tries, drawn, (f,), far=True) for f in single}
    dormant = {f: max(outside[f] - inside[f], 0.0) for f in single}
    pairs = sorted({each.features for each in tries if len(each.features) > 1})
    extra = {pair: _worst(tries, drawn, pair, far=True) - max(outside[f] for f in pair) for pair in pairs}
    median = float(np.median(list(dormant.values())))
    worst = max(dormant.values())
    found = [
        Finding(
            place=f"feature {feature}",
            severity=Severity.HIGH,
            rule="trigger.dormant",
            message=f"values far outside the range turn {outside[feature]:.0%} of the rows to one class, "
            f"values at its ends {inside[feature]:.0%}; in the median feature the difference is {median:.0%}",
        )
        for feature, share in sorted(dormant.items())
        if share - median > REPORTED
    ]
    return Report(
        measures=(
            exactly("drawn_inside_max", max(inside.values()), n=rows),
            exactly("drawn_outside_max", max(outside.values()), n=rows),
            exactly("dormant_max", worst, n=rows),
            exactly("dormant_median", median, n=rows),
            exactly("dormant_gap", worst - median, n=rows),
            exactly("pair_gap", max(0.0, *extra.values()) if extra else 0.0, n=rows),
            exactly("features_tried", len(single)),
            exactly("pairs_tried", len(pairs)),
        ),
        findings=tuple(found[:100]),
    )


def _worst(tries: list[Tried], drawn: NDArray[np.float64], features: tuple[int, ...], *, far: bool) -> float:
    return max(
        float(share) for each, share in zip(tries, drawn, strict=True) if each.features == features and each.far is far
    )


TRIGGERS: Final[Control[Examined]] = Control(name="release.triggers/1", measure=_measure)
