"""The scan as a stage: in the sandbox, before anything else opens the model, and its report read like a stranger's."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
from onnx import helper
from tests.unit.release import stands
from tests.unit.release.stands import World
from tests.unit.scan import models

from holdfast.core.artifact import Kind
from holdfast.core.errors import SandboxUnavailable
from holdfast.core.evidence import Evidence, Outcome, Severity
from holdfast.core.ports import Job, JobEnd, JobResult, Tier
from holdfast.engines.scan.report import ScanReport
from holdfast.engines.scan.worker import main
from holdfast.release import scan
from holdfast.release import scanning as stage
from holdfast.testing.sandbox import UnsafeInProcessSandbox


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A workspace with a trained model."""
    return stands.world(tmp_path)


def scanned(world: World) -> Evidence:
    """The evidence of a scan."""
    (evidence,) = scan(world.ws, world.model, stands.MADE_WITH).evidence
    return evidence


def measures(evidence: Evidence) -> dict[str, float]:
    """Each measure by name."""
    return {measure.name: measure.value for measure in evidence.measures}


def test_a_clean_model_leaves_evidence_of_what_it_is_made_of(world: World) -> None:
    """Counts as measures, operators as facts, on the model, with the model as the data."""
    evidence = scanned(world)
    assert evidence.outcome is Outcome.MEASURED
    size = sum(len(data) for data in stands.model_files().values())
    assert measures(evidence) == {"files_scanned": 3, "bytes_scanned": size, "operators": 1, "findings": 0}
    assert evidence.findings == ()
    assert evidence.facts["operators"] == "ai.onnx.ml.TreeEnsembleClassifier=1"
    assert (evidence.subject, evidence.made_with.data) == (world.model.digest, (world.model.digest,))


def test_the_same_model_leaves_the_same_evidence(tmp_path: Path) -> None:
    """Nothing of the machine, the path or the clock gets in."""
    first, second = scanned(stands.world(tmp_path / "a")), scanned(stands.world(tmp_path / "b"))
    assert first.reproducible == second.reproducible


@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.onnx:scan")
def test_malicious_models_are_found_in_the_pipeline(tmp_path: Path) -> None:
    """A foreign operator, a path to another file, a payload in the notes, a pickle: each leaves a grave finding."""
    base = stands.model_files()
    evil = models.model([helper.make_node("PyOp", ["x"], ["y"], domain="evil")]).SerializeToString()
    weight = models.field(5, models.field(1, 1) + models.field(2, 1) + models.field(14, 1))
    notes = models.field(14, models.field(1, b"k") + models.field(2, b"__import__('os')"))
    attacks = {
        "onnx.custom-operator": base | {"model.onnx": evil},
        "onnx.external-data": base | {"model.onnx": base["model.onnx"] + models.field(7, weight)},
        "onnx.text.executable": base | {"model.onnx": base["model.onnx"] + notes},
        "onnx.malformed": base | {"model.onnx": b"\x80\x04\x95c__builtin__\neval\n"},
        "file.executable": base | {"weights.pkl": b"\x80\x04\x95"},
    }
    for number, (rule, files) in enumerate(attacks.items()):
        ws = stands.workspace(tmp_path / str(number))
        (evidence,) = scan(ws, stands.folder(ws, Kind.MODEL, files), stands.MADE_WITH).evidence
        hits = [finding for finding in evidence.findings if finding.rule == rule]
        assert hits
        assert {finding.severity for finding in hits} <= {Severity.HIGH, Severity.CRITICAL}


