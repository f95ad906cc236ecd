"""Incidents: one document that says what happened, when, to what, and what was done, taken from the ledger itself."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast.core.artifact import canonical
from holdfast.core.ledger import Entry
from holdfast.core.signals import Raised

_WORDS: Mapping[str, str] = {
    "artifact.recorded": "recorded",
    "artifact.revoked": "revoked",
    "authorization.filed": "a person signed for it",
    "control.started": "a control was started",
    "evidence.filed": "evidence was filed",
    "release.promoted": "promoted to production",
    "release.candidate": "began to take candidate traffic",
    "release.swapped": "put in place in an emergency",
    "release.returned": "taken out of production",
    "endpoint.routed": "the route table changed",
    "incident.opened": "an incident was opened",
}


def timeline(entries: Iterable[Entry]) -> tuple[dict[str, str], ...]:
    """Return what happened, one line an entry, in ledger order.

    Args:
        entries: Entries of every stream that touches the incident, in any order.
    """
    ordered = sorted({entry.position: entry for entry in entries}.values(), key=lambda entry: entry.position)
    return tuple(
        {
            "entry": str(entry.position),
            "time": entry.time,
            "actor": entry.actor,
            "what": _WORDS.get(entry.kind, entry.kind),
            "about": str(entry.body.get("control") or entry.body.get("reason") or entry.stream),
        }
        for entry in ordered
    )


def incident_document(
    *, endpoint: str, raised: Sequence[Raised], severity: str, actions: Sequence[str], entries: Iterable[Entry]
) -> bytes:
    """Return the incident as canonical JSON: signals, severity, what was done, and the timeline with its entries."""
    document: dict[str, Any] = {
        "endpoint": endpoint,
        "severity": severity,
        "signals": [{"signal": item.signal, "subject": item.subject, "words": item.words} for item in raised],
        "actions": list(actions),
        "timeline": list(timeline(entries)),
    }
    return canonical(document)
