"""Sealed blobs: bytes by the digest of what they say, encrypted at rest under a data key of the vault.

Documents that are made to be shown (evidence, policies, passports, manifests) lie in the clear; rows and weights do
not. A sealed blob is two files: the encrypted bytes, in a store of their own by *their* digest, so that damage shows
without any key; and an index entry, named by data key and plain digest, that says which they are. Reading decrypts and
then verifies the plain digest, so neither file is believed.

`path` hands out a decrypted file, because other programs read files; it lies in a folder of this process, in memory
where the machine offers that, and goes with the process.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from holdfast.adapters.blobs import READ_ONLY, open_source
from holdfast.adapters.durable import PRIVATE_DIRECTORY
from holdfast.adapters.scratch import leave
from holdfast.adapters.sealed_index import Index
from holdfast.adapters.vault import Vault
from holdfast.core.artifact import Digest, digest_bytes, parse_digest
from holdfast.core.errors import NotFound, NotVerified, Unavailable
from holdfast.core.ports import Clock


class Store(Protocol):
    """What encrypted bytes and documents lie in: `DiskBlobs`, or `ObjectBlobs`."""

    def put(self, data: bytes) -> Digest:
        """Store bytes."""
        ...

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes."""
        ...

    def get(self, digest: Digest) -> bytes:
        """Return the bytes, verified."""
        ...

    def check(self, digest: Digest) -> bool:
        """Verify a blob."""
        ...

    def open_verified(self, digest: Digest) -> AbstractContextManager[Any]:
        """Open a blob, verified."""
        ...

    def path(self, digest: Digest) -> Path:
        """Return a file that holds these bytes."""
        ...

    def has(self, digest: Digest) -> bool:
        """Say whether the blob exists."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a workspace's blobs lie."""

    documents: Store
    sealed: Store
    index: Index


class SealedBlobs:
    """Blobs of one workspace (port `Blobs`): reads whatever is there, writes under one data key, or in the clear."""

    __slots__ = ("_clock", "_documents", "_index", "_key", "_place", "_sealed", "_vault", "_windows")

    def __init__(self, place: Place, vault: Vault, windows: "Windows", clock: Clock, key: str = "") -> None:
        """Hold the places; without a key, what is put is a document."""
        self._place, self._vault, self._windows, self._clock, self._key = place, vault, windows, clock, key
        self._documents, self._sealed, self._index = place.documents, place.sealed, place.index

    def under(self, key: str) -> "SealedBlobs":
        """Return the same blobs, written under this data key."""
        return SealedBlobs(self._place, self._vault, self._windows, self._clock, key)

    def put_document(self, data: bytes) -> Digest:
        """Store bytes in the clear; see `DiskBlobs.put`."""
        return self._documents.put(data)

    def put(self, data: bytes) -> Digest:
        """Store bytes durably and return the digest of the plain ones; storing the same bytes again changes nothing.

        Raises:
            NotVerified: A damaged blob stands in the way.
            Unavailable: The file system is full, read-only or failing.
        """
        if not self._key:
            return self._documents.put(data)
        digest = digest_bytes(data)
        if not self._stored(digest):
            self._name(digest, self._sealed.put(self._vault.seal(self._key, data, self._clock.now())))
        return digest

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes in one streaming pass, hashed and encrypted as they are read.

        Raises:
            InvalidInput: There is no such regular file, or it is a symbolic link.
            NotVerified: A damaged blob stands in the way.
            Unavailable: The file system is full, read-only or failing.
        """
        if not self._key:
            return self._documents.put_file(path)
        with open_source(path) as source, self._windows.room() as room:
            hashed = Hashing(source)
            with (room / "sealed").open("wb") as file:
                self._vault.seal_stream(self._key, hashed, file, self._clock.now())
            digest = hashed.digest()
            if not self._stored(digest):
                self._name(digest, self._sealed.put_file(room / "sealed"))
        return digest

    def get(self, digest: Digest) -> bytes:
        """Return the plain bytes, verified.

        Raises:
            NotFound: No such blob, or its data key was destroyed.
            NotVerified: The stored bytes no longer have this digest.
            Unavailable: It is sealed, and the keys are locked.
        """
        if self._in_clear(digest):
            return self._documents.get(digest)
        keyid, encrypted = self._find(digest)
        with _of(digest):
            data = self._vault.open(keyid, self._sealed.get(encrypted))
        if digest_bytes(data) != digest:
            raise NotVerified("the sealed bytes do not have this digest", place=digest)
        return data

    def check(self, digest: Digest) -> bool:
        """Verify a blob; False where only its encrypted form could be verified, because the keys are locked.

        Raises:
            NotFound: No such blob, or its data key was destroyed.
            NotVerified: The stored bytes no longer have this digest.
        """
        if self._in_clear(digest):
            return self._documents.check(digest)
        copies = self._copies(digest)
        with _of(digest):
            for _, encrypted in copies:  # every one: which of them is read next time is nobody's to know
                self._sealed.check(encrypted)
        try:
            self._vault.unlock()
        except Unavailable:
            return False
        for keyid, encrypted in copies:
            target = Hashing(None)
            with _of(digest), self._sealed.open_verified(encrypted) as source:
                self._vault.open_stream(keyid, source, target)
            if target.digest() != digest:
                raise NotVerified("the sealed bytes do not have this digest", place=digest)
        return True

    def path(self, digest: Digest) -> Path:
        """Return a read-only file holding the plain bytes, verified just now; it goes when the process ends.

        Raises:
            NotFound: No such blob, or its data key was destroyed.
            NotVerified: The stored bytes no longer have this digest.
            Unavailable: It is sealed, and the keys are locked; or there is no room for it.
        """
        if self._in_clear(digest):
            return self._documents.path(digest)
        keyid, encrypted = self._find(digest)
        target = self._windows.place(digest)
        if target.exists() and _hash_of(target) == digest:
            return target
        with _of(digest), self._sealed.open_verified(encrypted) as source, self._windows.new(target) as temporary:
            with temporary.open("wb") as file:
                hashed = Hashing(file)
                self._vault.open_stream(keyid, source, hashed)
            if hashed.digest() != digest:
                raise NotVerified("the sealed bytes do not have this digest", place=digest)
            temporary.chmod(READ_ONLY)
        return target

    def has(self, digest: Digest) -> bool:
        """Say whether the blob exists (unverified) and its data key with it."""
        try:
            return self._documents.has(digest) or bool(self._find(digest))
        except NotFound:
            return False

    def _in_clear(self, digest: Digest) -> bool:
        """Say whether to look for a blob among the documents, one that was set aside there included."""
        return self._documents.has(digest) or not self._index.copies(digest)

    def _stored(self, digest: Digest) -> bool:
        encrypted = self._index.copies(digest).get(self._vault.current(self._key, self._clock.now()))
        return encrypted is not None and self._sealed.has(encrypted) and self._sealed.check(encrypted)

    def _name(self, digest: Digest, encrypted: Digest) -> None:
        self._index.name(digest, self._vault.current(self._key, self._clock.now()), encrypted)

    def _find(self, digest: Digest) -> tuple[str, Digest]:
        """Return under which data key a blob lies, and its encrypted bytes' digest."""
        return self._copies(digest)[0]

    def _copies(self, digest: Digest) -> list[tuple[str, Digest]]:
        """Return every data key under which a blob lies, with the encrypted bytes' digest; destroyed keys are passed.

        Raises:
            NotFound: There is none, or none is left.
        """
        found = self._index.copies(digest)
        living = [(keyid, encrypted) for keyid, encrypted in found.items() if self._vault.holds(keyid)]
        if found and not living:
            remedy = "`holdfast log` says who erased it."
            raise NotFound("this was erased: its data key is destroyed", place=digest, remedy=remedy)
        if not living:
            raise NotFound("there is no such blob", place=digest)
        return living


