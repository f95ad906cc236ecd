"""The SDK for programs that do other things meanwhile, against streams that play back what a server could say."""

import asyncio
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.client import FIRST_WAIT_S, AsyncClient, Client, Prediction, RetryBudget
from holdfast.client.messages import BYTES_FROM, HEAD, Received, inference, prediction
from holdfast.client.retries import Attempts, Patience
from holdfast.client.streams import MAX_LINE, Broken, Connection
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, Refused, Unavailable
from holdfast.core.signed_request import NONCE, SIGNATURE, TIMESTAMP

GOOD = {
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
        {"name": "probabilities", "datatype": "FP64", "shape": [2, 2], "data": [0.9, 0.1, 0.2, 0.8]},
    ]
}


class Writer:
    """Keeps what is written, and whether it was closed."""

    def __init__(self) -> None:
        self.written, self.closed = b"", False

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    async def wait_closed(self) -> None:
        pass


def said(status: int, document: Any = None, **headers: str) -> bytes:
    """A response."""
    content = document if isinstance(document, bytes) else json.dumps(document or {}).encode()
    lines = [f"HTTP/1.1 {status} x", f"content-length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + content


def connection(*parts: bytes) -> Connection:
    """A connection on which this arrives."""
    reader = asyncio.StreamReader(limit=MAX_LINE)
    for part in parts:
        reader.feed_data(part)
    reader.feed_eof()
    return Connection(reader, Writer())  # type: ignore[arg-type]


def using(
    made: list[list[bytes]], act: Callable[[AsyncClient], Any], **options: Any
) -> tuple[Any, list[Connection], list[float]]:
    """Let a client act over connections on which these responses arrive; return what came, and how long it slept."""
    opened: list[Connection] = []
    slept: list[float] = []

    async def sleep(pause_s: float) -> None:
        slept.append(pause_s)

    async def run() -> Any:
        client = AsyncClient("https://gateway:80/base/", "hf_key", sleep=sleep, **options)

        async def connected(_line: object) -> Connection:
            if not made:
                raise ConnectionRefusedError
            opened.append(connection(*made.pop(0)))
            return opened[-1]

        client._connected = connected  # type: ignore[method-assign, assignment]
        async with client:
            return await act(client)

    return asyncio.run(run()), opened, slept


def test_a_call_is_what_the_other_client_sends_and_means_the_same() -> None:
    """Path, key, id and body; the connection is kept, and the next call goes over it."""
    responses = [[said(200, GOOD, x_holdfast_release="abc", x_correlation_id="c-1"), said(200, {"name": "m"})]]

    async def act(client: AsyncClient) -> Any:
        return await client.infer("m/x", [[1, 2], [3, 4]], correlation="c-1"), await client.metadata("m")

    (found, about), opened, _ = using(responses, act)
    expected = Prediction(labels=("a", "b"), probabilities=((0.9, 0.1), (0.2, 0.8)), release="abc", correlation="c-1")
    assert (found, about, len(opened)) == (expected, {"name": "m"}, 1)
    first, _, rest = opened[0].writer.written.partition(b"\r\n\r\n")  # type: ignore[attr-defined]
    lines = first.decode().split("\r\n")
    assert lines[0] == "POST /base/v2/models/m%2Fx/infer HTTP/1.1"
    assert {"Host: gateway:80", "Authorization: Bearer hf_key", "X-Correlation-Id: c-1"} <= set(lines)
    tensor = {"name": "input", "shape": [2, 2], "datatype": "FP64", "data": [1.0, 2.0, 3.0, 4.0]}
    assert json.loads(rest.partition(b"GET ")[0]) == {"inputs": [tensor]}
    assert opened[0].writer.closed  # type: ignore[attr-defined]


def test_refusals_and_pauses_are_those_of_the_other_client() -> None:
    """What waiting changes is asked again; what it does not is raised at once."""
    responses = [[said(503), said(429, retry_after="2"), said(200, GOOD)]]
    found, _, slept = using(responses, lambda client: client.infer("m", [[1]]))
    assert (found.labels, slept) == (("a", "b"), [FIRST_WAIT_S, 2.0])
    for status, error in ((403, Refused), (404, NotFound), (500, Unavailable)):
        with pytest.raises(error):
            using([[said(status)]], lambda client: client.infer("m", [[1]]))


def test_a_connection_that_idled_too_long_is_opened_again_and_one_that_fails_is_unavailable() -> None:
    """The first is nobody's fault; of the second, the caller is told."""
    responses = [[said(200, GOOD)], [said(200, GOOD)]]

    async def closed(client: AsyncClient) -> Any:
        client._lines[0].idle.append(connection())
        return await client.infer("m", [[1]])

    found, opened, _ = using(responses, closed)
    assert (found.labels, len(opened)) == (("a", "b"), 1)
    with pytest.raises(Unavailable, match="cannot be reached"):
        using([], lambda client: client.infer("m", [[1]]))
    ready, *_ = using([], lambda client: client.ready())
    assert ready is False
    ready, *_ = using([[said(200)]], lambda client: client.ready())
    assert ready is True


def test_calls_overlap_up_to_the_number_of_connections() -> None:
    """More of them wait for one that is free."""
    at_once, most = 0, 0

    async def run() -> None:
        client = AsyncClient("https://gateway", "hf_key", connections=3)

        async def connected(_line: object) -> Connection:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1
            return connection(said(200, GOOD, connection="close"))

        client._connected = connected  # type: ignore[method-assign, assignment]
        found = await asyncio.gather(*(client.infer("m", [[1]]) for _ in range(20)))
        assert len(found) == 20
        assert client._lines[0].idle == []

    asyncio.run(run())
    assert most == 3


def test_a_client_that_could_never_call_is_refused() -> None:
    """An address in clear, no connection, a budget of nothing."""
    for make in (
        lambda: AsyncClient("http://gateway", "hf_key"),
        lambda: AsyncClient("https://gateway", "hf_key", connections=0),
        lambda: RetryBudget(tokens=0),
        lambda: RetryBudget(ratio=-1.0),
    ):
        with pytest.raises(InvalidInput):
            make()


# ── responses that can be read in two ways, or in none ──────────────────────────────────────────────────────────────


def read(*parts: bytes) -> Received:
    """Read a response."""

    async def run() -> Received:
        made = connection(*parts)
        with suppress(Broken, Unavailable):
            return await made.ask(b"", b"")
        assert not made.reusable  # what failed is never asked again
        return await connection(*parts).ask(b"", b"")

    return asyncio.run(run())


def test_contents_end_where_they_say() -> None:
    """By length, by chunks with their extensions and trailers, or with the connection; what informs is passed over."""
    assert read(b"HTTP/1.1 100 Continue\r\n\r\n", said(200, b"abc")).content == b"abc"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
    assert read(chunked).content == b"abcde"
    assert read(b"HTTP/1.0 200 OK\r\n\r\nuntil the end").content == b"until the end"


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 -20 OK\r\n\r\n",
        b"<html>",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxx\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: 1\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"1" * (MAX_LINE + 1) + b"\r\n\r\n",
    ],
)
def test_a_response_that_has_no_one_meaning_is_refused(response: bytes) -> None:
    """Nobody's guess decides where an answer ends."""
    with pytest.raises(Broken):
        read(response)


