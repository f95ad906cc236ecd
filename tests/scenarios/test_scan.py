"""`holdfast scan`: a stranger's command over anybody's files and folders, and what becomes of files that fight back."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.adapters.sandbox import open_sandbox, strongest
from holdfast.app.scanning import scan_paths
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ports import Job, JobEnd, JobResult
from holdfast.engines.scan.verdict import EXIT_CODES, Verdict
from holdfast.faces.cli import invoke

EVIL = b"\x80\x04cposix\nsystem\nU\x04true\x85R."


class Killed:
    """A sandbox whose job ends at the second file, as when a file brings the scanner down."""

    tier = strongest()

    def __init__(self, end: JobEnd) -> None:
        self.end, self.jobs = end, 0

    def run(self, job: Job) -> JobResult:
        """Run the job and forget all but its first line."""
        result = open_sandbox(self.tier).run(job)
        written = Path(job.argv[-1])
        self.jobs += 1
        if self.jobs == 1:
            written.write_bytes(written.read_bytes().splitlines(keepends=True)[0])
            return JobResult(
                end=self.end, exit_code=None, stdout=b"", stderr=b"Killed", wall_s=1, cpu_s=None, tier=self.tier
            )
        return result

    def python(self, *_: Any, **__: Any) -> JobResult:
        """Not used here."""
        raise AssertionError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as one downloads it: a clean file, a malicious one inside an archive, an unknown one, a text."""
    place = tmp_path / "models"
    place.mkdir()
    (place / "README.md").write_text("A model.\n")
    (place / "clean.pkl").write_bytes(pickle.dumps([1, 2.5, {"a": b"b"}]))
    (place / "noise.bin").write_bytes(bytes(range(256)))
    with zipfile.ZipFile(place / "weights.zip", "w") as archive:
        archive.writestr("inner/model.pkl", EVIL)
    return place


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and the output of a command."""
    code = invoke([*arguments])
    return code, capsys.readouterr().out


@pytest.mark.requirement("SUP-07", by="holdfast.app.scanning:scan_paths")
def test_a_folder_is_scanned_without_a_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file gets a verdict, the worst decides the exit code, and reasons name the place inside the archive."""
    code, out = asked(capsys, "scan", str(folder), "--json")
    document = json.loads(out)
    assert code == EXIT_CODES[Verdict.MALICIOUS] == 12
    verdicts = {Path(each["path"]).name: each["verdict"] for each in document["files"]}
    assert verdicts == {
        "README.md": "clean",
        "clean.pkl": "clean",
        "noise.bin": "unscannable",
        "weights.zip": "malicious",
    }
    found = next(each for each in document["files"] if each["verdict"] == "malicious")["findings"]
    assert any("weights.zip!/inner/model.pkl byte 23" in each["place"] for each in found)
    assert document["sandboxed"] is True
    assert document["counts"] == {"clean": 2, "unscannable": 1, "suspicious": 0, "malicious": 1}


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.pkl", pickle.dumps(1), 0),
        ("a.pkl", b"\x80\x04cmycompany\nModel\n.", 10),
        ("a.pkl", b"\x00\x01\x02", 11),
        ("a.pkl", EVIL, 12),
    ],
)
def test_exit_codes_say_the_verdict(
    name: str, data: bytes, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipeline tells verdicts from one another, and from a wrong command."""
    (tmp_path / name).write_bytes(data)
    assert asked(capsys, "scan", str(tmp_path / name))[0] == code


def test_a_path_that_is_not_there_is_an_error_and_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is clean because nothing was found."""
    assert asked(capsys, "scan", "/nowhere/model.pkl")[0] == NotFound.exit_code
    assert asked(capsys, "scan")[0] == 2
    assert asked(capsys, "scan", "/", "--format", "yaml")[0] == 2


def test_sarif_is_what_code_hosts_read(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log names rules, levels and files, to standard output or into a file."""
    code, out = asked(capsys, "scan", str(folder), "--format", "sarif")
    log = json.loads(out)
    assert code == 12
    assert log["version"] == "2.1.0"
    results = log["runs"][0]["results"]
    assert {"pickle.dangerous-call", "file.unknown"} <= {each["ruleId"] for each in results}
    assert all(each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in results)
    written = tmp_path / "log.sarif"
    assert asked(capsys, "scan", str(folder), "--format", "sarif", "--output", str(written))[0] == 12
    assert json.loads(written.read_text()) == log


@pytest.mark.guarantee("G73")
def test_a_file_that_ends_the_scanner_is_unscannable_and_hides_no_other(folder: Path) -> None:
    """Where a job dies, its file is known; what comes after it is scanned in the next job."""
    for end, words in ((JobEnd.OUT_OF_MEMORY, "memory"), (JobEnd.TIMED_OUT, "time")):
        sandbox = Killed(end)
        found = {Path(each.report.path).name: each for each in scan_paths([folder], sandbox=sandbox)}
        assert found["clean.pkl"].verdict is Verdict.UNSCANNABLE
        assert words in found["clean.pkl"].report.findings[0].message
        assert found["weights.zip"].verdict is Verdict.MALICIOUS
        assert len(found) == 4


def test_links_are_followed_to_files_and_special_files_are_named(folder: Path, tmp_path: Path) -> None:
    """Caches of model hubs are folders of links; a pipe or a link to nowhere cannot be read, and is not passed over."""
    elsewhere = tmp_path / "blob"
    elsewhere.write_bytes(EVIL)
    (folder / "linked.pkl").symlink_to(elsewhere)
    (folder / "dangling.pkl").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "pipe")
    found = {Path(each.report.path).name: each.verdict for each in scan_paths([folder])}
    assert found["linked.pkl"] is Verdict.MALICIOUS
    assert found["dangling.pkl"] is found["pipe"] is Verdict.UNSCANNABLE


def test_ones_own_policy_says_what_findings_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A team that trusts its own classes says so in a file; what is critical stays malicious."""
    model = tmp_path / "model.pkl"
    model.write_bytes(b"\x80\x04cmycompany\nModel\n.")
    rules = tmp_path / "scan.toml"
    rules.write_text(
        'version = 1\n[[verdict]]\nis = "malicious"\nseverities = ["critical"]\n'
        '[[verdict]]\nis = "clean"\nrules = ["pickle.unknown-import"]\n'
        '[[verdict]]\nis = "suspicious"\nseverities = ["medium", "high"]\n'
    )
    assert asked(capsys, "scan", str(model))[0] == 10
    assert asked(capsys, "scan", str(model), "--policy", str(rules))[0] == 0
    for text in (
        "version = 1\n",
        "version = 2\n",
        "nonsense",
        'version = 1\n[[verdict]]\nis = "clean"\nrules = ["*"]\n',
    ):
        rules.write_text(text)
        assert asked(capsys, "scan", str(model), "--policy", str(rules))[0] == InvalidInput.exit_code


def test_without_a_sandbox_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The option that gives up the sandbox has a name that warns, and so has the answer."""
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(1))
    code, out = asked(capsys, "scan", str(tmp_path), "--unsafe-without-sandbox")
    assert code == 0
    assert "WITHOUT a sandbox" in out


def test_python_has_it_too(folder: Path) -> None:
    """`holdfast.scan_paths` returns each file with findings and verdict."""
    scan: Callable[..., Any] = holdfast.scan_paths
    assert [each.verdict for each in scan([folder / "clean.pkl"])] == [Verdict.CLEAN]
