"""The SDK of the control plane against the real server, and against a network that loses connections."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.test_api_server import Up, running, workspace

from holdfast import app
from holdfast.control_plane import ControlPlane
from holdfast.core.errors import Conflict, InvalidInput, NotFound, Refused, Unauthenticated, Unavailable

__all__ = ["workspace"]  # a fixture, used here too


@pytest.fixture(scope="module")
def up(workspace: tuple[Path, dict[str, str]]) -> Iterator[Up]:
    """The server over a new workspace, with a worker for its jobs."""
    with running(workspace[0], "--no-gateway") as found:
        yield found


def test_commands_answer_and_their_errors_keep_their_classes(up: Up, workspace: tuple[Path, dict[str, str]]) -> None:
    """What the command raised there is raised here: by class, with the public words."""
    root, keys = workspace
    with ControlPlane(up.said["url"], keys["administrator"]) as plane:
        assert plane.get("jobs")["jobs"] == []
        assert "out" in plane.post("ledger checkpoint")
        with app.open_plant(root) as plant:
            size = plant.ledger.size()  # counts of earlier requests may still be added before the newest page is read
            positions = [entry["position"] for entry in plane.log(page=3)]
            assert positions == list(reversed(range(len(positions))))
            assert len(positions) >= size
        with pytest.raises(NotFound, match="nothing answers"):
            plane.resolve("nobody")
        with pytest.raises(InvalidInput):
            plane.promote(reason="")
        with pytest.raises(InvalidInput):
            plane.post("promote", reason=7)
        plane.post("ledger checkpoint", idempotency_key="mine")
        with pytest.raises(Conflict):
            plane.post("ledger rebuild", idempotency_key="mine")
    with ControlPlane(up.said["url"], keys["viewer"]) as plane, pytest.raises(Refused):
        plane.promote(reason="I may not.")
    with ControlPlane(up.said["url"], "hfc_nobody") as plane, pytest.raises(Unauthenticated):
        plane.get("jobs")


def test_a_failed_job_raises_what_its_command_raised(up: Up, workspace: tuple[Path, dict[str, str]]) -> None:
    """The new workspace's project has no data: the worker's error arrives as it was."""
    with ControlPlane(up.said["url"], workspace[1]["operator"]) as plane:
        job = plane.run()
        with pytest.raises(InvalidInput, match="does not exist"):
            plane.wait(job["job"], patience_s=60)


def test_an_address_or_key_that_cannot_be_one_is_refused() -> None:
    """Before anything is sent."""
    for url, key in (("ftp://here", "k"), ("nowhere", "k"), ("http://here", "a\r\nX-Evil: b")):
        with pytest.raises(InvalidInput):
            ControlPlane(url, key)


class Losing:
    """A server that reads requests and answers them as it is told; "" is a connection that is closed instead."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[bytes, bytes]] = []  # idempotency key and content
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Answer one request on each connection."""
        while self.answers:
            connection, _ = self.listening.accept()
            with connection:
                head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                while len(body) < length:
                    body += connection.recv(65536)
                key = head.lower().partition(b"idempotency-key: ")[2].partition(b"\r\n")[0]
                self.seen.append((key, body))
                connection.sendall(self.answers.pop(0).encode())
        self.listening.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"


def answer(status: int, document: dict[str, Any], headers: str = "") -> str:
    """An answer on a connection that ends with it."""
    body = json.dumps(document)
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n{body}"


def test_what_was_lost_is_sent_again_under_the_same_key() -> None:
    """A lost connection and a full server: the same key and content each time, waits that grow and obey the server."""
    server = Losing(
        "", answer(503, {"code": "HF700", "detail": "busy"}, "Retry-After: 3\r\n"), answer(200, {"says": "x"})
    )
    waited: list[float] = []
    with ControlPlane(server.url, "k", sleep=waited.append, draw=lambda low, _: low) as plane:
        assert plane.promote(reason="Once.") == {"says": "x"}
    assert len(set(server.seen)) == 1
    assert server.seen[0][0]
    assert waited == [0.1, 1.5]


def test_an_answer_is_an_answer() -> None:
    """Nothing that was answered is asked again, whatever the status; and patience ends."""
    server = Losing(answer(500, {"code": "HF000", "detail": "defect"}), answer(200, {}))
    with ControlPlane(server.url, "k", sleep=lambda _: None) as plane, pytest.raises(Exception, match="defect"):
        plane.promote(reason="Once.")
    assert len(server.seen) == 1
    lost = Losing(*[""] * 3)
    with ControlPlane(lost.url, "k", retries=2, sleep=lambda _: None) as plane, pytest.raises(Unavailable):
        plane.get("jobs")
    assert len(lost.seen) == 3
