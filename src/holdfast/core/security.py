"""Security events: which entries of the ledger are about security, of which sort, and how they are told to a SIEM.

The taxonomy is one visible table. An entry of a kind that nobody has classified counts as a security event: what is new
must not be lost because a list was not kept. None of them is ever sampled, and none leaves the ledger.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from holdfast.core.ledger import Entry, entry_hash

EVENT: Final = "security.event"  # what a gateway wrote, taken in by the control plane
GATEWAY: Final = "gateway/"  # begins the kind of what is in such an entry
OCSF: Final = "1.3.0"  # version of the Open Cybersecurity Schema Framework that lines are written in


class Sort(StrEnum):
    """What a security event is about."""

    AUTHENTICATION = "authentication"
    ACCESS = "access"  # granted or denied
    REFUSAL = "refusal"  # of a call, by a guard
    VERIFICATION = "verification-failure"
    TAMPER = "tamper"
    GAP = "gap"  # something that should have been told is missing
    POLICY = "policy-violation"
    INCIDENT = "incident"
    KEY = "key-use"
    CHANGE = "control-change"  # of keys, roles, policies, credentials, routes, retention
    UNKNOWN = "unclassified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What entries whose kind begins like this are: sort and severity, 1 (informational) to 5 (critical)."""

    begins: str
    sort: Sort
    severity: int


TAXONOMY: Final = (
    Row(begins="gateway/refused.", sort=Sort.REFUSAL, severity=2),
    Row(begins="gateway/refused.authenticated", sort=Sort.AUTHENTICATION, severity=3),
    Row(begins="gateway/refused.within-rate", sort=Sort.REFUSAL, severity=3),
    Row(begins="gateway/spend.near", sort=Sort.POLICY, severity=3),
    Row(begins="gateway/privacy.spent", sort=Sort.POLICY, severity=2),
    Row(begins="gateway/state.refused", sort=Sort.VERIFICATION, severity=5),
    Row(begins="gateway/state.loaded", sort=Sort.CHANGE, severity=1),
    Row(begins="gateway/state.lease-over", sort=Sort.GAP, severity=4),
    Row(begins="gateway/spool.broken", sort=Sort.TAMPER, severity=5),
    Row(begins="security.refused", sort=Sort.TAMPER, severity=5),
    Row(begins="telemetry.refused", sort=Sort.TAMPER, severity=5),
    Row(begins="telemetry.gap", sort=Sort.GAP, severity=4),
    Row(begins="advisories.", sort=Sort.CHANGE, severity=2),
    Row(begins="dlp.", sort=Sort.CHANGE, severity=2),
    Row(begins="dlp.alert", sort=Sort.POLICY, severity=4),
    Row(begins="dlp.revealed", sort=Sort.ACCESS, severity=4),
    Row(begins="dlp.reveal-refused", sort=Sort.ACCESS, severity=3),
    Row(begins="protected.", sort=Sort.CHANGE, severity=2),
    Row(begins="protected.read", sort=Sort.ACCESS, severity=2),
    Row(begins="protected.read-refused", sort=Sort.ACCESS, severity=4),
    Row(begins="dependencies.affected", sort=Sort.VERIFICATION, severity=4),
    Row(begins="dependencies.overdue", sort=Sort.POLICY, severity=4),
    Row(begins="dependencies.accepted", sort=Sort.CHANGE, severity=4),
    Row(begins="dependencies.patched", sort=Sort.CHANGE, severity=1),
    Row(begins="dependencies.proved", sort=Sort.CHANGE, severity=1),
    Row(begins="blob.restored", sort=Sort.TAMPER, severity=5),
    Row(begins="blob.damaged", sort=Sort.TAMPER, severity=5),
    Row(begins="decision.denied", sort=Sort.POLICY, severity=3),
    Row(begins="policy.", sort=Sort.CHANGE, severity=3),
    Row(begins="policy.violated", sort=Sort.POLICY, severity=4),
    Row(begins="waiver.", sort=Sort.CHANGE, severity=4),
    Row(begins="artifact.revoked", sort=Sort.CHANGE, severity=4),
    Row(begins="artifact.quarantined", sort=Sort.VERIFICATION, severity=4),
    Row(begins="incident.", sort=Sort.INCIDENT, severity=4),
    Row(begins="credential.", sort=Sort.CHANGE, severity=2),
    Row(begins="key.", sort=Sort.CHANGE, severity=3),
    Row(begins="key.used", sort=Sort.KEY, severity=1),
    Row(begins="key.compromised", sort=Sort.TAMPER, severity=5),
    Row(begins="trust.", sort=Sort.CHANGE, severity=3),
    Row(begins="gateway.", sort=Sort.CHANGE, severity=3),
    Row(begins="gateway.refused", sort=Sort.AUTHENTICATION, severity=4),
    Row(begins="certificate.", sort=Sort.CHANGE, severity=2),
    Row(begins="service.", sort=Sort.CHANGE, severity=3),
    Row(begins="role.", sort=Sort.CHANGE, severity=3),
    Row(begins="workspace.", sort=Sort.CHANGE, severity=2),
    Row(begins="access.", sort=Sort.ACCESS, severity=1),
    Row(begins="access.denied", sort=Sort.ACCESS, severity=3),
    Row(begins="session.", sort=Sort.AUTHENTICATION, severity=1),
    Row(begins="session.refused", sort=Sort.AUTHENTICATION, severity=3),
    Row(begins="authorization.", sort=Sort.KEY, severity=2),
    Row(begins="evidence.filed", sort=Sort.KEY, severity=1),
    Row(begins="release.", sort=Sort.CHANGE, severity=2),
    Row(begins="release.signed", sort=Sort.KEY, severity=1),
    Row(begins="attestation.filed", sort=Sort.KEY, severity=1),
    Row(begins="dataset.signed", sort=Sort.KEY, severity=1),
    Row(begins="files.signed", sort=Sort.KEY, severity=1),
    Row(begins="endpoint.", sort=Sort.CHANGE, severity=2),
    Row(begins="checkpoint.", sort=Sort.KEY, severity=1),
    Row(begins="ledger.", sort=Sort.CHANGE, severity=3),
    Row(begins="logs.pruned", sort=Sort.CHANGE, severity=2),
)
"""Kinds of entries that are about security, `gateway/` before what a gateway told; the longest beginning counts."""

