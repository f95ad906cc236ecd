"""What each form of a request costs the server: JSON, tensors as bytes, gRPC; one row and a thousand of 30 features.

    python bench/bench_protocol.py [rounds]

Ours is the gateway's own worker with guards, limits, records and a gradient boosting of 100 trees. The peer is MLServer
(one process of `.venv-inference`, left out where that is absent) with a runtime that decodes rows and answers a
constant: it has no model, no authentication and no checks. One client asks one call after the other over a kept
connection. CPU time is the server's own, all its threads, from the kernel; forms are measured in turn, by rounds.
"""

import http.client
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import bench_gateway as base

ROUNDS: Final = 5
ROWS: Final = (1, 1000)
CALLS: Final = {1: 1000, 1000: 100}
PEER: Final = Path(__file__).parents[1] / ".venv-inference" / "bin"
READY_WITHIN_S: Final = 60.0
PEER_RUNTIME: Final = """
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceResponse

class Constant(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0])
        made = [StringCodec.encode_output("label", ["benign"] * len(rows))]
        made.append(NumpyCodec.encode_output("probabilities", np.full((len(rows), 2), 0.5)))
        return InferenceResponse(model_name=self.name, outputs=made)
"""


def prepare(folder: Path) -> list[list[float]]:
    """Write a signed world that lets a thousand rows pass, and return rows."""
    from datetime import UTC, datetime

    from holdfast.core.routes import GuardSpec
    from holdfast.core.schema import Field, Signature
    from holdfast.testing.world import CREDENTIAL_KEY, World

    document, rows = base.model()
    columns = list(zip(*rows, strict=True))
    inputs = tuple(
        Field(name=f"feature_{number}", minimum=min(column), maximum=max(column) * 2 + 1)
        for number, column in enumerate(columns)
    )
    world = World(datetime.now(UTC))
    release = world.release(document, signature=Signature(inputs=inputs, classes=("malignant", "benign")))
    guards = (
        GuardSpec(name="within-size", configuration={"max_bytes": 4 << 20}),
        GuardSpec(name="authenticated"),
        GuardSpec(name="within-rate", configuration={"rate_per_s": 1e6, "burst": 1_000_000}),
        GuardSpec(name="valid-input", configuration={"max_rows": 1000}),
        GuardSpec(name="coarse-output", configuration={"decimals": 2}),
    )
    world.publish(world.table(release, guards=guards))
    base.publish(world.published, folder)
    (folder / "root.json").write_bytes(msgspec.json.encode(world.root))
    (folder / "credential.key").write_bytes(CREDENTIAL_KEY)
    (folder / "credential.key").chmod(0o600)
    return rows


def serve(protocol: str, folder: Path) -> None:
    """Be one of our two workers."""
    from datetime import UTC, datetime

    from holdfast.adapters.opener import Opener
    from holdfast.adapters.posts import Post
    from holdfast.adapters.supervisor import bind
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
    )
    listening = bind("127.0.0.1", 0)

    def ready() -> None:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()

    number = int(protocol == "grpc")
    shared = Shared.of(config)
    Worker(config=config, number=number, shared=shared, say_ready=ready, grpc=bool(number)).run(Post.alone(listening))


