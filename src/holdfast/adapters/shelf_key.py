"""Who may read what is published: the data key that it lies under, encrypted for each gateway.

One key for a workspace, in its vault like any data key. `shelf.json` lies beside what is published and holds the key's
private half as an age file to the recipients, one a gateway; so a gateway more rewrites one small file. One less makes
another key: what is published from then on, that gateway cannot read.

Nothing of it is signed, because nothing of it is believed: a gateway verifies every blob by the digest of its plain
bytes, which the signed documents lead to. Whoever changes this file can keep gateways from reading, and no more; it is
put right with the next publishing.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from holdfast.adapters.durable import read_private
from holdfast.adapters.published import replace_durably
from holdfast.adapters.vault import Vault
from holdfast.core.errors import HoldfastError, InvalidInput, Refused, Unavailable
from holdfast.core.ports import Clock

SHELF_FILE: Final = "shelf.json"
SHELF_KEY: Final = "published"  # the data key's name in the vault
MAX_SHELF: Final = 1 << 20  # bytes; a thousand gateways take a third of it


class ShelfDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which data key is in use, and its private half for those who may read."""

    format: Literal["holdfast-shelf-1"]
    key: str  # its id
    recipients: tuple[str, ...]
    sealed: str  # base64


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfKey:
    """The key under which a workspace publishes."""

    vault: Vault
    path: Path  # our own copy of the document
    recipients: Callable[[], tuple[str, ...]]  # public halves, one a gateway
    clock: Clock

    def document(self) -> bytes:
        """Return the document for those who may read now; it is made anew when they, or the key, have changed.

        Raises:
            Refused: Nobody may read: what is published would be for nobody.
            InvalidInput: A recipient is no age key.
            Unavailable: It has to be made, and the unlock secret is missing; or it cannot be written.
        """
        wanted = tuple(sorted(set(self.recipients())))
        if not wanted:
            raise Refused("there is no gateway for which to publish", place=SHELF_FILE)
        kept = self._kept()
        if kept is not None and not set(kept.recipients) <= set(wanted):
            self.vault.unlock()  # before the old key goes: without the secret, nothing could be published again
            self.vault.destroy(SHELF_KEY)
        key = self.vault.current(SHELF_KEY, self.clock.now())
        if kept is None or (kept.key, kept.recipients) != (key, wanted):
            kept = self._made(key, wanted)
        return msgspec.json.encode(kept)

    def _kept(self) -> ShelfDocument | None:
        try:
            document = read_private(self.path, what="the key of what is published", limit=MAX_SHELF)
            return msgspec.json.decode(document, type=ShelfDocument)
        except (HoldfastError, msgspec.MsgspecError, UnicodeDecodeError):  # whatever it is, it is made again
            return None

    def _made(self, key: str, wanted: tuple[str, ...]) -> ShelfDocument:
        from pyrage import RecipientError, encrypt, x25519

        try:
            recipients = [x25519.Recipient.from_str(each) for each in wanted]
        except RecipientError as error:
            raise InvalidInput("a gateway's public half is no age recipient", place=SHELF_FILE) from error
        sealed = encrypt(self.vault.export(SHELF_KEY).encode(), recipients)
        made = ShelfDocument(
            format="holdfast-shelf-1", key=key, recipients=wanted, sealed=base64.b64encode(sealed).decode()
        )
        try:
            replace_durably(self.path, msgspec.json.encode(made))
        except OSError as error:
            raise Unavailable(f"the vault cannot be written: {error.strerror}", place=str(self.path)) from error
        return made
