"""The scan of everything that came: format by content, findings with place, in the sandbox."""

from typing import Final

from holdfast.core.control import Control, Report
from holdfast.core.evidence import Finding, exactly
from holdfast.engines.scan.report import shown
from holdfast.release.foreign.material import Examined

MAX_FACT: Final = 2000  # characters


def _measure(examined: Examined) -> Report:
    reports = examined.reports
    found = tuple(finding for report in reports for finding in report.findings)
    formats = "; ".join(f"{report.path}: {', '.join(report.formats) or 'unknown'}" for report in reports)
    return Report(
        measures=(
            exactly("files_scanned", len(reports)),
            exactly("bytes_scanned", sum(report.size for report in reports), unit="byte"),
            exactly("findings", sum(report.found for report in reports)),
            exactly("findings_left_out", sum(report.found - len(report.findings) for report in reports)),
            exactly("unscannable", sum(_unread(finding) for finding in found)),
        ),
        findings=found,
        facts={"formats": shown(formats, MAX_FACT)},
    )


def _unread(finding: Finding) -> bool:
    """Say whether a finding means that something was not read; `policies/scan/default.toml` has the same list."""
    last = finding.rule.rpartition(".")[2]
    known = finding.rule in {"file.unknown", "scan.failed"} or finding.rule.startswith("limit.")
    return known or last in {"malformed", "encrypted", "unsupported"}


SWEEP: Final[Control[Examined]] = Control(name="release.sweep/1", measure=_measure)
