"""Access tokens: JWTs (RFC 7519, RFC 9068) of one algorithm, believed by the workspace's own trust and nothing else.

What algorithm and key a token is checked with follows from the trusted key that its `kid` names, never from its header:
the header must say just what that key is. So there is no algorithm to confuse, no key to inject, and nothing to turn
off. The signature is made by whoever holds the key of role `tokens`; it never comes through here.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from holdfast.core.dsse import SigningKey
from holdfast.core.errors import NotVerified
from holdfast.core.trust import Trust, check_signature

ROLE: Final = "tokens"
LASTS: Final = timedelta(minutes=15)
SKEW: Final = timedelta(seconds=5)  # between replicas of the control plane; for `iat` and `nbf` only, never for `exp`
MAX_TOKEN: Final = 4096  # characters; ours have about 700
TYPE: Final = "at+jwt"  # RFC 9068, 2.1: an ID token or another JWT is no access token
AUDIENCE: Final = "holdfast-control-plane"
_NUMBERS: Final = (datetime(2020, 1, 1, tzinfo=UTC).timestamp(), datetime(2200, 1, 1, tzinfo=UTC).timestamp())

T = TypeVar("T")
Text = Annotated[str, Meta(min_length=1, max_length=256)]
Seconds = Annotated[int, Meta(ge=int(_NUMBERS[0]), lt=int(_NUMBERS[1]))]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The header; `jwk`, `jku`, `x5u`, `crit` and all else are unknown fields, and so refused."""

    alg: Literal["EdDSA"]
    typ: Literal["at+jwt"]
    kid: Text


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a token says."""

    iss: Text
    aud: Text
    sub: Text
    sid: Text  # the session, API key or identity that it was made from
    jti: Text
    iat: Seconds
    nbf: Seconds
    exp: Seconds
    scope: str | None = None  # actions, separated by spaces (RFC 9068, 2.2.3); None: all that the account may


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a new token is for."""

    name: str
    session: str
    scope: tuple[str, ...] | None = None


def mint(subject: Subject, signer: SigningKey, *, issuer: str, jti: str, now: datetime) -> tuple[str, Claims]:
    """Return a signed token that lasts `LASTS`, and what it says."""
    moment = int(now.timestamp())
    claims = Claims(
        iss=issuer,
        aud=AUDIENCE,
        sub=subject.name,
        sid=subject.session,
        jti=jti,
        iat=moment,
        nbf=moment,
        exp=moment + int(LASTS.total_seconds()),
        scope=None if subject.scope is None else " ".join(subject.scope),
    )
    header = Header(alg="EdDSA", typ=TYPE, kid=signer.keyid)
    message = b".".join(_encode(msgspec.json.encode(part)) for part in (header, claims))
    return (message + b"." + _encode(signer.sign(message))).decode(), claims


def verify(token: str, trust: Trust, *, issuer: str, now: datetime) -> Claims:
    """Return what a token says, if it may be believed now.

    1. Bounded, three parts, each in its one base64url spelling. 2. The header says what our keys are and names one of
    them: known, unrevoked, inside its window, of role `tokens`. 3. The signature over the received bytes verifies with
    that key. 4. Only then the claims are read: complete, none twice, none unknown. 5. Issuer and audience are this
    workspace's. 6. It is in force: issued, begun, not expired, and for no longer than tokens last.

    Raises:
        NotVerified: Any step fails; the message is for the record, not for whoever presented it.
    """
    if len(token) > MAX_TOKEN or not token.isascii():  # 1.
        raise NotVerified(f"a token of {len(token)} characters", expected=f"at most {MAX_TOKEN}, all ASCII")
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515, 3.1: header, payload, signature
        raise NotVerified("this is not a JWS in compact form")
    header = _parse(_decode(parts[0]), Header, "header")  # 2.
    key = trust.key(header.kid)
    if key is None or key.role != ROLE or key.algorithm != "ed25519" or not key.not_before <= now < key.not_after:
        raise NotVerified("no key that may sign tokens now has this id")
    check_signature(key, f"{parts[0]}.{parts[1]}".encode(), _decode(parts[2]))  # 3.
    claims = _parse(_decode(parts[1]), Claims, "payload")  # 4.
    if claims.iss != issuer or claims.aud != AUDIENCE:  # 5.
        raise NotVerified("the token is for somebody else")
    _in_force(claims, now)  # 6.
    return claims


def check_asked(message: bytes, *, issuer: str) -> None:
    """Check that a message is what `mint` has signed: a token of this workspace, and none that lasts longer than ours.

    Raises:
        NotVerified: It is something else.
    """
    parts = message.split(b".")
    if len(message) > MAX_TOKEN or not message.isascii() or len(parts) != 2:  # noqa: PLR2004 - header and payload
        raise NotVerified("this is no token before its signature")
    _parse(_decode(parts[0].decode()), Header, "header")
    claims = _parse(_decode(parts[1].decode()), Claims, "payload")
    if claims.iss != issuer or claims.aud != AUDIENCE:
        raise NotVerified("the token is for somebody else")
    if not claims.iat <= claims.nbf < claims.exp <= claims.iat + LASTS.total_seconds():
        raise NotVerified("the token claims to last longer than tokens do")


def _in_force(claims: Claims, now: datetime) -> None:
    moment, skew, lasts = now.timestamp(), SKEW.total_seconds(), LASTS.total_seconds()
    if moment >= claims.exp:
        raise NotVerified("the token has expired")
    if claims.iat > moment + skew or claims.nbf > moment + skew:
        raise NotVerified("the token is not valid yet")
    if not claims.iat <= claims.nbf < claims.exp <= claims.iat + lasts:
        raise NotVerified("the token claims to last longer than tokens do")


def scope_of(claims: Claims) -> tuple[str, ...] | None:
    """Return the actions that a token is limited to."""
    return None if claims.scope is None else tuple(claims.scope.split())


def _parse(document: bytes, of: type[T], what: str) -> T:
    """Return a part of a token; a name given twice would mean two things to two readers."""
    try:
        pairs: list[str] = []
        json.loads(document, object_pairs_hook=lambda found: pairs.extend(name for name, _ in found))
        if len(set(pairs)) != len(pairs):
            raise NotVerified(f"the token's {what} says something twice")
        return msgspec.json.decode(document, type=of)
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not JSON, of another shape
        raise NotVerified(f"the token's {what} cannot be read: {error}") from error


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: str) -> bytes:
    """Return the bytes of base64url without padding, of which each value has one spelling (RFC 7515, 2)."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotVerified("a part of the token is not base64url") from error
    if _encode(data).decode() != text:
        raise NotVerified("a part of the token is not in its one spelling")
    return data
