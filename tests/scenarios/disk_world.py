"""A small signed world on disk, and the configuration of a gateway over it: for what needs no socket."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from tests.scenarios.sealing import SECRETS, Sealing

from holdfast.adapters.opener import Opener
from holdfast.core.artifact import Artifact
from holdfast.core.routes import RouteTable
from holdfast.edge import EdgeConfig
from holdfast.testing.world import CREDENTIAL_KEY, World


class DiskWorld:
    """One release, published; change the world and publish again to go on."""

    def __init__(self, folder: Path, **table: Any) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.world = World(datetime.now(UTC).replace(microsecond=0))
        self.release: Artifact = self.world.release()
        (folder / "home").mkdir()
        self.sealing = Sealing(folder, folder / "home")
        self.table = self.publish(self.world.table(self.release, **table))
        (folder / "root.json").write_bytes(msgspec.json.encode(self.world.root))
        (folder / "credential.key").write_bytes(CREDENTIAL_KEY)
        (folder / "credential.key").chmod(0o600)

    def publish(self, table: RouteTable) -> RouteTable:
        """Publish a table, as of now."""
        self.world.publish(table)
        self.sealing.publish(self.world.published, self.folder / "published")
        return table

    @property
    def config(self) -> EdgeConfig:
        """What a gateway over this world is told."""
        home = self.folder / "home"
        return EdgeConfig(
            published=self.folder / "published",
            home=home,
            root=self.folder / "root.json",
            credential_key=self.folder / "credential.key",
            identity=lambda: self.world.signers["gateway"],
            opener=lambda: Opener(home, self.folder / SECRETS),
            records=home / "records.json",
        )
