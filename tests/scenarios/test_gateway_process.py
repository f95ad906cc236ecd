"""The gateway as a process of its own, attacked and used over real sockets."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.scenarios.sealing import Sealing

from holdfast.adapters.supervisor import probe
from holdfast.client import AsyncClient, Client, Prediction
from holdfast.core.errors import Conflict, InvalidRequest, NotFound, Refused, Unavailable
from holdfast.core.routes import GuardSpec
from holdfast.core.seal import TELEMETRY, unseal
from holdfast.core.signed_request import NONCE, SIGNATURE, TIMESTAMP, request_signature
from holdfast.edge.alone import LOCK, alone
from holdfast.serve.events import Head, opened, read_events
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import API_KEY, CREDENTIAL_KEY, GUARDS, INFER, MODEL, ROW, World

PATIENCE_S = 60.0  # how long anything may take on a busy machine before it counts as not happening

PROGRAM = """
import json, os, sys, threading, time
from datetime import datetime
from pathlib import Path

folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
log = os.open(folder / "processes.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def hook(event, args):
    if event in {"os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"}:
        os.write(log, f"{os.getpid()} {event}\\n".encode())

sys.addaudithook(hook)
import holdfast.adapters.http_server as server
from holdfast.edge import EdgeConfig, serve
from holdfast.testing.memory import MemorySigner
from holdfast.adapters.opener import Opener

server.MAX_LOOKS = options.pop("max_looks", server.MAX_LOOKS)
start = datetime.fromisoformat(options.pop("start"))
if "tls" in options:
    demanded = options["tls"].pop("demanded")
    options["tls"] = server.Tls(demanded=demanded, **{name: Path(path) for name, path in options["tls"].items()})

def tell_modules():
    while True:
        temporary = folder / f"modules-{os.getpid()}.new"
        temporary.write_text("\\n".join(sorted(sys.modules)))
        temporary.replace(folder / "modules.txt")
        time.sleep(0.2)

def identity():
    threading.Thread(target=tell_modules, daemon=True).start()
    return MemorySigner("gateway", owner="gateway", start=start)

serve(EdgeConfig(
    published=folder / "published", home=folder / "home", root=folder / "root.json",
    credential_key=folder / "credential.key", identity=identity, ready_file=folder / "ready.json",
    opener=lambda: Opener(folder / "home", folder / "secrets"),
    records=folder / "home" / "records.json", **options,
))
"""


class Process:
    """A gateway over a small world on disk."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.world = World(datetime.now(UTC).replace(microsecond=0))
        self.release = self.world.release()
        (folder / "home").mkdir()
        self.sealing = Sealing(folder, folder / "home")
        self.publish(self.world.table(self.release))
        (folder / "root.json").write_bytes(msgspec.json.encode(self.world.root))
        (folder / "credential.key").write_bytes(CREDENTIAL_KEY)
        (folder / "credential.key").chmod(0o600)
        start = self.world.signers["gateway"].public.not_before.isoformat()
        arguments = {"port": 0, "telemetry_every_s": 3600.0, "start": start} | options
        source = Path(sys.modules["holdfast"].__file__ or "").parents[1]
        with (folder / "errors.log").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(folder), json.dumps(arguments)],
                stdout=subprocess.PIPE,
                stderr=errors,
                env={"PYTHONPATH": str(source)},
            )

    def publish(self, table: Any) -> None:
        """Publish a table, as of now."""
        self.world.publish(table)
        self.sealing.publish(self.world.published, self.folder / "published")

    def ready(self) -> "Process":
        """Wait until the gateway says on standard output that it answers."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "errors.log").read_text()
        self.said = json.loads(line)
        assert json.loads((self.folder / "ready.json").read_text()) == self.said
        self.url = self.said["url"]
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    def client(self, key: str = API_KEY) -> Client:
        """A client of it."""
        return Client(self.url, key, timeout_s=PATIENCE_S)

    def infer(self, model: str = MODEL, key: str = API_KEY) -> Prediction:
        """Make one good call on a connection of its own."""
        with self.client(key) as client:
            return client.infer(model, [[50, 15, 0.1]])

    def worker(self) -> int:
        """The process id of a worker."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def end(self) -> int:
        """Ask it to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


def eventually(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a gateway, and ends it after the test."""
    started: list[Process] = []

    def begin(**options: Any) -> Process:
        started.append(Process(tmp_path, **options))
        return started[-1]

    yield begin
    for process in started:
        process.end()


