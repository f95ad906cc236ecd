"""Workloads: services and gateways that prove who they are by a certificate of their trust domain."""

from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from holdfast.core import identity
from holdfast.core.access import Principal
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.identity import Directory
from holdfast.core.ledger import Draft
from holdfast.core.spiffe import check_domain, spiffe_id
from holdfast.lifecycle.access_compiled import tell_gateways
from holdfast.lifecycle.access_identities import DOMAINS as STREAM
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, counted

ACCEPTED: Final = "identity.trust-domain"
MAX_BUNDLE: Final = 256 * 1024  # bytes of PEM; a hundred authorities fit


def by_certificate(plant: Plant, directory: Directory, certificate: bytes, now: datetime) -> Principal:
    """Return the principal that a client's certificate proves, which TLS has shown to be the client's.

    Raises:
        NotVerified: It proves nobody who is known here.
    """
    last = plant.memory.folded(plant.ledger, {STREAM: lambda entries: entries[-1].body if entries else None})[STREAM]
    if last is None:
        raise NotVerified("no trust domain is accepted here")
    bundle = plant.memory.kept("bundle", last["bundle"], lambda: authorities(plant.blobs.get(Digest(last["bundle"]))))
    found = spiffe_id(certificate, bundle, domain=str(last["domain"]), now=now)
    account = directory.linked("spiffe", found)
    if account is None:
        raise NotVerified("no account is linked to this SPIFFE id, or it is disabled")
    return identity.principal(account, f"certificate:{digest_bytes(certificate)[7:23]}")


def authorities(pem: bytes) -> tuple[bytes, ...]:
    """Return the certificates of a PEM bundle, DER.

    Raises:
        InvalidInput: It holds none, or one that cannot be read.
    """
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise InvalidInput(f"the bundle cannot be read: {error}", expected="certificates in PEM") from error
    return tuple(each.public_bytes(serialization.Encoding.DER) for each in found)


def accept_domain(plant: Plant, *, domain: str, bundle: Path) -> Reply:
    """Accept the authorities of a SPIFFE trust domain, instead of earlier ones.

    Raises:
        InvalidInput: The name or the bundle cannot be read.
    """
    check_domain(domain)
    pem = read_given(bundle, limit=MAX_BUNDLE, what="the bundle")
    count = len(authorities(pem))
    body = {"domain": domain, "bundle": plant.blobs.put(pem)}
    plant.ledger.append([Draft(kind=ACCEPTED, actor=plant.actor, stream=STREAM, body=body)])
    accepted = f"{counted(count, 'authority', 'authorities')} of {domain} {'is' if count == 1 else 'are'} accepted."
    return Reply(
        says=accepted + tell_gateways(plant),
        document=body | {"authorities": count},
    )
