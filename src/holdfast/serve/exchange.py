"""One HTTP exchange as values: what the core takes and gives, whatever server stands in front of it."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]

HEADERS_READ: Final = {
    b"authorization": "authorization",
    b"x-api-key": "x-api-key",
    b"x-correlation-id": "x-correlation-id",
    b"content-encoding": "content-encoding",
    b"inference-header-content-length": "inference-header-content-length",
    b"x-holdfast-timestamp": "x-holdfast-timestamp",
    b"x-holdfast-nonce": "x-holdfast-nonce",
    b"x-holdfast-signature": "x-holdfast-signature",
    b"client-cert": "client-cert",
    b"x-holdfast-terminator": "x-holdfast-terminator",
    b"x-holdfast-unit": "x-holdfast-unit",
    b"x-holdfast-attributes": "x-holdfast-attributes",
    b"x-holdfast-proof": "x-holdfast-proof",
}
"""The request headers that decide anything. No other is looked at, so none can be smuggled past us."""

MOST_HEADS: Final = 256  # of at most 64 KiB each
PROXIED: Final = "forwarded"  # stands among the headers that were read if a proxy says it passed the request on
_PROXIES_SAY: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request as received: names of headers in lower case, order and duplicates kept, body whole."""

    method: str
    path: str
    headers: Iterable[tuple[bytes, bytes]] = ()
    body: bytes = b""
    query: bytes = b""  # what follows the path's question mark
    peer: str = ""  # address of whoever is at the other end of the socket
    certificate: bytes = b""  # of whoever that is, DER, where TLS ends here and has verified it
    signed: tuple[str, bytes] | None = (
        None  # path and body as the caller sent them, where this request is a translation
    )


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An answer, ready to be sent."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value; names are in lower case."""
        return next((value for key, value in self.headers if key == name), None)


def read_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str] | None:
    """Return the headers that decide anything, or None if one of them is given twice.

    Two values of one header are two stories; whoever stands in front of us may have believed the other one.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        key = HEADERS_READ.get(name)
        if key is not None:
            if key in found:
                return None
            found[key] = value.decode("latin-1")
        elif name in _PROXIES_SAY:
            found[PROXIED] = "1"
    return found


class Head(msgspec.Struct, frozen=True, gc=False):
    """The headers of a request as they are looked at, and what guards have found out about them alone."""

    headers: dict[str, str] | None  # None: one is given twice
    raw: Headers
    seen: dict[Any, Any]


class Heads:
    """The headers of the last requests: a caller's are mostly the same as before, and are then read only once."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[Headers, Head] = {}

    def read(self, pairs: Iterable[tuple[bytes, bytes]]) -> Head:
        """Return the headers of a request."""
        raw = tuple(pairs)
        known = self._known.get(raw)
        if known is not None:
            return known
        head = Head(read_headers(raw), raw, {})
        if len(self._known) >= MOST_HEADS:
            self._known = {}
        self._known[raw] = head
        return head

    def forget(self) -> None:
        """Forget them all: what guards found out was found by guards that are gone."""
        self._known = {}
