"""Two gateways on other hosts: both answer, both are drained over mutual TLS; one is taken back, one goes on."""

import os
import signal
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.scenarios.elsewhere import PATIENCE_S, enrolled, new_gateway, plane_certificate, present, started, wait
from tests.scenarios.stand import Gateway, calm, model_file, published_blob, releases

from holdfast.adapters.opener import Opener
from holdfast.adapters.peer import AUTHORITY
from holdfast.adapters.published import PublishedFolder
from holdfast.adapters.received import ReceivedSpool
from holdfast.adapters.records import encrypt_record
from holdfast.adapters.unsealing import Unsealed
from holdfast.client import Client
from holdfast.config import read_settings
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import Conflict, NotVerified, Unavailable
from holdfast.core.seal import TELEMETRY, Telemetry, seal
from holdfast.core.signals import Signal
from holdfast.core.spool import events_name, statement_name
from holdfast.core.telemetry import DRAINED
from holdfast.edge import config_of
from holdfast.lifecycle.certificates import issue
from holdfast.lifecycle.compromise import compromise
from holdfast.lifecycle.gateways import enrol, gateways, remove
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import issue_key
from holdfast.lifecycle.publishing import settle
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.traffic import windows_of
from holdfast.serve.events import Head, Noted, sealed_groups, standing


@dataclass
class Host:
    """A machine with a gateway on it."""

    root: Path
    said: dict[str, Any]
    context: ssl.SSLContext

    @property
    def spool(self) -> Path:
        """What the gateway has to tell."""
        return self.root / ".holdfast" / "gateway" / "spool"

    def ask(self, plant: Plant, key: str, rows: list[list[float]]) -> int:
        """Make one call; return how many rows were answered."""
        with Client(self.said["url"], key, context=self.context, timeout_s=PATIENCE_S) as client:
            return len(client.infer(current_project(plant).project.name, rows).labels)

    def tell(self) -> None:
        """Have it write what it counted now."""
        os.kill(self.said["pid"], signal.SIGUSR1)


@pytest.fixture
def hosts(producing: Plant, tmp_path: Path) -> Iterator[dict[str, Host]]:
    """A control plane that answers gateways, and two of them, which end TLS for their callers themselves."""
    roots = {name: tmp_path / name for name in ("ward-a", "ward-b")}
    options = plane_certificate(producing)
    for name, root in roots.items():
        enrolled(producing, root, name)
    issue(producing, name="edge", san="127.0.0.1")
    folder = producing.home.workspace / "certificates" / "edge"
    edge = ["--tls-cert", str(folder / "edge.crt.pem"), "--tls-key", str(folder / "edge.key.pem")]
    context = ssl.create_default_context(cafile=str(folder / AUTHORITY))
    with ExitStack() as stack:
        plane = stack.enter_context(started(producing.home.root, "publish", "serve", *options))
        yield {
            name: Host(root, stack.enter_context(started(root, "serve", "--from-url", plane["url"], *edge)), context)
            for name, root in roots.items()
        }


def inbox(plant: Plant, name: str) -> Path:
    """Where what a gateway has handed over waits."""
    return plant.home.gateways / name / "spool"


def told(plant: Plant, name: str) -> list[int]:
    """The numbers of a gateway's statements that the ledger holds."""
    return [entry.body["sequence"] for entry in plant.ledger.stream(f"gateway/{name}") if entry.kind == DRAINED]


