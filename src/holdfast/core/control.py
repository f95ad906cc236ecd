"""Controls: named checks that turn an artifact into evidence, and the one way to run them.

A control is a function of a context to a `Report`. Whatever it does (measures, cannot apply, crashes, stays silent),
`run` turns into evidence; a crash is `failed`, never a pass.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from holdfast.core.artifact import Artifact, Kind
from holdfast.core.errors import InvalidInput, StageFailed
from holdfast.core.evidence import (
    MAX_FINDINGS,
    Evidence,
    Finding,
    MadeWith,
    Measure,
    Outcome,
    check_evidence,
    failed,
)

Context = TypeVar("Context")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a control measured."""

    measures: tuple[Measure, ...] = ()
    findings: tuple[Finding, ...] = ()
    timings: tuple[Measure, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotApplicable:
    """Why a control does not apply here; a policy denies unless a signed property of the project excuses it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a stage gives back: artifacts of distinct kinds, and evidence about them. It signs and decides nothing."""

    artifacts: tuple[Artifact, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def one(self, kind: Kind) -> Artifact:
        """Return the artifact of a kind.

        Raises:
            StageFailed: The stage made none.
        """
        for artifact in self.artifacts:
            if artifact.kind is kind:
                return artifact
        raise StageFailed(f"the stage made no {kind}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control(Generic[Context]):
    """A check by name, `stage.check/major`; the number grows when the meaning of a measure changes."""

    name: str
    measure: Callable[[Context], Report | NotApplicable]


def run(control: Control[Context], context: Context, subject: Artifact, made_with: MadeWith) -> Evidence:
    """Run a control and return its evidence, whatever happens."""
    try:
        report = control.measure(context)
    except Exception as error:  # noqa: BLE001 - whatever a control raises is a failed control
        reason = f"{type(error).__name__}: {error}"
        return failed(control.name, subject.digest, subject.kind, made_with, reason)
    if isinstance(report, NotApplicable):
        return Evidence(
            control=control.name,
            subject=subject.digest,
            kind=subject.kind,
            outcome=Outcome.NOT_APPLICABLE,
            made_with=made_with,
            reason=report.reason,
        )
    evidence = Evidence(
        control=control.name,
        subject=subject.digest,
        kind=subject.kind,
        outcome=Outcome.MEASURED,
        made_with=made_with,
        measures=report.measures,
        findings=report.findings[:MAX_FINDINGS],
        timings=report.timings,
        facts=dict(report.facts),
    )
    try:
        return check_evidence(evidence)
    except InvalidInput as error:
        return failed(
            control.name, subject.digest, subject.kind, made_with, f"the report is malformed: {error.message}"
        )