class Hashing:
    """A reader or writer that hashes what passes through it."""

    def __init__(self, file: Any) -> None:
        """Pass everything on to `file`; None hashes only."""
        self._file, self._hashed = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return bytes from the file."""
        data: bytes = self._file.read(size)
        self._hashed.update(data)
        return data

    def write(self, data: bytes) -> int:
        """Write bytes to the file."""
        self._hashed.update(data)
        return len(data) if self._file is None else int(self._file.write(data))

    def flush(self) -> None:
        """Flush the file."""
        if self._file is not None:
            self._file.flush()

    def digest(self) -> Digest:
        """Return the digest of all that passed."""
        return Digest("sha256:" + self._hashed.hexdigest())


@dataclass(slots=True)
class Windows:
    """Decrypted files of one process, in a folder that is made when the first one is needed."""

    parent: Path
    _folder: Path | None = field(default=None, init=False)

    def place(self, digest: Digest) -> Path:
        """Return where the file of a digest lies, or would."""
        return self.opened() / parse_digest(digest).removeprefix("sha256:")

    @contextmanager
    def room(self) -> Iterator[Path]:
        """Yield an empty folder, removed afterwards."""
        with tempfile.TemporaryDirectory(dir=self.opened()) as folder:
            yield Path(folder)

    def new(self, target: Path) -> "_Whole":
        """Return a context in which a file is written that gets its name last."""
        return _Whole(target)

    def close(self) -> None:
        """Remove them all."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        leave(self.parent)

    def opened(self) -> Path:
        """Return the folder; it is made when it is first asked for."""
        if self._folder is None:
            _sweep(self.parent)
            try:
                self.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
                self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=self.parent))
            except OSError as error:
                raise Unavailable(f"no room for decrypted files: {error.strerror}", place=str(self.parent)) from error
        return self._folder


_PREFIX: Final = "open-"


class _Whole:
    def __init__(self, target: Path) -> None:
        self._target = target
        self._temporary = target.with_name(f".{target.name}")

    def __enter__(self) -> Path:
        return self._temporary

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._temporary.replace(self._target)
        else:
            self._temporary.unlink(missing_ok=True)


def _sweep(parent: Path) -> None:
    """Remove what processes left that were killed: their decrypted files must not outlive them for long."""
    with suppress(OSError):
        for entry in os.scandir(parent):
            pid = entry.name.removeprefix(_PREFIX).partition("-")[0]
            if entry.name.startswith(_PREFIX) and pid.isdigit() and not Path(f"/proc/{pid}").exists():
                shutil.rmtree(entry.path, ignore_errors=True)


@contextmanager
def _of(digest: Digest) -> Iterator[None]:
    """Say of damage which plain digest it concerns: that is the name that everybody else knows."""
    try:
        yield
    except NotVerified as error:
        raise NotVerified(error.message, place=digest, remedy=error.remedy) from error


def _hash_of(path: Path) -> Digest:
    with path.open("rb") as file:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())
