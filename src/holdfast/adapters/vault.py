"""The vault: a data key for each data set, under which its bytes lie encrypted, and which can be destroyed.

Three levels. 1. The unlock secret opens the master key, as `key_wrap` says. 2. Each data key is an age identity
(age-encryption.org/v1: X25519, ChaCha20-Poly1305), encrypted to the master key's public half. 3. Bytes are encrypted to
the data key's public half. So writing needs no secret, reading needs the unlock secret, changing that secret touches
one file, and destroying a data key makes its bytes unreadable wherever copies of them lie: that is how data is erased.
"""

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import structs

from holdfast.adapters.durable import PRIVATE_DIRECTORY, link_new, read_private, sync_directory
from holdfast.adapters.key_wrap import KEY, Box, Ring, new_ring, open_ring, unwrap, wrap
from holdfast.adapters.published import replace_durably
from holdfast.adapters.unlock import Unlock, remedy_of
from holdfast.core.artifact import Moment, from_base64
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Unavailable

T = TypeVar("T")

MAX_FILE: Final = 16 * 1024  # bytes of a key file; one takes less than 1 KiB
MAX_NAME: Final = 128  # characters
MASTER_FILE: Final = "master.json"
_PURPOSE: Final = b"storage master"


class Readable(Protocol):
    """What is read in pieces."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to so many bytes."""
        ...


class Writable(Protocol):
    """What is written in pieces."""

    def write(self, data: bytes, /) -> int:
        """Take all of these bytes."""
        ...

    def flush(self) -> None:
        """Let go of what is held back."""
        ...


class Wrapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A private half under one secret."""

    ring: Ring
    private: Box


class Master(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The key of keys: its public half in the clear, its private half in a box; in two while the secret is changed."""

    format: Literal["holdfast-storage-1"]
    recipient: str
    wrapped: tuple[Wrapped, ...]


class DataKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One data key: what it is for, its public half, and its private half encrypted to the master key."""

    format: Literal["holdfast-data-key-1"]
    name: str
    recipient: str
    sealed: str  # base64
    created: Moment


class Vault:
    """The data keys of one folder. Opening asks for no secret; the first reading does."""

    def __init__(self, root: Path, unlock: Unlock) -> None:
        """Hold a folder that `create_vault` made."""
        self._root, self._unlock = root, unlock
        self._keys: dict[str, DataKey] = {}
        self._identities: dict[str, Any] = {}
        self._master: Any = None
        self._lock = threading.Lock()

    def seal(self, name: str, data: bytes, now: datetime) -> bytes:
        """Return bytes encrypted under a data key, which is made where there is none of this name."""
        from pyrage import encrypt, x25519

        recipient = x25519.Recipient.from_str(self._key(name, now).recipient)
        return bytes(encrypt(data, [recipient]))

    def seal_stream(self, name: str, source: Readable, target: Writable, now: datetime) -> None:
        """Encrypt what a reader yields into a file, for bytes too many for memory."""
        from pyrage import encrypt_io, x25519

        encrypt_io(source, target, [x25519.Recipient.from_str(self._key(name, now).recipient)])

    def open(self, keyid: str, sealed: bytes) -> bytes:
        """Return what was encrypted under a data key.

        Raises:
            NotFound: The data key was destroyed.
            NotVerified: The bytes were changed since.
            Unavailable: The unlock secret is missing or wrong.
        """
        from pyrage import DecryptError, decrypt

        try:
            return bytes(decrypt(sealed, [self._identity(keyid)]))
        except DecryptError as error:
            raise NotVerified("the encrypted bytes were changed", place=f"data key {keyid[:12]}") from error

    def open_stream(self, keyid: str, source: Readable, target: Writable) -> None:
        """Decrypt a file into another; what `open` raises, and half of the target may be written then."""
        try:
            decrypt_stream(self._identity(keyid), source, target)
        except NotVerified as error:
            raise NotVerified(error.message, place=f"data key {keyid[:12]}") from error

    def export(self, name: str) -> str:
        """Return a data key's private half as the `age` tool takes it: whoever holds it reads all that is under it.

        Raises:
            NotFound: There is no such key, or it was destroyed.
        """
        return str(self._identity(keyid_of(self._read(_file_of(name)))))

    def derived(self, purpose: bytes) -> bytes:
        """Return a key for one purpose, from the master key: the same for ever, whatever secret opens that.

        Raises:
            Unavailable: The unlock secret is missing or wrong.
        """
        with self._lock:
            master = str(self._opened()).encode()
        return HKDF(algorithm=hashes.SHA256(), length=KEY, salt=None, info=b"holdfast vault\n" + purpose).derive(master)

    def stored(self) -> tuple[DataKey, ...]:
        """Return every data key that there is, by name."""
        return tuple(sorted(self._each(), key=lambda key: key.name))

    def holds(self, keyid: str) -> bool:
        """Say whether a data key is there, and not destroyed."""
        return self._find(keyid) is not None

    def current(self, name: str, now: datetime) -> str:
        """Return the id of the data key of a name, which is made where there is none."""
        return keyid_of(self._key(name, now))

    def recipient(self, name: str, now: datetime) -> str:
        """Return the public half of a name's data key, for whoever encrypts elsewhere; made where there is none."""
        return self._key(name, now).recipient

    def destroy(self, name: str) -> bool:
        """Destroy a data key; say whether there was one. What lies under it cannot be read again, by anybody.

        Copies of this folder made before still hold it: whoever erases must let those go too.
        """
        with self._lock:
            self._keys.clear()
            self._identities.clear()
            try:
                self._path(_file_of(name)).unlink()
            except FileNotFoundError:
                return False
            sync_directory(self._root / "keys")
        return True

    @contextmanager
    def rewrapping(self, unlock: Unlock) -> Iterator[None]:
        """Protect the master key with another secret too, and after the block with that alone.

        In the block, what else the secret opens is changed. A process that dies in it leaves a master key that either
        secret opens, so data and keys never end up under different ones.

        Raises:
            Unavailable: The present secret is missing or wrong, or the file cannot be written.
        """
        with self._lock:
            private, master = str(self._opened()), self._read_master()
            following = _wrapped(private, master.recipient, unlock)
            self._store(structs.replace(master, wrapped=(master.wrapped[0], following)))
            yield
            self._store(structs.replace(master, wrapped=(following,)))
            self._unlock = unlock

    def _store(self, master: Master) -> None:
        try:
            replace_durably(self._root / MASTER_FILE, msgspec.json.encode(master))
        except OSError as error:
            raise Unavailable(f"the vault cannot be written: {error.strerror}", place=str(self._root)) from error

    def unlock(self) -> None:
        """Ask for the secret now rather than at the first reading.

        Raises:
            Unavailable: The secret is missing or wrong.
        """
        with self._lock:
            self._opened()

    def _key(self, name: str, now: datetime) -> DataKey:
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise InvalidInput(f"a data key named {name[:80]!r}", expected=f"up to {MAX_NAME} printable characters")
        file = _file_of(name)
        with self._lock:
            if file not in self._keys or not self._path(file).is_file():  # destroyed meanwhile, by another process
                if not self._path(file).is_file():
                    self._make(name, now)
                self._keys[file] = self._read(file)
            return self._keys[file]

    def _find(self, keyid: str) -> DataKey | None:
        """Return the data key of an id, if it is there now."""
        return next((key for key in self._each() if keyid_of(key) == keyid), None)

    def _make(self, name: str, now: datetime) -> None:
        from pyrage import encrypt, x25519

        identity, master = x25519.Identity.generate(), x25519.Recipient.from_str(self._read_master().recipient)
        key = DataKey(
            format="holdfast-data-key-1",
            name=name,
            recipient=str(identity.to_public()),
            sealed=base64.b64encode(encrypt(str(identity).encode(), [master])).decode(),
            created=now,
        )
        with suppress(FileExistsError):  # another process made it in this moment: that one counts
            link_new(self._path(_file_of(name)), msgspec.json.encode(key))

    def _identity(self, keyid: str) -> Any:
        from pyrage import DecryptError, decrypt, x25519

        with self._lock:
            key = self._find(keyid)
            if key is None:
                raise _destroyed(keyid)
            if keyid not in self._identities:
                try:
                    private = decrypt(from_base64(key.sealed), [self._opened()])
                except DecryptError as error:
                    raise NotVerified("the data key was changed", place=f"data key {key.name}") from error
                identity = x25519.Identity.from_str(private.decode())
                if str(identity.to_public()) != key.recipient:
                    raise NotVerified("the data key's halves do not belong together", place=f"data key {key.name}")
                self._identities[keyid] = identity
            return self._identities[keyid]

    def _opened(self) -> Any:
        if self._master is None:
            self._master = open_master(self._read_master(), self._unlock)
        return self._master

    def _read_master(self) -> Master:
        return _decoded(self._root / MASTER_FILE, Master, "the storage master key")

    def _read(self, file: str) -> DataKey:
        try:
            key = _decoded(self._path(file), DataKey, "the data key")
        except NotFound:
            raise _destroyed(file) from None
        if _file_of(key.name) != file:
            raise NotVerified("the data key lies under another's name", place=f"data key {key.name}")
        return key

    def _each(self) -> Iterator[DataKey]:
        for path in (self._root / "keys").glob("*.json"):
            with suppress(NotFound):  # destroyed in this moment
                yield self._read(path.stem)

    def _path(self, file: str) -> Path:
        return self._root / "keys" / f"{file}.json"