@contextmanager
def ours(protocol: str, folder: Path) -> Iterator[tuple[int, int]]:
    """A worker of ours: its process id and its port."""
    command = [sys.executable, __file__, "--serve", protocol, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.terminate()


@contextmanager
def peer(folder: Path) -> Iterator[tuple[int, int, int]]:
    """MLServer: its process id, its HTTP port and its gRPC port."""
    place = folder / "peer"
    place.mkdir()
    ports = [free() for _ in range(3)]
    names = ("http_port", "grpc_port", "metrics_port")
    settings = dict(zip(names, ports, strict=True)) | {"parallel_workers": 0, "host": "127.0.0.1"}
    (place / "settings.json").write_text(json.dumps(settings))
    (place / "constant.py").write_text(PEER_RUNTIME)
    (place / "model-settings.json").write_text(json.dumps({"name": "tiny", "implementation": "constant.Constant"}))
    with subprocess.Popen(
        [PEER / "mlserver", "start", str(place)], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait(ports[0])
            yield process.pid, ports[0], ports[1]
        finally:
            process.terminate()


def free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait(port: int) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < READY_WITHIN_S:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/v2/models/tiny/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("the peer did not become ready")


# ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────────

Ask = Callable[[], None]


def over_http(port: int, rows: list[list[float]], *, as_bytes: bool) -> Ask:
    """Ask over HTTP, rows and answer as JSON or as bytes."""
    from holdfast.testing.world import API_KEY

    flat = [value for row in rows for value in row]
    tensor: dict[str, Any] = {"name": "input", "shape": [len(rows), base.FEATURES], "datatype": "FP64"}
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    document: dict[str, Any] = {"inputs": [tensor]}
    tail = b""
    if as_bytes:
        tail = struct.pack(f"<{len(flat)}d", *flat)
        tensor["parameters"] = {"binary_data_size": len(tail)}
        document["parameters"] = {"binary_data_output": True}
        headers["Content-Type"] = "application/octet-stream"
    else:
        tensor["data"] = flat
    head = json.dumps(document).encode()
    headers |= {"Inference-Header-Content-Length": str(len(head))} if as_bytes else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask() -> None:
        connection.request("POST", "/v2/models/tiny/infer", head + tail, headers)
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content

    return ask


def over_grpc(port: int, rows: list[list[float]]) -> Ask:
    """Ask over gRPC, rows and answer as bytes."""
    import grpc

    from holdfast.serve.grpc_messages import SERVICE, message
    from holdfast.testing.world import API_KEY

    made = message("ModelInferRequest")(model_name="tiny")
    made.inputs.add(name="input", datatype="FP64", shape=[len(rows), base.FEATURES])
    flat = [value for row in rows for value in row]
    made.raw_input_contents.append(struct.pack(f"<{len(flat)}d", *flat))
    data = made.SerializeToString()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    method, metadata = channel.unary_unary(f"/{SERVICE}/ModelInfer"), (("authorization", f"Bearer {API_KEY}"),)

    def ask() -> None:
        assert message("ModelInferResponse").FromString(method(data, metadata=metadata, timeout=60)).outputs

    return ask


def cpu_us(pid: int, ask: Ask, calls: int) -> float:
    """Return the server's CPU time for a call, in microseconds."""
    before = base.cpu_s(pid)
    for _ in range(calls):
        ask()
    return (base.cpu_s(pid) - before) / calls * 1e6


def main(rounds: int) -> None:
    """Measure every form in turn, and print medians with the spread."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        rows = prepare(folder)
        many = {count: [rows[number % len(rows)] for number in range(count)] for count in ROWS}
        http_pid, http_port = stack.enter_context(ours("http", folder))
        grpc_pid, grpc_port = stack.enter_context(ours("grpc", folder))
        forms: dict[str, tuple[int, Callable[[list[list[float]]], Ask]]] = {
            "ours, HTTP, JSON": (http_pid, lambda given: over_http(http_port, given, as_bytes=False)),
            "ours, HTTP, bytes": (http_pid, lambda given: over_http(http_port, given, as_bytes=True)),
            "ours, gRPC": (grpc_pid, lambda given: over_grpc(grpc_port, given)),
        }
        if (PEER / "mlserver").exists():
            pid, peer_http, peer_grpc = stack.enter_context(peer(folder))
            forms["MLServer, HTTP, JSON"] = (pid, lambda given: over_http(peer_http, given, as_bytes=False))
            forms["MLServer, gRPC"] = (pid, lambda given: over_grpc(peer_grpc, given))
        for count in ROWS:
            asks = {name: (pid, make(many[count])) for name, (pid, make) in forms.items()}
            found: dict[str, list[float]] = {name: [] for name in asks}
            for _, ask in asks.values():
                ask()
            for _ in range(rounds):
                for name, (pid, ask) in asks.items():
                    found[name].append(cpu_us(pid, ask, CALLS[count]))
            print(f"{count} rows, CPU µs of the server for a call: median (least to greatest)")
            for name, values in found.items():
                print(f"  {name:22} {statistics.median(values):9.0f} ({min(values):.0f} to {max(values):.0f})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], Path(sys.argv[3]))
    else:
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
