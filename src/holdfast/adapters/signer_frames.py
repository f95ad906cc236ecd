"""What a control plane and its signer process say to one another: length-prefixed JSON over a Unix socket, bounded."""

import socket
import struct
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from holdfast.core.errors import NotVerified, Unavailable
from holdfast.core.trust import TrustedKey

MAX_FRAME: Final = 12 << 20  # bytes; the largest message is a statement of 8 MiB in base64
_LENGTH: Final = struct.Struct(">I")


class Held(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="held"):
    """Asks for the public halves of all keys, and how they are kept."""


class Sign(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="sign"):
    """Asks for a signature."""

    keyid: str
    message: bytes


class Make(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="make"):
    """Asks for one more key, which nobody trusts yet."""

    role: str
    owner: str
    begins: datetime
    ends: datetime


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="health"):
    """Asks whether the keys can be used, and how often each was since the process began."""


Request: TypeAlias = Held | Sign | Make | Health


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="keys"):
    """Answers `Held`."""

    keys: tuple[TrustedKey, ...]
    custody: str


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="signed"):
    """Answers `Sign`."""

    signature: bytes


class Made(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="made"):
    """Answers `Make`."""

    key: TrustedKey


class Healthy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="healthy"):
    """Answers `Health`: uses by key id and purpose."""

    uses: dict[str, dict[str, int]]


class Failed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="failed"):
    """Answers anything: what went wrong, without a secret."""

    code: str
    message: str
    place: str = ""


Reply: TypeAlias = Keys | Signed | Made | Healthy | Failed

_REQUEST: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
_REPLY: Final[msgspec.json.Decoder[Reply]] = msgspec.json.Decoder(Reply)


def send(connection: socket.socket, value: Request | Reply) -> None:
    """Write one frame.

    Raises:
        Unavailable: The other side is gone, or it is too long.
    """
    data = msgspec.json.encode(value)
    if len(data) > MAX_FRAME:
        raise Unavailable(f"a frame of {len(data)} bytes", expected=f"at most {MAX_FRAME}")
    try:
        connection.sendall(_LENGTH.pack(len(data)) + data)
    except OSError as error:
        raise Unavailable(f"the other side is gone: {error.strerror or error}") from error


def receive_request(connection: socket.socket) -> Request | None:
    """Return the next request; None where the other side has ended.

    Raises:
        NotVerified: It is too long, or no request.
        Unavailable: The other side is gone in the middle.
    """
    data = _frame(connection)
    if data is None:
        return None
    try:
        return _REQUEST.decode(data)
    except ValueError as error:
        raise NotVerified("this is no request to a signer", place="frame") from error


def receive_reply(connection: socket.socket) -> Reply:
    """Return the answer.

    Raises:
        NotVerified: It is too long, or no answer.
        Unavailable: The other side is gone.
    """
    data = _frame(connection)
    if data is None:
        raise Unavailable("the signer has ended")
    try:
        return _REPLY.decode(data)
    except ValueError as error:
        raise NotVerified("this is no answer of a signer", place="frame") from error


def _frame(connection: socket.socket) -> bytes | None:
    head = _exactly(connection, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_FRAME:  # before a byte of it is read
        raise NotVerified(f"a frame of {length} bytes", place="frame", expected=f"at most {MAX_FRAME}")
    data = _exactly(connection, length)
    if data is None:
        raise Unavailable("the other side is gone in the middle of a frame")
    return data


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    """Return just so many bytes; None where the other side ended before the first."""
    data = bytearray()
    while len(data) < size:
        try:
            more = connection.recv(min(size - len(data), 1 << 20))
        except OSError as error:
            raise Unavailable(f"the other side does not answer: {error.strerror or error}") from error
        if not more:
            if data:
                raise Unavailable("the other side is gone in the middle of a frame")
            return None
        data += more
    return bytes(data)
