"""Clients of others, unmodified, against a running gateway: tritonclient, MLServer's and KServe's, over HTTP and gRPC.

Each lives in an environment of its own and runs in a process of its own: two of them cannot share one.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.conftest import ROOT, absent
from tests.scenarios.test_gateway_process import Process

from holdfast.core.routes import GuardSpec
from holdfast.serve.refusals import UNAUTHENTICATED
from holdfast.testing.world import API_KEY, GUARDS, MODEL

SCRIPTS: Final = Path(__file__).parent / "peers"
CLIENTS: Final = {"triton": ".venv-inference", "mlserver": ".venv-inference", "kserve": ".venv-kserve"}
LABELS: Final = ["malignant", "benign"]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A gateway that speaks both protocols."""
    running = Process(tmp_path_factory.mktemp("clients"), grpc_port=0)
    running.publish(running.world.table(running.release, guards=(GuardSpec(name="clean-request"), *GUARDS)))
    try:
        yield running.ready()
    finally:
        running.end()


@pytest.mark.requirement("SERV-01")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_of_others_gets_its_answers_and_errors(process: Process, client: str) -> None:
    """Inference in every form that it has, metadata, readiness, index and refusals, over both protocols."""
    python = ROOT / CLIENTS[client] / "bin" / "python"
    if not python.exists():
        absent(f"the environment of {client} ({CLIENTS[client]})", "`make services` makes it")
    address = process.url.removeprefix("http://")
    command = [
        str(python),
        "-W",
        "ignore",
        str(SCRIPTS / f"ask_{client}.py"),
        address,
        process.said["grpc"],
        API_KEY,
        MODEL,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    found: dict[str, dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
    expected = process.infer().probabilities[0]
    for protocol, said in found.items():
        for labels, probabilities in said["answers"]:
            assert (protocol, labels) == (protocol, LABELS)
            assert probabilities[0] == pytest.approx(expected)
        for name in ("live", "ready", "model_ready", "version_ready"):
            assert said.get(name, True) is True, (protocol, name)
        assert said.get("other_version_ready", False) is False
        assert said.get("index", [MODEL]) == [MODEL]
        assert (said.get("server", "holdfast"), said.get("model", MODEL)) == ("holdfast", MODEL)
        assert UNAUTHENTICATED.public in said.get("refused", UNAUTHENTICATED.public)
