"""Compromise of a key: withdrawn at once, everything it signed void, what is known from before stated again."""

import msgspec
import pytest
from tests.scenarios.stand import Gateway, evidence, file_evidence, now, releases

from holdfast.core.artifact import Digest
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified, PolicyDenied, Refused
from holdfast.core.ledger import Draft
from holdfast.core.passport import AUTHORIZED
from holdfast.core.restatement import RESTATED, unseal_restated
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, Authorization, claimed, seal, unseal
from holdfast.lifecycle.compromise import compromise, resign
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.proof import why
from holdfast.lifecycle.records import keys
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.routing import case_of
from holdfast.lifecycle.verification import verify


def key_of(plant: Plant, role: str) -> str:
    """The id of the key that signs for a role."""
    return plant.keys.signer(role).keyid


def filed_by(plant: Plant, role: str) -> list:
    """The entries of evidence that a role's stage has filed."""
    return [entry for entry in plant.ledger.entries() if entry.kind == "evidence.filed" and entry.actor == role]


@pytest.mark.requirement("ACC-12", by="holdfast.lifecycle.compromise:compromise")
@pytest.mark.guarantee("G26")
def test_a_compromised_key_takes_with_it_what_rests_on_it_and_what_is_known_is_stated_again(producing: Plant) -> None:
    """Revoked, everything it signed fails, releases and deployments are named, and what rests on it stops answering.

    Then what a checkpoint from before the compromise witnesses is stated again, and the release may go back.
    """
    gateway, release = Gateway(producing), now(producing).baseline
    rows = gateway.rows(release)
    producing.ledger.checkpoint()
    key = key_of(producing, "assess")
    before = filed_by(producing, "assess")[-1]
    reply = compromise(producing, keyid=key[:20], reason="The laptop was stolen.")
    (deployment,) = reply.document["affected"]["deployments"]
    assert deployment["release"] == release
    assert set(reply.document["affected"]["releases"]) == set(releases(producing))
    with pytest.raises(NotVerified):
        unseal(producing.blobs.get(before.body["envelope"]), EVIDENCE, producing.trust, at=before.moment)
    with pytest.raises(NotVerified):
        case_of(producing, Digest(release))
    gateway.loader.refresh()
    assert gateway.answers_with(rows) == "404"
    with pytest.raises((NotVerified, PolicyDenied)):
        promote(producing, release=release, reason="It is fine.")
    assert {item["state"] for item in keys(producing).document["keys"] if item["keyid"] == key} == {"revoked"}
    assert verify(producing).exit_code == 0  # what is void is reported, and nothing rests on it
    said = resign(producing, keyid=key, reason="Our own runs of last week.").document
    assert said["restated"] > 0
    assert said["void"] == 0
    assert key_of(producing, "assess") != key
    promote(producing, release=release, reason="It is what it was.")
    gateway.loader.refresh()
    assert gateway.answers_with(rows) == short(release)
    assert all(link["verified"] for link in why(producing).document["chain"])
    assert verify(producing).exit_code == 0


def test_restating_at_once_keeps_production_up(producing: Plant) -> None:
    """With `--restate` and a checkpoint from before, what answers is decided upon anew and goes on."""
    release = now(producing).baseline
    producing.ledger.checkpoint()
    reply = compromise(producing, keyid=key_of(producing, "features"), reason="A backup was lost.", restate=True)
    assert reply.document["restated"]["void"] == 0
    assert now(producing).baseline == release
    assert why(producing).document["decision"] == "permitted"


@pytest.mark.parametrize("role", ["registry", "ledger", "gateway", "release", "root"])
def test_a_compromise_of_any_role_leaves_a_workspace_that_works(producing: Plant, role: str) -> None:
    """The successor signs routes, checkpoints, telemetry, models and the trust; the rest is void or restated."""
    gateway, release = Gateway(producing), now(producing).baseline
    rows = gateway.rows(release)
    gateway.traffic(rows[:20])
    producing.ledger.checkpoint()
    restate = role in {"release", "registry"}  # they have spoken of what answers
    compromise(producing, keyid=key_of_any(producing, role), reason="It leaked.", restate=restate)
    gateway.loader.refresh()
    assert gateway.answers_with(rows) == short(release)
    gateway.traffic(rows[:20])
    found = verify(producing)
    assert found.exit_code == 0, found.says


def key_of_any(plant: Plant, role: str) -> str:
    """The id of a role's only key, the gateway's too."""
    return plant.trust.of_role(role)[0].keyid


def test_an_approval_by_a_compromised_person_key_never_was(plant: Plant) -> None:
    """The release needs a new word; the old one neither counts nor spoils the passport."""
    release = str(promote(plant, reason="Good.").document["release"])
    compromise(plant, keyid=key_of(plant, "person"), reason="The token was lost.")
    assert now(plant).baseline == ""
    dossier = case_of(plant, Digest(release)).dossier
    assert dossier.nodes[dossier.subject].authorizations == ()
    promote(plant, release=release, reason="Good still, by the new key.")
    assert now(plant).baseline == release


