"""Lineage of an adopted model: what its tracker says of it, and what nobody wrote down.

All of it is a claim of somebody else's records. The measures count answers, not their truth; each question without an
answer is a finding that says what to bring.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from holdfast.core.control import Control, Report
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.engines.jobs import printable

TIER: Final = "adopted"  # of models without a run of ours: below every tier of those trained here
QUESTIONS: Final[Mapping[str, str]] = {
    "author": "who made it",
    "code": "the commit and the file it was trained by",
    "rows": "the rows it was trained on, by digest",
    "split": "which rows it never saw, by digest",
    "parameters": "the parameters of its training",
    "metrics": "what was measured on it",
    "environment": "the libraries it was trained and saved with",
    "inputs": "the names and types of what it takes",
    "licence": "the terms of the model and of its rows",
    "created": "when it was made",
}
"""What must be known of a model, and what to bring where it is not."""
GRAVE: Final = frozenset({"rows", "split", "code", "licence"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What the records of a tracker say of one model, by question."""

    tracker: str
    answers: Mapping[str, str]
    unread: tuple[str, ...] = ()  # records that could not be read


def missing(claims: Claims) -> tuple[str, ...]:
    """Return the questions that nobody answered, in order."""
    return tuple(name for name in QUESTIONS if not claims.answers.get(name, "").strip())


def _measure(claims: Claims) -> Report:
    open_questions = missing(claims)
    facts = {name: printable(claims.answers[name]) for name in QUESTIONS if name not in open_questions}
    findings = [
        Finding(
            place=claims.tracker,
            severity=Severity.MEDIUM if name in GRAVE else Severity.LOW,
            rule=f"lineage.{name}",
            message=f"nothing says {QUESTIONS[name]}",
        )
        for name in open_questions
    ]
    findings += [
        Finding(place=claims.tracker, severity=Severity.MEDIUM, rule="lineage.unread", message=f"not read: {each}")
        for each in claims.unread[:100]
    ]
    return Report(
        measures=(
            exactly("claimed", len(QUESTIONS) - len(open_questions)),
            exactly("unknown", len(open_questions)),
            exactly("records_unread", len(claims.unread)),
        ),
        findings=tuple(findings),
        facts={"tier": TIER, "tracker": claims.tracker, "unknown": ", ".join(open_questions)} | facts,
    )


LINEAGE: Final[Control[Claims]] = Control(name="release.lineage/1", measure=_measure)
