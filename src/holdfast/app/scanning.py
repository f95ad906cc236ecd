"""Scanning any files for anybody: no project, no workspace, only the sandbox.

Finds the files, lets them be scanned inside the strongest sandbox of this machine, and says what the policy makes of
what was found. A file that ends the scanner is unscannable, and the others are scanned all the same.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast import __version__
from holdfast.adapters.sandbox import open_sandbox, python_job, strongest
from holdfast.core.errors import InvalidInput, NotFound, SandboxUnavailable, UsageError
from holdfast.core.evidence import Finding, Severity
from holdfast.core.ports import GIB, JobEnd, JobResult, Limits, Sandbox
from holdfast.engines.jobs import last_words
from holdfast.engines.sarif import Result, sarif
from holdfast.engines.scan.files import Entry
from holdfast.engines.scan.sweep import FileReport, sweep
from holdfast.engines.scan.verdict import EXIT_CODES, MAX_POLICY, VERDICTS, ScanPolicy, Verdict, parse_scan_policy
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.policies import scan_policy_file
from holdfast.lifecycle.reply import Progress, Reply, Table, silent

WORKER: Final = "holdfast.engines.scan.sweep"
MAX_FILES: Final = 100_000  # in one run
BATCH: Final = 200  # files of one job: starting one costs a third of a second
MAX_LINES: Final = 512 << 20  # bytes of a job's report
SKIPPED: Final = frozenset({".git", ".hg", ".svn"})
"""Folders of version control: what lies in them is compressed history, and is scanned when it is checked out."""
LIMITS: Final = Limits(cpu_s=1800, wall_s=3600, memory_bytes=4 * GIB, file_bytes=16 * GIB)
FORMATS: Final = ("table", "json", "sarif")
NO_FILE: Final = "a device, a pipe, or a link that leads nowhere"
MAX_ROWS: Final = 200  # findings in the table; JSON and SARIF have all


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """One file with its verdict."""

    report: FileReport
    verdict: Verdict


def scan_paths(
    paths: Sequence[Path],
    *,
    policy: ScanPolicy | None = None,
    sandbox: Sandbox | None = None,
    unsafe_without_sandbox: bool = False,
    tell: Callable[[Progress], None] = silent,
) -> tuple[Scanned, ...]:
    """Scan files and folders and return each file with its verdict, in the order of their paths.

    Args:
        paths: Files and folders; links are followed to files, not to folders.
        policy: What findings mean; the shipped policy if left out.
        sandbox: Where to scan; the strongest of this machine if left out.
        unsafe_without_sandbox: Scan in this very process, which a hostile file may then attack.
        tell: Told of each batch.

    Raises:
        NotFound: A path does not exist.
        InvalidInput: There are too many files.
        SandboxUnavailable: No sandbox tier can be had here, and none was not asked for.
    """
    policy = policy or parse_scan_policy(scan_policy_file().read_bytes())
    listed = tuple(_entries(paths))
    entries = tuple(entry for entry in listed if Path(entry.at).is_file())
    if unsafe_without_sandbox:
        reports = [_here(entry) for entry in entries]
    else:
        chosen = sandbox or open_sandbox(strongest())
        reports = []
        while len(reports) < len(entries):
            batch = entries[len(reports) : len(reports) + BATCH]
            tell(Progress(stage="scan", state="started", words=f"{len(reports)} of {len(entries)} files"))
            reports += _batch(chosen, batch)
    done = iter(reports)
    scanned = set(entries)
    every = (next(done) if entry in scanned else _unscannable(entry, NO_FILE) for entry in listed)
    return tuple(
        Scanned(report=each, verdict=policy.on(each.findings, left_out=each.found - len(each.findings)))
        for each in every
    )


def _entries(paths: Sequence[Path]) -> Iterator[Entry]:
    count = 0
    for path in paths:
        for file in _files(path):
            count += 1
            if count > MAX_FILES:
                raise InvalidInput(f"more than {MAX_FILES} files", place=str(path), expected="fewer at a time")
            yield Entry(path=file.as_posix(), at=str(file.resolve()))


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(set(folders) - SKIPPED)
            yield from (Path(folder) / name for name in sorted(names))
    else:
        raise NotFound("there is no such file or folder", place=str(path), remedy="Give paths that exist.")


def _batch(sandbox: Sandbox, entries: tuple[Entry, ...]) -> list[FileReport]:
    """Scan files in one job; where it ends early, the file it was at is unscannable and the rest is for the next."""
    with tempfile.TemporaryDirectory(prefix="holdfast-scan-") as place:
        listed, out = Path(place).resolve() / "files.json", Path(place).resolve() / "out"
        out.mkdir()
        listed.write_bytes(msgspec.json.encode(entries))
        written = out / "reports.jsonl"
        readable = (listed, *(Path(entry.at) for entry in entries))
        job = python_job(WORKER, (str(listed), str(written)), readable=readable, writable=out, limits=LIMITS)
        ended = sandbox.run(job)
        reports = _read(written, entries)
    if len(reports) < len(entries):
        reports.append(_failed(entries[len(reports)], ended))
    return reports


def _read(written: Path, entries: tuple[Entry, ...]) -> list[FileReport]:
    """Return the reports that a job wrote, as far as they are what was asked for."""
    try:
        handle = os.open(written, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(handle, "rb") as stream:
        lines = stream.read(MAX_LINES).split(b"\n")[:-1]
    reports = list[FileReport]()
    for entry, line in zip(entries, lines, strict=False):
        try:
            found = msgspec.json.decode(line, type=FileReport)
        except msgspec.MsgspecError:
            break
        if found.path != entry.path or found.found < len(found.findings):
            break
        reports.append(found)
    return reports


def _failed(entry: Entry, ended: JobResult) -> FileReport:
    how = {JobEnd.TIMED_OUT: "ran out of time", JobEnd.OUT_OF_MEMORY: "ran out of memory"}.get(ended.end, "ended")
    return _unscannable(entry, f"the scanner {how} at this file: {last_words(ended) or ended.end}")


def _here(entry: Entry) -> FileReport:
    try:
        return sweep(entry)
    except OSError as error:
        return _unscannable(entry, f"the file cannot be read: {error.strerror}")


def _unscannable(entry: Entry, words: str) -> FileReport:
    finding = Finding(place=entry.path, severity=Severity.MEDIUM, rule="scan.failed", message=words)
    return FileReport(path=entry.path, digest="", size=0, formats=(), findings=(finding,), found=1)


def scan(
    *,
    paths: tuple[Path, ...],
    format: str = "table",  # noqa: A002 - the option's name
    output: Path | None = None,
    policy: Path | None = None,
    unsafe_without_sandbox: bool = False,
    tell: Callable[[Progress], None] = silent,
) -> Reply:
    """Scan files and folders of anybody's, and say what is to be thought of each.

    Raises:
        UsageError: There is no such output format.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no format {format!r}", expected=" or ".join(FORMATS))
    rules = parse_scan_policy(read_given(policy, limit=MAX_POLICY, what="the scan policy")) if policy else None
    try:
        found = scan_paths(paths, policy=rules, unsafe_without_sandbox=unsafe_without_sandbox, tell=tell)
    except SandboxUnavailable as error:
        error.remedy += " Or pass --unsafe-without-sandbox, and a hostile file may attack this process."
        raise
    reply = _reply(found, unsafe=unsafe_without_sandbox)
    text = ""
    if format != "table":
        text = _sarif(found) if format == "sarif" else json.dumps(reply.document, ensure_ascii=False, indent=1)
    if output:
        output.write_text((text or json.dumps(reply.document, ensure_ascii=False, indent=1)) + "\n", encoding="utf-8")
        text = ""
    return Reply(says=reply.says, document=reply.document, tables=reply.tables, exit_code=reply.exit_code, text=text)


