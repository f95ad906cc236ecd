"""Controls: named checks that turn an artifact into evidence, and the one way to run them.

A control is a function of a context to a `Report`. Whatever it does (measures, cannot apply, crashes, stays silent),
`run` turns into evidence; a crash is `failed`, never a pass.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from holdfast.core.artifact import Artifact, Kind, canonical
from holdfast.core.errors import InvalidInput, StageFailed, in_words
from holdfast.core.evidence import (
    MAX_FINDINGS,
    SEVERITIES,
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
    """Run a control and return its evidence, whatever happens: a crash, silence or a malformed report is `failed`."""

    def failure(reason: str) -> Evidence:
        return failed(control.name, subject.digest, subject.kind, made_with, reason)

    try:
        report: object = control.measure(context)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a control raises is a failed control
        return failure(in_words(error))
    try:
        evidence = check_evidence(_evidence(control.name, report, subject, made_with))
        # Read back as a verifier will: what cannot be sealed and read again must not look measured.
        return msgspec.json.decode(canonical(evidence), type=Evidence)
    except (InvalidInput, ValueError, TypeError, AttributeError) as error:  # whatever types a plug-in put into it
        return failure(f"the report is malformed: {error}")


def _evidence(name: str, report: object, subject: Artifact, made_with: MadeWith) -> Evidence:
    if isinstance(report, NotApplicable):
        return Evidence(
            control=name,
            subject=subject.digest,
            kind=subject.kind,
            outcome=Outcome.NOT_APPLICABLE,
            made_with=made_with,
            reason=report.reason,
        )
    if not isinstance(report, Report):  # silence is not a pass
        raise InvalidInput(f"a {type(report).__name__}", expected="a Report or a NotApplicable")
    return Evidence(
        control=name,
        subject=subject.digest,
        kind=subject.kind,
        outcome=Outcome.MEASURED,
        made_with=made_with,
        measures=report.measures,
        findings=_worst(report.findings),
        timings=report.timings,
        facts=dict(report.facts),
    )


def _worst(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return the findings that are kept: all, or the worst ones, so that a flood of harmless ones hides none."""
    if len(findings) <= MAX_FINDINGS:
        return findings
    return tuple(sorted(findings, key=lambda found: -SEVERITIES.index(found.severity))[:MAX_FINDINGS])
