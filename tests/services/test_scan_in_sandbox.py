"""The scan of a model in the sandboxes that production uses: it runs there, and a hostile model changes nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.services.sandbox_tiers import SANDBOXES, sandbox_named
from tests.unit.release import stands
from tests.unit.scan import models

from holdfast.core.artifact import Kind
from holdfast.core.evidence import Evidence, Outcome
from holdfast.core.ports import Tier
from holdfast.release import scan


def scanned(tier: str, place: Path, files: dict[str, bytes]) -> Evidence:
    """The evidence of a scan in a tier."""
    ws = replace(stands.workspace(place), sandbox=sandbox_named(tier))
    return scan(ws, stands.folder(ws, Kind.MODEL, files), stands.MADE_WITH).evidence[0]


@pytest.mark.parametrize("tier", SANDBOXES)
def test_a_model_is_scanned_in_every_tier(tier: str, tmp_path: Path) -> None:
    """The scanner needs the model's files, a folder for its report, and nothing else: no network, no other path."""
    evidence = scanned(tier, tmp_path, stands.model_files())
    assert evidence.reason == ""
    assert evidence.outcome is Outcome.MEASURED
    assert evidence.facts["operators"] == "ai.onnx.ml.TreeEnsembleClassifier=1"
    assert not evidence.findings


def test_a_hostile_model_leaves_findings_and_the_same_evidence_in_every_tier(tmp_path: Path) -> None:
    """What is found depends on the bytes, not on where they were read."""
    hostile = models.field(7, models.field(1, models.field(4, b"Relu")) * 2) + models.field(99, b"x" * 5000)
    files = stands.model_files() | {"model.onnx": hostile, "weights.pkl": b"\x80\x04\x95"}
    found = [scanned(tier, tmp_path / tier, files) for tier in (Tier.PROCESS, Tier.NAMESPACES)]
    assert {"file.executable", "onnx.no-opset", "onnx.unknown-field"} <= {f.rule for f in found[0].findings}
    assert found[0].reproducible == found[1].reproducible