def _sarif(found: tuple[Scanned, ...]) -> str:
    results = (
        Result(
            rule=finding.rule,
            severity=finding.severity,
            message=finding.message,
            path=each.report.path,
            inside=finding.place,
        )
        for each in found
        for finding in each.report.findings
    )
    return json.dumps(sarif(results, version=__version__, rules={}), ensure_ascii=False, indent=1)


def _reply(found: tuple[Scanned, ...], *, unsafe: bool) -> Reply:
    counts = {verdict: sum(each.verdict is verdict for each in found) for verdict in VERDICTS}
    worst = max((each.verdict for each in found), key=VERDICTS.index, default=Verdict.CLEAN)
    said = ", ".join(f"{count} {verdict}" for verdict, count in reversed(counts.items()) if count)
    files = f"{len(found)} file{'' if len(found) == 1 else 's'}"
    says = f"{files}: {said}." if found else "There are no files."
    if unsafe:
        says += " They were scanned WITHOUT a sandbox: a hostile file may have attacked this process."
    return Reply(
        says=says,
        document={
            "verdict": str(worst),
            "counts": {str(verdict): count for verdict, count in counts.items()},
            "sandboxed": not unsafe,
            "files": [_document(each) for each in found],
        },
        tables=_tables(found),
        exit_code=EXIT_CODES[worst],
    )


def _document(each: Scanned) -> dict[str, Any]:
    return {"verdict": str(each.verdict), **msgspec.to_builtins(each.report)}


def _tables(found: tuple[Scanned, ...]) -> tuple[Table, ...]:
    order = sorted(found, key=lambda each: -VERDICTS.index(each.verdict))
    files = [
        (str(each.verdict), each.report.path, ", ".join(each.report.formats[:4]), _size(each.report.size))
        for each in order[:MAX_ROWS]
    ]
    rows = [
        (str(finding.severity), finding.rule, finding.place, finding.message)
        for each in order
        for finding in each.report.findings
    ]
    return (
        Table(title="Files", columns=("verdict", "file", "what it is", "size"), rows=files),
        Table(title="Findings", columns=("severity", "rule", "where", "what"), rows=rows[:MAX_ROWS]),
    )


def _size(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
