"""Attestations made, put on record and handed out: one signed statement of each kind for a release, and one a decision.

Same evidence, same statement: what is on record already is not said again. They stand in a stream of their own beside
the release, so that saying something in other people's words moves no head that a decision rests on.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from holdfast.core.advisories import DEPENDENCIES
from holdfast.core.artifact import Digest, Kind, digest_bytes, parse_manifest
from holdfast.core.attestation import (
    ATTESTED,
    PROVENANCE,
    SCAI,
    SUMMARY,
    TEST_RESULT,
    VULNS,
    Filed,
    attributes,
    results,
    statement,
    summary,
    vulnerabilities,
)
from holdfast.core.errors import Conflict, HoldfastError, NotVerified, Unavailable
from holdfast.core.evidence import Outcome
from holdfast.core.ledger import Draft, Entry
from holdfast.core.passport import FILED, RECORDED, Dossier
from holdfast.core.policy import Denial, Permit
from holdfast.core.seal import EVIDENCE, open_envelope, seal_payload
from holdfast.engines.signing import model_signing
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.signing import proof_of, signature_of

PROVENANCE_FILE: Final = "provenance.intoto.json"  # of a release: the very statement that is signed
ABOUT: Final = (Kind.DATASET, Kind.MODEL)  # whose evidence a release is attested by, beside its own
ROLES: Final = {SUMMARY: "registry"}  # of all others the release key
NAMES: Final = {
    PROVENANCE: "provenance",
    SCAI: "attributes",
    SUMMARY: "verification-summary",
    TEST_RESULT: "test-result",
    VULNS: "vulnerabilities",
}
"""What a kind of statement is called in a file's name."""


def stream_of(release: str) -> str:
    """Return the name of the stream that holds a release's attestations."""
    return f"attestations/{release}"


def attest(plant: Plant, release: Digest) -> int:
    """Say of a release what its evidence shows now, as far as it is not on record; return how many statements are new.

    Raises:
        NotVerified: Evidence on it does not check out.
        Unavailable: The keys are locked.
    """
    files = parse_manifest(plant.blobs.get(release))
    filed = _filed(plant, release)
    made = [
        (PROVENANCE, plant.blobs.get(Digest(files.file(PROVENANCE_FILE).digest))),
        (TEST_RESULT, statement(release, files, TEST_RESULT, results(filed))),
        (SCAI, statement(release, files, SCAI, attributes(filed, plant.trust.workspace))),
    ]
    scanned = [item for item in filed if item.evidence.control == DEPENDENCIES]
    if scanned and scanned[-1].evidence.outcome is Outcome.MEASURED:
        made.append((VULNS, statement(release, files, VULNS, vulnerabilities(scanned[-1]))))
    known = {str(entry.body["payload"]) for entry in _attested(plant, release)}
    drafts = [_draft(plant, release, uri, payload) for uri, payload in made if digest_bytes(payload) not in known]
    if drafts:
        plant.ledger.append(drafts)
    return len(drafts)


def decided(plant: Plant, dossier: Dossier, verdict: Permit | Denial, *, at: datetime, environment: str) -> list[Draft]:
    """Return the entry that says in a verification summary what a gate has decided; none where it cannot be said.

    It follows the decision and never stands in its way: a denial is on record by itself, whoever can sign.

    Args:
        plant: The control plane.
        dossier: What was decided on.
        verdict: The decision.
        at: When.
        environment: Where.
    """
    permitted = isinstance(verdict, Permit)
    inputs = [item.verified.envelope for node in dossier.nodes.values() for item in node.filed]
    said = summary(
        workspace=plant.trust.workspace,
        release=verdict.subject,
        policy=verdict.policy,
        at=at,
        inputs=inputs,
        permitted=permitted,
        action=verdict.action,
        environment=environment,
    )
    try:
        files = parse_manifest(plant.blobs.get(verdict.subject))
        return [_draft(plant, verdict.subject, SUMMARY, statement(verdict.subject, files, SUMMARY, said))]
    except HoldfastError:
        if not permitted:  # the keys are locked, or the release is gone: the denial stands all the same
            return []
        raise


def _draft(plant: Plant, release: str, uri: str, payload: bytes) -> Draft:
    role = ROLES.get(uri, model_signing.ROLE)
    envelope = plant.blobs.put(seal_payload(payload, [plant.keys.signer(role)]))
    body = {"predicate": uri, "envelope": envelope, "payload": digest_bytes(payload)}
    return Draft(kind=ATTESTED, actor=role, stream=stream_of(release), body=body)


def _attested(plant: Plant, release: str) -> list[Entry]:
    return [entry for entry in plant.ledger.stream(stream_of(release)) if entry.kind == ATTESTED]


