"""How long `holdfast up` takes to be ready and what it holds, beside the MLflow server, and registering a version.

    python bench/bench_up.py [rounds]

Aims: ready within 3 s, at most 250 MB resident in all processes together. The MLflow server runs in an environment of
its own, `.venv-mlflow` (from locks/peers-mlflow.txt, or by `pip install mlflow`); without one it is left out. It is
ready when `/health` answers. A version is registered there by `POST …/model-versions/create` on a registered model; the
nearest thing here is `POST /v1/promote`, which also verifies all evidence, decides by policy and signs a route table,
and `POST /v1/ledger/checkpoint`, which signs and stores one statement.
"""

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.workplace import make_workspace, memory, processor, running

ROUNDS: Final = 5
CALLS: Final = 20
MLFLOW: Final = Path(".venv-mlflow/bin/mlflow").absolute()
PATIENCE_S: Final = 120.0


def ask(address: str, path: str, document: Any, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=60)
    method = "GET" if document is None else "POST"
    body = None if document is None else json.dumps(document)
    connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
    response = connection.getresponse()
    found = response.read()
    connection.close()
    return response.status, found


def timed(call: Callable[[], Any], count: int = CALLS) -> list[float]:
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - begun))
    return sorted(times)


def told(name: str, times: list[float]) -> None:
    print(f"{name:<52} median {statistics.median(times):8.1f} ms   slowest of {len(times)} {times[-1]:8.1f} ms")


def start(folder: Path, what: str) -> None:
    seconds, held, cpu = [], [], []
    for _ in range(ROUNDS):
        with running(folder, "--gateway-port", "0") as up:
            seconds.append(up.seconds)
            cpu.append(processor(up.pid))
            time.sleep(5.0)  # the other children have started by then too
            held.append(memory(up.pid))
    resident, proportional = (statistics.median(each) for each in zip(*held, strict=True))
    if cpu:
        print(f"holdfast up, {what}: {statistics.median(cpu):.2f} s of the processor until ready, all processes")
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    print(f"holdfast up, {what}: ready in {statistics.median(seconds):.2f} s (aim 3), {spread}")
    print(f"holdfast up, {what}: {resident:.0f} MB resident (aim 250), {proportional:.0f} with shared pages in parts")


def ours(folder: Path, key: str) -> None:
    with running(folder, "--no-gateway", "--job-workers", "0") as up:
        address = up.said["url"].partition("://")[2]
        known = {"Authorization": f"Bearer {key}"}

        def post(path: str, document: Any) -> None:
            status, body = ask(address, path, document, known)
            assert status == 200, body

        told("holdfast: sign and store a checkpoint", timed(lambda: post("/v1/ledger/checkpoint", {})))
        told("holdfast: verify, decide, sign and promote", timed(lambda: post("/v1/promote", {"reason": "Bench."})))


def mlflow(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    store = f"sqlite:///{folder}/mlflow.db"
    command = [str(MLFLOW), "server", "--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", store]
    command += ["--default-artifact-root", str(folder / "artifacts"), "--workers", "1"]
    seconds = []
    for number in range(3):  # the first start also makes its tables
        begun = time.perf_counter()
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            while True:
                try:
                    if ask(address, "/health", None)[0] == 200:
                        break
                except OSError:
                    time.sleep(0.02)
                if time.perf_counter() - begun > PATIENCE_S:
                    raise SystemExit("the MLflow server did not become ready")
            seconds.append(time.perf_counter() - begun)
            if number < 2:
                continue
            resident, proportional = memory(server.pid)
            print(f"mlflow server: ready in {seconds[0]:.2f} s at first, then {min(seconds[1:]):.2f} s")
            print(f"mlflow server: {resident:.0f} MB resident, {proportional:.0f} MB with shared pages in parts")
            base = "/api/2.0/mlflow"
            ask(address, f"{base}/registered-models/create", {"name": "bench"})

            def register(base: str = base) -> None:
                made = {"name": "bench", "source": "s3://bench/model"}
                status, body = ask(address, f"{base}/model-versions/create", made)
                assert status == 200, body

            told("mlflow: register a version (unsigned)", timed(register))
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def main() -> None:
    """Measure ours, then MLflow where it is installed."""
    global ROUNDS  # noqa: PLW0603 - one argument, read once
    ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as place:
        os.environ["HOLDFAST_UNLOCK_DIR"] = f"{place}/unlock"
        empty, folder = Path(place) / "empty", Path(place) / "project"
        for each in (empty, folder):
            each.mkdir()
        make_workspace(empty, promoted=False)
        start(empty, "nothing promoted")
        key = make_workspace(folder)
        start(folder, "a release served")
        ours(folder, key)
        if MLFLOW.exists():
            mlflow(Path(place))
        else:
            print(
                "mlflow server: left out, there is no .venv-mlflow (scripts/venv .venv-mlflow locks/peers-mlflow.txt)"
            )


if __name__ == "__main__":
    main()
