"""The index of sealed blobs: under which data keys a blob lies, and which encrypted bytes are it.

Nothing in it is believed. One small entry a copy, named by plain digest and data key: `<root>/ab/cdef…/<data key>`, a
file or an object.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from holdfast.adapters.durable import PRIVATE_DIRECTORY, READ_SAFELY, sync_directory
from holdfast.adapters.object_blobs import translated
from holdfast.adapters.published import replace_durably
from holdfast.core.artifact import Digest, parse_digest
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Unavailable

MAX_ENTRY: Final = 256  # bytes of an entry: one digest


class Index(Protocol):
    """Where it is written down which encrypted bytes are a blob."""

    def copies(self, digest: Digest) -> dict[str, Digest]:
        """Return the digest of the encrypted bytes by data key; empty where there are none."""
        ...

    def name(self, digest: Digest, keyid: str, encrypted: Digest) -> None:
        """Write down a copy, durably; one that is there already stays."""
        ...


@dataclass(frozen=True, slots=True)
class DiskIndex:
    """An index in files."""

    root: Path

    def copies(self, digest: Digest) -> dict[str, Digest]:
        """Return the digest of the encrypted bytes by data key; empty where there are none.

        Raises:
            NotVerified: An entry is not one that we wrote.
        """
        folder = self.root / place_of(digest)
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
        except FileNotFoundError:
            return {}
        return {name: parsed_entry(_read(folder / name), digest) for name in names}

    def name(self, digest: Digest, keyid: str, encrypted: Digest) -> None:
        """Write down a copy, durably; what it takes the place of was set aside, or came from another process.

        Raises:
            Unavailable: It cannot be written.
        """
        folder = self.root / place_of(digest)
        try:
            for each in (self.root, folder.parent, folder):
                each.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
                sync_directory(each.parent)
            replace_durably(folder / keyid, encrypted.encode())  # the same bytes, whoever was faster
        except OSError as error:
            raise Unavailable(f"the blob cannot be written: {error.strerror}", place=str(self.root)) from error

    def every(self) -> Iterator[tuple[Digest, dict[str, Digest]]]:
        """Yield each blob with its copies; what is no entry of ours in the folder is passed over."""
        with suppress(FileNotFoundError, NotADirectoryError):
            for shard in sorted(self.root.iterdir()):
                for folder in sorted(shard.iterdir()) if shard.is_dir() else ():
                    with suppress(InvalidInput, NotFound, NotVerified):
                        digest = parse_digest(f"sha256:{shard.name}{folder.name}")
                        yield digest, self.copies(digest)

    def named(self, digest: Digest) -> tuple[str, ...]:
        """Return the data keys under which a blob should lie, whatever its entries say."""
        try:
            names = [entry.name for entry in os.scandir(self.root / place_of(digest))]
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return tuple(sorted(name for name in names if not name.startswith(".")))

    def forget(self, digest: Digest, keyid: str) -> None:
        """Delete an entry, and the folder with the last one."""
        folder = self.root / place_of(digest)
        (folder / keyid).unlink(missing_ok=True)
        with suppress(OSError):  # another entry is in it
            folder.rmdir()


@dataclass(frozen=True, slots=True)
class ObjectIndex:
    """An index in an object store."""

    store: Any
    prefix: str

    def copies(self, digest: Digest) -> dict[str, Digest]:
        """Return the digest of the encrypted bytes by data key; empty where there are none.

        Raises:
            NotVerified: An entry is not one that we wrote.
            Unavailable: The store does not answer.
        """
        import obstore

        found = {}
        with translated(digest):
            listed = obstore.list_with_delimiter(self.store, f"{self.prefix}/{place_of(digest)}/")["objects"]
            for item in listed:
                entry = bytes(obstore.get(self.store, item["path"]).bytes())
                found[item["path"].rpartition("/")[2]] = parsed_entry(entry, digest)
        return found

    def name(self, digest: Digest, keyid: str, encrypted: Digest) -> None:
        """Write down a copy; one that is there already stays.

        Raises:
            Unavailable: The store does not answer.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        entry = f"{self.prefix}/{place_of(digest)}/{keyid}"
        with translated(digest), suppress(AlreadyExistsError, PreconditionError):
            obstore.put(self.store, entry, encrypted.encode(), mode="create", use_multipart=False)


def place_of(digest: Digest) -> str:
    """Return the folder of a blob's entries, below the index's own."""
    name = parse_digest(digest).removeprefix("sha256:")
    return f"{name[:2]}/{name[2:]}"


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, READ_SAFELY)
    except FileNotFoundError:
        raise NotFound("there is no such blob", place=path.name) from None
    except OSError as error:
        raise NotVerified(
            f"an index entry of sealed blobs cannot be read: {error.strerror}", place=path.name
        ) from error
    try:
        return os.read(descriptor, MAX_ENTRY)
    finally:
        os.close(descriptor)


def parsed_entry(entry: bytes, digest: Digest) -> Digest:
    """Return what an entry says of a blob: the digest of its encrypted bytes.

    Raises:
        NotVerified: It is not one that we wrote.
    """
    try:
        return parse_digest(entry.decode())
    except (InvalidInput, UnicodeDecodeError) as error:
        raise NotVerified("an index entry of sealed blobs was changed", place=digest) from error
