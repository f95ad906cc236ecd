"""The short way through the server: a call that is there as a whole is answered at once, without a task or ASGI.

uvicorn makes a scope, a cycle, a task and four awaits for each request; for a call that has arrived nothing waits
between its last byte and its answer. Whatever is no such call goes the long way, from its head on: a body that is still
arriving, another method than POST, HTTP/1.0, an end of the connection, `Expect`, an upgrade, a client that does not
read its answers, too many connections, and an unknown head whose turn it is not.

A caller's heads are mostly the same, byte for byte. What the parser made of one is kept, and a request that stands at
the beginning of a message, begins with exactly these bytes and is exactly as long as they say is not parsed again.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeAlias, cast
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

MOST_HEADS: Final = 256  # that are known, of one worker
LONGEST_HEAD: Final = 4096  # bytes of one that is kept
TOGETHER: Final = 16  # calls that are answered before the first of their answers is sent
LONGEST_BODY: Final = 1 << 20  # bytes that are taken the short way
_END: Final = b"\r\n\r\n"
_BROKEN: Final = b"content-length: 21\r\nconnection: close\r\n\r\nInternal Server Error"

Pairs: TypeAlias = Sequence[tuple[bytes, bytes]]
Arrived: TypeAlias = tuple["Asked", bytes, str, bytes]  # a call: its head, its body, the peer's address and certificate


class Response(Protocol):
    """An answer, ready to be sent."""

    @property
    def status(self) -> int:
        """The status code."""
        ...

    @property
    def headers(self) -> Pairs:
        """The headers, among them the content's length."""
        ...

    @property
    def body(self) -> bytes:
        """The content."""
        ...


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What the head of a POST says."""

    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    length: int  # of the body, bytes


class Direct(Protocol):
    """Answers a head with its body, the peer's address and the peer's certificate."""

    def now(self, asked: Asked, body: bytes, peer: str, certificate: bytes) -> Response | None:
        """Return the answer, or None where it is not its turn yet."""
        ...

    def together(self, calls: Sequence[Arrived]) -> Sequence[Response | None]:
        """Return the answers to calls that have arrived together, in order; None where it is not a call's turn yet."""
        ...

    def later(self, asked: Asked, body: bytes, peer: str, certificate: bytes) -> "asyncio.Future[Any]":
        """Return what will be the answer."""
        ...


