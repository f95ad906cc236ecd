"""The short way through the server answers what the long way answers, and leaves to it all that is not whole."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from holdfast.adapters import http_server
from holdfast.adapters.http_direct import LONGEST_BODY, MOST_HEADS, TOGETHER, Arrived, Asked

HEAD = b"POST /v2/models/m/infer?x=1 HTTP/1.1\r\nHost: here\r\nX-Own: a\r\n"


def post(body: bytes, *more: bytes) -> bytes:
    """Return a call."""
    lines = b"".join(line + b"\r\n" for line in (*more, b"Content-Length: %d" % len(body)))
    return HEAD + lines + b"\r\n" + body


@dataclass
class Answer:
    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


@dataclass
class Echo:
    """Says which way each body came; answers later, or badly, when told to."""

    asked: list[Asked] = field(default_factory=list)
    bad: str = ""
    busy: bool = False
    waiting: list[tuple["asyncio.Future[Any]", Answer]] = field(default_factory=list)

    def answer(self, asked: Asked, body: bytes) -> Answer:
        self.asked.append(asked)
        if self.bad == "raise":
            raise ZeroDivisionError
        value = b"a\r\nb" if self.bad == "value" else b"short"
        return Answer(200, ((b"content-length", b"%d" % len(body)), (b"x-way", value)), body)

    def now(self, asked: Asked, body: bytes, peer: str, certificate: bytes) -> Answer | None:
        assert peer == "127.0.0.1"
        assert certificate == b""
        return None if self.busy else self.answer(asked, body)

    def together(self, calls: Sequence[Arrived]) -> list[Answer | None]:
        return [self.now(*call) for call in calls]

    def later(self, asked: Asked, body: bytes, _peer: str, _certificate: bytes) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting.append((future, self.answer(asked, body)))
        return future

    def settle(self) -> None:
        for future, answer in self.waiting:
            future.set_result(answer)
        self.waiting.clear()


async def long_way(scope: Any, receive: Any, send: Any) -> None:
    """Answer by ASGI, and check what it was given."""
    assert scope["path"] == "/v2/models/m/infer"
    assert scope["query_string"] == b"x=1"
    assert (b"x-own", b"a") in scope["headers"]
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [(b"content-length", b"%d" % len(body)), (b"x-way", b"long")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: type[Any]
    state: ServerState

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0.005)  # so that it arrives apart from what follows

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), headers, await self.reader.readexactly(int(headers[b"content-length"]))

    async def ways(self, count: int) -> list[tuple[bytes, bytes]]:
        found = [await self.answer() for _ in range(count)]
        return [(headers[b"x-way"], body) for _, headers, body in found]


def talk(echo: Echo, conversation: Callable[[Client], Awaitable[None]]) -> None:
    """Hold a conversation with a server on a socket of its own."""

    async def run() -> None:
        protocol = http_server._protocol(lambda _: None, echo)
        config = uvicorn.Config(long_way, http=protocol, ws="none", lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        try:
            await conversation(Client(reader, writer, protocol, state))
        finally:
            writer.close()
            await writer.wait_closed()
            for connection in list(state.connections):
                connection.transport.close()
            server.close()
            await server.wait_closed()
            await asyncio.sleep(0.01)

    asyncio.run(run())


def pieces(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield a call cut in two, in its line, its head, between head and body, and in its body."""
    for at in (1, 20, len(HEAD), data.index(b"\r\n\r\n") + 2, data.index(b"\r\n\r\n") + 4, len(data) - 1):
        yield data[:at], data[at:]


@pytest.mark.requirement("GATE-19", by="holdfast.adapters.http_direct:Straight")
def test_a_call_that_is_there_goes_the_short_way_and_its_head_is_parsed_once() -> None:
    """Equal bytes of a head are the very head that was parsed before."""

    async def conversation(client: Client) -> None:
        bodies = [b"one", b"two", b"six", b"three"]
        for body in bodies:
            await client.send(post(body))
        assert await client.ways(4) == [(b"short", body) for body in bodies]
        assert len(client.protocol.known) == 2  # lengths of 3 and of 5

    echo = Echo()
    talk(echo, conversation)
    assert echo.asked[2] is echo.asked[1]  # the first of a connection is not kept
    assert echo.asked[0].path == "/v2/models/m/infer"
    assert echo.asked[0].query == b"x=1"
    assert echo.asked[0].headers == ((b"host", b"here"), (b"x-own", b"a"), (b"content-length", b"3"))


def test_a_call_in_pieces_is_answered_the_same_before_and_after_its_head_is_known() -> None:
    """A head in pieces goes the short way once it is whole; a body that is still arriving the long one."""

    async def conversation(client: Client) -> None:
        for first, second in pieces(post(b"body")):
            await client.send(first)
            await client.send(second)
            await client.send(post(b"body"))
            (way, body), after = await client.ways(2)
            assert body == b"body"
            assert way == (b"long" if b"\r\n\r\n" in first else b"short")
            assert after == (b"short", b"body")

    talk(Echo(), conversation)


