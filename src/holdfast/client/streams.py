"""HTTP/1.1 over asyncio's streams: one request, one response, bounded; what it means is for others (RFC 9112).

Just what a client needs that asks one server it knows: no redirects, no cookies, no compression, no upgrade. A response
whose end could be read in two ways is refused.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from holdfast.client.messages import MAX_ANSWER, Received, too_long

MAX_LINE: Final = 64 << 10  # bytes of a line of the head, and what a stream holds at once
MAX_FIELDS: Final = 100
CLOSING_S: Final = 1.0  # for the other side of TLS to say goodbye
_INFORMATIONAL: Final = range(100, 200)


class Broken(Exception):
    """What came is no response that can be read in one way only."""


@dataclass(slots=True)
class Connection:
    """One connection to a server; one request at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    reusable: bool = True

    async def ask(self, head: bytes, body: bytes) -> Received:
        """Send a request and return the response.

        Raises:
            Broken: It cannot be read in one way only.
            OSError: The connection failed.
            Unavailable: It is too long.
        """
        self.reusable = False  # until the response was read to its end
        self.writer.write(head + body)
        await self.writer.drain()
        try:
            status, headers, keep = await self._head()
            while status in _INFORMATIONAL:
                status, headers, keep = await self._head()
            content, ended = await self._content(headers)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise Broken("the response is cut off, or malformed") from error
        self.reusable = keep and ended
        return Received(status=status, headers=headers, content=content)

    def close(self) -> None:
        """Close it, whatever is under way."""
        self.writer.close()

    async def aclose(self) -> None:
        """Close it, and wait a moment until it is."""
        self.writer.close()
        with suppress(OSError):
            async with asyncio.timeout(CLOSING_S):
                await self.writer.wait_closed()

    async def _head(self) -> tuple[int, dict[str, str], bool]:
        """Return status, headers, and whether the connection stays open."""
        version, _, rest = (await self._line()).partition(" ")
        status, _, _ = rest.partition(" ")
        if version not in {"HTTP/1.1", "HTTP/1.0"} or not (status.isascii() and status.isdigit() and len(status) == 3):  # noqa: PLR2004 - RFC 9112, 4
            raise Broken("this is no response of HTTP/1.1")
        headers: dict[str, str] = {}
        for _ in range(MAX_FIELDS):
            line = await self._line()
            if not line:
                keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
                return int(status), headers, keep
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise Broken("a field of the head is malformed")
            key = name.lower()
            if key in headers and key in {"content-length", "transfer-encoding"}:
                raise Broken("a length is said twice")
            headers[key] = value.strip(" \t")
        raise Broken("the head has too many fields")

    async def _line(self) -> str:
        return (await self.reader.readuntil(b"\n")).decode("latin-1").rstrip("\r\n")

    async def _content(self, headers: dict[str, str]) -> tuple[bytes, bool]:
        """Return the content, and whether its end was said (RFC 9112, 6.3)."""
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if coding is not None:
            if length is not None or coding.lower() != "chunked":
                raise Broken("the content's end could be read in two ways")
            return await self._chunks(), True
        if length is None:
            content = await self.reader.read(MAX_ANSWER + 1)
            while not self.reader.at_eof() and len(content) <= MAX_ANSWER:
                content += await self.reader.read(MAX_ANSWER + 1 - len(content))
            if len(content) > MAX_ANSWER:
                raise too_long()
            return content, False
        if not (length.isascii() and length.isdigit()):
            raise Broken("the content's length is no number")
        if int(length) > MAX_ANSWER:
            raise too_long()
        return await self.reader.readexactly(int(length)), True

    async def _chunks(self) -> bytes:
        found = bytearray()
        while True:
            size = int((await self._line()).partition(";")[0].strip(), 16)
            if size < 0 or len(found) + size > MAX_ANSWER:
                raise too_long()
            if size == 0:
                while await self._line():  # trailers mean nothing here
                    pass
                return bytes(found)
            found += await self.reader.readexactly(size)
            if await self._line():
                raise Broken("a chunk does not end where it says")


def request_head(method: str, path: str, host: str, headers: dict[str, str], length: int) -> bytes:
    """Return the head of a request; the caller has seen that no value holds a line break."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {length}"] if method != "GET" else []
    return "\r\n".join((*lines, "", "")).encode("ascii")