ORDINARY: Final = (
    "artifact.recorded",
    "bom.",
    "control.started",
    "stage.",
    "telemetry.drained",
    "security.drained",
    "traffic.measured",
    "routine.",
    "audit.run",
    "note",
)
"""Kinds that tell how work went on, and nothing of its security."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One security event as it is told: what, when, by whom, about what, how often."""

    number: int  # among all security events of the ledger, from 1: a reader sees what is missing
    position: int  # of its entry
    digest: str  # of its entry, hex
    time: datetime
    kind: str
    sort: Sort
    severity: int
    actor: str
    subject: str
    words: str
    count: int = 1  # how often it happened within one second


def kind_of(entry: Entry) -> str:
    """Return the kind that the taxonomy speaks of."""
    return f"{GATEWAY}{entry.body.get('kind', '')}" if entry.kind == EVENT else entry.kind


def row_of(kind: str) -> Row | None:
    """Return what entries of a kind are; None for ordinary ones."""
    fitting = [row for row in TAXONOMY if kind.startswith(row.begins)]
    if fitting:
        return max(fitting, key=lambda row: len(row.begins))
    if kind.startswith(ORDINARY):
        return None
    return Row(begins=kind, sort=Sort.UNKNOWN, severity=2)


def happenings(entries: Iterator[Entry]) -> Iterator[Happening]:
    """Yield every security event of a whole ledger, and one more wherever a gateway's chain of events has a gap."""
    number = 0
    expected: dict[str, int] = {}
    for entry in entries:
        if entry.kind == EVENT:
            sequence, worker = int(entry.body["sequence"]), entry.stream
            missing = sequence - expected.get(worker, sequence)
            expected[worker] = sequence + 1
            if missing > 0:
                number += 1
                yield _missing(number, entry, sequence - missing, sequence - 1)
        row = row_of(kind_of(entry))
        if row is not None:
            number += 1
            yield _happening(number, entry, row)


def _missing(number: int, entry: Entry, first: int, last: int) -> Happening:
    return Happening(
        number=number,
        position=entry.position,
        digest=entry_hash(entry.document),
        time=entry.moment,
        kind="security.missing",
        sort=Sort.GAP,
        severity=5,
        actor=entry.actor,
        subject=entry.stream,
        words=f"events {first} to {last} of {entry.stream} are missing",
    )