@pytest.mark.parametrize("length", [b"99999999999", b"0x"])
def test_an_answer_without_end_is_not_waited_for(length: bytes) -> None:
    """Its length alone is enough to stop."""
    with pytest.raises((Unavailable, Broken)):
        read(b"HTTP/1.1 200 OK\r\ncontent-length: " + length + b"\r\n\r\n")
    with pytest.raises((Unavailable, Broken)):
        read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffff\r\n")


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"\r\n", b"content-length: 3\r\n"])))
def test_no_bytes_do_more_to_a_client_than_be_refused(parts: list[bytes]) -> None:
    """Whatever arrives: a response, or one of two errors."""
    with suppress(Broken, Unavailable):
        assert 0 <= read(*parts).status <= 999


# ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def as_bytes(labels: bytes, probabilities: bytes) -> Received:
    """An answer whose outputs are bytes."""
    document = {
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(labels)}},
            {
                "name": "probabilities",
                "datatype": "FP64",
                "shape": [2, 2],
                "parameters": {"binary_data_size": len(probabilities)},
            },
        ]
    }
    head = json.dumps(document).encode()
    return Received(status=200, headers={HEAD: str(len(head))}, content=head + labels + probabilities)


LABELS = b"\1\0\0\0a\2\0\0\0bb"


