"""Findings as SARIF 2.1.0, which code-scanning pages and editors read: one document, one run, rules by id."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from holdfast.core.artifact import digest_json
from holdfast.core.evidence import Severity

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {
    Severity.INFO: "note",
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
_SCORES: Final = {"info": "0.0", "low": "3.0", "medium": "5.5", "high": "8.0", "critical": "9.5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One finding: which rule, how bad, in words, and where: a file, a line where it has one, a place inside it."""

    rule: str
    severity: Severity
    message: str
    path: str
    line: int = 0
    inside: str = ""
    suppressed: str = ""  # the reason for which it is accepted; empty where it is not


def sarif(results: Iterable[Result], *, version: str, rules: Mapping[str, str]) -> dict[str, Any]:
    """Return findings as a SARIF log.

    Args:
        results: The findings, in any order.
        version: Of Holdfast.
        rules: What each rule is about, by its id; a rule without a row is described by its id.
    """
    found = list(results)
    named = sorted({result.rule for result in found})
    driver = {
        "name": "holdfast",
        "version": version,
        "rules": [
            {"id": rule, "shortDescription": {"text": rules.get(rule, rule)}, "properties": _rated(found, rule)}
            for rule in named
        ],
    }
    run = {"tool": {"driver": driver}, "results": [_result(result, named.index(result.rule)) for result in found]}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rated(found: list[Result], rule: str) -> dict[str, str]:
    worst = max(float(_SCORES[result.severity]) for result in found if result.rule == rule)
    return {"security-severity": f"{worst:.1f}"}


def _result(result: Result, number: int) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(result.path)}}
    if result.line:
        physical["region"] = {"startLine": result.line}
    location: dict[str, Any] = {"physicalLocation": physical}
    if result.inside:
        location["logicalLocations"] = [{"fullyQualifiedName": result.inside}]
    print_ = digest_json([result.rule, result.path, result.inside, result.message]).removeprefix("sha256:")
    made: dict[str, Any] = {
        "ruleId": result.rule,
        "ruleIndex": number,
        "level": _LEVELS[result.severity],
        "message": {"text": result.message},
        "locations": [location],
        "partialFingerprints": {"holdfast/v1": print_[:32]},
    }
    if result.suppressed:
        made["suppressions"] = [{"kind": "external", "justification": result.suppressed}]
    return made


def _uri(path: str) -> str:
    """Return a path as a relative reference (RFC 3986): what is no letter of an address is written in percent."""
    from urllib.parse import quote

    return quote(path)
