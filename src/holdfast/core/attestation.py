"""Attestations: what a workspace says about a release in the predicates that other people's tools read.

In-toto Statements v1 in DSSE envelopes, each about every file of the release by name and digest, so that a tool which
has one file can check what is said of it: SLSA provenance v1, test results v0.1, vulnerabilities v0.2, SCAI attributes
v0.3, and a SLSA verification summary v1 of each gate decision. Composed here from evidence that was verified, and
opened here by whoever holds an envelope, the proof that the ledger took it in, and the workspace's trust.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from holdfast.core import intoto
from holdfast.core.artifact import Digest, Manifest, digest_bytes, from_base64
from holdfast.core.dsse import PAYLOAD_TYPE, STATEMENT_TYPE, pae
from holdfast.core.entitlement import FOREIGN
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.evidence import SEVERITIES, Evidence, Outcome, Severity
from holdfast.core.inclusion import open_proof
from holdfast.core.ledger import Entry
from holdfast.core.seal import open_envelope
from holdfast.core.trust import Trust, TrustedKey, check_signature

ATTESTED: Final = "attestation.filed"  # the kind of entry that names an envelope; in the stream `attestations/RELEASE`
PROVENANCE: Final = "https://slsa.dev/provenance/v1"
SUMMARY: Final = "https://slsa.dev/verification_summary/v1"
TEST_RESULT: Final = "https://in-toto.io/attestation/test-result/v0.1"
VULNS: Final = "https://in-toto.io/attestation/vulns/v0.2"
SCAI: Final = "https://in-toto.io/attestation/scai/v0.3"
MANIFEST: Final = "manifest"  # the subject that stands for the release itself: its digest is that of this list
WARNED_FROM: Final = Severity.HIGH  # a control that found something as bad as this has warned

ATTRIBUTES: Final[Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "train.sandbox/1": (
        "TRAINED_IN_SANDBOX",
        ("tier_rank", "network_denied", "undeclared_paths_readable"),
        ("tier", "seccomp", "environment"),
    ),
    "release.scan/1": ("SCANNED_BEFORE_OPENING", ("files_scanned", "findings"), ()),
    "release.package/1": ("BILL_OF_MATERIALS_COMPLETE", ("bom_complete",), ("bom",)),
    "release.signature/1": ("SIGNED_FILE_BY_FILE", ("verified", "files_covered"), ("keyid",)),
    "release.version/1": ("REPRODUCIBLE_FROM_DIGESTS", ("version_kinds",), ("tier", "holdfast")),
    "train.export/1": ("EXPORT_ANSWERS_AS_TRAINED", ("parity_max_abs",), ("onnx",)),
}
"""What each control shows of how a release was made: attribute, and the measures and facts that are its conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """Verified evidence with the envelope it came in, and when the ledger took it in."""

    evidence: Evidence
    envelope: str
    time: datetime


def statement(release: Digest, files: Manifest, uri: str, predicate: Mapping[str, Any]) -> bytes:
    """Return the statement about a release, as canonical JSON: its subjects are the release and each of its files."""
    about = [(MANIFEST, str(release)), *((file.path, file.digest) for file in files.files)]
    return intoto.statement(about, uri, predicate)


def uri_of(kind: str, name: str) -> str:
    """Return a name as the absolute URI that the predicates ask for."""
    return f"holdfast:{kind}/{name}"


def results(filed: Iterable[Filed]) -> dict[str, Any]:
    """Return the predicate that says which controls ran and how each ended.

    A control that measured has passed as a test, one that found something severe has warned, one that failed has
    failed. Whether what it measured is good enough is the policy's to say, and stands in the verification summary.
    """
    newest = {item.evidence.control: item.evidence for item in filed}
    ended: dict[str, list[str]] = {"PASSED": [], "WARNED": [], "FAILED": []}
    for name, evidence in sorted(newest.items()):
        if evidence.outcome is not Outcome.NOT_APPLICABLE:
            ended[_ending(evidence)].append(name)
    result = "FAILED" if ended["FAILED"] else "WARNED" if ended["WARNED"] else "PASSED"
    configured = sorted({e.made_with.configuration for e in newest.values() if e.made_with.configuration})
    return {
        "result": result if newest else "FAILED",  # empty means no
        "configuration": [{"name": "configuration", "digest": {"sha256": _hex(each)}} for each in configured],
        "passedTests": ended["PASSED"],
        "warnedTests": ended["WARNED"],
        "failedTests": ended["FAILED"],
    }


