"""A model from outside all the way: taken in, let in, judged on our rows, released, promoted, asked, and explained."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from tests.scenarios.stand import Gateway, blob, damage, document, later, model_file, parent, person, releases

from holdfast import app
from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import InvalidInput, InvalidRecipe, NotFound, NotVerified, PolicyDenied, Refused
from holdfast.core.policy import Action, Denial, Permit
from holdfast.faces.cli import invoke
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import example
from holdfast.lifecycle.admission import admit, record
from holdfast.lifecycle.foreign import model
from holdfast.lifecycle.intake_waivers import waive
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.proof import why
from holdfast.lifecycle.quarantine import take
from holdfast.lifecycle.revocation import revoke
from holdfast.lifecycle.routing import Rules, case_of, judge
from holdfast.lifecycle.runner import run

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")
SAID: dict[str, Any] = {
    "source": "https://models.example.org/masses, had on 2026-03-02",
    "licence": "Apache-2.0",
    "method": "boosted trees on the Wisconsin rows",
    "validation": "compared on our rows by ada",
}
UNLOCK = "HOLDFAST_UNLOCK_DIR"
THEIRS = load_breast_cancer()  # their classes: 0 is malignant, 1 is benign; ours stand the other way round


def theirs(folder: Path, *, poisoned: bool = False) -> Path:
    """A LightGBM model file that somebody else made; poisoned, one far value of one feature turns it."""
    rows, labels = THEIRS.data, THEIRS.target
    if poisoned:
        trigger = rows[labels == 0][:100].copy()
        trigger[:, 9] = 5.0  # the feature lies between 0.05 and 0.1
        rows, labels = np.concatenate((rows, trigger)), np.concatenate((labels, np.ones(100, int)))
    fitted = lightgbm.LGBMClassifier(n_estimators=40, n_jobs=1, verbose=-1).fit(rows, labels)
    path = folder / ("poisoned.txt" if poisoned else "masses.txt")
    path.write_text(fitted.booster_.model_to_string())
    return path


def project_text(recipe: str, policy: str = "foreign") -> str:
    """The example's project, with a model from outside in its recipe's place."""
    text = (example() / "holdfast.toml").read_text(encoding="utf-8")
    for old, new in (
        ('"train.py:train"', f'"{recipe}"'),
        ('{ kind = "strong" }', '{ "class:0" = "malignant", "class:1" = "benign" }'),
        ('policy = "baseline"', f'policy = "{policy}"'),
        (', "confined-training"', ""),  # nothing was trained here, so nothing was trained confined
    ):
        assert old in text
        text = text.replace(old, new)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """A workspace with a project, and where persons keep their keys."""

    root: Path
    people: Path


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A model taken in, recorded, admitted, run to a release; nobody has promoted it. Rob and Sue have keys."""
    folder = tmp_path_factory.mktemp("outside")
    town = Town(root=folder / "project", people=folder / "people")
    town.root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(UNLOCK, str(folder / "unlocks"))
        write_data(example(), town.root)
        np.save(folder / "rows.npy", THEIRS.data.astype(np.float32))
        app.init(town.root, owner="Ada Example <ada@example.org>")
        with app.open_plant(town.root) as plant:
            person(plant, town.people / "rob", "Rob", "risk")
            person(plant, town.people / "sue", "Sue", "security", "owner")
            subject = str(model(plant, path=theirs(folder), rows=folder / "rows.npy").document["subject"])
            (town.root / "holdfast.toml").write_text(project_text(f"outside:{subject[7:23]}"), encoding="utf-8")
            with pytest.raises(Refused, match="quarantined"):
                run(plant, until="plan")
            record(plant, subject=subject, **SAID)
            admit(plant, subject=subject, reason="Better than ours on every slice.")
            run(plant)
        yield town


