"""Attestations: what other people's tools read of a release, bound to its builder and to the ledger."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from tests.scenarios.stand import MADE_WITH, file_evidence, model_file, parent, releases

from holdfast.core.artifact import Digest, Kind, canonical, digest_bytes, parse_manifest
from holdfast.core.attestation import (
    ATTESTED,
    MANIFEST,
    PROVENANCE,
    SCAI,
    SUMMARY,
    TEST_RESULT,
    VULNS,
    Filed,
    open_attestation,
    results,
)
from holdfast.core.dsse import PAYLOAD_TYPE, pae
from holdfast.core.errors import NotFound, NotVerified, PolicyDenied
from holdfast.core.evidence import Evidence, Finding, Outcome, Severity, exactly, failed
from holdfast.core.ledger import Draft
from holdfast.core.seal import open_envelope, seal_payload
from holdfast.engines.signing import model_signing
from holdfast.files import attestations
from holdfast.lifecycle.attesting import attest, attestations_export, attestations_list, stream_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.registry_staging import stage
from holdfast.lifecycle.reply import silent
from holdfast.lifecycle.signing import proof_of
from holdfast.lifecycle.verification import verify


def said(plant: Plant, release: str) -> dict[str, dict[str, Any]]:
    """The newest statement of each predicate about a release."""
    found = {}
    for entry in plant.ledger.stream(stream_of(release)):
        payload, _ = open_envelope(plant.blobs.get(Digest(entry.body["envelope"])))
        document = json.loads(payload)
        found[document["predicateType"]] = document
    return found


@pytest.mark.requirement("SUP-10", by="holdfast.lifecycle.attesting:attest")
def test_a_run_attests_its_release_in_other_peoples_predicates(plant: Plant) -> None:
    """Provenance, test results and attributes; each about every file, and again the same after the same evidence."""
    (release,) = releases(plant)
    found = said(plant, release)
    assert found.keys() == {PROVENANCE, TEST_RESULT, SCAI}
    assert attest(plant, release) == 0, "nothing new, nothing said again"
    files = {file.path: file.digest for file in parse_manifest(plant.blobs.get(release)).files}
    for uri in (TEST_RESULT, SCAI):
        subjects = {each["name"]: f"sha256:{each['digest']['sha256']}" for each in found[uri]["subject"]}
        assert subjects == files | {MANIFEST: release}
    predicate = found[TEST_RESULT]["predicate"]
    assert predicate["failedTests"] == []
    assert predicate["result"] == ("WARNED" if predicate["warnedTests"] else "PASSED"), predicate["warnedTests"]
    assert {"release.scan/1", "assess.quality/1", "ingest.contract/1"} <= set(predicate["passedTests"])
    known = {each["attribute"]: each["conditions"] for each in found[SCAI]["predicate"]["attributes"]}
    assert known["TRAINED_IN_SANDBOX"]["network_denied"] == 1
    assert known["REPRODUCIBLE_FROM_DIGESTS"]["version_kinds"] == 5
    assert attestations_list(plant).document["release"] == release


@pytest.mark.requirement("SUP-12", by="holdfast.lifecycle.attesting:attestations_export")
@pytest.mark.requirement("SUP-12", by="holdfast.core.attestation:open_attestation")
def test_a_stranger_verifies_what_is_exported(plant: Plant, tmp_path: Path) -> None:
    """Signatures, roles, builder, and the ledger's proof, offline; a statement about another file is refused."""
    (release,) = releases(plant)
    promote(plant, reason="It is good.")
    done = attestations_export(plant, into=tmp_path / "out")
    fingerprint = done.document["fingerprint"]
    model = tmp_path / "model.onnx"
    model.write_bytes(plant.blobs.get(model_file(plant, release)))
    reply = attestations(tell=silent, folder=tmp_path / "out", fingerprint=fingerprint, file=model)
    told = {each["predicate"]: (each["role"], each["result"]) for each in reply.document["attestations"]}
    assert told[PROVENANCE] == ("release", "")
    assert told[TEST_RESULT][0] == "release"
    assert told[SUMMARY] == ("registry", "PASSED")
    model.write_bytes(b"another model")
    with pytest.raises(NotVerified, match="not about the file"):
        attestations(tell=silent, folder=tmp_path / "out", fingerprint=fingerprint, file=model)
    with pytest.raises(NotVerified, match="another root"):
        attestations(tell=silent, folder=tmp_path / "out", fingerprint="sha256:" + "0" * 64)
    (tmp_path / "nothing").mkdir()
    for name in ("root.json", "trust.dsse.json"):
        (tmp_path / "nothing" / name).write_bytes((tmp_path / "out" / name).read_bytes())
    with pytest.raises(NotFound):
        attestations(tell=silent, folder=tmp_path / "nothing", fingerprint=fingerprint)


