"""A bill of materials that can be verified on its own: an in-toto Statement v1 in a DSSE envelope.

The predicate is the CycloneDX document itself (in-toto attestation framework, "CycloneDX"), the subjects are the files
of the release by name and SHA-256: whoever has the model and the release key's public half needs nothing else of us.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast.core import intoto
from holdfast.core.artifact import Manifest, from_base64, is_canonical
from holdfast.core.dsse import PAYLOAD_TYPE, STATEMENT_TYPE, pae
from holdfast.core.entitlement import BOM
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.seal import open_envelope
from holdfast.core.trust import TrustedKey, check_signature, keyid_of

MAX_STATEMENT: Final = 8 << 20  # bytes, as `seal.MAX_ENVELOPE`
MAX_PEM: Final = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a verified statement says: the bill, and the files it is about."""

    document: dict[str, Any]
    subjects: tuple[tuple[str, str], ...]  # name and SHA-256, hex
    keyid: str


def statement(files: Manifest, document: bytes) -> bytes:
    """Return the statement that a bill of materials makes about the files of its release, as canonical JSON."""
    return intoto.statement(((file.path, file.digest) for file in files.files), BOM, json.loads(document))


def verify_statement(envelope: bytes, keys: Sequence[bytes]) -> Stated:
    """Return what an envelope states, if one of these keys has signed it.

    1. Read the envelope within limits. 2. Verify over the received payload. 3. Only then read the statement. 4. Demand
    the type of statement and of predicate. 5. Demand subjects: a bill about nothing can be put beside anything.

    Args:
        envelope: The DSSE envelope.
        keys: Public keys, DER. Whose they are, and that they were not revoked, is for whoever hands them in to know.

    Raises:
        NotVerified: Any step fails.
    """
    payload, signatures = open_envelope(envelope)  # 1.
    message = pae(PAYLOAD_TYPE, payload)
    signer = next((keyid_of(der) for der in keys for each in signatures if _holds(der, message, each.sig)), None)  # 2.
    if signer is None:
        raise NotVerified("none of these keys has signed this bill of materials", place="signature")
    try:  # 3.
        read = msgspec.json.decode(payload, type=intoto.Statement)
        plain = is_canonical(payload)
    except (ValueError, RecursionError, InvalidInput) as error:
        raise NotVerified(f"the statement cannot be read: {error}", place="payload") from error
    if not plain:  # a name given twice would mean two things
        raise NotVerified("the statement is not in canonical form", place="payload")
    if (read.type_, read.predicate_type) != (STATEMENT_TYPE, BOM):  # 4.
        raise NotVerified(f"a statement of type {read.predicate_type[:80]!r}", place="payload", expected=BOM)
    subjects = tuple((each.name, each.digest.get("sha256", "")) for each in read.subject)
    if not subjects or not all(name and digest for name, digest in subjects):  # 5.
        raise NotVerified("the statement is about no file", place="subject", expected="name and sha256 of each")
    return Stated(document=read.predicate, subjects=subjects, keyid=signer)


def _holds(der: bytes, message: bytes, signature: str) -> bool:
    try:
        check_signature(_key(der), message, from_base64(signature))
    except (NotVerified, InvalidInput):
        return False
    return True


def _key(der: bytes) -> TrustedKey:
    """Return a key as a signature is checked with it; its window is not ours to judge here."""
    public = serialization.load_der_public_key(der)
    return TrustedKey(
        keyid=keyid_of(der),
        algorithm="ed25519" if isinstance(public, Ed25519PublicKey) else "ecdsa-p256",
        public=base64.b64encode(der).decode(),
        role="release",
        not_before=datetime.min.replace(tzinfo=UTC),
        not_after=datetime.max.replace(tzinfo=UTC),
        owner="",
    )


def pem_of(key: TrustedKey) -> str:
    """Return a public key as PEM."""
    public = serialization.load_der_public_key(from_base64(key.public))
    encoded = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def keys_in(text: bytes, place: str) -> tuple[bytes, ...]:
    """Return the public keys that a PEM file holds, DER.

    Raises:
        InvalidInput: It holds none, or something else.
    """
    end = b"-----END PUBLIC KEY-----"
    pieces: Iterable[bytes] = (piece + end for piece in text.split(end)[:-1])
    try:
        found = tuple(
            serialization.load_pem_public_key(piece.strip()).public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            for piece in pieces
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"the public key cannot be read: {error}", place=place, expected="PEM") from error
    if not found or len(text) > MAX_PEM:
        raise InvalidInput("the file holds no public key", place=place, expected="PEM, BEGIN PUBLIC KEY")
    return found
