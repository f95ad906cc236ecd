"""Our gateway with every guard on beside servers of models without any: requests per second of the processor.

    scripts/venv .venv-serving locks/peers-serving.txt
    scripts/venv .venv-inference locks/peers-inference.txt
    scripts/venv .venv-mlflow locks/peers-mlflow.txt
    python bench/bench_servers.py [rounds]

The gateway of `bench_gateway.py`, and beside it FastAPI, MLServer, `mlflow models serve` and BentoML
(`peer_servers.py`), each in its own environment, with one worker and without authentication, limits, checks or records:
with the same model in ONNX Runtime with one thread, the leanest that each can be, and, but for FastAPI, as its own
tutorial serves a model of scikit-learn. A peer whose environment is absent is left out. One row of 30 features as JSON,
16 connections that always have a request under way; all are measured in turn, round by round. Processor time is the
server's own with all its processes, from the kernel.

Aims (issue 5): 3 times FastAPI with ONNX Runtime, 10 times MLServer, 20 times mlflow, 30 times BentoML.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import bench_gateway, peer_servers
from bench.bench_protocol import free
from bench.workplace import processor

ROUNDS: Final = 5
READY_WITHIN_S: Final = 120.0
ROOT: Final = Path(__file__).resolve().parents[1]
OURS: Final = "Holdfast, all guards"
ITS_OWN: Final = "its scikit-learn"


@dataclass(slots=True)
class Server:
    """A server that runs, and what was measured of it."""

    name: str
    pid: int
    port: int
    request: Path
    aim: int = 1
    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Peer:
    """A server of models by others: how it is started, and what it is asked."""

    name: str
    aim: int
    """How many times its calls per second of the processor ours are to be."""
    command: list[str]
    cwd: Path
    path: str
    asked: dict[str, Any]
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    """The port that its configuration names; zero takes a free one."""


def environment(name: str) -> Path | None:
    """Return the programs of a peer's environment, if somebody has made it."""
    found = ROOT / name / "bin"
    return found if found.is_dir() else None


def peers(folder: Path, row: list[float]) -> Iterator[Peer]:
    """Yield each peer that is here, the lean way and as its tutorial shows it."""
    infer, tensor = "/v2/models/tiny/infer", {"name": "input", "shape": [1, len(row)], "datatype": "FP64", "data": row}
    own = str(ROOT / "bench" / "peer_servers.py")
    peer_servers.write(folder)
    if programs := environment(".venv-serving"):
        command = [str(programs / "python"), own, "fastapi", str(folder), "{port}"]
        yield Peer("FastAPI", 3, command, folder, infer, {"inputs": [tensor]})
        command = [str(programs / "bentoml"), "serve", "service:Boosting", "--port", "{port}", "--host", "127.0.0.1"]
        quiet = {"BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": str(folder / "bento")}
        yield Peer("BentoML", 30, command, folder / "service", "/predict", {"rows": [row]}, quiet)
        tutorial = fitted(programs, folder / "bentoml")
        yield Peer(f"BentoML, {ITS_OWN}", 30, command, tutorial, "/predict", {"rows": [row]}, quiet)
    if programs := environment(".venv-inference"):
        asked = {"inputs": [tensor]}
        # Its process for inference costs it more, and MLServer 1.7 does not start it under the newest uvloop.
        lean = {"host": "127.0.0.1", "debug": False, "parallel_workers": 0}
        for name, place in (
            ("MLServer", folder / "boosting"),
            (f"MLServer, {ITS_OWN}", fitted(programs, folder / "mlserver")),
        ):
            ports = {"http_port": free(), "grpc_port": free(), "metrics_port": free()}
            (place / "settings.json").write_text(json.dumps(lean | ports))
            command = [str(programs / "mlserver"), "start", str(place)]
            yield Peer(name, 10, command, place, infer, asked, port=ports["http_port"])
    if programs := environment(".venv-mlflow"):
        quiet = {"PATH": f"{programs}:{os.environ['PATH']}", "MLFLOW_TRACKING_URI": str(folder / "runs")}
        fitted(programs, folder / "mlflow")
        save = [str(programs / "python"), own, "mlflow", str(folder)]
        subprocess.run(save, env=os.environ | quiet, check=True, capture_output=True, cwd=folder)
        for name, saved in (("mlflow", "saved"), (f"mlflow, {ITS_OWN}", "saved-sklearn")):
            command = [str(programs / "mlflow"), "models", "serve", "-m", str(folder / saved), "-p", "{port}"]
            command += ["--env-manager", "local", "--workers", "1"]
            yield Peer(name, 20, command, folder, "/invocations", {"inputs": [row]}, quiet)


