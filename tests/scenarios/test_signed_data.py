"""Scenarios of what is used: nothing is trained, put into production or taken out that was changed or is not signed."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.stand import blob, damage, incidents, later, model_file, parent, published_blob, releases

from holdfast import app
from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import HoldfastError, NotVerified
from holdfast.core.ledger import Draft
from holdfast.core.seal import EVIDENCE
from holdfast.engines.signing import model_signing
from holdfast.lifecycle.consuming import consume
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.mending import DAMAGED, RESTORED, STREAM
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.registry_download import download
from holdfast.lifecycle.registry_staging import stage
from holdfast.lifecycle.repairing import repair
from holdfast.lifecycle.restoring import backup
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.security import events
from holdfast.lifecycle.signing import DATASET_SIGNED, check_signed
from holdfast.lifecycle.verification import verify


def dataset_of(plant: Plant) -> Digest:
    """The data set that the finished run made."""
    return recorded(plant, Kind.DATASET)


def recorded(plant: Plant, kind: Kind) -> Digest:
    """The artifact of a kind that the finished run has put on record."""
    made = (entry for entry in plant.ledger.entries() if entry.kind == "artifact.recorded")
    return Digest(next(entry.stream for entry in made if entry.body["kind"] == kind))


def spoil(plant: Plant, digest: str) -> None:
    """Flip a bit in every copy of a blob that the workspace has."""
    for copy in blob(plant, digest):
        damage(copy)


def first_file(plant: Plant, folder: str) -> Digest:
    """The first file of a stored folder."""
    return Digest(parse_manifest(plant.blobs.get(Digest(folder))).files[0].digest)


def happened(plant: Plant) -> list[str]:
    """What was put on record about blobs."""
    return [entry.kind for entry in plant.ledger.stream(STREAM)]


def edit_recipe(plant: Plant) -> None:
    """Change the training code, so that the next run reuses the data set and trains anew."""
    recipe = plant.home.root / current_project(plant).train.recipe.partition(":")[0]
    recipe.write_text(recipe.read_text(encoding="utf-8") + "\n# once more\n", encoding="utf-8")


@pytest.mark.requirement("SUP-11", by="holdfast.lifecycle.signing:sign_dataset")
def test_a_data_set_is_signed_by_the_key_of_its_role_and_no_other(plant: Plant) -> None:
    """The bundle is one that public tools read; the release key's word on a data set counts for nothing."""
    dataset = dataset_of(plant)
    files = parse_manifest(plant.blobs.get(dataset))
    signed = check_signed(plant, dataset, files, DATASET_SIGNED)
    assert {name for name, _ in signed.files} == {file.path for file in files.files}
    (key,) = (key for key in plant.trust.keys if key.keyid == signed.keyid)
    assert key.role == "ingest"
    plant.unlock()
    forged = model_signing.sign(files, "mine", plant.keys.signer("release"), plant.trust.of_role("release"))
    body = {"bundle": plant.blobs.put(forged)}
    plant.ledger.append([Draft(kind=DATASET_SIGNED, actor="mallory", stream=dataset, body=body)])
    with pytest.raises(NotVerified, match="not trusted"):
        check_signed(plant, dataset, files, DATASET_SIGNED)


@pytest.mark.guarantee("G68")
@pytest.mark.requirement("SUP-11", by="holdfast.lifecycle.consuming:check_inputs")
@pytest.mark.requirement("SUP-13", by="holdfast.lifecycle.consuming:check_inputs")
def test_training_does_not_start_on_a_damaged_data_set(plant: Plant) -> None:
    """One bit of the stored rows is changed, and the next training stops with the blob's name before it begins."""
    spoil(plant, first_file(plant, dataset_of(plant)))
    edit_recipe(plant)
    with pytest.raises(NotVerified, match="no good copy") as refused:
        run(plant)
    assert refused.value.place == first_file(plant, dataset_of(plant))
    assert happened(plant) == [DAMAGED]
    assert incidents(plant)[-1].kind == "incident.opened"


