"""ID tokens and providers: what a provider says is believed as far as its description lets it, and no further."""

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.oidc import (
    MAX_ID_TOKEN,
    authorization_url,
    groups_of,
    parse_discovery,
    parse_provider,
    verify_id_token,
    workload_of,
)
from holdfast.testing.clock import SettableClock

NOW = SettableClock().now()
MOMENT = int(NOW.timestamp())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    """A public key as providers publish it."""
    algorithm: Any = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}.get(
        next((base for base in (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey) if isinstance(key, base)), object),
        OKPAlgorithm,
    )
    found: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return found | {"kid": kid, "use": "sig"} | more


KEYS = json.dumps({"keys": [jwk(RSA_KEY, "r"), jwk(EC_KEY, "e"), jwk(ED_KEY, "d")]}).encode()
TEXT = b"""
name = "work"
issuer = "https://login.example.com"
client_id = "holdfast"
sort = "people"
redirect_uri = "https://holdfast.example.com/v1/sign-on/callback"
[groups]
"ml" = ["engineers"]
"risk" = ["reviewers", "auditors"]
"""
PROVIDER = parse_provider(TEXT)
CI = parse_provider(b"""
name = "ci"
issuer = "https://ci.example.com"
client_id = "holdfast"
sort = "workloads"
[[workload]]
account = "deployer"
claims = { sub = "repo:org/name:ref:refs/heads/main" }
[[workload]]
account = "tester"
claims = { sub = "repo:org/*:pull_request", event = "pull" }
""")


def claims(**changes: Any) -> dict[str, Any]:
    """What a token of the provider says; `...` leaves a claim out."""
    said = {"iss": PROVIDER.issuer, "aud": "holdfast", "sub": "42", "exp": MOMENT + 300, "iat": MOMENT, "nonce": "n"}
    return {name: value for name, value in (said | changes).items() if value is not ...}


def token(key: Any = RSA_KEY, alg: str = "RS256", kid: str | None = "r", said: Any = None, **header: Any) -> str:
    """A signed token."""
    headers = ({} if kid is None else {"kid": kid}) | header
    return jwt.encode(said or claims(), key, algorithm=alg, headers=headers)


def refused(id_token: str, keys: bytes = KEYS, **more: Any) -> None:
    """See that a token proves nothing."""
    with pytest.raises(NotVerified):
        verify_id_token(id_token, keys, PROVIDER, now=NOW, **({"nonce": "n"} | more))


@pytest.mark.parametrize(
    ("key", "alg", "kid"),
    [(RSA_KEY, "RS256", "r"), (RSA_KEY, "PS256", "r"), (EC_KEY, "ES256", "e"), (ED_KEY, "EdDSA", "d")],
)
def test_a_token_of_the_provider_proves_its_subject(key: Any, alg: str, kid: str) -> None:
    """In each algorithm that we speak."""
    proved = verify_id_token(token(key, alg, kid), KEYS, PROVIDER, now=NOW, nonce="n")
    assert (proved.issuer, proved.subject) == (PROVIDER.issuer, "42")


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://login.example.com/"},
        {"iss": "https://evil.example.com"},
        {"iss": ...},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": ["holdfast", "another"]},
        {"aud": ["holdfast", "another"], "azp": "another"},
        {"azp": "another"},
        {"aud": ...},
        {"aud": {}},
        {"sub": ...},
        {"sub": ""},
        {"sub": "x" * 256},
        {"exp": MOMENT},
        {"exp": ...},
        {"exp": "soon"},
        {"iat": ...},
        {"iat": MOMENT + 61},
        {"nbf": MOMENT + 61},
        {"nonce": "another"},
        {"nonce": ...},
        {"at_hash": "another"},
    ],
    ids=range(22),
)
def test_a_token_that_is_not_for_us_and_now_is_refused(changes: dict[str, Any]) -> None:
    """Issuer, audience, authorised party, times, nonce and access token: each must fit."""
    refused(token(said=claims(**changes)), access_token="the access token")


