"""The folder that gateways read, seen by who fills it: replaced file by file, each whole; what was damaged is kept."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.durable import PRIVATE_DIRECTORY
from holdfast.adapters.published import PublishedFolder, prune, replace_durably
from holdfast.core.artifact import Digest
from holdfast.core.errors import HoldfastError, Unavailable
from holdfast.core.seal import MAX_ENVELOPE


@dataclass(frozen=True, slots=True)
class ShelfFolder:
    """A folder that gateways read (port `Shelf`)."""

    folder: Path

    @property
    def blobs(self) -> DiskBlobs:
        """The gateways' copies."""
        return DiskBlobs(self.folder / "blobs")

    def put(self, files: Mapping[str, bytes]) -> None:
        """Replace the documents one by one, each whole, in the order given; what is as it should be stays.

        Raises:
            Unavailable: The folder cannot be written.
        """
        reading = PublishedFolder(self.folder)
        try:
            (self.folder / "targets").mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            for name, content in files.items():
                try:
                    same = reading.document(name, len(content)) == content
                except HoldfastError:  # missing, longer, a link or a pipe: it is replaced, whatever it is
                    same = False
                if not same:
                    replace_durably(self.folder / name, content)
            prune(self.folder, frozenset(files))
        except OSError as error:
            place = str(self.folder)
            raise Unavailable(f"the gateway's folder cannot be written: {error.strerror}", place=place) from error

    def document(self, name: str) -> bytes:
        """Return a document as it is there now.

        Raises:
            NotFound: It is not there.
        """
        return PublishedFolder(self.folder).document(name, MAX_ENVELOPE)

    def set_aside(self, digest: Digest) -> None:
        """Move a damaged blob out of the way; it is evidence of whatever changed it.

        Raises:
            Unavailable: It cannot be moved.
        """
        hexadecimal = digest.removeprefix("sha256:")
        damaged = self.folder / "blobs" / "sha256" / hexadecimal[:2] / hexadecimal[2:]
        kept = self.folder / "damaged"
        try:
            kept.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
            damaged.rename(kept / f"{hexadecimal}.{secrets.token_hex(4)}")
        except OSError as error:
            raise Unavailable(f"a damaged blob cannot be moved aside: {error.strerror}", place=str(damaged)) from error