@pytest.mark.guarantee("G57")
def test_two_gateways_are_drained_and_one_is_taken_back(producing: Plant, hosts: dict[str, Host]) -> None:
    """Requests, refusals and anchors of both reach the ledger; the stolen one is heard no more, and is void."""
    release = releases(producing)[1]
    rows = Gateway(producing).rows(release)[:3].tolist()
    key = str(issue_key(producing, client="shop").document["key"])
    for host in hosts.values():
        assert host.said["url"].startswith("https://")
        assert host.said["tls"] == "here"
        wait(partial(_answers, producing, host, key, rows))
        with pytest.raises(Exception, match=r"HF241|key"):
            host.ask(producing, "hf_" + "A" * 43, rows)
        host.tell()
    for name, host in hosts.items():
        wait(partial(_handed_over, producing, name))
        wait(partial(_has_told, host))
    seen = look(producing)
    assert seen.raised == ()
    for name in hosts:
        numbers = told(producing, name)
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= 2  # a window and an anchor
        events = [entry.body["kind"] for entry in producing.ledger.stream(f"events/{name}/0")]
        assert any(kind.startswith("refused.authenticated") for kind in events)
    before = sum(window.rows for window in windows_of(producing, release, -1))
    assert before >= 6

    keyid = next(each.keyid for each in producing.trust.keys if each.owner == "gateway/ward-b")
    compromise(producing, keyid=keyid, reason="The machine was stolen.")
    drained = told(producing, "ward-b")
    for host in hosts.values():
        wait(partial(_answers, producing, host, key, rows))
        host.tell()
    wait(lambda: _handed_over(producing, "ward-a"))
    wait(lambda: "403" in hosts["ward-b"].said["log"].read_text())
    assert look(producing).raised == ()
    assert told(producing, "ward-b") == drained
    assert not list(inbox(producing, "ward-b").glob("telemetry-*"))
    assert list(hosts["ward-b"].spool.iterdir())  # what is not taken stays with it
    heard = {each["name"]: each for each in gateways(producing).document["gateways"]}
    assert heard["gateway/ward-b"]["state"] == "revoked"
    assert heard["gateway/ward-a"]["state"] == "active"
    after = sum(window.rows for window in windows_of(producing, release, -1))
    assert after < before + 6  # what the stolen one told is void, also what it told before


def _answers(plant: Plant, host: Host, key: str, rows: list[list[float]]) -> bool:
    """Say whether a gateway knows the key by now."""
    try:
        return host.ask(plant, key, rows) == len(rows)
    except Exception:  # noqa: BLE001 - it fetches the table that names the key within a second or two
        return False


def _handed_over(plant: Plant, name: str) -> bool:
    """Say whether an anchor, and so all before it, was handed over."""
    return bool(list(inbox(plant, name).glob("telemetry-*.dsse.age")))


def _has_told(host: Host) -> bool:
    """Say whether a gateway has nothing left to tell but what it is writing."""
    return not list(host.spool.glob("telemetry-*.dsse.age"))


# What is handed over, judged without sockets.


@dataclass
class Elsewhere:
    """An enrolled gateway whose keys we hold, and the inbox that its control plane keeps."""

    plant: Plant
    root: Path
    name: str

    def statement(self, number: int, previous: str = "", name: str = "", release: str = "") -> bytes:
        """A statement sealed by its identity, and encrypted as it hands it over."""
        return self.encrypted(self.plain(number, previous, name, release))

    def encrypted(self, record: bytes) -> bytes:
        """Something it has recorded, as it hands it over."""
        return encrypt_record(self.root / ".holdfast" / "gateway" / "records.json", record)

    def plain(self, number: int, previous: str = "", name: str = "", release: str = "") -> bytes:
        """A statement sealed by its identity."""
        body = {"worker": 0, "events": 1, "head": "0" * 64}
        if release:
            body = msgspec.to_builtins(calm(self.plant, release))
        moment = present()
        value = Telemetry(
            gateway=name or f"gateway/{self.name}",
            release=release,
            sequence=number,
            previous=previous,
            start=moment,
            end=moment,
            body=body,
        )
        return seal(value, TELEMETRY, [config_of(self.root).identity()], name="telemetry")

    @property
    def received(self) -> ReceivedSpool:
        """Its inbox."""
        plant = self.plant
        return ReceivedSpool(folder=inbox(plant, self.name), gateway=f"gateway/{self.name}", check_chain=standing)


@pytest.fixture
def ward(producing: Plant, tmp_path: Path) -> Elsewhere:
    """A gateway that was enrolled."""
    enrolled(producing, tmp_path / "ward", "ward-c")
    return Elsewhere(producing, tmp_path / "ward", "ward-c")


