"""API keys: what one looks like, and the keyed hash under which a route table knows it.

A key holds 32 random bytes, so guessing is hopeless and a fast keyed hash may store it. The hash is keyed with the
gateway's own credential key, so that a leaked route table is no list against which keys could be tried elsewhere.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from holdfast.core.errors import InvalidInput
from holdfast.core.routes import Credential
from holdfast.core.tokens import MAX_TOKEN

MIN_CREDENTIAL_KEY: Final = 32  # bytes: as long as the hash, RFC 2104 section 3
PREFIX: Final = "hf_"
MAX_API_KEY: Final = 128  # characters; ours have 46
_JWS_DOTS: Final = 2
_BLOCK: Final = 64  # bytes of a block of SHA-256


class CredentialTable:
    """The credentials of one route table, found by the keyed hash of an API key in one step."""

    __slots__ = ("_by_hash", "_inner", "_outer")

    def __init__(self, credential_key: bytes, credentials: Iterable[Credential]) -> None:
        """Refuse a short credential key, and two entries of one hash, of which one would silently win."""
        check_credential_key(credential_key)
        # The two keyed halves of HMAC (RFC 2104, section 4, "the compression function's intermediate results").
        key = credential_key if len(credential_key) <= _BLOCK else hashlib.sha256(credential_key).digest()
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key.ljust(_BLOCK, b"\0")))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key.ljust(_BLOCK, b"\0")))
        self._by_hash: dict[str, Credential] = {}
        for credential in credentials:
            if credential.hash in self._by_hash:
                raise InvalidInput("two credentials share a hash", place=f"credential {credential.id!r}")
            self._by_hash[credential.hash] = credential

    def find(self, api_key: str, now: datetime) -> Credential | None:
        """Return the unexpired credential of an API key.

        Whatever the key looks like, the same work is done: one keyed hash and one look-up of it, whose time tells
        nothing about keys because nobody without the credential key can choose the hash.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(api_key.encode("utf-8", "surrogateescape"))
        outer.update(inner.digest())
        credential = self._by_hash.get(outer.hexdigest())
        if credential is None or now >= credential.expires:
            return None
        return credential


def check_credential_key(credential_key: bytes) -> None:
    """Check that a credential key is long enough.

    Raises:
        InvalidInput: It is not.
    """
    if len(credential_key) < MIN_CREDENTIAL_KEY:
        raise InvalidInput(
            f"a credential key of {len(credential_key)} bytes", expected=f"at least {MIN_CREDENTIAL_KEY} random bytes"
        )


def hash_api_key(credential_key: bytes, api_key: str) -> str:
    """Return the keyed hash under which a route table lists an API key: HMAC-SHA-256, hex.

    >>> hash_api_key(b"k" * 32, "hf_example")
    'b9139343b71b3f651730663b868840c7059598dd9827c9558b2173513f61f380'

    Raises:
        InvalidInput: The credential key is too short.
    """
    check_credential_key(credential_key)
    return hmac.new(credential_key, api_key.encode(), hashlib.sha256).hexdigest()


def presented(headers: Mapping[str, str]) -> str:
    """Return the API key that a request presents, or "" where it presents none, two, or something else.

    `Authorization: Bearer hf_…` and `X-Api-Key: hf_…` are accepted; both at once are ambiguous, and so no key.
    """
    bearer, key = headers.get("authorization"), headers.get("x-api-key")
    if (bearer is None) == (key is None):
        return ""
    if key is None:
        scheme, _, key = (bearer or "").partition(" ")
        if scheme.lower() != "bearer":  # RFC 9110 11.1: schemes are case-insensitive
            return ""
        key = key.strip(" ")
    return key if key.startswith(PREFIX) and len(key) <= MAX_API_KEY else ""


def presented_token(headers: Mapping[str, str]) -> str:
    """Return the token that a request presents, or "" where it presents none, or a key beside it.

    A token is three parts of a JWS (RFC 7515, 3.1) in `Authorization: Bearer`.
    """
    bearer = headers.get("authorization")
    if bearer is None or "x-api-key" in headers:
        return ""
    scheme, _, token = bearer.partition(" ")
    token = token.strip(" ")
    return token if scheme.lower() == "bearer" and token.count(".") == _JWS_DOTS and len(token) <= MAX_TOKEN else ""