@pytest.mark.requirement("SUP-12", by="holdfast.lifecycle.attesting:attestations_export")
def test_another_implementation_of_dsse_verifies_each_file_by_its_digest(plant: Plant, tmp_path: Path) -> None:
    """With the PEM key alone, as `cosign verify-blob-attestation --key` does: encoding, signature, then the digest."""
    attestations_export(plant, into=tmp_path / "out")
    (release,) = releases(plant)
    wanted = {file.digest for file in parse_manifest(plant.blobs.get(release)).files}
    keys = {}
    for path in (tmp_path / "out").glob("*.pem"):
        found = model_signing.from_pem(path.read_bytes(), owner=path.name)
        pem = path.read_text(encoding="ascii")
        keys[found.keyid] = SSlibKey(found.keyid, "ecdsa", "ecdsa-sha2-nistp256", {"public": pem})
    documents = sorted((tmp_path / "out").glob("[0-9]*.dsse.json"))
    assert documents
    for path in documents:
        document = json.loads(path.read_bytes())
        envelope = Envelope.from_dict({**document, "signatures": document["signatures"]})
        assert envelope.payload_type == PAYLOAD_TYPE
        assert envelope.pae() == pae(PAYLOAD_TYPE, envelope.payload)
        assert len(envelope.verify(list(keys.values()), 1)) == 1
        about = {f"sha256:{each['digest']['sha256']}" for each in json.loads(envelope.payload)["subject"]}
        assert wanted - about <= {digest for digest in wanted if "provenance" in path.name}, (
            "provenance names the others"
        )
        envelope.payload = envelope.payload.replace(b"PASSED", b"passed") + b" "
        with pytest.raises(VerificationError):
            envelope.verify(list(keys.values()), 1)


@pytest.mark.requirement("SUP-12", by="holdfast.lifecycle.attesting:decided")
def test_each_gate_decision_is_summarised_permit_or_denial(plant: Plant) -> None:
    """Permit and denial are told as SLSA verification summaries, with the policy and the statements they rest on."""
    (release,) = releases(plant)
    stage(plant, reason="Try it.")
    told = said(plant, release)[SUMMARY]["predicate"]
    assert told["verificationResult"] == "PASSED"
    assert told["policy"]["uri"].endswith("?action=promote&environment=staging")
    assert len(told["inputAttestations"]) > 10
    model = parent(plant, release, Kind.MODEL)
    file_evidence(plant, failed("assess.robustness/1", model, Kind.MODEL, MADE_WITH, "the attack crashed"))
    with pytest.raises(PolicyDenied):
        promote(plant, reason="Trying anyway.")
    told = said(plant, release)[SUMMARY]["predicate"]
    assert (told["verificationResult"], told["verifiedLevels"]) == ("FAILED", ["FAILED"])
    assert told["policy"]["uri"].endswith("?action=promote&environment=production")
    assert told["resourceUri"] == f"holdfast:release/{release}"
    attest(plant, release)
    assert said(plant, release)[TEST_RESULT]["predicate"]["failedTests"] == ["assess.robustness/1"]


def test_a_dependency_scan_becomes_a_statement_about_vulnerabilities(plant: Plant) -> None:
    """Findings that are advisories are listed with severity and package, and the snapshot is named; others are not."""
    (release,) = releases(plant)
    scanned = Evidence(
        control="release.dependencies/1",
        subject=release,
        kind=Kind.RELEASE,
        outcome=Outcome.MEASURED,
        made_with=MADE_WITH,
        measures=(exactly("advisories_open", 1),),
        findings=(
            Finding(place="PyPI/numpy@1.0", severity=Severity.LOW, rule="advisory.PYSEC-1", message="old"),
            Finding(place="x", severity=Severity.LOW, rule="other", message="something else"),
        ),
        facts={"snapshot": digest_bytes(b"snapshot"), "date": "2026-01-01T00:00:00+00:00"},
    )
    file_evidence(plant, scanned)
    attest(plant, release)
    scanner = said(plant, release)[VULNS]["predicate"]["scanner"]
    assert scanner["result"] == [
        {
            "id": "PYSEC-1",
            "severity": [{"method": "holdfast", "score": "low"}],
            "annotations": [{"package": "PyPI/numpy@1.0", "words": "old"}],
        }
    ]
    assert scanner["db"]["lastUpdate"] == "2026-01-01T00:00:00+00:00"