def keyid_of(key: DataKey) -> str:
    """Return the id of a data key: another one for the key that takes the name of one that was destroyed."""
    return hashlib.sha256(key.recipient.encode()).hexdigest()[:32]


def _file_of(name: str) -> str:
    """Return what a data key's file is named after, so that a name may hold any character."""
    return hashlib.sha256(b"holdfast data key\n" + name.encode()).hexdigest()[:32]


def _destroyed(keyid: str) -> NotFound:
    words = "the data key was destroyed, and all that lay under it with it"
    return NotFound(words, place=f"data key {keyid[:12]}", remedy="`holdfast log` says who erased it.")


def open_master(master: Master, unlock: Unlock) -> Any:
    """Return the private half of a master key, as an age identity.

    Raises:
        NotVerified: It was changed.
        Unavailable: The secret is missing or wrong.
    """
    from pyrage import x25519

    refusal: HoldfastError = NotVerified("the storage master key is in no box", place=MASTER_FILE)
    for wrapped in master.wrapped:
        try:
            secret = open_ring(wrapped.ring, unlock)
        except NotVerified:
            raise
        except HoldfastError as error:  # missing, open to others, wrong: whatever it is, what is sealed stays so
            refusal = error
            continue
        private = unwrap(secret, purpose=_PURPOSE, box=wrapped.private, said=master.recipient.encode())
        return x25519.Identity.from_str(private.decode())
    raise Unavailable(
        f"what is sealed stays closed: {refusal.message}",
        place=refusal.place,
        expected=refusal.expected or "the unlock file or passphrase that `holdfast init` used",
        remedy=remedy_of(refusal),
    ) from refusal


def _wrapped(private: str, recipient: str, unlock: Unlock) -> Wrapped:
    ring, secret = new_ring(unlock.sort, unlock.secret())
    box = wrap(secret, purpose=_PURPOSE, content=private.encode(), said=recipient.encode())
    return Wrapped(ring=ring, private=box)


def decrypt_stream(identity: Any, source: Readable, target: Writable) -> None:
    """Decrypt a file into another; half of the target may be written when this raises.

    Raises:
        NotVerified: The encrypted bytes were changed or cut off.
    """
    from pyrage import DecryptError, decrypt_io

    try:
        decrypt_io(source, target, [identity])
    except DecryptError as error:
        raise NotVerified("the encrypted bytes were changed or cut off") from error
    except OSError as error:
        if error.errno is not None:  # of the file system; what age finds wrong in the middle comes without a number
            raise
        raise NotVerified("the encrypted bytes were changed or cut off") from error


def create_vault(root: Path, unlock: Unlock) -> Vault:
    """Make a vault in a new folder, opened by the secret that opens the workspace's keys.

    Raises:
        Unavailable: It cannot be written, or the secret cannot be had.
    """
    master = new_master(unlock)
    try:
        root.mkdir(mode=PRIVATE_DIRECTORY)
        (root / "keys").mkdir(mode=PRIVATE_DIRECTORY)
        link_new(root / MASTER_FILE, msgspec.json.encode(master))
    except OSError as error:
        raise Unavailable(f"the vault cannot be written: {error.strerror}", place=str(root)) from error
    return Vault(root, unlock)


def new_master(unlock: Unlock) -> Master:
    """Return a new pair of halves, the private one in a box that this secret opens; see `open_master`."""
    from pyrage import x25519

    identity = x25519.Identity.generate()
    recipient = str(identity.to_public())
    wrapped = _wrapped(str(identity), recipient, unlock)
    return Master(format="holdfast-storage-1", recipient=recipient, wrapped=(wrapped,))


def _decoded(path: Path, of: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(read_private(path, what=what, limit=MAX_FILE), type=of)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"{what} cannot be read: {error}", place=str(path)) from error
