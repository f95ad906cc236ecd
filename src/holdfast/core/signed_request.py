"""Signed requests: what a caller signs so that a request counts once, and only for a short while.

The signature is an HMAC-SHA-256 (RFC 2104) under the API key over six lines: the name of this scheme, the method, the
path as the gateway sees it, the SHA-256 of the body, the time in whole seconds, and a nonce. Three headers carry it:

    x-holdfast-timestamp: 1789500000
    x-holdfast-nonce: 3q2-7wF6yQm0r1t2u3v4wA
    x-holdfast-signature: <64 hexadecimal digits>

The key itself still travels beside it, so this stops repeated and delayed deliveries, and requests kept in a log or a
queue; against somebody who reads along, what protects is TLS.
"""

import hashlib
import hmac
import re
from typing import Final

TIMESTAMP: Final = "x-holdfast-timestamp"
NONCE: Final = "x-holdfast-nonce"
SIGNATURE: Final = "x-holdfast-signature"
SCHEME: Final = "holdfast-request-v1"
NONCE_FORM: Final = re.compile(r"[A-Za-z0-9_-]{22,64}")  # 22 characters of base64url hold 128 bits
TIME_FORM: Final = re.compile(r"[0-9]{1,12}")


def request_signature(api_key: str, *, method: str, path: str, body: bytes, timestamp: str, nonce: str) -> str:
    """Return the signature of a request, hex.

    >>> request_signature(
    ...     "hf_example",
    ...     method="POST",
    ...     path="/v2/models/m/infer",
    ...     body=b"{}",
    ...     timestamp="1789500000",
    ...     nonce="3q2-7wF6yQm0r1t2u3v4wA",
    ... )[:16]
    'b53ee8d31c1d4cd8'
    """
    said = "\n".join((SCHEME, method, path, hashlib.sha256(body).hexdigest(), timestamp, nonce))
    return hmac.new(api_key.encode("utf-8", "surrogateescape"), said.encode(), hashlib.sha256).hexdigest()