def test_a_control_that_found_something_severe_has_warned_and_none_at_all_has_failed(plant: Plant) -> None:
    """Passed, warned and failed follow from outcome and severity; an empty list of evidence is no pass."""
    bad = Finding(place="x", severity=Severity.HIGH, rule="r", message="m")
    item = Evidence(
        control="release.scan/1",
        subject=digest_bytes(b"x"),
        kind=Kind.MODEL,
        outcome=Outcome.MEASURED,
        made_with=MADE_WITH,
        measures=(exactly("findings", 1),),
        findings=(bad,),
    )
    moment = plant.clock.now()
    assert results([Filed(evidence=item, envelope="", time=moment)])["result"] == "WARNED"
    assert results([])["result"] == "FAILED"


def test_verify_looks_at_attestations_and_signed_data(plant: Plant) -> None:
    """A forged attestation in the ledger is found; those that are good are counted, with the data set's signature."""
    shown = {each["what"]: each for each in verify(plant).document["checks"]}
    assert shown["attestations"]["words"].startswith("1 data set and 1 release are signed file by file, 3 attestations")
    (release,) = releases(plant)
    plant.unlock()
    forged = seal_payload(b"{}", [plant.keys.signer("release")])
    body = {"predicate": SCAI, "envelope": plant.blobs.put(forged), "payload": digest_bytes(b"{}")}
    plant.ledger.append([Draft(kind=ATTESTED, actor="mallory", stream=stream_of(release), body=body)])
    shown = {each["what"]: each for each in verify(plant).document["checks"]}
    assert shown["attestations"]["result"] == "BROKEN"


FORGERIES = {
    "another role": lambda plant, payload: seal_payload(payload, [plant.keys.signer("registry")]),
    "two signatures": lambda plant, payload: seal_payload(
        payload, [plant.keys.signer("release"), plant.keys.signer("registry")]
    ),
    "another builder": lambda plant, payload: seal_payload(
        payload.replace(b"holdfast:builder/", b"holdfast:builder/not-"), [plant.keys.signer("release")]
    ),
    "another release": lambda plant, payload: seal_payload(
        payload.replace(b'"name":"manifest"', b'"name":"other"'), [plant.keys.signer("release")]
    ),
    "no statement": lambda plant, _: seal_payload(b"{}", [plant.keys.signer("release")]),
    "an unknown predicate": lambda plant, payload: seal_payload(
        payload.replace(b"attestation/scai", b"attestation/else"), [plant.keys.signer("release")]
    ),
}


@pytest.mark.guarantee("G69")
@pytest.mark.requirement("SUP-12", by="holdfast.core.attestation:open_attestation")
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_attestation_is_refused_even_with_a_proof(forgery: str, plant: Plant) -> None:
    """That the ledger holds it is not enough: the key's role, the builder and the release must be the right ones."""
    (release,) = releases(plant)
    plant.unlock()
    good = next(e for e in plant.ledger.stream(stream_of(release)) if e.body["predicate"] == SCAI)
    payload, _ = open_envelope(plant.blobs.get(Digest(good.body["envelope"])))
    document = FORGERIES[forgery](plant, payload)
    body = {"predicate": SCAI, "envelope": plant.blobs.put(document), "payload": digest_bytes(payload)}
    (entry,) = plant.ledger.append([Draft(kind=ATTESTED, actor="mallory", stream=stream_of(release), body=body)])
    plant.ledger.checkpoint()
    with pytest.raises(NotVerified):
        open_attestation(document, proof_of(plant, entry), plant.trust)
    opened = open_attestation(plant.blobs.get(Digest(good.body["envelope"])), proof_of(plant, good), plant.trust)
    assert opened.release == release
    with pytest.raises(NotVerified, match="another statement"):
        open_attestation(document, proof_of(plant, good), plant.trust)
    wrong = json.loads(proof_of(plant, good))
    wrong["path"] = [base64.b16encode(bytes(32)).decode().lower(), *wrong["path"][1:]]
    with pytest.raises(NotVerified):
        open_attestation(plant.blobs.get(Digest(good.body["envelope"])), canonical(wrong), plant.trust)
