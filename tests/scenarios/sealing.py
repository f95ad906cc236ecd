"""A control plane's half of encryption at rest, for gateways over a small world on disk."""

from pathlib import Path

from holdfast.adapters.clock import SystemClock
from holdfast.adapters.opener import Opener, make_opener
from holdfast.adapters.records import RECORDS_KEY, keep_recipient
from holdfast.adapters.sealed_blobs import Windows
from holdfast.adapters.shelf import ShelfFolder
from holdfast.adapters.shelf_key import SHELF_FILE, ShelfKey
from holdfast.adapters.unlock import create_unlock_file
from holdfast.adapters.vault import Vault, create_vault
from holdfast.testing.carried import MemoryPublished

SECRETS = "secrets"


class Sealing:
    """Keys for one gateway's folder: what is published is encrypted for it, and its records for us."""

    def __init__(self, folder: Path, home: Path) -> None:
        """Make them, in the folder, around the gateway's own."""
        self.folder, self.clock = folder, SystemClock()
        self.vault: Vault = create_vault(folder / "vault", create_unlock_file(folder / "vault.unlock", outside=home))
        self.openers: list[Opener] = [make_opener(home, folder / SECRETS, outside=home)]
        keep_recipient(home / "records.json", self.vault.recipient(RECORDS_KEY, self.clock.now()))

    def shelf(self, published: Path) -> ShelfFolder:
        """The published folder, as the control plane fills it."""
        return ShelfFolder(folder=published, key=self.key(), windows=Windows(self.folder / "windows"))

    def key(self) -> ShelfKey:
        """Who may read it."""
        return ShelfKey(
            vault=self.vault,
            path=self.folder / SHELF_FILE,
            recipients=lambda: tuple(opener.recipient() for opener in self.openers),
            clock=self.clock,
        )

    def publish(self, world: MemoryPublished, published: Path) -> None:
        """Write what a world has published, its blobs encrypted."""
        shelf = self.shelf(published)
        shelf.prepare()
        published.mkdir(exist_ok=True)
        (published / SHELF_FILE).write_bytes(self.key().document())
        world.write(published, shelf.blobs.put)

    def opened(self, record: bytes) -> bytes:
        """What a gateway has recorded."""
        return self.vault.open(self.vault.current(RECORDS_KEY, self.clock.now()), record)
