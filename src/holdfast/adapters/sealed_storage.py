"""Letting go of blobs: what collecting garbage and archiving need, over documents and sealed bytes alike.

A sealed blob is several files, and each step does them in the order in which a crash leaves the blob readable or whole
in the other place: bytes before the entry that names them when it is stored, the entry last when it is deleted.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.sealed_blobs import Place
from holdfast.adapters.sealed_index import DiskIndex
from holdfast.core.artifact import Digest
from holdfast.core.errors import NotFound, Unavailable


@dataclass(frozen=True, slots=True)
class SealedStorage:
    """The blobs of one place, seen all at once (port `Storage`)."""

    place: Place

    def held(self) -> Iterator[tuple[Digest, int]]:
        """Yield each blob and its size on the disk, those set aside left out.

        Raises:
            Unavailable: The blobs lie in an object store, which has life-cycle rules of its own.
        """
        documents, sealed, index = self._disk()
        yield from documents.held()
        sizes = dict(sealed.held())
        for digest, copies in index.every():
            size = sum(sizes.get(encrypted, 0) for encrypted in copies.values())
            if size:
                yield digest, size

    def aside(self) -> Iterator[tuple[Digest, datetime]]:
        """Yield each blob that was set aside, and when."""
        documents, sealed, index = self._disk()
        yield from documents.aside()
        moments = dict(sealed.aside())
        for digest, copies in index.every():
            found = [moments[encrypted] for encrypted in copies.values() if encrypted in moments]
            if found:
                yield digest, max(found)

    def set_aside(self, digest: Digest, at: datetime) -> None:
        """Take a blob out of the way: it is still read, and stored anew by whoever puts it.

        Raises:
            NotFound: No such blob.
        """
        documents, sealed, index = self._disk()
        found = documents.has(digest)
        if found:
            documents.set_aside(digest, at)
        for encrypted in index.copies(digest).values():
            with suppress(NotFound):
                sealed.set_aside(encrypted, at)
                found = True
        if not found:
            raise NotFound("there is no such blob", place=digest)

    def put_back(self, digest: Digest) -> None:
        """Undo `set_aside`.

        Raises:
            NotFound: It was not set aside.
        """
        documents, sealed, index = self._disk()
        found = False
        with suppress(NotFound):
            documents.put_back(digest)
            found = True
        for encrypted in index.copies(digest).values():
            with suppress(NotFound):
                sealed.put_back(encrypted)
                found = True
        if not found:
            raise NotFound("the blob was not set aside", place=digest)

    def drop(self, digest: Digest) -> None:
        """Delete a blob that was set aside; one that was stored again meanwhile stays.

        Raises:
            NotFound: It was not set aside.
        """
        documents, sealed, index = self._disk()
        found = False
        with suppress(NotFound):
            documents.drop(digest)
            found = True
        for keyid, encrypted in index.copies(digest).items():
            with suppress(NotFound):
                sealed.drop(encrypted)
                found = True
            if not sealed.has(encrypted):
                index.forget(digest, keyid)
        if not found:
            raise NotFound("the blob was not set aside", place=digest)

    def copy(self, digest: Digest, to: "SealedStorage") -> None:
        """Store a blob in another place just as it lies here: sealed under the same data keys, or in the clear.

        Raises:
            NotFound: No such blob.
            NotVerified: It is damaged here.
        """
        copies = self.place.index.copies(digest)
        if self.place.documents.has(digest):
            to.place.documents.put(self.place.documents.get(digest))
        elif not copies:
            raise NotFound("there is no such blob", place=digest)
        for keyid, encrypted in copies.items():
            to.place.sealed.put(self.place.sealed.get(encrypted))
            to.place.index.name(digest, keyid, encrypted)

    def _disk(self) -> tuple[DiskBlobs, DiskBlobs, DiskIndex]:
        documents, sealed, index = self.place.documents, self.place.sealed, self.place.index
        if isinstance(documents, DiskBlobs) and isinstance(sealed, DiskBlobs) and isinstance(index, DiskIndex):
            return documents, sealed, index
        remedy = "Let the bucket's life-cycle rules end what Object Lock no longer holds."
        raise Unavailable("blobs in an object store are not collected from here", remedy=remedy)