def test_what_stands_behind_a_known_head_is_not_taken_for_its_body() -> None:
    """Calls behind one another are answered in order, and what is no call is refused."""

    async def conversation(client: Client) -> None:
        await client.send(post(b"first"))
        await client.send(post(b"again") + post(b"third") + post(b"fourth") + b"\r\n")
        await client.send(post(b"fifth"))
        bodies = [body for _, body in await client.ways(5)]
        assert bodies == [b"first", b"again", b"third", b"fourth", b"fifth"]
        await client.send(post(b"first") + b"GARBAGE\r\n\r\n")
        assert (await client.answer())[2] == b"first"
        assert (await client.answer())[0] == 400
        assert await client.reader.read() == b""

    talk(Echo(), conversation)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(post(b"x", b"Connection: close"), id="the last one"),
        pytest.param(post(b"x").replace(b"HTTP/1.1", b"HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(post(b"x").replace(b"POST", b"PUT"), id="another method"),
        pytest.param(post(b"x" * (LONGEST_BODY + 1)), id="a long body"),
    ],
)
def test_what_is_no_plain_call_goes_the_long_way(request_: bytes) -> None:
    """Nothing of it is kept."""

    async def conversation(client: Client) -> None:
        await client.send(request_)
        ((way, _),) = await client.ways(1)
        assert way == b"long"
        assert not client.protocol.known

    talk(Echo(), conversation)


def test_a_chunked_body_is_no_known_head_and_expectations_are_met() -> None:
    """Of a body without a length nothing is kept; who asks before sending is told to go on."""

    async def conversation(client: Client) -> None:
        chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
        await client.send(chunked)
        assert await client.ways(1) == [(b"short", b"body")]
        assert not client.protocol.known
        await client.send(post(b"", b"Expect: 100-continue").replace(b"Length: 0", b"Length: 2"))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"ok")
        assert await client.ways(1) == [(b"long", b"ok")]

    talk(Echo(), conversation)


def test_heads_that_are_known_are_bounded() -> None:
    """Neither many heads nor long ones fill the memory."""

    async def conversation(client: Client) -> None:
        for number in range(MOST_HEADS + 3):
            client.writer.write(post(b"x", b"X-Number: %d" % number))
            await client.answer()
        assert len(client.protocol.known) == 2
        await client.send(post(b"x", b"X-Long: " + b"a" * 5000))
        await client.answer()
        assert len(client.protocol.known) == 2

    talk(Echo(), conversation)


def test_a_call_waits_for_its_turn_and_what_follows_it_waits_behind() -> None:
    """Nothing is answered out of order, and nothing that arrived meanwhile is lost."""
    echo = Echo()

    async def conversation(client: Client) -> None:
        await client.send(post(b"one"))
        await client.send(post(b"ten"))
        echo.busy = True
        await client.send(post(b"two"))
        await client.send(post(b"six"))
        assert len(echo.waiting) == 1
        echo.busy = False
        echo.settle()
        assert [body for _, body in await client.ways(4)] == [b"one", b"ten", b"two", b"six"]

    talk(echo, conversation)


def test_calls_that_arrive_together_are_answered_each_to_its_own_caller() -> None:
    """More of them than are answered in one group, all of known heads, on connections of their own."""

    async def conversation(client: Client) -> None:
        where = client.writer.get_extra_info("peername")[:2]
        others = [
            Client(*await asyncio.open_connection(*where), client.protocol, client.state)
            for _ in range(2 * TOGETHER + 3)
        ]
        for round_ in range(3):
            for number, other in enumerate(others):
                other.writer.write(post(b"%d of %02d" % (round_, number)))
            for number, other in enumerate(others):
                assert await other.ways(1) == [(b"short", b"%d of %02d" % (round_, number))]
        for other in others:
            other.writer.close()
            await other.writer.wait_closed()

    talk(Echo(), conversation)


def test_a_server_that_stops_answers_who_waits_and_closes() -> None:
    """Who waits for a turn is under way."""
    echo = Echo()

    async def conversation(client: Client) -> None:
        for _ in range(2):
            await client.send(post(b"one"))
            await client.answer()
        echo.busy = True
        await client.send(post(b"two"))
        for connection in list(client.state.connections):
            connection.shutdown()
        await asyncio.sleep(0.01)
        echo.settle()
        _, headers, body = await client.answer()
        assert (headers[b"connection"], body) == (b"close", b"two")
        assert await client.reader.read() == b""

    talk(echo, conversation)


@pytest.mark.parametrize("before", [0, 2], ids=["an unknown head", "a known head"])
@pytest.mark.parametrize("bad", ["raise", "value"])
def test_an_answer_that_fails_or_would_split_is_an_error_without_words(bad: str, before: int) -> None:
    """A header's value with a line break would begin another answer."""
    echo = Echo()

    async def conversation(client: Client) -> None:
        for _ in range(before):
            await client.send(post(b"x"))
            await client.answer()
        echo.bad = bad
        await client.send(post(b"x"))
        status, headers, body = await client.answer()
        assert (status, headers[b"connection"], body) == (500, b"close", b"Internal Server Error")
        assert await client.reader.read() == b""

    talk(echo, conversation)


def test_an_idle_connection_is_closed_by_one_timer_for_all_its_calls() -> None:
    """Two calls that are known share a timer, which closes the connection once nothing has come for long enough."""

    async def conversation(client: Client) -> None:
        connection: Any = next(iter(client.state.connections))
        connection.timeout_keep_alive = 0.2
        timers = []
        for _ in range(4):
            await client.send(post(b"x"))
            await client.answer()
            timers.append(connection.timeout_keep_alive_task)
        assert timers[-1] is timers[-2]
        assert await asyncio.wait_for(client.reader.read(), 10) == b""

    talk(Echo(), conversation)
