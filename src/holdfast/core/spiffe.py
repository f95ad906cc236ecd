"""SPIFFE: who a workload is, from its X.509-SVID (SPIFFE X509-SVID, sections 2 to 5).

1. The certificate chains to the bundle of the trust domain and is inside its window now. 2. It is a leaf, and may sign
on as a client. 3. It has exactly one URI in its SAN, a SPIFFE id in its one spelling. 4. The id's trust domain is ours.
TLS proves possession of the key and is left to whoever terminates it.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from holdfast.core.errors import InvalidInput, NotVerified

MAX_CERTIFICATE: Final = 16 * 1024  # bytes of DER
MAX_ID: Final = 2048  # bytes; SPIFFE-ID, section 2.3
_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)+)")


def check_domain(domain: str) -> str:
    """Return the name of a trust domain.

    Raises:
        InvalidInput: It cannot be one.
    """
    if not _DOMAIN.fullmatch(domain):
        raise InvalidInput(f"the trust domain {domain[:80]!r}", expected="a-z, 0-9, '.', '_' and '-'")
    return domain


def check_id(text: str) -> str:
    """Return a SPIFFE id in its one spelling.

    Raises:
        InvalidInput: It is none.
    """
    found = _ID.fullmatch(text)
    if found is None or len(text) > MAX_ID or {".", ".."} & set(found[2].split("/")):
        raise InvalidInput(f"the SPIFFE id {text[:80]!r}", expected="spiffe://trust-domain/path")
    return text


def spiffe_id(certificate: bytes, bundle: Sequence[bytes], *, domain: str, now: datetime) -> str:
    """Return the SPIFFE id that a client's certificate proves.

    Args:
        certificate: The leaf, DER, of which TLS has proved that the client holds the key.
        bundle: The authorities of the trust domain, DER.
        domain: The trust domain.
        now: The present moment.

    Raises:
        NotVerified: Any step fails.
    """
    if len(certificate) > MAX_CERTIFICATE or not bundle:  # an empty bundle trusts nobody
        raise NotVerified("a certificate that is too long, or nobody who could have issued it")
    try:
        leaf = x509.load_der_x509_certificate(certificate)
        store = Store([x509.load_der_x509_certificate(each) for each in bundle])
        # 1. and 2. RFC 5280 path validation, window, key usage, extended key usage for clients.
        PolicyBuilder().store(store).time(now).max_chain_depth(1).build_client_verifier().verify(leaf, [])
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, VerificationError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise NotVerified(f"the certificate does not verify: {str(error)[:160]}") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:  # 3.
        raise NotVerified(f"the certificate names {len(uris)} URIs", expected="one SPIFFE id")
    try:
        found = check_id(uris[0])
    except InvalidInput as error:
        raise NotVerified(error.message) from error
    if not found.startswith(f"spiffe://{domain}/"):  # 4.
        raise NotVerified("the certificate is of another trust domain")
    return found
