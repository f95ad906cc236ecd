"""Sends a schedule of calls to one address, each when it is due, and notes what comes back.

Speaks HTTP/1.1 itself: a client library would refuse to send half of what is sent here. Nothing is followed, and nobody
is asked but the address that was named.
"""

import asyncio
import contextlib
import http.client
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.core.errors import Unavailable

MOST_OPEN: Final = 2000  # connections at once; beyond it this machine is what is measured
MAX_ANSWER: Final = 16 << 20  # bytes
LATE: Final = -1
NOTHING: Final = 0
_PARTS: Final = 3  # of a status line


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back: LATE or NOTHING in place of a status where nothing did."""

    status: int
    code: str = ""
    body: bytes = b""
    due_s: float = 0.0  # when it was due, sent and answered, by one clock
    sent_s: float = 0.0
    ended_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Sender:
    """Calls to one address."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    timeout_s: float = 15.0  # longer than a gateway waits for a body
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    _open: int = 0

    async def send(self, raw: bytes, *, due_s: float, keep: bool = True, hold: bool = False) -> Answered:
        """Send bytes and return what comes back.

        Args:
            raw: All of a request, or whatever else.
            due_s: When it was due, by `time.perf_counter`.
            keep: Use a connection that is open, and leave it open.
            hold: Say nothing more, and wait for the other side to give up.
        """
        sent_s = time.perf_counter()
        if self._open >= MOST_OPEN:
            return Answered(status=LATE, due_s=due_s, sent_s=sent_s, ended_s=sent_s)
        self._open += 1
        status, code, body = NOTHING, "", b""
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        whole = False
        try:
            async with asyncio.timeout(self.timeout_s):
                streams = self._idle.pop() if keep and self._idle else await self._connect()
                sent_s = time.perf_counter()
                streams[1].write(raw)
                if not hold:
                    with contextlib.suppress(ConnectionError):  # refused before the end: the answer is there already
                        await streams[1].drain()
                status, code, body, whole = await _read(streams[0])
        except TimeoutError:
            status = LATE
        except (OSError, asyncio.IncompleteReadError, ValueError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open -= 1
            if streams is not None:
                if keep and whole:
                    self._idle.append(streams)
                else:
                    await _close(streams[1])
        return Answered(status=status, code=code, body=body, due_s=due_s, sent_s=sent_s, ended_s=time.perf_counter())

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = self.host if self.tls is not None else None
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls, server_hostname=name)

    async def close(self) -> None:
        """Close what is open."""
        while self._idle:
            await _close(self._idle.pop()[1])


async def _close(writer: asyncio.StreamWriter) -> None:
    """End a connection at once: what it still holds is of no use to anybody."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> tuple[int, str, bytes, bool]:
    """Return status, our code, body, and whether the connection can be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    parts = head[0].split(" ", 2)
    status = int(parts[1]) if len(parts) >= _PARTS - 1 and parts[0].startswith("HTTP/1.") else NOTHING
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MAX_ANSWER:
        raise ValueError(length)
    body = await reader.readexactly(length)
    return status, headers.get("x-holdfast-code", ""), body, headers.get("connection", "").lower() != "close"


def look(host: str, port: int, path: str, *, timeout_s: float = 5.0) -> tuple[int, bytes, frozenset[str]]:
    """Return status, body and names of headers of a page, asked for on a new connection; NOTHING where none came."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(MAX_ANSWER), frozenset(name.lower() for name, _ in response.getheaders())
    except (OSError, http.client.HTTPException):
        return NOTHING, b"", frozenset()
    finally:
        connection.close()


def request(
    host: str, path: str, headers: Sequence[tuple[str, str]], body: bytes | None, method: str = "POST"
) -> bytes:
    """Return the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


async def play(due: Sequence[tuple[float, Callable[[float], Any]]]) -> list[Any]:
    """Start each call when it is due, whatever became of those before, and return what they return, in order.

    Args:
        due: Seconds from now, rising, and what makes the call: given when it was due by `time.perf_counter`.
    """
    began, tasks = time.perf_counter(), []
    for at_s, make in due:
        wait_s = began + at_s - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        tasks.append(asyncio.create_task(make(began + at_s)))
    return list(await asyncio.gather(*tasks))


def unreachable(place: str) -> Unavailable:
    """Return the error that says that nobody answers there."""
    return Unavailable("the gateway does not answer", place=place, remedy="Start it, or name another address.")
