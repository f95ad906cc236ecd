"""SERV-11 over several gateways: the SDK spreads calls, leaves out who fails, and takes back who is ready again."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from holdfast.client import AsyncClient, Client, RetryBudget
from holdfast.client.addresses import FIRST_OUT_S, IN_A_ROW, LONGEST_OUT_S, Spread
from holdfast.client.messages import Received
from holdfast.core.errors import InvalidInput, Unavailable

GOOD = {"outputs": [{"name": "label", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}
ANSWER = Received(status=200, headers={}, content=b"")
BUSY = Received(status=503, headers={}, content=b"")


class Replica:
    """A gateway's face on a socket of its own: it answers, says that it is not ready, or is gone."""

    def __init__(self, port: int = 0) -> None:
        replica = self
        self.calls, self.probes, self.ready = 0, 0, True

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                replica.probes += 1
                self.say(200 if replica.ready else 503, {})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                replica.calls += 1
                self.say(200 if replica.ready else 503, GOOD if replica.ready else {"error": "not ready"})

            def say(self, status: int, document: Any) -> None:
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def process_request(self, request: Any, client_address: Any) -> None:
                replica.open.append(request)
                super().process_request(request, client_address)

            def handle_error(self, *_: Any) -> None:
                pass

        self.open: list[Any] = []
        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def die(self) -> None:
        """Close the socket and every connection, as a killed process would."""
        self.server.shutdown()
        self.server.server_close()
        for each in self.open:
            with suppress(OSError):
                each.shutdown(2)


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    """Three of them."""
    made = [Replica() for _ in range(3)]
    yield made
    for each in made:
        each.die()


def urls(replicas: list[Replica]) -> list[str]:
    """Where they are."""
    return [each.url for each in replicas]


@pytest.mark.requirement("SERV-11", by="holdfast.client.addresses:Spread.pick")
def test_calls_go_to_all_in_turn(replicas: list[Replica]) -> None:
    """Exactly a third each."""
    with Client(urls(replicas), "hf_key") as client:
        for _ in range(30):
            assert client.infer("m", [[1]]).labels == ("a",)
    assert [each.calls for each in replicas] == [10, 10, 10]


@pytest.mark.requirement("SERV-11", by="holdfast.client.addresses:Spread.note")
@pytest.mark.parametrize("how", ["killed", "not ready"])
def test_one_that_fails_costs_no_call_and_is_back_when_it_is_ready(replicas: list[Replica], how: str) -> None:
    """It is left out, asked whether it is ready, and gets its turn again."""
    clock = [0.0]
    with Client(urls(replicas), "hf_key", sleep=lambda _: pytest.fail("a call waited")) as client:
        client._spread.now = lambda: clock[0]
        client.infer("m", [[1]])
        if how == "killed":
            replicas[1].die()
        else:
            replicas[1].ready = False
        assert all(client.infer("m", [[1]]).labels for _ in range(30))
        before = replicas[1].calls
        assert before <= 1 + IN_A_ROW
        clock[0] += FIRST_OUT_S
        assert client.infer("m", [[1]]).labels  # it is asked, and says no: the next time is later
        clock[0] += FIRST_OUT_S
        assert client.infer("m", [[1]]).labels
        assert replicas[1].calls == before
        if how == "killed":
            replicas[1] = Replica(replicas[1].port)
        replicas[1].ready = True
        clock[0] += LONGEST_OUT_S
        before = replicas[1].calls
        assert all(client.infer("m", [[1]]).labels for _ in range(30))
        assert replicas[1].calls == before + 10


@pytest.mark.requirement("SERV-11", by="holdfast.client.asynchronous:AsyncClient._probe")
def test_many_calls_at_once_lose_none_when_one_dies_and_comes_back(replicas: list[Replica]) -> None:
    """Sixteen callers; one of three is killed in their midst, and gets calls again once it is there."""

    async def play() -> Counter:
        async with AsyncClient(urls(replicas), "hf_key") as client:
            until, found = asyncio.Event(), Counter[str]()

            async def caller() -> None:
                while not until.is_set():
                    found[(await client.infer("m", [[1]])).labels[0]] += 1
                    await asyncio.sleep(0.005)

            callers = [asyncio.create_task(caller()) for _ in range(16)]
            await asyncio.sleep(0.3)
            await asyncio.to_thread(replicas[0].die)
            await asyncio.sleep(0.3)
            replicas[0] = Replica(replicas[0].port)
            async with asyncio.timeout(30):
                while replicas[0].calls == 0:  # noqa: ASYNC110 - counted in another thread
                    await asyncio.sleep(0.05)
            until.set()
            await asyncio.gather(*callers)
            return found

    assert asyncio.run(play())["a"] > 100
    assert replicas[0].probes >= 1


@pytest.mark.requirement("SERV-11", by="holdfast.client.retries:Attempts.pause_s")
def test_the_loss_of_all_is_said_after_few_attempts(replicas: list[Replica]) -> None:
    """Each is asked once, then the patience of one call ends it; the budget ends the rest at once."""
    slept: list[float] = []
    with Client(urls(replicas), "hf_key", sleep=slept.append, budget=RetryBudget(tokens=4, ratio=0.1)) as client:
        for each in replicas:
            each.die()
        for _ in range(5):
            with pytest.raises(Unavailable, match="cannot be reached"):
                client.infer("m", [[1]])
    assert len(slept) <= 1


def test_an_address_that_cannot_be_trusted_or_is_none_is_refused() -> None:
    """Every one of several is held to the same."""
    with pytest.raises(InvalidInput):
        Client(["https://a.example", "http://b.example"], "hf_key")
    with pytest.raises(InvalidInput, match="addresses"):
        Client([], "hf_key")
    with pytest.raises(InvalidInput, match="addresses"):
        AsyncClient([f"https://{number}.example" for number in range(65)], "hf_key")


def test_where_all_are_out_the_one_due_first_is_tried() -> None:
    """And only a probe brings one back: an answer to a call that began before does not."""
    clock = [0.0]
    spread = Spread(2, now=lambda: clock[0])
    spread.note(0, None)
    clock[0] = 0.5
    spread.note(1, None)
    assert spread.pick() == 0
    assert spread.pick((0,)) == 1
    spread.note(0, ANSWER)
    assert not spread.elsewhere(())
    assert spread.due() is None
    clock[0] = FIRST_OUT_S
    assert spread.due() == 0
    assert spread.due() is None
    spread.probed(0, ready=True)
    assert spread.elsewhere(())
    assert {spread.pick() for _ in range(4)} == {0}


def test_shed_load_alone_takes_nobody_out() -> None:
    """An answer between two refusals begins the count anew."""
    spread = Spread(2)
    for said in (BUSY, BUSY, ANSWER, BUSY, BUSY):
        spread.note(0, said)
    assert {spread.pick() for _ in range(4)} == {0, 1}
    spread.note(0, BUSY)
    assert {spread.pick() for _ in range(4)} == {1}
