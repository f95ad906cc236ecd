"""What comes from outside: quarantined, examined, admitted by persons and policy; what is planted in it is caught."""

import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from tests.scenarios.stand import blob, damage

from holdfast import app
from holdfast.core.artifact import Digest, Kind, digest_bytes
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified, PolicyDenied, Refused, UsageError
from holdfast.core.passport import RECORDED
from holdfast.core.policy import Action, Denial, Request, decide
from holdfast.faces.cli import invoke
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import copy_project, example
from holdfast.lifecycle.admission import admit, fetch, listed, record
from holdfast.lifecycle.adoption import adopt
from holdfast.lifecycle.foreign import code, data, model
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.quarantine import check_free, take
from holdfast.lifecycle.routing import case_of
from holdfast.lifecycle.runner import run

SAID: dict[str, Any] = {
    "source": "https://models.example.org/iris, had on 2026-03-02",
    "licence": "Apache-2.0",
    "method": "a decision tree on the iris data",
    "validation": "compared on 150 rows by ada",
}
PAYLOAD = """
import ctypes, os, socket, subprocess
for step in (
    lambda: socket.create_connection(("127.0.0.1", 9), 1),
    lambda: subprocess.run(["/bin/true"]),
    lambda: open("/etc/passwd").read(),
    lambda: os.dup2(os.open("/dev/null", os.O_WRONLY), 1),
    lambda: ctypes.CDLL(None).socket(2, 1, 0),
):
    try:
        step()
    except Exception:
        pass
"""


class Planted:
    """A pickle that calls out when it is loaded; the payload does nothing but knock."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (PAYLOAD, {})


@pytest.fixture
def plant(bare: Path) -> Iterator[Plant]:
    """The control plane of a workspace without a project."""
    with app.open_plant(bare) as opened:
        yield opened


@pytest.fixture
def honest(tmp_path: Path) -> tuple[Path, Path]:
    """A pickled model of somebody else's, and rows of the kind it is meant for."""
    rows, labels = load_iris(return_X_y=True)
    path = tmp_path / "theirs" / "iris.pkl"
    path.parent.mkdir()
    path.write_bytes(
        pickle.dumps(make_pipeline(SimpleImputer(), DecisionTreeClassifier(random_state=0)).fit(rows, labels))
    )
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    return path, tmp_path / "rows.npy"


def denied(plant: Plant, subject: str) -> set[str]:
    """The rules by which an admission is denied."""
    with pytest.raises(PolicyDenied) as caught:
        admit(plant, subject=subject, reason="It is needed.")
    return {reason.partition("]")[0].strip("[") for reason in caught.value.reasons}


