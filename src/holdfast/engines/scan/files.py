"""Scanning a model's folder file by file: which scanner reads which file, and what has no business being there.

The list of names is closed: a file that no scanner understands is a finding, whatever it is called.
"""

import hashlib
import mmap
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.evidence import Severity
from holdfast.engines.scan import onnx
from holdfast.engines.scan.examination import Content
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.report import Findings, ScannedFile, ScanReport, Structure, shown
from holdfast.engines.scan.text import MAX_TEXT, looks_executable

MAX_JSON: Final = 32 << 20  # bytes of a JSON file beside the model; the profile of 10,000 features is below it
MAX_FILES: Final = 10_000  # files of one model's folder


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file to scan: its path in the model's folder, and where its bytes lie on this machine."""

    path: str
    at: str


def scan_files(entries: tuple[Entry, ...]) -> ScanReport:
    """Scan the files of one model and return what was found; what the bytes hold never makes it raise.

    Raises:
        OSError: A file cannot be opened; the scan says nothing about a file it has not read.
    """
    findings, files, structure = Findings(), list[ScannedFile](), Structure()
    models = [entry for entry in entries if entry.path.endswith(".onnx")]
    if len(models) != 1 or len(entries) > MAX_FILES:
        words = f"{len(models)} ONNX models among {len(entries)} files"
        findings.add(Severity.HIGH, "file.models", "folder", f"{words}; a model is one ONNX file")
    for entry in entries[:MAX_FILES]:
        view = map_file(Path(entry.at))
        files.append(ScannedFile(path=entry.path, digest=_digest(view), size=len(view)))
        if entry.path.endswith(".onnx"):
            structure = onnx.scan(view, entry.path, findings)
        elif entry.path.endswith(".json"):
            _scan_json(view, entry.path, findings)
        else:
            _unexpected(view, entry.path, findings)
    return ScanReport(files=tuple(files), structure=structure, findings=tuple(findings.kept), found=findings.total)


def map_file(path: Path) -> memoryview:
    """Return a file's bytes without reading them all into memory."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # nothing cannot be mapped
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _digest(view: memoryview) -> str:
    return "sha256:" + hashlib.sha256(view).hexdigest()


def _scan_json(view: memoryview, path: str, findings: Findings) -> None:
    if len(view) > MAX_JSON:
        findings.add(Severity.HIGH, "limit.json", path, f"{len(view)} bytes of JSON; at most {MAX_JSON}")
        return
    text = bytes(view)
    try:
        msgspec.json.decode(text, type=msgspec.Raw)  # checks the syntax and builds nothing
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        findings.add(Severity.HIGH, "json.malformed", path, f"this is not JSON: {shown(str(error))}")


def _unexpected(view: memoryview, path: str, findings: Findings) -> None:
    """Report a file that has no business in a model's folder, with what any scanner finds in it."""
    examine(Content(view, path), findings)
    looks = looks_executable(bytes(view[:MAX_TEXT]))
    if looks:
        words = f"{shown(path)!r} looks like {shown(looks)}; a model is one ONNX file and JSON beside it"
        findings.add(Severity.CRITICAL, "file.executable", path, words)
    else:
        words = f"{shown(path)!r} has no business here; a model is one ONNX file and JSON beside it"
        findings.add(Severity.HIGH, "file.unexpected", path, words)
