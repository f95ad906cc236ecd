"""Totals that machines share, in Redis: the few words of its protocol (RESP 2) that adding takes.

https://redis.io/docs/latest/develop/reference/protocol-spec/. One connection, one pipeline for each round, everything
bounded in time and size. A total is a float under a key that names workspace, environment and a keyed hash of the
limit: whoever reads the store learns no client's name.
"""

import hashlib
import math
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from holdfast.core.errors import InvalidInput, Unavailable

TIMEOUT_S: Final = 1.0  # for a connection, and for each answer
KEPT_S: Final = 400 * 86400  # after the last use; longer than the longest period
MAX_LINE: Final = 4096  # bytes of one answer: a number, or why not
BATCH: Final = 500  # names in one pipeline
_PORT: Final = 6379


@dataclass(slots=True, kw_only=True)
class RedisTotals:
    """The totals in one Redis (port `Totals` of `holdfast.serve.sharing`)."""

    url: str  # redis://host:port/database, or rediss:// for TLS; a password is never part of it
    prefix: str  # of the keys: whose limits they are
    key: bytes = field(repr=False)  # of the hashes of names
    password: str = field(default="", repr=False)
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
            raise InvalidInput("the address of shared totals is none", expected="redis://host:port/0 or rediss://…")
        if parts.username or parts.password:
            raise InvalidInput("a password in an address", expected="it in the file `limits.password`")

    def add(self, amounts: Mapping[str, float]) -> Mapping[str, float]:
        """Add what was used here, and return the totals of these names.

        Raises:
            Unavailable: The store cannot be reached, or does not answer as it should.
        """
        found: dict[str, float] = {}
        names = list(amounts)
        try:
            for begin in range(0, len(names), BATCH):
                batch = names[begin : begin + BATCH]
                self._send([self._increment(name, amounts[name]) for name in batch])
                for name in batch:
                    found[name] = _finite(self._answer())
                    self._answer()  # of EXPIRE
        except (OSError, ValueError) as error:
            self.close()
            raise Unavailable(f"shared totals cannot be reached: {error}", place=self.url) from error
        return found

    def close(self) -> None:
        """Let go of the connection; the next use makes another."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def _increment(self, name: str, amount: float) -> bytes:
        hashed = hashlib.blake2b(name.encode(), digest_size=16, key=self.key).hexdigest()
        key = f"holdfast:{self.prefix}:{hashed}"
        return _command("INCRBYFLOAT", key, repr(amount)) + _command("EXPIRE", key, str(KEPT_S))

    def _send(self, commands: list[bytes]) -> None:
        (self._socket or self._connect()).sendall(b"".join(commands))

    def _connect(self) -> socket.socket:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        made = socket.create_connection((host, parts.port or _PORT), timeout=TIMEOUT_S)
        if parts.scheme == "rediss":
            made = ssl.create_default_context().wrap_socket(made, server_hostname=host)
        made.settimeout(TIMEOUT_S)
        self._socket, database = made, parts.path.strip("/")
        greeting = [_command("AUTH", self.password)] if self.password else []
        greeting += [_command("SELECT", database)] if database else []
        if greeting:
            made.sendall(b"".join(greeting))
            for _ in greeting:
                self._answer()
        return made

    def _answer(self) -> str:
        """Return one simple answer, as text.

        Raises:
            ValueError: It is an error, or none that these commands have.
        """
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind in {b"+", b":"}:
            return rest.decode("ascii")
        if kind == b"$":
            length = int(rest)
            value = self._line()
            if len(value) != length:
                raise ValueError("an answer of another length")
            return value.decode("ascii")
        raise ValueError(rest[:100].decode("ascii", "replace") if kind == b"-" else "an answer of another kind")

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > MAX_LINE:
                raise ValueError("an answer without an end")
            more = self._socket.recv(65536) if self._socket is not None else b""
            if not more:
                raise OSError("the connection was closed")
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line


def _finite(said: str) -> float:
    """Return a total; one that is no number would let everybody pass, and an infinite one nobody, ever again."""
    total = float(said)
    if not math.isfinite(total):
        raise ValueError("a total that is no number")
    return total


def _command(*words: str) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
