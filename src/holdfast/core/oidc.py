"""OpenID Connect as a relying party, without the wire: configuration, discovery, PKCE, and what an ID token proves.

Nothing a provider says is believed beyond what its configuration here lets it say: which issuer, for which audience, by
which algorithms, and which of its groups or subjects are which of ours.
"""

import base64
import hashlib
import hmac
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from holdfast.core.errors import InvalidInput, MissingExtra, NotVerified

T = TypeVar("T")

MAX_ID_TOKEN: Final = 16 * 1024  # characters; some providers list hundreds of groups
MAX_SUBJECT: Final = 255  # characters; OpenID Connect Core 1.0, 2
MAX_CONFIGURATION: Final = 64 * 1024  # bytes
MAX_KEYS: Final = 64  # of one key set; providers publish two or three
SKEW: Final = timedelta(seconds=60)  # between a provider's clock and ours
# Signatures only: no shared secret, never `none`. Most providers still call Ed25519 (RFC 9864) EdDSA (RFC 8037).
FAMILIES: Final[Mapping[str, str]] = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "Ed25519": "OKP", "EdDSA": "OKP"}
ALGORITHMS: Final = tuple(FAMILIES)
HEADERS: Final = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})  # others bring keys or meaning of their own
Text = Annotated[str, Meta(min_length=1, max_length=2048)]


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which tokens of a provider are which service account: every claim must fit; `*` stands for anything but `:`."""

    account: Text
    claims: dict[str, Text]


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One OpenID provider, as an administrator has described it."""

    name: Text
    issuer: Text
    client_id: Text  # also the audience that its tokens must be for
    sort: Literal["people", "workloads"]
    redirect_uri: str = ""  # exactly as registered there; empty: no sign-on by browser
    scopes: tuple[Text, ...] = ("openid",)
    groups_claim: Text = "groups"
    name_claim: str = ""  # which claim becomes the account's name; empty: a name that tells nothing
    groups: dict[str, tuple[str, ...]] = {}  # their group to ours
    workload: tuple[Workload, ...] = ()


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of itself (OpenID Connect Discovery 1.0, 3); other members are not ours to read."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    authorization_endpoint: str = ""
    device_authorization_endpoint: str = ""
    authorization_response_iss_parameter_supported: bool = False


class DeviceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider answers to a device that wants to sign on (RFC 8628, 3.2)."""

    device_code: Annotated[str, Meta(max_length=4096)]
    user_code: Annotated[str, Meta(max_length=64)]
    verification_uri: Annotated[str, Meta(max_length=2048)]
    expires_in: Annotated[float, Meta(gt=0, le=3600)]
    verification_uri_complete: Annotated[str, Meta(max_length=2048)] = ""
    interval: Annotated[float, Meta(gt=0, le=60)] = 5


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider answers at its token endpoint (RFC 6749, 5.1 and 5.2)."""

    id_token: str = ""
    access_token: str = ""
    error: Annotated[str, Meta(max_length=256)] = ""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """When an ID token is in force; its other claims are read elsewhere."""

    exp: float
    iat: float
    nbf: float


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a provider (RFC 7517, 5)."""

    keys: Annotated[tuple[dict[str, Any], ...], Meta(max_length=MAX_KEYS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What an ID token proves."""

    issuer: str
    subject: str
    claims: Mapping[str, Any]


def parse_provider(text: bytes) -> Provider:
    """Return a provider's configuration.

    Raises:
        InvalidInput: It cannot be read, or what it maps is empty or open to all.
    """
    place = "provider"
    if len(text) > MAX_CONFIGURATION:
        raise InvalidInput(f"{len(text)} bytes", place=place, expected=f"at most {MAX_CONFIGURATION}")
    try:
        found = msgspec.toml.decode(text, type=Provider)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the configuration cannot be read: {error}", place=place) from error
    if found.sort == "people" and not found.groups:  # empty means no: nobody could sign on
        raise InvalidInput("no group is mapped", place="provider: groups", expected="their group = [our groups]")
    if found.sort == "workloads" and not found.workload:
        raise InvalidInput("no workload is mapped", place="provider: workload", expected="account and claims")
    for workload in found.workload:
        subject = workload.claims.get("sub", "")
        if not subject or subject.startswith("*"):  # a token of anybody at this provider would do
            raise InvalidInput("a workload without a subject of its own", place=f"workload {workload.account}")
    if "openid" not in found.scopes:
        raise InvalidInput("the scope openid is missing", place="provider: scopes")
    return found


