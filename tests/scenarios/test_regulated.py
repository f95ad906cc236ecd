"""The way into production under the policy `regulated`: other persons' approval, and ten conditions probed live.

Each condition is switched off in the world, not in the evidence: then its control, carried out again, makes exactly its
own rule deny.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.scenarios.stand import (
    MADE_WITH,
    blob,
    entrust,
    evidence,
    file_evidence,
    later,
    model_file,
    parent,
    person,
    releases,
)

from holdfast import app
from holdfast.core.access import read_rules
from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified, PolicyDenied, Refused
from holdfast.core.evidence import failed
from holdfast.core.policy import Action, Denial, Request, decide
from holdfast.core.ports import Keys
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, Authorization, seal, unseal
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import copy_project, example
from holdfast.lifecycle import probes
from holdfast.lifecycle.access import look
from holdfast.lifecycle.advisories import make, take
from holdfast.lifecycle.approvals import approvals, approve, file_authorization, reject, waive
from holdfast.lifecycle.guarding import guards_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.readiness import READINESS, drill_rollback, ready
from holdfast.lifecycle.routing import case_of, current_project, judge, rules_of
from holdfast.lifecycle.runner import run
from holdfast.serve import Gateway

WRITER = "Wilma Writer"
OWNER, REVIEWER, RISK, SECURITY = "Otto <otto@example.org>", "Rita <rita@example.org>", "Rob", "Sue"
UNIT = "import train\n\ndef test_the_recipe_can_be_called():\n    assert callable(train.train)\n"
WHOLE = "def test_the_release_holds_a_model(release):\n    assert (release / 'model.onnx').stat().st_size > 100\n"
RUNBOOK = "# When it answers wrongly\n\n" + "Take it out with `holdfast rollback`, then read [why](why.md).\n" * 6
MORE = """
[tests]
unit = ["unit.py"]
integration = ["whole.py"]

