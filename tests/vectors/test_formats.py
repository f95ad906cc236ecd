"""Holdfast's own formats as they were frozen: what was valid stays valid, what was refused stays refused."""

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.core.artifact import canonical, digest_bytes, parse_manifest
from holdfast.core.errors import NotVerified
from holdfast.core.ledger import SignedCheckpoint, audit, open_checkpoint, parse_entry
from holdfast.core.passport import Passport, open_passport, parse_passport
from holdfast.core.policy import Action, Permit, Request, decide, parse_policy
from holdfast.core.seal import PREDICATES, unseal
from holdfast.core.trust import Grant, Trust

FOLDER = Path(__file__).parent / "formats"


def frozen(name: str) -> Any:
    """One file of vectors."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


SEALS, LEDGER, PASSPORT, MANIFESTS = (
    frozen(name) for name in ("seals.json", "ledger.json", "passport.json", "manifests.json")
)
BY_URI = {predicate.uri: predicate for predicate in PREDICATES}


def opened(case: dict[str, Any]) -> Any:
    """What a frozen envelope says to somebody who trusts the frozen keys."""
    trust = msgspec.convert(SEALS["trust"], Trust)
    at = datetime.fromisoformat(SEALS["at"])
    return unseal(case["envelope"].encode(), BY_URI[case["predicate"]], trust, at=at)


@pytest.mark.guarantee("G03")
@pytest.mark.parametrize("case", SEALS["valid"], ids=lambda case: case["name"])
def test_an_old_seal_verifies_for_ever(case: dict[str, Any]) -> None:
    """Every kind of statement opens under the keys of then, and each of its members is still there."""
    verified = opened(case)
    assert verified.envelope == case["digest"] == digest_bytes(case["envelope"].encode())
    assert [key.keyid for key in verified.signers] == [case["signer"]]
    payload = base64.b64decode(json.loads(case["envelope"])["payload"])
    assert_says(json.loads(canonical(verified.value)), json.loads(payload))


def assert_says(read: Any, statement: dict[str, Any]) -> None:
    """Asserts that what was read holds every member that was signed, with its value."""
    for name, value in statement["predicate"].items():
        assert read[name] == value, name


@pytest.mark.guarantee("G03")
@pytest.mark.parametrize("case", SEALS["invalid"], ids=lambda case: case["name"])
def test_a_bad_seal_is_refused_for_its_own_reason(case: dict[str, Any]) -> None:
    """Each forgery fails at the step that is there to catch it, not by accident at another."""
    with pytest.raises(NotVerified, match=case["refused"]):
        opened(case)


def test_an_old_ledger_is_found_whole() -> None:
    """Entries, chain, streams and tree are read as they were written, and the checkpoint anchors them."""
    checkpoint = checkpoint_of(LEDGER["checkpoint"])
    rows = [(row["document"].encode(), row["hash"]) for row in LEDGER["rows"]]
    found = audit(rows, [checkpoint])
    assert (found.size, found.root.hex(), found.anchored) == (len(rows), LEDGER["root"], len(rows))
    assert [parse_entry(document).document for document, _ in rows] == [document for document, _ in rows]


def checkpoint_of(note: str) -> Any:
    """A frozen note, opened with the frozen key."""
    signed = SignedCheckpoint(note=note.encode())
    return open_checkpoint(signed, origin=LEDGER["origin"], public_key=bytes.fromhex(LEDGER["public_key"]))


@pytest.mark.guarantee("G06")
@pytest.mark.parametrize("case", LEDGER["invalid_checkpoints"], ids=lambda case: case["name"])
def test_a_bad_checkpoint_is_refused_for_its_own_reason(case: dict[str, Any]) -> None:
    """Notes that are unsigned, changed or signed over something that is no checkpoint."""
    with pytest.raises(NotVerified, match=case["refused"]):
        checkpoint_of(case["note"])


def granting(trust: Trust) -> Trust:
    """A trust of then, with the roles that its persons had by holding a key."""
    grants = (Grant(person=key.owner, role="owner", not_after=key.not_after) for key in trust.of_role("person"))
    return msgspec.structs.replace(trust, grants=tuple(grants))


@pytest.mark.guarantee("G07")
def test_an_old_passport_proves_what_it_proved() -> None:
    """The closure, the heads and the permit under the policy of then come out the same, until the same moment."""
    trust = granting(msgspec.convert(PASSPORT["trust"], Trust))
    passport = parse_passport(json.dumps(PASSPORT["passport"]).encode())
    assert passport == msgspec.convert(PASSPORT["passport"], Passport)
    dossier = open_passport(passport, trust, origin=PASSPORT["origin"])
    assert {node.digest: str(node.kind) for node in dossier.nodes.values()} == PASSPORT["nodes"]
    assert {name: list(head) for name, head in dossier.heads.items()} == PASSPORT["heads"]
    policy, digest = parse_policy(PASSPORT["policy"].encode())
    at = datetime.fromisoformat(PASSPORT["at"])
    decision = decide(
        policy, digest, dossier, Request(action=Action.SERVE, environment="production", now=at, nonce="1")
    )
    assert isinstance(decision, Permit)
    assert decision.expires.isoformat() == PASSPORT["expires"]


@pytest.mark.guarantee("G01")
@pytest.mark.parametrize("case", MANIFESTS["valid"], ids=lambda case: case["digest"])
def test_an_old_folder_keeps_its_digest(case: dict[str, Any]) -> None:
    """The digest of a folder is part of every signature over it, so it may never change."""
    found = parse_manifest(case["document"].encode())
    assert (found.digest, found.size) == (case["digest"], case["size"])


@pytest.mark.guarantee("G01")
@pytest.mark.parametrize("case", MANIFESTS["invalid"], ids=lambda case: case["name"])
def test_a_bad_folder_is_refused(case: dict[str, Any]) -> None:
    """Lists that two systems would unpack differently, and lists in another form than the canonical one."""
    with pytest.raises(NotVerified):
        parse_manifest(case["document"].encode())