def _filed(plant: Plant, release: Digest) -> list[Filed]:
    """Return all verified evidence on a release, its model and its data, oldest first."""
    found: list[Filed] = []
    for digest in (*_sources(plant, release), release):
        for entry in plant.ledger.stream(digest):
            if entry.kind == FILED:
                envelope = Digest(entry.body["envelope"])
                said = plant.believe(envelope, EVIDENCE, at=entry.moment, stream=digest).value
                found.append(Filed(evidence=said, envelope=envelope, time=entry.moment))
    return found


def _sources(plant: Plant, release: Digest) -> list[Digest]:
    found: list[Digest] = []
    waiting, seen = [str(release)], set[str]()
    while waiting:
        recorded = plant.last(waiting.pop(), RECORDED)
        for parent in recorded.body["parents"] if recorded else ():
            digest = str(parent["digest"])
            if digest not in seen:
                seen.add(digest)
                waiting.append(digest)
                if Kind(parent["kind"]) in ABOUT:
                    found.append(Digest(digest))
    return sorted(found)


def attestations_list(plant: Plant, *, release: str | None = None) -> Reply:
    """List what was attested of a release.

    Raises:
        NotFound: There is no such release.
    """
    from holdfast.lifecycle.registry_words import meant
    from holdfast.lifecycle.routing import current_project

    subject = meant(plant, current_project(plant), release)
    found = _attested(plant, subject)
    rows = [
        (str(e.position), e.time[:19], NAMES[e.body["predicate"]], e.actor, short(e.body["envelope"])) for e in found
    ]
    table = Table(title="Attestations", columns=("entry", "time", "what", "signed by", "envelope"), rows=rows)
    said = [{"entry": e.position, "predicate": e.body["predicate"], "envelope": e.body["envelope"]} for e in found]
    says = f"{counted(len(found), 'statement')} about release {short(subject)}."
    return Reply(says=says, document={"release": subject, "attestations": said}, tables=(table,))


def attestations_export(plant: Plant, *, release: str | None = None, into: Path) -> Reply:
    """Write every attestation of a release into a new folder, each with the proof that the ledger holds it.

    Each as the envelope that is on record, and once more as a Sigstore bundle, which is what `cosign` reads.

    Beside them: the model signature with its proof, the trust document and the root that vouches for it, and the public
    keys as PEM. What the evidence shows by now and nobody has said yet is said first.

    Raises:
        NotFound: There is no such release.
        Conflict: There is something at that place already.
        Unavailable: The folder cannot be written.
    """
    from holdfast.lifecycle.registry_words import meant
    from holdfast.lifecycle.routing import current_project

    subject = meant(plant, current_project(plant), release)
    if into.exists() or into.is_symlink():
        raise Conflict("there is something at this place already", place=str(into), remedy="Name a new folder.")
    plant.unlock()
    attest(plant, subject)
    signed, bundle = signature_of(plant, subject)
    written: dict[str, bytes] = {"model.sig": bundle, "model.sig.proof.json": b""}
    entries = _attested(plant, subject)
    plant.ledger.checkpoint()  # one over all of them
    written["model.sig.proof.json"] = proof_of(plant, signed)
    for entry in entries:
        name = f"{entry.position:08d}-{NAMES[entry.body['predicate']]}"
        envelope = plant.blobs.get(Digest(entry.body["envelope"]))
        written[f"{name}.dsse.json"] = envelope
        written[f"{name}.sigstore.json"] = model_signing.as_bundle(envelope, plant.trust.keys)
        written[f"{name}.proof.json"] = proof_of(plant, entry)
    written |= _whom_to_believe(plant, written.values())
    _write(into, written)
    root = digest_bytes(written["root.json"])
    says = f"{len(entries)} attestations of release {short(subject)} are in {into}. Give {root} by another way."
    document = {"release": subject, "into": str(into), "attestations": len(entries), "fingerprint": root}
    return Reply(says=says, document=document)


def _whom_to_believe(plant: Plant, documents: Iterable[bytes]) -> dict[str, bytes]:
    """Return the trust, the root that vouches for it, and the public keys that signed something here, as PEM."""
    from holdfast.lifecycle.inputs import read_given

    root = read_given(plant.home.workspace / "root.json", limit=8 << 20, what="the pinned root")
    keyids = set[str]()
    for document in documents:
        with suppress(NotVerified):  # a bundle or a proof: no envelope
            keyids |= {signature.keyid for signature in open_envelope(document)[1]}
    keys = [key for key in plant.trust.keys if key.keyid in keyids]
    return {
        "root.json": root,
        "trust.dsse.json": plant.trust_document(),
        **{f"{key.role}-{key.keyid[:16]}.pem": model_signing.pem(key) for key in keys},
    }


def _write(into: Path, files: dict[str, bytes]) -> None:
    try:
        into.mkdir(mode=0o700, parents=True)
        for name, data in files.items():
            (into / name).write_bytes(data)
    except OSError as error:
        raise Unavailable(f"the folder cannot be written: {error.strerror}", place=str(into)) from error
