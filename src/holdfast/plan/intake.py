"""plan.intake/1: whether work may begin, by what the data themselves say to three questions.

1. Is learning needed? Only if no plain rule already reaches what is needed, on rows it has not seen.
2. Is the right data held? Enough rows of each class and slice, a label that varies, few gaps, and no column that gives
   the label away.
3. Can success be measured? Every metric of the success contract has a source that exists.

A claim counts only where the measure that it names stands behind it. `gate` turns the evidence into open or closed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import Kind
from holdfast.core.control import NotApplicable, Report
from holdfast.core.evidence import Evidence, Finding, MadeWith, Measure, Outcome, Severity, exactly
from holdfast.core.planning import Answer, Intake, source_of
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.maths.intervals import wilson
from holdfast.plan.simple import Plain, best, plain_rules
from holdfast.plan.sources import NUMERIC, computable, measured

if TYPE_CHECKING:  # what only reads decisions of planning, such as a watch that runs for months, needs no tables
    from holdfast.engines.packed import Columns

NAME: Final = "plan.intake/1"
LEAK: Final = 0.98  # balanced accuracy of one column alone, at its lower bound: that column is the answer
MIN_SIDE: Final = 6  # rows of a class below which no rule can be fitted on one side and judged on the other
QUESTIONS: Final = ("ml_needed", "right_data", "measurable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is there before any work: the project, its cleaned rows, and the evidence about them by control."""

    project: Project
    rows: "Columns"
    evidence: Mapping[str, Evidence] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Work may begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Work may not begin, and why in words."""

    reasons: tuple[str, ...]


def gate(evidence: Evidence) -> Open | Closed:
    """Return whether an intake is open: only with every question answered by evidence.

    A project that declares no intake has no gate of its own; whether that will do is the policy's word.
    """
    if evidence.outcome is Outcome.NOT_APPLICABLE:
        return Open()
    if evidence.outcome is Outcome.FAILED:
        return Closed(reasons=(evidence.reason,))
    answered = {measure.name for measure in evidence.measures if measure.value == 1}
    missing = [name for name in QUESTIONS if f"question:{name}" not in answered]
    words = tuple(finding.message for finding in evidence.findings if finding.severity is Severity.HIGH)
    return Closed(reasons=words or tuple(missing)) if missing else Open()


def positives(held: Held) -> NDArray[np.bool_]:
    """Return which rows are of the positive class."""
    label = held.rows.get_column(held.project.label).cast(str)
    return np.asarray((label == held.project.train.positive).fill_null(value=False).to_numpy(), dtype=np.bool_)


def measure(held: Held) -> Report | NotApplicable:
    """Return what the data say to each question, and which questions stay open."""
    intake = held.project.intake
    if intake is None:
        return NotApplicable(reason="the project declares no [intake]")
    yes = positives(held)
    rules = _rules(held, yes)
    profile = (*_profile(held, yes, intake), *_plain(rules), exactly("needed", intake.needed))
    findings = (
        *(("ml_needed", words) for words in _needless(rules, intake)),
        *(("right_data", words) for words in data_faults(held)),
        *(("measurable", words) for words in _unmeasurable(held.project)),
    )
    evidence = dict(held.evidence) | {NAME: _sketch(profile)}
    answers = {name: getattr(intake, name) for name in QUESTIONS}
    unbacked = [(name, _unbacked(answer, evidence, held.project)) for name, answer in answers.items()]
    findings += tuple((name, words) for name, words in unbacked if words)
    still_open = {name for name, _ in findings}
    measures = (
        exactly("questions_open", len(still_open)),
        *(exactly(f"question:{name}", name not in still_open) for name in QUESTIONS),
        *profile,
    )
    told = tuple(
        Finding(place=f"[intake.{name}]", severity=Severity.HIGH, rule=name.replace("_", "-"), message=words)
        for name, words in findings
    )
    facts = {f"claim:{name}": answer.claim for name, answer in answers.items()} | {"question": intake.question}
    top = max(rules, key=lambda rule: rule.score.value, default=None)
    return Report(measures=measures, findings=told, facts=facts | {"best_plain": top.words if top else "none"})


def _sketch(measures: tuple[Measure, ...]) -> Evidence:
    """Return this control's own measures so far as evidence: a claim may lean on them too."""
    made_with = MadeWith(code="", configuration="")
    return Evidence(
        control=NAME, subject="", kind=Kind.PROJECT, outcome=Outcome.MEASURED, made_with=made_with, measures=measures
    )


def _rules(held: Held, yes: NDArray[np.bool_]) -> list[Plain]:
    """Return the plain rules, or none where a class is too rare to judge any."""
    if min(int(yes.sum()), int((~yes).sum())) < MIN_SIDE:
        return []
    project, there = held.project, set(held.rows.columns)
    declared = {name: column for name, column in project.data.columns.items() if name in there}
    numeric = [name for name, c in declared.items() if c.type in NUMERIC and c.use is Use.FEATURE]
    groups = [name for name, c in declared.items() if c.use in {Use.SLICE, Use.PROTECTED, Use.IGNORED}]
    return plain_rules(held.rows, yes, numeric, groups)


def _plain(rules: list[Plain]) -> tuple[Measure, ...]:
    found = [best(rules, name) for name in ("majority", "threshold", "group-mean")]
    shown = [(f"plain:{rule.name}", rule) for rule in found if rule is not None]
    top = max((rule for _, rule in shown), key=lambda rule: rule.score.value, default=None)
    shown += [("plain_best", top)] if top is not None else []
    return tuple(
        Measure(name=name, value=r.score.value, low=r.score.low, high=r.score.high, n=r.score.n) for name, r in shown
    )


