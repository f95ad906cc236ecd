"""The gateway's own key pair for reading: what is published is encrypted for it, and nobody else opens that.

Its private half lies in the gateway's folder, in a box whose secret lies elsewhere, among the unlock secrets: so a copy
of the folder, or of the whole workspace, reads nothing. It vouches for nothing: whoever loses it makes another, for
which what is published is then encrypted.
"""

import re
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from holdfast.adapters.durable import read_private
from holdfast.adapters.published import replace_durably
from holdfast.adapters.unlock import create_unlock_file, unlock_file
from holdfast.adapters.vault import MAX_FILE, Master, new_master, open_master
from holdfast.core.errors import HoldfastError, NotVerified, Unavailable

OPENER_FILE: Final = "opener.json"
_SECRET: Final = re.compile(r"gateway-[0-9a-f]{16}\.unlock")  # never a path: it is read from a file


class OpenerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key pair for reading: its halves, and what the file is called that opens the private one."""

    format: Literal["holdfast-opener-1"]
    secret: str
    halves: Master


@dataclass(slots=True)
class Opener:
    """The key pair in a gateway's folder; its secret is asked for when it first opens something."""

    folder: Path
    unlock_dir: Path  # where the secret lies, never in the folder
    _identity: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def recipient(self) -> str:
        """Return the public half, for which others encrypt.

        Raises:
            NotFound: There is none.
            NotVerified: It cannot be read.
        """
        return self._read().halves.recipient

    def whole(self) -> bool:
        """Say whether both the key pair and its secret are there."""
        try:
            return (self.unlock_dir / self._read().secret).is_file()
        except HoldfastError:
            return False

    def forget(self) -> None:
        """Remove the secret: nothing opens what was encrypted for this key any more."""
        (self.unlock_dir / self._read().secret).unlink(missing_ok=True)

    def open(self, sealed: bytes) -> bytes:
        """Return what was encrypted for this gateway.

        Raises:
            NotFound: There is no key pair.
            NotVerified: It was encrypted for others, or was changed.
            Unavailable: The secret is missing or wrong.
        """
        from pyrage import DecryptError, decrypt

        try:
            return bytes(decrypt(sealed, [self._opened()]))
        except DecryptError as error:
            raise NotVerified(
                "what is published is not encrypted for this gateway",
                place=str(self.folder / OPENER_FILE),
                remedy="Publish again where the control plane is: `holdfast watch`, or `holdfast lease renew`.",
            ) from error

    def _opened(self) -> Any:
        with self._lock:
            if self._identity is None:
                file = self._read()
                self._identity = open_master(file.halves, unlock_file(self.unlock_dir / file.secret))
            return self._identity

    def _read(self) -> OpenerFile:
        path = self.folder / OPENER_FILE
        document = read_private(path, what="the gateway's key for reading", limit=MAX_FILE)
        try:
            file = msgspec.json.decode(document, type=OpenerFile)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotVerified(f"the gateway's key for reading cannot be read: {error}", place=str(path)) from error
        if _SECRET.fullmatch(file.secret) is None:
            raise NotVerified("the gateway's key for reading names no secret", place=str(path))
        return file


def make_opener(folder: Path, unlock_dir: Path, *, outside: Path) -> Opener:
    """Make a key pair in a gateway's folder, in place of one that nothing opens any more, and its secret.

    Args:
        folder: The gateway's own.
        unlock_dir: Where its secret is to lie.
        outside: A folder in which it must not: whoever copies that would copy what opens the key.

    Raises:
        Refused: The secret would lie there.
        Unavailable: Something cannot be written.
    """
    name = f"gateway-{secrets.token_hex(8)}.unlock"
    unlock = create_unlock_file(unlock_dir / name, outside=outside)
    file = OpenerFile(format="holdfast-opener-1", secret=name, halves=new_master(unlock))
    try:
        replace_durably(folder / OPENER_FILE, msgspec.json.encode(file))
    except OSError as error:
        raise Unavailable(f"the gateway's folder cannot be written: {error.strerror}", place=str(folder)) from error
    return Opener(folder, unlock_dir)