def fitted(programs: Path, folder: Path) -> Path:
    """Fit the model in a peer's environment, and return the folder with what serves it there."""
    command = [str(programs / "python"), str(ROOT / "bench" / "peer_servers.py"), "fit", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@contextmanager
def running(folder: Path, peer: Peer) -> Iterator[tuple[int, int]]:
    """Run a server until the block ends; yield its process and its port."""
    port = peer.port or free()
    command = [each.format(port=port) for each in peer.command]
    with (folder / f"{peer.name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=peer.cwd, env=os.environ | peer.settings, stdout=log, stderr=log)
    try:
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def ready(server: Server, path: str, body: bytes) -> Any:
    """Wait until a server answers, and return its answer."""
    begun = time.monotonic()
    while time.monotonic() - begun < READY_WITHIN_S:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status == 200:
                found: dict[str, Any] = json.loads(response.read())
                return found
        except OSError:
            pass
        time.sleep(0.3)
    raise SystemExit(f"{server.name} did not become ready")


def measure(server: Server) -> None:
    """Keep a server busy for a while, and keep what it did."""
    before = processor(server.pid)
    command = [sys.executable, bench_gateway.__file__, "client", str(server.port), str(server.request)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found = json.loads(done.stdout)
    server.cpu.append((processor(server.pid) - before) / found["calls"] * 1e6)
    server.rate.append(found["calls"] / bench_gateway.SECONDS)
    server.p99.append(found["p99"] / 1000)


def main(rounds: int) -> None:
    """Measure in turn, and print."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        body = bench_gateway.prepare(folder)
        from holdfast.testing.world import API_KEY, INFER

        servers = []
        command = [sys.executable, bench_gateway.__file__, "server", bench_gateway.MODES[2], str(folder)]
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(process.terminate)
        assert process.stdout is not None
        head = f"POST {INFER} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {API_KEY}\r\n"
        servers.append(Server(OURS, process.pid, int(process.stdout.readline()), written(folder / OURS, head, body)))
        row = json.loads(body)["inputs"][0]["data"]
        for peer in peers(folder, row):
            pid, port = stack.enter_context(running(folder, peer))
            asked = json.dumps(peer.asked).encode()
            request = written(folder / f"{peer.name}.request", f"POST {peer.path} HTTP/1.1\r\nHost: peer\r\n", asked)
            servers.append(Server(peer.name, pid, port, request, peer.aim))
            assert "malignant" in json.dumps(ready(servers[-1], peer.path, asked))  # as ours says of this row
        for _ in range(rounds + 1):  # the first round warms up and is not counted
            for server in servers:
                measure(server)
        report(servers)


def written(path: Path, head: str, body: bytes) -> Path:
    """Write a whole request to a file, and return it."""
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    path.write_bytes(head.encode() + body)
    return path


def report(servers: list[Server]) -> None:
    """Print each server, and how many times its requests per second of the processor ours are."""
    ours = servers[0]
    for server in servers:
        cpu, rate = bench_gateway.shown(server.cpu[1:]), bench_gateway.shown(server.rate[1:])
        print(f"{server.name:26}{cpu:>30} CPU µs{rate:>30}/s   p99 {statistics.median(server.p99[1:]):6.1f} ms")
    for server in servers[1:]:
        times = [theirs / mine for theirs, mine in zip(server.cpu[1:], ours.cpu[1:], strict=True)]
        print(f"ours against {server.name:26}{bench_gateway.shown(times)} times (aim {server.aim})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
