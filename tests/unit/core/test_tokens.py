"""Access tokens: whatever is wrong with one, it is refused, and no header can choose how it is checked."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.artifact import from_base64
from holdfast.core.errors import NotVerified
from holdfast.core.tokens import AUDIENCE, LASTS, MAX_TOKEN, Subject, mint, scope_of, verify
from holdfast.core.trust import Trust
from holdfast.testing.clock import SettableClock
from holdfast.testing.memory import MemorySigner

CLOCK = SettableClock()
NOW = CLOCK.now()
SIGNER = MemorySigner("tokens", owner="alice", start=NOW - timedelta(days=1))
OTHER_ROLE = MemorySigner("ledger", owner="alice", start=NOW - timedelta(days=1))
STRANGER = MemorySigner("tokens", owner="mallory", start=NOW - timedelta(days=1))
LATE = MemorySigner("tokens", owner="bob", start=NOW + timedelta(days=1))
TRUST = Trust(
    workspace="w",
    version=1,
    expires=NOW + timedelta(days=300),
    root_threshold=1,
    keys=(SIGNER.public, OTHER_ROLE.public, LATE.public),
    policies=(),
)
ISSUER = "holdfast/0123"


def part(value: Any) -> str:
    """A part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token says; `...` leaves a claim out."""
    moment = int(NOW.timestamp())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "sid": "key:1", "jti": "j", "iat": moment, "nbf": moment}
    return {name: value for name, value in (said | {"exp": moment + 900} | changes).items() if value is not ...}


def header(**changes: Any) -> dict[str, Any]:
    """The header of a good token; `...` leaves a part out."""
    said = {"alg": "EdDSA", "typ": "at+jwt", "kid": SIGNER.keyid}
    return {name: value for name, value in (said | changes).items() if value is not ...}


def signed(head: Any, body: Any, signer: MemorySigner = SIGNER) -> str:
    """A token with a signature that verifies."""
    message = f"{part(head)}.{part(body)}"
    return f"{message}.{part(signer.sign(message.encode()))}"


def test_a_token_says_who_and_for_how_long() -> None:
    """Issuer, audience, subject, times, id and key: all of it is there, and fifteen minutes is all it lasts."""
    token, said = mint(Subject(name="alice", session="key:1"), SIGNER, issuer=ISSUER, jti="j", now=NOW)
    found = verify(token, TRUST, issuer=ISSUER, now=NOW)
    assert found == said
    assert (found.sub, found.sid, scope_of(found)) == ("alice", "key:1", None)
    assert found.exp - found.iat == LASTS.total_seconds() == 900
    assert set(msgspec.to_builtins(found)) == {"iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"}
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "at+jwt", "kid": SIGNER.keyid}


def test_a_token_carries_its_scope() -> None:
    """Also an empty one, which holds nothing."""
    for scope in ((), ("registry.read",), ("data.read", "registry.read")):
        token, _ = mint(Subject(name="a", session="key:1", scope=scope), SIGNER, issuer=ISSUER, jti="j", now=NOW)
        assert scope_of(verify(token, TRUST, issuer=ISSUER, now=NOW)) == scope


def test_another_library_verifies_what_we_sign() -> None:
    """The format is JWT as everybody reads it."""
    real = SettableClock().now().replace(year=2026)
    token, _ = mint(Subject(name="alice", session="key:1"), SIGNER, issuer=ISSUER, jti="j", now=real)
    public = serialization.load_der_public_key(from_base64(SIGNER.public.public))
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    found = jwt.decode(token, public, algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER, options=options)  # type: ignore[arg-type]
    assert found["sub"] == "alice"


def refused(token: str, *, now: Any = NOW, trust: Trust = TRUST, issuer: str = ISSUER) -> None:
    """See that a token is refused."""
    with pytest.raises(NotVerified):
        verify(token, trust, issuer=issuer, now=now)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "HS256", "RS256", "ES256", "Ed25519", "", None, 1])
def test_no_other_algorithm_is_spoken(alg: Any) -> None:
    """The algorithm is the key's, and a header that names another names nothing."""
    refused(signed(header(alg=alg), claims()))
    refused(f"{part(header(alg=alg))}.{part(claims())}.")


def test_the_public_key_is_no_shared_secret() -> None:
    """The classic confusion: an HMAC made with the public key that everybody has."""
    message = f"{part(header(alg='HS256'))}.{part(claims())}".encode()
    der = from_base64(SIGNER.public.public)
    pem = serialization.load_der_public_key(der).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for secret in (der, pem, SIGNER.raw()):
        for head in (header(alg="HS256"), header()):
            message = f"{part(head)}.{part(claims())}".encode()
            refused(f"{message.decode()}.{part(hmac.new(secret, message, hashlib.sha256).digest())}")