@pytest.mark.guarantee("G71")
@pytest.mark.requirement("SUP-01", by="holdfast.lifecycle.admission:policy_for")
@pytest.mark.requirement("SUP-02", by="holdfast.lifecycle.foreign:take_and_measure")
def test_a_model_from_outside_is_used_only_after_it_was_examined_described_and_let_in(
    plant: Plant, honest: tuple[Path, Path], tmp_path: Path
) -> None:
    """Four measurements; nobody said whence, so it stays; a person says so; a swap is seen; it is let in."""
    path, rows = honest
    found = model(plant, path=path, rows=rows)
    subject = str(found.document["subject"])
    assert {item["control"]: item["outcome"] for item in found.document["evidence"]} == {
        "release.sweep/1": "measured",
        "release.behaviour/1": "measured",
        "release.conversion/1": "measured",
        "release.triggers/1": "measured",
    }
    assert "not measured" not in found.says
    behaviour = found.document["evidence"][1]
    assert behaviour["measures"]["trail_whole"] == 1
    assert sum(behaviour["measures"][f"{what}_tried"] for what in ("network", "processes", "files", "native")) == 0
    with pytest.raises(Refused):
        fetch(plant, subject=subject, into=tmp_path / "too-early")
    assert denied(plant, subject) == {"intake.origin", "intake.origin-signed"}
    with pytest.raises(InvalidInput, match="licence"):
        record(plant, subject=subject, **SAID | {"licence": "unknown"})
    record(plant, subject=subject, **SAID)
    converted = Digest(found.document["evidence"][2]["facts"]["converted"])
    (kept,) = blob(plant, converted)
    before = kept.read_bytes()
    damage(kept)
    with pytest.raises(NotVerified):  # what was measured was swapped for something else
        admit(plant, subject=subject, reason="It is needed.")
    kept.write_bytes(before)
    let_in = admit(plant, subject=subject, reason="It is needed.")
    recorded = plant.last(str(let_in.document["model"]), RECORDED)
    assert recorded is not None
    assert recorded.body["parents"] == [{"kind": "foreign", "digest": subject}]
    fetch(plant, subject=subject[7:19], into=tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == plant.blobs.get(converted)
    assert [each["state"] for each in listed(plant).document["things"]] == ["admitted"]
    with pytest.raises(Conflict):
        admit(plant, subject=subject, reason="Again.")
    changed = bytearray(path.read_bytes())
    changed[-20] ^= 1
    path.write_bytes(changed)
    assert take(plant, path, "model").digest != subject  # one byte more or less is another thing, in quarantine


@pytest.mark.guarantee("G71")
@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.behaviour:_measure")
@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.sweeping:_measure")
def test_a_planted_payload_is_found_by_the_scan_and_caught_calling_out(plant: Plant, tmp_path: Path) -> None:
    """The scan names it without running it; in the sandbox it knocks in vain, and each knock is evidence."""
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Planted()))
    found = model(plant, path=path)
    subject = str(found.document["subject"])
    record(plant, subject=subject, **SAID)
    measures = {item["control"]: item["measures"] for item in found.document["evidence"]}["release.behaviour/1"]
    named = [row for row in found.document["findings"] if row["rule"].startswith("pickle.")]
    assert any(row["severity"] == "critical" and "exec" in row["message"] for row in named)
    assert measures["network_tried"] >= 2  # one socket by Python, and one by native code that the hook cannot see
    assert measures["processes_tried"] >= 1
    assert measures["files_tried"] >= 1
    assert any(
        row["rule"] == "behaviour.network" and "socket ipv4" in row["message"] for row in found.document["findings"]
    )
    assert denied(plant, subject) >= {
        "intake.scan",
        "intake.behaviour-network",
        "intake.behaviour-processes",
        "intake.behaviour-files",
        "intake.parity",
        "intake.triggers",
    }


@pytest.mark.guarantee("G71")
@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.sweeping:_measure")
def test_a_payload_in_an_archive_of_torch_is_found_whether_or_not_torch_is_here(plant: Plant, tmp_path: Path) -> None:
    """The scan needs no torch; where there is one, the payload runs against the walls, and is caught there too."""
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", pickle.dumps(Planted(), protocol=2))
        archive.writestr("weights/version", "3\n")
    found = model(plant, path=path)
    subject = str(found.document["subject"])
    record(plant, subject=subject, **SAID)
    assert any(
        row["rule"].startswith("pickle.") and row["severity"] == "critical" for row in found.document["findings"]
    )
    assert denied(plant, subject) >= {"intake.scan", "intake.converted", "intake.parity"}


@pytest.mark.requirement("SUP-01", by="holdfast.lifecycle.quarantine:check_free")
def test_rows_and_code_in_quarantine_are_not_run(plant: Plant, tmp_path: Path) -> None:
    """The bytes are known by their digest, whatever they are called; what never came in this way is free."""
    path = tmp_path / "bought.csv"
    path.write_bytes(b"a,b\n1,2\n")
    digest = digest_bytes(b"a,b\n1,2\n")
    check_free(plant, digest, "the source")
    plant.unlock()
    take(plant, path, "data")
    with pytest.raises(Refused, match="quarantined"):
        check_free(plant, digest, "the source")
    with pytest.raises(Refused, match="came in as data"):
        take(plant, path, "code")


def test_what_cannot_be_taken_in_says_why(plant: Plant, tmp_path: Path) -> None:
    """Nothing, a link, an empty folder, a digest nobody knows."""
    plant.unlock()
    with pytest.raises(UsageError):
        model(plant, path=tmp_path / "absent")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(InvalidInput, match="0 files"):
        take(plant, folder, "model")
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="link"):
        take(plant, folder, "model")
    with pytest.raises(NotFound):
        admit(plant, subject="abc", reason="It is needed.")


