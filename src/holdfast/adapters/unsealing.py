"""What is published, opened: the gateway's view of a folder or an address in which blobs lie encrypted for it.

Documents pass through as they are. A blob is found in three steps: 1. `shelf.json`, opened by the gateway's own key,
says under which data key it lies, and how to open that; 2. an index entry, by plain digest and data key, says which
encrypted bytes it is; 3. those are read, by *their* digest, and decrypted in memory. What comes out has the plain
digest that was asked for, or is refused, so neither the index nor the key is believed.
"""

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from holdfast.adapters.blobs import DiskBlobs, open_source
from holdfast.adapters.opener import Opener
from holdfast.adapters.sealed_index import MAX_ENTRY, parsed_entry, place_of
from holdfast.adapters.shelf_key import MAX_SHELF, SHELF_FILE, ShelfDocument
from holdfast.adapters.vault import decrypt_stream
from holdfast.core.artifact import Digest, digest_bytes, from_base64
from holdfast.core.errors import InvalidInput, NotVerified

MAGIC: Final = b"age-encryption.org/v1\n"  # how every encrypted file begins
_CHUNK: Final = 64 << 10  # bytes that age encrypts at once, with 16 bytes of tag
_OVERHEAD: Final = 4096  # bytes of head and nonce: one recipient takes 200


class Lying(Protocol):
    """What is published, as it lies: `PublishedFolder` or `PublishedUrl`."""

    def document(self, name: str, limit: int) -> bytes:
        """Return a document."""
        ...

    def blob(self, digest: Digest, limit: int) -> bytes:
        """Return the bytes of this digest."""
        ...

    def stamp(self, *names: str) -> object:
        """Return what differs when one of these documents was replaced."""
        ...


@dataclass(slots=True, kw_only=True)
class Unsealed:
    """What a control plane published (port `Published`), its blobs decrypted."""

    published: Lying
    opener: Opener
    _shelf: bytes = b""
    _key: str = ""
    _identity: Any = field(default=None, repr=False)

    def document(self, name: str, limit: int) -> bytes:
        """Return a document, which lies in the clear."""
        return self.published.document(name, limit)

    def stamp(self, *names: str) -> object:
        """Return what differs when one of these documents was replaced."""
        return self.published.stamp(*names)

    def blob(self, digest: Digest, limit: int) -> bytes:
        """Return a blob's plain bytes.

        Raises:
            HoldfastError: What the folder or address raises, or the opener.
            NotVerified: What was decrypted has another digest.
            InvalidInput: It is longer than `limit` bytes.
        """
        self._learn()  # 1.
        entry = self.published.document(f"index/{place_of(digest)}/{self._key}", MAX_ENTRY)  # 2.
        encrypted = self.published.blob(parsed_entry(entry, digest), limit + limit // _CHUNK * 16 + _OVERHEAD)  # 3.
        plain = io.BytesIO()
        try:
            decrypt_stream(self._identity, io.BytesIO(encrypted), plain)
        except NotVerified as error:
            raise NotVerified(error.message, place=digest) from error
        data = plain.getvalue()
        if digest_bytes(data) != digest:
            raise NotVerified("the published bytes do not have this digest", place=digest)
        if len(data) > limit:
            raise InvalidInput(f"a blob of {len(data)} bytes", place=digest, expected=f"at most {limit}")
        return data

    def _learn(self) -> None:
        """Open the data key, unless it is the one that we know."""
        from pyrage import IdentityError, x25519

        shelf = self.published.document(SHELF_FILE, MAX_SHELF)
        if shelf == self._shelf:
            return
        try:
            said = msgspec.json.decode(shelf, type=ShelfDocument)
            identity = x25519.Identity.from_str(self.opener.open(from_base64(said.sealed)).decode())
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidInput, IdentityError) as error:
            raise NotVerified("the key of what is published cannot be read", place=SHELF_FILE) from error
        if hashlib.sha256(str(identity.to_public()).encode()).hexdigest()[:32] != said.key:
            raise NotVerified("the key of what is published goes by another's name", place=SHELF_FILE)
        self._shelf, self._key, self._identity = shelf, said.key, identity


def remove_plain(root: Path) -> None:
    """Remove blobs that lie in the clear in a folder: what was published, or fetched, before it was encrypted."""
    for digest, _ in DiskBlobs(root).held():
        name = digest.removeprefix("sha256:")
        path = root / "sha256" / name[:2] / name[2:]
        if is_plain(path):
            path.unlink(missing_ok=True)


def is_plain(path: Path) -> bool:
    """Say whether a file lies in the clear; a link, or what is no file, does not: whoever reads refuses it."""
    try:
        with open_source(path) as file:
            return file.read(len(MAGIC)) != MAGIC
    except InvalidInput:
        return False
