"""Scenarios around the gate: what gets a release into production, what does not, and what takes it out again."""

import shutil
from pathlib import Path

import pytest
from tests.scenarios.stand import MADE_WITH, blob, damage, evidence, file_evidence, parent, releases

from holdfast import app
from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.errors import (
    Conflict,
    HoldfastError,
    InvalidInput,
    InvalidProject,
    NotFound,
    NotVerified,
    PolicyDenied,
)
from holdfast.core.evidence import failed
from holdfast.core.ledger import Draft
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import accept_policy, promote, rollback
from holdfast.lifecycle.proof import why
from holdfast.lifecycle.records import ledger_checkpoint
from holdfast.lifecycle.routing import current_project, standing
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verification import ledger_verify, verify


def release_of(plant: Plant) -> Digest:
    """Return the release that the finished run made."""
    return releases(plant)[-1]


def model_of(plant: Plant) -> Digest:
    """Return the model of that release."""
    return parent(plant, release_of(plant), Kind.MODEL)


COMMANDS = """
[serving.commands]
values = { benign = 0, %s = 10 }
lowest = 0
highest = 40
interlocks = [{ never = ["malignant"], input = "%s", below = 6.0 }]
"""


@pytest.mark.requirement("GATE-17", by="holdfast.lifecycle.resilience:check_commands")
def test_commands_that_no_gateway_would_load_are_refused_before_they_are_signed(plant: Plant, project: Path) -> None:
    """Another model's inputs: the release that answers goes on, and its gateways with it."""
    declared = project / "holdfast.toml"
    before = declared.read_text(encoding="utf-8")
    declared.write_text(before + COMMANDS % ("malignant", "distance"), encoding="utf-8")
    run(plant)
    with pytest.raises(InvalidInput, match="an interlock names no"):
        promote(plant, reason="It drives.")
    assert not standing(plant, current_project(plant)).baseline
    declared.write_text(before + COMMANDS % ("malignant", "mean_radius"), encoding="utf-8")
    run(plant)
    assert promote(plant, reason="It drives.").document["release"] == standing(plant, current_project(plant)).baseline


@pytest.mark.requirement("CICD-08")
@pytest.mark.requirement("REG-01")
def test_a_release_that_meets_every_rule_goes_into_production(plant: Plant) -> None:
    """The finished run is promoted by the owner's word and the policy's leave, and `why` shows the whole chain."""
    reply = promote(plant, reason="It is better than what we had.")
    assert standing(plant, current_project(plant)).baseline == reply.document["release"]
    shown = why(plant)
    assert {link["kind"] for link in shown.document["chain"]} >= {"source", "dataset", "features", "model", "release"}
    assert all(link["verified"] for link in shown.document["chain"])
    assert shown.document["decision"] == "permitted"


@pytest.mark.guarantee("G05")
@pytest.mark.requirement("CICD-10")
def test_a_failed_control_denies_and_the_denial_is_on_record(plant: Plant) -> None:
    """Bad news filed after good news denies, in words, and the violation stands in the ledger."""
    model = model_of(plant)
    file_evidence(plant, failed("assess.robustness/1", model, Kind.MODEL, MADE_WITH, "the attack crashed"))
    with pytest.raises(PolicyDenied) as denied:
        promote(plant, reason="Trying anyway.")
    assert any("the attack crashed" in reason for reason in denied.value.reasons)
    recorded = plant.last(release_of(plant), "decision.denied")
    assert recorded is not None
    assert any("the attack crashed" in reason["words"] for reason in recorded.body["reasons"])
    assert standing(plant, current_project(plant)).baseline == ""


@pytest.mark.guarantee("G05")
def test_a_second_worse_measurement_counts_not_the_first(plant: Plant) -> None:
    """Whoever measures again cannot hide the worse result behind the better one."""
    file_evidence(plant, evidence(model_of(plant), "release.scan/1", files_scanned=3, bytes_scanned=1, operators=1))
    file_evidence(plant, evidence(model_of(plant), "train.split/1", overlap_ids=4))
    with pytest.raises(PolicyDenied, match="does not let") as denied:
        promote(plant, reason="The first split was fine.")
    assert any("overlap_ids" in reason for reason in denied.value.reasons)