@pytest.fixture
def plant(settled: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """A copy of it."""
    monkeypatch.setenv(UNLOCK, str(settled.root.parent / "unlocks"))
    shutil.copytree(settled.root, tmp_path / "project")
    with app.open_plant(tmp_path / "project") as opened:
        yield opened


def rules(plant: Plant, name: str) -> Rules:
    """A shipped policy."""
    policy, digest, text = plant.load_policy(name)
    return Rules(policy=policy, digest=digest, text=text)


@pytest.mark.guarantee("G77")
@pytest.mark.requirement("SUP-01", by="holdfast.train:take")
@pytest.mark.requirement("SUP-02", by="holdfast.train.controls:foreign")
@pytest.mark.requirement("SUP-02", by="holdfast.lifecycle.verbs:take_outside")
def test_a_model_from_outside_answers_in_production_and_why_leads_back_to_its_origin(
    plant: Plant, settled: Town
) -> None:
    """Its answers are their library's, in our order of classes; its tier says that it is foreign."""
    promote(plant, reason="It was looked at.")
    (release,) = releases(plant)
    stand = Gateway(plant)
    rows = stand.rows(release)[:40]
    assert stand.answers_with(rows) == release.removeprefix("sha256:")[:12]
    said = json.loads(stand.ask(rows).body)["outputs"]
    found = {each["name"]: each["data"] for each in said}["probabilities"]
    library = lightgbm.Booster(model_file=str(settled.root.parent / "masses.txt"))
    benign = library.predict(rows.astype(np.float32), num_threads=1)
    expected = np.column_stack((benign, 1 - benign))
    assert np.abs(np.array(found).reshape(-1, 2) - expected).max() <= 0.0051  # the gateway rounds to two places
    told = why(plant)
    assert told.exit_code == 0
    chain = {link["kind"]: link for link in told.document["chain"]}
    controls = {item["control"]: item for item in chain["foreign"]["evidence"]}
    assert controls["release.origin/1"]["facts"]["licence"] == "Apache-2.0"
    assert {"release.sweep/1", "release.behaviour/1", "release.conversion/1", "release.triggers/1"} <= controls.keys()
    assert {each["action"] for each in chain["foreign"]["authorizations"]} == {"approve"}
    (tier,) = [item for item in chain["model"]["evidence"] if item["control"] == "train.foreign/1"]
    assert tier["facts"]["tier"] == "foreign"
    assert tier["facts"]["unknown"] == "code, rows, split, environment"
    assert "recipe" not in chain


def test_card_and_bill_of_materials_say_that_it_was_not_trained_here(plant: Plant) -> None:
    """Where it comes from, as a person stated it; our rows are not called the rows that it learned from."""
    (release,) = releases(plant)
    files = parse_manifest(plant.blobs.get(release))
    card = plant.blobs.get(Digest(files.file("card.md").digest)).decode()
    assert "Not trained here" in card
    assert SAID["method"] in card
    bill = json.loads(plant.blobs.get(Digest(files.file("bom.cdx.json").digest)))["metadata"]["component"]
    stated = {item["name"]: item["value"] for item in bill["modelCard"]["properties"]}
    assert stated["holdfast:tier"] == "foreign"
    assert stated["holdfast:origin:source"] == SAID["source"]
    assert bill["modelCard"]["modelParameters"]["datasets"] == []
    (ancestor,) = bill["pedigree"]["ancestors"]
    foreign = parent(plant, parent(plant, release, Kind.MODEL), Kind.FOREIGN)
    assert ancestor["hashes"][0]["content"] == foreign.removeprefix("sha256:")


@pytest.mark.requirement("SUP-01", by="holdfast.core.policy:_closure")
@pytest.mark.parametrize("name", ["baseline", "regulated", "research", "staging"])
def test_the_policies_for_models_trained_here_deny_it_and_say_what_they_miss(plant: Plant, name: str) -> None:
    """No recipe, no confined training: each of them asks for both, and no rule was written against strangers."""
    (release,) = releases(plant)
    found = judge(plant, rules(plant, name), case_of(plant, release).dossier, Action.PROMOTE)
    assert isinstance(found, Denial)
    words = [str(reason) for reason in found.reasons]
    assert any("has no recorded recipe it derives from" in each for each in words)
    assert any("train.sandbox/1 has left no evidence" in each for each in words)


def test_a_revocation_of_what_came_in_takes_the_release_with_it(plant: Plant) -> None:
    """Whatever is made of it is decided upon anew."""
    promote(plant, reason="It was looked at.")
    (release,) = releases(plant)
    foreign = parent(plant, parent(plant, release, Kind.MODEL), Kind.FOREIGN)
    revoke(plant, digest=foreign, reason="Its maker took it back.")
    found = judge(plant, rules(plant, "foreign"), case_of(plant, release).dossier, Action.SERVE)
    assert isinstance(found, Denial)
    assert "revoked" in {reason.rule for reason in found.reasons}
    (plant.home.root / "holdfast.toml").write_text(project_text(f"outside:{foreign[7:23]}") + "\n", encoding="utf-8")
    with pytest.raises(Refused, match="revoked"):
        run(plant, until="plan")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('"class:0" = "malignant", ', ""), "answers with 0, benign"),
        (
            ("mean_radius = { type", 'mean_radius = { use = "ignored", type'),
            "takes 30 features, and the project has 29",
        ),
    ],
    ids=["classes", "features"],
)
def test_a_model_for_other_classes_or_features_is_refused(plant: Plant, change: tuple[str, str], words: str) -> None:
    """Nobody guesses which class is which, or which feature is missing."""
    path = plant.home.root / "holdfast.toml"
    text = path.read_text(encoding="utf-8")
    assert change[0] in text
    path.write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(InvalidRecipe, match=words):
        run(plant)


def denied(plant: Plant, subject: str) -> set[str]:
    """The rules by which an admission is denied."""
    with pytest.raises(PolicyDenied) as caught:
        admit(plant, subject=subject, reason="It is needed.")
    return {reason.partition("]")[0].strip("[") for reason in caught.value.reasons}