@pytest.mark.guarantee("G55")
def test_a_gateway_behind_a_terminator_says_so(start: Callable[..., Process]) -> None:
    """On another address without TLS it starts only by that word, which stands in the ready document."""
    assert start(host="0.0.0.0", terminated=True).ready().said["tls"] == "terminator"  # noqa: S104


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_second_gateway_in_the_folder_of_one_that_runs_is_refused(
    start: Callable[..., Process], ending: signal.Signals
) -> None:
    """Both would write into one chain of events, which then seems cut; once all of the first has ended, it is free."""
    gateway = start().ready()
    home = gateway.folder / "home"
    with pytest.raises(Conflict, match=f"process {gateway.process.pid}"), alone(home):
        pass
    assert gateway.infer().labels
    gateway.process.send_signal(ending)
    gateway.process.wait(PATIENCE_S)
    with alone(home, patience_s=PATIENCE_S):
        assert (home / LOCK).read_text() == str(os.getpid())


FORBIDDEN = ("torch", "sqlalchemy", "alembic", "polars", "sklearn", "skl2onnx", "onnx", "duckdb", "jinja2", "sandlock")
ABSENT = (
    "holdfast.train",
    "holdfast.assess",
    "holdfast.lifecycle",
    "holdfast.app",
    "holdfast.registry",
    "holdfast.adapters.keys",
)


def test_the_gateway_holds_no_training_code_and_starts_no_process_once_it_is_ready(
    start: Callable[..., Process],
) -> None:
    """Its worker has loaded neither torch nor a database nor a stage, and the only forks made it and its sidecar."""
    gateway = start().ready()
    with gateway.client() as client:
        for _ in range(20):
            client.infer(MODEL, [[50, 15, 0.1]])
        with pytest.raises(Refused):
            gateway.infer(key="hf_" + "B" * 43)
    gateway.publish(gateway.world.table(gateway.world.release(tiny_model(bias=5.0))))
    eventually(lambda: gateway.infer().release not in gateway.release.digest)
    (gateway.folder / "modules.txt").unlink()
    eventually((gateway.folder / "modules.txt").exists)
    modules = set((gateway.folder / "modules.txt").read_text().split())
    assert {"onnxruntime", "uvicorn", "holdfast.serve.gateway"} <= modules
    assert not modules & {*FORBIDDEN, *ABSENT}
    started = (gateway.folder / "processes.log").read_text().splitlines()
    assert started == [f"{gateway.process.pid} os.fork"] * 2


@pytest.mark.requirement("SERV-01")
def test_a_client_gets_answers_and_clear_refusals_over_http(start: Callable[..., Process]) -> None:
    """The SDK asks, the gateway answers; each refusal is an error of its own with the gateway's words."""
    gateway = start().ready()
    with gateway.client() as client:
        assert client.ready()
        answer = client.infer(MODEL, [[50, 15, 0.1], [1, 1, -1]], correlation="order-4711")
        assert answer.labels == ("malignant", "benign")
        assert answer.probabilities == ((0.35, 0.65), (0.95, 0.05))
        assert answer.correlation == "order-4711"
        assert gateway.release.digest.removeprefix("sha256:").startswith(answer.release)
        assert client.infer(MODEL, [[120, 15, 0.1]]).flags == ("out-of-range",)
        assert client.metadata(MODEL)["parameters"]["classes"] == ["benign", "malignant"]
        with pytest.raises(InvalidRequest, match=r"must have shape \[n, 3\]"):
            client.infer(MODEL, [[1.0]])
        with pytest.raises(Refused, match="may not ask this of this model"):
            client.infer("another", [[50, 15, 0.1]])
    for key in ("", "hf_" + "B" * 43):
        with pytest.raises(Refused, match="a valid API key, token or certificate is required"):
            gateway.infer(key=key)


@pytest.mark.requirement("SERV-01", by="holdfast.client.asynchronous:AsyncClient.infer")
def test_many_calls_at_once_are_answered_in_either_form(running: Process) -> None:
    """The asynchronous SDK over a few connections; as bytes and as JSON the answers are the same."""
    rows = [[50.0, 15.0, 0.1], [1.0, 1.0, -1.0]]

    async def ask(*, as_bytes: bool) -> list[Prediction]:
        async with AsyncClient(running.url, API_KEY, timeout_s=PATIENCE_S, connections=4, as_bytes=as_bytes) as client:
            assert await client.ready()
            assert (await client.metadata(MODEL))["name"] == MODEL
            with pytest.raises(InvalidRequest, match=r"must have shape \[n, 3\]"):
                await client.infer(MODEL, [[1.0]])
            return await asyncio.gather(*(client.infer(MODEL, rows) for _ in range(20)))

    found = {
        (answer.labels, answer.probabilities) for form in (True, False) for answer in asyncio.run(ask(as_bytes=form))
    }
    assert found == {(("malignant", "benign"), ((0.35, 0.65), (0.95, 0.05)))}