class Straight(HttpToolsProtocol):
    """uvicorn's protocol with the short way; without somebody who answers at once all goes the long way."""

    direct: Direct | None = None
    known: dict[bytes, Asked]  # of all connections of a worker
    line: list[tuple["Straight", Asked, bytes]]  # known calls that have arrived in this round of the loop
    lines: dict[bytes, bytes]  # names of headers that were found to be names, as a line begins with them
    _begun = b""  # what has arrived since a message could begin, while that is all in one piece
    _clear = False  # nothing was received since the end of a message that went the short way
    _short = False  # the present message may go the short way
    _parts: list[bytes]
    _waits = False  # for the turn of a call that went the short way; nothing else is read meanwhile
    _ends = False  # told to close once the present call, or else the next, is answered
    _held: bytes = b""  # what arrived while it waited
    _idle = 0.0  # since when, by the loop's clock

    def data_received(self, data: bytes) -> None:
        """Answer what is known as a whole; give the parser all else."""
        if self._waits:
            self.transport.pause_reading()
            self._held += data
            return
        if self._clear:
            end = data.find(_END) + 4
            asked = self.known.get(data[:end])
            if asked is not None and len(data) == end + asked.length and self._may():
                self._waits = True
                if not self.line:
                    self.loop.call_soon(_answer_together, self.line)
                self.line.append((self, asked, data[end:]))
                return
            self._begun = data
        super().data_received(data)
        self._begun = b""
        if self._short and not self.transport.is_closing():
            self._go_long()  # the rest is waited for, within bounds, where bodies are

    def on_message_begin(self) -> None:
        """Begin a message; what ASGI needs of it is made when it is needed."""
        self._clear = False
        self.url, self.expect_100_continue, self.headers = b"", False, []

    def on_headers_complete(self) -> None:
        """Decide which way the message goes."""
        parser = self.parser
        self._short = (
            self.direct is not None
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and self._may()
        )
        if self._short:
            self._parts = []
        else:
            self._long_head()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if self._short:
            self._parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer, or let it be answered."""
        if self._short:
            body = b"".join(self._parts)
            asked = self._asked(len(body))
            if len(body) <= LONGEST_BODY and self._may() and self._answer(asked, body):
                self._short, self._clear = False, True
                self._keep(asked)
                return
            self._go_long()
        super().on_message_complete()

    def _may(self) -> bool:
        """Say whether an answer may be sent at once."""
        most, cycle = self.limit_concurrency, cast("RequestResponseCycle | None", self.cycle)
        return (
            (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and not self.transport.is_closing()
            and (most is None or (len(self.connections) < most and len(self.tasks) < most))
        )

    def _asked(self, length: int) -> Asked:
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        return Asked(path, url.query or b"", tuple(self.headers), length)

    def _keep(self, asked: Asked) -> None:
        """Know a head from now on, if what has arrived begins with it, and its body is all of the rest."""
        begun = self._begun
        end = begun.find(_END) + 4
        said = [value for name, value in asked.headers if name in (b"content-length", b"transfer-encoding")]
        if 4 < end <= LONGEST_HEAD and len(begun) == end + asked.length and said == [b"%d" % asked.length]:  # noqa: PLR2004
            if len(self.known) >= MOST_HEADS:
                self.known.clear()
            self.known[begun[:end]] = asked

    def _go_long(self) -> None:
        """Hand a message that may not go the short way to ASGI, with what has arrived of its body."""
        self._short = False
        self._long_head()
        for part in self._parts:
            super().on_body(part)

    def _long_head(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        certificate = self._certificate()
        if certificate:
            self.scope["extensions"] = {"holdfast.tls": {"certificate": certificate}}
        super().on_headers_complete()
        if self._ends:
            self.cycle.keep_alive = False

    def _certificate(self) -> bytes:
        """Return the peer's certificate that TLS has verified, DER; uvicorn does not hand it on."""
        tls = self.transport.get_extra_info("ssl_object") if self.scheme == "https" else None
        return (tls.getpeercert(binary_form=True) or b"") if tls is not None else b""

    def _answer(self, asked: Asked, body: bytes) -> bool:
        """Answer now, or say no where the turn of this call is later."""
        direct: Any = self.direct
        try:
            response = direct.now(asked, body, self.client[0] if self.client else "", self._certificate())
            if response is None:
                return False
            self._send(self._said(response, ends=self._ends))
            if self._ends:
                self.transport.close()
        except Exception as error:  # noqa: BLE001 - as uvicorn does with an application that fails
            self.fail(error)
        return True

    def arrived(self, asked: Asked, body: bytes) -> Arrived | None:
        """Return a call in line as it is asked; None where there is nobody left to take an answer."""
        if self.transport.is_closing():
            return None
        return asked, body, self.client[0] if self.client else "", self._certificate()

    def said(self, call: Arrived, response: Response | None) -> bytes | None:
        """Return the answer to a call in line as it is sent; None where there is none yet."""
        direct: Any = self.direct
        try:
            if response is not None:
                return self._said(response, ends=self._ends)
            direct.later(*call).add_done_callback(self._settled)
        except Exception as error:  # noqa: BLE001 - the same
            self.fail(error)
        return None

    def _settled(self, future: "asyncio.Future[Any]") -> None:
        """Send the answer that a call has waited for."""
        try:
            said = self._said(future.result(), ends=self._ends)
        except Exception as error:  # noqa: BLE001 - the same
            self.fail(error)
        else:
            self.finish(said)

    def finish(self, said: bytes) -> None:
        """Send the answer to a call that was in line, and read on."""
        self._waits = False
        if self.transport.is_closing():
            return
        self._send(said)
        held, self._held = self._held, b""
        if self._ends:
            self.transport.close()
        elif held:
            self.transport.resume_reading()
            self.data_received(held)

    def _send(self, said: bytes) -> None:
        self.transport.write(said)
        self.server_state.total_requests += 1
        self._idle = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_later(self.timeout_keep_alive)

    def fail(self, error: Exception) -> None:
        """Say that there is no answer, and close."""
        self.logger.error("an application failed", exc_info=error)
        self.transport.write(STATUS_LINE[500] + _BROKEN)
        self.transport.close()

    def _look_later(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for as long as one is kept; one timer serves many calls."""
        self.timeout_keep_alive_task = None
        left = self._idle + self.timeout_keep_alive - self.loop.time()
        if self._waits:  # the answer begins a new timer
            return
        if left > 0:
            self._look_later(left)
        else:
            super().timeout_keep_alive_handler()

    def part(self) -> None:
        """Answer once more, whether a call is under way or not, and let the client connect anew for the next."""
        self._ends = True
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False

    def shutdown(self) -> None:
        """Finish what is under way, and close."""
        if self._waits:
            self._ends = True
        else:
            super().shutdown()

    def _said(self, response: Response, *, ends: bool = False) -> bytes:
        """Return the bytes of an answer.

        Raises:
            RuntimeError: A header is none.
        """
        lines, parts, values = self.lines, [STATUS_LINE[response.status]], []
        for name, value in (*self.server_state.default_headers, *response.headers):
            line = lines.get(name)
            if line is None:
                if HEADER_RE.search(name):
                    raise RuntimeError("no name of a header")
                line = lines[name] = name.lower() + b": "
            parts += (line, value, b"\r\n")
            values.append(value)
        if HEADER_VALUE_RE.search(b"".join(values)):
            raise RuntimeError("no value of a header")
        parts += (b"connection: close\r\n\r\n" if ends else b"\r\n", response.body)
        return b"".join(parts)


def _answer_together(line: list[tuple[Straight, Asked, bytes]]) -> None:
    """Answer what has arrived: calls are read, answered and sent in groups, so that each step finds its code cached."""
    calls = line[:]
    line.clear()
    for begin in range(0, len(calls), TOGETHER):
        group = [(each, each.arrived(asked, body)) for each, asked, body in calls[begin : begin + TOGETHER]]
        asking = [(connection, call) for connection, call in group if call is not None]
        for connection, said in _all_said(asking):
            if said is not None:
                connection.finish(said)


def _all_said(asking: list[tuple[Straight, Arrived]]) -> list[tuple[Straight, bytes | None]]:
    """Return what is sent to each connection of a group; nothing where that is not known yet, or never will be."""
    if not asking:
        return []
    direct: Any = asking[0][0].direct
    try:
        responses = direct.together([call for _, call in asking])
    except Exception as error:  # noqa: BLE001 - the same
        for connection, _ in asking:
            connection.fail(error)
        return []
    return [
        (connection, connection.said(call, response))
        for (connection, call), response in zip(asking, responses, strict=True)
    ]
