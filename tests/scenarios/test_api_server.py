"""`holdfast up` as processes of their own, attacked and used over real sockets."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.scenarios.callers import ROLES, issue

from holdfast import app
from holdfast.core.errors import HoldfastError

PATIENCE_S: Final = 60.0
SOURCE: Final = str(Path(sys.modules["holdfast"].__file__ or "").parents[1])


class Up:
    """Everything that `holdfast up` starts."""

    def __init__(self, root: Path, *arguments: str, source: str = SOURCE) -> None:
        name = f"up-{os.urandom(4).hex()}"  # several may run over one workspace
        self.ready_file = root / f"{name}.json"
        self.log = root / f"{name}.log"
        command = [sys.executable, "-m", "holdfast", "up", "-C", str(root), "--port", "0", "--gateway-port", "0"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(self.ready_file), *arguments],
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": source},
            )
        wait(lambda: self.ready_file.exists() or self.process.poll() is not None)
        assert self.ready_file.exists(), self.log.read_text()
        self.said = json.loads(self.ready_file.read_text())
        host, _, port = self.said["url"].partition("://")[2].rpartition(":")
        self.address = (host, int(port))

    def raw(self, data: bytes) -> bytes:
        """Send bytes and return all that comes back within a moment."""
        with socket.create_connection(self.address, timeout=PATIENCE_S) as connection:
            connection.sendall(data)
            found = b""
            try:
                while part := connection.recv(65536):
                    found += part
                    connection.settimeout(0.3)
            except TimeoutError:
                pass
        return found

    def ask(self, method: str, path: str, key: str, body: Any = None, idempotency: str = "") -> tuple[int, Any]:
        """Make one good request."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        headers |= {"Idempotency-Key": idempotency} if idempotency else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        document = json.loads(response.read())
        connection.close()
        return response.status, document

    def children(self) -> list[int]:
        """The processes below the supervisor."""
        pid = self.process.pid
        return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> int:
        """End it gently, and return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


def wait(until: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + patience_s
    while not until():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@contextmanager
def running(root: Path, *arguments: str, source: str = SOURCE) -> Iterator[Up]:
    """Start everything over a workspace, of the Holdfast in a folder, and stop it."""
    up = Up(root, *arguments, source=source)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.stop()
        sys.stderr.write(up.log.read_text())  # shown where the test failed


@pytest.fixture(scope="module")
def workspace(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A new workspace and a key for each role."""
    folder = tmp_path_factory.mktemp("workspace")
    app.init(folder, owner="Ada")
    with app.open_plant(folder) as plant:
        keys = {role: issue(plant, name=role, role=role) for role in ROLES}
    return folder, keys


@pytest.fixture(scope="module")
def up(workspace: tuple[Path, dict[str, str]]) -> Iterator[Up]:
    """Everything over it, for tests that stop nothing."""
    # Jobs are for the workers of these tests, and the one gateway of the folder for the test that starts one.
    with running(workspace[0], "--job-workers", "0", "--no-gateway") as found:
        yield found


