"""TLS certificates of a workspace: whether one may be believed now, and when one should be looked after.

A certificate says which name a key answers to, until when. It plays no part in the evidence: what a release is worth
follows from signed statements, whoever carried them.
"""

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from holdfast.core.artifact import Moment
from holdfast.core.errors import InvalidInput, NotVerified

ISSUED: Final = "certificate.issued"
EXPIRING: Final = "certificate.expiring"
STREAM: Final = "certificates"
RENEW_LEFT: Final = 1 / 3  # of its life: what is left when it is to be renewed, as ACME clients do
URGENT_LEFT: Final = 1 / 10  # of its life: what is left when somebody must look
MAX_NAMES: Final = 20
MAX_CERTIFICATE: Final = 64 * 1024  # bytes
_DNS: Final = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SPIFFE_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._-]{1,64}){1,8}")  # SPIFFE-ID, section 2.2


class Warned(StrEnum):
    """How near its end a certificate is."""

    FRESH = "fresh"
    DUE = "due"  # to be renewed
    URGENT = "urgent"  # still not renewed
    EXPIRED = "expired"


class Issued(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A certificate as it is on record."""

    name: str
    serial: str
    names: tuple[str, ...]
    not_before: Moment
    not_after: Moment
    fingerprint: str
    folder: str
    request: str = ""  # digest of the request, where the key is somebody else's

    def warned(self, now: datetime) -> Warned:
        """Return how near its end it is."""
        left = (self.not_after - now) / (self.not_after - self.not_before)
        if left <= 0:
            return Warned.EXPIRED
        if left <= URGENT_LEFT:
            return Warned.URGENT
        return Warned.DUE if left <= RENEW_LEFT else Warned.FRESH


def trust_domain(workspace: str) -> str:
    """Return a workspace's SPIFFE trust domain: its name with what a domain may not hold replaced.

    >>> trust_domain("holdfast/1f2e3d4c")
    'holdfast.1f2e3d4c'
    """
    return re.sub(r"[^a-z0-9.-]", ".", workspace.lower())


def general_names(names: Sequence[str], workspace: str) -> list[x509.GeneralName]:
    """Return subject alternative names: DNS names, IP addresses, and SPIFFE ids of this workspace alone.

    Raises:
        InvalidInput: There is none, there are too many, or one is none of these.
    """
    if not 0 < len(names) <= MAX_NAMES:
        raise InvalidInput(f"{len(names)} names", place="--san", expected=f"1 to {MAX_NAMES}")
    return [_general_name(name, workspace) for name in names]


def _general_name(name: str, workspace: str) -> x509.GeneralName:
    prefix = f"spiffe://{trust_domain(workspace)}"
    if name.startswith("spiffe://"):
        if not name.startswith(prefix) or _SPIFFE_PATH.fullmatch(name.removeprefix(prefix)) is None:
            raise InvalidInput(f"the id {name[:200]!r}", place="--san", expected=f"{prefix}/path")
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if len(name) > 253 or _DNS.fullmatch(name) is None:  # noqa: PLR2004 - RFC 1035, 2.3.4
            expected = "a DNS name, an IP address, or a SPIFFE id of this workspace"
            raise InvalidInput(f"the name {name[:200]!r}", place="--san", expected=expected) from None
        return x509.DNSName(name)


def der_of(pem: bytes) -> bytes:
    """Return a certificate as DER.

    Raises:
        NotVerified: It cannot be read.
    """
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    except ValueError as error:
        raise NotVerified("a certificate cannot be read", place="PEM") from error


def check_certificate(leaf: bytes, authority: bytes, *, now: datetime, name: str) -> x509.Certificate:
    """Return a certificate that a workspace's authority has issued for a name, if it may be believed now.

    1. Both can be read. 2. The chain is good by RFC 5280 and the CA/Browser Forum's profile, and inside its window. 3.
    It says this name.

    Args:
        leaf: The certificate, PEM.
        authority: The authority's certificate, PEM.
        now: The present moment.
        name: The DNS name, IP address or SPIFFE id of whoever presents it.

    Raises:
        NotVerified: Any step fails.
    """
    place = f"certificate for {name[:200]}"
    try:
        presented, root = x509.load_pem_x509_certificate(leaf), x509.load_pem_x509_certificate(authority)  # 1.
    except ValueError as error:
        raise NotVerified(f"the certificate cannot be read: {error}", place=place) from error
    moment = now.astimezone(UTC)
    if not presented.not_valid_before_utc <= moment < presented.not_valid_after_utc:
        ends = f"{presented.not_valid_before_utc:%Y-%m-%d} to {presented.not_valid_after_utc:%Y-%m-%d %H:%M}"
        remedy = "Renew it with `holdfast cert renew`."
        raise NotVerified(f"the certificate is valid from {ends} UTC only", place=place, remedy=remedy)
    try:
        verifier = PolicyBuilder().store(Store([root])).time(moment.replace(tzinfo=None)).build_client_verifier()
        verified = verifier.verify(presented, [])  # 2.
    except (VerificationError, ValueError) as error:
        raise NotVerified(f"the certificate does not check out: {error}", place=place) from error
    if name not in {_text(each) for each in verified.subjects or ()}:  # 3.
        raise NotVerified("the certificate is somebody else's", place=place)
    return presented


def _text(name: x509.GeneralName) -> str:
    return str(name.value)


def lasting(days: int, most: timedelta) -> timedelta:
    """Return how long a certificate is to last.

    Raises:
        InvalidInput: Not at all, or longer than its issuer.
    """
    wanted = timedelta(days=days)
    if not timedelta() < wanted <= most:
        raise InvalidInput(f"{days} days", place="--days", expected=f"1 to {most.days}")
    return wanted
