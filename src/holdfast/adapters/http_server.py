"""uvicorn, bounded: an HTTP/1.1 server on one socket that gives no client more than its share of memory and time.

uvicorn with httptools limits neither the size of a request's head nor the time it takes to arrive; both are limited
here. It parses HTTP and speaks ASGI; what a request means is decided elsewhere.
"""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import uvicorn

from holdfast.adapters.http_direct import Direct, Straight
from holdfast.adapters.posts import Post
from holdfast.core.errors import InvalidInput

MAX_HEAD: Final = 64 << 10  # bytes of a request line with its headers; honest ones have less than 2 KiB
KEEP_ALIVE_S: Final = 30  # that an idle connection is kept
MAX_CONNECTIONS: Final = 2048  # per worker; more are answered 503 at once
GRACE_S: Final = 10  # to finish what is under way when told to stop
LOOK_EVERY: Final = 10  # ticks of the server's loop, of 0.1 s each, between two looks for slow clients
# Counted in looks, not by the clock: between two of them what has arrived is read several times, so that a server that
# was itself kept waiting, by a busy machine, blames no client for it.
MAX_LOOKS: Final = 10  # seconds, unless the server is late, for a head to arrive, from the connection or its first byte

OnMalformed = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Whom the server shows itself as, and whose certificates it demands of its callers."""

    certificate: Path  # its chain, PEM
    key: Path
    client_authority: Path | None = None  # where there is one, nobody gets in without a certificate of it
    demanded: bool = True  # else a certificate may be shown, and must then be of that authority


def run(
    app: Any,
    listening: socket.socket | Post,
    *,
    on_started: Callable[[], None],
    on_malformed: OnMalformed,
    tls: Tls | None = None,
    direct: Direct | None = None,
    rests: Callable[[], bool] = lambda: False,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        app: The application.
        listening: A bound socket, which listens from now on, or a post among others.
        on_started: Called once connections are accepted.
        on_malformed: Called with the peer's address for each request that is not HTTP.
        tls: Where it ends in this process. Files that are replaced are used from the next connection on.
        direct: Answers a call that has arrived as a whole, at once; the application answers all others.
        rests: Asked ten times a second: whether new connections are better taken by others at this port.

    Raises:
        InvalidInput: The certificate, its key or the authority cannot be used.
    """
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())  # what must be told is told by the application
    logging.getLogger("uvicorn").propagate = False
    protocol = _protocol(on_malformed, direct)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # a header is no proof of an address
        server_header=False,
        date_header=True,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_context_factory=None if tls is None else lambda *_: _Renewed(tls),
    )
    post = listening if isinstance(listening, Post) else Post.alone(listening)
    _Server(config, on_started, post, rests).run(sockets=[])


def context_of(tls: Tls) -> ssl.SSLContext:
    """Return a server's TLS context: TLS 1.2 or newer, and callers verified where an authority is named.

    Raises:
        InvalidInput: The certificate, its key or the authority cannot be used.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED if tls.demanded else ssl.CERT_OPTIONAL
            context.load_verify_locations(tls.client_authority)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"TLS cannot be set up: {error}", place=str(tls.certificate)) from error
    return context


class _Renewed(ssl.SSLContext):
    """A server's context that uses what lies in its files by the time of each connection.

    Each connection gets a context that is whole: certificate, key and authority of one moment. Files that do not fit
    together, because they are being replaced or were replaced badly, change nothing.
    """

    def __new__(cls, _: Tls) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, tls: Tls) -> None:
        self._tls, self._stamp = tls, stamp_of(tls)
        self._whole = context_of(tls)

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        stamp = stamp_of(self._tls)
        if stamp != self._stamp:
            try:
                self._whole, self._stamp = context_of(self._tls), stamp
            except InvalidInput:  # looked at again with the next connection
                self._stamp = ()
        return self._whole.wrap_bio(*given, **named)


def stamp_of(tls: Tls) -> tuple[tuple[int, int, int], ...]:
    """Return what changes when one of the files is replaced; nothing where one is not there."""
    paths = (tls.certificate, tls.key, *((tls.client_authority,) if tls.client_authority else ()))
    try:
        found = [path.stat() for path in paths]
    except OSError:
        return ()
    return tuple((status.st_ino, status.st_mtime_ns, status.st_size) for status in found)


class _Server(uvicorn.Server):
    """uvicorn's server, which also says when it has started, looks after slow clients and stands in for others."""

    def __init__(
        self, config: uvicorn.Config, on_started: Callable[[], None], post: Post, rests: Callable[[], bool]
    ) -> None:
        super().__init__(config)
        self._on_started, self._post, self._rests = on_started, post, rests
        self._accepting: dict[int, asyncio.Server] = {}  # by the number of the post whose queue is accepted from

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, and do not raise them again: records are written after the last answer."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await self._stand()
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers = list(self._accepting.values())
        await super().shutdown(sockets)

    async def _stand(self) -> None:
        """Beat, and accept from the queues that are this worker's now, its own and those of vacant posts."""
        post = self._post
        post.beat(rests=self._rests())
        wanted = post.wanted()
        if wanted == self._accepting.keys():
            return
        for number in self._accepting.keys() - wanted:
            self._accepting.pop(number).close()
        loop = asyncio.get_running_loop()
        for number in wanted - self._accepting.keys():
            copied = post.sockets[number].dup()  # whoever stops accepting closes a copy; the queue stays
            self._accepting[number] = await loop.create_server(
                self._protocol, sock=copied, ssl=self.config.ssl, backlog=self.config.backlog
            )
        if not wanted:
            for connection in list(self.server_state.connections):
                if isinstance(connection, Straight):
                    connection.part()

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def on_tick(self, counter: int) -> bool:
        await self._stand()
        if counter % LOOK_EVERY == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, _Bounded) and connection.head_open:
                    connection.look()
        return await super().on_tick(counter)


class _Bounded(Straight):
    """uvicorn's protocol, which also counts the bytes and the seconds of each request's head."""

    head_open = False
    _head_bytes = 0
    _looks = 0
    on_malformed: OnMalformed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.head_open = True

    def data_received(self, data: bytes) -> None:
        if self.head_open:
            if self._head_bytes > MAX_HEAD:
                self.send_400_response("the head is too long")
                return
            self._head_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self.head_open, self._looks, self._head_bytes = True, 0, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.head_open = False
        if not self.url.startswith(b"/") or b"#" in self.url:  # a second host, or a part that is never sent
            raise ValueError("the target is no path")  # the parser makes its own error of it
        super().on_headers_complete()

    def look(self) -> None:
        """Close a connection whose head was still on its way the last so many times."""
        self._looks += 1
        if self._looks > MAX_LOOKS and not self.transport.is_closing():
            self._tell()
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words about its parser stay here
        self._tell()
        self.head_open = False
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _tell(self) -> None:
        self.on_malformed(self.client[0] if self.client else "")


def _protocol(on_malformed: OnMalformed, direct: Direct | None) -> type[_Bounded]:
    """Return the protocol with somebody to tell and somebody to ask; uvicorn makes its own instances."""
    shared: dict[str, Any] = {
        "on_malformed": staticmethod(on_malformed),
        "direct": direct,
        "known": {},
        "line": [],
        "lines": {},
    }
    return type("Bounded", (_Bounded,), shared)
