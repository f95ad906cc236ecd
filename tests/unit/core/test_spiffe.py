"""Workload certificates: only a leaf of our trust domain, inside its window, with one SPIFFE id, proves anything."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.spiffe import check_domain, check_id, spiffe_id
from holdfast.testing.clock import SettableClock

NOW = SettableClock().now()
DAY = timedelta(days=1)
ID = "spiffe://prod.example.com/ns/ml/gateway"


class Authority:
    """A certificate authority of a test."""

    def __init__(self, name: str = "authority", now: datetime = NOW) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._built(self.name, self.key.public_key(), now - DAY, now + 30 * DAY, ca=True)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def leaf(self, *uris: str, start: datetime = NOW - DAY, end: datetime = NOW + DAY, **more: Any) -> bytes:
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(name) for name in more.pop("dns", ())]
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
        made = self._built(subject, key.public_key(), start, end, names=names, **more)
        return made.public_bytes(serialization.Encoding.DER)

    def _built(
        self, subject: x509.Name, key: Any, start: datetime, end: datetime, *, ca: bool = False, **more: Any
    ) -> x509.Certificate:
        usage = more.get("usage", [ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        signs = x509.KeyUsage(
            digital_signature=not ca,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=ca,
            crl_sign=ca,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(signs, critical=True)
        if more.get("names"):
            builder = builder.add_extension(x509.SubjectAlternativeName(more["names"]), critical=False)
        if not ca and usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        return builder.sign(self.key, hashes.SHA256())


OURS, THEIRS = Authority(), Authority()


def proved(certificate: bytes, bundle: tuple[bytes, ...] = (OURS.der,), now: datetime = NOW) -> str:
    """What a certificate proves of our domain."""
    return spiffe_id(certificate, bundle, domain="prod.example.com", now=now)


def test_a_certificate_of_our_domain_proves_its_id() -> None:
    """The one URI in it is who the workload is."""
    assert proved(OURS.leaf(ID)) == ID
    assert proved(OURS.leaf(ID), (THEIRS.der, OURS.der)) == ID
    assert proved(OURS.leaf(ID, dns=["gateway.example.com"])) == ID


@pytest.mark.parametrize(
    "certificate",
    [
        THEIRS.leaf(ID),
        OURS.leaf(ID, start=NOW - 2 * DAY, end=NOW - DAY),
        OURS.leaf(ID, start=NOW + DAY, end=NOW + 2 * DAY),
        OURS.leaf(ID, usage=[ExtendedKeyUsageOID.SERVER_AUTH]),
        OURS.leaf(ID, ca=True),
        OURS.leaf(dns=["gateway.example.com"]),
        OURS.leaf(),
        OURS.leaf(ID, ID + "2"),
        OURS.leaf("spiffe://dev.example.com/ns/ml/gateway"),
        OURS.leaf("spiffe://prod.example.com.evil.com/ns/ml/gateway"),
        OURS.leaf("https://prod.example.com/ns/ml/gateway"),
        OURS.leaf("spiffe://prod.example.com"),
        OURS.leaf("spiffe://prod.example.com/"),
        OURS.leaf("spiffe://prod.example.com/a/../b"),
        OURS.leaf("spiffe://prod.example.com/a//b"),
        OURS.leaf("spiffe://PROD.example.com/a"),
        OURS.leaf("spiffe://prod.example.com/a?b=c"),
        OURS.leaf("spiffe://user@prod.example.com/a"),
        OURS.leaf("spiffe://prod.example.com:443/a"),
        OURS.der,
        b"",
        b"0",
        b"\x30" * 20_000,
    ],
    ids=range(23),
)
def test_any_other_certificate_proves_nothing(certificate: bytes) -> None:
    """Another issuer, another time, another use, another domain, no id, two ids, or an id in another spelling."""
    with pytest.raises(NotVerified):
        proved(certificate)


def test_a_certificate_proves_nothing_after_its_end() -> None:
    """To the second, and nobody has to revoke it."""
    leaf = OURS.leaf(ID, end=NOW + DAY)
    assert proved(leaf, now=NOW + DAY - timedelta(seconds=1))
    with pytest.raises(NotVerified):
        proved(leaf, now=NOW + DAY + timedelta(seconds=1))


def test_where_nobody_is_trusted_nothing_is_proved() -> None:
    """Empty means no."""
    with pytest.raises(NotVerified):
        proved(OURS.leaf(ID), ())


def test_ids_and_domains_have_one_spelling() -> None:
    """They are compared as text."""
    assert check_domain("prod.example.com")
    assert check_id(ID)
    for bad in ("PROD", "a/b", "", "a b"):
        with pytest.raises(InvalidInput):
            check_domain(bad)
    with pytest.raises(InvalidInput):
        check_id("spiffe://a/" + "x" * 3000)
