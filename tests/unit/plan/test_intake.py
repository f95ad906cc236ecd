"""The intake: three questions, answered by the rows themselves, and four traps that are named."""

import dataclasses
from collections.abc import Callable

import polars as pl
import pytest
from tests.unit.plan.world import BUDGET, HEAD, INTAKE, SUCCESS, evidence, held, project, rows

from holdfast.core.errors import InvalidProject
from holdfast.core.evidence import Evidence, Outcome
from holdfast.core.project import Project
from holdfast.plan import FLAGS, Closed, Held, Open, gate
from holdfast.plan import INTAKE as CONTROL
from holdfast.plan.flags import FLAGS as NAMES


def closed(seen: Held) -> str:
    """Why an intake is closed, in words."""
    match gate(evidence(CONTROL, seen)):
        case Closed(reasons=reasons):
            return "; ".join(reasons)
        case Open():
            return ""


def values(item: Evidence) -> dict[str, float]:
    """Every measure by name."""
    return {measure.name: measure.value for measure in item.measures}


@pytest.mark.requirement("PLAN-01", by="holdfast.plan.intake:gate")
def test_an_intake_opens_only_when_evidence_answers_all_three_questions() -> None:
    """Closed by a rule that will do, by wrong data, by success nobody can measure, by a claim without backing."""
    item = evidence(CONTROL, held())
    assert item.outcome is Outcome.MEASURED
    assert isinstance(gate(item), Open)
    assert values(item)["questions_open"] == 0
    assert {"plain:majority", "plain:threshold", "plain:group-mean", "plain_best"} <= values(item).keys()
    assert "already reaches" in closed(held(project(needed="0.5")))  # a threshold on one column is good enough
    assert "at least 1000 are wanted" in closed(held(project(HEAD + INTAKE + "min_rows = 1000\n" + SUCCESS)))
    assert "no success contract" in closed(held(project(HEAD + INTAKE)))
    unbacked = INTAKE.replace("plan.intake/1 metrics_computable", "a feeling of mine")
    assert "which nothing has measured" in closed(held(project(HEAD + unbacked + SUCCESS)))


def test_a_plain_rule_is_compared_with_its_interval() -> None:
    """The comparison is on rows the rule has not seen; a doubt is resolved against the model."""
    item = evidence(CONTROL, held())
    plain = next(measure for measure in item.measures if measure.name == "plain_best")
    assert 0.6 < plain.low < plain.value < plain.high < 0.9
    assert plain.n == 134  # a third of the rows
    needed = str(round(plain.value + (plain.high - plain.value) / 2, 4))
    assert "may already reach" in closed(held(project(needed=needed)))
    assert item.facts["best_plain"].split()[0] in {"x", "y"}


def test_always_the_more_frequent_answer_is_worth_one_half() -> None:
    """Balanced accuracy is not impressed by frequency."""
    found = evidence(CONTROL, held())
    assert values(found)["plain:majority"] == 0.5


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (lambda: rows(50), "50 rows are held"),
        (lambda: rows().with_columns(label=pl.lit("no")), "never varies"),
        (
            lambda: rows().with_columns(
                label=pl.when(pl.int_range(pl.len()) < 12).then(pl.lit("yes")).otherwise(pl.lit("no"))
            ),
            "the rarer class has 12 rows",
        ),
        (lambda: rows().with_columns(x=pl.lit(None, dtype=pl.Float64)), "of the feature values are missing"),
        (lambda: rows().with_columns(site=pl.lit("north")), "slice site = 'south' has 0 rows"),
        (lambda: rows(leak=True), "alone gives the label away"),
    ],
)
def test_wrong_data_close_the_intake(table: Callable[[], pl.DataFrame], words: str) -> None:
    """Too few rows, a label that never varies, gaps, a slice that nobody speaks for, a column that is the answer."""
    assert words in closed(held(table=table()))


def test_rows_that_the_contract_refuses_close_the_intake() -> None:
    """Whether rows are the right ones is for the contract to say, and its silence is no yes."""
    assert "sets 50.0% of the rows aside" in closed(held(aside=0.5))
    without = dataclasses.replace(held(), evidence={})
    assert "left no measurement" in closed(without)


def test_a_metric_that_nothing_measures_closes_the_intake() -> None:
    """A target nobody can read is no measure of success."""
    text = SUCCESS.replace("assess.quality/1 balanced_accuracy", "assess.quality/1 delight")
    assert "nothing here measures 'assess.quality/1 delight'" in closed(held(project(HEAD + INTAKE + text)))
    text = SUCCESS.replace("data:x", "data:label")
    assert "nothing here measures 'data:label'" in closed(held(project(HEAD + INTAKE + text)))


