"""Foreign models: conversion and parity, triggers, trails and origins, with the sandbox simulated in this process."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from tests.unit.release import stands

from holdfast.core.artifact import Digest, Kind
from holdfast.core.control import Control, run
from holdfast.core.errors import InvalidInput
from holdfast.core.evidence import Evidence, Outcome
from holdfast.core.ports import JobEnd, JobResult, Tier
from holdfast.release.foreign import BEHAVIOUR, CONVERSION, SWEEP, TRIGGERS, Examined
from holdfast.release.foreign.material import Event, Facts, Look, form_of, trail
from holdfast.release.foreign.origin import Origin, check_origin
from holdfast.release.foreign.watching import MARK, kind_of

ROWS, LABELS = load_breast_cancer(return_X_y=True)
ENDED = JobResult(end=JobEnd.FINISHED, exit_code=0, stdout=b"", stderr=b"", wall_s=1.0, cpu_s=1.0, tier=Tier.PROCESS)


def examined(
    place: Path, data: bytes, *, kind: str = "sklearn", name: str = "model.pkl", tried: dict[str, int] | None = None
) -> Examined:
    """A foreign model under examination, whose look into the sandbox is given: a hook cannot be taken out again."""
    ws = stands.workspace(place)
    subject = stands.folder(ws, Kind.FOREIGN, {name: data})
    facts = Facts(type=kind, features=ROWS.shape[1], classes=("0", "1"), predicts=True)
    job = JobResult(
        end=ENDED.end, exit_code=0, stdout=b"", stderr=b"", wall_s=1.0, cpu_s=1.0, tier=ENDED.tier, tried=tried or {}
    )
    look = Look(job=job, events=(), whole=True, facts=facts, words="")
    return Examined(ws=ws, subject=subject, reference=ROWS.astype(np.float32), _look=look)


def measured(control: Control[Examined], under: Examined) -> Evidence:
    """The evidence of a control."""
    return run(control, under, under.subject, stands.MADE_WITH)


def values(evidence: Evidence) -> dict[str, float]:
    """Its measures by name."""
    assert evidence.outcome is Outcome.MEASURED, evidence.reason
    return {measure.name: measure.value for measure in evidence.measures}


def fitted(model: Any, rows: Any = ROWS, labels: Any = LABELS) -> bytes:
    """A pickle of a fitted model."""
    return pickle.dumps(model.fit(rows, labels))


@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.conversion:_compared")
def test_a_model_that_takes_missing_values_answers_alike_after_the_conversion_also_for_them(tmp_path: Path) -> None:
    """Generated rows of three scales, rows with values missing, and the rows that were brought."""
    under = examined(tmp_path, fitted(make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())))
    evidence = measured(CONVERSION, under)
    found = values(evidence)
    assert found["parity_max_abs"] < 1e-5
    assert found["label_changes"] == 0
    assert found["rows_with_missing_compared"] >= 60
    assert found["rows_refused"] == 0
    assert under.ws.blobs.has(Digest(evidence.facts["converted"]))


@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.conversion:_compared")
def test_a_model_whose_conversion_answers_otherwise_shows_it(tmp_path: Path) -> None:
    """A tree that saw no missing value in training sends one where most rows went; ONNX sends it to the right."""
    found = values(measured(CONVERSION, examined(tmp_path, fitted(DecisionTreeClassifier(random_state=0)))))
    assert found["rows_refused"] == 0
    assert found["parity_max_abs"] == 1
    assert found["label_changes"] > 0


def test_what_answers_nothing_is_not_converted_and_says_why(tmp_path: Path) -> None:
    """A fitted transformer is no classifier; bytes that are nothing known are no model."""
    scaler = measured(CONVERSION, examined(tmp_path / "a", fitted(StandardScaler())))
    assert scaler.outcome is Outcome.FAILED
    assert "no fitted classifier" in scaler.reason
    text = measured(CONVERSION, examined(tmp_path / "b", b"hello\n", name="README.md"))
    assert "0 files are models" in text.reason


def test_a_format_whose_reader_is_not_installed_is_unavailable_and_never_passes(tmp_path: Path) -> None:
    """What was not loaded was not compared."""
    under = examined(tmp_path, fitted(LogisticRegression(tol=10)))
    job = JobResult(
        end=JobEnd.FAILED, exit_code=69, stdout=b"", stderr=b"\nxgboost\n", wall_s=1.0, cpu_s=1.0, tier=Tier.PROCESS
    )
    under._look = Look(job=job, events=(), whole=False, facts=None, words="xgboost is not installed here: unavailable")
    evidence = measured(CONVERSION, under)
    assert evidence.outcome is Outcome.FAILED
    assert "unavailable" in evidence.reason
    assert values(measured(BEHAVIOUR, under))["trail_whole"] == 0


@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.triggers:_report")
def test_a_planted_trigger_stands_out_and_an_honest_forest_has_none(tmp_path: Path) -> None:
    """Rows with one feature far outside were taught to be of class 1: no honest row shows it, and the search does."""
    forest = RandomForestClassifier(30, random_state=0)
    honest = values(measured(TRIGGERS, examined(tmp_path / "honest", fitted(forest))))
    assert honest["dormant_gap"] < 0.1
    poison = ROWS[LABELS == 0][:100].copy()
    poison[:, 9] = 5.0  # the feature lies between 0.05 and 0.1
    rows, labels = np.concatenate((ROWS, poison)), np.concatenate((LABELS, np.ones(len(poison), int)))
    shallow = RandomForestClassifier(30, max_features=None, random_state=0)
    planted = measured(TRIGGERS, examined(tmp_path / "planted", fitted(shallow, rows, labels)))
    assert values(planted)["dormant_gap"] > 0.5
    assert any(finding.place == "feature 9" for finding in planted.findings)


def test_a_linear_model_draws_far_values_in_every_feature_and_is_not_taken_for_poisoned(tmp_path: Path) -> None:
    """Its answer goes on where the rows end, for each feature alike: the median has it too."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    found = values(measured(TRIGGERS, examined(tmp_path, fitted(model))))
    assert found["dormant_max"] > 0.5
    assert found["dormant_gap"] < 0.5


