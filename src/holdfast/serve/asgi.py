"""The ASGI side of the gateway: reads a body within its limits, calls the core, sends what it says.

No framework, no routing, no middleware: one coroutine per request. It bounds what a client may send before anything
looks at it, in bytes and in time; everything else is the core's decision.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from holdfast.serve.exchange import HttpRequest, HttpResponse
from holdfast.serve.refusals import OVERLOADED, TOO_LARGE, TOO_SLOW, Saying
from holdfast.serve.turns import SLICE_S, SMOOTHING, Turns

MAX_BODY: Final = 8 << 20  # bytes that are read at all; the route table's own limit is far below
MAX_HELD: Final = 64 << 20  # bytes of bodies that are still arriving, in one worker
BODY_TIMEOUT_S: Final = 10.0  # for a whole body to arrive: a megabyte at 1 Mbit/s
DRAINED: Final = 8 << 20  # bytes read and thrown away after a refusal, so that the sender gets to read it
MOST_TOGETHER: Final = 64 << 10  # bytes of the bodies of calls that the core is given at once
_CLOSE: Final = (b"connection", b"close")

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


class Core(Protocol):
    """What an application needs of a gateway."""

    def shed(self) -> HttpResponse:
        """Return the refusal of a request that nobody looks at."""
        ...

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        ...

    def handle_together(self, requests: Sequence[HttpRequest]) -> list[HttpResponse]:
        """Return the responses to requests that have arrived together, in order."""
        ...

    def turn_away(self, request: HttpRequest, saying: Saying) -> HttpResponse:
        """Return the refusal of a request that was not read to its end."""
        ...


class Asked(Protocol):
    """What the head of a POST says."""

    @property
    def path(self) -> str:
        """The path."""
        ...

    @property
    def query(self) -> bytes:
        """What follows its question mark."""
        ...

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers, names in lower case."""
        ...


def asgi(core: Core) -> App:
    """Return an ASGI application around the core; it answers those who wait in turn, and sheds what is too much."""
    return entrances(core)[0]


def entrances(core: Core) -> tuple[App, "Direct"]:
    """Return two ways to the core with one line before both: by ASGI, and for a POST that has arrived as a whole."""
    turns = Turns(core)
    return _app(core, turns), Direct(core, turns)


class Direct:
    """Answers POSTs that have arrived as a whole, in the same line as all others."""

    __slots__ = ("_clock", "_each_s", "_free", "_handle", "_handle_together", "_turns")

    def __init__(self, core: Core, turns: Turns, clock: Callable[[], float] = time.perf_counter) -> None:
        """Answer from a core."""
        self._turns, self._handle, self._free = turns, core.handle, turns.free
        self._handle_together, self._clock = core.handle_together, clock
        self._each_s = SLICE_S  # that a call takes of late; at first one at a time is asked

    def now(self, asked: Asked, body: bytes, peer: str, certificate: bytes) -> HttpResponse | None:
        """Return the response, or None where others are before it."""
        return self._handle(_posted(asked, body, peer, certificate)) if self._free(asked.path) else None

    def together(self, calls: Sequence[tuple[Asked, bytes, str, bytes]]) -> list[HttpResponse | None]:
        """Return the responses to calls that have arrived together, None for each that others are before.

        As many are handed to the core at once as it answers within a slice of time: whether anybody has waited for too
        long is looked at as often as if each call were handed over alone.
        """
        found: list[HttpResponse | None] = []
        while len(found) < len(calls):
            group = self._group(calls, len(found))
            free = [self._free(call[0].path) for call in group]
            begun = self._clock()
            asked = [_posted(*call) for call, now in zip(group, free, strict=True) if now]
            responses = iter(self._handle_together(asked))
            found += [next(responses) if now else None for now in free]
            if asked:
                self._each_s += SMOOTHING * ((self._clock() - begun) / len(asked) - self._each_s)
        return found

    def _group(
        self, calls: Sequence[tuple[Asked, bytes, str, bytes]], begin: int
    ) -> Sequence[tuple[Asked, bytes, str, bytes]]:
        """Return the calls that the core is given at once: as many as its time and their sizes allow, at least one."""
        most, held, end = max(1, int(SLICE_S / self._each_s)), len(calls[begin][1]), begin + 1
        while end < len(calls) and end - begin < most and held + len(calls[end][1]) <= MOST_TOGETHER:
            held += len(calls[end][1])
            end += 1
        return calls[begin:end]

    def later(self, asked: Asked, body: bytes, peer: str, certificate: bytes) -> "asyncio.Future[HttpResponse]":
        """Return what will be the response, or the refusal."""
        return self._turns.wait(_posted(asked, body, peer, certificate))


def _posted(asked: Asked, body: bytes, peer: str, certificate: bytes) -> HttpRequest:
    return HttpRequest(
        method="POST",
        path=asked.path,
        headers=asked.headers,
        body=body,
        query=asked.query,
        peer=peer,
        certificate=certificate,
    )


def _app(core: Core, turns: Turns) -> App:
    held = Held()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # no web sockets, no lifespan
            return
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        begun: bytes = message.get("body", b"")
        whole = not message.get("more_body", False) and len(begun) <= MAX_BODY
        body = begun if whole else await _rest(begun, receive, held, more=bool(message.get("more_body", False)))
        client, extensions = scope["client"], scope.get("extensions")
        request = HttpRequest(
            method=scope["method"],
            path=scope["path"],
            headers=scope["headers"],
            body=body if isinstance(body, bytes) else b"",
            query=scope.get("query_string", b""),
            peer=client[0] if client else "",
            certificate=extensions.get("holdfast.tls", {}).get("certificate", b"") if extensions else b"",
        )
        if not isinstance(body, bytes):
            response = core.turn_away(request, body)
        elif turns.free(request.path):
            response = core.handle(request)
        else:
            response = await turns.wait(request)
        headers = response.headers if isinstance(body, bytes) else (*response.headers, _CLOSE)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    return app


@dataclass(slots=True)
class Held:
    """The bytes of bodies that are still arriving, of all connections of a worker together."""

    bytes: int = 0


async def _rest(begun: bytes, receive: Receive, held: Held, *, more: bool) -> bytes | Saying:
    """Return the whole body, or why it is not waited for."""
    parts, length, kept = [begun], len(begun), 0
    refused = TOO_LARGE
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while more and length <= MAX_BODY + DRAINED:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return TOO_SLOW  # nobody is there to read it, but somebody may want to know
                part = message.get("body", b"")
                length += len(part)
                more = message.get("more_body", False)
                if held.bytes + len(part) > MAX_HELD:
                    refused, length = OVERLOADED, max(length, MAX_BODY + 1)
                if length <= MAX_BODY:
                    parts.append(part)
                    held.bytes += len(part)
                    kept += len(part)
                elif kept:
                    held.bytes, kept = held.bytes - kept, 0
                    parts.clear()
    except TimeoutError:
        return TOO_SLOW if length <= MAX_BODY else refused
    finally:
        held.bytes -= kept
    return refused if length > MAX_BODY else b"".join(parts)
