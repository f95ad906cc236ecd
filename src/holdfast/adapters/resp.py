"""One connection to Redis: the few words of its protocol (RESP 2), bounded in time and size.

https://redis.io/docs/latest/develop/reference/protocol-spec/. What is sent and what it means is the caller's.
"""

import socket
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from holdfast.core.errors import InvalidInput

MAX_LINE: Final = 4096  # bytes of one line: a number, a length, or why not
MAX_BULK: Final = 2 << 20  # bytes of one value
MAX_ITEMS: Final = 100_000  # of one array
_PORT: Final = 6379


@dataclass(slots=True, kw_only=True)
class Connection:
    """A connection that is made when it is first needed, and made again after it failed."""

    url: str  # redis://host:port/database, or rediss:// for TLS; a password is never part of it
    timeout_s: float
    password: str = field(default="", repr=False)
    secret: str = "a file"  # noqa: S105 - where one belongs, for whoever has put it elsewhere
    _socket: socket.socket | None = field(default=None)
    _buffer: bytes = field(default=b"")

    def __post_init__(self) -> None:
        """Refuse an address that is none, and a password where every child process could read it.

        Raises:
            InvalidInput: See above.
        """
        parts = urlsplit(self.url)
        database = parts.path.strip("/")
        if parts.scheme not in {"redis", "rediss"} or not parts.hostname or not (database or "0").isdecimal():
            raise InvalidInput("the address of a store is none", expected="redis://host:port/0 or rediss://…")
        if parts.username or parts.password:
            raise InvalidInput("a password in an address", expected=f"it in {self.secret}")

    def send(self, commands: list[bytes]) -> None:
        """Send commands in one go; as many answers are to be read.

        Raises:
            OSError: The store cannot be reached.
            ValueError: It does not let us in.
        """
        (self._socket or self._connect()).sendall(b"".join(commands))

    def close(self) -> None:
        """Let go of the connection; the next use makes another."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def text(self) -> str:
        """Return one simple answer as text.

        Raises:
            ValueError: It is an error, or none that is text.
            OSError: The connection ended.
        """
        value = self.value()
        if not isinstance(value, bytes):
            raise ValueError("an answer of another kind")  # noqa: TRY004 - about what came over the line
        return value.decode("ascii")

    def value(self) -> "bytes | list[bytes | None] | None":
        """Return one answer: bytes, nothing, or a flat array of these.

        Raises:
            ValueError: It is an error, or none that is expected here.
            OSError: The connection ended.
        """
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind in {b"+", b":"}:
            return rest
        if kind == b"$":
            return self._bulk(int(rest))
        if kind == b"*":
            count = int(rest)
            if not 0 <= count <= MAX_ITEMS:
                raise ValueError("an array of another length")
            return [self._item() for _ in range(count)]
        raise ValueError(rest[:100].decode("ascii", "replace") if kind == b"-" else "an answer of another kind")

    def keys(self) -> tuple[str, list[str]]:
        """Return an answer to SCAN: where to go on, and the keys of this part.

        Raises:
            ValueError: It is no such answer.
            OSError: The connection ended.
        """
        if self._line() != b"*2":
            raise ValueError("an answer of another kind")
        cursor, found = self._item(), self.value()
        if cursor is None or not isinstance(found, list):
            raise ValueError("an answer of another kind")
        return cursor.decode("ascii"), [each.decode() for each in found if each is not None]

    def _item(self) -> bytes | None:
        line = self._line()
        if line[:1] == b"$":
            return self._bulk(int(line[1:]))
        if line[:1] in {b"+", b":"}:
            return line[1:]
        raise ValueError("an answer of another kind")

    def _bulk(self, length: int) -> bytes | None:
        if length == -1:
            return None
        if not 0 <= length <= MAX_BULK:
            raise ValueError("an answer of another length")
        while len(self._buffer) < length + 2:
            self._more()
        value, end, self._buffer = self._buffer[:length], self._buffer[length : length + 2], self._buffer[length + 2 :]
        if end != b"\r\n":
            raise ValueError("an answer of another length")
        return value

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > MAX_LINE:
                raise ValueError("an answer without an end")
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _more(self) -> None:
        more = self._socket.recv(65536) if self._socket is not None else b""
        if not more:
            raise OSError("the connection was closed")
        self._buffer += more

    def _connect(self) -> socket.socket:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        made = socket.create_connection((host, parts.port or _PORT), timeout=self.timeout_s)
        if parts.scheme == "rediss":
            made = ssl.create_default_context().wrap_socket(made, server_hostname=host)
        made.settimeout(self.timeout_s)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, database = made, parts.path.strip("/")
        greeting = [command("AUTH", self.password)] if self.password else []
        greeting += [command("SELECT", database)] if database else []
        if greeting:
            made.sendall(b"".join(greeting))
            for _ in greeting:
                self.text()
        return made


def command(*words: str | bytes) -> bytes:
    """Return a command as the protocol writes it."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
