"""Evidence: measures and findings without a verdict; what crashes, says nothing or says nonsense is failed."""

import math
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.artifact import Artifact, Kind, digest_bytes
from holdfast.core.control import Control, NotApplicable, Report, run
from holdfast.core.errors import InvalidInput
from holdfast.core.evidence import (
    MAX_FINDINGS,
    MAX_MEASURES,
    MAX_REASON,
    SEVERITIES,
    Evidence,
    Finding,
    MadeWith,
    Measure,
    Outcome,
    Severity,
    check_evidence,
    exactly,
    failed,
)
from holdfast.core.policy import Rule
from holdfast.core.seal import EVIDENCE, seal, unseal
from holdfast.testing.chronicle import MADE_WITH, Chronicle

SUBJECT = Artifact(kind=Kind.MODEL, digest=digest_bytes(b"model"), size=5)
CHRONICLE = Chronicle()

numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
texts = st.text(max_size=20)


@st.composite
def measures(draw: st.DrawFn) -> Measure:
    """Measures as honest controls make them."""
    low, value, high = sorted(draw(st.lists(numbers, min_size=3, max_size=3)))
    return Measure(name=draw(st.sampled_from("abcdef")), value=value, low=low, high=high, n=draw(st.integers(1, 9999)))


reports = st.lists(measures(), min_size=1, max_size=6, unique_by=lambda measure: measure.name).map(tuple)


def ran(measure: Callable[[Any], Any]) -> Evidence:
    """The evidence of a control that does this."""
    return run(Control(name="assess.thing/1", measure=measure), None, SUBJECT, MADE_WITH)


def finding(severity: Severity, message: str = "found") -> Finding:
    """A finding."""
    return Finding(place="here", severity=severity, rule="rule", message=message)


def test_evidence_has_no_place_for_a_verdict() -> None:
    """Nothing in evidence can say what is good enough: a threshold is a rule's, a verdict a decision's."""
    fields = {
        field.name for struct in (Evidence, Measure, Finding, MadeWith) for field in msgspec.structs.fields(struct)
    }
    bounds = {"at_least", "at_most", "none_of", "fresh_within", "signed_by", "approved_by"}
    assert bounds <= {field.name for field in msgspec.structs.fields(Rule)}
    assert not fields & (bounds | {"threshold", "limit", "passed", "ok", "verdict", "success", "permitted", "status"})
    assert set(Outcome) == {"measured", "not-applicable", "failed"}
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"control": "a.b/1", "passed": True}, Evidence)


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        MemoryError(),
        RecursionError(),
        KeyError("\ud800"),
        SystemExit(0),
        AssertionError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_control_that_raises_has_failed(error: BaseException) -> None:
    """Whatever a control raises, also a polite exit with status 0, is a failure, and can be sealed as one."""

    def crash(_: object) -> Report:
        raise error

    evidence = ran(crash)
    assert evidence.outcome is Outcome.FAILED
    assert type(error).__name__ in evidence.reason
    assert seal(evidence, EVIDENCE, [CHRONICLE.signers["assess"]])


def test_a_control_whose_exception_cannot_be_told_has_failed() -> None:
    """An exception that raises while its message is made is a failure like any other."""

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def crash(_: object) -> Report:
        raise UnspeakableError

    assert ran(crash) == failed("assess.thing/1", SUBJECT.digest, SUBJECT.kind, MADE_WITH, "UnspeakableError")


