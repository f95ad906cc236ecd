"""Persons, grants and the root quorum: whose word counts, and who can change that."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.scenarios.keyring import Person, changed, person

from holdfast import app
from holdfast.core.artifact import canonical, digest_bytes
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, NotFound, NotVerified, Refused
from holdfast.core.ledger import Draft
from holdfast.core.seal import TRUST, seal
from holdfast.core.succession import check_successor, successor
from holdfast.edge import read_root
from holdfast.lifecycle import trusting
from holdfast.lifecycle.persons import add, grant, persons, remove, revoke_grant
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import accept_policy


@pytest.fixture
def root(bare: Path) -> Path:
    """The folder of a workspace without a project."""
    return bare


@pytest.fixture
def plant(root: Path) -> Iterator[Plant]:
    """Its control plane."""
    with app.open_plant(root) as opened:
        yield opened


def test_a_person_who_hands_in_a_public_file_is_granted_roles(plant: Plant, tmp_path: Path) -> None:
    """Keys and grants are on record by the root's word, in the reply and in the list of persons."""
    bob = person(tmp_path, "bob")
    reply = add(plant, file=bob.public, role="approver, reviewer", days=30)
    assert plant.trust.granted("bob", "approver", plant.clock.now()) is not None
    assert {each["what"] for each in reply.document["changes"]} == {"key-added", "grant-added"}
    (entry,) = changed(plant)
    assert entry.body["signers"] == ["ada"]
    listed = {item["name"]: item for item in persons(plant).document["persons"]}
    assert listed["bob"]["roles"] == ["approver", "reviewer"]
    assert listed["ada"]["root"] == "holds"
    assert listed["bob"]["root"] == "—"


def test_the_control_plane_holds_no_private_key_of_a_person(plant: Plant, root: Path, tmp_path: Path) -> None:
    """What a person signs, only the person's folder can."""
    bob = person(tmp_path, "bob")
    add(plant, file=bob.public, role="approver")
    (key,) = bob.keys().held()
    assert key.keyid not in {each.keyid for each in plant.keys.held()}
    with pytest.raises(NotFound):
        plant.keys.signer_of(key.keyid)


@pytest.mark.parametrize("tamper", ["name", "proof", "key", "role", "text"])
def test_a_public_file_that_does_not_prove_possession_is_refused(plant: Plant, tmp_path: Path, tamper: str) -> None:
    """Another's key under an own name, a missing proof, a stage's role, or no file at all."""
    file = tmp_path / "handed-in.json"
    document = json.loads(person(tmp_path, "bob").public.read_text())
    if tamper == "name":
        document["name"] = document["keys"][0]["owner"] = "eve"
    elif tamper == "proof":
        document["proofs"] = {}
    elif tamper == "key":
        document["keys"] = json.loads(person(tmp_path, "carol").public.read_text())["keys"]
        document["keys"][0]["owner"] = "bob"
    elif tamper == "role":
        document["keys"][0]["role"] = "registry"
    file.write_bytes(canonical(document) if tamper != "text" else b"hello")
    with pytest.raises(NotVerified):
        add(plant, file=file, role="approver")
    assert not changed(plant)


def test_a_namesake_does_not_take_somebodys_place_unasked(plant: Plant, tmp_path: Path) -> None:
    """A second key pair under a known name needs a word for it; then the first key's window ends."""
    first, second = (person(tmp_path, "bob", folder=each) for each in ("one", "two"))
    add(plant, file=first.public, role="approver")
    with pytest.raises(Conflict, match="replace"):
        add(plant, file=second.public, role="approver")
    add(plant, file=second.public, role="approver", replace=True)
    states = {each["keyid"]: each["state"] for each in persons(plant).document["persons"][1]["keys"]}
    assert states == {first.keys().held()[0].keyid: "retired", second.keys().held()[0].keyid: "active"}


def test_a_role_ends_when_it_is_taken_or_its_days_are_over(plant: Plant, tmp_path: Path) -> None:
    """Granting again renews; taking away what nobody has is a conflict; nobody unknown is granted anything."""
    add(plant, file=person(tmp_path, "bob").public, role="approver", days=1)
    grant(plant, person="bob", role="security", days=10)
    now = plant.clock.now()
    assert plant.trust.granted("bob", "security", now) is not None
    revoke_grant(plant, person="bob", role="security")
    assert plant.trust.granted("bob", "security", now) is None
    with pytest.raises(Conflict):
        revoke_grant(plant, person="bob", role="security")
    with pytest.raises(NotFound):
        grant(plant, person="eve", role="owner")
    for wrong in ({"days": 0}, {"days": 1000}, {"role": " , "}):
        with pytest.raises(InvalidInput):
            grant(plant, **{"person": "bob", "role": "approver"} | wrong)