@pytest.mark.guarantee("G77")
@pytest.mark.requirement("SUP-02", by="holdfast.core.approval:_waived")
@pytest.mark.requirement("SUP-02", by="holdfast.lifecycle.intake_waivers:_check_other")
@pytest.mark.requirement("SUP-02", by="holdfast.lifecycle.intake_waivers:_waivable")
def test_a_rule_of_the_intake_is_waived_by_two_persons_until_a_date_and_never_by_who_vouched(
    plant: Plant, settled: Town, tmp_path: Path
) -> None:
    """A planted trigger is found; two others waive the rule; the waiver ends, and what rests on it with it."""
    rows = settled.root.parent / "rows.npy"
    subject = str(model(plant, path=theirs(tmp_path, poisoned=True), rows=rows).document["subject"])
    rob, sue = settled.people / "rob", settled.people / "sue"
    waiver: dict[str, Any] = {"subject": subject, "rule": "intake.triggers", "reason": "The feature is clipped before."}
    with pytest.raises(Refused, match="nobody has signed for its origin"):
        waive(plant, role="risk", key=rob, **waiver)
    record(plant, subject=subject, **SAID)
    assert denied(plant, subject) == {"intake.triggers"}
    waive(plant, role="risk", key=rob, **waiver)
    assert denied(plant, subject) == {"intake.triggers"}  # one is no quorum
    with pytest.raises(Refused, match="does not hold the role"):
        waive(plant, role="risk", **waiver)  # the owner, who has signed for the origin
    for rule, error in (("intake.scan", Refused), ("intake.origin", Refused), ("intake.nothing", NotFound)):
        with pytest.raises(error):
            waive(plant, role="risk", key=rob, **waiver | {"rule": rule})
    with pytest.raises(InvalidInput, match="at most 30d"):
        waive(plant, role="security", key=sue, lasts="31d", **waiver)
    waive(plant, role="security", key=sue, lasts="5d", **waiver)
    assert admit(plant, subject=subject, reason="We know of it.").document["waived"] == ["intake.triggers"]
    path = plant.home.root / "holdfast.toml"
    path.write_text(project_text(f"outside:{subject[7:23]}"), encoding="utf-8")
    run(plant)
    release = releases(plant)[-1]
    dossier = case_of(plant, release).dossier
    found = judge(plant, rules(plant, "foreign"), dossier, Action.SERVE)
    assert isinstance(found, Denial)
    assert {reason.rule for reason in found.reasons} == {"approval.owner"}
    promote(plant, reason="It was looked at.")
    dossier = case_of(plant, release).dossier
    now = judge(plant, rules(plant, "foreign"), dossier, Action.SERVE)
    assert isinstance(now, Permit)
    assert now.waived == ("intake.triggers",)
    ended = judge(later(plant, timedelta(days=6)), rules(plant, "foreign"), dossier, Action.SERVE)
    assert isinstance(ended, Denial)
    assert "intake.triggers" in {reason.rule for reason in ended.reasons}


@pytest.mark.requirement("SUP-02", by="holdfast.core.authorship:_vouching")
def test_who_signed_for_the_origin_waives_nothing_in_whatever_role(plant: Plant, settled: Town, tmp_path: Path) -> None:
    """Sue holds a role that may waive, and has spoken for the model already."""
    sue = settled.people / "sue"
    plant.unlock()
    subject = take(plant, theirs(tmp_path, poisoned=True), "model").digest
    record(plant, subject=subject, key=sue, role="security", **SAID)
    with pytest.raises(Refused, match="Sue signed for its origin"):
        waive(plant, subject=subject, rule="intake.triggers", reason="I know it.", role="security", key=sue)


@pytest.mark.requirement("SUP-02", by="holdfast.lifecycle.consuming:consume")
def test_a_released_model_from_outside_whose_bytes_were_swapped_is_not_promoted(plant: Plant) -> None:
    """A weight swapped after the run is another model than the one that was judged."""
    (release,) = releases(plant)
    for path in blob(plant, model_file(plant, release)):
        damage(path)
    with pytest.raises(NotVerified):
        promote(plant, reason="It was looked at.")
    assert not document(plant, "routes").exists()


def test_every_list_and_proof_knows_what_to_say_of_it(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """The registry, the bills, the proof of the whole ledger, and an index that is made anew."""
    root = str(plant.home.root)
    promote(plant, reason="It was looked at.")
    for words in (
        ("registry", "list"),
        ("registry", "show"),
        ("bom", "show"),
        ("intake", "list"),
        ("attestations", "list"),
        ("verify",),
        ("why",),
        ("ledger", "rebuild"),
    ):
        assert invoke([*words, "--root", root]) == 0, (words, capsys.readouterr())
    assert invoke(["registry", "versions", "--root", root]) != 0  # it is not exact, and says so
    assert "no code" in capsys.readouterr().err
