"""Evidence: what one control measured on one artifact.

Holds no threshold and no verdict: those belong to policies. A crash, a time-out or silence is `failed`, never a pass.
"""

import math
import re
from enum import StrEnum
from typing import Final

import msgspec

from holdfast.core.artifact import Digest, Kind, canonical, digest_bytes
from holdfast.core.errors import InvalidInput

_CONTROL: Final = re.compile(r"[a-z]+(\.[a-z][a-z0-9_-]*)+/[1-9][0-9]*")
MAX_FINDINGS: Final = 1000  # findings kept one by one; the count of the rest is a measure
MAX_MEASURES: Final = 5000  # slices times measures of a wide project
MAX_REASON: Final = 2000  # characters of a failure's reason; a longer one is a log, and belongs into a blob


class Outcome(StrEnum):
    """How a control ended."""

    MEASURED = "measured"
    NOT_APPLICABLE = "not-applicable"
    FAILED = "failed"


class Severity(StrEnum):
    """How bad a finding is, from SARIF's levels and CVSS's words; `SEVERITIES` orders them."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


SEVERITIES: Final = tuple(Severity)
WHOLE: Final = 1e15  # below it a whole number is exact, and has no more digits than somebody reads


def figure(number: float) -> str:
    """Return a number as people read it: a count in full, anything else with four digits.

    >>> figure(25431.0), figure(0.716666)
    ('25431', '0.7167')
    """
    return f"{number:.0f}" if float(number).is_integer() and abs(number) < WHOLE else f"{number:.4g}"


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One number with its uncertainty: `low` and `high` bound it at the level the control states, `n` is the sample."""

    name: str
    value: float
    low: float
    high: float
    n: int
    unit: str = "1"

    def __str__(self) -> str:
        """Return name, value and, where there is uncertainty, the interval."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        span = f" [{figure(self.low)}, {figure(self.high)}]" if self.low != self.high else ""
        return f"{self.name} {figure(self.value)}{unit}{span}"


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing worth a reader's attention: where, how bad, which rule, in words."""

    place: str
    severity: Severity
    rule: str
    message: str


class MadeWith(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the measurement depended on, each by digest, and the seed of its randomness."""

    code: str
    configuration: str
    data: tuple[str, ...] = ()
    seed: int = 0


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one control says about one artifact."""

    control: str
    subject: str
    kind: Kind
    outcome: Outcome
    made_with: MadeWith
    measures: tuple[Measure, ...] = ()
    findings: tuple[Finding, ...] = ()
    timings: tuple[Measure, ...] = ()
    facts: dict[str, str] = {}
    reason: str = ""

    @property
    def stage(self) -> str:
        """The stage that owns the control; its key must have signed."""
        return self.control.partition(".")[0]

    @property
    def reproducible(self) -> Digest:
        """The digest of everything but the timings: equal for equal subject, inputs and seed."""
        return digest_bytes(canonical(msgspec.structs.replace(self, timings=())))


def check_evidence(evidence: Evidence) -> Evidence:
    """Return the evidence if it is well-formed.

    Raises:
        InvalidInput: A malformed control name, a measure without name or sample or outside its interval, a duplicate
            measure, a failure without reason, a claim of measurement that measured nothing, or a control that failed or
            did not apply and yet measured or found something.
    """
    place = f"evidence of {evidence.control}"
    if not _CONTROL.fullmatch(evidence.control):
        raise InvalidInput(f"{evidence.control!r} is not a control name", expected="stage.check/major")
    both = evidence.measures + evidence.timings
    if len(both) > MAX_MEASURES or len(evidence.findings) > MAX_FINDINGS:
        raise InvalidInput("too many measures or findings", place=place, expected=f"{MAX_MEASURES} and {MAX_FINDINGS}")
    if len({measure.name for measure in both}) != len(both):
        raise InvalidInput("two measures have one name", place=place, expected="distinct names")
    for measure in both:
        _check_measure(measure, place)
    if evidence.outcome is not Outcome.MEASURED and not evidence.reason:
        raise InvalidInput(f"{evidence.outcome} without a reason", place=place, expected="a reason in words")
    if evidence.outcome is Outcome.MEASURED and not both:  # silence is not a pass
        raise InvalidInput("measured, but holds no measure", place=place, expected="at least one measure")
    if evidence.outcome is not Outcome.MEASURED and (both or evidence.findings):  # an excuse may hide no finding
        raise InvalidInput(f"{evidence.outcome}, but holds measures or findings", place=place, expected="none of them")
    return evidence


def _check_measure(measure: Measure, place: str) -> None:
    if not measure.name:
        raise InvalidInput("a measure has no name", place=place, expected="a name that a policy can ask for")
    finite = all(math.isfinite(number) for number in (measure.value, measure.low, measure.high))
    if not finite or not measure.low <= measure.value <= measure.high:
        raise InvalidInput(
            f"{measure.name} is not inside its interval", place=place, expected="finite low ≤ value ≤ high"
        )
    if measure.n < 1:  # empty means no
        raise InvalidInput(f"{measure.name} has an empty sample", place=place, expected="n of at least 1")


def failed(control: str, subject: str, kind: Kind, made_with: MadeWith, reason: str) -> Evidence:
    """Return the evidence of a control that crashed, timed out or stayed silent; any reason can be sealed."""
    words = reason.encode(errors="replace").decode()[:MAX_REASON] or "no reason was given"
    return Evidence(
        control=control, subject=subject, kind=kind, outcome=Outcome.FAILED, made_with=made_with, reason=words
    )


def exactly(name: str, value: float, *, n: int = 1, unit: str = "1") -> Measure:
    """Return a measure without uncertainty: a count, or a property of the very bytes."""
    return Measure(name=name, value=float(value), low=float(value), high=float(value), n=n, unit=unit)