def test_an_interrupt_by_the_operator_is_no_result() -> None:
    """Ctrl-C ends the run: it is not turned into evidence of anything."""

    def interrupted(_: object) -> Report:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ran(interrupted)


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize(
    "report",
    [
        None,
        True,
        "measured",
        Report(),
        Report(findings=(finding(Severity.INFO),)),
        Report(measures=(exactly("", 1),)),
        Report(measures=(exactly("a", 1), exactly("a", 2))),
        Report(measures=(exactly("a", 1),), timings=(exactly("a", 2),)),
        Report(measures=(Measure(name="a", value=2, low=0, high=1, n=1),)),
        Report(measures=(Measure(name="a", value=0, low=1, high=2, n=1),)),
        Report(measures=(exactly("a", math.nan),)),
        Report(measures=(exactly("a", math.inf),)),
        Report(measures=(Measure(name="a", value=0, low=-math.inf, high=math.inf, n=1),)),
        Report(measures=(exactly("a", 1, n=0),)),
        Report(measures=(exactly("a", 1, n=-5),)),
        Report(measures=(exactly("a", 1, n=2**60),)),
        Report(measures=tuple(exactly(f"m{number}", 1) for number in range(MAX_MEASURES + 1))),
        Report(measures=(exactly("\ud800", 1),)),
        Report(measures=(Measure(name="a", value=np.float64(1), low=0, high=2, n=1),)),
        Report(measures=(Measure(name="a", value=1, low=0, high=2, n=np.int64(3)),)),  # type: ignore[arg-type]
        Report(measures=(Measure(name="a", value="1", low="0", high="2", n=1),)),  # type: ignore[arg-type]
        Report(measures=(exactly("a", 1),), facts={"owner": 3}),  # type: ignore[dict-item]
        Report(measures=(exactly("a", 1),), findings=("bad",)),  # type: ignore[arg-type]
        Report(measures=(exactly("a", 1),), findings=("bad",) * (MAX_FINDINGS + 1)),  # type: ignore[arg-type]
        Report(measures={"a": 1}),  # type: ignore[arg-type]
        NotApplicable(reason=""),
    ],
    ids=lambda report: str(report)[:60],
)
def test_silence_and_nonsense_have_failed(report: Any) -> None:
    """A report without measures, without a sample, outside its interval or of wrong types never looks measured."""
    evidence = ran(lambda _: report)
    assert evidence.outcome is Outcome.FAILED
    assert evidence.reason
    assert not evidence.measures + evidence.timings
    assert unsealed(evidence) == evidence


def unsealed(evidence: Evidence) -> Evidence:
    """Evidence after a journey through an envelope."""
    document = seal(evidence, EVIDENCE, [CHRONICLE.signers[evidence.stage]])
    return unseal(document, EVIDENCE, CHRONICLE.trust, at=CHRONICLE.start).value


@given(found=reports, timings=reports, facts=st.dictionaries(texts, texts, max_size=3))
def test_what_was_measured_is_what_is_read(
    found: tuple[Measure, ...], timings: tuple[Measure, ...], facts: dict[str, str]
) -> None:
    """Every honest report is measured, and comes out of its envelope as it went in."""
    renamed = tuple(msgspec.structs.replace(timing, name=f"{timing.name}_ms") for timing in timings)
    evidence = ran(lambda _: Report(measures=found, timings=renamed, facts=facts))
    assert evidence.outcome is Outcome.MEASURED
    assert (evidence.measures, evidence.timings, evidence.facts) == (found, renamed, facts)
    assert unsealed(evidence) == evidence


@given(found=reports, one=numbers, other=numbers)
def test_only_timings_may_differ_between_two_runs(found: tuple[Measure, ...], one: float, other: float) -> None:
    """The same seed gives the same evidence, the time it took excepted; and nothing else is excepted."""
    first = ran(lambda _: Report(measures=found, timings=(exactly("t", one),)))
    second = ran(lambda _: Report(measures=found, timings=(exactly("t", other),)))
    assert first.reproducible == second.reproducible
    changed = msgspec.structs.replace(found[0], n=found[0].n + 1)
    variants: list[dict[str, Any]] = [
        {"measures": (changed, *found[1:])},
        {"facts": {"a": "b"}},
        {"findings": (finding(Severity.LOW),)},
        {"subject": digest_bytes(b"another")},
        {"made_with": msgspec.structs.replace(MADE_WITH, seed=1)},
        {"control": "assess.thing/2"},
    ]
    for variant in variants:
        assert msgspec.structs.replace(first, **variant).reproducible != first.reproducible