def _ending(evidence: Evidence) -> str:
    if evidence.outcome is Outcome.FAILED:
        return "FAILED"
    bound = SEVERITIES.index(WARNED_FROM)
    severe = any(SEVERITIES.index(finding.severity) >= bound for finding in evidence.findings)
    return "WARNED" if severe else "PASSED"


def attributes(filed: Iterable[Filed], builder: str) -> dict[str, Any]:
    """Return the SCAI report: what is known of how the release was made, each with the evidence that shows it."""
    newest = {item.evidence.control: item for item in filed if item.evidence.outcome is Outcome.MEASURED}
    return {
        "attributes": [_attribute(newest[control]) for control in ATTRIBUTES if control in newest],
        "producer": {"uri": uri_of("builder", builder)},
    }


def _attribute(item: Filed) -> dict[str, Any]:
    name, measures, facts = ATTRIBUTES[item.evidence.control]
    known = {measure.name: measure.value for measure in item.evidence.measures}
    conditions: dict[str, Any] = {each: known[each] for each in measures if each in known}
    conditions |= {each: item.evidence.facts[each] for each in facts if each in item.evidence.facts}
    return {
        "attribute": name,
        "conditions": {"control": item.evidence.control, **conditions},
        "evidence": envelope_descriptor(item.envelope, item.evidence.control),
    }


def vulnerabilities(item: Filed) -> dict[str, Any]:
    """Return the predicate of a dependency scan: which advisories it found, by which snapshot of them.

    Args:
        item: Evidence whose findings are advisories: rule `advisory.ID`, place `ecosystem/name@version`; its facts name
            the snapshot by digest and date. The scanner's version is the digest of the code that ran.
    """
    evidence = item.evidence
    found = [
        {
            "id": finding.rule.removeprefix("advisory."),
            "severity": [{"method": "holdfast", "score": finding.severity.value}],
            "annotations": [{"package": finding.place, "words": finding.message}],
        }
        for finding in evidence.findings
        if finding.rule.startswith("advisory.")
    ]
    moment = utc(item.time)
    return {
        "scanner": {
            "uri": uri_of("control", evidence.control),
            "version": evidence.made_with.code,
            "db": {
                "uri": uri_of("snapshot", evidence.facts.get("snapshot", "")),
                "version": evidence.facts.get("snapshot", ""),
                "lastUpdate": evidence.facts.get("date", moment),
            },
            "result": found,
        },
        "metadata": {"scanStartedOn": moment, "scanFinishedOn": moment},
    }


def summary(
    *,
    workspace: str,
    release: Digest,
    policy: Digest,
    at: datetime,
    inputs: Sequence[str],
    permitted: bool,
    action: str,
    environment: str,
) -> dict[str, Any]:
    """Return the verification summary of one gate decision; why a denial, the ledger says: there is no field for it.

    No SLSA level is claimed: what a policy of this workspace asks for is no level of theirs.

    Args:
        workspace: Who has decided.
        release: The release.
        policy: Digest of the policy.
        at: When.
        inputs: Digests of the envelopes that the decision rests on.
        permitted: What was decided.
        action: What was decided about.
        environment: Where.
    """
    return {
        "verifier": {"id": uri_of("registry", workspace)},
        "timeVerified": utc(at),
        "resourceUri": uri_of("release", release),
        "policy": {
            "uri": f"{uri_of('policy', policy)}?action={action}&environment={environment}",
            "digest": {"sha256": _hex(policy)},
        },
        "inputAttestations": [envelope_descriptor(each) for each in sorted(set(inputs))],
        "verificationResult": "PASSED" if permitted else "FAILED",
        "verifiedLevels": ["SLSA_BUILD_LEVEL_UNEVALUATED" if permitted else "FAILED"],
        "slsaVersion": "1.0",
    }


