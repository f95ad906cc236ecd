"""Who calls, without an API key: by a token of the control plane or a workload's certificate, and what they may do."""

import base64
import json
import secrets
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.scenarios.test_gateway_grpc import certified
from tests.scenarios.test_gateway_process import Process, eventually
from tests.unit.core.test_spiffe import Authority

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.client import Client
from holdfast.core import tokens
from holdfast.core.errors import HoldfastError
from holdfast.core.routes import GuardSpec, Identity, TrustDomain
from holdfast.core.signed_request import request_signature
from holdfast.serve import HttpRequest, HttpResponse
from holdfast.serve.identities import REMEMBERED, Identities, _Proved, terminator_signature
from holdfast.testing.memory import MemorySigner
from holdfast.testing.world import API_KEY, GUARDS, INFER, MODEL, ROW, WITH_KEY, WORKSPACE, Serving, World

SPIFFE = "spiffe://prod.example.com/ns/ml/caller"
KEY = b"t" * 32
ISSUER = Authority()
LOOK = f"/v2/models/{MODEL}"
DOMAIN = TrustDomain(name="prod.example.com", authorities=(base64.b64encode(ISSUER.der).decode(),))


def identity(**changes: Any) -> Identity:
    """Ada, who may call the model, with changes."""
    parts: dict[str, Any] = {"id": "ada", "by": "token", "name": "ada", "models": (MODEL,)}
    return Identity(**parts | changes)


def served(*identities: Identity, world: World | None = None, terminator_key: bytes = b"", **more: Any) -> Serving:
    """A gateway whose table names these identities, and no API key."""
    world = world or World()
    world.publish(world.table(world.release(), identities=identities, credentials=(), trust_domain=DOMAIN, **more))
    serving = world.serving(OnnxRuntime(), terminator_key=terminator_key)
    serving.look()
    assert serving.gateway.state is not None, serving.complaints
    return serving


def token(world: World, signer: str = "tokens", *, issuer: str = WORKSPACE, **about: Any) -> str:
    """Return a token's text, made now."""
    subject = tokens.Subject(**{"name": "ada", "session": "key:1"} | about)
    return tokens.mint(subject, world.signers[signer], issuer=issuer, jti="j", now=world.clock.now())[0]


