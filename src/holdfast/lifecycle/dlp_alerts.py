"""The alert that personal data was found where none was declared: kinds and columns by name, and no value."""

from collections.abc import Iterable
from typing import Final

from holdfast.core.evidence import Evidence, Finding
from holdfast.core.ledger import Draft

ALERT: Final = "dlp.alert"  # body: reason, columns, finds; in the stream of what was searched
SEARCHES: Final = frozenset({"ingest.personal/1", "features.personal/1"})
MAX_ALERT: Final = 500  # characters


def alerts(evidence: Iterable[Evidence], actor: str, stream: str) -> tuple[Draft, ...]:
    """Return the alert that a stage's evidence calls for, or nothing."""
    return alert([each for item in evidence if item.control in SEARCHES for each in item.findings], actor, stream)


def alert(findings: Iterable[Finding], actor: str, stream: str) -> tuple[Draft, ...]:
    """Return one alert over all findings of personal data, or nothing where there are none."""
    found = [finding for finding in findings if finding.rule.startswith("personal-")]
    if not found:
        return ()
    words = "; ".join(f"{each.place}: {each.message}" for each in found)[:MAX_ALERT]
    body = {"reason": words, "columns": sorted({each.place for each in found}), "finds": len(found)}
    return (Draft(kind=ALERT, actor=actor, stream=stream, body=body),)