def test_a_project_without_an_intake_has_no_gate_of_its_own() -> None:
    """Whether it needs one is the policy's word, by the tier."""
    item = evidence(CONTROL, held(project(HEAD)))
    assert item.outcome is Outcome.NOT_APPLICABLE
    assert isinstance(gate(item), Open)


def test_an_intake_that_crashed_is_closed() -> None:
    """What could not be asked is not answered."""
    item = evidence(CONTROL, held(table=pl.DataFrame({"nothing": [1]})))
    assert item.outcome is Outcome.FAILED
    assert isinstance(gate(item), Closed)


@pytest.mark.requirement("PLAN-02", by="holdfast.core.planning:success_faults")
@pytest.mark.parametrize("family", ["technical", "business", "operational"])
def test_a_success_contract_without_a_family_is_refused_with_its_place(family: str) -> None:
    """A whole family left out, or declared without a metric: the file is refused, with the line."""
    parts = [part for part in SUCCESS.strip().split("[success.") if part]
    out = "\n".join(f"[success.{part}" for part in parts if not part.startswith(family))
    with pytest.raises(InvalidProject, match=family):
        project(HEAD + out)
    empty = f"{out}\n[success.{family}]\n"
    with pytest.raises(InvalidProject, match=f"no {family} metric") as refused:
        project(HEAD + empty)
    line = next(n for n, text in enumerate((HEAD + empty).splitlines(), 1) if text == f"[success.{family}]")
    assert refused.value.place == f"holdfast.toml:{line}"


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("technical", ("accuracy", "latency", "throughput")),
        ("business", ("revenue", "savings", "satisfaction")),
        ("operational", ("uptime", "upkeep", "error_rate")),
    ],
)
def test_each_family_knows_three_metrics_and_no_other(family: str, names: tuple[str, ...]) -> None:
    """Nine names in all; a tenth is refused."""
    metric = 'source = "data:x", at_least = 1'
    others = [part for part in SUCCESS.strip().split("[success.") if part and not part.startswith(family)]
    rest = "\n".join(f"[success.{part}" for part in others) + "\n"
    found = project(HEAD + rest + f"[success.{family}]\n" + "\n".join(f"{name} = {{ {metric} }}" for name in names))
    assert found.success is not None
    assert {f"{family}.{name}" for name in names} <= found.success.metrics().keys()
    with pytest.raises(InvalidProject, match="delight"):
        project(HEAD + rest + f"[success.{family}]\ndelight = {{ {metric} }}")


def test_a_metric_without_a_target_is_refused() -> None:
    """A metric that nothing would fail is none."""
    with pytest.raises(InvalidProject, match="has no target"):
        project(HEAD + SUCCESS.replace(", at_least = 0.9", ""))
    with pytest.raises(InvalidProject, match="has no target"):
        project(HEAD + SUCCESS.replace("at_least = 0.9", "at_least = inf"))


ACCURACY = SUCCESS.replace("data:x", "assess.quality/1 precision").replace(
    "watch.sli/1 error_rate", "assess.slices/1 worst_slice_accuracy"
)
SERVED = "[slo]\nlatency_p95_ms = 50\n"


@pytest.mark.requirement("PLAN-03", by="holdfast.plan.flags:_raised")
@pytest.mark.parametrize(
    ("declared", "leak", "flag"),
    [
        (project(), True, "plentiful-but-wrong-data"),
        (project(HEAD + SERVED), False, "no-success-definition"),
        (project(HEAD + SERVED + ACCURACY), False, "accuracy-only"),
        (project(HEAD + SUCCESS), False, "deployment-later"),
    ],
)
def test_each_of_the_four_traps_raises_its_own_warning(declared: Project, leak: bool, flag: str) -> None:
    """Plentiful but wrong data, no definition of success, accuracy alone, deployment left for later; else silence."""
    item = evidence(FLAGS, held(declared, rows(leak=leak)))
    assert [finding.rule for finding in item.findings] == [flag]
    assert item.findings[0].severity == "medium"
    assert values(item) == {"red_flags": 1, "flags_looked_for": 4}
    assert flag in NAMES
    assert evidence(FLAGS, held()).findings == ()


def test_few_wrong_rows_are_no_plentiful_trap() -> None:
    """The trap is that volume looks like an argument."""
    item = evidence(FLAGS, held(table=rows(50)))
    assert item.findings == ()


def test_the_budget_counts_as_a_thought_about_deployment() -> None:
    """Whoever declares limits has thought about how it will run."""
    assert evidence(FLAGS, held(project(HEAD + SUCCESS + BUDGET))).findings == ()