def _needless(rules: list[Plain], intake: Intake) -> Iterator[str]:
    """Yield why it is not shown that learning is needed: a plain rule may already be good enough.

    The best rule on the judging rows is the opponent, which favours it; a doubt is resolved against the model.
    """
    if not rules:
        yield "no plain rule can be judged on these rows, so nothing shows that learning is needed"
        return
    top = max(rules, key=lambda rule: rule.score.value)
    if top.score.high >= intake.needed:
        words = "already reaches" if top.score.low >= intake.needed else "may already reach"
        span = f"{top.score.value:.3f} [{top.score.low:.3f}, {top.score.high:.3f}]"
        yield f"a plain rule ({top.words}) {words} what is needed: balanced accuracy {span}, needed {intake.needed:g}"


def data_faults(held: Held) -> Iterator[str]:
    """Yield what is wrong with the data for this purpose, in words; nothing where they are right."""
    project, rows, yes = held.project, held.rows, positives(held)
    intake = project.intake
    least_rows, least_class = (intake.min_rows, intake.min_class_rows) if intake else (1, 1)
    if rows.height < least_rows:
        yield f"{rows.height} rows are held, at least {least_rows} are wanted"
    rarer = min(int(yes.sum()), int((~yes).sum()))
    if rarer == 0:
        yield f"the label {project.label!r} never varies"
    elif rarer < least_class:
        yield f"the rarer class has {rarer} rows, at least {least_class} are wanted"
    missing = _missing(held)
    if intake and missing[0] > intake.max_missing * missing[1]:
        yield f"{missing[0] / missing[1]:.1%} of the feature values are missing, {intake.max_missing:.1%} is allowed"
    for column, value, count in _thin_slices(held, intake.min_slice_rows if intake else 1):
        yield f"slice {column} = {value!r} has {count} rows"
    for leak in leaks(held):
        yield f"column {leak.column!r} alone gives the label away ({leak.words}: {leak.score.value:.3f})"
    contract = measured(held.evidence, "ingest.contract/1 quarantined_share")
    if contract is None:
        yield "the contract check has left no measurement of these rows"
    elif contract.value > project.data.max_quarantined_share:
        allowed = f"{project.data.max_quarantined_share:.1%} is allowed"
        yield f"the contract sets {contract.value:.1%} of the rows aside, {allowed}"


def leaks(held: Held) -> list[Plain]:
    """Return the single columns that know the label too well to have been there before it."""
    rules = _rules(held, positives(held))
    return [rule for rule in rules if rule.column and rule.score.value >= LEAK and rule.score.low >= LEAK - 0.1]


def _missing(held: Held) -> tuple[int, int]:
    wanted = (*held.project.feature_columns, *held.project.features.texts)
    there = [name for name in wanted if name in held.rows.columns]
    count = sum(held.rows.get_column(name).null_count() for name in there)
    return count, max(1, held.rows.height * len(there))


def _thin_slices(held: Held, least: int) -> Iterator[tuple[str, str, int]]:
    """Yield each declared value of a slice that too few rows speak for."""
    for name in held.project.columns_of(Use.SLICE):
        if name not in held.rows.columns:
            continue
        values = held.rows.get_column(name).cast(str)
        for value in held.project.data.columns[name].allowed:
            if (count := int((values == value).sum())) < least:
                yield name, value, count


def _profile(held: Held, yes: NDArray[np.bool_], intake: Intake) -> tuple[Measure, ...]:
    share, (missing, cells) = wilson(int(yes.sum()), max(1, yes.size)), _missing(held)
    gaps = wilson(missing, cells)
    thin = sum(1 for _ in _thin_slices(held, intake.min_slice_rows))
    n = max(1, yes.size)
    metrics = held.project.success.metrics() if held.project.success else {}
    known = sum(1 for metric in metrics.values() if computable(held.project, metric.source))
    return (
        exactly("rows", held.rows.height, n=n),
        exactly("rarer_class_rows", min(int(yes.sum()), int((~yes).sum())), n=n),
        Measure(name="positive_share", value=share.value, low=share.low, high=share.high, n=n),
        Measure(name="missing_share", value=gaps.value, low=gaps.low, high=gaps.high, n=cells),
        exactly("thin_slices", thin, n=n),
        exactly("leaking_columns", len(leaks(held)), n=n),
        exactly("metrics", len(metrics)),
        exactly("metrics_computable", known),
    )


def _unmeasurable(project: Project) -> Iterator[str]:
    """Yield why success could not be told from failure."""
    if project.success is None:
        yield "no success contract is declared: add [success]"
        return
    for name, metric in project.success.metrics().items():
        if not computable(project, metric.source):
            yield f"{name} cannot be computed: nothing here measures {metric.source!r}"


def _unbacked(answer: Answer, evidence: Mapping[str, Evidence], project: Project) -> str:
    """Return why a claim has no evidence behind it, or nothing."""
    if measured(evidence, answer.evidence) is not None:
        return ""
    control, _ = source_of(answer.evidence)
    known = control == "data" and computable(project, answer.evidence)
    return "" if known else f"the claim {answer.claim[:60]!r} leans on {answer.evidence!r}, which nothing has measured"
