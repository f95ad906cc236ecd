"""Where the parts of a workspace lie."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where things lie: the project's folder, and the workspace inside it."""

    root: Path

    @property
    def project_file(self) -> Path:
        """The project file."""
        return self.root / "holdfast.toml"

    @property
    def workspace(self) -> Path:
        """The workspace: keys, blobs, ledger."""
        return self.root / ".holdfast"

    @property
    def published(self) -> Path:
        """What the gateway reads."""
        return self.workspace / "published"

    @property
    def staging(self) -> Path:
        """What a gateway of the staging environment reads."""
        return self.workspace / "staging"

    @property
    def archive(self) -> Path:
        """Blobs of releases that were archived."""
        return self.workspace / "archive"

    @property
    def gateway(self) -> Path:
        """What the gateway writes: its own identity, memory and spool."""
        return self.workspace / "gateway"

    @property
    def gateways(self) -> Path:
        """What gateways on other hosts have told, and their certificates: a folder for each."""
        return self.workspace / "gateways"

    @property
    def authority(self) -> Path:
        """The workspace's certificate authority."""
        return self.workspace / "authority"