HOST: Final = b"Host: 127.0.0.1\r\n"
JSON: Final = b"Content-Type: application/json\r\n"
CHUNK: Final = b"2\r\n{}\r\n0\r\n\r\n"
SMUGGLED: Final = {
    "two lengths": (b"POST", b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{}"),
    "the same length twice": (b"POST", b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"),
    "a list of lengths": (b"POST", b"Content-Length: 2, 2\r\n", b"{}"),
    "length and chunks": (b"POST", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", CHUNK),
    "chunks and length": (b"POST", b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", CHUNK),
    "an encoding like chunked": (b"POST", b"Transfer-Encoding: xchunked\r\n", CHUNK),
    "two encodings": (b"POST", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNK),
    "a list of encodings": (b"POST", b"Transfer-Encoding: gzip, chunked\r\n", CHUNK),
    "chunks on GET": (b"GET", b"Transfer-Encoding: chunked\r\n", CHUNK),
    "a folded header": (b"GET", b"X-A: b\r\n c: d\r\n", b""),
    "a bare line feed": (b"GET", b"X-A: b\nX-B: c\r\n", b""),
    "a bare carriage return": (b"GET", b"X-A: b\rX-B: c\r\n", b""),
    "a zero byte": (b"GET", b"X-A: b\x00c\r\n", b""),
    "a space before the colon": (b"GET", b"Content-Length : 2\r\n", b"{}"),
    "a second host": (b"GET", HOST, b""),
    "a negative length": (b"POST", b"Content-Length: -2\r\n", b"{}"),
    "a signed length": (b"POST", b"Content-Length: +2\r\n", b"{}"),
    "a strange chunk": (b"POST", b"Transfer-Encoding: chunked\r\n", b"0x2\r\n{}\r\n0\r\n\r\n"),
    "a line feed in a chunk": (b"POST", b"Transfer-Encoding: chunked\r\n", b"2;a=b\nX\r\n{}\r\n0\r\n\r\n"),
    "a chunk beyond counting": (b"POST", b"Transfer-Encoding: chunked\r\n", b"fffffffffffffffff2\r\n{}\r\n0\r\n\r\n"),
}


@pytest.mark.guarantee("G41")
@pytest.mark.parametrize("name", SMUGGLED)
def test_a_smuggled_request_is_refused_and_its_connection_closed(
    up: Up, workspace: tuple[Path, dict[str, str]], name: str
) -> None:
    """Whatever another parser could have read in another way: one 400, and nothing behind it is answered."""
    method, headers, content = SMUGGLED[name]
    key = f"Authorization: Bearer {workspace[1]['administrator']}\r\n".encode()
    behind = b"GET /v1/jobs HTTP/1.1\r\n" + HOST + key + b"\r\n"
    path = b" /v1/ledger/rebuild" if method == b"POST" else b" /v1/jobs"
    answer = up.raw(method + path + b" HTTP/1.1\r\n" + HOST + key + JSON + headers + b"\r\n" + content + behind)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1, answer


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://evil.example/v1/jobs HTTP/1.1",
        b"GET /v1/jobs#part HTTP/1.1",
        b"GET /v1/jobs HTTP/9.9",
        b"GET /v1/../v1/jobs HTTP/1.1",
        b"GET /v1/%2e%2e/jobs HTTP/1.1",
        b"GET /v1/jobs\x00 HTTP/1.1",
        b"GET /v1/jobs HTTP/1.1\nX-A: b",
        b"CONNECT evil.example:443 HTTP/1.1",
        b"GET /v1/" + b"a" * 70_000 + b" HTTP/1.1",
    ],
)
def test_a_strange_request_line_is_refused(up: Up, workspace: tuple[Path, dict[str, str]], line: bytes) -> None:
    """Another server's name, a fragment, another version, dots to climb, a zero byte, a line that never ends."""
    key = f"Authorization: Bearer {workspace[1]['administrator']}\r\n".encode()
    answer = up.raw(line + b"\r\n" + HOST + key + b"\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ", b"HTTP/1.1 405 ")), answer


def test_another_hosts_name_is_not_answered(up: Up, workspace: tuple[Path, dict[str, str]]) -> None:
    """A page that makes its own name point to this server learns nothing."""
    key = f"Authorization: Bearer {workspace[1]['administrator']}\r\n".encode()
    answer = up.raw(b"GET /v1/jobs HTTP/1.1\r\nHost: rebound.example\r\n" + key + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_it_tells_no_more_than_it_must(up: Up) -> None:
    """No banner and no version, in good answers and in bad ones."""
    for data in (b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n", b"nonsense\r\n\r\n"):
        answer = up.raw(data).lower()
        assert b"uvicorn" not in answer
        assert b"\r\nserver:" not in answer


def test_oversized_and_deep_content_is_refused_by_the_real_server(
    up: Up, workspace: tuple[Path, dict[str, str]]
) -> None:
    """Announced or in chunks: 413, and the server goes on answering."""
    key = workspace[1]["administrator"]
    head = b"POST /v1/ledger/rebuild HTTP/1.1\r\n" + HOST + JSON + f"Authorization: Bearer {key}\r\n".encode()
    assert up.raw(head + b"Content-Length: 99999999\r\n\r\n{}").startswith(b"HTTP/1.1 413 ")
    chunks = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    assert up.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks * 17).startswith(b"HTTP/1.1 413 ")
    assert up.ask("GET", "/v1/jobs", key)[0] == 200


def test_up_is_ready_answers_and_stops_cleanly(workspace: tuple[Path, dict[str, str]]) -> None:
    """Ready before anything is promoted; SIGTERM ends every child; the ready file is gone, the exit is 0."""
    with running(workspace[0]) as up:
        assert up.ask("GET", "/v1/jobs", workspace[1]["viewer"])[0] == 200
        assert up.said["gateway"].startswith("http://127.0.0.1:")
        children = up.children()
        assert len(children) == 4  # API, jobs, gateway, and the sidecar that looks at them
        assert up.stop() == 0
        assert not up.ready_file.exists()
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_up_explains_how_a_workspace_is_made(tmp_path: Path) -> None:
    """In a folder without one, the message names `holdfast init`."""
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", "up", "-C", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert done.returncode == 3
    assert "holdfast init" in done.stderr


def test_plaintext_for_other_machines_needs_its_own_word_and_goes_on_record(
    workspace: tuple[Path, dict[str, str]],
) -> None:
    """Refused without TLS; behind a terminator it is said, and in the ledger."""
    root, _ = workspace
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", "up", "-C", str(root), "--host", "0.0.0.0", "--port", "0"],  # noqa: S104
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert done.returncode == 1
    assert "without TLS" in done.stderr
    with running(root, "--host", "0.0.0.0", "--behind-tls-terminator", "--no-gateway") as up:  # noqa: S104
        assert up.said["tls"] == "terminator"
        assert "TLS ends in front" in up.log.read_text()
    with app.open_plant(root) as plant:
        assert any(entry.kind == "service.behind-tls-terminator" for entry in plant.ledger.entries())


def certificates(folder: Path) -> dict[str, Path]:
    """An authority, a server's and a client's certificate by it, and one by somebody else."""
    made: dict[str, Path] = {}

    def write(name: str, signer: tuple[x509.Name, Any] | None) -> tuple[x509.Name, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer, signing = signer or (subject, key)
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        names = [x509.DNSName("localhost")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(signing, hashes.SHA256())
        made[name], made[f"{name}.key"] = folder / f"{name}.pem", folder / f"{name}.key.pem"
        made[name].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        made[f"{name}.key"].write_bytes(
            key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        )
        return subject, key

    authority = write("authority", None)
    write("server", authority)
    write("client", authority)
    write("stranger", write("elsewhere", None))
    return made


def test_tls_ends_in_the_process_and_strangers_do_not_get_in(
    workspace: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """With an authority for clients: none, or another authority's certificate, and there is no answer; nor in clear."""
    root, keys = workspace
    made = certificates(tmp_path)
    arguments = ["--tls-cert", made["server"], "--tls-key", made["server.key"], "--client-ca", made["authority"]]
    with running(root, *map(str, arguments), "--no-gateway") as up:
        assert up.said["url"].startswith("https://")

        def get(client: str) -> int:
            context = ssl.create_default_context(cafile=str(made["authority"]))
            if client:
                context.load_cert_chain(made[client], made[f"{client}.key"])
            connection = http.client.HTTPSConnection("localhost", up.address[1], context=context, timeout=PATIENCE_S)
            with closing(connection):
                connection.request("GET", "/v1/jobs", headers={"Authorization": f"Bearer {keys['viewer']}"})
                response = connection.getresponse()
                assert response.getheader("Strict-Transport-Security")
                return response.status

        assert get("client") == 200
        for nobody in ("", "stranger"):
            with pytest.raises((ssl.SSLError, OSError)):
                get(nobody)
        assert b"HTTP/1.1 200" not in up.raw(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")


def test_half_of_tls_is_refused(workspace: tuple[Path, dict[str, str]]) -> None:
    """A certificate without its key starts nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", "up", "-C", str(workspace[0]), "--tls-cert", "/nowhere.pem"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert done.returncode == 3


WORKER: Final = """
import sys, time
from pathlib import Path
import holdfast.adapters.jobs as jobs
jobs.LEASE_S = 1.0
jobs.SqlJobs.__init__.__kwdefaults__["lease_s"] = 1.0
import holdfast.lifecycle.jobs as room

def slow(plant, task):
    Path(sys.argv[2]).write_text(str(task.attempts))
    while not Path(sys.argv[3]).exists():
        time.sleep(0.05)
    return room.JobState.DONE, {"says": f"attempt {task.attempts}"}

room.carry_out = slow
from holdfast.up import work_off
work_off(Path(sys.argv[1]))
"""


def worker(root: Path, seen: Path, go: Path) -> subprocess.Popen[bytes]:
    """A job worker whose command waits until it may go on."""
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(root), str(seen), str(go)], env={**os.environ, "PYTHONPATH": SOURCE}
    )


def test_a_killed_workers_job_is_taken_over_by_the_next(workspace: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """A kill -9 in the middle: after the lease another worker has it, and its result stands."""
    root, _ = workspace
    with app.open_plant(root) as plant:
        task = plant.jobs.ask("run", {}, "ada")
        with worker(root, tmp_path / "first", tmp_path / "never") as first:
            wait((tmp_path / "first").exists)
            os.kill(first.pid, signal.SIGKILL)
        (tmp_path / "go").touch()
        with worker(root, tmp_path / "second", tmp_path / "go") as second:
            assert second.wait(PATIENCE_S) == 0
        found = plant.jobs.find(task.id)
        assert (found.state, found.attempts, found.result) == ("done", 2, {"says": "attempt 2"})


def test_a_cancelled_job_stops(workspace: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """The worker that carries it out ends within seconds, and the job stays cancelled."""
    root, _ = workspace
    with app.open_plant(root) as plant:
        task = plant.jobs.ask("run", {}, "ada")
        with worker(root, tmp_path / "seen", tmp_path / "never") as busy:
            wait((tmp_path / "seen").exists)
            plant.jobs.cancel(task.id)
            assert busy.wait(PATIENCE_S) == -signal.SIGKILL
        assert plant.jobs.find(task.id).state == "cancelled"


def test_the_whole_way_over_http(finished: Path, tmp_path: Path) -> None:
    """Run as a job, promote, ask the gateway: all through the server, with no other process touching the workspace."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    with app.open_plant(folder) as plant:
        key = issue(plant, name="ada", role="administrator")
    with running(folder) as up:
        status, job = up.ask("POST", "/v1/run", key, {})
        assert status == 202
        wait(lambda: up.ask("GET", f"/v1/jobs/{job['job']}", key)[1]["state"] in {"done", "failed"})
        ended = up.ask("GET", f"/v1/jobs/{job['job']}", key)[1]
        assert ended["state"] == "done", ended
        assert up.ask("POST", "/v1/promote", key, {"reason": "It is good."})[0] == 200
        _, issued = up.ask("POST", "/v1/key/issue", key, {"client": "ward"})
        from holdfast.client import Client

        with Client(up.said["gateway"], issued["key"]) as client:

            def answers() -> bool:
                try:
                    return client.metadata("breast-cancer")["name"] == "breast-cancer"
                except HoldfastError:  # the gateway has not seen the newest table yet
                    return False

            wait(answers)
