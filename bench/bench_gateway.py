"""What guarding costs: the gateway with every guard on, beside the same server without guards, and a bare echo.

    python bench/bench_gateway.py [rounds]

Servers of one worker each, on the same uvicorn, one process each; a client process keeps a number of connections busy,
one request at a time on each (closed loop). Echo and inference are there twice: as ASGI applications, as anybody would
write them, and by the short way that the gateway itself answers by. All are measured in turn, round by round, on single
rows of 30 features for a gradient boosting of 100 trees. CPU time is the server's own, from the kernel, so it does not
depend on how fast the client is; requests per second do, and on a machine of two cores they share caches with it.

Aims (issue 5): at least 75 % of the throughput without guards, and 50 % of the bare echo.
"""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import msgspec

ROUNDS: Final = 7
SECONDS: Final = 1.5  # of one measurement
CONNECTIONS: Final = 16
FEATURES: Final = 30
MODES: Final = ("bare echo", "inference, no guards", "all guards", "echo, short way", "inference, short way")
"""The gateway answers calls that have arrived without ASGI (docs/adr/0273); the last two do so as well."""
LIMIT: Final = {"rate_per_s": 1_000_000.0, "burst": 1_000_000}  # a limit that is checked and never reached
CONTROLS: Final[dict[str, dict[str, Any]]] = {
    "within-size": {"max_bytes": 1 << 20},
    "clean-request": {},
    "authenticated": {},
    "within-rate": LIMIT,
    "valid-input": {"max_rows": 2000, "margin": 0.5},
    "within-quota": {"rows": 1_000_000_000},
    "coarse-output": {"decimals": 2},
}
"""Every guard that runs inline for a model that drives nothing and has no privacy budget."""


# ── the world that the guarded server is handed ─────────────────────────────────────────────────────────────────────


def model(trees: int = 100) -> tuple[bytes, list[list[float]]]:
    """Return a gradient boosting on the breast-cancer data as ONNX, and its rows."""
    import onnx
    from skl2onnx import to_onnx
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier

    rows, labels = load_breast_cancer(return_X_y=True)
    fitted = GradientBoostingClassifier(n_estimators=trees, random_state=0).fit(rows, labels)
    made = to_onnx(fitted, rows[:1].astype("float32"), options={"zipmap": False}, target_opset=17)
    names = {made.graph.input[0].name: "input", made.graph.output[0].name: "label"}
    names[made.graph.output[1].name] = "probabilities"
    for node in made.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for entry in (*made.graph.input, *made.graph.output):
        entry.name = names[entry.name]
    onnx.checker.check_model(made)
    return made.SerializeToString(), rows[:64].tolist()


def prepare(folder: Path, trees: int = 100) -> bytes:
    """Write a signed world for the guarded server, and return the body of the request that all are sent."""
    from holdfast.core.routes import GuardSpec
    from holdfast.core.schema import Field, Signature
    from holdfast.testing.world import CREDENTIAL_KEY, World

    document, rows = model(trees)
    columns = list(zip(*rows, strict=True))
    inputs = tuple(
        Field(name=f"feature_{number}", minimum=min(column), maximum=max(column) * 2 + 1)
        for number, column in enumerate(columns)
    )
    world = World(datetime.now(UTC))
    release = world.release(document, signature=Signature(inputs=inputs, classes=("malignant", "benign")))
    guards = tuple(GuardSpec(name=name, configuration=settings) for name, settings in CONTROLS.items())
    world.publish(world.table(release, guards=guards))
    publish(world.published, folder)
    (folder / "root.json").write_bytes(msgspec.json.encode(world.root))
    (folder / "credential.key").write_bytes(CREDENTIAL_KEY)
    (folder / "credential.key").chmod(0o600)
    (folder / "model.onnx").write_bytes(document)
    tensor = {"name": "input", "shape": [1, FEATURES], "datatype": "FP64", "data": rows[0]}
    return json.dumps({"inputs": [tensor]}).encode()


