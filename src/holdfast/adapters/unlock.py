"""The secret that unlocks a key ring: a passphrase that a person knows, or a random file kept outside the workspace.

Nothing here is ever logged, printed or put into an error; there is no default secret.
"""

import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from holdfast.adapters.durable import PRIVATE_DIRECTORY, read_private, write_new
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, Refused, Unavailable

MIN_PASSPHRASE: Final = 15  # characters; NIST SP 800-63B-4, 3.1.1.2, for a password that is the only factor
MAX_SECRET: Final = 1024  # bytes of a passphrase or its file; nobody types more
UNLOCK_BYTES: Final = 32  # random bytes of an unlock file: as strong as the keys it opens
_UNLOCK: Final = re.compile(rb"holdfast-unlock-1 ([0-9a-f]{64})\n")

Sort = Literal["passphrase", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlock:
    """Where the secret comes from when it is needed, and of which sort it is: guessable ones are stretched more."""

    sort: Sort
    secret: Callable[[], bytes] = field(repr=False)
    place: Path | None = None  # the file, for a secret kept in one


def passphrase(ask: Callable[[], str]) -> Unlock:
    """Return an unlock by a passphrase that `ask` yields, once it is needed."""
    return Unlock(sort="passphrase", secret=lambda: _normal(ask()))


def passphrase_file(path: Path) -> Unlock:
    """Return an unlock by the passphrase in the first line of a file that only its owner may read."""

    def read() -> bytes:
        data = read_private(path, what="the passphrase file", limit=MAX_SECRET)
        try:
            return _normal(data.decode().partition("\n")[0].rstrip("\r"))
        except UnicodeDecodeError:
            raise InvalidInput("the passphrase is not UTF-8 text", place=str(path)) from None

    return Unlock(sort="passphrase", secret=read, place=path)


def unlock_file(path: Path) -> Unlock:
    """Return an unlock by a random secret in a file that only its owner may read; see `create_unlock_file`."""

    def read() -> bytes:
        return plain_secret(read_private(path, what="the unlock file", limit=MAX_SECRET), path)

    return Unlock(sort="file", secret=read, place=path)


def plain_secret(data: bytes, path: Path) -> bytes:
    """Return the secret in the bytes of an unlock file.

    Raises:
        InvalidInput: They are none.
    """
    found = _UNLOCK.fullmatch(data)
    if found is None:
        raise InvalidInput("this is not an unlock file", place=str(path), expected="what `holdfast init` wrote")
    return bytes.fromhex(found[1].decode())


def create_unlock_file(path: Path, *, outside: Path) -> Unlock:
    """Make a random 256-bit unlock file that only its owner may read, and return its unlock.

    Args:
        path: Where; folders are made as needed.
        outside: The workspace. It must not lie in there: who copies the workspace would copy what opens its keys.

    Raises:
        Refused: `path` lies inside `outside`.
        Conflict: The file exists; it may open keys already.
        Unavailable: It cannot be written.
    """
    check_outside(path, outside)
    try:
        path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        write_new(path, b"holdfast-unlock-1 " + os.urandom(UNLOCK_BYTES).hex().encode() + b"\n")
    except FileExistsError:
        raise Conflict("there is an unlock file already", place=str(path), remedy="Use it, or name another.") from None
    except OSError as error:
        raise Unavailable(f"the unlock file cannot be written: {error.strerror}", place=str(path)) from error
    return unlock_file(path)


def check_outside(path: Path, outside: Path) -> None:
    """Check that an unlock file does not lie beside what it opens.

    Raises:
        Refused: It does.
    """
    if path.resolve().is_relative_to(outside.resolve()):
        raise Refused(
            "the unlock file would lie beside the keys it opens",
            place=str(path),
            expected=f"a place outside {outside}",
            remedy="Name another folder for it.",
        )


def check_new(unlock: Unlock, secret: bytes) -> None:
    """Check that a secret is good enough to protect new keys.

    Raises:
        InvalidInput: A passphrase is too short or one character over and over.
    """
    if unlock.sort == "file":
        return
    text = secret.decode()
    if len(text) < MIN_PASSPHRASE or len(set(text)) == 1:
        raise InvalidInput(
            "the passphrase is too easily guessed",
            expected=f"at least {MIN_PASSPHRASE} characters, not all the same",
            remedy="Choose several words that nobody would put together.",
        )


def remedy_of(error: HoldfastError) -> str:
    """Return what to do where a secret cannot be had: what the error says itself, and where one may be named."""
    own = "" if error.remedy == error.default_remedy else f"{error.remedy} "
    return f"{own}An unlock file elsewhere is found by HOLDFAST_UNLOCK_DIR, a passphrase by HOLDFAST_PASSPHRASE_FILE."


def _normal(text: str) -> bytes:
    """Return a passphrase's bytes, the same from every keyboard (NIST SP 800-63B-4, 3.1.1.2: NFKC)."""
    return unicodedata.normalize("NFKC", text).encode()
