"""The folder of a model, file by file, and the worker that scans it."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.unit.scan import models

from holdfast.core.artifact import digest_bytes
from holdfast.core.evidence import Severity
from holdfast.engines.scan import files as scanning
from holdfast.engines.scan.files import Entry, scan_files
from holdfast.engines.scan.report import ScanReport
from holdfast.engines.scan.text import looks_executable
from holdfast.engines.scan.worker import main

GOOD = {"model.onnx": models.model().SerializeToString(), "signature.json": b"{}", "profile.json": b'{"a": [1.5]}'}


def folder(place: Path, contents: dict[str, bytes]) -> tuple[Entry, ...]:
    """These files on disk, under names that say nothing, as a store keeps them."""
    entries = []
    for number, (path, data) in enumerate(contents.items()):
        stored = place / f"blob{number}"
        stored.write_bytes(data)
        entries.append(Entry(path=path, at=str(stored)))
    return tuple(entries)


def found(place: Path, contents: dict[str, bytes]) -> list[tuple[str, Severity]]:
    """Rule and severity of each finding."""
    return [(finding.rule, finding.severity) for finding in scan_files(folder(place, contents)).findings]


def test_a_clean_folder_has_no_finding_and_every_file_is_named_by_its_bytes(tmp_path: Path) -> None:
    """The report says which bytes were scanned, so that nobody can take it for a report about others."""
    report = scan_files(folder(tmp_path, GOOD))
    assert report.findings == ()
    assert {file.path: (file.digest, file.size) for file in report.files} == {
        path: (digest_bytes(data), len(data)) for path, data in GOOD.items()
    }
    assert models.counted(report.structure) == models.operators(GOOD["model.onnx"])


@pytest.mark.parametrize(
    ("path", "data", "rule", "severity"),
    [
        ("weights.pkl", b"\x80\x04\x95\x10", "file.executable", Severity.CRITICAL),
        ("model.pt", b"PK\x03\x04", "file.executable", Severity.CRITICAL),
        ("setup.sh", b"#!/bin/sh", "file.executable", Severity.CRITICAL),
        ("libcustom.so", b"\x7fELF", "file.executable", Severity.CRITICAL),
        ("recipe.py", b"import os\nos.system('id')", "file.executable", Severity.CRITICAL),
        ("notes.txt", b"hello", "file.unexpected", Severity.HIGH),
        ("empty", b"", "file.unexpected", Severity.HIGH),
        ("second.onnx", GOOD["model.onnx"], "file.models", Severity.HIGH),
        ("broken.json", b'{"a":', "json.malformed", Severity.HIGH),
        ("deep.json", b"[" * 200_000, "json.malformed", Severity.HIGH),
    ],
)
def test_what_has_no_business_in_a_model_folder_is_found(
    path: str, data: bytes, rule: str, severity: Severity, tmp_path: Path
) -> None:
    """Pickles, archives, scripts, libraries, second models and broken JSON: the list of what may be there is closed."""
    assert found(tmp_path, GOOD | {path: data})[-1] == (rule, severity)  # before it, what its own scanner found


def test_a_folder_without_a_model_is_found(tmp_path: Path) -> None:
    """Nothing to serve is nothing to pass."""
    assert found(tmp_path, {"signature.json": b"{}"}) == [("file.models", Severity.HIGH)]


def test_a_pickle_named_like_a_model_is_found(tmp_path: Path) -> None:
    """The name decides which scanner looks, never whether one does."""
    named = GOOD | {"model.onnx": b"\x80\x04\x95" + b"c__builtin__\neval\n"}
    assert ("onnx.malformed", Severity.HIGH) in found(tmp_path, named)
    assert ("json.malformed", Severity.HIGH) in found(tmp_path, GOOD | {"profile.json": b"\x80\x04\x95"})


def test_json_beyond_its_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody must parse has a largest size."""
    monkeypatch.setattr(scanning, "MAX_JSON", 4)
    assert ("limit.json", Severity.HIGH) in found(tmp_path, GOOD)


def test_what_looks_like_a_pickle_is_told_from_words() -> None:
    """Protocol 0 begins with letters: only those that import and call are taken for one."""
    assert looks_executable(b"cos\nsystem\n(S'id'\ntR.") == "a pickle"
    assert looks_executable(b"(cposix\nsystem\n") == "a pickle"
    assert looks_executable(b"cost\nbenefit\n") == ""


def test_the_worker_writes_what_it_found(tmp_path: Path) -> None:
    """It ends with 0 whatever it found; its report is strictly typed."""
    listed, out = tmp_path / "in.json", tmp_path / "out.json"
    listed.write_bytes(msgspec.json.encode(folder(tmp_path, GOOD | {"x.pkl": b"\x80\x04\x95"})))
    assert main([str(listed), str(out)]) == 0
    report = msgspec.json.decode(out.read_bytes(), type=ScanReport)
    assert [finding.rule for finding in report.findings] == ["pickle.malformed", "file.executable"]


def test_the_worker_fails_loudly_where_it_cannot_scan(tmp_path: Path) -> None:
    """A missing file leaves no report and no exit code 0: silence is not a pass."""
    listed, out = tmp_path / "in.json", tmp_path / "out.json"
    listed.write_bytes(msgspec.json.encode([Entry(path="model.onnx", at=str(tmp_path / "gone"))]))
    command = [sys.executable, "-m", "holdfast.engines.scan.worker", str(listed), str(out)]
    source = str(Path(scanning.__file__).parents[3])
    done = subprocess.run(command, env={"PYTHONPATH": source}, capture_output=True, check=False)
    assert done.returncode != 0
    assert not out.exists()


def test_the_worker_loads_no_model_library(tmp_path: Path) -> None:
    """Pure structure: neither onnx nor a runtime nor anything that unpickles models is loaded by the scanner itself."""
    libraries = "{'onnx', 'onnxruntime', 'torch', 'sklearn'}"
    code = f"import sys, holdfast.engines.scan.worker; print(sorted({libraries} & set(sys.modules)))"
    source = str(Path(scanning.__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": source}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