def publish(published: Any, folder: Path) -> None:
    """Encrypt what is published for the gateway, as a control plane does."""
    from holdfast.adapters.clock import SystemClock
    from holdfast.adapters.opener import make_opener
    from holdfast.adapters.records import RECORDS_KEY, keep_recipient
    from holdfast.adapters.sealed_blobs import Windows
    from holdfast.adapters.shelf import ShelfFolder
    from holdfast.adapters.shelf_key import ShelfKey
    from holdfast.adapters.unlock import create_unlock_file
    from holdfast.adapters.vault import create_vault

    home, clock = folder / "home", SystemClock()
    home.mkdir()
    vault = create_vault(folder / "vault", create_unlock_file(folder / "vault.unlock", outside=home))
    opener = make_opener(home, folder / "secrets", outside=home)
    keep_recipient(home / "records.json", vault.recipient(RECORDS_KEY, clock.now()))
    key = ShelfKey(vault=vault, path=folder / "shelf.json", recipients=lambda: (opener.recipient(),), clock=clock)
    shelf = ShelfFolder(folder=folder / "published", key=key, windows=Windows(folder / "windows"))
    shelf.put({})
    published.write(folder / "published", shelf.blobs.put)


# ── servers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def serve(mode: str, folder: Path) -> None:
    """Be one of the servers, and say on standard output where it listens."""
    from holdfast.adapters import http_server
    from holdfast.adapters.supervisor import bind

    listening = bind("127.0.0.1", 0)

    def started() -> None:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()

    if mode == MODES[2]:
        guarded(folder, listening, started)
    else:
        answer = bytes if mode in {MODES[0], MODES[3]} else inference(folder)
        short = Short(answer) if mode in MODES[3:] else None
        http_server.run(by_asgi(answer), listening, on_started=started, on_malformed=lambda _: None, direct=short)


class Said(msgspec.Struct, frozen=True, gc=False):
    """An answer, ready to be sent."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def said(body: bytes) -> Said:
    return Said(200, ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())), body)


def by_asgi(answer: Callable[[bytes], bytes]) -> Any:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        found = said(answer((await receive())["body"]))
        await send({"type": "http.response.start", "status": found.status, "headers": found.headers})
        await send({"type": "http.response.body", "body": found.body})

    return app


class Short:
    """Answers calls that have arrived, as the gateway does, whoever else waits."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer

    def now(self, _asked: Any, body: bytes, _peer: str, _certificate: bytes) -> Said:
        """Answer now."""
        return said(self._answer(body))

    def together(self, calls: Any) -> list[Said]:
        """Answer each."""
        return [said(self._answer(body)) for _, body, _, _ in calls]

    def later(self, _asked: Any, _body: bytes, _peer: str, _certificate: bytes) -> Any:
        """Nobody waits here."""
        raise NotImplementedError


def inference(folder: Path) -> Callable[[bytes], bytes]:
    """Decode, run the model, encode: everything that an answer needs, and nothing that protects it."""
    import numpy as np

    from holdfast.adapters.runtime import OnnxRuntime
    from holdfast.core.guard import Answer
    from holdfast.core.schema import Signature
    from holdfast.serve.encoding import encode_infer
    from holdfast.serve.protocol import decode_infer

    loaded = OnnxRuntime().load((folder / "model.onnx").read_bytes(), features=FEATURES, classes=2)
    signature = Signature(inputs=(), classes=("malignant", "benign"))

    def answer(body: bytes) -> bytes:
        tensor = decode_infer(body).inputs[0]
        labels, probabilities = loaded.run(np.array(tensor.data, dtype=np.float32).reshape(tensor.shape))
        found = Answer(labels=labels, probabilities=probabilities)
        return encode_infer(found, signature, model="tiny", version="1", request_id="", outputs=())[0]

    return answer


def guarded(folder: Path, listening: socket.socket, started: Callable[[], None]) -> None:
    """The gateway's own worker, with its watcher and its recorder."""
    from holdfast.adapters.opener import Opener
    from holdfast.adapters.posts import Post
    from holdfast.edge import EdgeConfig, Worker
    from holdfast.edge.shared import Shared
    from holdfast.testing.memory import MemorySigner
    from holdfast.testing.world import World

    begin = World(datetime.now(UTC)).signers["gateway"].public.not_before
    config = EdgeConfig(
        published=folder / "published",
        home=folder / "home",
        root=folder / "root.json",
        credential_key=folder / "credential.key",
        identity=lambda: MemorySigner("gateway", owner="gateway", start=begin),
        opener=lambda: Opener(folder / "home", folder / "secrets"),
        records=folder / "home" / "records.json",
        telemetry_every_s=1.0,
    )
    Worker(config=config, number=0, shared=Shared.of(config), say_ready=started).run(Post.alone(listening))


