"""By whose key, and at what time: how a signature is judged by whoever has only files.

Either somebody hands over a public key, and vouches for it; or a workspace's trust document says which keys there are,
their roles, windows and revocations, and the pinned root says that of the document. With a proof of inclusion the time
is the one at which the workspace's ledger took the signature in; without it the time is now, because a signer's own
clock proves nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.engines.signing.model_signing import SignedModel, from_pem, open_bundle

if TYPE_CHECKING:
    from holdfast.core.trust import Trust

SIGNED: Final = frozenset({"release.signed", "dataset.signed", "files.signed"})
"""Kinds of entries that name a bundle by its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a verifier brings along, as bytes; empty where it has none."""

    key: bytes = b""
    trust: bytes = b""
    root: bytes = b""
    fingerprint: str = ""
    proof: bytes = b""
    role: str = "release"


def judge(document: bytes, given: Given, now: datetime) -> tuple[SignedModel, datetime | None]:
    """Return what a bundle says, and when the ledger took it in; None where no ledger says so.

    Raises:
        InvalidInput: Neither a public key nor a whole trust is given, or both.
        NotVerified: Something does not check out.
    """
    if bool(given.key) == bool(given.trust) or (given.proof and not given.trust):
        expected = "--key, or --trust with --root-file and --fingerprint, and --proof with these"
        raise InvalidInput("it must be said whose signature counts, in one way", expected=expected)
    if given.key:
        key = from_pem(given.key, owner="--key")
        return open_bundle(document, [key], role=key.role), None
    from holdfast.core.inclusion import claimed_moment, pinned_trust  # a bare key needs no ledger

    if not (given.root and given.fingerprint):
        raise InvalidInput("nothing vouches for the trust document", expected="--root-file and --fingerprint")
    moment = claimed_moment(given.proof) if given.proof else now
    trust = pinned_trust(given.root, given.trust, fingerprint=given.fingerprint, at=moment)
    witnessed = _witnessed(document, given.proof, trust) if given.proof else None
    if witnessed is None and trust.expires <= now:  # a newer one may have revoked the key
        raise NotVerified("the trust document has expired", place="trust", expected=f"one of before {trust.expires}")
    at = witnessed or now
    return open_bundle(document, trust.of_role(given.role), role=given.role, at=at), witnessed


def _witnessed(document: bytes, proof: bytes, trust: "Trust") -> datetime:
    """Return when a ledger took a bundle in."""
    from holdfast.core.inclusion import open_proof

    entry, _ = open_proof(proof, trust)
    if entry.kind not in SIGNED or entry.body.get("bundle") != digest_bytes(document):
        raise NotVerified("the proof is about another signature", place=f"entry {entry.position}")
    return entry.moment
