"""plan.budget/1: how much of each declared limit a model uses, measured from evidence and never from a promise.

A use of 1 is the limit itself. Worst bounds are taken: the upper one of a latency, the lower one of a rate. What
depends on this machine's speed is a timing; which use is too much is the policy's word.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from holdfast.core.control import NotApplicable, Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import Evidence, Finding, Measure, Outcome, Severity, exactly
from holdfast.core.planning import Budget
from holdfast.core.project import Project
from holdfast.plan.sources import measured

NAME: Final = "plan.budget/1"
MS_PER_S: Final = 1000.0
S_PER_HOUR: Final = 3600.0
MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a budget is held against: the project, and the newest evidence on model, features and data by control."""

    project: Project
    evidence: Mapping[str, Evidence]


def measure(known: Known) -> Report | NotApplicable:
    """Return the use of each limit.

    Raises:
        StageFailed: What a limit is about was not measured: the evidence is then a failed control.
    """
    budget = known.project.budget
    if budget is None:
        return NotApplicable(reason="the project declares no [budget]")
    p95, p50 = _of(known, "assess.latency/1 latency_p95_ms"), _of(known, "assess.latency/1 latency_p50_ms")
    inputs = _of(known, "features.view/1 features")
    price = budget.cpu_hour_price / S_PER_HOUR / MS_PER_S * MILLION / budget.cost_per_million_rows  # use per ms
    rate = budget.rows_per_s / MS_PER_S  # use per ms: one row at a time on one worker
    timed = (
        _use("use:latency", p95, 1 / budget.latency_p95_ms),
        _use("use:scale", p50, rate),
        _use("use:cost", p50, price),
    )
    explained = _use("use:explainability", inputs, 1 / budget.max_inputs)
    worst = max((*timed, explained), key=lambda use: use.high)
    lacking = tuple(name for name in budget.compliance if not OBLIGATIONS[name](known))
    findings = tuple(
        Finding(place="[budget] compliance", severity=Severity.HIGH, rule=name, message=f"no evidence shows {name}")
        for name in lacking
    ) + tuple(_over(use) for use in (*timed, explained) if use.high > 1)
    return Report(
        measures=(
            explained,
            exactly("obligations", len(budget.compliance)),
            exactly("obligations_unmet", len(lacking)),
        ),
        timings=(*timed, _renamed(worst, "worst_use")),
        findings=findings,
        facts=_limits(budget),
    )


def _limits(budget: Budget) -> dict[str, str]:
    return {
        "latency": f"{budget.latency_p95_ms:g} ms",
        "scale": f"{budget.rows_per_s:g} rows/s",
        "cost": f"{budget.cost_per_million_rows:g} per million rows at {budget.cpu_hour_price:g} a CPU hour",
        "compliance": ", ".join(budget.compliance),
        "explainability": f"{budget.max_inputs} inputs",
    }


def _of(known: Known, source: str) -> Measure:
    found = measured(known.evidence, source)
    if found is None:
        raise StageFailed(f"nothing has measured {source}", place="[budget]")
    return found


def _use(name: str, found: Measure, factor: float) -> Measure:
    value, low, high = (number * factor for number in (found.value, found.low, found.high))
    return Measure(name=name, value=value, low=low, high=high, n=found.n)


def _renamed(found: Measure, name: str) -> Measure:
    return Measure(name=name, value=found.value, low=found.low, high=found.high, n=found.n)


def _over(use: Measure) -> Finding:
    family = use.name.removeprefix("use:")
    words = f"{family} uses {use.value:.0%} of its limit, up to {use.high:.0%} at the bound"
    return Finding(place=f"[budget] {family}", severity=Severity.HIGH, rule=family, message=words)


def _none_left(known: Known) -> bool:
    left = measured(known.evidence, "ingest.personal/1 personal_values_left")
    return left is not None and left.high == 0


def _confined(known: Known) -> bool:
    denied = measured(known.evidence, "train.sandbox/1 network_denied")
    return denied is not None and denied.low >= 1


def _answered(control: str) -> Callable[[Known], bool]:
    """Say whether a control has looked; one that did not apply has, and said so."""

    def looked(known: Known) -> bool:
        found = known.evidence.get(control)
        return found is not None and found.outcome is not Outcome.FAILED

    return looked


OBLIGATIONS: Final[Mapping[str, Callable[[Known], bool]]] = {
    "licence": _answered("ingest.provenance/1"),
    "no-personal-values": _none_left,
    "fairness-measured": _answered("assess.fairness/1"),
    "confined-training": _confined,
}
"""What each word of `[budget] compliance` demands of the evidence."""