def test_a_removed_person_has_no_word_and_the_last_root_holder_stays(plant: Plant, tmp_path: Path) -> None:
    """Keys end now, roles are gone; whoever alone holds the root cannot be removed."""
    add(plant, file=person(tmp_path, "bob").public, role="approver")
    remove(plant, name="bob")
    assert plant.trust.granted("bob", "approver", plant.clock.now()) is None
    assert all(key.not_after <= plant.clock.now() for key in plant.trust.keys if key.owner == "bob")
    with pytest.raises(NotVerified, match="0 root holders would be left"):
        remove(plant, name="ada")


@pytest.fixture
def quorum(plant: Plant, tmp_path: Path) -> list[Person]:
    """Ada, Bob and Carol hold the root, and two of them must sign."""
    others = [person(tmp_path, name, root_holder=True) for name in ("bob", "carol")]
    for other in others:
        add(plant, file=other.public, role="approver", root_holder=True)
    proposal = tmp_path / "threshold"
    trusting.propose(plant, out=proposal, threshold=2)
    app.trust_sign(file=proposal, keys=others[0].folder)
    trusting.apply(plant, file=proposal)
    return others


@pytest.mark.guarantee("G24")
def test_one_root_holder_alone_changes_nothing_where_two_must_sign(
    plant: Plant, quorum: list[Person], tmp_path: Path
) -> None:
    """Not by a command, not by an own proposal, not by signing it twice; with a second person's signature it holds."""
    before = plant.trust_document()
    eve = person(tmp_path, "eve")
    with pytest.raises(Refused, match="proposal"):
        add(plant, file=eve.public, role="owner")
    proposal = tmp_path / "proposal"
    add(plant, file=eve.public, role="owner", proposal=proposal)
    with pytest.raises(NotVerified, match="2 signer"):
        trusting.apply(plant, file=proposal)
    assert plant.trust_document() == before
    app.trust_sign(file=proposal, keys=quorum[1].folder)
    with pytest.raises(Refused, match="already"):
        app.trust_sign(file=proposal, keys=quorum[1].folder)
    trusting.apply(plant, file=proposal)
    assert plant.trust.granted("eve", "owner", plant.clock.now()) is not None
    assert changed(plant)[-1].body["signers"] == ["ada", "carol"]


def test_two_keys_of_one_person_are_one_voice(plant: Plant, quorum: list[Person], tmp_path: Path) -> None:
    """The threshold counts persons: a holder with an older and a newer root key is still one."""
    newer = person(tmp_path, "bob", root_holder=True, folder="bob-again")
    proposal = tmp_path / "proposal"
    add(plant, file=newer.public, role="approver", root_holder=True, replace=True, proposal=proposal)
    app.trust_sign(file=proposal, keys=quorum[0].folder)
    with pytest.raises(NotVerified, match="2 signer"):  # by the new root Bob must have signed with the new key
        trusting.apply(plant, file=proposal)
    app.trust_sign(file=proposal, keys=newer.folder)
    trusting.apply(plant, file=proposal)
    other = tmp_path / "other"
    trusting.propose(plant, out=other, threshold=3)
    document = other.read_bytes()
    app.trust_sign(file=other, keys=newer.folder)
    app.trust_sign(file=other, keys=quorum[0].folder)  # the old key, whose window is over
    with pytest.raises(NotVerified, match="3 signer"):  # by the new root three must sign, and Bob is one
        trusting.apply(plant, file=other)
    assert document != other.read_bytes()


def test_a_threshold_that_nobody_could_meet_is_refused(plant: Plant, tmp_path: Path) -> None:
    """More signers than holders would lock everybody out."""
    with pytest.raises(NotVerified, match="persons must sign"):
        trusting.propose(plant, out=tmp_path / "p", threshold=2)
    with pytest.raises(NotVerified):
        trusting.propose(plant, out=tmp_path / "p", threshold=0)


def test_a_policy_is_accepted_by_the_quorum_only(plant: Plant, quorum: list[Person], tmp_path: Path) -> None:
    """One holder's `policy accept` leaves no word on record that it was; proposed and signed by two it may decide."""
    text = b'name = "own"\nversion = 1\npermit_lasts = "24h"\n[derivation]\nrelease = ["model"]\n'
    text += b'[[rule]]\nid = "a"\nbecause = "b"\napproved_by = { role = "owner" }\n'
    file, proposal = tmp_path / "own.toml", tmp_path / "proposal"
    file.write_bytes(text)
    with pytest.raises(Refused, match="1 root holders"):
        accept_policy(plant, file=file)
    assert not [entry for entry in plant.ledger.stream("trust") if entry.kind == "policy.accepted"]
    trusting.propose(plant, out=proposal, accept=file)
    app.trust_sign(file=proposal, keys=quorum[0].folder)
    trusting.apply(plant, file=proposal)
    assert digest_bytes(text) in plant.trust.policies
    trusting.propose(plant, out=tmp_path / "less", forbid=digest_bytes(text)[:20])
    app.trust_sign(file=tmp_path / "less", keys=quorum[1].folder)
    trusting.apply(plant, file=tmp_path / "less")
    assert digest_bytes(text) not in plant.trust.policies
    with pytest.raises(InvalidInput, match="nothing"):
        trusting.propose(plant, out=tmp_path / "none")