def test_what_is_no_model_lies_there_unmeasured_and_says_so(plant: Plant, tmp_path: Path) -> None:
    """Nobody takes "no findings" for a pass where nothing could be measured; the reason advises no other command."""
    path = tmp_path / "notes.txt"
    path.write_text("no model", encoding="utf-8")
    found = model(plant, path=path)
    assert "not measured: release.behaviour/1, release.conversion/1, release.triggers/1." in found.says
    reasons = {each["control"]: each["reason"] for each in found.document["evidence"]}
    assert "0 files are models that can be read here" in reasons["release.behaviour/1"]
    assert not any("holdfast run" in reason for reason in reasons.values())


def test_the_shipped_policies_do_not_let_a_foreign_model_answer(plant: Plant, tmp_path: Path) -> None:
    """A release derives from a model that was trained here; what came from outside is no release, and has no split."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"anything")
    plant.unlock()
    thing = take(plant, path, "model")
    dossier = case_of(plant, thing.digest).dossier
    assert dossier.nodes[thing.digest].kind is Kind.FOREIGN
    policy, digest, _ = plant.load_policy("baseline")
    for action in (Action.PROMOTE, Action.SERVE):
        request = Request(action=action, environment="production", now=plant.clock.now(), nonce="n")
        found = decide(policy, digest, dossier, request)
        assert isinstance(found, Denial)
        assert "subject" in {reason.rule for reason in found.reasons}


def test_the_commands_answer_from_the_line(bare: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`intake list` works on a workspace where nothing came in."""
    assert invoke(["intake", "list", "--root", str(bare)]) == 0
    assert "0 things came from outside" in capsys.readouterr().out


MLMODEL = """artifact_path: model
flavors:
  python_function:
    env:
      conda: conda.yaml
    loader_module: mlflow.sklearn
  sklearn:
    pickled_model: model.pkl
    sklearn_version: 1.5.1
mlflow_version: 2.14.1
run_id: 0a1b2c
signature:
  inputs: '[{"type": "double", "name": "a"}]'
utc_time_created: '2024-07-01 10:00:00.000000'
"""


def tracked(root: Path) -> Path:
    """A folder as MLflow leaves it: one run with a model, its registered version, and a model that nobody tracked."""
    run = root / "mlruns" / "0" / "0a1b2c"
    files = {
        run / "artifacts" / "model" / "MLmodel": MLMODEL,
        run / "artifacts" / "model" / "requirements.txt": "scikit-learn==1.5.1\n",
        run / "tags" / "mlflow.user": "bob",
        run / "tags" / "mlflow.source.name": "train.py",
        run / "tags" / "mlflow.source.git.commit": "deadbeef",
        run / "params" / "depth": "3",
        run / "metrics" / "auc": "1 0.9 0",
        run / "meta.yaml": "run_id: 0a1b2c\nuser_id: bob\n",
        root / "mlruns" / "models" / "churn" / "version-2" / "meta.yaml": (
            "current_stage: Production\nname: churn\nrun_id: 0a1b2c\nversion: 2\n"
        ),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (run / "artifacts" / "model" / "model.pkl").write_bytes(pickle.dumps({"a": 1}))
    (root / "old").mkdir()
    (root / "old" / "fraud.pkl").write_bytes(pickle.dumps([1, 2, 3]))
    return root


@pytest.mark.requirement("SUP-01", by="holdfast.lifecycle.trackers:models_in")
@pytest.mark.requirement("SUP-01", by="holdfast.release.foreign.lineage:missing")
def test_what_a_team_runs_is_adopted_with_a_list_of_what_nobody_knows(plant: Plant, tmp_path: Path) -> None:
    """What the tracker says is a claim, the rest is listed; the folder is as before; nothing leaves quarantine."""
    root = tracked(tmp_path / "theirs")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}
    found = adopt(plant, path=root).document["models"]
    assert [(each["name"], each["tracker"], each["tier"]) for each in found] == [
        ("churn v2 (Production)", "mlflow", "adopted"),
        ("old/fraud.pkl", "none", "adopted"),
    ]
    assert found[0]["missing"] == ["rows", "split", "licence"]
    assert found[0]["claimed"]["code"] == "train.py at commit deadbeef"
    assert len(found[1]["missing"]) == 10
    assert [each["scan"] for each in found] == ["measured", "measured"]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert {each["state"] for each in listed(plant).document["things"]} == {"quarantined"}
    assert {"intake.origin", "intake.parity"} <= denied(plant, found[0]["subject"])
    again = adopt(plant, path=root).document["models"]
    assert [each["subject"] for each in again] == [each["subject"] for each in found]
    with pytest.raises(NotFound):
        adopt(plant, path=root / "mlruns" / "models")
    with pytest.raises(UsageError):
        adopt(plant, path=root / "absent")