@pytest.mark.guarantee("G03")
def test_evidence_signed_by_another_stage_is_refused(plant: Plant) -> None:
    """The train key signs a quality report: nothing that rests on it can be decided."""
    file_evidence(plant, evidence(model_of(plant), "assess.quality/1", auc=1.0, balanced_accuracy=1.0), role="train")
    with pytest.raises(NotVerified, match="signed as train"):
        promote(plant, reason="Looks great.")


@pytest.mark.guarantee("G04")
def test_a_control_that_was_started_and_never_ended_denies(plant: Plant) -> None:
    """A run without a result is a failed run."""
    body = {"control": "assess.fairness/1", "run": "lost"}
    plant.ledger.append([Draft(kind="control.started", actor="assess", stream=model_of(plant), body=body)])
    with pytest.raises(PolicyDenied) as denied:
        promote(plant, reason="It must have been fine.")
    assert any("without a result" in reason for reason in denied.value.reasons)


@pytest.mark.guarantee("G04")
def test_revoked_data_denies_everything_that_learned_from_it(plant: Plant) -> None:
    """A revocation of the source reaches the release through the derivation."""
    recorded = plant.ledger.entries()
    source = next(entry.stream for entry in recorded if entry.body.get("kind") == Kind.SOURCE)
    plant.ledger.append([Draft(kind="artifact.revoked", actor="owner", stream=source, body={"reason": "poisoned"})])
    with pytest.raises(PolicyDenied) as denied:
        promote(plant, reason="The rows are fine.")
    assert any("poisoned" in reason for reason in denied.value.reasons)


def test_a_policy_that_the_root_never_accepted_does_not_decide(plant: Plant) -> None:
    """A project may name rules of its own; they decide only once the root key has accepted them."""
    text = plant.load_policy("baseline")[2].replace(b"at_least = 0.9\n", b"at_least = 0.1\n")
    mine = plant.home.root / "mine.toml"
    mine.write_bytes(text)
    edited = plant.home.project_file.read_text(encoding="utf-8").replace('policy = "baseline"', 'policy = "mine.toml"')
    plant.home.project_file.write_text(edited, encoding="utf-8")
    run(plant)
    with pytest.raises(PolicyDenied) as denied:
        promote(plant, reason="Our own rules.")
    assert any("root keys" in reason for reason in denied.value.reasons)
    accept_policy(plant, file=mine)
    with app.open_plant(plant.home.root) as again:
        promote(again, reason="Our own rules, accepted.")


def test_editing_the_project_file_is_no_way_round_the_policy_it_was_made_under(plant: Plant) -> None:
    """What decides about a release is what its own signed derivation names, not the file as it lies there now."""
    file_evidence(plant, failed("assess.robustness/1", model_of(plant), Kind.MODEL, MADE_WITH, "it crashed"))
    lax = b'name = "lax"\nversion = 1\npermit_lasts = "24h"\n[derivation]\nrelease = ["model"]\n'
    lax += b'[[rule]]\nid = "a"\nbecause = "b"\napproved_by = { role = "owner" }\n'
    (plant.home.root / "lax.toml").write_bytes(lax)
    accept_policy(plant, file=plant.home.root / "lax.toml")
    edited = plant.home.project_file.read_text(encoding="utf-8").replace('policy = "baseline"', 'policy = "lax.toml"')
    plant.home.project_file.write_text(edited, encoding="utf-8")
    with app.open_plant(plant.home.root) as again, pytest.raises(PolicyDenied):
        promote(again, reason="Under the lax rules.")


@pytest.mark.guarantee("G01")
@pytest.mark.requirement("SUP-13")
def test_a_changed_blob_is_found_by_verify_why_and_promote(plant: Plant) -> None:
    """One flipped bit in the stored model: `verify` names it, `why` refuses, and nothing is published from it."""
    onnx = Digest(parse_manifest(plant.blobs.get(model_of(plant))).file("model.onnx").digest)
    for copy in blob(plant, onnx):
        damage(copy)
    checked = verify(plant)
    assert checked.exit_code == NotVerified.exit_code
    assert any(onnx in check["words"] for check in checked.document["checks"])
    with pytest.raises(NotVerified):
        why(plant)


