"""Services that hold keys, for tests: a SoftHSM token, AWS KMS in moto, the transit engine of an OpenBao server.

OpenBao is the real thing, an open-source server that speaks Vault's API; SoftHSM is a real PKCS#11 library with keys in
files; moto stands in for AWS, and `kms_rules` makes it keep the documented rules that it does not keep.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import absent
from tests.services.kms_rules import Rules, keep_the_rules

from holdfast.adapters.key_places import KmsPlace, TokenPlace, VaultPlace

MODULE = next(
    (
        path
        for path in map(Path, ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"))
        if path.exists()
    ),
    None,
)
PIN = "314159"
POLICY = """
path "transit/keys/holdfast-*" { capabilities = ["create", "read", "update", "delete"] }
path "transit/sign/holdfast-*" { capabilities = ["update"] }
path "transit/encrypt/holdfast-*" { capabilities = ["update"] }
path "transit/decrypt/holdfast-*" { capabilities = ["update"] }
"""
READY_S = 30.0  # a server on a busy machine


@pytest.fixture(scope="session")
def token_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenPlace]:
    """A fresh SoftHSM token for all tests: the library reads its configuration once in a process."""
    if MODULE is None or shutil.which("softhsm2-util") is None:
        absent("SoftHSM", "`make services` installs it")
    pytest.importorskip("pkcs11")
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    pin = private(folder / "pin", PIN + "\n")
    patch = pytest.MonkeyPatch()
    patch.setenv("SOFTHSM2_CONF", str(configuration))
    command = ["softhsm2-util", "--init-token", "--free", "--label", "holdfast", "--pin", PIN, "--so-pin", "271828"]
    subprocess.run(command, check=True, capture_output=True)
    yield TokenPlace(module=MODULE, label="holdfast", pin_file=pin)
    patch.undo()


@dataclass(frozen=True)
class Kms:
    """An account's KMS, and a client that its administrator could use."""

    place: KmsPlace
    client: Any
    rules: Rules


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """A server for all tests, in a thread of its own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def kms(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kms]:
    """A KMS without keys."""
    import boto3

    for name, value in {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "not-to-be-told"}.items():
        monkeypatch.setenv(name, value)
    rules = keep_the_rules(monkeypatch)
    httpx.post(f"{moto_server}/moto-api/reset").raise_for_status()
    client = boto3.client("kms", endpoint_url=moto_server, region_name="eu-central-1")
    yield Kms(KmsPlace(region="eu-central-1", prefix="holdfast", endpoint=moto_server), client, rules)
    client.close()


@dataclass(frozen=True)
class Bao:
    """An OpenBao server with a transit engine, and its administrator's token."""

    url: str
    root: str
    policy_token: str
    audit: Path

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Ask as the administrator."""
        headers = {"X-Vault-Token": self.root}
        return httpx.request(method, f"{self.url}/v1/{path}", headers=headers, json=body)

    def asked(self, path: str) -> int:
        """How many requests the server's own audit log has for a path."""
        said = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return sum(each["type"] == "request" and each["request"]["path"] == path for each in said)

    def place(self, folder: Path) -> VaultPlace:
        """Where its transit engine is, with a token in a file of its own that may do what we need and no more."""
        file = private(folder / "vault-token", self.policy_token + "\n")
        return VaultPlace(url=self.url, mount="transit", prefix="holdfast", token_file=file)


@pytest.fixture(scope="session")
def bao(peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """A server for all tests, in a process of its own, with everything in its memory."""
    program = peers / "bao"
    if not program.exists():
        absent("OpenBao", "`make services` installs it")
    folder = tmp_path_factory.mktemp("bao")
    port, audit = free_port(), folder / "audit.log"
    (folder / "bao.hcl").write_text(f'audit "file" "all" {{\n  options {{ file_path = "{audit}" }}\n}}\n')
    with (folder / "log").open("wb") as log:
        listen = f"-dev-listen-address=127.0.0.1:{port}"
        process = subprocess.Popen(
            [program, "server", "-dev", "-dev-no-store-token", listen, "-config=bao.hcl"],
            cwd=folder,
            env=os.environ | {"BAO_DEV_ROOT_TOKEN_ID": "root-token-of-tests", "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process, folder / "log")
        server = Bao(url, "root-token-of-tests", "", audit)
        server.ask("POST", "sys/mounts/transit", {"type": "transit"}).raise_for_status()
        server.ask("PUT", "sys/policies/acl/holdfast", {"policy": POLICY}).raise_for_status()
        made = server.ask("POST", "auth/token/create", {"policies": ["holdfast"], "ttl": "1h"}).raise_for_status()
        yield Bao(url, server.root, made.json()["auth"]["client_token"], audit)
    finally:
        process.kill()
        process.communicate()


def private(path: Path, text: str) -> Path:
    """A file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def free_port() -> int:
    """A port that nobody listens on just now."""
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + READY_S
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if httpx.get(f"{url}/v1/sys/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