@pytest.mark.parametrize(
    "kid",
    [
        ...,
        "",
        None,
        "unknown",
        STRANGER.keyid,
        LATE.keyid,
        OTHER_ROLE.keyid,
        "../../dev/null",
        "' or 1=1 --",
        "x" * 300,
    ],
)
def test_no_other_key_is_believed(kid: Any) -> None:
    """Neither an unknown one, nor one of another role, nor one whose window has not begun."""
    signers = {STRANGER.keyid: STRANGER, LATE.keyid: LATE, OTHER_ROLE.keyid: OTHER_ROLE}
    refused(signed(header(kid=kid), claims(), signers.get(kid, SIGNER)))


def test_one_key_does_not_sign_under_anothers_name() -> None:
    """The key that a token names is the one it is checked with."""
    refused(signed(header(), claims(), STRANGER))
    refused(signed(header(), claims(), OTHER_ROLE))


@pytest.mark.parametrize("extra", ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "cty"])
def test_no_header_brings_a_key_or_a_meaning_of_its_own(extra: str) -> None:
    """Whatever a header has beside algorithm, type and key id is refused, not ignored."""
    mine = Ed25519PrivateKey.generate()
    x = part(mine.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))
    value: Any = {"kty": "OKP", "crv": "Ed25519", "x": x} if extra == "jwk" else ["b64"] if extra == "crit" else "x"
    message = f"{part(header(**{extra: value}))}.{part(claims())}"
    refused(f"{message}.{part(mine.sign(message.encode()))}")
    refused(signed(header(**{extra: value}), claims()))


@pytest.mark.parametrize("typ", [..., "JWT", "jwt", "dpop+jwt", ""])
def test_another_kind_of_token_is_no_access_token(typ: Any) -> None:
    """An ID token, or any other JWT that the same key might sign, opens nothing."""
    refused(signed(header(typ=typ), claims()))


MOMENT = int(NOW.timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "holdfast/another"},
        {"iss": ...},
        {"aud": "another"},
        {"aud": [AUDIENCE]},
        {"aud": ...},
        {"sub": ...},
        {"sub": ""},
        {"sub": 7},
        {"sid": ...},
        {"jti": ...},
        {"kid": "x"},
        {"admin": True},
        {"exp": ...},
        {"exp": MOMENT},
        {"exp": MOMENT - 1},
        {"exp": MOMENT + 901},
        {"exp": MOMENT + 10**9},
        {"exp": 1e400},
        {"exp": str(MOMENT + 900)},
        {"exp": True},
        {"exp": -1},
        {"iat": ...},
        {"iat": MOMENT + 60, "nbf": MOMENT + 60, "exp": MOMENT + 960},
        {"iat": MOMENT - 3600},
        {"nbf": ...},
        {"nbf": MOMENT + 60},
        {"nbf": MOMENT - 60},
        {"nbf": MOMENT + 2000, "exp": MOMENT + 900},
    ],
    ids=range(28),
)
def test_a_token_that_is_not_for_us_and_now_is_refused(changes: dict[str, Any]) -> None:
    """Each claim is there, is what it must be, and none is there that we did not write."""
    refused(signed(header(), claims(**changes)))


def test_a_token_ends_to_the_second() -> None:
    """There is no grace: what is over is over."""
    token = signed(header(), claims())
    assert verify(token, TRUST, issuer=ISSUER, now=NOW + timedelta(seconds=899)).sub == "alice"
    refused(token, now=NOW + timedelta(seconds=900))
    refused(token, now=NOW - timedelta(minutes=1))


def test_a_claim_that_is_said_twice_is_said_by_nobody() -> None:
    """Two readers could see two things in it."""
    doubled = json.dumps(claims())[:-1] + ', "sub": "root"}'
    refused(signed(header(), doubled.encode()))
    refused(signed(json.dumps(header())[:-1].encode() + b', "alg": "EdDSA"}', claims()))


def test_a_changed_token_is_refused() -> None:
    """Whichever character of it is changed."""
    token, _ = mint(Subject(name="alice", session="key:1"), SIGNER, issuer=ISSUER, jti="j", now=NOW)
    for at in range(0, len(token), 7):
        other = "A" if token[at] != "A" else "B"
        refused(token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize("spelling", ["{}=", "{}.", ".{}", "{}.x", " {}", "{}\n", "{}é"])
def test_a_token_has_one_spelling(spelling: str) -> None:
    """Padding, further parts and spaces make it another string, and another string is no token."""
    refused(spelling.format(signed(header(), claims())))


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "..." * 9, "x" * (MAX_TOKEN + 1), "." * 4000, "{}.{}.{}"])
def test_what_is_no_token_is_refused(token: str) -> None:
    """Also at any length."""
    refused(token)
    nested = "[" * 1500 + "]" * 1500
    refused(f"{part(header())}.{part(nested.encode())}.{part(b'x' * 64)}")


def test_a_revoked_key_signs_no_token() -> None:
    """Not even those it signed before."""
    refused(signed(header(), claims()), trust=msgspec.structs.replace(TRUST, revoked=(SIGNER.keyid,)))
