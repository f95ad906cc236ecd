"""The ASGI side of the gateway: reads a body within its limits, calls the core, sends what it says.

No framework, no routing, no middleware: one coroutine per request. It bounds what a client may send before anything
looks at it, in bytes and in time; everything else is the core's decision.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol, TypeAlias

from holdfast.serve.exchange import HttpRequest, HttpResponse
from holdfast.serve.refusals import TOO_LARGE, TOO_SLOW, Saying

MAX_BODY: Final = 8 << 20  # bytes that are read at all; the route table's own limit is far below
BODY_TIMEOUT_S: Final = 10.0  # for a whole body to arrive: a megabyte at 1 Mbit/s
DRAINED: Final = 8 << 20  # bytes read and thrown away after a refusal, so that the sender gets to read it
_CLOSE: Final = (b"connection", b"close")

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


class Core(Protocol):
    """What an application needs of a gateway."""

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        ...

    def turn_away(self, request: HttpRequest, saying: Saying) -> HttpResponse:
        """Return the refusal of a request that was not read to its end."""
        ...


def asgi(core: Core) -> App:
    """Return an ASGI application around the core."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # no web sockets, no lifespan
            return
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        begun: bytes = message.get("body", b"")
        whole = not message.get("more_body", False) and len(begun) <= MAX_BODY
        body = begun if whole else await _rest(begun, receive, more=bool(message.get("more_body", False)))
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
        response = core.handle(request) if isinstance(body, bytes) else core.turn_away(request, body)
        headers = response.headers if isinstance(body, bytes) else (*response.headers, _CLOSE)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    return app


async def _rest(begun: bytes, receive: Receive, *, more: bool) -> bytes | Saying:
    """Return the whole body, or why it is not waited for."""
    parts, length = [begun], len(begun)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while more and length <= MAX_BODY + DRAINED:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return TOO_SLOW  # nobody is there to read it, but somebody may want to know
                part = message.get("body", b"")
                length += len(part)
                more = message.get("more_body", False)
                if length <= MAX_BODY:
                    parts.append(part)
    except TimeoutError:
        return TOO_SLOW if length <= MAX_BODY else TOO_LARGE
    return TOO_LARGE if length > MAX_BODY else b"".join(parts)
