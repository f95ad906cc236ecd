"""The scan of any files as a job: `python -m holdfast.engines.scan.sweep IN OUT`, started inside the sandbox.

IN is a JSON list of the files to scan (`files.Entry`); OUT gets one line of JSON for each as soon as it is done, so
that a file which ends the job is known by its missing line.
"""

import hashlib
import sys
from pathlib import Path

import msgspec

from holdfast.core.evidence import Finding
from holdfast.engines.scan.examination import Content, Limits
from holdfast.engines.scan.files import Entry, map_file
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.report import Findings


class FileReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was found in one file; the digest proves which bytes those were."""

    path: str
    digest: str
    size: int
    formats: tuple[str, ...]
    findings: tuple[Finding, ...]
    found: int  # findings in all, kept or not


def sweep(entry: Entry, limits: Limits | None = None) -> FileReport:
    """Scan one file.

    Raises:
        OSError: It cannot be opened.
    """
    findings, path = Findings(), Path(entry.at)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    view = map_file(path)
    formats = examine(Content(view, entry.path), findings, limits)
    return FileReport(
        path=entry.path,
        digest=f"sha256:{digest}",
        size=len(view),
        formats=formats,
        findings=tuple(findings.kept),
        found=findings.total,
    )


def main(arguments: list[str]) -> int:
    """Scan what IN lists, a line for each to OUT."""
    listed, out = (Path(argument) for argument in arguments)
    entries = msgspec.json.decode(listed.read_bytes(), type=tuple[Entry, ...])
    with out.open("wb") as lines:
        for entry in entries:
            lines.write(msgspec.json.encode(sweep(entry)) + b"\n")
            lines.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
