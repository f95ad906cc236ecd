"""assess.quality/1: how well a model does on rows it has never seen, and how often those rows have been looked at."""

from typing import Final

import numpy as np

from holdfast.assess.case import Case, bounded, decided
from holdfast.core.control import Report
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.maths.arrays import Flags
from holdfast.maths.intervals import bootstrap, wilson
from holdfast.maths.score_intervals import auc_interval, balanced_accuracy_interval
from holdfast.maths.scores import confusion

NAME: Final = "assess.quality/1"


def measure(case: Case) -> Report:
    """Return accuracy, balanced accuracy, AUC, Brier score, recall and precision with 95 % intervals.

    Proportions have Wilson's interval, balanced accuracy Zou and Donner's, the area under the curve Newcombe's (method
    5), the Brier score a percentile bootstrap. With more than two classes AUC, Brier score, recall and precision are
    those of the positive class against the rest. Rows that are used again and again to choose among models lose what
    sealing gave them (Dwork et al. 2015, The reusable holdout), so every read is counted and repeated use is a
    finding.

    Raises:
        ValueError: The sealed rows hold one class only, or are too few.
    """
    probabilities = case.predict(case.features)
    predicted, score = decided(probabilities), probabilities[:, case.positive]
    right, y = predicted == case.labels, case.is_positive
    squares = (score - y) ** 2
    measures = [
        bounded("accuracy", wilson(int(right.sum()), right.size)),
        bounded("balanced_accuracy", balanced_accuracy_interval(case.labels, predicted)),
        bounded("auc", auc_interval(y, score)),
        bounded("brier", bootstrap(np.mean, [squares], case.generator(NAME))),
        *_positives(y, predicted == case.positive),
        exactly("rows", right.size),
    ]
    if case.test_reads > 0:
        measures.append(exactly("test_reads", case.test_reads))
    return Report(measures=tuple(measures), findings=_repeated(case.test_reads))


def _positives(y: Flags, predicted: Flags) -> tuple[Measure, Measure]:
    cells = confusion(y, predicted)
    recall = wilson(cells.true_positives, cells.true_positives + cells.false_negatives)
    found = cells.true_positives + cells.false_positives
    if not found:  # a model that finds nothing has not earned a precision: the worst value, and no bound above it
        return bounded("recall", recall), Measure(name="precision", value=0.0, low=0.0, high=1.0, n=y.size)
    return bounded("recall", recall), bounded("precision", wilson(cells.true_positives, found))


def _repeated(reads: int) -> tuple[Finding, ...]:
    if reads <= 1:
        return ()
    words = f"the sealed rows have been assessed with {reads} times; each further use makes them less of a surprise"
    return (Finding(place="test.parquet", severity=Severity.LOW, rule="repeated-test-use", message=words),)
