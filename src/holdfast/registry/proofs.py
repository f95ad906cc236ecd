"""Proofs: which of the things that a release has to show are shown, by what has verified so far.

Decides nothing about states: it says what holds, and `record` sees how far that leads. A control's failure counts until
a later result has superseded it, each finding counts for ever, and a person counts once however often they speak.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from holdfast.core.artifact import Digest, Kind
from holdfast.core.evidence import Evidence, Outcome, Severity
from holdfast.core.trust import Trust

MAX_APPROVALS: Final = 1_000_000  # persons; nobody has as many
GATES: Final = "registry.gates/1"
PACKAGE: Final = "release.package/1"
SCAN: Final = "release.scan/1"
SIGNATURE: Final = "release.signature/1"
ASSESS: Final = "assess."
GRAVE: Final = frozenset({Severity.HIGH, Severity.CRITICAL})


@dataclass(slots=True, kw_only=True)
class Proofs:
    """All that has verified about a release and what it derives from."""

    release: Digest
    kinds: dict[str, Kind] = field(default_factory=dict)
    filed: dict[tuple[str, str], list[Evidence]] = field(default_factory=lambda: defaultdict(list))
    open_runs: set[tuple[str, str, str]] = field(default_factory=set)
    approvals: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    rejected: set[str] = field(default_factory=set)
    gates: Evidence | None = None

    def begin_anew(self) -> None:
        """Forget gates and approvals: after a quarantine both are to be given again."""
        self.gates = None
        self.approvals.clear()

    def facts(self, trust: Trust) -> tuple[bool, ...]:
        """Return which of the ladder's proofs hold, in its order."""
        return (
            self._packaged(),
            self._scanned(),
            self._signed(),
            self._assessed(),
            self._gated(trust),
            self._approved(),
        )

    def _current(self, subject: str, control: str) -> list[Evidence]:
        """Return what counts of a control: all but failures that a later result has superseded."""
        filed = self.filed.get((subject, control), [])
        last = max((i for i, item in enumerate(filed) if item.outcome is not Outcome.FAILED), default=-1)
        return [item for i, item in enumerate(filed) if item.outcome is not Outcome.FAILED or i > last]

    def _bounded(self, control: str, measure: str) -> bool:
        current = self._current(self.release, control)
        return bool(current) and all(low_of(item, measure) >= 1 for item in current)  # empty means no

    def _packaged(self) -> bool:
        return self._bounded(PACKAGE, "bom_complete")

    def _signed(self) -> bool:
        return self._bounded(SIGNATURE, "verified")

    def _models(self) -> list[str]:
        return [digest for digest, kind in self.kinds.items() if kind is Kind.MODEL]

    def _scanned(self) -> bool:
        scans = [self._current(model, SCAN) for model in self._models()]
        return bool(scans) and all(scan and all(_clean(item) for item in scan) for scan in scans)

    def _assessed(self) -> bool:
        models = self._models()
        controls = {(subject, name) for subject, name in self.filed if name.startswith(ASSESS)}
        measured = all(any(subject == model for subject, _ in controls) for model in models)
        excused = set(self.gates.facts.get("waived", "").split(",")) if self.gates is not None else set()
        asked = (each for each in controls if each[1] not in excused)
        failed = any(item.outcome is Outcome.FAILED for each in asked for item in self._current(*each))
        return bool(models) and measured and not failed and not self.open_runs

    def _gated(self, trust: Trust) -> bool:
        gates = self.gates
        if gates is None or gates.outcome is not Outcome.MEASURED:
            return False
        return low_of(gates, "unmet") == 0 and gates.facts.get("policy") in trust.policies

    def _approved(self) -> bool:
        """Say whether each of the policy's approvals is there, by as many distinct persons as they ask for together."""
        if self.gates is None or self.rejected:
            return False
        wanted = wanted_approvals(self.gates)
        everybody = {person for persons in self.approvals.values() for person in persons}
        for roles, count in wanted:
            if len({person for role in roles for person in self.approvals.get(role, ())}) < count:
                return False
        return len(everybody) >= max(1, sum(count for _, count in wanted))  # also where a policy asks for nobody's word


def wanted_approvals(gates: Evidence) -> tuple[tuple[frozenset[str], int], ...]:
    """Return how many persons of which roles the policy of a gate asks for, as `owner|auditor=2,owner=1` says it.

    An unreadable part asks for more than there are: what nobody understands lets nothing through.
    """
    wanted = []
    for part in filter(None, gates.facts.get("approvals", "").split(",")):
        roles, _, count = part.partition("=")
        wanted.append((frozenset(roles.split("|")), int(count) if count.isdigit() else MAX_APPROVALS))
    return tuple(wanted)


def low_of(evidence: Evidence, name: str) -> float:
    """Return the lower bound of a measure; one that is missing bounds nothing from below."""
    return next((measure.low for measure in evidence.measures if measure.name == name), float("-inf"))


def _clean(evidence: Evidence) -> bool:
    measured = evidence.outcome is Outcome.MEASURED
    return measured and not any(finding.severity in GRAVE for finding in evidence.findings)