@pytest.mark.guarantee("G05")
@pytest.mark.parametrize("worst", [severity for severity in SEVERITIES if severity is not Severity.INFO])
@pytest.mark.parametrize("place", [0, MAX_FINDINGS - 1, MAX_FINDINGS, 3 * MAX_FINDINGS])
def test_a_flood_of_findings_does_not_hide_the_worst(place: int, worst: Severity) -> None:
    """Who makes a scanner report more than is kept cannot push the one bad finding out."""
    found = [finding(Severity.INFO)] * (3 * MAX_FINDINGS)
    found.insert(place, finding(worst, "the one that matters"))
    evidence = ran(lambda _: Report(measures=(exactly("files", 1),), findings=tuple(found)))
    assert evidence.outcome is Outcome.MEASURED
    assert len(evidence.findings) == MAX_FINDINGS
    assert "the one that matters" in {kept.message for kept in evidence.findings}


def test_few_findings_are_kept_in_their_order() -> None:
    """Findings are reported as they were found while there is room for all."""
    found = tuple(finding(severity) for severity in SEVERITIES)
    assert ran(lambda _: Report(measures=(exactly("files", 1),), findings=found)).findings == found


def test_a_control_that_does_not_apply_says_why_and_nothing_else() -> None:
    """Not applicable is an outcome of its own, for a policy to excuse or not."""
    evidence = ran(lambda _: NotApplicable(reason="no protected column"))
    assert (evidence.outcome, evidence.reason) == (Outcome.NOT_APPLICABLE, "no protected column")
    assert unsealed(evidence) == evidence


@pytest.mark.guarantee("G05")
@pytest.mark.parametrize("outcome", [Outcome.NOT_APPLICABLE, Outcome.FAILED])
@pytest.mark.parametrize(
    "kept",
    [{"findings": (finding(Severity.CRITICAL),)}, {"measures": (exactly("a", 1),)}, {"timings": (exactly("a", 1),)}],
)
def test_an_excuse_cannot_carry_bad_news(outcome: Outcome, kept: dict[str, Any]) -> None:
    """Who does not apply or failed holds no finding: else a policy that excuses the one would overlook the other."""
    evidence = msgspec.structs.replace(failed("a.b/1", SUBJECT.digest, Kind.MODEL, MADE_WITH, "why"), outcome=outcome)
    with pytest.raises(InvalidInput, match="holds measures or findings"):
        check_evidence(msgspec.structs.replace(evidence, **kept))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "assess",
        "assess/1",
        "assess.x",
        "assess.x/0",
        "assess.x/01",
        "Assess.x/1",
        ".x/1",
        "a.b/1\n",
        "a..b/1",
        "a b.c/1",
    ],
)
def test_a_control_has_a_stage_a_name_and_a_number(name: str) -> None:
    """The stage is read off the name, so a name that is not plain belongs to nobody."""
    with pytest.raises(InvalidInput, match="control name"):
        check_evidence(msgspec.structs.replace(ran(lambda _: Report(measures=(exactly("a", 1),))), control=name))


@given(reason=st.text(max_size=30) | st.just("x" * (2 * MAX_REASON)) | st.just("\ud800"))
def test_a_failure_can_be_put_on_record_whatever_its_reason(reason: str) -> None:
    """An empty, endless or unprintable reason does not stop a failure from being recorded."""
    evidence = failed("assess.thing/1", SUBJECT.digest, SUBJECT.kind, MADE_WITH, reason)
    assert 0 < len(evidence.reason) <= MAX_REASON
    assert unsealed(evidence) == evidence


def test_a_control_cannot_swap_what_it_speaks_of() -> None:
    """Subject, kind and ingredients are the runner's to fill in; a control gives numbers only."""
    evidence = ran(lambda _: Report(measures=(exactly("a", sys.float_info.max),)))
    assert (evidence.subject, evidence.kind, evidence.made_with) == (SUBJECT.digest, SUBJECT.kind, MADE_WITH)
