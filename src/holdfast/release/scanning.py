"""Scanning a model before anything outside the sandbox opens it: the stage's side of `engines.scan`.

Decides what of the worker's answer is believed: the worker reads hostile bytes, so its report is read like a
stranger's, and must name exactly the files of the model by the digests they are stored under.
"""

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.artifact import Artifact, Digest, Manifest, parse_manifest
from holdfast.core.control import Control, Report, run
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import Evidence, MadeWith, exactly
from holdfast.core.ports import JobEnd, JobResult, Workspace
from holdfast.engines.scan.files import Entry
from holdfast.engines.scan.report import ScanReport, shown

WORKER: Final = "holdfast.engines.scan.worker"
MAX_REPORT: Final = 8 << 20  # bytes; a thousand findings and four thousand operators of the longest names fit
MAX_FACT: Final = 4000  # characters of one fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What the scan control looks at."""

    ws: Workspace
    model: Artifact


def scan_model(ws: Workspace, model: Artifact, made_with: MadeWith) -> Evidence:
    """Return the evidence of a scan; a sandbox that fails, or a worker that does not answer, is a failed control."""
    made_with = msgspec.structs.replace(made_with, data=(model.digest,))
    return run(SCAN, Scanned(ws=ws, model=model), model, made_with)


def _measure(context: Scanned) -> Report:
    ws, manifest = context.ws, parse_manifest(context.ws.blobs.get(context.model.digest))
    report = _report(ws, manifest)
    _check(report, manifest)
    operators = sum(operator.count for operator in report.structure.operators)
    return Report(
        measures=(
            exactly("files_scanned", len(report.files)),
            exactly("bytes_scanned", sum(file.size for file in report.files), unit="byte"),
            exactly("operators", operators),
            exactly("findings", report.found),
        ),
        findings=report.findings,
        facts=_facts(report),
    )


SCAN: Final[Control[Scanned]] = Control(name="release.scan/1", measure=_measure)


def _report(ws: Workspace, manifest: Manifest) -> ScanReport:
    """Run the worker over the stored files in the sandbox and return what it wrote."""
    place = Path(tempfile.mkdtemp(prefix="scan-", dir=ws.scratch))
    listed, out = place / "files.json", place / "out"
    out.mkdir()
    paths = tuple(ws.blobs.path(Digest(file.digest)) for file in manifest.files)
    entries = [Entry(path=file.path, at=str(path)) for file, path in zip(manifest.files, paths, strict=True)]
    listed.write_bytes(msgspec.json.encode(entries))
    written = out / "findings.json"
    job = ws.sandbox.python(WORKER, (str(listed), str(written)), readable=(listed, *paths), writable=out)
    _check_end(job)
    try:
        return msgspec.json.decode(_read_bounded(written), type=ScanReport)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise StageFailed(f"the scanner's report cannot be read: {error}", place=WORKER) from error


def _check_end(job: JobResult) -> None:
    if job.end is not JobEnd.FINISHED or job.exit_code != 0:
        said = shown(job.stderr[-MAX_FACT:].strip().rpartition(b"\n")[2])
        raise StageFailed(f"the scanner ended as {job.end} with exit code {job.exit_code}: {said}", place=WORKER)


def _read_bounded(path: Path) -> bytes:
    """Return a file that a sandboxed job wrote; links, devices and endless files are refused."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_REPORT:
            raise ValueError(f"not a plain file of at most {MAX_REPORT} bytes")
        return stream.read(MAX_REPORT)


def _check(report: ScanReport, manifest: Manifest) -> None:
    """Demand that the worker read exactly what is stored: a report about other bytes says nothing about these."""
    seen = sorted((file.path, file.digest, file.size) for file in report.files)
    stored = sorted((file.path, file.digest, file.size) for file in manifest.files)
    if seen != stored:
        raise StageFailed("the scanner read other files than the model's", place=manifest.digest)
    if report.found < len(report.findings):
        raise StageFailed("the scanner counted fewer findings than it lists", place=WORKER)


def _facts(report: ScanReport) -> dict[str, str]:
    """Return what the model is made of, for the card and the bill of materials."""
    found = report.structure
    operators = [f"{o.domain or 'ai.onnx'}.{o.name}={o.count}" for o in found.operators]
    opsets = [f"{domain or 'ai.onnx'}={version}" for domain, version in found.opsets]
    facts = {
        "operators": " ".join(operators),
        "opsets": " ".join(opsets),
        "producer": found.producer,
        "ir_version": str(found.ir_version),
        "nodes": str(found.nodes),
        "parameters": str(found.parameters),
    }
    return {name: shown(text, MAX_FACT) for name, text in facts.items()}
