"""A gateway's TLS key: made on its own host, in a file that only its owner may read, and asked a certificate for."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.adapters.durable import read_private, write_new
from holdfast.core.certificates import MAX_CERTIFICATE
from holdfast.core.errors import NotVerified


def certificate_request(path: Path, name: str) -> str:
    """Return a certificate request of the TLS key in a file, PEM; the key is made where there is none.

    Raises:
        NotVerified: The file holds something else than a P-256 key.
        Refused: Others may read it.
        OSError: It cannot be written.
    """
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PrivateFormat.PKCS8
        write_new(path, made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    data = read_private(path, what="the gateway's TLS key", limit=MAX_CERTIFICATE)
    try:
        private = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise NotVerified("the gateway's TLS key cannot be read", place=str(path)) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise NotVerified("the gateway's TLS key is not on P-256", place=str(path))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(private, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()