def envelope_descriptor(envelope: str, name: str = "") -> dict[str, Any]:
    """Return the in-toto ResourceDescriptor of a sealed statement."""
    named = {"name": name} if name else {}
    return {**named, "uri": uri_of("envelope", envelope), "digest": {"sha256": _hex(envelope)}}


def utc(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """A verified attestation: what it says, of which files, by whose key, and when the ledger took it in."""

    predicate_type: str
    subjects: Mapping[str, Digest]
    predicate: Mapping[str, Any]
    key: TrustedKey
    witnessed: datetime
    release: Digest


def open_attestation(document: bytes, proof: bytes, trust: Trust) -> Attested:
    """Return what an attestation says, if it may be believed.

    1. The proof shows that the workspace's ledger holds the entry, and when it took it in. 2. to 6. are
    `check_attested`.

    Raises:
        NotVerified: Any step fails.
    """
    entry, _ = open_proof(proof, trust)  # 1.
    return check_attested(document, entry, trust)


def check_attested(document: bytes, entry: Entry, trust: Trust) -> Attested:
    """Return what an attestation says that an entry of a verified ledger names.

    2. The entry names just this envelope, which has exactly one signature, over the received payload bytes, by a
    trusted, unrevoked key whose window holds the entry's time. 3. Only then parse the statement. 4. That key's role may
    sign statements of this predicate. 5. It speaks of the release in whose stream the ledger names it. 6. Whoever is
    named as builder or verifier is this workspace.

    Raises:
        NotVerified: Any step fails.
    """
    if entry.kind != ATTESTED or entry.body.get("envelope") != digest_bytes(document):  # 2.
        raise NotVerified("the proof is about another statement", place=f"entry {entry.position}")
    payload, signatures = open_envelope(document)
    place = f"envelope {digest_bytes(document)[:23]}"
    if len(signatures) != 1:
        raise NotVerified(f"{len(signatures)} signatures", place=place, expected="exactly one")
    key = trust.key(signatures[0].keyid)
    if key is None or not key.not_before <= entry.moment < key.not_after:
        raise NotVerified("no trusted key has signed this in its time", place=place)
    try:
        check_signature(key, pae(PAYLOAD_TYPE, payload), from_base64(signatures[0].sig))
        said = msgspec.json.decode(payload, type=intoto.Statement)  # 3.
    except (ValueError, RecursionError, InvalidInput) as error:
        raise NotVerified(f"the statement cannot be read: {error}", place=place) from error
    if said.type_ != STATEMENT_TYPE or key.role not in _signers(said.predicate_type):  # 4.
        raise NotVerified(f"a {key.role} key may not sign {said.predicate_type[:80]!r}", place=place)
    subjects = {each.name: Digest(f"sha256:{each.digest.get('sha256', '')}") for each in said.subject}
    release = Digest(entry.stream.removeprefix("attestations/"))
    if len(subjects) != len(said.subject) or (said.predicate_type != PROVENANCE and subjects.get(MANIFEST) != release):
        raise NotVerified("the statement is about something else", place=place, expected=release)  # 5.
    _check_identity(said, trust.workspace, place)  # 6.
    return Attested(
        predicate_type=said.predicate_type,
        subjects=subjects,
        predicate=said.predicate,
        key=key,
        witnessed=entry.moment,
        release=release,
    )


def _signers(uri: str) -> frozenset[str]:
    """Return the roles whose keys sign statements of a predicate."""
    _, roles = FOREIGN.get(uri, ("", frozenset[str]()))
    return roles


def _check_identity(said: intoto.Statement, workspace: str, place: str) -> None:
    """Check that builder, producer or verifier is the workspace whose ledger vouches."""
    named = {
        PROVENANCE: (("runDetails", "builder", "id"), "builder"),
        SCAI: (("producer", "uri"), "builder"),
        SUMMARY: (("verifier", "id"), "registry"),
    }
    if said.predicate_type not in named:
        return
    path, kind = named[said.predicate_type]
    found: Any = said.predicate
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if found != uri_of(kind, workspace):
        raise NotVerified(f"it names {str(found)[:80]!r}", place=place, expected=uri_of(kind, workspace))


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