def test_a_rejection_by_a_compromised_key_does_not_go_away(plant: Plant) -> None:
    """Bad news cannot be voided: whoever stole a key could otherwise take a rejection back by reporting it."""
    release = releases(plant)[-1]
    until = plant.clock.now().replace(year=plant.clock.now().year + 1)
    word = Authorization(
        person=plant.person, role="owner", action="reject", subject=release, until=until, reason="Biased."
    )
    body = {"action": "reject", "person": plant.person, "envelope": plant.seal(word, AUTHORIZATION, "person")}
    plant.ledger.append([Draft(kind=AUTHORIZED, actor=plant.person, stream=release, body=body)])
    compromise(plant, keyid=key_of(plant, "person"), reason="The token was lost.")
    with pytest.raises((NotVerified, PolicyDenied)):
        promote(plant, release=release, reason="Nobody rejected it.")


def test_what_came_after_the_witness_stays_void(plant: Plant) -> None:
    """What the thief may have filed after the newest checkpoint from before is not stated again."""
    key, model = key_of(plant, "assess"), filed_by(plant, "assess")[-1].stream
    plant.ledger.checkpoint()
    file_evidence(plant, evidence(model, "assess.extra/1", auc=1.0))
    compromise(plant, keyid=key, reason="It leaked.")
    said = resign(plant, keyid=key, reason="Our own runs.").document
    assert said["void"] == 1
    restated = [entry for entry in plant.ledger.entries() if entry.kind == RESTATED]
    assert len(restated) == said["restated"] > 0
    assert all(entry.body["witnessed"]["size"] > entry.body["position"] for entry in restated)
    with pytest.raises(NotVerified):  # what stays void still spoils what rests on it
        case_of(plant, releases(plant)[-1])


def test_without_a_checkpoint_from_before_nothing_is_stated_again(plant: Plant) -> None:
    """A compromise that is older than every checkpoint leaves no witness: the stages must run again."""
    key = key_of(plant, "assess")
    plant.ledger.checkpoint()
    compromise(plant, keyid=key, reason="It leaked.", since="2020-01-01T00:00+00:00")
    with pytest.raises(Refused, match="no checkpoint from before"):
        resign(plant, keyid=key, reason="We believe it.")
    assert not [entry for entry in plant.ledger.entries() if entry.kind == RESTATED]


def test_a_restatement_can_only_repeat(plant: Plant) -> None:
    """Better news under the name of the old, or a restatement of what is not void, is refused."""
    entry = filed_by(plant, "assess")[-1]
    old = plant.blobs.get(entry.body["envelope"])
    key = key_of(plant, "assess")
    good = msgspec.structs.replace(claimed(old, EVIDENCE), findings=())
    same = seal(claimed(old, EVIDENCE), EVIDENCE, [plant.keys.signer("assess")])
    with pytest.raises(NotVerified, match="only what a revoked key"):
        unseal_restated(old, same, EVIDENCE, plant.trust, at=plant.clock.now())
    compromise(plant, keyid=key, reason="It leaked.")
    better = msgspec.structs.replace(good, facts={**good.facts, "better": "yes"})
    newer = seal(better, EVIDENCE, [plant.keys.signer("assess")])
    with pytest.raises(NotVerified, match="something else"):
        unseal_restated(old, newer, EVIDENCE, plant.trust, at=plant.clock.now())
    newer = seal(claimed(old, EVIDENCE), EVIDENCE, [plant.keys.signer("train")])
    with pytest.raises(NotVerified):  # by another stage's key
        unseal_restated(old, newer, EVIDENCE, plant.trust, at=plant.clock.now())


def test_what_a_revoked_key_signs_after_the_report_is_broken_not_void(plant: Plant) -> None:
    """The thief files evidence after the report: `verify` says so with the entry as its place."""
    signer, model = plant.keys.signer("assess"), filed_by(plant, "assess")[-1].stream
    compromise(plant, keyid=signer.keyid, reason="It leaked.")
    envelope = plant.blobs.put(seal(evidence(model, "assess.quality/1", auc=1.0), EVIDENCE, [signer]))
    body = {"control": "assess.quality/1", "run": "x", "envelope": envelope}
    plant.ledger.append([Draft(kind="evidence.filed", actor="assess", stream=model, body=body)])
    assert verify(plant).exit_code == NotVerified.exit_code


def test_a_key_is_reported_once_with_a_reason_and_a_moment(plant: Plant) -> None:
    """Unknown keys, empty reasons, moments without zone or to come, and a second report are refused."""
    key = key_of(plant, "train")
    for wrong, error in (
        ({"keyid": "zz"}, NotFound),
        ({"keyid": ""}, NotFound),
        ({"reason": " "}, InvalidInput),
        ({"since": "yesterday"}, InvalidInput),
        ({"since": "2020-01-01T00:00"}, InvalidInput),
        ({"since": "2999-01-01T00:00+00:00"}, InvalidInput),
    ):
        with pytest.raises(error):
            compromise(plant, **({"keyid": key, "reason": "It leaked."} | wrong))  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        resign(plant, keyid=key, reason="Too early.")
    compromise(plant, keyid=key, reason="It leaked.")
    with pytest.raises(Conflict):
        compromise(plant, keyid=key, reason="It leaked.")
