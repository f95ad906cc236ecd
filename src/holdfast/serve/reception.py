"""The door for gateways on other hosts: each is known by its certificate, may read what is published, and tell.

Without a certificate of an enrolled gateway nothing is answered, not even what is public elsewhere: bytes of models are
not everybody's. What is told is bounded here, and judged by whoever takes it in.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, NotVerified
from holdfast.core.spool import EVENTS, MAX_CHUNK, MAX_STATEMENT, OFFSET, SIZE, STATEMENT
from holdfast.serve.distribution import Asgi

TELL: Final = "/spool/"
OWN: Final = "/own/client.crt.pem"
TAKE_S: Final = 60.0  # for what a gateway tells to arrive, and to be kept
MAX_OFFSET_DIGITS: Final = 12
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


class Taking(Protocol):
    """Where what a gateway tells waits for the control plane."""

    def statement(self, name: str, document: bytes) -> None:
        """Take a sealed statement.

        Raises:
            NotVerified: It is not encrypted, or another of this number is there.
            Unavailable: It cannot be kept, or too much waits already.
        """
        ...

    def events(self, name: str, offset: int, lines: bytes) -> int:
        """Take whole lines of a file of events; return how many bytes of it are there now.

        Raises:
            Conflict: The control plane has taken all of this file, and a newer one has begun.
            NotVerified: They are no events.
            Unavailable: They cannot be kept, or too much waits already.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """An ASGI application for gateways that are known by their certificates."""

    inside: Asgi  # answers what is read
    known: Callable[[bytes], str]  # the name that a certificate proves; raises NotVerified
    taking: Callable[[str], Taking]  # where what a gateway of this name tells is kept
    own: Callable[[str], bytes | None]  # the newest certificate of a gateway of this name
    refused: Callable[[str, str], None]  # told who was refused, and why

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        certificate = scope.get("extensions", {}).get("holdfast.tls", {}).get("certificate", b"")
        who = f"certificate {digest_bytes(certificate).removeprefix('sha256:')}"  # as `cert list` names it
        try:
            who = self.known(certificate)
            if scope["path"] == OWN and scope["method"] == "GET":
                await _hand(send, self.own(who))
                return
            if scope["method"] != "POST":
                await self.inside(scope, receive, send)
                return
            async with asyncio.timeout(TAKE_S):
                size = await self._taken(who, scope, receive)
        except Conflict:  # the control plane has taken all of this file, and removed it
            await _say(send, 410, ())
        except (NotVerified, InvalidInput) as error:
            self.refused(who, error.message)
            await _say(
                send, 403 if isinstance(error, NotVerified) else 400, ((b"x-holdfast-code", error.code.encode()),)
            )
        except TimeoutError:
            await _say(send, 408, ())
        except HoldfastError as error:
            await _say(send, 503, ((b"x-holdfast-code", error.code.encode()),))
        else:
            await _say(send, 200, ((SIZE.encode(), str(size).encode()),))

    async def _taken(self, who: str, scope: dict[str, Any], receive: Any) -> int:
        """Take in what a gateway tells, and return how many bytes of the file are there now.

        Raises:
            InvalidInput: It is of no kind that a spool holds, or too long.
        """
        name = scope["path"].removeprefix(TELL)
        taking = self.taking(who)
        if STATEMENT.fullmatch(name):
            document = await _content(receive, MAX_STATEMENT)
            taking.statement(name, document)
            return len(document)
        headers = {key.lower(): value for key, value in scope["headers"]}
        offset = headers.get(OFFSET.encode(), b"").decode("latin-1")
        if not EVENTS.fullmatch(name) or not (
            offset.isascii() and offset.isdigit() and len(offset) <= MAX_OFFSET_DIGITS
        ):
            raise InvalidInput("no such file belongs into a spool", place=name[:80])
        return taking.events(name, int(offset), await _content(receive, MAX_CHUNK))


async def _content(receive: Any, limit: int) -> bytes:
    """Return a request's content.

    Raises:
        InvalidInput: It is too long, or ends before its end.
    """
    found, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("the gateway has gone before the end")
        found.append(message.get("body", b""))
        length += len(found[-1])
        if length > limit:
            raise InvalidInput("what a gateway tells is too long", expected=f"at most {limit} bytes")
        if not message.get("more_body", False):
            return b"".join(found)


async def _hand(send: Send, data: bytes | None) -> None:
    """Hand a gateway what is its own, if there is any."""
    headers = ((b"content-length", str(len(data or b"")).encode()), (b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": 404 if data is None else 200, "headers": headers})
    await send({"type": "http.response.body", "body": data or b""})


async def _say(send: Send, status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    closing = ((b"connection", b"close"),) if status != 200 else ()  # noqa: PLR2004 - content may still be on its way
    sized = (*headers, (b"content-length", b"0"), *closing)
    await send({"type": "http.response.start", "status": status, "headers": sized})
    await send({"type": "http.response.body", "body": b""})