def test_several_audiences_need_an_authorised_party() -> None:
    """And we must be that party."""
    said = claims(aud=["holdfast", "another"], azp="holdfast")
    assert verify_id_token(token(said=said), KEYS, PROVIDER, now=NOW, nonce="n").subject == "42"


def test_the_access_token_that_came_along_is_the_one_it_speaks_of() -> None:
    """Half of its hash is in the ID token."""
    half = base64.urlsafe_b64encode(hashlib.sha256(b"mine").digest()[:16]).rstrip(b"=").decode()
    said = claims(at_hash=half)
    assert verify_id_token(token(said=said), KEYS, PROVIDER, now=NOW, nonce="n", access_token="mine").subject == "42"
    refused(token(said=said), access_token="another")


def test_the_provider_s_public_key_is_no_shared_secret() -> None:
    """No algorithm with a shared secret is spoken, and none without a signature."""
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=").decode()
    for alg in ("none", "HS256", "HS512", "RS512", "RS1", "ES512"):
        head = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "r"}).encode()).rstrip(b"=").decode()
        refused(f"{head}.{body}.")
        refused(f"{head}.{body}.AAAA")
    refused(jwt.encode(claims(), "k" * 32, algorithm="HS256", headers={"kid": "r"}))
    symmetric = json.dumps(
        {"keys": [{"kty": "oct", "kid": "r", "k": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr"}]}
    ).encode()
    refused(jwt.encode(claims(), "k" * 32, algorithm="HS256", headers={"kid": "r"}), keys=symmetric)


def test_a_key_of_another_family_or_use_is_not_taken() -> None:
    """The algorithm must be the key's, and the key must be there to sign."""
    refused(token(kid="e"))
    refused(token(EC_KEY, "ES256", "r"))
    refused(token(), keys=json.dumps({"keys": [jwk(RSA_KEY, "r", use="enc")]}).encode())


def test_a_stranger_s_key_is_not_taken() -> None:
    """Whatever it calls itself, and wherever the token says it can be had."""
    refused(token(STRANGER))
    refused(token(STRANGER, kid="unknown"))
    for extra in ("jwk", "jku", "x5u", "x5c", "crit"):
        value: Any = {"jwk": jwk(STRANGER, "r"), "crit": ["exp"]}.get(extra, "https://evil.example.com/keys")
        refused(token(STRANGER, **{extra: value}))
        refused(token(RSA_KEY, **{extra: value}))


def test_a_token_without_key_id_is_checked_only_where_one_key_fits() -> None:
    """Two keys of a family and no name: it is not tried which one fits."""
    assert verify_id_token(token(kid=None), KEYS, PROVIDER, now=NOW, nonce="n").subject == "42"
    refused(token(kid=None), keys=json.dumps({"keys": [jwk(RSA_KEY, "a"), jwk(STRANGER, "b")]}).encode())


@pytest.mark.parametrize("keys", [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": [7]}', b"\xff", b"[" * 9000])
def test_a_key_set_that_cannot_be_read_proves_nothing(keys: bytes) -> None:
    """And raises nothing else."""
    refused(token(), keys=keys)
    refused(token(), keys=json.dumps({"keys": [jwk(RSA_KEY, str(n)) for n in range(65)]}).encode())


@pytest.mark.parametrize("text", ["", "a.b", "..", "é.a.b", "x" * (MAX_ID_TOKEN + 1), "e30.e30.e30"])
def test_what_is_no_token_proves_nothing(text: str) -> None:
    """At any length."""
    refused(text)


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        (["ml"], ("engineers",)),
        ("ml", ("engineers",)),
        (["risk", "ml", "other"], ("auditors", "engineers", "reviewers")),
        (["administrators"], ()),
        ([], ()),
        (None, ()),
        ({"ml": 1}, ()),
        ([["ml"]], ()),
    ],
)
def test_only_mapped_groups_are_given(said: Any, ours: tuple[str, ...]) -> None:
    """A provider's group of the same name as ours means nothing unless it is mapped."""
    proved = verify_id_token(token(said=claims(groups=said)), KEYS, PROVIDER, now=NOW, nonce="n")
    assert groups_of(PROVIDER, proved) == ours


@pytest.mark.parametrize(
    ("said", "account"),
    [
        ({"sub": "repo:org/name:ref:refs/heads/main"}, "deployer"),
        ({"sub": "repo:org/name:ref:refs/heads/main2"}, None),
        ({"sub": "repo:org/name:ref:refs/heads/dev"}, None),
        ({"sub": "repo:evil/name:ref:refs/heads/main"}, None),
        ({"sub": "xrepo:org/name:ref:refs/heads/main"}, None),
        ({"sub": "repo:org/any:pull_request", "event": "pull"}, "tester"),
        ({"sub": "repo:org/any:pull_request"}, None),
        ({"sub": "repo:org/any:pull_request", "event": "push"}, None),
        ({"sub": "repo:org/a:x:pull_request", "event": "pull"}, None),
        ({"sub": "repo:org/a\nb:pull_request", "event": ["pull"]}, None),
    ],
)
def test_a_workload_is_who_its_claims_say(said: dict[str, Any], account: str | None) -> None:
    """A branch, a repository, an event: each claim fits wholly, and `*` does not run past a colon."""
    body = claims(iss=CI.issuer, nonce=..., **said)
    proved = verify_id_token(token(said=body), KEYS, CI, now=NOW)
    assert workload_of(CI, proved) == account


@pytest.mark.parametrize(
    "change",
    [
        (b'[groups]\n"ml" = ["engineers"]\n"risk" = ["reviewers", "auditors"]', b""),
        (b"people", b"robots"),
        (b'client_id = "holdfast"', b""),
        (b'client_id = "holdfast"', b'client_id = "holdfast"\nsecret = "x"'),
        (b'sort = "people"', b'sort = "people"\nscopes = ["profile"]'),
        (b'sort = "people"', b'sort = "workloads"'),
        (b"[groups]", b'[[workload]]\naccount = "a"\nclaims = { sub = "*" }\n[groups]'),
        (b"[groups]", b'[[workload]]\naccount = "a"\nclaims = { ref = "x" }\n[groups]'),
        (b"name", b"\xff"),
    ],
    ids=range(9),
)
def test_a_description_that_maps_nothing_or_everybody_is_refused(change: tuple[bytes, bytes]) -> None:
    """Empty means no, and a workload must have a subject of its own."""
    with pytest.raises(InvalidInput):
        parse_provider(TEXT.replace(*change))


def test_a_browser_is_sent_with_state_nonce_and_challenge() -> None:
    """The verifier stays here; only its hash travels."""
    document = {
        "issuer": PROVIDER.issuer,
        "authorization_endpoint": "https://login.example.com/a?tenant=1",
        "token_endpoint": "https://login.example.com/t",
        "jwks_uri": "https://login.example.com/k",
    }
    found = parse_discovery(json.dumps(document).encode(), PROVIDER)
    url = authorization_url(PROVIDER, found, state="s", nonce="n", verifier="v" * 43)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert query["tenant"] == "1"
    assert (query["state"], query["nonce"], query["code_challenge_method"]) == ("s", "n", "S256")
    assert query["redirect_uri"] == PROVIDER.redirect_uri
    assert "v" * 43 not in url
    with pytest.raises(NotVerified):
        parse_discovery(json.dumps(document | {"issuer": "https://evil.example.com"}).encode(), PROVIDER)


def test_a_token_is_in_force_to_the_second() -> None:
    """A minute of difference between clocks is excused for its beginning, never for its end."""
    late = token(said=claims(iat=MOMENT + 59))
    assert verify_id_token(late, KEYS, PROVIDER, now=NOW, nonce="n").subject == "42"
    with pytest.raises(NotVerified):
        verify_id_token(token(), KEYS, PROVIDER, now=NOW + timedelta(seconds=300), nonce="n")
