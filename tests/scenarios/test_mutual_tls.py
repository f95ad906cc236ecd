"""Mutual TLS between gateways and their control plane, over real sockets: who gets in, and who does not."""

import http.client
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.elsewhere import (
    PATIENCE_S,
    enrolled,
    peer,
    plane_certificate,
    present,
    started,
    surroundings,
    wait,
)

from holdfast import app
from holdfast.adapters.courier import Courier
from holdfast.adapters.fetching import PublishedUrl
from holdfast.adapters.peer import AUTHORITY, CERTIFICATE, KEY
from holdfast.adapters.renewing import Renewal
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified, Refused, Unavailable
from holdfast.core.gateways import full_name, identity_of, open_gateway_file
from holdfast.lifecycle.access_coverage import coverage
from holdfast.lifecycle.certificates import issue, issued, renew
from holdfast.lifecycle.compromise import compromise
from holdfast.lifecycle.gateways import enrol, gateways, remove
from holdfast.lifecycle.plant import Plant


@dataclass(frozen=True)
class Site:
    """A control plane that hands out one file over mutual TLS, and the folder of an enrolled gateway."""

    root: Path
    port: int
    gateway: Path
    log: Path

    def status(self, context: ssl.SSLContext, path: str = "/timestamp.json", method: str = "GET") -> int:
        """Ask for a path by a TLS context."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=PATIENCE_S)
        with closing(connection):
            connection.request(method, path, body=b"{}" if method == "POST" else None)
            return connection.getresponse().status

    def context(self, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
        """A client that trusts this control plane, with a certificate or without."""
        context = ssl.create_default_context(cafile=str(self.gateway / AUTHORITY))
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        return context


@pytest.fixture(scope="module")
def site(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A workspace whose control plane answers gateways."""
    folder = tmp_path_factory.mktemp("site")
    root = folder / "plane"
    root.mkdir()
    app.init(root, owner="ada")
    (root / ".holdfast" / "published" / "timestamp.json").write_bytes(b"{}")
    with app.open_plant(root) as plant:
        options = plane_certificate(plant)
        own = enrolled(plant, folder / "host", "ward-7")
    with started(root, "publish", "serve", *options) as said:
        yield Site(root, int(said["url"].rpartition(":")[2]), own, said["log"])


def certificate(plant: Plant, name: str, *names: str) -> tuple[Path, Path]:
    """A certificate of the workspace's authority that says these names."""
    issue(plant, name=name, san=",".join(names))
    folder = plant.home.workspace / "certificates" / name
    return folder / f"{name}.crt.pem", folder / f"{name}.key.pem"


@pytest.mark.guarantee("G56")
def test_an_enrolled_gateway_reads_and_nobody_else(site: Site) -> None:
    """Refused: no certificate, one of another role, one of a name never enrolled, an expired one, a stranger's."""
    with app.open_plant(site.root) as plant:
        own = identity_of(plant.trust.workspace, "")
        assert site.status(site.context(site.gateway / CERTIFICATE, site.gateway / KEY)) == 200
        with pytest.raises((ssl.SSLError, OSError)):
            site.status(site.context())
        for name, says in (
            ("web", ("web.example",)),
            ("admin", (f"{own}person/ada",)),
            ("plane2", (f"{own}control-plane", "127.0.0.1")),
            ("nobody", (f"{own}gateway/nobody",)),
            ("two", (f"{own}gateway/ward-7", f"{own}person/ada")),
        ):
            assert site.status(site.context(*certificate(plant, name, *says))) == 403, name
        ended = site.root / "ended"
        past = present() - timedelta(days=2)
        names = (f"{own}gateway/ward-7",)
        plant.authority.issue("ended", names, lasts=timedelta(days=1), now=past, folder=ended)
        with pytest.raises((ssl.SSLError, OSError)):
            site.status(site.context(ended / "ended.crt.pem", ended / "ended.key.pem"))
        wait(lambda: _refusals(plant))
        certificates = {each.name: each.fingerprint for each in issued(plant).values()}
        assert f"certificate {certificates['web']}" in _refusals(plant)


