"""A workspace in which people work: its control plane with a clock that can be set, accounts, and what they present."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from holdfast.core.access import Presented, Principal
from holdfast.core.errors import Refused
from holdfast.core.identity import principal
from holdfast.core.ledger import Entry
from holdfast.lifecycle.access import authenticate, authorise
from holdfast.lifecycle.identity import add, bootstrap, claim_with, directory, issue
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.sessions import token_for
from holdfast.testing.clock import SettableClock


@dataclass(frozen=True, slots=True)
class Office:
    """The control plane of a workspace, at a time that tests set."""

    plant: Plant
    clock: SettableClock

    def later(self, **by: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**by))

    def administrator(self, name: str = "ada") -> str:
        """Make the first administrator; return the API key."""
        token = str(bootstrap(self.plant).document["token"])
        return str(claim_with(self.plant, name=name, token=token).document["key"])

    def employ(self, name: str, groups: str = "", sort: str = "user", **key: Any) -> str:
        """Add an account; return an API key of it."""
        add(self.plant, name=name, sort=sort, groups=groups)
        return str(issue(self.plant, name=name, **key).document["key"])

    def who(self, credential: str, **more: Any) -> Principal:
        """Who presents this as a bearer."""
        return authenticate(self.plant, Presented(authorization=f"Bearer {credential}", peer="10.0.0.1", **more))

    def token(self, key: str) -> str:
        """A token of fifteen minutes from an API key."""
        return token_for(self.plant, self.who(key))[0]

    def may(self, credential: str, action: str, resource: str = "") -> bool:
        """Whether the holder of a credential may do something; it is on record afterwards."""
        try:
            authorise(self.plant, self.who(credential), action, resource)
        except Refused:
            return False
        return True

    def over_the_network(self, name: str) -> Plant:
        """The control plane as it works for somebody who asks over the network."""
        account = directory(self.plant).accounts.get(name)
        found = principal(account, "a-session") if account else Principal(name=name, sort="user")
        return replace(self.plant, principal=found)

    def record(self, *kinds: str) -> list[Entry]:
        """The entries of these kinds, after all that was counted is on record."""
        self.plant.memory.write(self.plant.ledger, self.plant.clock)
        return [entry for entry in self.plant.ledger.entries() if entry.kind in kinds]

    def everything(self) -> str:
        """All that is on record, as text."""
        entries = "\n".join(json.dumps(entry.body) for entry in self.plant.ledger.entries())
        blobs = [path for path in (self.plant.home.workspace / "blobs").rglob("*") if path.is_file()]
        return entries + "".join(path.read_bytes().decode("latin-1") for path in blobs)

    def write(self, name: str, content: str | bytes) -> Path:
        """A file beside the workspace, which only its owner may read."""
        path = self.plant.home.root / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o600)
        return path
