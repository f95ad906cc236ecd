"""The gateway's own key pair for reading: what is published is encrypted for it, and nobody else opens that.

Its private half lies in the gateway's folder, in a box whose secret lies elsewhere, so that a copy of the folder, or of
the whole workspace, reads nothing. It vouches for nothing: whoever loses it makes another, and is handed what is
published anew.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.adapters.durable import read_private
from holdfast.adapters.published import replace_durably
from holdfast.adapters.unlock import Unlock
from holdfast.adapters.vault import MAX_FILE, Master, new_master, open_master
from holdfast.core.errors import NotVerified, Unavailable

OPENER_FILE: Final = "opener.json"


@dataclass(slots=True)
class Opener:
    """The key pair in a gateway's folder; its secret is asked for when it first opens something."""

    folder: Path
    unlock: Unlock
    _identity: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def recipient(self) -> str:
        """Return the public half, for which others encrypt.

        Raises:
            NotFound: There is none.
            NotVerified: It cannot be read.
        """
        return self._read().recipient

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
                remedy="Publish again where the control plane is; see docs/how-to/data-at-rest.md.",
            ) from error

    def _opened(self) -> Any:
        with self._lock:
            if self._identity is None:
                self._identity = open_master(self._read(), self.unlock)
            return self._identity

    def _read(self) -> Master:
        path = self.folder / OPENER_FILE
        document = read_private(path, what="the gateway's key for reading", limit=MAX_FILE)
        try:
            return msgspec.json.decode(document, type=Master)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotVerified(f"the gateway's key for reading cannot be read: {error}", place=str(path)) from error


def make_opener(folder: Path, unlock: Unlock) -> Opener:
    """Make a key pair in a gateway's folder, in place of one that nothing opens any more.

    Raises:
        Unavailable: The folder cannot be written, or the secret cannot be had.
    """
    try:
        replace_durably(folder / OPENER_FILE, msgspec.json.encode(new_master(unlock)))
    except OSError as error:
        raise Unavailable(f"the gateway's folder cannot be written: {error.strerror}", place=str(folder)) from error
    return Opener(folder, unlock)