def parse_discovery(document: bytes, provider: Provider) -> Discovery:
    """Return a provider's discovery document, if it is that provider's (OpenID Connect Discovery 1.0, 4.3).

    Raises:
        NotVerified: It cannot be read, or is another issuer's.
    """
    found = read_answer(document, Discovery, "the discovery document")
    if found.issuer != provider.issuer:
        raise NotVerified(f"the issuer is {found.issuer[:80]!r}", place="discovery", expected=provider.issuer)
    return found


def read_answer(document: bytes, of: type[T], what: str) -> T:
    """Return what a provider has sent.

    Raises:
        NotVerified: It cannot be read.
    """
    try:
        return msgspec.json.decode(document, type=of)
    except (ValueError, RecursionError) as error:
        raise NotVerified(f"{what} cannot be read: {str(error)[:160]}", place="provider") from error


def challenge(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636, 4.2).

    >>> challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def authorization_url(provider: Provider, found: Discovery, *, state: str, nonce: str, verifier: str) -> str:
    """Return where to send a browser to sign on.

    Raises:
        InvalidInput: The provider offers no sign-on by browser, or none is configured.
    """
    if not found.authorization_endpoint or not provider.redirect_uri:
        raise InvalidInput("no sign-on by browser is configured", place=f"provider {provider.name}")
    query = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": provider.redirect_uri,
        "scope": " ".join(provider.scopes),
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{found.authorization_endpoint}{'&' if '?' in found.authorization_endpoint else '?'}{urlencode(query)}"


def kid_of(token: str) -> str:
    """Return the key id that a token names, unverified; empty where it names none."""
    return str(_header(token).get("kid", ""))


