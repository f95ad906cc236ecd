"""The signer: a process of its own, started without a person, that signs only what a key's role may say."""

import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast import app
from holdfast.adapters import signer_client, signer_frames
from holdfast.adapters.clock import SystemClock
from holdfast.adapters.custody import SIGNER, read_custody, socket_of
from holdfast.adapters.keys import create_keys
from holdfast.adapters.signer_client import SignerProcess
from holdfast.adapters.signer_process import STAGES, SignerServer
from holdfast.adapters.unlock import create_unlock_file
from holdfast.core.artifact import Kind, digest_bytes
from holdfast.core.dsse import PAYLOAD_TYPE, pae
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, NotFound, Refused, Unavailable
from holdfast.core.evidence import Evidence, MadeWith, Outcome, exactly
from holdfast.core.ledger import Checkpoint
from holdfast.core.seal import EVIDENCE, seal, unseal
from holdfast.core.trust import check_signature
from holdfast.lifecycle.custody import custody
from holdfast.lifecycle.plant import Plant

SUBJECT = digest_bytes(b"a model")
ORIGIN = "holdfast/test"


def evidence(control: str = "assess.quality/1") -> Evidence:
    """Something that a stage says."""
    return Evidence(
        control=control,
        subject=SUBJECT,
        kind=Kind.MODEL,
        outcome=Outcome.MEASURED,
        made_with=MadeWith(code=digest_bytes(b"code"), configuration=""),
        measures=(exactly("auc", 1.0),),
    )


@contextmanager
def running(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A workspace's signer in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "signer", "-C", str(root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    place = socket_of(root / ".holdfast", read_custody(root / ".holdfast"))
    try:
        deadline = time.monotonic() + 30
        while not SignerProcess(place).answers():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose stage keys a signer holds; nobody has started it."""
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "unlock"))
    folder = tmp_path / "p"
    folder.mkdir()
    app.init(folder, owner="ada")
    with app.open_plant(folder) as plant:
        custody(plant, store="signer")
    return folder


def sealed(plant: Plant) -> None:
    """Have a stage say something, and believe it."""
    document = seal(evidence(), EVIDENCE, [plant.keys.signer("assess")])
    unseal(document, EVIDENCE, plant.trust, at=plant.clock.now())


def test_killed_and_started_again_it_signs_without_a_person(root: Path) -> None:
    """Kill -9 between two signatures: an open control plane says so, and goes on when the signer is back."""
    with app.open_plant(root) as plant:
        with pytest.raises(Unavailable, match="signer"):
            plant.unlock()
        with running(root) as first:
            plant.unlock()
            sealed(plant)
            plant.ledger.checkpoint()
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            with pytest.raises(HoldfastError):
                sealed(plant)
        with running(root):
            sealed(plant)
            plant.ledger.checkpoint()


def test_stage_keys_are_in_another_process_and_those_of_before_have_ended(root: Path) -> None:
    """The control plane's folder opens nothing that is trusted for a stage; persons and root stay where they were."""
    with running(root), app.open_plant(root) as plant:
        for role in STAGES:
            assert plant.keys.custody_of(plant.keys.signer(role).keyid) == "other-process"
        for role in ("root", "person"):
            assert plant.keys.custody_of(plant.keys.signer(role).keyid) == "same-disk"
    place = socket_of(root / ".holdfast", read_custody(root / ".holdfast"))
    assert stat.S_IMODE((root / ".holdfast" / SIGNER / "keys").stat().st_mode) == 0o700
    assert not SignerProcess(place).answers()


def test_it_ends_when_told_and_a_second_one_is_refused(root: Path) -> None:
    """Two signers on one socket would be two truths; SIGTERM ends the first and removes the socket."""
    place = socket_of(root / ".holdfast", read_custody(root / ".holdfast"))
    with running(root) as process:
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        with pytest.raises(Conflict, match="another signer"):
            app.signer(root)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not place.exists()


def test_a_workspace_without_a_signer_starts_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keys lie in the common folder, which a signer does not serve; unknown stores and half tokens are refused."""
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "unlock"))
    root = tmp_path / "p"
    root.mkdir()
    app.init(root, owner="ada")
    with pytest.raises(Conflict, match="no signer"):
        app.signer(root)
    with app.open_plant(root) as plant:
        for wrong in ({"store": "cloud"}, {"store": "hsm"}, {"store": "signer", "token": "t"}):
            with pytest.raises(InvalidInput):
                custody(plant, **wrong)  # type: ignore[arg-type]
        assert read_custody(root / ".holdfast").store == "file"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SignerProcess]:
    """A signer in a thread, and a client."""
    unlock = create_unlock_file(tmp_path / "unlock", outside=tmp_path / "keys")
    keys = create_keys(tmp_path / "keys", STAGES, owner="ada", clock=SystemClock(), unlock=unlock)
    serving = SignerServer(keys, tmp_path / "socket", origin=ORIGIN, uids=frozenset({os.geteuid()}))
    ready = threading.Event()
    thread = threading.Thread(target=serving.run, args=(ready.set,))
    thread.start()
    assert ready.wait(10)
    client = SignerProcess(tmp_path / "socket")
    yield client
    client.close()
    serving.stop()
    thread.join(10)


def key_of(client: SignerProcess, role: str) -> str:
    """The id of a role's key."""
    return next(key.keyid for key in client.held() if key.role == role)


def test_what_it_signs_verifies_and_is_counted(server: SignerProcess) -> None:
    """Evidence by its stage's key, checkpoints by the ledger's; each use is counted by key and purpose, exactly."""
    assess, ledger = key_of(server, "assess"), key_of(server, "ledger")
    for _ in range(3):
        seal(evidence(), EVIDENCE, [server.signer_of(assess)])
    body = Checkpoint(origin=ORIGIN, size=1, root=b"r" * 32, time=SystemClock().now()).body
    check_signature(server.signer_of(ledger).public, body, server.signer_of(ledger).sign(body))
    assert server.uses() == {assess: {"evidence": 3}, ledger: {"checkpoint": 1}}


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"anything",
        b"DSSEv1 28 application/vnd.in-toto+json 5 hello",
        b"DSSEv1 3 abc 2 {}",
        pae(PAYLOAD_TYPE, b"{}"),
        pae("text/plain", b"hello"),
        pae(PAYLOAD_TYPE, b"[" * 100_000),
    ],
)
def test_it_signs_nothing_blindly(server: SignerProcess, message: bytes) -> None:
    """Neither bytes of no form nor statements of no kind, by any key; nothing is counted."""
    for role in STAGES:
        with pytest.raises(Refused):
            server.signer_of(key_of(server, role)).sign(message)
    assert server.uses() == {}


