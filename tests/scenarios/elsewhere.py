"""What scenarios of gateways on other hosts share: a control plane that hands out, and gateways that enrol with it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from holdfast.adapters.clock import SystemClock
from holdfast.adapters.gateway_folder import request_enrolment
from holdfast.adapters.peer import Peer
from holdfast.config import read_settings
from holdfast.core.gateways import full_name, identity_of
from holdfast.lifecycle.certificates import issue
from holdfast.lifecycle.gateways import enrol
from holdfast.lifecycle.plant import Plant

PATIENCE_S: Final = 60.0
SOURCE: Final = str(Path(sys.modules["holdfast"].__file__ or "").parents[1])


def present() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


def wait(until: Callable[[], object]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def surroundings() -> dict[str, str]:
    """What a child process finds: the source of this package before all else that is on the path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), SOURCE)))}


@contextmanager
def started(root: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """Start a command in a process of its own, yield what it says when it is ready, and end it."""
    name = f"{arguments[0]}-{os.urandom(4).hex()}"
    ready, log = root / f"{name}.json", root / f"{name}.log"
    command = [sys.executable, "-m", "holdfast", *arguments, "-C", str(root), "--port", "0", "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=surroundings())
    try:
        wait(lambda: ready.exists() or process.poll() is not None)
        assert ready.exists(), log.read_text()
        yield json.loads(ready.read_text()) | {"log": log}
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()


def plane_certificate(plant: Plant, *more: str) -> list[str]:
    """Issue the control plane's certificate; return the options that name it."""
    identity = identity_of(plant.trust.workspace, "control-plane")
    issue(plant, name="control-plane", san=",".join((identity, "127.0.0.1", *more)))
    folder = plant.home.workspace / "certificates" / "control-plane"
    return ["--tls-cert", str(folder / "control-plane.crt.pem"), "--tls-key", str(folder / "control-plane.key.pem")]


def new_gateway(root: Path, name: str) -> Path:
    """Make a gateway's keys in a host's folder; return its public file."""
    folder, unlock_dir = root / ".holdfast" / "gateway", read_settings().unlock_dir
    return request_enrolment(folder, full_name(name), SystemClock(), unlock_dir=unlock_dir)[0]


def enrolled(plant: Plant, root: Path, name: str) -> Path:
    """Enrol a new gateway, and put what it needs into its own folder, which is returned."""
    public = new_gateway(root, name)
    out = root / "from-the-operator"
    enrol(plant, file=public, out=out)
    for file in out.iterdir():
        file.rename(public.parent / file.name)
    return public.parent


def peer(plant: Plant, folder: Path) -> Peer:
    """Who a gateway is over TLS."""
    return Peer(folder=folder, workspace=plant.trust.workspace, now=present)