def test_a_newly_published_release_takes_over_without_a_failed_call(start: Callable[..., Process]) -> None:
    """Calls go on while the table is replaced: each is answered, the last ones by the new release."""
    gateway = start().ready()
    other = gateway.world.release(tiny_model(bias=5.0))
    new = other.digest.removeprefix("sha256:")
    seen: list[str] = []

    def call() -> bool:
        seen.append(client.infer(MODEL, [[50, 15, 0.1]]).release)
        return new.startswith(seen[-1])

    with gateway.client() as client:
        assert not call()
        gateway.publish(gateway.world.table(other))
        eventually(call)
    assert len(set(seen)) == 2


def test_a_gateway_whose_published_folder_is_deleted_goes_on_and_says_so(start: Callable[..., Process]) -> None:
    """The control plane's disk is gone: the gateway answers from its last valid state, marked stale."""
    gateway = start().ready()
    gateway.world.published.remove(gateway.folder / "published")
    with gateway.client() as client:
        eventually(lambda: client.infer(MODEL, [[50, 15, 0.1]]).stale)


def test_a_gateway_that_has_nothing_to_serve_answers_that_it_is_not_ready(start: Callable[..., Process]) -> None:
    """It listens, is live, is not ready, says nothing on standard output, and becomes ready when something comes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gateway = start(port=port)
    folder = gateway.folder / "published"
    folder.rename(gateway.folder / "elsewhere")  # before the worker has come so far
    gateway.url = f"http://127.0.0.1:{port}"

    def live() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/v2/health/live")
            return connection.getresponse().status == 200
        except ConnectionRefusedError:
            return False
        finally:
            connection.close()

    eventually(live)
    with gateway.client() as client:
        assert not client.ready()
        assert not (gateway.folder / "ready.json").exists()
        (gateway.folder / "elsewhere").rename(folder)
        gateway.ready()
        assert client.ready()


def exchange(gateway: Process, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Send bytes as they are, and return everything that comes back until the gateway closes."""
    with socket.create_connection(gateway.address, timeout=PATIENCE_S) as connection:
        received = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause_s)
            while more := connection.recv(65536):
                received += more
        except ConnectionError:
            pass  # it closed on us while we were still sending
        return received