def _happening(number: int, entry: Entry, row: Row) -> Happening:
    body, told = entry.body, entry.kind == EVENT
    words = next((str(body[key]) for key in ("reason", "detail", "found", "action", "control") if body.get(key)), "")
    return Happening(
        number=number,
        position=entry.position,
        digest=entry_hash(entry.document),
        time=datetime.fromisoformat(body["time"]) if told else entry.moment,
        kind=kind_of(entry),
        sort=row.sort,
        severity=row.severity,
        actor=str(body.get("caller", "")) or entry.actor if told else entry.actor,
        subject=str(body.get("model", "")) or entry.stream if told else entry.stream,
        words=words[:500],
        count=int(body.get("count", 1)) if told else 1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Class:
    uid: int
    name: str
    category: int
    activity: int


_FINDING: Final = _Class(uid=2004, name="Detection Finding", category=2, activity=1)  # Create
_COMPLIANCE: Final = _Class(uid=2003, name="Compliance Finding", category=2, activity=1)  # Create
_LOGON: Final = _Class(uid=3002, name="Authentication", category=3, activity=1)  # Logon
_ENTITY: Final = _Class(uid=3004, name="Entity Management", category=3, activity=3)  # Update
_CALL: Final = _Class(uid=6003, name="API Activity", category=6, activity=99)  # Other

CLASSES: Final[Mapping[Sort, _Class]] = {
    Sort.AUTHENTICATION: _LOGON,
    Sort.ACCESS: _CALL,
    Sort.REFUSAL: _CALL,
    Sort.VERIFICATION: _FINDING,
    Sort.TAMPER: _FINDING,
    Sort.GAP: _FINDING,
    Sort.POLICY: _COMPLIANCE,
    Sort.INCIDENT: _FINDING,
    Sort.KEY: _ENTITY,
    Sort.CHANGE: _ENTITY,
    Sort.UNKNOWN: _FINDING,
}
"""The OCSF class that each sort is told as."""

_FAILED: Final = ("refused", "denied")


def ocsf(event: Happening, *, origin: str, version: str) -> dict[str, Any]:
    """Return an event in the Open Cybersecurity Schema Framework."""
    told = CLASSES[event.sort]
    failed = any(word in event.kind for word in _FAILED)
    document: dict[str, Any] = {
        "activity_id": told.activity,
        "category_uid": told.category,
        "class_uid": told.uid,
        "class_name": told.name,
        "type_uid": told.uid * 100 + told.activity,
        "severity_id": event.severity,
        "time": int(event.time.timestamp() * 1000),
        "count": event.count,
        "message": event.words or event.kind,
        "status_id": 2 if failed else 1,
        "metadata": {
            "version": OCSF,
            "product": {"name": "Holdfast", "vendor_name": "Holdfast", "version": version},
            "uid": event.digest,
            "sequence": event.number,
            "log_name": origin,
            "event_code": event.kind,
        },
        "actor": {"user": {"name": event.actor}},
        "unmapped": {"sort": event.sort, "subject": event.subject, "ledger_position": event.position},
    }
    return document | _particulars(event, told)


def _particulars(event: Happening, told: _Class) -> dict[str, Any]:
    """Return what a class demands beyond what all have."""
    finding = {"uid": f"{event.position}:{event.digest[:16]}", "title": event.kind}
    if told is _COMPLIANCE:
        return {"finding_info": finding, "compliance": {"control": event.words or event.kind, "standards": ["policy"]}}
    if told is _FINDING:
        return {"finding_info": finding}
    if told is _LOGON:
        return {"user": {"name": event.actor}, "src_endpoint": _endpoint(event.actor)}
    if told is _CALL:
        api = {"operation": event.kind, "service": {"name": event.subject}}
        return {"api": api, "src_endpoint": _endpoint(event.actor)}
    return {"entity": {"name": event.subject, "type": event.kind.partition(".")[0]}}


def _endpoint(caller: str) -> dict[str, str]:
    try:
        return {"ip": str(ipaddress.ip_address(caller))}
    except ValueError:
        return {"name": caller}
