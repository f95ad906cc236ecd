"""The folder that gateways read, seen by who fills it: replaced file by file, each whole; what was damaged is kept.

Blobs lie encrypted, under the key that `shelf_key` hands to the gateways: in `blobs/` by the digest of their encrypted
bytes, so that damage shows without any secret, and in `index/` which of them is which. Documents lie in the clear: they
are signed, made to be read by anybody, and hold neither rows nor weights.
"""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.durable import PRIVATE_DIRECTORY
from holdfast.adapters.published import PublishedFolder, prune, replace_durably
from holdfast.adapters.sealed_blobs import Place, SealedBlobs, Windows
from holdfast.adapters.sealed_index import MAX_ENTRY, DiskIndex, place_of
from holdfast.adapters.shelf_key import SHELF_FILE, SHELF_KEY, ShelfDocument, ShelfKey
from holdfast.adapters.unsealing import is_plain, remove_plain
from holdfast.core.artifact import Digest, parse_digest
from holdfast.core.errors import HoldfastError, InvalidInput, Unavailable
from holdfast.core.seal import MAX_ENVELOPE

NOTHING: Final = DiskBlobs(Path(os.devnull))  # no file can lie below it: no blob here is ever taken from the clear


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfFolder:
    """A folder that gateways read (port `Shelf`)."""

    folder: Path
    key: ShelfKey
    windows: Windows

    @property
    def blobs(self) -> SealedBlobs:
        """The gateways' copies."""
        place = Place(
            documents=NOTHING, sealed=DiskBlobs(self.folder / "blobs"), index=DiskIndex(self.folder / "index")
        )
        return SealedBlobs(place, self.key.vault, self.windows, self.key.clock, SHELF_KEY)

    def prepare(self) -> None:
        """Settle who may read, and remove what was published in the clear before.

        Raises:
            HoldfastError: What `ShelfKey.document` raises.
            Unavailable: The folder cannot be written.
        """
        document = self.key.document()
        if self._same_key(document):  # another recipient alone: whoever it is reads what lies here already
            self._replace(SHELF_FILE, document)
        remove_plain(self.folder / "blobs")
        self._seal_damaged()

    def put(self, files: Mapping[str, bytes]) -> None:
        """Replace the documents one by one, each whole, in the order given; what is as it should be stays.

        Raises:
            Unavailable: The folder cannot be written.
        """
        wanted = {SHELF_FILE: self.key.document(), **files}
        try:
            (self.folder / "targets").mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            for name, content in wanted.items():
                self._replace(name, content)
            prune(self.folder, frozenset(wanted))
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
        """Move a damaged blob out of the way, encrypted as it lies; it is evidence of whatever changed it.

        Raises:
            Unavailable: It cannot be moved.
        """
        name = digest.removeprefix("sha256:")
        kept = self.folder / "damaged"
        entries = self.folder / "index" / place_of(digest)
        try:
            kept.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
            for entry in list(entries.iterdir()):
                aside = kept / f"{name}.{secrets.token_hex(4)}"
                try:
                    other = parse_digest(entry.read_bytes()[:MAX_ENTRY].decode()).removeprefix("sha256:")
                except (InvalidInput, UnicodeDecodeError):  # what was changed is the entry: it is the evidence
                    entry.rename(aside.with_suffix(".index"))
                    continue
                with suppress(FileNotFoundError):
                    (self.folder / "blobs" / "sha256" / other[:2] / other[2:]).rename(aside)
                entry.unlink()
        except OSError as error:
            raise Unavailable(f"a damaged blob cannot be moved aside: {error.strerror}", place=str(entries)) from error

    def _same_key(self, document: bytes) -> bool:
        """Say whether what lies here is under the key that a document hands on."""
        try:
            lies = msgspec.json.decode(self.document(SHELF_FILE), type=ShelfDocument)
        except (HoldfastError, msgspec.MsgspecError, UnicodeDecodeError):  # none, or damaged: `put` writes it
            return False
        return lies.key == msgspec.json.decode(document, type=ShelfDocument).key

    def _replace(self, name: str, content: bytes) -> None:
        """Replace a document; one that is as it should be stays."""
        try:
            same = PublishedFolder(self.folder).document(name, len(content)) == content
        except HoldfastError:  # missing, longer, a link or a pipe: it is replaced, whatever it is
            same = False
        if not same:
            replace_durably(self.folder / name, content)

    def _seal_damaged(self) -> None:
        """Encrypt what was damaged and set aside in the clear, before blobs were encrypted."""
        kept = self.folder / "damaged"
        for path in list(kept.iterdir()) if kept.is_dir() else ():
            if path.suffix != ".index" and is_plain(path):
                sealed = self.key.vault.seal(SHELF_KEY, path.read_bytes(), self.key.clock.now())
                replace_durably(path, sealed)
