"""Certificates: issued, renewed before their end, warned of in advance, and refused afterwards."""

import json
import ssl
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from holdfast import app
from holdfast.adapters.clock import SystemClock
from holdfast.core.certificates import check_certificate, trust_domain
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified
from holdfast.lifecycle.certificates import check, issue, listed, renew, verify_certificate
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.rotation import rewrap
from holdfast.testing.clock import SettableClock


@pytest.fixture
def clock() -> SettableClock:
    """The time, to be moved."""
    return SettableClock(SystemClock().now())


@pytest.fixture
def plant(bare: Path, clock: SettableClock) -> Iterator[Plant]:
    """A control plane."""
    with app.open_plant(bare, clock=clock) as opened:
        yield opened


def spiffe(plant: Plant) -> str:
    """An id of this workspace."""
    return f"spiffe://{trust_domain(plant.origin)}/gateway/one"


def folder_of(plant: Plant, name: str = "gateway") -> Path:
    """Where a certificate lies."""
    return plant.home.workspace / "certificates" / name


def kinds(plant: Plant) -> list[str]:
    """What is on record of certificates, with the state that was warned of."""
    return [f"{e.kind} {e.body.get('state', '')}".strip() for e in plant.ledger.stream("certificates")]


@pytest.mark.requirement("ACC-13", by="holdfast.lifecycle.certificates:warn")
def test_a_certificate_is_issued_warned_of_renewed_and_refused_after_its_end(
    plant: Plant, clock: SettableClock
) -> None:
    """Warnings stand in the ledger before the end, each once; renewed it is good again, and what expired is refused."""
    issue(plant, name="gateway", san=f"gateway.local,127.0.0.1,{spiffe(plant)}", days=90)
    old = (folder_of(plant) / "gateway.crt.pem").read_bytes()
    for name in ("gateway.local", "127.0.0.1", spiffe(plant)):
        verify_certificate(plant, file=folder_of(plant) / "gateway.crt.pem", name=name)
    assert check(plant).document["warnings"] == []
    clock.advance(timedelta(days=61))
    assert "due" in check(plant).document["warnings"][0]
    assert check(plant).document["warnings"] == []
    clock.advance(timedelta(days=22))
    assert "urgent" in check(plant).document["warnings"][0]
    assert [item["state"] for item in listed(plant).document["certificates"]] == ["urgent"]
    assert kinds(plant) == ["certificate.issued", "certificate.expiring due", "certificate.expiring urgent"]
    verify_certificate(plant, file=folder_of(plant) / "gateway.crt.pem", name="gateway.local")
    assert renew(plant, due=True).document["renewed"] == ["gateway"]
    assert renew(plant, due=True).document["renewed"] == []
    clock.advance(timedelta(days=10))
    verify_certificate(plant, file=folder_of(plant) / "gateway.crt.pem", name="gateway.local")
    with pytest.raises(NotVerified, match="valid from"):
        check_certificate(old, plant.authority.certificate(), now=clock.now(), name="gateway.local")
    clock.advance(timedelta(days=90))
    with pytest.raises(NotVerified, match="valid from"):
        verify_certificate(plant, file=folder_of(plant) / "gateway.crt.pem", name="gateway.local")
    assert "expired" in check(plant).document["warnings"][0]


def test_private_keys_lie_in_files_of_their_own(plant: Plant, bare: Path) -> None:
    """Mode 0600, in no answer and in no entry; the authority's own key lies encrypted."""
    reply = issue(plant, name="gateway", san="gateway.local")
    key = folder_of(plant) / "gateway.key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    secret = key.read_text().splitlines()[1]
    assert secret not in json.dumps(reply.document)
    assert secret not in "".join(json.dumps(entry.body) for entry in plant.ledger.entries())
    assert "PRIVATE KEY" not in (bare / ".holdfast" / "authority" / "authority.json").read_text()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder_of(plant) / "gateway.crt.pem", key)


def test_tls_stacks_believe_it_for_its_name_alone(plant: Plant) -> None:
    """A handshake in memory: OpenSSL verifies chain and name with the authority as the only root."""
    issue(plant, name="gateway", san="gateway.local")
    folder = folder_of(plant)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(folder / "gateway.crt.pem", folder / "gateway.key.pem")
    client_side = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    shake(server_side, client_side, "gateway.local")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server_side, client_side, "other.local")


def shake(server_side: ssl.SSLContext, client_side: ssl.SSLContext, name: str) -> None:
    """One TLS handshake without a socket."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(down, up, server_hostname=name)
    server = server_side.wrap_bio(up, down, server_side=True)
    done = set()
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
        if len(done) == 2:
            return
    raise AssertionError


@pytest.mark.parametrize(
    "asked",
    [
        {"san": ""},
        {"san": "not a name"},
        {"san": "spiffe://another.workspace/gateway"},
        {"san": ",".join(f"h{n}.local" for n in range(21))},
        {"days": 0},
        {"days": 4000},
        {"name": "../elsewhere"},
        {"name": "a b"},
    ],
)
def test_what_no_certificate_of_this_workspace_may_say_is_refused(plant: Plant, asked: dict) -> None:
    """No name, a name that is none, another workspace's id, too many, no time or too much, a name that is a path."""
    with pytest.raises(InvalidInput):
        issue(plant, **{"name": "gateway", "san": "gateway.local"} | asked)
    assert kinds(plant) == []


def test_a_strangers_certificate_is_refused(plant: Plant, tmp_path: Path, unlocking: Path) -> None:
    """Of another workspace's authority, for another name, or no certificate at all."""
    other = tmp_path / "other"
    other.mkdir()
    app.init(other, owner="eve")
    with app.open_plant(other) as stranger:
        issue(stranger, name="gateway", san="gateway.local")
        foreign = folder_of(stranger) / "gateway.crt.pem"
    issue(plant, name="gateway", san="gateway.local")
    own = folder_of(plant) / "gateway.crt.pem"
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("hello")
    for file, name in ((foreign, "gateway.local"), (own, "other.local"), (nothing, "gateway.local")):
        with pytest.raises(NotVerified):
            verify_certificate(plant, file=file, name=name)


def test_only_what_was_issued_is_renewed(plant: Plant) -> None:
    """An unknown name, and neither name nor --due, are refused; a named one is renewed at any time, with a new key."""
    with pytest.raises(NotFound):
        renew(plant, name="gateway")
    with pytest.raises(InvalidInput):
        renew(plant)
    issue(plant, name="gateway", san="gateway.local", days=30)
    before = (folder_of(plant) / "gateway.key.pem").read_bytes()
    renew(plant, name="gateway")
    assert (folder_of(plant) / "gateway.key.pem").read_bytes() != before
    made = x509.load_pem_x509_certificate((folder_of(plant) / "gateway.crt.pem").read_bytes())
    assert (made.not_valid_after_utc - plant.clock.now()).days in {29, 30}


def test_the_authority_goes_with_the_secret_of_the_keys(plant: Plant, bare: Path, clock: SettableClock) -> None:
    """After another secret it issues on, and is the same authority."""
    issue(plant, name="one", san="one.local")
    before = plant.authority.certificate()
    rewrap(plant)
    issue(plant, name="two", san="two.local")
    with app.open_plant(bare, clock=clock) as again:
        issue(again, name="three", san="three.local")
        assert again.authority.certificate() == before
    (bare / ".holdfast" / "authority" / "authority.json").chmod(0o644)
    with pytest.raises(HoldfastError, match="open to others"):
        issue(plant, name="four", san="four.local")
