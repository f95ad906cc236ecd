"""Custody: how the keys are kept is evidence, and every use of a key is on record."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.scenarios.stand import evidence, file_evidence, releases

from holdfast import app
from holdfast.adapters.custody import read_custody, served_store, socket_of
from holdfast.adapters.signer_process import SignerServer
from holdfast.adapters.unlock import unlock_file
from holdfast.core import tokens
from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import NotFound
from holdfast.core.seal import EVIDENCE, seal, unseal
from holdfast.core.trust import ROLES
from holdfast.lifecycle.custody import attest, custody, destroy_ended
from holdfast.lifecycle.pack import pack_make
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.readiness import ready
from holdfast.lifecycle.records import keys
from holdfast.lifecycle.rotation import rotate
from holdfast.lifecycle.routing import case_of
from holdfast.lifecycle.sessions import mint
from holdfast.lifecycle.verification import verify

SUBJECT = digest_bytes(b"a model")


def test_how_the_keys_are_kept_is_evidence_on_the_release(plant: Plant) -> None:
    """A fresh workspace keeps all of its own on one disk, and says so in evidence that a policy may demand."""
    reply = attest(plant)
    release = releases(plant)[-1]
    assert reply.document["measures"]["on_same_disk"] == reply.document["measures"]["keys"] == len(ROLES) - 1
    assert reply.document["custody"]["gateway"] == "elsewhere"
    filed = case_of(plant, release).dossier.nodes[release].filed
    (found,) = [item for item in filed if item.evidence.control == "keys.custody/1"]
    assert {measure.name: measure.value for measure in found.evidence.measures}["in_hsm"] == 0
    assert found.verified.signers[0].role == "keys"
    assert verify(plant).exit_code == 0
    for unknown in ("", "sha256:" + "0" * 64, str(plant.ledger.stream("trust")[0].stream)):
        if unknown:
            with pytest.raises(NotFound):
                attest(plant, release=unknown)


def test_every_use_of_a_key_is_counted_and_on_record(bare: Path) -> None:
    """By key, role and purpose, exactly, when the control plane is closed; reading alone leaves no entry."""
    with app.open_plant(bare) as plant:
        for number in range(5):
            file_evidence(plant, evidence(SUBJECT, "assess.quality/1", auc=number / 10))
        plant.ledger.checkpoint()
        signer = plant.keys.signer("assess").keyid
    with app.open_plant(bare) as plant:
        used = Counter[tuple[str, str]]()
        for entry in plant.ledger.stream("keys"):
            for use in entry.body.get("uses", ()):
                used[use["role"], use["purpose"]] += use["count"]
        assert used == {("assess", "evidence"): 5}  # the checkpoint is kept beside the ledger, a record of itself
        told = [use for entry in plant.ledger.stream("keys") for use in entry.body["uses"]]
        assert {use["keyid"] for use in told if use["role"] == "assess"} == {signer}
        size = plant.ledger.size()
    with app.open_plant(bare) as plant:
        assert plant.ledger.size() == size


def test_the_list_of_keys_says_where_each_stands_and_lies(bare: Path) -> None:
    """State and custody of each, and what is due."""
    with app.open_plant(bare) as plant:
        document = keys(plant).document
    assert {item["state"] for item in document["keys"]} == {"active"}
    kept = {item["role"]: item["custody"] for item in document["keys"]}
    assert kept.pop("gateway") == "elsewhere"
    assert set(kept.values()) == {"same-disk"}
    assert document["due"] == document["certificates_ending"] == 0


def test_private_halves_of_what_has_ended_are_destroyed(bare: Path) -> None:
    """Retired keys go, active ones and those in their overlap stay, and what the gone ones signed verifies."""
    with app.open_plant(bare) as plant:
        item = evidence(SUBJECT, "assess.quality/1", auc=1.0)
        signer = plant.keys.signer("assess")
        moment, sealed = plant.clock.now(), seal(item, EVIDENCE, [signer])
        rotate(plant, role="assess", overlap="0s")
        rotate(plant, role="train", overlap="1d")
        assert destroy_ended(plant).document["destroyed"] == [signer.keyid]
        assert destroy_ended(plant).document["destroyed"] == []
        with pytest.raises(NotFound):
            plant.keys.signer_of(signer.keyid)
        unseal(sealed, EVIDENCE, plant.trust, at=moment)
        plant.keys.signer("assess").sign(b"m")
        gone = [entry.body["keyid"] for entry in plant.ledger.stream("keys") if entry.kind == "key.destroyed"]
        assert gone == [signer.keyid]
    assert not (bare / ".holdfast" / "keys" / "assess.json").exists()


@contextmanager
def signer_of(root: Path, unlocking: Path) -> Iterator[None]:
    """A workspace's signer, in a thread."""
    workspace = root / ".holdfast"
    kept = read_custody(workspace)
    with app.open_plant(root) as plant:
        origin = plant.origin
    unlock = unlock_file(unlocking / f"{origin.replace('/', '-')}-signer.unlock")
    store, uids = served_store(workspace, kept, unlock), frozenset({os.geteuid()})
    server = SignerServer(store, socket_of(workspace, kept), origin=origin, uids=uids)
    ready = threading.Event()
    thread = threading.Thread(target=server.run, args=(ready.set,))
    thread.start()
    assert ready.wait(10)
    yield
    server.stop()
    thread.join(10)


def test_behind_a_signer_a_workspace_says_all_that_it_must(project: Path, unlocking: Path, tmp_path: Path) -> None:
    """Promotion and its repository, access tokens, evidence packs, premises: each key signs just what its role says."""
    with app.open_plant(project) as plant:
        custody(plant, store="signer", socket=tmp_path / "socket")
    with signer_of(project, unlocking):
        with app.open_plant(project) as plant:
            promote(plant, reason="The first.")
            token, _ = mint(plant, tokens.Subject(name="ada", session="key:1"))
            tokens.verify(token, plant.trust, issuer=plant.origin, now=plant.clock.now())
            pack_make(plant, out=tmp_path / "pack")
            assert ready(plant, only="registry.keys/1").exit_code == 0
            assert verify(plant).exit_code == 0
        with app.open_plant(project) as plant:
            used = {
                (use["role"], use["purpose"])
                for entry in plant.ledger.stream("keys")
                for use in entry.body.get("uses", ())
            }
    assert {("registry", "timestamp"), ("registry", "snapshot"), ("registry", "targets")} <= used
    assert {("tokens", "token"), ("ledger", "pack")} <= used
    assert {role for role, purpose in used if purpose == "other"} <= {"person", "root"}  # neither is the signer's