@pytest.mark.guarantee("G57")
def test_a_gateway_speaks_for_itself_alone(ward: Elsewhere, producing: Plant) -> None:
    """Refused: a second story and what is not encrypted at once, and in another's name when it is opened."""
    received = ward.received
    good = ward.statement(0)
    received.statement(statement_name(0), good)
    received.statement(statement_name(0), good)  # handed over again after an answer was lost
    for name, document in ((statement_name(0), ward.statement(0, previous="x")), (statement_name(3), ward.plain(3))):
        with pytest.raises(NotVerified):
            received.statement(name, document)
    assert [path.name for path in received.folder.iterdir()] == [statement_name(0)]
    received.statement(statement_name(1), ward.statement(1, name="gateway/ward-d"))
    received.statement(statement_name(2), ward.encrypted(b"{}"))
    seen = look(producing)
    assert [item.words.count("telemetry is refused") for item in seen.raised][:2] == [1, 1]
    assert told(producing, "ward-c") == [0]


@pytest.mark.guarantee("G57")
def test_a_statement_that_was_left_out_is_seen(ward: Elsewhere, producing: Plant) -> None:
    """Number 1 never comes: the ledger says so, and it is a breach of integrity of what answers."""
    release = releases(producing)[1]
    first = ward.statement(0, release=release)
    ward.received.statement(statement_name(0), first)
    assert look(producing).raised == ()
    ward.received.statement(statement_name(2), ward.statement(2, previous=digest_bytes(b"lost"), release=release))
    seen = look(producing)
    assert [item.signal for item in seen.raised] == [Signal.INTEGRITY_FAILURE]
    assert "statement 2 of gateway/ward-c does not follow 0" in seen.raised[0].words
    assert told(producing, "ward-c") == [0, 2]


@pytest.mark.guarantee("G57")
def test_what_a_stolen_gateway_had_handed_over_is_set_aside_and_brings_nothing_down(
    ward: Elsewhere, producing: Plant
) -> None:
    """It waits in the inbox when the identity is revoked: it counts for nothing, is kept, nothing is rolled back."""
    release = releases(producing)[1]
    ward.received.statement(statement_name(0), ward.statement(0, release=release))
    keyid = next(each.keyid for each in producing.trust.keys if each.owner == "gateway/ward-c")
    compromise(producing, keyid=keyid, reason="The machine was stolen.")
    assert look(producing).raised == ()
    assert told(producing, "ward-c") == []
    assert not windows_of(producing, release, -1)
    assert [path.name.partition(".refused-")[0] for path in ward.received.folder.iterdir()] == [statement_name(0)]
    assert any(entry.kind == "telemetry.refused" for entry in producing.ledger.stream("spool"))


@pytest.mark.guarantee("G57")
def test_what_lies_in_anothers_inbox_is_refused_and_kept(ward: Elsewhere, producing: Plant) -> None:
    """Somebody with the control plane's disk moves a statement: it counts for nobody."""
    strange = inbox(producing, "ward-x") / statement_name(0)
    strange.parent.mkdir(parents=True)
    strange.write_bytes(ward.statement(0))
    seen = look(producing)
    assert [item.signal for item in seen.raised] == [Signal.INTEGRITY_FAILURE]
    assert told(producing, "ward-c") == []
    assert [path.name.partition(".refused-")[0] for path in strange.parent.iterdir()] == [statement_name(0)]


def lines(ward: Elsewhere, head: Head | None = None) -> tuple[bytes, Head]:
    """A group of two events of a chain, encrypted."""
    events = [Noted(time=present(), kind="refused.x", caller=f"c{each}") for each in range(2)]
    return sealed_groups(events, head or Head(), ward.encrypted)


def test_events_go_on_from_what_is_there(ward: Elsewhere, producing: Plant) -> None:
    """Parts follow one another; one that does not changes nothing, and the answer says from where to go on."""
    received, name = ward.received, events_name(0, 0)
    first, head = lines(ward)
    second, _ = lines(ward, head)
    assert received.events(name, 0, first) == len(first)
    assert received.events(name, 0, first) == len(first)  # again, after an answer was lost
    assert received.events(name, 7, second) == len(first)
    assert received.events(name, len(first), second) == len(first + second)
    assert (received.folder / name).read_bytes() == first + second
    for bad in (second.replace(b'"sealed":"YWdl', b'"sealed":"YWdk'), second[:-1], second + second):
        with pytest.raises(NotVerified):
            received.events(name, len(first + second), bad)
    assert look(producing).raised == ()
    assert len(producing.ledger.stream("events/ward-c/0")) == 4
    assert not producing.ledger.stream("events/0")


