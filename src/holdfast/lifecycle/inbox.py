"""Inboxes: the spool of each gateway, and how its files are looked at, set aside and removed.

The gateway beside the control plane writes its own; what gateways on other hosts hand over lies in one for each.
Nothing in them is believed because it lies there: no link is followed, no pipe waited for.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.core.gateways import ROLE
from holdfast.core.ledger import Draft
from holdfast.core.spool import EVENTS
from holdfast.lifecycle.plant import Plant

SPOOL: Final = "spool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """One gateway's spool."""

    folder: Path
    gateway: str = ""  # whose statements alone belong here; empty for the gateway beside the control plane
    series: str = ""  # what the names of its streams of events hold before the worker's number

    def names(self) -> list[str]:
        """Return the names of its files, in order; none where there is no folder yet.

        Raises:
            Unavailable: It cannot be read: what was not looked at must not look like silence.
        """
        try:
            return sorted(entry.name for entry in os.scandir(self.folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(
                f"the gateway's spool cannot be read: {error.strerror}", place=str(self.folder)
            ) from error

    def events(self, worker: int) -> str:
        """Return the stream of a worker's events."""
        return f"events/{self.series}{worker}"

    def positions(self, worker: int) -> str:
        """Return the stream that says how far a worker's files are taken: apart from the events, being read often."""
        return f"spool/events/{self.series}{worker}"


def inboxes(plant: Plant) -> tuple[Inbox, ...]:
    """Return every gateway's inbox: the one beside the control plane, and those of all that have told anything.

    Raises:
        Unavailable: They cannot be read.
    """
    own = Inbox(folder=plant.home.gateway / SPOOL)
    others = Inbox(folder=plant.home.gateways).names()
    return (own, *(_elsewhere(plant, name) for name in others))


def _elsewhere(plant: Plant, name: str) -> Inbox:
    return Inbox(folder=plant.home.gateways / name / SPOOL, gateway=f"{ROLE}/{name}", series=f"{name}/")


def worker_of(path: Path) -> int:
    """Return the worker that wrote a file of events; -1 where it is none."""
    found = EVENTS.fullmatch(path.name)
    return int(found[1]) if found else -1


def refuse(plant: Plant, path: Path, reason: str) -> None:
    """Move a refused statement aside, as evidence, and say so on record."""
    kept = path.with_name(f"{path.name}.refused-{plant.entropy.token(4).hex()}")
    body = {"file": kept.name, "reason": reason[:500]}
    plant.ledger.append([Draft(kind="telemetry.refused", actor="registry", stream="spool", body=body)])
    try:
        path.rename(kept)
    except OSError as error:
        raise Unavailable(f"refused telemetry cannot be moved aside: {error.strerror}", place=str(path)) from error


def read(path: Path, offset: int, limit: int) -> bytes:
    """Return bytes of a regular file of the spool; no link is followed, no pipe is waited for.

    Raises:
        InvalidInput: It is no regular file.
        Unavailable: The operating system does not let us read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise InvalidInput("a symbolic link lies in the spool", place=path.name) from error
        raise Unavailable(f"the spool cannot be read: {error.strerror}", place=str(path)) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidInput("something that is no file lies in the spool", place=path.name)
        return os.pread(descriptor, limit, offset)
    finally:
        os.close(descriptor)


def size(path: Path) -> int:
    """Return how many bytes a file of the spool has.

    Raises:
        Unavailable: The operating system does not say.
    """
    try:
        return path.lstat().st_size
    except OSError as error:
        raise Unavailable(f"the spool cannot be read: {error.strerror}", place=str(path)) from error


def remove(path: Path) -> None:
    """Remove a file of the spool that the ledger holds.

    Raises:
        Unavailable: It cannot be removed.
    """
    try:
        path.unlink()
    except OSError as error:
        raise Unavailable(f"the spool cannot be cleared: {error.strerror}", place=str(path)) from error
