"""The budget: each declared limit held against what was measured, worst bounds first."""

import dataclasses

import msgspec
import pytest
from tests.unit.plan.world import BUDGET, HEAD, MADE_WITH, measured, project

from holdfast.core.artifact import Artifact, Kind, digest_bytes
from holdfast.core.control import run
from holdfast.core.errors import InvalidProject
from holdfast.core.evidence import Evidence, Measure, Outcome, exactly
from holdfast.core.policy import Denial, Permit
from holdfast.lifecycle.policies import shipped_policies
from holdfast.plan import BUDGET as CONTROL
from holdfast.plan import Known
from holdfast.testing.chronicle import Chronicle, fulfil

MODEL = Artifact(kind=Kind.MODEL, digest=digest_bytes(b"model"), size=1)
BASELINE = next(path.read_bytes() for path in shipped_policies() if path.stem == "baseline")


def timed(p50: float = 1.0, p95: float = 2.0) -> Evidence:
    """What was measured of the model's speed."""
    return msgspec.structs.replace(
        measured("assess.latency/1", exactly("unused", 1)),
        timings=(
            Measure(name="latency_p50_ms", value=p50, low=p50 / 2, high=p50 * 2, n=400, unit="ms"),
            Measure(name="latency_p95_ms", value=p95, low=p95 / 2, high=p95 * 2, n=400, unit="ms"),
        ),
    )


def known(*more: Evidence, inputs: int = 30) -> Known:
    """What a budget is held against: everything is well, unless more says otherwise."""
    items = [
        timed(),
        measured("features.view/1", exactly("features", inputs)),
        measured("ingest.provenance/1", exactly("source_bytes", 1)),
        measured("ingest.personal/1", exactly("personal_values_left", 0)),
        measured("assess.fairness/1", exactly("gap", 0)),
        measured("train.sandbox/1", exactly("network_denied", 1)),
        *more,
    ]
    return Known(project=project(), evidence={item.control: item for item in items})


def spent(seen: Known) -> Evidence:
    """The evidence of a budget."""
    return run(CONTROL, seen, MODEL, MADE_WITH)


def highs(item: Evidence) -> dict[str, float]:
    """The upper bound of each use."""
    return {measure.name: round(measure.high, 6) for measure in (*item.measures, *item.timings)}


def test_uses_are_what_was_measured_over_what_is_allowed() -> None:
    """2 ms at the bound 4 of 10; 1 ms at the bound 2 is 500 rows/s of 100 wanted; 30 of 40 inputs; all obligations."""
    found = highs(spent(known()))
    assert found["use:latency"] == 0.4
    assert found["use:scale"] == 0.2
    assert found["use:cost"] == 0.2  # 2 ms a row are 2000 s a million, at 0.36 an hour 0.2
    assert found["use:explainability"] == 0.75
    assert found["worst_use"] == 0.75
    assert found["obligations_unmet"] == 0
    assert spent(known()).findings == ()


def decided(item: Evidence) -> Permit | Denial:
    """What the baseline policy says of a release whose model has this budget, and nothing else amiss."""
    chronicle = Chronicle(BASELINE, persons=("alice",), roles=("owner",))
    made = fulfil(chronicle, BASELINE, but=("plan.budget/1",))
    chronicle.file(msgspec.structs.replace(item, subject=made[Kind.MODEL].digest, kind=Kind.MODEL))
    return chronicle.decide(BASELINE, made[Kind.RELEASE])


@pytest.mark.requirement("PLAN-12", by="holdfast.plan.budget:measure")
@pytest.mark.parametrize(
    ("worse", "inputs", "family"),
    [
        (timed(p95=9.0), 30, "latency"),
        (timed(p50=6.0, p95=4.0), 30, "scale"),
        (timed(p50=9.9, p95=4.0), 30, "cost"),
        (timed(), 41, "explainability"),
        (measured("ingest.personal/1", exactly("personal_values_left", 1)), 30, "no-personal-values"),
        (measured("train.sandbox/1", exactly("network_denied", 0)), 30, "confined-training"),
    ],
)
def test_promotion_fails_when_a_limit_is_not_kept(worse: Evidence, inputs: int, family: str) -> None:
    """Latency, scale, cost, explainability, compliance: each alone denies, in words; within all of them it passes."""
    item = spent(known(worse, inputs=inputs))
    assert family in {finding.rule for finding in item.findings}
    denial = decided(item)
    assert isinstance(denial, Denial)
    assert {reason.rule for reason in denial.reasons} <= {"budget.limits", "budget.obligations"}
    assert isinstance(decided(spent(known())), Permit)


def test_what_was_not_measured_keeps_no_limit() -> None:
    """Without a measurement of speed the budget has failed, and an obligation without evidence is unmet."""
    without = {name: item for name, item in known().evidence.items() if name != "assess.latency/1"}
    item = spent(dataclasses.replace(known(), evidence=without))
    assert item.outcome is Outcome.FAILED
    assert "nothing has measured assess.latency/1" in item.reason
    without = {name: item for name, item in known().evidence.items() if name != "assess.fairness/1"}
    assert highs(spent(dataclasses.replace(known(), evidence=without)))["obligations_unmet"] == 1


def test_a_project_without_a_budget_is_excused_below_strict_only() -> None:
    """The excuse is a signed fact of the project, and no strict tier may state it."""
    item = spent(dataclasses.replace(known(), project=project(HEAD)))
    assert item.outcome is Outcome.NOT_APPLICABLE
    assert isinstance(decided(item), Denial)


@pytest.mark.parametrize(
    "key", ["latency_p95_ms", "rows_per_s", "cost_per_million_rows", "cpu_hour_price", "max_inputs"]
)
def test_a_budget_with_a_limit_left_out_is_refused(key: str) -> None:
    """A budget names all of its limits."""
    lines = [line for line in BUDGET.splitlines() if not line.startswith(key)]
    with pytest.raises(InvalidProject, match=key):
        project(HEAD + "\n".join(lines))


def test_a_budget_without_obligations_is_refused() -> None:
    """Empty means no."""
    with pytest.raises(InvalidProject, match="no obligation"):
        project(
            HEAD + BUDGET.replace('["licence", "no-personal-values", "fairness-measured", "confined-training"]', "[]")
        )