def _refusals(plant: Plant) -> set[str]:
    """Who was refused, as the ledger has it."""
    return {str(entry.body["who"]) for entry in plant.ledger.stream("gateways") if entry.kind == "gateway.refused"}


@pytest.mark.guarantee("G55")
@pytest.mark.guarantee("G56")
@pytest.mark.requirement("ACC-15", by="holdfast.core.exposure:where_tls_ends")
@pytest.mark.requirement("ACC-15", by="holdfast.core.gateways:known_gateway")
@pytest.mark.requirement("ACC-15", by="holdfast.core.gateways:check_plane")
def test_tls_at_the_edge_and_mutual_tls_between_services(site: Site, tmp_path: Path) -> None:
    """The edge ends TLS or does not start; services know each other both ways; clear text and strangers get nothing."""
    with app.open_plant(site.root) as plant:
        own = identity_of(plant.trust.workspace, "")
        edge = certificate(plant, "edge", "127.0.0.1")
        me = peer(plant, site.gateway)
        refused = refusal("serve", site.root)
        assert refused.returncode == Refused.exit_code
        assert "without TLS" in refused.stderr
        options = ["--tls-cert", str(edge[0]), "--tls-key", str(edge[1]), "--gateways-port", "0", "--gateway-port", "0"]
        with started(site.root, "up", *options) as said:
            assert said["tls"] == "here"
            port = int(said["gateway"].rpartition(":")[2])
            wait(lambda: _listens(port))
            assert replace(site, port=port).status(site.context(), "/v2/health/live") == 200
            assert not answered_in_clear(port)
            wait(lambda: _listens(int(said["gateways"].rpartition(":")[2])))
            beside = replace(site, port=int(said["gateways"].rpartition(":")[2]))
            assert beside.status(beside.context(site.gateway / CERTIFICATE, site.gateway / KEY)) == 200
            with pytest.raises((ssl.SSLError, OSError)):
                beside.status(beside.context())
            impostor = PublishedUrl(url=said["gateways"], cache=tmp_path / "cache", peer=me)  # a certificate, not his
            with pytest.raises(NotVerified, match="URIs"):
                impostor.document("timestamp.json", 100)
        plane = PublishedUrl(url=f"https://127.0.0.1:{site.port}", cache=tmp_path / "cache", peer=me)
        assert plane.document("timestamp.json", 100) == b"{}"
        assert site.status(site.context(*certificate(plant, "web2", f"{own}person/ada"))) == 403
    with pytest.raises((ssl.SSLError, OSError)):
        site.status(site.context())
    assert not answered_in_clear(site.port)