HEAD = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n".encode()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n\x00\x00\x00\x00",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: 10\r\nContent-Length: 20\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"X" * 5000 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_the_gateway_lives(running: Process, garbage: bytes) -> None:
    """A clear 400 without a word of the parser's, or a closed connection; the next call is answered."""
    received = exchange(running, garbage)
    assert received == b"" or received.startswith(b"HTTP/1.1 4"), received
    assert b"httptools" not in received.lower()
    assert running.infer().labels == ("malignant",)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A gateway that many tests attack; it must live through all of them."""
    process = Process(tmp_path_factory.mktemp("gateway"), max_looks=0).ready()
    yield process
    assert process.end() == 0


def test_a_ten_megabyte_body_is_refused_with_its_reason(running: Process) -> None:
    """It is not kept in memory, and its sender gets to read why."""
    received = exchange(running, HEAD + b"Content-Length: 10485760\r\n\r\n", *[b" " * 65536] * 160)
    assert received.startswith(b"HTTP/1.1 413")
    assert received.endswith(b'{"error":"the request is too large"}')
    assert b"connection: close" in received


def test_a_body_without_end_is_cut_off(running: Process) -> None:
    """Chunks that never stop: the connection is closed after a bounded number of bytes."""
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    received = exchange(running, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 400)
    assert b"HTTP/1.1 200" not in received


def test_headers_without_end_are_cut_off(running: Process) -> None:
    """One header of a gigabyte, or a million headers: the connection is closed long before."""
    for flood in ([b"X-Padding: " + b"a" * 65536] + [b"a" * 65536] * 100, [b"X-Padding: a\r\n" * 4096] * 100):
        assert b"HTTP/1.1 200" not in exchange(running, HEAD, *flood)


@pytest.mark.parametrize("begun", [b"", b"POST", HEAD, HEAD + b"X-Slow: "])
def test_a_client_that_never_finishes_its_head_is_cut_off(running: Process, begun: bytes) -> None:
    """A connection that says nothing, or half a request, is closed after some seconds and holds nothing."""
    assert exchange(running, begun) == b""


def test_slow_clients_keep_nobody_waiting(running: Process) -> None:
    """A hundred connections that drip are open at once, and a good call is answered in between."""
    slow = [socket.create_connection(running.address, timeout=PATIENCE_S) for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(HEAD)
        assert running.infer().labels == ("malignant",)
    finally:
        for connection in slow:
            connection.close()


def test_pipelined_and_repeated_requests_on_one_connection_are_each_answered(running: Process) -> None:
    """Three requests in one packet get three answers in order, and the server does not name itself."""
    one = HEAD + f"Content-Length: {len(ROW)}\r\n\r\n".encode() + ROW
    last = one.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n")
    received = exchange(running, one + one + last)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert b"server:" not in received.lower()


def test_what_a_proxy_header_says_is_not_believed(running: Process) -> None:
    """A caller cannot give itself another address: X-Forwarded-For makes it a caller from afar, nothing else."""
    connection = http.client.HTTPConnection(*running.address, timeout=PATIENCE_S)
    connection.request("GET", "/metrics", headers={"X-Forwarded-For": "127.0.0.1"})
    assert connection.getresponse().status == 404
    connection.close()


def test_a_worker_that_is_killed_is_replaced(start: Callable[..., Process]) -> None:
    """SIGKILL hits the worker: another one loads, verifies and answers, on the same port."""
    gateway = start().ready()
    before = gateway.worker()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: gateway.worker() not in {0, before})
    eventually(lambda: _ready(gateway))
    assert gateway.infer().labels == ("malignant",)


def test_workers_end_when_their_supervisor_is_killed(start: Callable[..., Process]) -> None:
    """No orphan goes on answering with nobody to stop it."""
    gateway = start().ready()
    worker = gateway.worker()
    gateway.process.kill()
    eventually(lambda: not _alive(worker))


def _ready(gateway: Process) -> bool:
    with gateway.client() as client:
        return client.ready()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_several_workers_share_one_port_and_one_chain_of_records(start: Callable[..., Process]) -> None:
    """Two workers answer on new connections; their statements form one chain that verifies."""
    gateway = start(workers=2).ready()
    assert gateway.said["workers"] == 2
    for _ in range(40):
        with gateway.client() as client:
            client.infer(MODEL, [[50, 15, 0.1]])
    assert gateway.end() == 0
    paths = sorted((gateway.folder / "home" / "spool").glob("telemetry-*.dsse.age"))
    now = datetime.now(UTC)
    told = [
        unseal(gateway.sealing.opened(path.read_bytes()), TELEMETRY, gateway.world.trust, at=now).value
        for path in paths
    ]
    assert [one.sequence for one in told] == list(range(len(told)))
    assert sum(one.body["requests"] for one in told if one.release) == 40


def test_a_signed_request_counts_once_on_all_workers_together(start: Callable[..., Process]) -> None:
    """Sent again on many connections, and again to the worker that took a killed one's place: answered once."""
    gateway = start(workers=2)
    fresh = GuardSpec(name="fresh-request", configuration={"window_s": 60})
    gateway.publish(gateway.world.table(gateway.release, guards=(*GUARDS[:2], fresh, *GUARDS[2:])))
    gateway.ready()

    def status(nonce: str, timestamp: str) -> int:
        signature = request_signature(API_KEY, method="POST", path=INFER, body=ROW, timestamp=timestamp, nonce=nonce)
        headers = {"Authorization": f"Bearer {API_KEY}", TIMESTAMP: timestamp, NONCE: nonce, SIGNATURE: signature}
        with closing(http.client.HTTPConnection(*gateway.address, timeout=PATIENCE_S)) as connection:
            connection.request("POST", INFER, body=ROW, headers=headers)
            return connection.getresponse().status

    eventually(lambda: status("Z" * 22, "0") == 403)  # the table with the guard is obeyed by now
    now = str(int(time.time()) + 1)  # not before the gateway began, to the second
    for number in range(5):
        assert Counter(status(f"{number:022}", now) for _ in range(12)) == {200: 1, 403: 11}
    before = gateway.worker()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: gateway.worker() != before)
    assert {status(f"{number:022}", now) for number in range(5) for _ in range(6)} == {403}
    assert Counter(status("N" * 22, now) for _ in range(12)) == {200: 1, 403: 11}