[respond]
runbooks = ["runbook.md"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """A workspace under `regulated`, and where its persons keep their keys."""

    plant: Plant
    people: Path

    @property
    def release(self) -> Digest:
        """The release."""
        return releases(self.plant)[-1]

    def key(self, name: str) -> Path:
        """The folder with a person's key."""
        return self.people / name.partition(" ")[0].lower()

    def approve(self, name: str, role: str) -> None:
        """A person approves."""
        approve(self.plant, reason="I have looked at it.", role=role, key=self.key(name))

    def approved(self) -> None:
        """The two persons that the policy asks for."""
        self.approve(OWNER, "owner")
        self.approve(REVIEWER, "reviewer")

    def denies(self) -> set[str]:
        """The rules that would deny promotion now."""
        found = judge(
            self.plant, rules_of(self.plant, self.release), case_of(self.plant, self.release).dossier, Action.PROMOTE
        )
        return {reason.rule for reason in found.reasons} if isinstance(found, Denial) else set()


def commit(folder: Path, author: str, *files: str) -> None:
    """Commit files of a folder as somebody."""
    who = ("-c", f"user.name={author}", "-c", f"user.email={author.split(maxsplit=1)[0].lower()}@example.org")
    for words in (("init", "-q"), ("add", *files), ("commit", "-q", "-m", "Train")):
        subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


UNLOCK = "HOLDFAST_UNLOCK_DIR"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example under `regulated`: run, probed and drilled, and approved by nobody."""
    folder = tmp_path_factory.mktemp("regulated")
    with pytest.MonkeyPatch.context() as patch:  # other finished projects of this session have another one
        patch.setenv(UNLOCK, str(folder / "unlocks"))
        prepare(folder)
    return folder


def prepare(folder: Path) -> None:
    """Make the project, give persons their keys, and do all but approve."""
    root, source = folder / "project", example()
    root.mkdir()
    copy_project(source, root)
    write_data(source, root)
    text = (root / "holdfast.toml").read_text(encoding="utf-8").replace('policy = "baseline"', 'policy = "regulated"')
    text = text.replace('tier = "process"', 'tier = "namespaces"')
    for name, content in {"unit.py": UNIT, "whole.py": WHOLE, "runbook.md": RUNBOOK, "why.md": "# Why\n"}.items():
        (root / name).write_text(content, encoding="utf-8")
    (root / "holdfast.toml").write_text(text + MORE, encoding="utf-8")
    commit(root, WRITER, "train.py")
    app.init(root)
    with app.open_plant(root) as plant:
        for name, roles in (
            (OWNER, ("owner",)),
            (REVIEWER, ("reviewer", "owner")),
            (WRITER, ("owner", "reviewer", "risk")),
            (RISK, ("risk",)),
            (SECURITY, ("security",)),
        ):
            person(plant, folder / "people" / name.partition(" ")[0].lower(), name, *roles)
        run(plant)
        assert ready(plant).exit_code == 0
        know(plant, folder)
        assert drill_rollback(plant).exit_code == 0


def know(plant: Plant, folder: Path) -> None:
    """Hold the release against advisories that do not touch it."""
    (folder / "osv").mkdir()
    affected = [{"package": {"ecosystem": "PyPI", "name": "numpy"}, "versions": ["0.1"]}]
    document = {"id": "CVE-2000-1", "modified": "2026-01-01T00:00:00Z", "affected": affected}
    (folder / "osv" / "a.json").write_text(json.dumps(document), encoding="utf-8")
    make(plant, source=folder / "osv", date=plant.clock.now().isoformat(), out=folder / "advisories.zip")
    take(plant, snapshot=folder / "advisories.zip")


@pytest.fixture
def town(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """A copy of it."""
    monkeypatch.setenv(UNLOCK, str(prepared / "unlocks"))
    folder = tmp_path / "copy"
    shutil.copytree(prepared, folder)
    with app.open_plant(folder / "project") as plant:
        yield Town(plant=plant, people=folder / "people")


# Approvals


@pytest.mark.guarantee("G33")
@pytest.mark.requirement("REG-02", by="holdfast.core.approval:seat")
def test_two_others_approve_and_the_release_goes_into_production(town: Town) -> None:
    """Nobody yet, one, two: only the second person's word lets it in; the owner's command alone only decides."""
    with pytest.raises(PolicyDenied) as nobody:
        promote(town.plant, reason="Now?", no_approve=True)
    assert {each.partition("]")[0] for each in nobody.value.reasons} == {"[approval.owner", "[approval.second"}
    town.approve(OWNER, "owner")
    assert town.denies() == {"approval.second"}
    assert "reviewer or security" in "; ".join(approvals(town.plant).document["missing"])
    town.approve(REVIEWER, "reviewer")
    assert approvals(town.plant).document["missing"] == []
    assert tier_of_policy(town, "baseline", tier=4) == {"tier"}  # the full tier demands this manual review
    assert tier_of_policy(town, "regulated", tier=4) == set()
    promote(town.plant, reason="Two have looked at it.", no_approve=True)
    assert standing(town.plant, current_project(town.plant)).baseline == town.release


def tier_of_policy(town: Town, policy: str, *, tier: int) -> set[str]:
    """The rules of another policy that would deny, were the project of this tier and its owner content."""
    project = parent(town.plant, town.release, Kind.PROJECT)
    file_evidence(town.plant, evidence(project, "plan.tier/1", Kind.PROJECT, tier=tier))
    named, digest, _ = town.plant.load_policy(policy)
    request = Request(action=Action.PROMOTE, environment="production", now=town.plant.clock.now(), nonce="n")
    found = decide(named, digest, case_of(town.plant, town.release).dossier, request)
    return {reason.rule for reason in found.reasons} if isinstance(found, Denial) else set()


@pytest.mark.guarantee("G33")
def test_whoever_wrote_or_ran_it_cannot_approve_it(town: Town) -> None:
    """History names the writer, the run its actor; neither's approval counts, and the list says why."""
    town.approve(WRITER, "owner")
    town.approve(REVIEWER, "reviewer")
    approve(town.plant, reason="I ran it myself.")  # the owner of the workspace, with the key that lies there
    assert town.denies() == {"approval.owner"}
    missing = "; ".join(approvals(town.plant).document["missing"])
    assert f"{WRITER} wrote the training code" in missing
    assert "Ada Example" in missing


@pytest.mark.guarantee("G33")
def test_the_committer_of_others_work_is_an_author_too(town: Town) -> None:
    """Somebody who commits a change later is named by the next run, and loses the seat that was taken before."""
    town.approved()
    assert town.denies() == set()
    path = town.plant.home.root / "train.py"
    original = path.read_text(encoding="utf-8")
    path.write_text(original + "\n# looks harmless\n", encoding="utf-8")
    commit(town.plant.home.root, "Rita", "train.py")
    path.write_text(original, encoding="utf-8")
    commit(town.plant.home.root, "Rita", "train.py")
    run(town.plant)  # the same bytes again: the model is reused, and who wrote it is not
    assert town.denies() == {"approval.second"}


@pytest.mark.guarantee("G33")
def test_one_person_in_two_roles_and_one_rejection(town: Town) -> None:
    """Rita may speak as owner and as reviewer, and is one person; one who rejects stops it for good."""
    town.approve(REVIEWER, "owner")
    town.approve(REVIEWER, "reviewer")
    assert len(town.denies()) == 1
    town.approve(OWNER, "owner")
    assert town.denies() == set()
    reject(town.plant, reason="It is biased.", role="risk", key=town.key(RISK))
    assert town.denies() == {"approval.owner", "approval.second"}


def word(town: Town, person_: str = OWNER, **changed: Any) -> Authorization:
    """An approval that is good but for what is changed."""
    fields = {
        "person": person_,
        "role": "owner",
        "action": "approve",
        "subject": town.release,
        "until": town.plant.clock.now() + timedelta(days=1),
        "reason": "I have looked at it.",
    }
    return Authorization(**(fields | changed))  # type: ignore[arg-type]


@pytest.mark.guarantee("G33")
def test_a_word_signed_elsewhere_is_filed_once_if_it_is_the_persons(town: Town) -> None:
    """The envelope is verified before anything is written: signer, person, role, subject, end, and that it is new."""
    signer = town.plant.open_person(town.key(OWNER))
    good = seal(word(town), AUTHORIZATION, [signer])
    size = town.plant.ledger.size()
    refused: list[tuple[type[Exception], bytes]] = [
        (NotVerified, good[:-20]),
        (NotVerified, seal(word(town, REVIEWER), AUTHORIZATION, [signer])),
        (Refused, seal(word(town, role="security"), AUTHORIZATION, [signer])),
        (InvalidInput, seal(word(town, until=town.plant.clock.now()), AUTHORIZATION, [signer])),
        (InvalidInput, seal(word(town, action="grant"), AUTHORIZATION, [signer])),
        (InvalidInput, seal(word(town, reason=""), AUTHORIZATION, [signer])),
        (InvalidInput, seal(word(town, reason="x" * 501), AUTHORIZATION, [signer])),
        (InvalidInput, seal(word(town, rule="quality.auc"), AUTHORIZATION, [signer])),
        (NotFound, seal(word(town, subject="sha256:" + "0" * 64), AUTHORIZATION, [signer])),
    ]
    for kind, envelope in refused:
        with pytest.raises(kind):
            file_authorization(town.plant, envelope)
    assert town.plant.ledger.size() == size
    assert file_authorization(town.plant, good).document["person"] == OWNER
    with pytest.raises(Conflict):
        file_authorization(town.plant, good)


@pytest.mark.guarantee("G33")
def test_an_approval_by_a_key_that_is_revoked_later_does_not_stand(town: Town) -> None:
    """Nothing that a revoked key signed is believed any more: the approval is missing again."""
    town.approved()
    trust = town.plant.trust
    lost = town.plant.open_person(town.key(OWNER)).keyid
    entrust(town.plant, replace_trust(trust, revoked=(lost,)))
    assert "approval.owner" in town.denies()
    told = approvals(town.plant).document
    assert [each["person"] for each in told["words"]] == [REVIEWER]


def replace_trust(trust: Any, **changed: Any) -> Any:
    """The next version of a trust document."""
    return msgspec.structs.replace(trust, version=trust.version + 1, **changed)


# The ten conditions


class Mute:
    """A model that loads, answers its warm-up, and then no more."""

    def __init__(self) -> None:
        self.calls = 0

    def run(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("no answer")
        return np.zeros(len(rows), dtype=np.int64), np.full((len(rows), 2), 0.5)


class MuteRuntime:
    def load(self, model: bytes, *, features: int, classes: int) -> Mute:
        return Mute()


def open_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take authentication out of the guards, as a careless change would."""
    every = guards_of
    monkeypatch.setattr(
        "holdfast.lifecycle.rehearsal.guards_of",
        lambda project: tuple(spec for spec in every(project) if spec.name not in {"authenticated", "within-rate"}),
    )


def again(town: Town, control: str, plant: Plant | None = None) -> set[str]:
    """Carry one control out again, and return what denies then."""
    if control == "respond.drill/1":
        drill_rollback(plant or town.plant)
    else:
        ready(plant or town.plant, only=control)
    return town.denies()


def test_nothing_but_the_two_approvals_is_missing(town: Town) -> None:
    """The control group of what follows: all conditions hold."""
    town.approved()
    assert town.denies() == set()
    assert {"registry.signature/1", "features.lineage/1", "release.tests/1", "release.load/1"} <= set(READINESS)


@pytest.mark.requirement("CICD-20", by="holdfast.lifecycle.premises:_registered")
def test_a_release_whose_stored_bytes_were_changed_is_not_registered(town: Town) -> None:
    """Pre-production A: the signature is verified over what is stored now."""
    town.approved()
    for path in blob(town.plant, model_file(town.plant, town.release)):
        path.chmod(0o600)
        path.write_bytes(path.read_bytes() + b"\0")
    assert again(town, "registry.signature/1") == {"ready.registered"}


@pytest.mark.requirement("CICD-21", by="holdfast.lifecycle.lineage:_measure")
def test_features_that_do_not_follow_from_their_data_set_have_no_lineage(town: Town) -> None:
    """Pre-production B: whoever put other features on record is found by computing them again, and so is lost data."""
    town.approved()
    features = parent(town.plant, parent(town.plant, town.release, Kind.MODEL), Kind.FEATURES)
    dataset = parent(town.plant, features, Kind.DATASET)
    (path,) = blob(town.plant, dataset)
    path.chmod(0o600)
    path.unlink()
    assert again(town, "features.lineage/1") == {"ready.lineage"}


@pytest.mark.requirement("CICD-22", by="holdfast.release.tests:_measure")
@pytest.mark.parametrize(
    ("file", "content", "rule"),
    [
        ("unit.py", "def test_it():\n    assert 1 == 2, 'not equal'\n", {"ready.tests.unit"}),
        ("whole.py", "def test_it(release):\n    raise SystemExit(3)\n", {"ready.tests.integration"}),
        ("unit.py", "import nothing_of_this_name\n", {"ready.tests.unit"}),
        ("whole.py", "x = 1\n", {"ready.tests.integration"}),
    ],
)
def test_a_failing_test_denies_and_running_it_again_does_not_help(
    town: Town, file: str, content: str, rule: set[str]
) -> None:
    """Pre-production C: unit, integration and adversarial tests; a test that failed once has failed."""
    town.approved()
    path = town.plant.home.root / file
    before = path.read_text(encoding="utf-8")
    path.write_text(content, encoding="utf-8")
    assert again(town, "release.tests/1") == rule
    path.write_text(before, encoding="utf-8")
    assert again(town, "release.tests/1") == rule
    model = parent(town.plant, town.release, Kind.MODEL)
    file_evidence(town.plant, failed("assess.robustness/1", model, Kind.MODEL, MADE_WITH, "the attack crashed"))
    assert town.denies() == rule | {"robustness.noise", "robustness.attack"}


@pytest.mark.requirement("CICD-23", by="holdfast.lifecycle.premises:_keys")
def test_a_key_that_cannot_be_used_and_a_secret_in_the_folder_deny(town: Town) -> None:
    """Pre-production D: every needed key signs from the key store, and no secret lies beside the code."""
    town.approved()
    stray = town.plant.home.root / "deploy" / "settings.py"
    stray.parent.mkdir()
    drawn = hashlib.sha256(b"drawn").hexdigest()[:40]
    stray.write_text(f'API_KEY = "{drawn}"\n', encoding="utf-8")
    assert again(town, "registry.keys/1") == {"ready.keys"}
    stray.unlink()
    assert again(town, "registry.keys/1") == set()
    lacking = replace(town.plant, keys=cast("Keys", Without(town.plant.keys, "respond")))
    assert again(town, "registry.keys/1", lacking) == {"ready.keys"}
    assert again(town, "registry.keys/1") == set()


class Without:
    """A key store that lacks a role's key."""

    def __init__(self, keys: Any, role: str) -> None:
        self._keys, self._role = keys, role

    def signer(self, role: str) -> Any:
        if role == self._role:
            raise NotFound(f"there is no key of role {role}")
        return self._keys.signer(role)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keys, name)


@pytest.mark.requirement("CICD-24", by="holdfast.lifecycle.probes:_telemetry")
def test_a_gateway_that_tells_nothing_denies(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pre-production E: the service levels must come out of the gateway."""
    town.approved()
    monkeypatch.setattr(Gateway, "untold", lambda _: [])
    assert again(town, "watch.telemetry/1") == {"ready.telemetry"}


@pytest.mark.requirement("CICD-25", by="holdfast.lifecycle.probes:_drill")
def test_a_rollback_that_does_not_work_denies(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready A: after the drill's rollback the release still answers, so there is no way back."""
    town.approved()
    swap = Gateway.swap
    swaps: list[Any] = []

    def once(gateway: Gateway, state: Any) -> None:
        if not swaps:
            swap(gateway, state)
        swaps.append(state)

    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "swap", once)
        assert again(town, "respond.drill/1") == {"ready.rollback"}
    assert again(town, "respond.drill/1") == set()
    assert "ready.rollback" in replace(town, plant=later(town.plant, timedelta(days=31))).denies()  # not recent


def test_a_drill_goes_back_to_what_answers_now(producing: Plant) -> None:
    """Where a release answers, the drill returns to it, decided upon anew; and the record says to which."""
    first, second = releases(producing)
    assert drill_rollback(producing, release=first).exit_code == 0
    filed = producing.last(first, "evidence.filed")
    assert filed is not None
    found = unseal(producing.blobs.get(Digest(filed.body["envelope"])), EVIDENCE, producing.trust, at=filed.moment)
    assert found.value.facts == {"to": second}
    assert {measure.name for measure in found.value.timings} == {"rollback_s"}


@pytest.mark.requirement("CICD-26", by="holdfast.lifecycle.probes:_may")
def test_rules_that_let_everybody_in_deny(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready B: an account without a group must be denied by the access rules in force, and it is not."""
    town.approved()
    open_rules = read_rules(b'@id("anybody") permit (principal, action, resource);')
    monkeypatch.setattr(probes, "look", lambda plant: replace(look(plant), rules=open_rules))
    assert again(town, "registry.access/1") == {"ready.access"}


@pytest.mark.requirement("CICD-27", by="holdfast.lifecycle.probes:_dashboards")
def test_a_dashboard_without_data_for_the_model_denies(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready C: the series are there for the gateway, and none for this model."""
    town.approved()
    scrape = Gateway._scrape
    monkeypatch.setattr(
        Gateway,
        "_scrape",
        lambda gateway, worker: b"\n".join(
            line for line in scrape(gateway, worker).splitlines() if b"model=" not in line
        ),
    )
    assert again(town, "watch.dashboards/1") == {"ready.dashboards"}


@pytest.mark.requirement("CICD-28", by="holdfast.lifecycle.premises:_runbooks")
@pytest.mark.parametrize("how", ["missing", "empty", "broken link"])
def test_a_runbook_that_cannot_be_read_denies(town: Town, how: str) -> None:
    """Ready D: each runbook is there, says something, and leads nowhere that is not there."""
    town.approved()
    path = town.plant.home.root / "runbook.md"
    match how:
        case "missing":
            path.unlink()
        case "empty":
            path.write_text("# To do\n", encoding="utf-8")
        case _:
            (town.plant.home.root / "why.md").unlink()
    assert again(town, "respond.runbooks/1") == {"ready.runbooks"}


@pytest.mark.requirement("CICD-29", by="holdfast.lifecycle.probes:_load")
def test_a_model_that_does_not_answer_under_load_denies(town: Town) -> None:
    """Ready E, load: calls that are not answered are counted, and the bound of the count's interval denies."""
    town.approved()
    assert again(town, "release.load/1", replace(town.plant, runtime=MuteRuntime)) == {"ready.load"}


@pytest.mark.requirement("CICD-29", by="holdfast.lifecycle.probes:_attacks")
def test_an_attack_that_gets_through_denies(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready E, security: without authentication calls get through, and access is no longer denied either."""
    town.approved()
    open_guards(monkeypatch)
    assert again(town, "release.attacks/1") == {"ready.attacks"}
    assert again(town, "registry.access/1") == {"ready.attacks", "ready.access"}


def test_every_probe_is_needed() -> None:
    """What `ready` carries out is what the policy asks for: no control runs for nothing."""
    from holdfast.core.policy import parse_policy
    from holdfast.lifecycle.policies import shipped_policies

    regulated = next(path for path in shipped_policies() if path.stem == "regulated")
    asked = {rule.control for rule in parse_policy(regulated.read_bytes())[0].rule}
    assert {*READINESS, probes.DRILL.name} <= asked


# Waivers


@pytest.mark.guarantee("G34")
def test_a_quorum_waives_one_rule_until_a_date_and_the_record_says_so(town: Town) -> None:
    """Two persons who did not write it; the writer, a wrong role, and a rule that is not waivable are refused."""
    town.approved()
    model = parent(town.plant, town.release, Kind.MODEL)
    file_evidence(town.plant, failed("assess.slices/1", model, Kind.MODEL, MADE_WITH, "too few rows"))
    assert town.denies() == {"quality.slices"}
    why = {"rule": "quality.slices", "reason": "The slice has nine rows; we watch it."}
    refused: tuple[tuple[type[Exception], Callable[[], Any]], ...] = (
        (Refused, lambda: waive(town.plant, **why, role="risk", key=town.key(WRITER))),
        (Refused, lambda: waive(town.plant, **why, role="owner", key=town.key(OWNER))),
        (Refused, lambda: waive(town.plant, **why | {"rule": "release.signature"}, role="risk", key=town.key(RISK))),
        (NotFound, lambda: waive(town.plant, **why | {"rule": "quality"}, role="risk", key=town.key(RISK))),
    )
    for kind, attempt in refused:
        with pytest.raises(kind):
            attempt()
    waive(town.plant, **why, role="risk", key=town.key(RISK))
    assert town.denies() == {"quality.slices"}
    waive(town.plant, **why, role="security", key=town.key(SECURITY))
    assert town.denies() == set()
    promote(town.plant, reason="With a waiver.", no_approve=True)
    routed = next(entry for entry in reversed(list(town.plant.ledger.entries())) if entry.kind == "endpoint.routed")
    assert routed.body["permit"]["waived"] == ["quality.slices"]