def answered_in_clear(port: int) -> bool:
    """Say whether a port answers plain HTTP."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain:
        plain.sendall(b"GET /timestamp.json HTTP/1.1\r\nhost: x\r\n\r\n")
        return b"HTTP/1.1" in plain.recv(4096)


def refusal(words: str, root: Path) -> "subprocess.CompletedProcess[str]":
    """What a command says that is told to listen for other machines."""
    return subprocess.run(
        [sys.executable, "-m", "holdfast", *words.split(), "-C", str(root), "--host", "0.0.0.0", "--port", "0"],  # noqa: S104
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env=surroundings(),
    )


@pytest.mark.requirement("ACC-07", by="holdfast.core.gateways:known_gateway")
@pytest.mark.requirement("ACC-07", by="holdfast.lifecycle.access_coverage:coverage")
@pytest.mark.requirement("ACC-07", by="holdfast.lifecycle.access:authenticate")
def test_being_on_the_same_network_opens_nothing_and_what_is_open_is_told(site: Site) -> None:
    """From this very machine no route, file or word goes without a credential; what does is in the report."""
    with app.open_plant(site.root) as plant:
        assert site.status(site.context(site.gateway / CERTIFICATE, site.gateway / KEY)) == 200
        for path, method in (("/timestamp.json", "GET"), ("/spool/telemetry-0000000000.dsse.age", "POST")):
            stranger = site.context(*certificate(plant, "stranger", "127.0.0.1"))
            assert site.status(stranger, path, method) == 403
        with started(site.root, "up", "--no-gateway") as said:
            reply = coverage(plant, url=said["url"])
    routes = reply.document["routes"]
    assert len(routes) > 50
    assert all(each["covered"] for each in routes)
    bare = [each for each in reply.document["calls"] if not each["covered"]]
    assert {each["what"] for each in bare} >= {"workspace", "SQLite database and blobs on disk", "queue of jobs"}
    assert reply.document["uncovered"] == len(bare)
    assert all(each["missing"] for each in bare)


@pytest.mark.guarantee("G56")
def test_another_workspaces_gateway_does_not_get_in(site: Site, tmp_path: Path) -> None:
    """The same name by another authority: the handshake fails."""
    other = tmp_path / "other"
    other.mkdir()
    app.init(other, owner="eve")
    with app.open_plant(other) as plant:
        foreign = enrolled(plant, tmp_path / "host", "ward-7")
    with pytest.raises((ssl.SSLError, OSError)):
        site.status(site.context(foreign / CERTIFICATE, foreign / KEY))


def test_only_a_spools_files_are_taken(site: Site) -> None:
    """A known gateway may tell, but not name any file it likes, nor hand over what nobody has sealed."""
    context = site.context(site.gateway / CERTIFICATE, site.gateway / KEY)
    assert site.status(context, "/spool/../trust.dsse.json", "POST") == 400
    assert site.status(context, "/spool/events-0-000000000000.jsonl", "POST") == 400  # no offset
    assert site.status(context, "/spool/telemetry-0000000000.dsse.age", "POST") == 403
    assert site.status(context, "/timestamp.json", "PUT") == 405
    assert not list((site.root / ".holdfast" / "gateways").glob("*/spool/*"))


@pytest.mark.guarantee("G56")
def test_a_removed_gateway_is_let_in_no_more_though_its_certificate_holds(site: Site, tmp_path: Path) -> None:
    """By the operator's word, or since its identity was compromised: from the next request on, reading and telling."""
    with app.open_plant(site.root) as plant:
        gone, stolen = enrolled(plant, tmp_path / "gone", "gone"), enrolled(plant, tmp_path / "stolen", "stolen")
        for folder in (gone, stolen):
            assert site.status(site.context(folder / CERTIFICATE, folder / KEY)) == 200
        remove(plant, name="gone", reason="The ward was closed.")
        keyid = next(key.keyid for key in plant.trust.keys if key.owner == "gateway/stolen")
        compromise(plant, keyid=keyid, reason="The machine was stolen.")
        for folder in (gone, stolen):
            context = site.context(folder / CERTIFICATE, folder / KEY)
            assert site.status(context) == 403
            assert site.status(context, "/spool/telemetry-0000000000.dsse.age", "POST") == 403
        states = {item["name"]: item["state"] for item in gateways(plant).document["gateways"]}
    assert (states["gateway/gone"], states["gateway/stolen"]) == ("retired", "revoked")
    assert states["gateway/ward-7"] == "active"


@pytest.mark.guarantee("G56")
def test_a_gateway_asks_its_control_plane_and_no_impostor(site: Site, tmp_path: Path) -> None:
    """The server's certificate must be the authority's, for this host, and say that it is the control plane."""
    with app.open_plant(site.root) as plant:
        own = identity_of(plant.trust.workspace, "")
        me = peer(plant, site.gateway)
        url = PublishedUrl(url=f"https://127.0.0.1:{site.port}", cache=tmp_path / "cache", peer=me)
        assert url.document("timestamp.json", 100) == b"{}"
        wrong_name = PublishedUrl(url=f"https://localhost:{site.port}", cache=tmp_path / "cache", peer=me)
        with pytest.raises(Unavailable, match="do not accept one another"):
            wrong_name.document("timestamp.json", 100)
        crt, key = certificate(plant, "impostor", f"{own}gateway/ward-8", "127.0.0.1")
    options = ["--tls-cert", str(crt), "--tls-key", str(key)]
    with started(site.root, "publish", "serve", *options) as said:
        impostor = PublishedUrl(url=said["url"], cache=tmp_path / "cache", peer=me)
        with pytest.raises(NotVerified, match="not the control plane"):
            impostor.document("timestamp.json", 100)