def table(*, flipped: int = 0) -> bytes:
    """Rows with their source; some are there a second time with the other label."""
    random = np.random.default_rng(3)
    rows = [(f"{a:.5f}", f"{b:.5f}", str(int(a > 0))) for a, b in random.normal(size=(200, 2))]
    rows += [(a, b, str(1 - int(label))) for a, b, label in rows[:flipped]]
    return ("a,b,label,source\n" + "".join(f"{','.join(row)},registry\n" for row in rows)).encode()


@pytest.mark.requirement("SUP-04", by="holdfast.lifecycle.foreign:data")
@pytest.mark.requirement("SUP-01", by="holdfast.lifecycle.foreign:code")
def test_rows_and_code_from_outside_are_vetted_before_their_first_use(plant: Plant, tmp_path: Path) -> None:
    """Rows with turned labels stay out; honest ones are free once a person has said whence; so is code."""
    trusted, bought, clean = tmp_path / "trusted.csv", tmp_path / "bought.csv", tmp_path / "clean.csv"
    for path, flipped in ((trusted, 0), (bought, 40)):
        path.write_bytes(table(flipped=flipped))
    clean.write_bytes(table() + b"0.5,0.5,1,registry\n")
    bad = str(data(plant, path=bought, label="label", reference=trusted).document["subject"])
    record(plant, subject=bad, **SAID)
    assert denied(plant, bad) - {"intake.data-suspects"} == {"intake.data-conflicts", "intake.data-near-conflicts"}
    good = str(data(plant, path=clean, label="label", reference=trusted).document["subject"])
    with pytest.raises(Refused):
        check_free(plant, digest_bytes(clean.read_bytes()), "the source")
    record(plant, subject=good, **SAID)
    admit(plant, subject=good, reason="Bought for ward 7.")
    check_free(plant, digest_bytes(clean.read_bytes()), "the source")
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "LICENSE").write_text("Apache-2.0\n")
    (folder / "train.py").write_text("import os\nos.system('true')\n")
    found = str(code(plant, path=folder).document["subject"])
    record(plant, subject=found, **SAID)
    assert denied(plant, found) == {"intake.code-calls"}


@pytest.mark.requirement("TRN-09", by="holdfast.lifecycle.admission:_modules")
def test_an_admitted_notebook_becomes_a_module_that_a_recipe_can_name(plant: Plant, tmp_path: Path) -> None:
    """Read in quarantine, let in by a person, and written out as it is; nobody rewrites it."""
    folder = tmp_path / "step"
    folder.mkdir()
    (folder / "LICENSE").write_text("Apache-2.0\n")
    cell = {"cell_type": "code", "metadata": {}, "source": ["%pip install numpy==2.2.0\n", "def train(data): return 7"]}
    (folder / "theirs.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4}))
    subject = str(code(plant, path=folder).document["subject"])
    with pytest.raises(Refused):
        fetch(plant, subject=subject, into=tmp_path / "early", modules=True)
    record(plant, subject=subject, **SAID)
    admit(plant, subject=subject, reason="It was read.")
    fetch(plant, subject=subject, into=tmp_path / "out", modules=True)
    scope: dict[str, Any] = {}
    exec(compile((tmp_path / "out" / "theirs.py").read_text(), "theirs.py", "exec"), scope)  # noqa: S102 - it is ours
    assert scope["train"](None) == 7


@pytest.mark.guarantee("G71")
@pytest.mark.requirement("SUP-01", by="holdfast.lifecycle.quarantine:check_free")
def test_a_run_refuses_rows_that_lie_in_quarantine(unlocking: Path, tmp_path: Path) -> None:
    """Whatever they are called in the project: the digest is what counts."""
    source = example()
    copy_project(source, tmp_path)
    write_data(source, tmp_path)
    app.init(tmp_path)
    with app.open_plant(tmp_path) as opened:
        opened.unlock()
        (rows,) = tmp_path.glob("*.csv")
        take(opened, rows, "data")
        with pytest.raises(Refused, match="came from outside"):
            run(opened, until="plan")
