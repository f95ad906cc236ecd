"""Mutual TLS with the control plane: a gateway's own certificate, and the workspace's authority as the only root.

The system's trust store plays no part. Files are read for each connection, so that a renewed certificate is used at
once. Whom the certificate of the other side must name is `core.gateways`'s to say.
"""

import http.client
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from holdfast.adapters.durable import read_private
from holdfast.core.certificates import MAX_CERTIFICATE
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.core.exposure import check_secure
from holdfast.core.gateways import check_plane

AUTHORITY: Final = "authority.pem"
CERTIFICATE: Final = "client.crt.pem"
KEY: Final = "client.key.pem"
_REMEDY: Final = "Enrol this gateway: `holdfast gateway new`, and `holdfast gateway enrol` on the control plane."


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who this gateway is towards its control plane, and whom it takes for that."""

    folder: Path  # holds authority, certificate and key
    workspace: str
    now: Callable[[], datetime]

    def context(self) -> ssl.SSLContext:
        """Return a client's TLS context: TLS 1.2 or newer, one authority, a name that must fit, an own certificate.

        Raises:
            InvalidInput: A file is missing, open to others, or cannot be used.
        """
        try:
            read_private(self.folder / KEY, what="the gateway's TLS key", limit=MAX_CERTIFICATE)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and host name
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(self.folder / AUTHORITY)
            context.load_cert_chain(self.folder / CERTIFICATE, self.folder / KEY)
        except (OSError, ssl.SSLError, NotFound) as error:
            words = "the gateway's certificate cannot be used"
            raise InvalidInput(words, place=str(self.folder), remedy=_REMEDY) from error
        return context

    def authority(self) -> bytes:
        """Return the authority's certificate, DER."""
        return ssl.PEM_cert_to_DER_cert((self.folder / AUTHORITY).read_text(encoding="ascii"))


class _Verified(http.client.HTTPSConnection):
    """A connection whose other side is the control plane; nothing is sent before that is known."""

    peer: Peer

    def connect(self) -> None:
        super().connect()
        try:
            certificate = self.sock.getpeercert(binary_form=True) or b""
            check_plane(certificate, self.peer.authority(), self.peer.workspace, self.peer.now())
        except BaseException:
            self.close()
            raise


def check_plane_address(url: str, peer: Peer | None) -> None:
    """Check the address of a control plane, and that what is needed to ask it is there.

    Raises:
        InvalidInput: It is neither HTTPS nor this machine, holds more than host, port and path, or this gateway has no
            certificate that it could show there.
    """
    check_secure(url, "a control plane")
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise InvalidInput("this is not the address of a control plane", expected="https://host:port/path")
    if parts.scheme == "https":
        if peer is None:
            raise InvalidInput("a control plane is asked over TLS without a certificate", remedy=_REMEDY)
        peer.context()


def connected(url: str, peer: Peer | None, *, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection to a control plane, not made yet: mutual TLS, or in clear on this machine.

    Raises:
        InvalidInput: This gateway's certificate cannot be used.
        NotVerified: It has none.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    if peer is None:
        raise NotVerified("a control plane is asked over TLS without a certificate", remedy=_REMEDY)
    connection = _Verified(host, parts.port, timeout=timeout_s, context=peer.context())
    connection.peer = peer
    return connection


def unreachable(error: Exception, place: str) -> Unavailable:
    """Return what a gateway says when its control plane does not answer as it should.

    OpenSSL's reason is named where TLS has refused; what a certificate holds is not.
    """
    refused = isinstance(error, ssl.SSLError)
    why = (error.reason or "TLS") if isinstance(error, ssl.SSLError) else type(error).__name__
    return Unavailable(
        f"the control plane {'and this gateway do not accept one another' if refused else 'cannot be reached'}: {why}",
        place=place,
        remedy="Check the certificates of both sides."
        if refused
        else "Check --from-url and the network; until then the last state goes on to the end of its lease.",
    )