def test_a_drained_file_does_not_come_again(ward: Elsewhere, producing: Plant) -> None:
    """A gateway that died before it could remove a file hands it over again: it is told that the file was taken."""
    received = ward.received
    first, head = lines(ward)
    second, _ = lines(ward, head)
    received.events(events_name(0, 0), 0, first)
    received.events(events_name(0, 2), 0, second)
    assert look(producing).raised == ()
    assert not (received.folder / events_name(0, 0)).exists()
    with pytest.raises(Conflict):
        received.events(events_name(0, 0), 0, first)
    assert look(producing).raised == ()


def test_what_waits_is_bounded(ward: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway cannot fill the control plane's disk: it keeps what it has to tell."""
    monkeypatch.setattr("holdfast.adapters.received.MAX_FILES", 2)
    for number in range(2):
        ward.received.statement(statement_name(number), ward.statement(number))
    with pytest.raises(Unavailable, match="too much"):
        ward.received.statement(statement_name(2), ward.statement(2))
    monkeypatch.setattr("holdfast.adapters.received.MAX_FILES", 20)
    monkeypatch.setattr("holdfast.adapters.received.MAX_WAITING", 100)
    with pytest.raises(Unavailable, match="too much"):
        ward.received.statement(statement_name(2), ward.statement(2))


# What is published is encrypted for those that are enrolled.


def reads(plant: Plant, ward: Elsewhere, digest: Digest) -> bytes:
    """What a gateway elsewhere makes of what is published."""
    opener = Opener(ward.root / ".holdfast" / "gateway", read_settings().unlock_dir)
    return Unsealed(published=PublishedFolder(plant.home.published), opener=opener).blob(digest, 1 << 24)


@pytest.mark.guarantee("G60")
def test_an_enrolled_gateway_reads_at_once_and_one_that_was_let_go_nothing_more(
    producing: Plant, tmp_path: Path
) -> None:
    """Enrolling adds a recipient and rewrites no blob; after a removal the next publishing lies under another key."""
    settle(producing, current_project(producing))
    model = model_file(producing, releases(producing)[1])
    before = published_blob(producing, model)
    enrolled(producing, tmp_path / "ward", "ward-e")
    ward = Elsewhere(producing, tmp_path / "ward", "ward-e")
    assert reads(producing, ward, model) == producing.blobs.get(model)
    assert published_blob(producing, model) == before
    other = tmp_path / "other"
    enrolled(producing, other, "ward-f")
    remove(producing, name="ward-e", reason="The ward was closed.")
    settle(producing, current_project(producing))
    with pytest.raises(NotVerified, match="not encrypted for this gateway"):
        reads(producing, ward, model)
    assert reads(producing, Elsewhere(producing, other, "ward-f"), model) == producing.blobs.get(model)
    assert Gateway(producing).gateway.state is not None


@pytest.mark.guarantee("G60")
def test_a_gateway_that_lost_its_secret_hands_in_another_key(producing: Plant, tmp_path: Path) -> None:
    """The same command, in the same folder: its identity vouches for the new key, and it reads on."""
    settle(producing, current_project(producing))
    model = model_file(producing, releases(producing)[1])
    enrolled(producing, tmp_path / "ward", "ward-g")
    ward = Elsewhere(producing, tmp_path / "ward", "ward-g")
    Opener(tmp_path / "ward" / ".holdfast" / "gateway", read_settings().unlock_dir).forget()
    with pytest.raises(Unavailable, match="stays closed"):
        reads(producing, ward, model)
    enrol(producing, file=new_gateway(tmp_path / "ward", "ward-g"), out=tmp_path / "again")
    settle(producing, current_project(producing))
    assert reads(producing, ward, model) == producing.blobs.get(model)
