"""Whom a verifier believes: public keys with one role each, their windows, and what is revoked.

A `Trust` reaches its reader as a document signed by the offline root keys; whoever pins the root needs nothing else.
What a key may say follows from its role, and the role follows from the predicate it signed, never from the caller.
"""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from holdfast.core.artifact import Kind, Moment, from_base64
from holdfast.core.errors import InvalidInput, NotVerified

Algorithm: TypeAlias = Literal["ed25519", "ecdsa-p256"]

ROLES: Final[dict[str, tuple[Kind, ...]]] = {
    "root": (),
    "policy": (Kind.POLICY,),
    "ledger": (),
    "plan": (Kind.PROJECT, Kind.MODEL),
    "ingest": (Kind.DATASET, Kind.FOREIGN),
    "features": (Kind.FEATURES,),
    "train": (Kind.MODEL,),
    "assess": (Kind.MODEL,),
    "release": (Kind.MODEL, Kind.RELEASE, Kind.FOREIGN),
    "registry": (Kind.RELEASE, Kind.ROUTES),
    "watch": (Kind.RELEASE,),
    "respond": (Kind.RELEASE, Kind.INCIDENT),
    "keys": (Kind.PROJECT, Kind.RELEASE),
    "gateway": (Kind.TELEMETRY,),
    "person": (Kind.RELEASE, Kind.FOREIGN),
    "tokens": (),
}
"""Each role and the kinds of artifact it may sign statements about; a role that is not here signs nothing."""


class TrustedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A public key, the one role it signs for, and when."""

    keyid: str
    algorithm: Algorithm
    public: str  # DER SubjectPublicKeyInfo, base64
    role: str
    not_before: Moment
    not_after: Moment
    owner: str  # the person or service that answers for it; thresholds count owners, not keys


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A role that the root keys grant to a person: in which approvals the person's word counts, and until when."""

    person: str  # the owner of a key of role `person`
    role: str  # as a policy's `approved_by` names it
    not_after: Moment


class Trust(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a verifier of one workspace believes."""

    workspace: str
    version: int
    expires: Moment
    root_threshold: int
    keys: tuple[TrustedKey, ...]
    policies: tuple[str, ...]  # digests of the policies that may decide here
    grants: tuple[Grant, ...] = ()  # who may say what kind of word; nobody, where it is empty
    revoked: tuple[str, ...] = ()  # key ids: nothing they ever signed verifies
    witnesses: tuple[str, ...] = ()  # verifier keys of those whose cosignature on a checkpoint counts
    witness_quorum: int = 0  # how many of them a checkpoint from outside must carry

    def key(self, keyid: str) -> TrustedKey | None:
        """Return the key of this id, if it is known and not revoked."""
        if keyid in self.revoked:
            return None
        return next((key for key in self.keys if key.keyid == keyid), None)

    def granted(self, person: str, role: str, now: datetime) -> datetime | None:
        """Return until when a person holds a role, or None where the person does not hold it now."""
        ends = [each.not_after for each in self.grants if (each.person, each.role) == (person, role)]
        return max((end for end in ends if now < end), default=None)

    def of_role(self, role: str) -> tuple[TrustedKey, ...]:
        """Return the unrevoked keys of a role."""
        return tuple(key for key in self.keys if key.role == role and key.keyid not in self.revoked)


def keyid_of(public_der: bytes) -> str:
    """Return a key's identifier: SHA-256 of its DER SubjectPublicKeyInfo, hex."""
    return hashlib.sha256(public_der).hexdigest()


def raw_ed25519(key: TrustedKey) -> bytes:
    """Return the 32 raw bytes of an Ed25519 public key, as signed notes use them.

    Raises:
        NotVerified: The key is of another algorithm or malformed.
    """
    public = _load(key)
    if not isinstance(public, ed25519.Ed25519PublicKey):
        raise NotVerified("this key is not Ed25519", place=f"key {key.keyid[:16]}")
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


MOST_RIGHT: Final = 16_384  # signatures that need no second look: 2 MB
_RIGHT: Final[set[bytes]] = set()
"""Digests of key, signature and message that this process has found right: of the very same bytes nothing else can be
found again. Whether the key may be believed at all, and when, is asked by the callers each time."""


def check_signature(key: TrustedKey, message: bytes, signature: bytes) -> None:
    """Check one signature.

    Raises:
        NotVerified: The key is malformed, its id is not its own, or the signature is wrong.
    """
    public = _load(key)
    parts = (key.algorithm.encode(), key.public.encode(), signature)
    name = hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts) + message).digest()
    if name in _RIGHT:
        return
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, message)
        else:
            public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise NotVerified("the signature is wrong", place=f"key {key.keyid[:16]} of role {key.role}") from error
    if len(_RIGHT) >= MOST_RIGHT:
        _RIGHT.clear()
    _RIGHT.add(name)


def check_key(key: TrustedKey) -> None:
    """Check that a key can be read, is of its algorithm, and has the id it says.

    Raises:
        NotVerified: It does not.
    """
    _load(key)


@lru_cache(maxsize=256)  # a workspace has a few dozen keys, and reading one takes as long as checking a signature
def _load(key: TrustedKey) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey:
    place = f"key {key.keyid[:16]}"
    try:
        der = from_base64(key.public)
        public = serialization.load_der_public_key(der)
    except (InvalidInput, ValueError, UnsupportedAlgorithm) as error:
        raise NotVerified("the public key cannot be read", place=place) from error
    if keyid_of(der) != key.keyid:
        raise NotVerified("the public key does not have this id", place=place)
    if key.algorithm == "ed25519" and isinstance(public, ed25519.Ed25519PublicKey):
        return public
    is_p256 = isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1)
    if key.algorithm == "ecdsa-p256" and is_p256 and isinstance(public, ec.EllipticCurvePublicKey):
        return public
    raise NotVerified(f"the public key is not {key.algorithm}", place=place)
