"""grpcio, bounded: an HTTP/2 server that gives no client more than its share of memory and time.

It takes each call as a stream of which it reads one message, because only so can a message that never arrives be given
up: a client that opens calls and sends nothing holds no place for longer than a body may take. Messages are bytes here;
what they mean is decided elsewhere. Compressed messages are not taken: they could be bombs.
"""

import asyncio
import signal
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import grpc
import grpc.aio
import uvloop

from holdfast.adapters.http_server import Tls, context_of, stamp_of
from holdfast.core.errors import InvalidInput, Unavailable

MAX_MESSAGE: Final = 2 << 20  # bytes: twice what the shipped tables let pass
MAX_METADATA: Final = 64 << 10  # bytes, as for a head over HTTP
MAX_CALLS: Final = 256  # at once, each with a message in memory; more are refused at once
MAX_STREAMS: Final = 64  # of one connection
MESSAGE_TIMEOUT_S: Final = 10.0  # for a whole message to arrive
CONNECTION_AGE_MS: Final = 10 * 60 * 1000  # after which a client must connect again, so that no half-open one stays
IDLE_MS: Final = 5 * 60 * 1000
HANDSHAKE_MS: Final = 10_000
BEAT_S: Final = 0.1
GRACE_S: Final = 10.0  # to finish what is under way when told to stop
_OPTIONS: Final = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", -1),  # the answer's size follows from the rows that were let in
    ("grpc.max_metadata_size", MAX_METADATA),
    ("grpc.absolute_max_metadata_size", MAX_METADATA),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
    ("grpc.max_connection_age_grace_ms", int(GRACE_S * 1000)),
    ("grpc.max_connection_idle_ms", IDLE_MS),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # the identity alone
    ("grpc.http2.min_ping_interval_without_data_ms", 60_000),
)


class Said(Protocol):
    """What is answered to a call."""

    @property
    def code(self) -> str:
        """A code of gRPC, by name."""
        ...

    @property
    def message(self) -> bytes:
        """What is answered where the code is OK."""
        ...

    @property
    def words(self) -> str:
        """Why it is not."""
        ...

    @property
    def trailers(self) -> tuple[tuple[str, str], ...]:
        """Trailing metadata."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One call: its method's full name, its message (none where it did not arrive), and who sent it."""

    method: str
    message: bytes | None
    slow: bool  # whether it did not arrive in time
    metadata: tuple[tuple[str, str | bytes], ...]
    peer: str
    certificate: bytes


Answer: TypeAlias = Callable[[Received], Awaitable[Said]]


def run(
    answer: Answer,
    *,
    host: str,
    port: int,
    on_started: Callable[[], None],
    tls: Tls | None = None,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        answer: Takes each call.
        host: Address to listen on.
        port: Port, which others of this user may share.
        on_started: Called once connections are accepted.
        tls: Where it ends in this process. Files that are replaced are used from the next connection on.
        beat: Called ten times a second by the loop that answers.

    Raises:
        InvalidInput: The certificate, its key or the authority cannot be used.
        Unavailable: The address cannot be listened on.
    """
    if tls is not None:
        context_of(tls)  # says what is wrong with the files in words that grpcio has not
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(answer, address, on_started, tls, beat))


async def _serve(
    answer: Answer, address: str, on_started: Callable[[], None], tls: Tls | None, beat: Callable[[], None]
) -> None:
    server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MAX_CALLS)
    server.add_generic_rpc_handlers((_Every(answer),))
    try:
        if tls is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, _credentials(tls))
    except RuntimeError as error:
        raise Unavailable(f"{address} cannot be bound", remedy="Choose another --grpc-port.") from error
    await server.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    on_started()
    while not stop.is_set():
        beat()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), BEAT_S)
    await server.stop(GRACE_S)


class _Every(grpc.GenericRpcHandler):  # type: ignore[misc] # grpcio ships no types
    """Takes every method there is: what nobody answers is refused on record, too."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def service(self, handler_call_details: Any) -> Any:
        method = str(handler_call_details.method)

        async def take(_: Any, context: Any) -> bytes:
            return await _answered(self._answer, method, context)

        return grpc.stream_unary_rpc_method_handler(take)


async def _answered(answer: Answer, method: str, context: Any) -> bytes:
    message: bytes | None = None
    slow = False
    try:
        async with asyncio.timeout(MESSAGE_TIMEOUT_S):  # no task of its own, as `wait_for` would make
            message = await _one(context)
    except TimeoutError:
        slow = True
    said = await answer(
        Received(
            method=method,
            message=message,
            slow=slow,
            metadata=tuple((item[0], item[1]) for item in context.invocation_metadata() or ()),
            peer=_address(context.peer()),
            certificate=_certificate(context),
        )
    )
    context.set_trailing_metadata(said.trailers)
    if said.code != "OK":
        context.set_code(grpc.StatusCode[said.code])
        context.set_details(said.words)
    return said.message


async def _one(context: Any) -> bytes | None:
    """Return the one message of a call, or None where there is none, or a second one."""
    first = await context.read()
    if first is grpc.aio.EOF or await context.read() is not grpc.aio.EOF:
        return None
    return bytes(first)


def _address(peer: str) -> str:
    """Return the address in what grpcio says of a peer.

    >>> _address("ipv4:127.0.0.1:1234"), _address("ipv6:%5B::1%5D:1234"), _address("unix:")
    ('127.0.0.1', '::1', '')
    """
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return ""
    return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")


def _certificate(context: Any) -> bytes:
    """Return the caller's certificate, DER, which TLS has verified."""
    found = context.auth_context().get("x509_pem_cert")
    return ssl.PEM_cert_to_DER_cert(found[0].decode("ascii")) if found else b""


def _credentials(tls: Tls) -> Any:
    """Return what the server shows itself as; files are read anew when one of them was replaced.

    Each connection gets files that are whole: certificate, key and authority of one moment. Files that do not fit
    together change nothing. A certificate that may be shown and is not demanded is not asked for at all: grpcio has no
    way to verify one that is shown of free will.
    """
    seen = stamp_of(tls)

    def read() -> Any:
        authority = tls.client_authority.read_bytes() if tls.client_authority is not None and tls.demanded else None
        pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration((pair,), root_certificates=authority)

    def renewed() -> Any:
        nonlocal seen
        stamp = stamp_of(tls)
        if stamp == seen:
            return None
        try:
            context_of(tls)
            seen, found = stamp, read()
        except (InvalidInput, OSError):
            return None
        return found

    demanded = tls.client_authority is not None and tls.demanded
    return grpc.dynamic_ssl_server_credentials(read(), renewed, require_client_authentication=demanded)
