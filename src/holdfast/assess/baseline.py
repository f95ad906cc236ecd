"""assess.baseline/1: what the candidate gains over the linear model that was trained beside it."""

from typing import Final

import numpy as np

from holdfast.assess.case import Case, bounded, decided
from holdfast.core.control import Report
from holdfast.maths.arrays import Flags, Floats
from holdfast.maths.intervals import Interval, bootstrap, paired_difference
from holdfast.maths.score_intervals import auc_interval
from holdfast.maths.scores import auc

NAME: Final = "assess.baseline/1"
RESAMPLES: Final = 2000  # Efron and Tibshirani 1993, 14.3: a percentile interval wants a thousand or more
FEW_RESAMPLES: Final = 500  # on many rows, where an interval is narrow anyhow
MANY_ROWS: Final = 10_000


def measure(case: Case) -> Report:
    """Return `accuracy_gain` and `auc_gain`, candidate minus baseline on the same sealed rows, with 95 % intervals.

    The accuracies are paired proportions (Newcombe 1998c, method 10). The areas are compared by a bootstrap of row
    pairs within each class. Where no resample differs, as when both rank perfectly, that interval would claim
    certainty; then the two areas' own intervals are combined as if they were independent, which is wider than the
    truth.

    Raises:
        ValueError: The sealed rows hold one class only, or are too few.
    """
    candidate, baseline = case.predict(case.features), case.baseline(case.features)
    ours, theirs = (decided(answers) == case.labels for answers in (candidate, baseline))
    accuracy = paired_difference(
        int((ours & theirs).sum()),
        int((ours & ~theirs).sum()),
        int((~ours & theirs).sum()),
        int((~ours & ~theirs).sum()),
    )
    scores = candidate[:, case.positive], baseline[:, case.positive]
    gain = _auc_gain(case.is_positive, *scores, rng=case.generator(NAME))
    return Report(measures=(bounded("accuracy_gain", accuracy), bounded("auc_gain", gain)))


def _auc_gain(y: Flags, ours: Floats, theirs: Floats, *, rng: np.random.Generator) -> Interval:
    resamples = RESAMPLES if y.size <= MANY_ROWS else FEW_RESAMPLES
    gain = bootstrap(_gain, [y, ours, theirs], rng, resamples, strata=y)
    if gain.low < gain.high:
        return gain
    first, second = auc_interval(y, ours), auc_interval(y, theirs)
    low = gain.value - float(np.hypot(first.value - first.low, second.high - second.value))
    high = gain.value + float(np.hypot(first.high - first.value, second.value - second.low))
    return Interval(value=gain.value, low=max(-1.0, low), high=min(1.0, high), n=gain.n, level=gain.level)


def _gain(y: Flags, ours: Floats, theirs: Floats) -> float:
    return auc(y, ours) - auc(y, theirs)
