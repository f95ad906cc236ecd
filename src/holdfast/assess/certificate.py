"""assess.certificate/1: how many poisoned rows the answers to sealed rows withstand, proved by votes."""

from typing import Final

import numpy as np

from holdfast.assess.case import Case, bounded
from holdfast.core.control import NotApplicable, Report
from holdfast.core.evidence import exactly
from holdfast.maths.intervals import wilson
from holdfast.maths.votes import certified_parts, votes_of

NAME: Final = "assess.certificate/1"
ROWS: Final = (1, 2, 5, 10, 20, 50, 100)  # poisoned ones, at which the certificate is told


def measure(case: Case) -> Report | NotApplicable:
    """Return the shares of sealed rows whose answers no attack with so many poisoned rows can change.

    Of a model that votes over disjoint subsets (Levine and Feizi 2021). `certified_share:R`: rows whose answer stays
    the same whichever R rows are relabelled, added to or taken from those learned from; `certified_accuracy:R`: those
    of them that are right; both are 0 beyond half of the votes. A row whose features are changed moves between two
    subsets and counts twice. `certified_rows_median`: what half of the answers withstand.

    Raises:
        ValueError: The model's answers tell of no votes.
    """
    if not case.subsets:
        return NotApplicable(reason="the project trains one model of all rows: no number of poisoned rows is ruled out")
    votes = votes_of(case.predict(case.features), case.subsets)
    radius, right = certified_parts(votes), votes.argmax(axis=1) == case.labels
    n = len(radius)
    measures = [exactly("subsets", case.subsets), exactly("certified_rows_median", float(np.median(radius)), n=n)]
    for rows in ROWS:
        holds, able = radius >= rows, rows <= case.subsets // 2
        for name, count in (("share", int(holds.sum())), ("accuracy", int((holds & right).sum()))):
            told = f"certified_{name}:{rows}"
            measures.append(bounded(told, wilson(count, n)) if able else exactly(told, 0, n=n))
    facts = {
        "certificate": "deep partition aggregation: half of the votes by which the answer leads, ties to the lower",
        "counts": "rows of train and validation sides relabelled, added or taken away; changed features count twice",
    }
    return Report(measures=tuple(measures), facts=facts)
