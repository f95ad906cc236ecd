"""An unlock file whose secret is encrypted by a key that never leaves its service: a copy of the file opens nothing.

The file says which service and which key; the service decrypts, each time anew, for whoever has its credentials. So an
unattended start needs the file *and* the service, and the service can refuse: that is how a stolen disk is answered.
Each use is noted before it is made (`use_notes`).
"""

import base64
import os
from pathlib import Path
from typing import Final, Literal

import msgspec

from holdfast.adapters.durable import PRIVATE_DIRECTORY, read_private, write_new
from holdfast.adapters.key_places import KmsPlace, TokenPlace, parse_place
from holdfast.adapters.kms_service import KmsService
from holdfast.adapters.service_keys import KeyService
from holdfast.adapters.token_service import TokenService
from holdfast.adapters.transit_service import TransitService
from holdfast.adapters.unlock import UNLOCK_BYTES, Unlock, check_outside, plain_secret
from holdfast.adapters.use_notes import Use, UseNotes
from holdfast.core.artifact import from_base64
from holdfast.core.errors import Conflict, InvalidInput, NotVerified, Unavailable

MAX_FILE: Final = 16 * 1024  # bytes; KMS wraps 32 bytes into less than 200


class WrappedSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of such a file. None of it is a secret without the service."""

    format: Literal["holdfast-unlock-2"] = "holdfast-unlock-2"
    opens: str  # what it opens; bound to the secret, so that it opens nothing else
    service: str
    key: str  # as the service calls it
    wrapped: str  # base64


def open_service(address: str) -> KeyService:
    """Return the service that an address names; it is reached when it is first needed.

    Raises:
        InvalidInput: It names none.
    """
    place = parse_place(address)
    if isinstance(place, TokenPlace):
        return TokenService(place)
    return KmsService(place) if isinstance(place, KmsPlace) else TransitService(place)


def stored_unlock(path: Path, *, opens: str, purpose: str, notes: UseNotes) -> Unlock:
    """Return an unlock by a file: a random secret in the clear, or one that a service must decrypt first.

    Args:
        path: The file, which only its owner may read.
        opens: What it is to open.
        purpose: What for, in the record of the key's uses.
        notes: Where a use is noted before it is made.
    """

    def read() -> bytes:
        data = read_private(path, what="the unlock file", limit=MAX_FILE)
        if not data.startswith(b"{"):
            return plain_secret(data, path)
        return _unwrapped(parse_wrapped(data, path), path, opens, purpose, notes)

    return Unlock(sort="file", secret=read, place=path)


def parse_wrapped(data: bytes, path: Path) -> WrappedSecret:
    """Return what such a file says.

    Raises:
        InvalidInput: It is none.
    """
    try:
        return msgspec.json.decode(data, type=WrappedSecret)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput("this is not an unlock file", place=str(path), expected="what we wrote") from error


def create_wrapped(path: Path, address: str, *, opens: str, outside: Path, notes: UseNotes) -> str:
    """Make a random secret, a key in a service that encrypts it, and the file that says so; return the key's name.

    Raises:
        InvalidInput: The address names no service.
        Refused: `path` lies inside `outside`.
        Conflict: The file exists.
        Unavailable: The service does not answer, or the file cannot be written.
    """
    check_outside(path, outside)
    service = open_service(address)
    try:
        name = service.make_wrapping()
        notes.note(Use(key=name, purpose="wrap"))
        wrapped = service.wrap(name, os.urandom(UNLOCK_BYTES), bound_to=opens)
    finally:
        service.close()
    file = WrappedSecret(opens=opens, service=address, key=name, wrapped=base64.b64encode(wrapped).decode())
    try:
        path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        write_new(path, msgspec.json.encode(file))
    except FileExistsError:
        raise Conflict("there is an unlock file already", place=str(path), remedy="Use it, or name another.") from None
    except OSError as error:
        raise Unavailable(f"the unlock file cannot be written: {error.strerror}", place=str(path)) from error
    return name


def _unwrapped(file: WrappedSecret, path: Path, opens: str, purpose: str, notes: UseNotes) -> bytes:
    if file.opens != opens:
        raise NotVerified(f"this unlock file opens {file.opens[:80]}", place=str(path), expected=opens)
    service = open_service(file.service)
    notes.note(Use(key=file.key, purpose=purpose))
    try:
        secret = service.unwrap(file.key, from_base64(file.wrapped), bound_to=opens)
    finally:
        service.close()
    if len(secret) != UNLOCK_BYTES:
        raise NotVerified("the service decrypted something else", place=str(path))
    return secret