def test_a_ledger_that_names_a_trust_nobody_signed_changes_nothing(plant: Plant, root: Path) -> None:
    """Whoever writes to the database can name another document; the one in force stays, and opening refuses."""
    before = plant.trust_document()
    signer = plant.keys.signer("train")
    forged = plant.blobs.put(seal(successor(plant.trust, policies=()), TRUST, [signer]))
    body = {"version": 2, "document": forged, "previous": "", "changes": [], "signers": [], "root": False}
    plant.ledger.append([Draft(kind="trust.changed", actor="root", stream="trust", body=body)])
    with pytest.raises(NotVerified), app.open_plant(root):
        pass
    assert plant.trust_document() == before


def test_signatures_collected_apart_are_put_together(plant: Plant, quorum: list[Person], tmp_path: Path) -> None:
    """Two holders sign two copies; `apply --also` joins them, and refuses two different proposals."""
    one, two = tmp_path / "one", tmp_path / "two"
    trusting.propose(plant, out=one, threshold=3)
    shutil.copy(one, two)
    app.trust_sign(file=one, keys=quorum[0].folder)
    app.trust_sign(file=two, keys=quorum[1].folder)
    with pytest.raises(NotVerified):
        trusting.apply(plant, file=one)
    trusting.apply(plant, file=one, also=two)
    assert plant.trust.root_threshold == 3
    third = tmp_path / "third"
    trusting.propose(plant, out=third, threshold=2)
    with pytest.raises(InvalidInput, match="different things"):
        trusting.apply(plant, file=third, also=two)


@pytest.mark.guarantee("G24")
def test_a_pin_of_long_ago_leads_to_todays_root_and_an_old_root_key_does_not_lead_elsewhere(
    plant: Plant, root: Path, quorum: list[Person], tmp_path: Path
) -> None:
    """The workspace is opened by its first pin after the root changed; a trust signed by the old root alone is not."""
    pinned = read_root(root / ".holdfast" / "gateway" / "root.json")
    assert (pinned.version, pinned.root_threshold) == (1, 1)
    with app.open_plant(root) as again:
        assert again.trust.root_threshold == 2
    forged = successor(plant.trust, root_threshold=1)
    envelope = seal(forged, TRUST, [plant.keys.signer("root")])
    (root / ".holdfast" / "trust.dsse.json").write_bytes(envelope)
    with pytest.raises(NotVerified, match="2 signer"), app.open_plant(root):
        pass


@pytest.mark.guarantee("G24")
def test_an_older_trust_put_back_is_not_believed(plant: Plant, root: Path, tmp_path: Path) -> None:
    """The ledger names the version: a copy of the file from before is replaced when the control plane is opened."""
    before = plant.trust_document()
    add(plant, file=person(tmp_path, "bob").public, role="approver")
    revoke_grant(plant, person="bob", role="approver")
    after = plant.trust_document()
    (root / ".holdfast" / "trust.dsse.json").write_bytes(before)
    with app.open_plant(root) as again:
        assert again.trust_document() == after


def test_a_change_whose_process_died_takes_effect_when_the_plane_is_opened(
    plant: Plant, root: Path, tmp_path: Path
) -> None:
    """On record first: dead between record and file, the next opening completes it, the root's links included."""

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add(
            replace(plant, store_trust=dies),
            file=person(tmp_path, "bob", root_holder=True).public,
            role="approver",
            root_holder=True,
        )
    with app.open_plant(root) as again:
        assert again.trust.version == 2
        assert len(again.trust.of_role("root")) == 2


def test_a_trust_may_not_forget_lengthen_or_forgive(plant: Plant) -> None:
    """Whoever signs it: keys stay, windows only shrink, revocations stay, versions count up by one."""
    trust = plant.trust
    longer = [
        msgspec.structs.replace(key, not_after=key.not_after + timedelta(days=1)) if key.role == "train" else key
        for key in trust.keys
    ]
    for newer in (
        successor(trust, keys=trust.keys[1:]),
        successor(trust, keys=longer),
        successor(trust, keys=(*trust.keys, trust.keys[0])),
        msgspec.structs.replace(trust, version=trust.version + 2),
        msgspec.structs.replace(successor(trust), workspace="other"),
    ):
        with pytest.raises(HoldfastError):
            trusting.change(plant, newer, says="")
    revoked = successor(trust, revoked=(trust.keys[0].keyid,))
    with pytest.raises(NotVerified, match="revocation"):
        check_successor(revoked, successor(revoked, revoked=()))
    assert not changed(plant)
