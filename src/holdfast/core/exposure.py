"""Who may be spoken to in clear: this machine alone, where nobody listens in between.

Whoever listens for other machines, or asks them, does so over TLS. Where a TLS terminator stands in front of a
listener, its operator says so by name; that it was said is part of what the listener tells of itself.
"""

import ipaddress
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from holdfast.core.errors import InvalidInput, Refused

LOCALHOST: Final = "localhost"
Ends: TypeAlias = Literal["here", "terminator", "nowhere"]
"""Where TLS ends: in this process, in one that stands in front of it, or nowhere, since only this machine is heard."""


def is_local(host: str) -> bool:
    """Return whether an address or name is this machine's own, whatever a name server says.

    >>> is_local("127.0.0.1"), is_local("::1"), is_local("localhost"), is_local("0.0.0.0"), is_local("example.org")
    (True, True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == LOCALHOST


def where_tls_ends(host: str, *, tls: bool, terminated: bool = False) -> Ends:
    """Return where TLS ends for a listener; nobody else on a network is answered in clear.

    Args:
        host: The address to listen on.
        tls: Whether there are a certificate and a key.
        terminated: Whether the operator has said that a TLS terminator stands in front.

    Raises:
        Refused: Other machines would be answered without TLS.
        InvalidInput: Both are said, or the host is no address of a machine.
    """
    if tls and terminated:
        raise InvalidInput("TLS ends here and in front", expected="--tls-cert, or --behind-tls-terminator, not both")
    if host != LOCALHOST:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise InvalidInput(f"host {host[:80]!r}", expected="an IP address of this machine") from None
    if tls:
        return "here"
    if terminated:
        return "terminator"
    if not is_local(host):
        raise Refused(
            "other machines would be answered without TLS",
            place=host,
            expected="--tls-cert and --tls-key, or an address of this machine alone",
            remedy="Where a TLS terminator stands in front, and only it reaches this address, say so with "
            "--behind-tls-terminator.",
        )
    return "nowhere"


def check_secure(url: str, what: str) -> None:
    """Check that an address is one of HTTPS, or of plain HTTP on this machine, and carries no credential.

    Raises:
        InvalidInput: It is another, or none.
    """
    expected = "https://host:port; http:// reaches this machine only"
    try:
        parts = urlsplit(url)
        host, told = parts.hostname or "", parts.username is not None or parts.password is not None
        _ = parts.port
    except ValueError as error:
        raise InvalidInput(f"this is not the address of {what}", expected=expected) from error
    if told or not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_local(host))):
        raise InvalidInput(f"this is not the address of {what}", expected=expected)
