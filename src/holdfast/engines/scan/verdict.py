"""Verdicts: what the findings of a scan mean, by a policy that is data.

A scanner only finds. Which findings make a file malicious, suspicious or unscannable is written in a policy
(`policies/scan/default.toml` ships); a finding that no row fits leaves a file clean.
"""

import tomllib
from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.evidence import Finding, Severity

MAX_POLICY: Final = 64 << 10  # bytes of a scan policy


class Verdict(StrEnum):
    """What is to be thought of a file; `VERDICTS` orders them from best to worst."""

    CLEAN = "clean"
    UNSCANNABLE = "unscannable"
    SUSPICIOUS = "suspicious"
    MALICIOUS = "malicious"


VERDICTS: Final = tuple(Verdict)
EXIT_CODES: Final = {Verdict.CLEAN: 0, Verdict.SUSPICIOUS: 10, Verdict.UNSCANNABLE: 11, Verdict.MALICIOUS: 12}
"""Exit codes of `holdfast scan`, apart from those of errors, so that a pipeline can tell one from the other."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"verdict": "is"}):
    """A row of the policy: the verdict on findings of these rules or these severities."""

    verdict: Verdict
    rules: tuple[str, ...] = ()
    severities: tuple[Severity, ...] = ()

    def fits(self, finding: Finding) -> bool:
        """Return whether the row speaks about a finding."""
        return finding.severity in self.severities or any(fnmatchcase(finding.rule, rule) for rule in self.rules)


class ScanPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"rows": "verdict"}):
    """Rows in the order in which they are asked."""

    version: int
    rows: tuple[Row, ...]

    def of(self, finding: Finding) -> Verdict:
        """Return the verdict on one finding."""
        return next((row.verdict for row in self.rows if row.fits(finding)), Verdict.CLEAN)

    def on(self, findings: Iterable[Finding], *, left_out: int = 0) -> Verdict:
        """Return the verdict on a file: the worst on its findings; findings that were not kept make it suspicious."""
        verdicts = [self.of(finding) for finding in findings]
        if left_out:
            verdicts.append(Verdict.SUSPICIOUS)
        return max(verdicts, key=VERDICTS.index, default=Verdict.CLEAN)


def parse_scan_policy(text: bytes) -> ScanPolicy:
    """Return a policy from TOML.

    Raises:
        InvalidInput: It is malformed, or would call everything clean.
    """
    place = "scan policy"
    try:
        found = msgspec.convert(tomllib.loads(text.decode("utf-8")), ScanPolicy)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the policy cannot be read: {error}", place=place) from error
    if found.version != 1:
        raise InvalidInput(f"version {found.version}", place=place, expected="version = 1")
    probe = Finding(place="", severity=Severity.CRITICAL, rule="pickle.dangerous-call", message="")
    if found.of(probe) is not Verdict.MALICIOUS:  # empty means no, and so does forgetting the worst
        words = "a critical finding would not be malicious"
        raise InvalidInput(words, place=place, expected='is = "malicious" for the severity critical')
    return found
