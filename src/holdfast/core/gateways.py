"""Gateways on other hosts: what they are called, what they hand in, and whether one that knocks may be heard.

A gateway has three keys of its own, which never leave its host: its identity, an Ed25519 key that seals what it tells,
a TLS key, and one for reading, for which what is published is encrypted. Its name is the owner of the first in the
trust document and the path of the SPIFFE id in the second's certificate, so that what holds for the one holds for the
other: an ended or revoked identity is let in no more.
"""

import base64
import re
from datetime import datetime
from typing import Final, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.core.artifact import canonical, from_base64
from holdfast.core.certificates import trust_domain
from holdfast.core.dsse import SigningKey
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.spiffe import spiffe_id
from holdfast.core.trust import Trust, TrustedKey, check_signature

MAX_GATEWAY: Final = 64 * 1024  # bytes of a public file; one of two keys and a request takes 2 KiB
MAX_KEYS: Final = 4  # identity keys of one gateway in one file: those that overlap
PLANE: Final = "control-plane"  # the path of the control plane's own SPIFFE id
ROLE: Final = "gateway"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_RECIPIENT: Final = re.compile(r"age1[02-9ac-hj-np-z]{58}")
_NAME: Final = re.compile(r"gateway/[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_CONTEXT: Final = b"holdfast gateway 1\n"  # never the beginning of a DSSE message, which is "DSSEv1 "


class PublicGateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a gateway hands in: identity keys, certificate request, for whom to encrypt, each key's signature on all."""

    format: Literal["holdfast-gateway-1"]
    name: str
    keys: tuple[TrustedKey, ...]
    request: str  # PKCS#10, PEM; signed by the TLS key itself
    recipient: str  # the public half of its key for reading
    proofs: dict[str, str]


def full_name(name: str) -> str:
    """Return a gateway's whole name, which begins with its role.

    >>> full_name("ward-7")
    'gateway/ward-7'

    Raises:
        InvalidInput: It cannot be one.
    """
    whole = f"{ROLE}/{name.removeprefix(f'{ROLE}/')}"
    if _NAME.fullmatch(whole) is None:
        raise InvalidInput(f"a gateway called {name[:80]!r}", expected="1 to 40 of a-z, 0-9 and - inside")
    return whole


def identity_of(workspace: str, path: str) -> str:
    """Return the SPIFFE id of a part of a workspace.

    >>> identity_of("holdfast/1f2e3d4c", "gateway/ward-7")
    'spiffe://holdfast.1f2e3d4c/gateway/ward-7'
    """
    return f"spiffe://{trust_domain(workspace)}/{path}"


def gateway_file(
    name: str, keys: tuple[TrustedKey, ...], signers: dict[str, SigningKey], request: str, recipient: str
) -> bytes:
    """Return a gateway's public file, each identity key signing all of it."""
    message = _message(name, keys, request, recipient)
    proofs = {key.keyid: base64.b64encode(signers[key.keyid].sign(message)).decode() for key in keys}
    return canonical(
        PublicGateway(
            format="holdfast-gateway-1", name=name, keys=keys, request=request, recipient=recipient, proofs=proofs
        )
    )


def open_gateway_file(document: bytes) -> PublicGateway:
    """Return what a gateway's public file says, if every key in it proves that its private half was there.

    Raises:
        NotVerified: It cannot be read, speaks of keys that are no gateway's, or a proof is missing or wrong.
    """
    place = "public file of a gateway"
    try:
        file = msgspec.json.decode(document, type=PublicGateway)
        if len(document) > MAX_GATEWAY or full_name(file.name) != file.name:
            raise NotVerified("a name that is no gateway's, or too long a file", place=place)
    except (ValueError, RecursionError, InvalidInput) as error:
        raise NotVerified(f"this is not a gateway's public file: {error}", place=place) from error
    if not 0 < len(file.keys) <= MAX_KEYS or len({key.keyid for key in file.keys}) != len(file.keys):
        raise NotVerified(f"{len(file.keys)} keys", place=place, expected=f"1 to {MAX_KEYS} different ones")
    if not is_recipient(file.recipient):
        raise NotVerified("a key for reading that is none", place=place, expected="an age recipient")
    message = _message(file.name, file.keys, file.request, file.recipient)
    for key in file.keys:
        if key.role != ROLE or key.owner != file.name:
            raise NotVerified(f"a key of role {key.role} that {key.owner[:80]} answers for", place=place)
        try:
            check_signature(key, message, from_base64(file.proofs.get(key.keyid, "")))
        except InvalidInput as error:
            raise NotVerified("the proof cannot be read", place=f"key {key.keyid[:16]}") from error
    requested_key(file.request.encode())
    return file


def requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a certificate request; of all else that it may say nothing is read.

    Raises:
        NotVerified: It cannot be read, its own signature is wrong, or the key is not on P-256.
    """
    place = "certificate request"
    try:
        read = x509.load_pem_x509_csr(request)
        public, signed = read.public_key(), read.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotVerified("the certificate request cannot be read", place=place) from error
    if not signed or not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise NotVerified("the certificate request is not signed by a P-256 key of its own", place=place)
    return public


def is_heard(trust: Trust, name: str, now: datetime) -> bool:
    """Say whether the root keys vouch for an identity of this name, unrevoked, in whose window the moment lies."""
    return any(key.owner == name and key.not_before <= now < key.not_after for key in trust.of_role(ROLE))


def known_gateway(certificate: bytes, authority: bytes, trust: Trust, now: datetime) -> str:
    """Return the name of the gateway that a certificate proves.

    1. There is a certificate, of the workspace's authority, inside its window, with one SPIFFE id of this workspace. 2.
    The id is a gateway's. 3. The root keys vouch for an identity of this name, unrevoked, whose window has not ended.

    Args:
        certificate: DER, as TLS has proved it.
        authority: The workspace's authority, DER.
        trust: The trust document in force.
        now: The present moment.

    Raises:
        NotVerified: Any step fails.
    """
    if not certificate:  # no certificate is no name
        raise NotVerified("no certificate was presented", place="TLS")
    prefix = identity_of(trust.workspace, "")
    found = spiffe_id(certificate, [authority], domain=trust_domain(trust.workspace), now=now)  # 1.
    name = found.removeprefix(prefix)
    if _NAME.fullmatch(name) is None:  # 2.
        raise NotVerified("the certificate is no gateway's", place=found[:200])
    if not is_heard(trust, name, now):  # 3.
        raise NotVerified("this gateway's identity has ended, was revoked, or was never enrolled", place=name)
    return name


def check_plane(certificate: bytes, authority: bytes, workspace: str, now: datetime) -> None:
    """Check that whoever answers is the control plane, and not another holder of a certificate of its authority.

    Raises:
        NotVerified: It is somebody else.
    """
    found = spiffe_id(certificate, [authority], domain=trust_domain(workspace), now=now)
    if found != identity_of(workspace, PLANE):
        raise NotVerified("who answers is not the control plane", place=found[:200], expected=PLANE)


def is_recipient(text: str) -> bool:
    """Say whether something is age's public half of an X25519 key: Bech32 (BIP 173) of 32 bytes, checksum included.

    >>> is_recipient("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")
    True
    >>> is_recipient("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q")
    False
    """
    if _RECIPIENT.fullmatch(text) is None:
        return False
    checked = 1
    for value in (3, 3, 3, 0, 1, 7, 5, *(_BECH32.index(each) for each in text[4:])):  # "age", expanded, goes before
        top, checked = checked >> 25, (checked & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checked ^= generator if top >> place & 1 else 0
    return checked == 1


def _message(name: str, keys: tuple[TrustedKey, ...], request: str, recipient: str) -> bytes:
    return _CONTEXT + canonical({"name": name, "keys": keys, "request": request, "recipient": recipient})