# ── the client ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Caller(asyncio.Protocol):
    """One connection that always has one request under way; answers to equal requests are of equal length."""

    def __init__(self, request: bytes, length: int, times: list[float]) -> None:
        self._request, self._length, self._times = request, length, times
        self._missing, self._sent = length, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class derives from nothing
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Send the next request once the answer is whole."""
        self._missing -= len(data)
        if self._missing == 0:
            self._times.append(time.perf_counter() - self._sent)
            self._missing = self._length
            self._send()


def call(port: int, request: bytes) -> int:
    """Make one call, check that it is answered, and return the length of the answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        while len(body) < length:
            body += connection.recv(65536)
        return len(head) + 4 + length


def client(port: int, request_file: Path) -> None:
    """Keep a server busy for a while; print how long each call took, in microseconds."""
    import uvloop

    request = request_file.read_bytes()
    length, times = call(port, request), list[float]()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Caller(request, length, times), "127.0.0.1", port)
        await asyncio.sleep(SECONDS)

    uvloop.run(run())
    times.sort()
    found = {"calls": len(times), "p50": times[len(times) // 2] * 1e6, "p99": times[len(times) * 99 // 100] * 1e6}
    sys.stdout.write(json.dumps(found))


# ── measuring ───────────────────────────────────────────────────────────────────────────────────────────────────────


def cpu_s(pid: int) -> float:
    """Return the CPU seconds a process has used, its threads and its time in the kernel included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def held_mb(pid: int) -> float:
    """Return the memory that a process holds, shared pages by their share (PSS), in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1000


def measure(process: subprocess.Popen[str], port: int, request_file: Path) -> dict[str, float]:
    """Return what one server did while it was kept busy."""
    before = cpu_s(process.pid)
    command = [sys.executable, __file__, "client", str(port), str(request_file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    used = cpu_s(process.pid) - before
    return found | {"cpu": used / found["calls"] * 1e6, "rate": found["calls"] / SECONDS}


def shown(values: list[float]) -> str:
    """Return a median with its quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:9.1f} [{low:.1f}, {high:.1f}]"


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = prepare(folder)
        from holdfast.testing.world import API_KEY, INFER

        head = f"POST {INFER} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {API_KEY}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        request_file = folder / "request"
        request_file.write_bytes(head.encode() + body)
        processes, ports, ready = [], [], []
        for mode in MODES:
            begun = time.perf_counter()
            command = [sys.executable, __file__, "server", mode, str(folder)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            ports.append(int(process.stdout.readline()))
            ready.append(time.perf_counter() - begun)
            processes.append(process)
        try:
            results: list[list[dict[str, float]]] = [[] for _ in MODES]
            for _ in range(rounds + 1):  # the first round warms up and is not counted
                for found, process, port in zip(results, processes, ports, strict=True):
                    found.append(measure(process, port, request_file))
            report([found[1:] for found in results])
            print(f"\nguarded worker: {held_mb(processes[2].pid):.0f} MB (PSS), ready in {ready[2]:.2f} s")
        finally:
            for process in processes:
                process.terminate()
                process.communicate()


def report(results: list[list[dict[str, float]]]) -> None:
    print(f"{'':22}{'CPU µs/request':>26}{'requests/s':>28}{'p50 µs':>10}{'p99 µs':>10}")
    for mode, found in zip(MODES, results, strict=True):
        cpu, rate = shown([one["cpu"] for one in found]), shown([one["rate"] for one in found])
        p50, p99 = (statistics.median(one[name] for one in found) for name in ("p50", "p99"))
        print(f"{mode:22}{cpu:>26}{rate:>28}{p50:>10.0f}{p99:>10.0f}")
    guarded_rounds = results[2]
    print()
    for other, aim in ((1, 0.75), (4, 0.75), (0, 0.50), (3, 0.50)):
        for name, of, better in (("rate", "throughput", 1), ("cpu", "requests per CPU second", -1)):
            ratios = [
                (mine[name] / theirs[name]) ** better
                for mine, theirs in zip(guarded_rounds, results[other], strict=True)
            ]
            print(f"all guards against {MODES[other]}, {of}: {shown([100 * r for r in ratios])} % (aim {aim:.0%})")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["server", mode, folder]:
            serve(mode, Path(folder))
        case ["client", port, request_file]:
            client(int(port), Path(request_file))
        case arguments:
            main(int(arguments[0]) if arguments else ROUNDS)
