"""A workspace's own certificate authority: one key, encrypted like the others, that names keys of servers and clients.

The authority's private key never lies in clear and is used in this process only while it signs. A certificate's private
key is made here, is written once into a file that only its owner may read, and is never an argument or an answer.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.adapters.durable import PRIVATE_DIRECTORY, read_private
from holdfast.adapters.key_wrap import Box, Ring, new_ring, open_ring, unwrap, wrap
from holdfast.adapters.peer import CERTIFICATE
from holdfast.adapters.published import replace_durably
from holdfast.adapters.unlock import Unlock
from holdfast.core.certificates import MAX_CERTIFICATE, Issued, general_names
from holdfast.core.errors import InvalidInput, NotVerified, Unavailable
from holdfast.core.gateways import requested_key

AUTHORITY_LASTS: Final = timedelta(days=5 * 365)  # renewing it means renewing every pin of it
LEAF_MOST: Final = timedelta(days=397)  # CA/Browser Forum baseline requirements, 6.3.2
KEY_FILE: Final = "authority.json"
CERTIFICATE_FILE: Final = "authority.pem"
_PURPOSE: Final = b"certificate authority"
_BACK: Final = timedelta(minutes=5)  # clocks of others may be late


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The authority's private key in a box, with the ring that opens it."""

    format: Literal["holdfast-authority-1"]
    ring: Ring
    private: Box