def test_many_rows_travel_as_bytes_and_their_answers_come_as_bytes() -> None:
    """From a few hundred values on; `as_bytes` decides otherwise."""
    rows = [[float(value) for value in range(64)]] * (BYTES_FROM // 64)
    asked = inference("m", rows, correlation="", as_bytes=None)
    headers = dict(asked.headers)
    length = int(headers[HEAD])
    assert asked.body is not None
    assert asked.body[length:] == struct.pack(f"<{BYTES_FROM}d", *(value for row in rows for value in row))
    assert json.loads(asked.body[:length])["inputs"][0]["parameters"] == {"binary_data_size": 8 * BYTES_FROM}
    assert HEAD not in dict(inference("m", rows[:1], correlation="", as_bytes=None).headers)
    assert HEAD not in dict(inference("m", rows, correlation="", as_bytes=False).headers)
    found = prediction(as_bytes(LABELS, struct.pack("<4d", 0.9, 0.1, 0.2, 0.8)))
    assert (found.labels, found.probabilities) == (("a", "bb"), ((0.9, 0.1), (0.2, 0.8)))


@pytest.mark.parametrize(("labels", "probabilities"), [(LABELS, b"\0" * 31), (LABELS[:-1], b"\0" * 32), (b"\1\0", b"")])
def test_bytes_that_are_no_answer_are_an_error(labels: bytes, probabilities: bytes) -> None:
    """Cut off, or of another length than their datatype's."""
    received = as_bytes(labels, probabilities)
    with pytest.raises(Unavailable, match="does not follow"):
        prediction(Received(status=200, headers=received.headers, content=received.content[:-1]))
    with pytest.raises((Unavailable, HoldfastError)):
        prediction(received)


# ── the budget ──────────────────────────────────────────────────────────────────────────────────────────────────────


def attempts(budget: RetryBudget) -> Attempts:
    """A new call out of a budget."""
    return Attempts(Patience(budget=budget))


def test_a_gateway_that_fails_for_everybody_is_asked_once_for_each_call() -> None:
    """Half of the budget is spent on retries, and no more: gRPC's throttling (proposal A6)."""
    budget, failed = RetryBudget(tokens=10, ratio=0.1), Received(status=503, headers={}, content=b"")
    retried = sum(attempts(budget).pause_s(failed) is not None for _ in range(100))
    assert retried == 4
    good = Received(status=200, headers={}, content=b"")
    for _ in range(70):  # to seven tokens: after the next failure six are left, which is more than half
        assert attempts(budget).pause_s(good) is None
    assert attempts(budget).pause_s(failed) is not None


def test_what_is_no_trouble_of_the_gateways_costs_no_budget() -> None:
    """A refusal for what was asked says nothing about how the gateway is."""
    budget = RetryBudget(tokens=2)
    for _ in range(10):
        attempts(budget).pause_s(Received(status=400, headers={}, content=b""))
    assert attempts(budget).pause_s(Received(status=503, headers={}, content=b"")) is None
    assert attempts(RetryBudget(tokens=4)).pause_s(Received(status=503, headers={}, content=b"")) is not None


def test_a_token_is_asked_for_before_each_attempt() -> None:
    """Tokens last fifteen minutes: a program that runs longer hands over what returns the newest."""
    given_out = iter(["one", "two"])
    client = Client("https://gateway", lambda: next(given_out))
    from holdfast.client.messages import attempt_headers, metadata

    found = [attempt_headers(metadata("m"), client._api_key, sign=True)["Authorization"] for _ in range(2)]
    assert found == ["Bearer one", "Bearer two"]
    by_certificate = attempt_headers(metadata("m"), "", sign=True)
    assert {"Authorization", SIGNATURE} & by_certificate.keys() == set()
    assert {TIMESTAMP, NONCE} <= by_certificate.keys()  # the connection proves the rest
