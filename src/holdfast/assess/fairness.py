"""assess.fairness/1: how far apart groups of people are treated, for each protected column."""

from typing import Final

from holdfast.assess.case import Case, bounded
from holdfast.core.control import NotApplicable, Report
from holdfast.core.evidence import Measure, exactly
from holdfast.maths.fairness import GroupGap, demographic_parity_gap, equal_opportunity_gap
from holdfast.maths.intervals import Interval, bonferroni

NAME: Final = "assess.fairness/1"


def measure(case: Case) -> Report | NotApplicable:
    """Return the largest gaps over all protected columns, and each column's own.

    `demographic_parity_gap`: difference of the rates of positive answers between two groups (Calders and Verwer 2010).
    `equal_opportunity_gap`: the same among rows that are positive in truth (Hardt, Price and Srebro 2016). Intervals
    at 95 % hold for all pairs of groups and all columns at once. `smallest_group`: rows of the smallest group, among
    those that count for equal opportunity.

    Raises:
        ValueError: A column has one group only or too many, or a group without a row that counts: nothing is known of
            it.
    """
    if not case.protected:
        return NotApplicable(reason="no column is declared protected")
    answered = case.predicted == case.positive
    level = bonferroni(0.95, len(case.protected))
    parity = {name: demographic_parity_gap(answered, groups, level) for name, groups in case.protected.items()}
    chance = {
        name: equal_opportunity_gap(case.is_positive, answered, groups, level)
        for name, groups in case.protected.items()
    }
    unknown = [name for name, gap in chance.items() if gap.smallest_n == 0]
    if unknown:  # empty means no
        raise ValueError(
            f"a group of {unknown[0]!r} has no positive row among the sealed ones: its chances are unknown"
        )
    smallest = min(gap.smallest_n for gap in (*parity.values(), *chance.values()))
    measures = (
        bounded("demographic_parity_gap", _largest(parity, level)),
        bounded("equal_opportunity_gap", _largest(chance, level)),
        exactly("smallest_group", smallest),
        *_each("demographic_parity_gap", parity),
        *_each("equal_opportunity_gap", chance),
    )
    worst = max(chance, key=lambda name: chance[name].gap.high)
    facts = {
        "columns": ", ".join(case.protected),
        "widest": f"{worst}: {chance[worst].lowest} below {chance[worst].highest}",
    }
    return Report(measures=measures, facts=facts)


def _largest(gaps: dict[str, GroupGap], level: float) -> Interval:
    """Return the interval of the largest gap of all: each bound is the largest of the columns'."""
    return Interval(
        value=max(gap.gap.value for gap in gaps.values()),
        low=max(gap.gap.low for gap in gaps.values()),
        high=max(gap.gap.high for gap in gaps.values()),
        n=min(gap.gap.n for gap in gaps.values()),
        level=level,
    )


def _each(measure_name: str, gaps: dict[str, GroupGap]) -> tuple[Measure, ...]:
    return tuple(bounded(f"{measure_name}:{name}", gap.gap) for name, gap in gaps.items())