@pytest.mark.guarantee("G56")
def test_the_control_plane_of_another_authority_is_not_believed(site: Site, tmp_path: Path) -> None:
    """Neither the system's trust store nor another workspace's authority vouches for a control plane."""
    other = tmp_path / "other"
    other.mkdir()
    app.init(other, owner="eve")
    with app.open_plant(other) as stranger:
        options = plane_certificate(stranger)
    with app.open_plant(site.root) as plant:
        me = peer(plant, site.gateway)
    with started(other, "publish", "serve", *options) as said:
        url = PublishedUrl(url=said["url"], cache=tmp_path / "cache", peer=me)
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            url.document("timestamp.json", 100)


@pytest.mark.guarantee("G55")
def test_plain_http_reaches_this_machine_only(site: Site, tmp_path: Path) -> None:
    """Neither fetching nor telling speaks in clear to another host, nor over TLS without a certificate of its own."""
    with app.open_plant(site.root) as plant:
        me = peer(plant, site.gateway)
        empty = peer(plant, tmp_path)
    for url in (
        "http://192.0.2.1:8081",
        "http://plane.example",
        "ftp://127.0.0.1",
        "https://u:p@127.0.0.1",
        "https://",
    ):
        with pytest.raises(InvalidInput):
            PublishedUrl(url=url, cache=tmp_path, peer=me)
        with pytest.raises(InvalidInput):
            Courier(spool=tmp_path, url=url, peer=me)
    for nobody in (None, empty):
        with pytest.raises(InvalidInput, match="certificate"):
            PublishedUrl(url="https://127.0.0.1:1", cache=tmp_path, peer=nobody)
    PublishedUrl(url="http://127.0.0.1:1", cache=tmp_path)


def test_renewed_certificates_are_used_without_a_restart(site: Site, tmp_path: Path) -> None:
    """The server's and the gateway's: what lies in the files counts from the next connection on; half of it never."""
    with app.open_plant(site.root) as plant:
        context = site.context(site.gateway / CERTIFICATE, site.gateway / KEY)
        before = _served(site, context)
        renew(plant, name="control-plane")
        after = _served(site, context)
        assert before != after
        key = site.root / ".holdfast" / "certificates" / "control-plane" / "control-plane.key.pem"
        whole = key.read_bytes()
        key.write_bytes(b"not a key")
        assert _served(site, context) == after
        key.write_bytes(whole)
        assert _served(site, context) == after
        renew(plant, name="gateway-ward-7")  # for the same key, by the stored request
        newest = Path(issued(plant)["gateway-ward-7"].folder) / CERTIFICATE
        assert newest.read_bytes() != (site.gateway / CERTIFICATE).read_bytes()
        me = peer(plant, site.gateway)
        url = PublishedUrl(url=f"https://127.0.0.1:{site.port}", cache=tmp_path / "cache", peer=me)
        assert url.document("timestamp.json", 100) == b"{}"
        renewal = Renewal(url=url.url, peer=me)
        assert renewal.look()
        assert newest.read_bytes() == (site.gateway / CERTIFICATE).read_bytes()
        assert not renewal.look()  # it is not time yet
        assert not Renewal(url=url.url, peer=me).look()  # and nothing newer is there
        assert url.document("timestamp.json", 100) == b"{}"