@pytest.mark.guarantee("G06")
@pytest.mark.requirement("REG-09")
def test_a_ledger_cut_off_at_its_end_is_found_against_a_checkpoint_kept_elsewhere(plant: Plant, tmp_path: Path) -> None:
    """Restoring an older copy of the whole workspace passes unanchored, and fails against the outside checkpoint."""
    older = tmp_path / "older"
    shutil.copytree(plant.home.root, older)
    promote(plant, reason="Something worth hiding.")
    note = tmp_path / "checkpoint.txt"
    ledger_checkpoint(plant, out=note)
    with app.open_plant(older) as other:
        assert "unanchored" in ledger_verify(other).says
        with pytest.raises(HoldfastError, match="cut off"):
            ledger_verify(other, checkpoint=note)


@pytest.mark.requirement("ROLL-11", by="holdfast.lifecycle.promotion:withdraw")
def test_rollback_puts_the_release_before_back(producing: Plant) -> None:
    """Roll back: the first release answers again; once more, and nothing answers, as declared."""
    first, second = releases(producing)
    assert standing(producing, current_project(producing)).baseline == second
    assert rollback(producing, reason="The second one was worse.").document == {"withdrawn": second, "serving": first}
    assert standing(producing, current_project(producing)).baseline == first
    rollback(producing, reason="So was the first.")
    assert standing(producing, current_project(producing)).baseline == ""
    with pytest.raises(Conflict):
        rollback(producing, reason="Nothing is left.")


def test_promoting_needs_a_reason_and_a_release_that_exists(plant: Plant) -> None:
    """An empty reason and an unknown digest are refused before anything is signed."""
    size = plant.ledger.size()
    with pytest.raises(InvalidInput):
        promote(plant, reason="  ")
    with pytest.raises(InvalidInput):
        promote(plant, reason="Two\nlines: one of them could look like another entry.")
    with pytest.raises(NotFound):
        promote(plant, reason="Fine.", release="sha256:" + "f" * 64)
    assert plant.ledger.size() == size


@pytest.mark.requirement("REG-07")
def test_an_ownerless_project_is_refused(plant: Plant) -> None:
    """Without an accountable owner nothing runs and nothing is promoted."""
    text = plant.home.project_file.read_text(encoding="utf-8")
    owner = next(line for line in text.splitlines() if line.startswith("owner"))
    plant.home.project_file.write_text(text.replace(owner, 'owner = ""'), encoding="utf-8")
    with pytest.raises(InvalidProject, match="owner"):
        promote(plant, reason="Nobody answers for it.")
    with pytest.raises(InvalidProject, match="owner"):
        run(plant)


@pytest.mark.guarantee("G23")
@pytest.mark.requirement("PROV-12", by="holdfast.lifecycle.runner:execute")
def test_the_same_inputs_give_the_same_model_byte_for_byte(plant: Plant, tmp_path: Path) -> None:
    """Another workspace with the same files trains the same ONNX bytes."""
    twin = tmp_path / "twin"
    twin.mkdir()
    for name in ("holdfast.toml", "train.py", "patients.csv"):
        shutil.copyfile(plant.home.root / name, twin / name)
    app.init(twin)
    with app.open_plant(twin) as other:
        again = run(other, until="train")
    assert again.document["artifacts"]["model"] == model_of(plant)


def test_the_unlock_secret_is_not_in_the_workspace(plant: Plant) -> None:
    """Copying the project's folder does not copy what opens the stage keys, and no key lies there in clear."""
    everything = b"".join(path.read_bytes() for path in plant.home.root.rglob("*.json"))
    assert b"PRIVATE KEY" not in everything
    assert not list(plant.home.root.rglob("*.unlock"))


def test_a_second_workspace_in_the_same_place_is_refused(plant: Plant) -> None:
    """`init` never overwrites keys."""
    with pytest.raises(Conflict):
        app.init(plant.home.root)


def test_an_artifact_of_two_kinds_is_refused(plant: Plant) -> None:
    """Somebody records the source's bytes as a model: nothing that derives from them can be decided any more."""
    source = next(entry for entry in plant.ledger.entries() if entry.body.get("kind") == Kind.SOURCE)
    lie = Artifact(kind=Kind.MODEL, digest=Digest(source.stream), size=1)
    plant.ledger.append([plant.record(lie, (), "train")])
    with pytest.raises(NotVerified, match="two kinds"):
        promote(plant, reason="Confusing.")