def test_it_ends_when_asked_and_leaves_its_records_on_disk(start: Callable[..., Process]) -> None:
    """SIGTERM: what is under way is finished, events and telemetry are written, the ready file is gone, exit code 0."""
    gateway = start().ready()
    with gateway.client() as client:
        client.infer(MODEL, [[50, 15, 0.1]])
    with pytest.raises(Refused):
        gateway.infer(key="hf_" + "B" * 43)
    assert gateway.end() == 0
    assert not (gateway.folder / "ready.json").exists()
    spool = gateway.folder / "home" / "spool"
    (events,) = spool.glob("events-0-*.jsonl")
    kinds = [event.kind for event in read_events(opened(events.read_bytes(), gateway.sealing.opened), Head())[0]]
    assert kinds == ["signature.verified", "model.loaded", "state.loaded", "refused.authenticated.HF241"]
    assert len(list(spool.glob("telemetry-*.dsse.age"))) == 2


def test_it_tells_at_once_when_asked(start: Callable[..., Process]) -> None:
    """SIGUSR1 to the gateway: its windows are on disk soon after, long before they were due."""
    gateway = start().ready()
    gateway.infer()
    gateway.process.send_signal(signal.SIGUSR1)
    spool = gateway.folder / "home" / "spool"
    eventually(lambda: list(spool.glob("telemetry-*.dsse.age")))


def test_security_events_are_on_disk_before_anybody_asks(start: Callable[..., Process]) -> None:
    """The gateway is killed the hard way right after an attack: what happened is on record nevertheless."""
    gateway = start().ready()
    with pytest.raises(Refused):
        gateway.infer(key="hf_" + "B" * 43)
    spool = gateway.folder / "home" / "spool"
    eventually(
        lambda: any(
            b"HF241" in opened(path.read_bytes(), gateway.sealing.opened) for path in spool.glob("events-0-*.jsonl")
        )
    )
    worker = gateway.worker()
    gateway.process.kill()
    os.kill(worker, signal.SIGKILL)


def test_a_replayed_table_is_refused_by_a_restarted_process(start: Callable[..., Process], tmp_path: Path) -> None:
    """The memory of the served epoch is a file: a new process over an older table does not answer."""
    gateway = start().ready()
    old = dict(gateway.world.published.documents)
    gateway.publish(gateway.world.table(gateway.world.release(tiny_model(bias=5.0))))
    eventually(lambda: json.loads((tmp_path / "home" / "state.json").read_text())["epoch"] == 2)
    gateway.end()
    gateway.world.published.documents = old
    gateway.sealing.publish(gateway.world.published, tmp_path / "published")
    source = Path(sys.modules["holdfast"].__file__ or "").parents[1]
    with (tmp_path / "again.log").open("wb") as errors:
        again = subprocess.Popen(
            gateway.process.args, stdout=subprocess.PIPE, stderr=errors, env={"PYTHONPATH": str(source)}
        )
    try:
        eventually(lambda: "is replayed" in (tmp_path / "again.log").read_text())
        assert not (tmp_path / "ready.json").exists()
    finally:
        again.terminate()
        again.communicate(timeout=PATIENCE_S)


def test_two_gateways_do_not_share_a_port_by_accident(start: Callable[..., Process]) -> None:
    """SO_REUSEPORT would let a second gateway take half of the calls: it is refused instead."""
    gateway = start().ready()
    with pytest.raises(Unavailable, match="cannot be bound"):
        probe(*gateway.address)


def test_many_clients_at_once_are_all_answered(start: Callable[..., Process]) -> None:
    """Eight threads, each with its own connection: every answer belongs to its own question."""
    gateway = start().ready()
    wrong: list[object] = []

    def ask(number: int) -> None:
        with gateway.client() as client:
            for turn in range(50):
                rows = [[50.0, 15.0, 0.1]] * (1 + number)
                answer = client.infer(MODEL, rows, correlation=f"{number}-{turn}")
                if len(answer.labels) != len(rows) or answer.correlation != f"{number}-{turn}":
                    wrong.append(answer)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_model_that_is_not_served_is_not_found_by_a_key_that_may_call_it(start: Callable[..., Process]) -> None:
    """The SDK tells a missing model from a missing right."""
    gateway = start().ready()
    both = gateway.world.credential(models=("another", MODEL))
    gateway.publish(gateway.world.table(gateway.release, credentials=(both,)))

    def missing() -> bool:
        try:
            gateway.infer("another")
        except NotFound:
            return True
        except Refused:
            return False
        raise AssertionError

    eventually(missing)