@pytest.mark.guarantee("G56")
def test_a_certificate_that_is_not_its_own_is_not_taken(site: Site, tmp_path: Path) -> None:
    """A control plane that hands out another's, another name's for the same key, or no certificate: nothing changes."""
    with app.open_plant(site.root) as plant:
        folder = enrolled(plant, tmp_path / "host", "ward-12")
        other = enrolled(plant, tmp_path / "other", "ward-13")
        handed = plant.home.gateways / "ward-12" / CERTIFICATE
        before = (folder / CERTIFICATE).read_bytes()
        me = peer(plant, folder)
        request = open_gateway_file((folder / "enrol.json").read_bytes()).request.encode()
        name = identity_of(plant.trust.workspace, "gateway/ward-13")
        elsewhere = tmp_path / "another-name"
        plant.authority.certify("x", (name,), request, lasts=timedelta(days=9), now=present(), folder=elsewhere)
        for wrong in (other / CERTIFICATE, elsewhere / CERTIFICATE, other / "enrol.json"):
            handed.write_bytes(wrong.read_bytes())
            with pytest.raises(NotVerified):
                Renewal(url=f"https://127.0.0.1:{site.port}", peer=me).look()
            assert (folder / CERTIFICATE).read_bytes() == before
        handed.unlink()
        with pytest.raises(Unavailable, match="404"):
            Renewal(url=f"https://127.0.0.1:{site.port}", peer=me).look()
        remove(plant, name="ward-12", reason="The ward was closed.")
        with pytest.raises(NotFound, match="to be renewed"):
            renew(plant, name="gateway-ward-12")


def _served(site: Site, context: ssl.SSLContext) -> bytes:
    """The certificate that the server shows."""
    with (
        socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""


def test_only_who_holds_the_keys_is_enrolled_and_no_name_twice(site: Site, tmp_path: Path) -> None:
    """A public file that was changed, a name that is somebody else's, and a folder that is in use are refused."""
    with app.open_plant(site.root) as plant:
        thief = enrolled(plant, tmp_path / "mine", "ward-9").parent.parent
        public = (thief / ".holdfast" / "gateway" / "enrol.json").read_bytes()
        with pytest.raises(NotVerified):
            open_gateway_file(public.replace(b"ward-9", b"ward-7"))
        with pytest.raises(NotVerified):
            open_gateway_file(public.replace(b"BEGIN CERTIFICATE REQUEST", b"BEGIN CERTIFICATE"))
        with pytest.raises(Conflict, match="is taken"):
            enrolled(plant, tmp_path / "theirs", "ward-9")
        remove(plant, name="ward-9", reason="The ward was closed.")
        with pytest.raises(Conflict, match="is taken"):
            enrolled(plant, tmp_path / "later", "ward-9")
        with pytest.raises(NotFound):
            remove(plant, name="ward-9", reason="The ward was closed.")
        with pytest.raises(Conflict, match="something in this folder"):
            enrol(plant, file=thief / ".holdfast" / "gateway" / "enrol.json", out=thief)
    for name in ("", "Ward", "a/b", "-x", "x" * 41):
        with pytest.raises(InvalidInput):
            full_name(name)


def test_the_next_identity_is_vouched_for_by_the_present_one(site: Site, tmp_path: Path) -> None:
    """A second `gateway new` in the same folder: enrolled under the same name, and the first one ends in a week."""
    root = tmp_path / "host"
    with app.open_plant(site.root) as plant:
        enrolled(plant, root, "ward-10")
        app.gateway_new(root, name="ward-10")
        enrol(plant, file=root / ".holdfast" / "gateway" / "enrol.json", out=tmp_path / "again")
        first, second = sorted(
            (key for key in plant.trust.keys if key.owner == "gateway/ward-10"), key=lambda key: key.not_before
        )
        assert first.not_after - present() < timedelta(days=8)
        assert second.not_after - present() > timedelta(days=300)
    with pytest.raises(Conflict, match="folder of"):
        app.gateway_new(root, name="ward-11")
    with pytest.raises(Conflict, match="a workspace"):
        app.gateway_new(site.root, name="ward-11")


def _listens(port: int) -> bool:
    with socket.socket() as knocking:
        return knocking.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.guarantee("G55")
@pytest.mark.parametrize("words", [("publish", "serve"), ("up",)])
def test_nobody_else_is_answered_in_clear(site: Site, words: tuple[str, ...]) -> None:
    """A listener for other machines without TLS does not start, and says what to do about it."""
    done = refusal(" ".join(words), site.root)
    assert done.returncode == Refused.exit_code, done.stderr
    assert "without TLS" in done.stderr