def test_the_worker_may_read_the_model_alone_and_write_one_folder(world: World) -> None:
    """What the sandbox is told: the files of this model, the list of them, and a folder for the report."""
    scanned(world)
    sandbox = world.ws.sandbox
    assert isinstance(sandbox, UnsafeInProcessSandbox)
    ((module, readable, writable),) = sandbox.declared
    assert module == "holdfast.engines.scan.worker"
    blobs = {path for path in readable if path.suffix != ".json"}
    assert len(blobs) == 3
    assert all(not path.is_relative_to(writable) for path in readable)
    assert writable.parent.parent == world.ws.scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A sandbox in which the worker goes wrong in one way."""

    spoil: Callable[[Path], object]
    tier: Tier = Tier.PROCESS
    seen: list[str] = field(default_factory=list)

    def run(self, job: Job) -> JobResult:
        raise AssertionError

    def python(self, module: str, args: Sequence[str], *, readable: Sequence[Path], writable: Path) -> JobResult:
        assert main(list(args)) == 0
        ended = self.spoil(Path(args[1]))
        return ended if isinstance(ended, JobResult) else result(JobEnd.FINISHED, 0)


def result(end: JobEnd, code: int | None, stderr: bytes = b"") -> JobResult:
    """How a job ended."""
    return JobResult(end=end, exit_code=code, stdout=b"", stderr=stderr, wall_s=0.1, cpu_s=0.1, tier=Tier.PROCESS)


def failure(world: World, spoil: Callable[[Path], object]) -> str:
    """The reason of the failed control when the worker goes wrong like this."""
    ws = replace(world.ws, sandbox=Broken(spoil=spoil))
    (evidence,) = scan(ws, world.model, stands.MADE_WITH).evidence
    assert evidence.outcome is Outcome.FAILED
    assert not evidence.measures
    assert not evidence.findings
    return evidence.reason


@pytest.mark.parametrize(
    "ended",
    [
        result(JobEnd.FAILED, 1, b"Traceback\nOSError: no such file"),
        result(JobEnd.TIMED_OUT, None),
        result(JobEnd.OUT_OF_MEMORY, None),
        result(JobEnd.KILLED, -9),
        result(JobEnd.FINISHED, 3),
    ],
    ids=lambda ended: f"{ended.end}-{ended.exit_code}",
)
def test_a_scan_that_does_not_end_well_is_a_failed_control(ended: JobResult, world: World) -> None:
    """Whatever it had written by then: a crash, a time-out or a kill is never a pass."""
    reason = failure(world, lambda _: ended)
    assert str(ended.end) in reason
    assert ("no such file" in reason) == (ended.exit_code == 1)


def test_a_worker_that_says_nothing_is_a_failed_control(world: World) -> None:
    """Exit code 0 without a report proves nothing."""
    assert "cannot be read" in failure(world, lambda out: out.unlink())


@pytest.mark.parametrize("written", [b"", b"{}", b"null", b'{"files":[],"structure":{},"findings":[],"found":"0"}'])
def test_a_report_that_is_not_strictly_one_is_a_failed_control(written: bytes, world: World) -> None:
    """Types are checked to the last field."""
    assert "cannot be read" in failure(world, lambda out: out.write_bytes(written))


def rewritten(change: Callable[[ScanReport], ScanReport]) -> Callable[[Path], None]:
    """A worker whose report was changed before it was read."""

    def spoil(out: Path) -> None:
        report = msgspec.json.decode(out.read_bytes(), type=ScanReport)
        out.write_bytes(msgspec.json.encode(change(report)))

    return spoil


def test_a_report_about_other_bytes_is_a_failed_control(world: World) -> None:
    """Every file of the model, by name, digest and size: no more, no fewer, no others."""
    edit = msgspec.structs.replace
    other = "sha256:" + "0" * 64
    for change in (
        lambda report: edit(report, files=()),
        lambda report: edit(report, files=report.files[1:]),
        lambda report: edit(report, files=(*report.files, report.files[0])),
        lambda report: edit(report, files=(edit(report.files[0], digest=other), *report.files[1:])),
        lambda report: edit(report, files=(edit(report.files[0], path="else.onnx"), *report.files[1:])),
    ):
        assert "other files" in failure(world, rewritten(change))
    assert "fewer findings" in failure(world, rewritten(lambda report: edit(report, found=-1)))


def test_links_and_endless_reports_are_not_followed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was taken over could point its report at any file of this machine, or never end it."""
    target = tmp_path / "secret"
    target.write_bytes(b"{}")

    def link(out: Path) -> None:
        out.unlink()
        out.symlink_to(target)

    assert "cannot be read" in failure(world, link)

    def pipe(out: Path) -> None:
        out.unlink()
        os.mkfifo(out)

    assert "plain file" in failure(world, pipe)
    monkeypatch.setattr(stage, "MAX_REPORT", 10)
    assert "plain file" in failure(world, lambda _: None)


def test_a_sandbox_that_cannot_be_built_is_a_failed_control(world: World) -> None:
    """No tier, no scan; and no scan, no promotion."""

    class Absent:
        tier = Tier.NAMESPACES

        def run(self, job: Job) -> JobResult:
            raise AssertionError

        def python(self, module: str, args: Sequence[str], *, readable: Sequence[Path], writable: Path) -> JobResult:
            raise SandboxUnavailable("bubblewrap is missing")

    ws = replace(world.ws, sandbox=Absent())
    (evidence,) = scan(ws, world.model, stands.MADE_WITH).evidence
    assert evidence.outcome is Outcome.FAILED
    assert "bubblewrap is missing" in evidence.reason


def test_a_damaged_model_is_not_scanned(world: World) -> None:
    """Bytes that no longer have their digest are refused by the store before anything reads them."""
    for path in (world.ws.scratch.parent / "blobs").rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.chmod(0o600)
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert scanned(world).outcome is Outcome.FAILED