def bearer(text: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that presents a token."""
    return ((b"authorization", b"Bearer " + text.encode()),)


def with_certificate(serving: Serving, certificate: bytes, **changes: Any) -> HttpResponse:
    """Make a call over a connection on which the caller has proved this certificate."""
    parts: dict[str, Any] = {"method": "POST", "path": INFER, "body": ROW, "peer": "192.0.2.1"} | changes
    return serving.gateway.handle(HttpRequest(certificate=certificate, **parts))


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("GATE-01", by="holdfast.serve.identities:Identities.of_token")
def test_a_token_of_the_control_plane_is_answered_until_it_expires() -> None:
    """Fifteen minutes, without asking anybody; the client is the identity that the table names."""
    world = World()
    serving = served(identity(), world=world, expires=world.clock.now() + timedelta(hours=1))
    text = token(world)
    for _ in range(3):
        assert serving.call(bearer(text)).status == 200
    serving.world.clock.advance(tokens.LASTS - timedelta(seconds=1))
    assert serving.call(bearer(text)).status == 200
    serving.world.clock.advance(timedelta(seconds=1))
    assert serving.call(bearer(text)).status == 401


FORGERIES = {
    "another key of the workspace": lambda world: token(world, "registry"),
    "a key nobody knows": lambda world: tokens.mint(
        tokens.Subject(name="ada", session="key:1"),
        MemorySigner("stranger", owner="x", start=world.start),
        issuer=WORKSPACE,
        jti="j",
        now=world.clock.now(),
    )[0],
    "another workspace": lambda world: token(world, issuer="elsewhere"),
    "an account that the table does not name": lambda world: token(world, name="eve"),
    "a scope without calls": lambda world: token(world, scope=("registry.read",)),
    "no signature": lambda world: token(world).rpartition(".")[0] + ".",
    "another's payload": lambda world: _spliced(token(world, name="eve"), token(world)),
    "algorithm none": lambda world: _headed(token(world), {"alg": "none", "typ": "at+jwt", "kid": "x"}),
    "one letter changed": lambda world: _flipped(token(world)),
    "two parts": lambda world: token(world).rpartition(".")[0],
    "endless": lambda world: token(world) + "A" * 5000,
}


def _spliced(payload: str, around: str) -> str:
    head, _, signature = around.split(".")
    return ".".join((head, payload.split(".")[1], signature))


def _headed(text: str, header: dict[str, str]) -> str:
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return ".".join((encoded, *text.split(".")[1:]))


def _flipped(text: str) -> str:
    return text[:-10] + ("A" if text[-10] != "A" else "B") + text[-9:]


@pytest.mark.requirement("GATE-01", by="holdfast.serve.identities:Identities.of_token")
@pytest.mark.guarantee("G76")
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_token_is_refused_also_after_a_good_one_was_seen(name: str) -> None:
    """What is remembered is the digest of a token that verified: nothing that resembles it gets in by that."""
    serving = served(identity())
    assert serving.call(bearer(token(serving.world))).status == 200
    response = serving.call(bearer(FORGERIES[name](serving.world)))
    assert (response.status, json.loads(response.body)["error"]) == (
        401,
        "a valid API key, token or certificate is required",
    )


def test_a_token_from_the_future_and_one_made_of_an_ended_key_are_refused() -> None:
    """The table names what ended since: nobody waits fifteen minutes for it."""
    serving = served(identity(), ended=("key:2",))
    later = World(serving.world.clock.now() + timedelta(minutes=1))
    assert serving.call(bearer(token(later))).status == 401
    assert serving.call(bearer(token(serving.world, session="key:2"))).status == 401
    assert serving.call(bearer(token(serving.world, session="key:1"))).status == 200


def test_a_token_beside_an_api_key_is_no_proof_of_either() -> None:
    """Two stories about who calls: whoever stands in front may have believed the other one."""
    serving = served(identity())
    both = (*bearer(token(serving.world)), (b"x-api-key", b"hf_" + b"A" * 43))
    assert serving.call(both).status == 401


def test_many_tokens_do_not_outgrow_what_is_remembered() -> None:
    """What verified is remembered for a bounded number of tokens; each is answered all the same."""
    world = World()
    table = Identities(trust=world.trust, issuer=WORKSPACE, by_token={})
    now = world.clock.now()
    proved = _Proved(name="x", session="", begins=0.0, ends=1.0)
    table._proved = {number.to_bytes(4): proved for number in range(REMEMBERED)}
    table.of_token(token(world), now)
    assert len(table._proved) == 1


# ── certificates ────────────────────────────────────────────────────────────────────────────────────────────────────


def workload(**changes: Any) -> Identity:
    """A workload that may call the model, with changes."""
    return identity(**{"id": "caller", "by": "certificate", "name": SPIFFE} | changes)


@pytest.mark.requirement("GATE-01", by="holdfast.serve.identities:Identities.of_certificate")
def test_a_workload_is_known_by_its_certificate() -> None:
    """TLS has proved that the caller holds the key; the SPIFFE id says who that is."""
    serving = served(workload())
    certificate = ISSUER.leaf(SPIFFE)
    assert [with_certificate(serving, certificate).status for _ in range(2)] == [200, 200]


CERTIFICATES = {
    "another workload": lambda: ISSUER.leaf("spiffe://prod.example.com/ns/ml/other"),
    "another domain": lambda: ISSUER.leaf("spiffe://dev.example.com/ns/ml/caller"),
    "an authority nobody accepted": lambda: Authority("stranger").leaf(SPIFFE),
    "not a SPIFFE id": lambda: ISSUER.leaf("https://prod.example.com/ns/ml/caller"),
    "expired": lambda: ISSUER.leaf(SPIFFE, end=World().clock.now() - timedelta(minutes=1)),
    "not yet": lambda: ISSUER.leaf(SPIFFE, start=World().clock.now() + timedelta(minutes=1)),
    "no certificate": lambda: b"\x30\x03\x02\x01\x00",
}


@pytest.mark.requirement("GATE-01", by="holdfast.core.spiffe:spiffe_id")
@pytest.mark.guarantee("G76")
@pytest.mark.parametrize("name", CERTIFICATES)
def test_no_other_certificate_lets_anybody_in(name: str) -> None:
    """A 401, in the same words as for an unknown key."""
    serving = served(workload())
    response = with_certificate(serving, CERTIFICATES[name]())
    assert response.status == 401


def test_a_certificate_that_was_seen_ends_all_the_same() -> None:
    """What is remembered of a certificate is also until when it holds."""
    world = World()
    serving = served(workload(), world=world)
    certificate = ISSUER.leaf(SPIFFE, end=world.clock.now() + timedelta(minutes=5))
    assert with_certificate(serving, certificate).status == 200
    world.clock.advance(timedelta(minutes=6))
    assert with_certificate(serving, certificate).status == 401


def test_without_a_trust_domain_no_certificate_is_believed() -> None:
    """Empty means no."""
    world = World()
    serving = world.serve(OnnxRuntime(), identities=(workload(),))
    assert with_certificate(serving, ISSUER.leaf(SPIFFE)).status == 401


def test_a_header_that_is_presented_counts_before_a_certificate() -> None:
    """Who presents a wrong key is not let in by the connection's certificate."""
    serving = served(workload())
    wrong = ((b"authorization", b"Bearer hf_" + b"Z" * 43),)
    assert with_certificate(serving, ISSUER.leaf(SPIFFE), headers=wrong).status == 401
    assert with_certificate(serving, ISSUER.leaf(SPIFFE), headers=((b"x-api-key", b""),)).status == 401


# ── a terminator's word ─────────────────────────────────────────────────────────────────────────────────────────────


def vouched(
    certificate: bytes, now: datetime, *, key: bytes = KEY, method: str = "POST", path: str = INFER
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers by which a terminator passes a certificate on."""
    value = f":{base64.b64encode(certificate).decode()}:"
    moment = str(int(now.timestamp()))
    signature = terminator_signature(key, method=method, path=path, certificate=value, timestamp=moment)
    return ((b"client-cert", value.encode()), (b"x-holdfast-terminator", f"t={moment},s={signature}".encode()))


@pytest.mark.requirement("GATE-01", by="holdfast.serve.identities:terminated")
def test_a_terminators_signed_word_about_a_certificate_is_taken() -> None:
    """Client-Cert as RFC 9440 says, signed under the key that the terminator shares with the gateway."""
    serving = served(workload(), terminator_key=KEY)
    assert serving.call(vouched(ISSUER.leaf(SPIFFE), serving.world.clock.now())).status == 200


@pytest.mark.requirement("GATE-01", by="holdfast.serve.identities:terminated")
@pytest.mark.parametrize(
    "how", ["no key here", "another key", "another path", "another method", "old", "ahead", "bare"]
)
def test_nobody_elses_word_is_taken(how: str) -> None:
    """A header that anybody could have written proves nothing."""
    serving = served(workload(), terminator_key=b"" if how == "no key here" else KEY)
    certificate, now = ISSUER.leaf(SPIFFE), serving.world.clock.now()
    headers = {
        "no key here": lambda: vouched(certificate, now),
        "another key": lambda: vouched(certificate, now, key=b"x" * 32),
        "another path": lambda: vouched(certificate, now, path=LOOK),
        "another method": lambda: vouched(certificate, now, method="GET"),
        "old": lambda: vouched(certificate, now - timedelta(seconds=31)),
        "ahead": lambda: vouched(certificate, now + timedelta(seconds=31)),
        "bare": lambda: vouched(certificate, now)[:1],
    }[how]()
    assert serving.call(headers).status == 401


def test_a_certificate_swapped_under_a_terminators_signature_is_refused() -> None:
    """The signature is over the very bytes of the header."""
    serving = served(workload(), terminator_key=KEY)
    now = serving.world.clock.now()
    mine, theirs = vouched(ISSUER.leaf("spiffe://prod.example.com/x"), now), vouched(ISSUER.leaf(SPIFFE), now)
    assert serving.call((theirs[0], mine[1])).status == 401
    assert serving.call((*theirs, theirs[0])).status == 400


# ── what they may do ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("GATE-02", by="holdfast.serve.guards.access:Authenticated.admit")
@pytest.mark.parametrize(
    ("operations", "statuses"),
    [
        (("infer", "look"), (200, 200, 200)),
        (("infer",), (200, 403, 403)),
        (("look",), (403, 200, 200)),
        ((), (403,) * 3),
    ],
)
@pytest.mark.parametrize("how", ["key", "token", "certificate"])
def test_each_client_may_do_what_the_table_permits(
    how: str, operations: Sequence[str], statuses: Sequence[int]
) -> None:
    """Asking for answers and looking are two operations; none permitted means none."""
    world = World()
    release = world.release()
    changes: dict[str, Any] = {"operations": tuple(operations)}
    table = world.table(
        release,
        credentials=(msgspec.structs.replace(world.credential(), **changes),),
        identities=(identity(**changes), workload(**changes)),
        trust_domain=DOMAIN,
    )
    world.publish(table)
    serving = world.serving(OnnxRuntime(), terminator_key=KEY)
    serving.look()

    def headers(method: str, path: str) -> tuple[tuple[bytes, bytes], ...]:
        if how == "certificate":
            return vouched(ISSUER.leaf(SPIFFE), world.clock.now(), method=method, path=path)
        return WITH_KEY if how == "key" else bearer(token(world))

    asked = (("POST", INFER, ROW), ("GET", LOOK, b""), ("GET", f"{LOOK}/ready", b""))
    found = [serving.call(headers(method, path), method=method, path=path, body=body) for method, path, body in asked]
    assert tuple(response.status for response in found) == tuple(statuses)


@pytest.mark.requirement("GATE-02", by="holdfast.serve.guards.access:Authenticated.admit")
def test_a_token_is_for_the_models_of_its_account() -> None:
    """A model that it may not call and one that there is not get the same words."""
    serving = served(identity(models=("another",)))
    text = bearer(token(serving.world))
    found = [serving.call(text, path=f"/v2/models/{model}/infer") for model in (MODEL, "absent")]
    assert [response.status for response in found] == [403, 403]
    assert found[0].body == found[1].body


def test_an_identity_ends_when_its_right_does() -> None:
    """Access that somebody was given for some hours ends by the gateway's own clock."""
    world = World()
    serving = served(identity(expires=world.clock.now() + timedelta(minutes=5)), world=world)
    text = bearer(token(world))
    assert serving.call(text).status == 200
    world.clock.advance(timedelta(minutes=5))
    assert serving.call(text).status == 401


# ── signed requests ─────────────────────────────────────────────────────────────────────────────────────────────────

FRESH = (*GUARDS[:2], GuardSpec(name="fresh-request", configuration={"window_s": 60.0}), *GUARDS[2:])


def signed(secret: str, now: datetime, nonce: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that sign a good call."""
    moment = str(int(now.timestamp()))
    signature = request_signature(secret, method="POST", path=INFER, body=ROW, timestamp=moment, nonce=nonce)
    names = ((b"timestamp", moment), (b"nonce", nonce), (b"signature", signature))
    return tuple((b"x-holdfast-" + name, value.encode()) for name, value in names)


@pytest.mark.requirement("GATE-01", by="holdfast.serve.guards.freshness:FreshRequest.admit")
def test_who_comes_by_token_signs_with_it_and_a_repetition_is_refused() -> None:
    """The token takes the place of the API key as the key of the signature."""
    serving = served(identity(), guards=FRESH)
    world = serving.world
    text = token(world)
    headers = (*bearer(text), *signed(text, world.clock.now(), secrets.token_urlsafe(16)))
    assert [serving.call(headers).status for _ in range(2)] == [200, 403]
    assert (
        serving.call((*bearer(text), *signed("hf_other", world.clock.now(), secrets.token_urlsafe(16)))).status == 403
    )


def test_who_comes_by_certificate_needs_a_nonce_and_no_signature() -> None:
    """The connection proves that nothing was changed; the nonce, that it is no repetition."""
    serving = served(workload(), guards=FRESH)
    certificate = ISSUER.leaf(SPIFFE)
    headers = signed("", serving.world.clock.now(), secrets.token_urlsafe(16))[:2]
    assert [with_certificate(serving, certificate, headers=headers).status for _ in range(2)] == [200, 403]
    assert with_certificate(serving, certificate).status == 403


# ── over sockets ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("GATE-01")
@pytest.mark.guarantee("G76")
def test_over_tls_a_workload_is_answered_by_its_certificate_alone(tmp_path: Path) -> None:
    """A certificate may be shown, and must then be of the authority; who shows none needs a key, as ever."""
    ours, stranger = Authority(now=datetime.now(UTC)), Authority("stranger", datetime.now(UTC))
    (tmp_path / "authority.pem").write_bytes(ours.certificate.public_bytes(Encoding.PEM))
    address = [x509.IPAddress(ip_address("127.0.0.1"))]
    certified(ours, tmp_path, "server", address, ExtendedKeyUsageOID.SERVER_AUTH)
    for name, authority, uri in (("good", ours, SPIFFE), ("other", ours, SPIFFE + "-2"), ("foreign", stranger, SPIFFE)):
        named = [x509.UniformResourceIdentifier(uri)]
        certified(authority, tmp_path, name, named, ExtendedKeyUsageOID.CLIENT_AUTH)
    files = {"certificate": "server.pem", "key": "server.key", "client_authority": "authority.pem"}
    tls = {name: str(tmp_path / file) for name, file in files.items()} | {"demanded": False}
    process = Process(tmp_path, tls=tls)
    domain = TrustDomain(name="prod.example.com", authorities=(base64.b64encode(ours.der).decode(),))

    def asked(certificate: str, key: str = "") -> str:
        context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
        if certificate:
            context.load_cert_chain(tmp_path / f"{certificate}.pem", tmp_path / f"{certificate}.key")
        with Client(process.url, key, context=context, timeout_s=60.0) as client:
            try:
                return client.infer(MODEL, [[50, 15, 0.1]]).labels[0]
            except HoldfastError as error:
                return type(error).__name__

    try:
        process.ready()
        process.publish(process.world.table(process.release, identities=(workload(),), trust_domain=domain))
        eventually(lambda: asked("good") == "malignant")
        assert [asked("other"), asked("foreign"), asked("")] == ["Refused", "Unavailable", "Refused"]
        assert asked("", API_KEY) == "malignant"
    finally:
        process.end()