@pytest.mark.requirement("SUP-11", by="holdfast.lifecycle.consuming:check_inputs")
def test_training_does_not_start_on_a_data_set_that_nobody_entitled_has_signed(plant: Plant) -> None:
    """A signature by a key of another role takes the place of the good one: what rests on it stops."""
    dataset = dataset_of(plant)
    plant.unlock()
    files = parse_manifest(plant.blobs.get(dataset))
    forged = model_signing.sign(files, "mine", plant.keys.signer("release"), plant.trust.of_role("release"))
    body = {"bundle": plant.blobs.put(forged)}
    plant.ledger.append([Draft(kind=DATASET_SIGNED, actor="ingest", stream=dataset, body=body)])
    edit_recipe(plant)
    with pytest.raises(NotVerified, match="not trusted"):
        run(plant, until="train")
    started = [entry.body["stage"] for entry in plant.ledger.entries() if entry.kind == "stage.started"]
    assert started.count("train") == 1, "only the first run began to train"


@pytest.mark.requirement("SUP-13", by="holdfast.lifecycle.consuming:consume")
def test_features_without_a_word_of_their_stage_are_not_used(plant: Plant) -> None:
    """Bytes that fit their digest are not enough: the stage that makes them must have sealed evidence about them."""
    features = parent(plant, parent(plant, releases(plant)[-1], Kind.MODEL), Kind.FEATURES)
    consume(plant, features, Kind.FEATURES)
    folder = parse_manifest(plant.blobs.get(features))
    foreign = plant.sealed("artifacts").put_document(folder.document + b"")
    assert foreign == features
    with pytest.raises(NotVerified, match="has signed nothing"):
        consume(plant, dataset_of(plant), Kind.FEATURES)


CONSUMERS = {
    "register": lambda plant, _: promote(plant, reason="Looks fine."),
    "deploy": lambda plant, _: stage(plant, reason="Looks fine."),
    "take out": lambda plant, into: download(plant, into=into),
}


@pytest.mark.requirement("SUP-13", by="holdfast.lifecycle.consuming:consume")
@pytest.mark.parametrize("consumer", CONSUMERS)
def test_every_consumer_of_a_release_verifies_it_first(consumer: str, plant: Plant, tmp_path: Path) -> None:
    """One damaged byte of the model: nothing is promoted, staged or handed out, and an incident is open."""
    spoil(plant, model_file(plant, releases(plant)[-1]))
    with pytest.raises(HoldfastError) as refused:
        CONSUMERS[consumer](plant, tmp_path / "out")
    assert "no good copy" in str(refused.value) or isinstance(refused.value, NotVerified)
    assert happened(plant) == [DAMAGED]
    assert not (tmp_path / "out").exists()
    assert not list(plant.home.published.glob("blobs/sha256/*/*"))
    shown = [row[3] for row in events(plant, last=50).tables[0].rows]
    assert DAMAGED in shown or any(DAMAGED in str(row) for row in events(plant, last=50).tables[0].rows)


@pytest.mark.guarantee("G68")
@pytest.mark.requirement("SUP-14", by="holdfast.lifecycle.mending:mend")
def test_a_damaged_model_is_restored_from_what_gateways_read_and_alerted(producing: Plant) -> None:
    """The gateway's folder holds the same bytes for another reason: verified, they take its place."""
    (_, second) = releases(producing)
    onnx = model_file(producing, second)
    good = producing.blobs.get(onnx)
    spoil(producing, onnx)
    with pytest.raises(NotVerified):
        producing.blobs.get(onnx)
    promote(producing, release=second, reason="Once more.")
    assert producing.blobs.get(onnx) == good
    assert happened(producing) == [RESTORED]
    entry = producing.ledger.stream(STREAM)[0]
    assert entry.body["from"] == "what gateways read"
    assert incidents(producing)[-1].kind == "incident.opened"
    assert list((producing.home.workspace / "damaged").iterdir()), "what was damaged is kept as evidence"
    assert verify(producing).exit_code == 0


