"""Secrets for jobs on disk: one file each, encrypted at rest under a key of the workspace's vault.

Name and version are bound to the ciphertext, so that neither a
renamed file nor an earlier value put back opens as something else; which version is the newest is in the ledger.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from holdfast.adapters.durable import PRIVATE_DIRECTORY, read_private, sync_directory
from holdfast.adapters.key_wrap import Box, unwrap, wrap
from holdfast.adapters.published import replace_durably
from holdfast.core.errors import NotFound, NotVerified, Unavailable
from holdfast.core.secret import check_name

MAX_FILE: Final = 128 * 1024  # bytes; a secret of 64 KiB takes 88 KiB as base64

T = TypeVar("T")


class SecretFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One secret as it lies on disk."""

    format: Literal["holdfast-secret-1"]
    name: str
    version: int
    box: Box


class DiskSecrets:
    """The secrets of one folder (port `Secrets`); the unlock secret is asked for at the first use."""

    def __init__(self, root: Path, master: Callable[[], bytes]) -> None:
        """Use a folder, which is made with the first secret; `master` gives the key that wraps them all."""
        self._root, self._master = root, master
        self._lock = threading.Lock()

    def put(self, name: str, value: bytes) -> int:
        """Keep a secret, instead of its earlier value; return its version.

        Raises:
            InvalidInput: The name cannot be one.
            Unavailable: The store is locked, or cannot be written.
        """
        check_name(name)
        with self._lock:
            master = self._master()
            version = self._file(name).version + 1 if self._path(name).exists() else 1
            box = wrap(master, purpose=_purpose(name, version), content=value, said=_said(name, version))
            file = SecretFile(format="holdfast-secret-1", name=name, version=version, box=box)
            try:
                self._root.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
                replace_durably(self._path(name), msgspec.json.encode(file))
            except OSError as error:
                raise Unavailable(f"the secret cannot be written: {error.strerror}", place=str(self._root)) from error
        return version

    def get(self, name: str) -> tuple[int, bytes]:
        """Return a secret's version and the secret.

        Raises:
            NotFound: There is none of this name.
            NotVerified: The stored bytes were changed.
            Unavailable: The store is locked.
        """
        check_name(name)
        with self._lock:
            file = self._file(name)
            if file.name != name:
                raise NotVerified("the secret's file is another secret's", place=f"secret {name}")
            purpose, said = _purpose(name, file.version), _said(name, file.version)
            try:
                return file.version, unwrap(self._master(), purpose=purpose, box=file.box, said=said)
            except NotVerified as error:
                raise NotVerified(
                    "the secret's file was changed after it was written", place=f"secret {name}"
                ) from error

    def remove(self, name: str) -> None:
        """Destroy a secret.

        Raises:
            NotFound: There is none of this name.
        """
        check_name(name)
        with self._lock:
            try:
                self._path(name).unlink()
                sync_directory(self._root)
            except FileNotFoundError:
                raise NotFound(f"there is no secret {name!r}", place="secrets") from None

    def _path(self, name: str) -> Path:
        return self._root / f"{name}.json"

    def _file(self, name: str) -> SecretFile:
        return _read(self._path(name), SecretFile, f"the secret {name!r}")


def _purpose(name: str, version: int) -> bytes:
    return f"secret\n{name}\n{version}".encode()


def _said(name: str, version: int) -> bytes:
    return f"{name} {version}".encode()


def _read(path: Path, of: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(read_private(path, what=what, limit=MAX_FILE), type=of)
    except msgspec.MsgspecError as error:
        raise NotVerified(f"{what} cannot be read: {error}", place=str(path)) from error