def test_it_signs_nothing_of_another_role_or_ledger(server: SignerProcess) -> None:
    """The train key says nothing about quality, the ledger key signs no other ledger's checkpoint and no evidence."""
    with pytest.raises(Refused, match="assess"):
        seal(evidence(), EVIDENCE, [server.signer_of(key_of(server, "train"))])
    other = Checkpoint(origin="holdfast/other", size=1, root=b"r" * 32, time=SystemClock().now()).body
    with pytest.raises(Refused):
        server.signer_of(key_of(server, "ledger")).sign(other)
    with pytest.raises(Refused):
        seal(evidence(), EVIDENCE, [server.signer_of(key_of(server, "ledger"))])
    with pytest.raises(NotFound):
        server.signer_of("0" * 64)
    with pytest.raises(Refused):
        server.make("root", "eve", SystemClock().now(), SystemClock().now() + timedelta(days=1))
    with pytest.raises(Refused):
        server.destroy(key_of(server, "train"))


def test_it_survives_whoever_speaks_no_sense(server: SignerProcess, tmp_path: Path) -> None:
    """A frame without end, half a frame, no JSON, forty connections: each ends, and the next caller is answered."""
    for garbage in (struct.pack(">I", 1 << 31), struct.pack(">I", 100) + b"half", struct.pack(">I", 3) + b"abc"):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(tmp_path / "socket"))
            rude.sendall(garbage)
            rude.shutdown(socket.SHUT_WR)
            assert rude.recv(1) == b""
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    for each in crowd:
        each.settimeout(0)
        with suppress(BlockingIOError):  # the kernel's queue is full: that is one way of being turned away
            each.connect(str(tmp_path / "socket"))
    for each in crowd:
        each.close()
    deadline = time.monotonic() + 10
    while not SignerProcess(tmp_path / "socket").answers():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_another_user_is_refused(tmp_path: Path) -> None:
    """Whoever connects is looked at, not only the socket's mode."""
    unlock = create_unlock_file(tmp_path / "unlock", outside=tmp_path / "keys")
    keys = create_keys(tmp_path / "keys", STAGES, owner="ada", clock=SystemClock(), unlock=unlock)
    serving = SignerServer(keys, tmp_path / "socket", origin=ORIGIN, uids=frozenset({os.geteuid() + 1}))
    ready = threading.Event()
    thread = threading.Thread(target=serving.run, args=(ready.set,))
    thread.start()
    assert ready.wait(10)
    client = SignerProcess(tmp_path / "socket")
    with pytest.raises(Refused, match="user"):
        client.held()
    client.close()
    serving.stop()
    thread.join(10)


def test_what_was_said_before_it_closed_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who is turned away learns why, also where the signer has closed before the request was written."""
    closed = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen(1)

        def turn_away() -> None:
            connection, _ = listening.accept()
            with connection:
                signer_frames.send(connection, signer_frames.Failed(code=Refused.code, message="not this user"))
            closed.set()

        def send_late(connection: socket.socket, value: signer_frames.Request) -> None:
            assert closed.wait(10)
            signer_frames.send(connection, value)

        monkeypatch.setattr(signer_client, "send", send_late)
        thread = threading.Thread(target=turn_away)
        thread.start()
        client = SignerProcess(tmp_path / "socket")
        with pytest.raises(Refused, match="not this user"):
            client.held()
        client.close()
        thread.join(10)