class CertificateAuthority:
    """Issues certificates for one workspace (port `Authority`)."""

    def __init__(self, folder: Path, workspace: str, unlock: Unlock) -> None:
        """Use the authority in a folder; it is made with the first certificate."""
        self._folder, self._workspace, self._unlock = folder, workspace, unlock

    def certificate(self) -> bytes:
        """Return the authority's certificate, PEM: what others pin.

        Raises:
            NotFound: None was made yet.
        """
        path = self._folder / CERTIFICATE_FILE
        return read_private(path, what="the authority's certificate", limit=MAX_CERTIFICATE)

    def most(self) -> timedelta:
        """Return how long a certificate may last."""
        return LEAF_MOST

    def issue(self, name: str, names: Sequence[str], *, lasts: timedelta, now: datetime, folder: Path) -> Issued:
        """Make a key and a certificate for it, and put both into a folder, in place of those of the same name.

        Raises:
            InvalidInput: A name that no certificate of this workspace may say.
            Unavailable: The authority's key cannot be unlocked, or the folder cannot be written.
        """
        self._check(name, names)
        private = ec.generate_private_key(ec.SECP256R1())
        made = self._signed(name, names, private.public_key(), lasts, now)
        self._write(folder, name, made, private)
        return _issued(name, names, made, folder)

    def certify(
        self, name: str, names: Sequence[str], request: bytes, *, lasts: timedelta, now: datetime, folder: Path
    ) -> Issued:
        """Make a certificate for somebody else's key, and put it into a folder as a client's; the key stays there.

        Raises:
            NotVerified: The request is not signed by the key it names.
            InvalidInput: A name that no certificate of this workspace may say.
            Unavailable: The authority's key cannot be unlocked, or the folder cannot be written.
        """
        self._check(name, names)
        made = self._signed(name, names, requested_key(request), lasts, now)
        try:
            folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            replace_durably(folder / CERTIFICATE, made.public_bytes(serialization.Encoding.PEM))
        except OSError as error:
            raise Unavailable(f"the certificate cannot be written: {error.strerror}", place=str(folder)) from error
        return _issued(name, names, made, folder)

    def _check(self, name: str, names: Sequence[str]) -> None:
        general_names(names, self._workspace)
        if not name.isidentifier() and not all(part.isidentifier() or part.isalnum() for part in name.split("-")):
            raise InvalidInput(f"a certificate called {name[:80]!r}", expected="letters, digits, - and _")

    def _signed(
        self, name: str, names: Sequence[str], public: ec.EllipticCurvePublicKey, lasts: timedelta, now: datetime
    ) -> x509.Certificate:
        """Return a leaf that says these names of a public key."""
        signing, root = self._open(now)
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
            .issuer_name(root.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACK)
            .not_valid_after(min(now + lasts, root.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName(general_names(names, self._workspace)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usages, critical=False)
            .add_extension(issuer, critical=False)
            .sign(signing, hashes.SHA256())
        )

    def rewrap(self, unlock: Unlock) -> None:
        """Protect the authority's key with another secret; nothing happens where there is no authority.

        Raises:
            Unavailable: The present secret is missing or wrong, or the file cannot be written.
        """
        if not (self._folder / KEY_FILE).exists():
            return
        kept = self._kept()
        content = unwrap(open_ring(kept.ring, self._unlock), purpose=_PURPOSE, box=kept.private, said=b"")
        self._keep(content, unlock)
        self._unlock = unlock

    def opened_by(self, unlock: Unlock) -> None:
        """Say where the secret that opens the key lies from now on."""
        self._unlock = unlock

    def _open(self, now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        if not (self._folder / KEY_FILE).exists():
            return self._create(now)
        kept = self._kept()
        content = unwrap(open_ring(kept.ring, self._unlock), purpose=_PURPOSE, box=kept.private, said=b"")
        private = serialization.load_der_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(self.certificate())
        if not isinstance(private, ec.EllipticCurvePrivateKey) or certificate.public_key() != private.public_key():
            raise NotVerified("the authority's certificate is not its key's", place=str(self._folder))
        return private, certificate

    def _create(self, now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._workspace[:64])])
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACK)
            .not_valid_after(now + AUTHORITY_LASTS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
            .sign(private, hashes.SHA256())
        )
        self._folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        replace_durably(self._folder / CERTIFICATE_FILE, certificate.public_bytes(serialization.Encoding.PEM))
        self._keep(_pkcs8(private, serialization.Encoding.DER), self._unlock)
        return private, certificate

    def _kept(self) -> Kept:
        path = self._folder / KEY_FILE
        try:
            data = read_private(path, what="the authority's key", limit=MAX_CERTIFICATE)
            return msgspec.json.decode(data, type=Kept)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotVerified(f"the authority's key cannot be read: {error}", place=str(path)) from error

    def _keep(self, content: bytes, unlock: Unlock) -> None:
        ring, master = new_ring(unlock.sort, unlock.secret())
        box = wrap(master, purpose=_PURPOSE, content=content, said=b"")
        kept = Kept(format="holdfast-authority-1", ring=ring, private=box)
        try:
            replace_durably(self._folder / KEY_FILE, msgspec.json.encode(kept))
        except OSError as error:
            raise Unavailable(f"the authority's key cannot be written: {error.strerror}", place=KEY_FILE) from error

    def _write(
        self, folder: Path, name: str, certificate: x509.Certificate, private: ec.EllipticCurvePrivateKey
    ) -> None:
        """Put key, certificate and authority into place, each whole; the key's file is born with mode 0600."""
        try:
            folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            replace_durably(folder / f"{name}.key.pem", _pkcs8(private, serialization.Encoding.PEM))
            replace_durably(folder / f"{name}.crt.pem", certificate.public_bytes(serialization.Encoding.PEM))
            replace_durably(folder / CERTIFICATE_FILE, self.certificate())
        except OSError as error:
            raise Unavailable(f"the certificate cannot be written: {error.strerror}", place=str(folder)) from error


def _issued(name: str, names: Sequence[str], made: x509.Certificate, folder: Path) -> Issued:
    return Issued(
        name=name,
        serial=f"{made.serial_number:x}",
        names=tuple(names),
        not_before=made.not_valid_before_utc,
        not_after=made.not_valid_after_utc,
        fingerprint=made.fingerprint(hashes.SHA256()).hex(),
        folder=str(folder),
    )


def _pkcs8(private: ec.EllipticCurvePrivateKey, encoding: serialization.Encoding) -> bytes:
    return private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