@pytest.mark.requirement("SUP-14", by="holdfast.lifecycle.repairing:repair")
def test_a_backup_brings_back_rows_under_the_key_they_lay_under(plant: Plant, tmp_path: Path) -> None:
    """Rows lie in no gateway's folder: the backup has them, and erasing their key still erases them afterwards."""
    rows = first_file(plant, dataset_of(plant))
    good = plant.blobs.get(rows)
    backup(plant, out=tmp_path / "backup")
    spoil(plant, rows)
    assert repair(plant).document["set_aside"] == 1, "without the backup it can only be made again"
    done = repair(plant, backup=tmp_path / "backup")
    assert done.document == {"restored": 1, "set_aside": 0, "lost": []}
    assert plant.blobs.get(rows) == good
    source = parent(plant, dataset_of(plant), Kind.SOURCE)
    assert plant.erase(f"rows {source}")
    with pytest.raises(HoldfastError, match="erased"):
        plant.blobs.get(rows)


@pytest.mark.requirement("SUP-14", by="holdfast.lifecycle.repairing:repair")
def test_what_no_copy_is_left_of_is_made_again_by_the_next_run(plant: Plant) -> None:
    """Same inputs, same code: the features that are set aside come back with the very digest they had."""
    features = parent(plant, parent(plant, releases(plant)[-1], Kind.MODEL), Kind.FEATURES)
    file = first_file(plant, features)
    spoil(plant, file)
    with pytest.raises(NotVerified, match="no good copy"):
        run(plant)
    assert repair(plant).document["set_aside"] == 1
    run(plant)
    assert plant.blobs.check(file)
    assert repair(plant).says == "Every blob that is on record has its bytes."


@pytest.mark.requirement("SUP-14", by="holdfast.lifecycle.repairing:repair")
def test_what_somebody_handed_in_and_nobody_kept_is_lost_and_said_to_be(plant: Plant) -> None:
    """No stage makes a recipe: without a copy it is lost, and the exit code says so."""
    recipe = recorded(plant, Kind.RECIPE)
    spoil(plant, first_file(plant, recipe))
    done = repair(plant)
    assert done.exit_code == NotVerified.exit_code
    assert done.document["lost"] == [first_file(plant, recipe)]


@pytest.mark.requirement("SUP-14")
def test_a_damaged_file_on_the_gateway_is_replaced_and_alerted(producing: Plant) -> None:
    """The gateway's copy is changed on disk: the watch puts the good one back, and says so as a security event."""
    (_, second) = releases(producing)
    damage(published_blob(producing, model_file(producing, second)))
    done = look(producing)
    assert any("restored" in words for words in done.done)
    assert RESTORED in [entry.kind for entry in producing.ledger.stream("published")]


@pytest.mark.requirement("SUP-13", by="holdfast.lifecycle.signing:check_signed")
def test_a_signature_is_judged_at_the_time_the_ledger_took_it_in(plant: Plant, tmp_path: Path) -> None:
    """Ten years later, when every window has closed, the old signature still verifies; one made then does not."""
    (release,) = releases(plant)
    files = parse_manifest(plant.blobs.get(release))
    late = later(plant, timedelta(days=3650))
    assert check_signed(late, release, files).keyid
    entry = plant.last(release, "release.signed")
    assert entry is not None
    bundle = plant.blobs.get(Digest(entry.body["bundle"]))
    with pytest.raises(NotVerified, match="outside the key's validity"):
        model_signing.verify(
            bundle,
            [(file.path, Digest(file.digest)) for file in files.files],
            plant.trust.of_role("release"),
            at=late.clock.now(),
        )


def test_a_copied_workspace_keeps_its_evidence(plant: Plant, tmp_path: Path) -> None:
    """What is checked before use is the workspace's own record: a copy of it, opened elsewhere, is as good."""
    shutil.copytree(plant.home.root, tmp_path / "copy")
    with app.open_plant(tmp_path / "copy") as copied:
        (release,) = releases(copied)
        consume(copied, release, Kind.RELEASE)
        consume(copied, parent(copied, release, Kind.MODEL), Kind.MODEL)
        assert EVIDENCE.uri