def verify_id_token(
    token: str, keys: bytes, provider: Provider, *, now: datetime, nonce: str | None = None, access_token: str = ""
) -> Proved:
    """Return what an ID token proves (OpenID Connect Core 1.0, 3.1.3.7).

    1. Bounded, and its header brings nothing but a name of algorithm and key. 2. The key is the provider's, is meant
    for signatures, and is of the algorithm's family; the algorithm is one of ours. 3. The signature verifies.
    4. Issuer and audience; where there are several audiences, the authorised party. 5. In force. 6. The nonce is the
    one we sent. 7. If it says what access token came along, it is that one.

    Args:
        token: The token.
        keys: The provider's key set.
        provider: Its configuration.
        now: The present moment.
        nonce: What we sent along; None where the flow has none.
        access_token: The access token that came along, if any.

    Raises:
        NotVerified: Any step fails.
    """
    if len(token) > MAX_ID_TOKEN or not token.isascii():  # 1.
        raise NotVerified(f"an ID token of {len(token)} characters", expected=f"at most {MAX_ID_TOKEN}")
    header = _header(token)
    if not header.keys() <= HEADERS or header.get("alg") not in ALGORITHMS:
        raise NotVerified("the ID token's header names no algorithm of ours, or brings more than a key's name")
    claims = _signed(token, header, keys)  # 2. and 3.
    issuer, subject, audience = claims.get("iss"), claims.get("sub"), claims.get("aud")  # 4.
    audiences = [audience] if isinstance(audience, str) else audience
    if issuer != provider.issuer or not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise NotVerified("the ID token is another issuer's, or of nobody")
    if not isinstance(audiences, list) or provider.client_id not in audiences:
        raise NotVerified("the ID token is for somebody else")
    if (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != provider.client_id:
        raise NotVerified("the ID token was made for another party")
    _in_force(claims, now)  # 5.
    if nonce is not None and not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):  # 6.
        raise NotVerified("the ID token answers another request")
    if "at_hash" in claims and access_token:  # 7.
        whole = (hashlib.sha512 if FAMILIES[str(header["alg"])] == "OKP" else hashlib.sha256)(
            access_token.encode()
        ).digest()
        if claims["at_hash"] != _base64url(whole[: len(whole) // 2]):
            raise NotVerified("another access token belongs to the ID token")
    return Proved(issuer=str(issuer), subject=subject, claims=claims)


def groups_of(provider: Provider, proved: Proved) -> tuple[str, ...]:
    """Return which of our groups a person is in, by the provider's claim and the mapping here."""
    theirs = proved.claims.get(provider.groups_claim, [])
    named = [theirs] if isinstance(theirs, str) else theirs if isinstance(theirs, list) else []
    return tuple(sorted({ours for each in named for ours in provider.groups.get(str(each), ())}))


def managed_groups(provider: Provider) -> frozenset[str]:
    """Return the groups that a provider gives and takes; all others are left as they are."""
    return frozenset(ours for groups in provider.groups.values() for ours in groups)


def workload_of(provider: Provider, proved: Proved) -> str | None:
    """Return the account that a workload's token proves, if all claims fit just one account."""
    fitting = {
        workload.account
        for workload in provider.workload
        if all(_fits(pattern, proved.claims.get(claim)) for claim, pattern in workload.claims.items())
    }
    return fitting.pop() if len(fitting) == 1 else None


def _fits(pattern: str, value: object) -> bool:
    """Say whether a claim fits; `*` stands for anything but a colon: no part of a subject runs into the next."""
    parts = "[^:]*".join(re.escape(part) for part in pattern.split("*"))
    return isinstance(value, str) and re.fullmatch(parts, value) is not None


def _header(token: str) -> dict[str, Any]:
    try:
        first = token.split(".", maxsplit=1)[0]
        header = msgspec.json.decode(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)), type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise NotVerified("the ID token's header cannot be read") from error
    return header


def _signed(token: str, header: Mapping[str, Any], keys: bytes) -> dict[str, Any]:
    """Return the claims of a token that a fitting key of the set has signed."""
    try:
        from joserfc import jws
        from joserfc.errors import JoseError, SecurityWarning
        from joserfc.jwk import ECKey, OKPKey, RSAKey
    except ImportError as error:
        raise MissingExtra("signing on elsewhere needs joserfc", remedy="pip install 'holdfast[server]'") from error
    makers: Mapping[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    family = FAMILIES[str(header["alg"])]
    fitting = _fitting(keys, family, header.get("kid"))
    if len(fitting) != 1:
        raise NotVerified(f"{len(fitting)} of the provider's keys fit the ID token", expected="one")
    try:
        key = makers[family].import_key(fitting[0])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)  # its curve is checked above
            opened = jws.deserialize_compact(token, key, algorithms=list(ALGORITHMS))
        return msgspec.json.decode(opened.payload, type=dict[str, Any])
    except (JoseError, ValueError, RecursionError) as error:
        raise NotVerified(f"the ID token does not verify: {type(error).__name__}") from error


def _fitting(keys: bytes, family: str, kid: object) -> Sequence[dict[str, str]]:
    """Return the public keys of a set that may have signed, without anything private or symmetric."""
    found = read_answer(keys, KeySet, "the key set").keys
    public = ("kty", "kid", "use", "alg", "n", "e", "crv", "x", "y")
    return [
        {name: str(key[name]) for name in public if name in key}
        for key in found
        if key.get("kty") == family and key.get("use", "sig") == "sig" and (kid is None or key.get("kid") == kid)
        if family != "OKP" or key.get("crv") == "Ed25519"  # of the four curves that EdDSA may mean, this one
    ]


def _in_force(claims: Mapping[str, Any], now: datetime) -> None:
    try:
        said = msgspec.convert({"nbf": 0, **claims}, Window)
    except msgspec.ValidationError as error:
        raise NotVerified("the ID token does not say when it is in force") from error
    moment, skew = now.timestamp(), SKEW.total_seconds()
    if moment >= said.exp:
        raise NotVerified("the ID token has expired")
    if said.iat > moment + skew or said.nbf > moment + skew:
        raise NotVerified("the ID token is not valid yet")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