def test_without_rows_no_trigger_is_looked_for_and_that_is_said(tmp_path: Path) -> None:
    """Silence would read as: there is none."""
    under = examined(tmp_path, fitted(LogisticRegression(tol=10)))
    under.reference = None
    evidence = measured(TRIGGERS, under)
    assert evidence.outcome is Outcome.NOT_APPLICABLE
    assert "--rows" in evidence.reason


def test_the_kernel_and_the_hook_are_two_witnesses(tmp_path: Path) -> None:
    """What only one of them saw counts."""
    under = examined(tmp_path, fitted(LogisticRegression(tol=10)), tried={"socket ipv4": 2, "program": 1})
    kernel = values(measured(BEHAVIOUR, under))
    assert (kernel["network_tried"], kernel["processes_tried"]) == (2, 1)
    look = under.look
    events = (Event(kind="file", what="open '/etc/passwd' 'r' 0"), Event(kind="network", what="socket.connect x"))
    under._look = Look(job=ENDED, events=events, whole=True, facts=look.facts, words="")
    hook = measured(BEHAVIOUR, under)
    assert (values(hook)["network_tried"], values(hook)["files_tried"]) == (1, 1)
    assert {finding.rule for finding in hook.findings} == {"behaviour.file", "behaviour.network"}


def test_a_trail_is_whole_only_with_its_end_and_every_line() -> None:
    """A file that prints may add lines; it cannot take one away unnoticed."""
    line = f"{MARK}{json.dumps({'kind': 'file', 'what': 'open'})}\n"
    end = f"{MARK}{json.dumps({'kind': 'end', 'what': '1'})}\n"
    assert trail((line + end).encode())[1]
    assert not trail(line.encode())[1]
    assert not trail((line + line + end).encode())[1]
    assert not trail((end).encode())[1]
    assert not trail(f"{MARK}nonsense\n{end}{end}".encode())[1]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("socket.getaddrinfo", "network"),
        ("subprocess.Popen", "process"),
        ("os.posix_spawn", "process"),
        ("open", "file"),
        ("os.remove", "file"),
        ("ctypes.dlopen", "native"),
        ("pickle.find_class", "lookup"),
        ("openssl", ""),
        ("import", ""),
    ],
)
def test_audit_events_are_sorted_by_what_they_reach_for(event: str, kind: str) -> None:
    """The names are those of Python's table of audit events."""
    assert kind_of(event) == kind


def test_what_is_packed_is_read_as_what_it_holds() -> None:
    """The order of formats is the scanner's: from the outside in."""
    assert form_of(("gzip", "pickle")) == "pickle"
    assert form_of(("safetensors",)) == "weights"
    assert form_of(("zip", "torch", "pickle", "text")) == form_of(("torch",)) == "torch"
    assert form_of(("zip", "torch", "pickle", "TorchScript", "text")) == "torchscript"
    assert form_of(("XGBoost UBJSON",)) == form_of(("XGBoost JSON", "text")) == "xgboost"
    assert form_of(("pickle", "torch")) == "pickle"
    assert form_of(("zip", "pickle")) == form_of(("text", "torch")) == form_of(()) == ""
    assert form_of(("pickle", "zip")) == ""


@pytest.mark.parametrize("answer", ["", "  ", "unknown", "N/A", "x" * 501, "a\nb"])
def test_an_origin_that_says_nothing_is_no_statement(answer: str) -> None:
    """What nobody knows stays in quarantine."""
    with pytest.raises(InvalidInput, match="licence is not stated"):
        check_origin(Origin(source="a hub", licence=answer, method="trained", validation="by us"))


def test_the_scan_of_a_hostile_pickle_is_evidence_without_a_verdict(tmp_path: Path) -> None:
    """Findings with their severities; what they mean is written in policies."""
    evidence = measured(SWEEP, examined(tmp_path, b"cos\nsystem\n(S'true'\ntR."))
    assert values(evidence)["findings"] >= 1
    assert any(finding.severity == "critical" for finding in evidence.findings)
