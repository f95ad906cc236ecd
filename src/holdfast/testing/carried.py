"""What a gateway is handed and what it remembers, in memory: a signed TUF repository, a store, a clock that waits."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.trust import Trust
from holdfast.engines.repository import (
    POLICY_NAME,
    ROUTES_NAME,
    TIMESTAMP_NAME,
    TRUST_NAME,
    Offline,
    countersigned,
    first_root,
    next_root,
    root_name,
    write_release,
    write_targets,
)
from holdfast.serve.loading import Remembered
from holdfast.testing.memory import MemorySigner


@dataclass(slots=True)
class MemoryPublished:
    """A published folder in memory, as the gateway reads it; tests change `documents` and `blobs` at will.

    Whatever `documents` are changed to is carried by a new, well-signed state of the TUF repository: so tests of the
    seals inside attack as somebody who holds every online key. Tests of the repository itself set `files`.
    """

    documents: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    carry: Callable[[Mapping[str, bytes]], Mapping[str, bytes]] = dict
    files: dict[str, bytes] | None = None  # all files as an attacker has left them

    def present(self) -> Mapping[str, bytes]:
        """Return every file but the blobs, as a gateway finds them."""
        return self.files if self.files is not None else self.carry(self.documents)

    def document(self, name: str, limit: int) -> bytes:
        """Return a document.

        Raises:
            NotFound: It is not there.
            InvalidInput: It is longer than `limit`.
        """
        return _bounded(self.present().get(name), limit, name)

    def blob(self, digest: Digest, limit: int) -> bytes:
        """Return a blob, unverified: the gateway must not rely on its store.

        Raises:
            NotFound: It is not there.
            InvalidInput: It is longer than `limit`.
        """
        return _bounded(self.blobs.get(digest), limit, digest)

    def stamp(self, *names: str) -> object:
        """Return what differs whenever one of the documents was replaced."""
        files = self.present()
        return tuple(digest_bytes(files[name]) if name in files else None for name in names)

    def write(self, folder: Path, keep: Callable[[bytes], object]) -> None:
        """Write everything to disk the way the control plane does: blobs first, the timestamp last.

        Args:
            folder: Where the documents lie.
            keep: Takes each blob to where the gateway finds it.
        """
        for data in self.blobs.values():
            keep(data)
        for name, data in sorted(self.present().items(), key=lambda item: item[0] == TIMESTAMP_NAME):
            _write(folder / name, data)

    def remove(self, folder: Path) -> None:
        """Remove the folder, as a control plane that is gone would leave it."""
        self.documents.clear()
        self.blobs.clear()
        shutil.rmtree(folder, ignore_errors=True)


def _bounded(data: bytes | None, limit: int, what: str) -> bytes:
    if data is None:
        raise NotFound(f"{what} is missing")
    if len(data) > limit:
        raise InvalidInput(f"{what} is too long")
    return data


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(data)
    temporary.replace(path)


@dataclass(slots=True)
class MemoryMemory:
    """The gateway's memory, in memory."""

    remembered: Remembered = field(default_factory=Remembered)

    def recall(self) -> Remembered:
        """Return what was kept last."""
        return self.remembered

    def keep(self, remembered: Remembered) -> None:
        """Keep this, unless something newer was kept meanwhile."""
        self.remembered = self.remembered.joined(remembered)


@dataclass(slots=True)
class Ticks:
    """A monotonic clock that stands still until it is told to move."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.seconds


class Carrier:
    """Carries documents in a TUF repository whose online keys sign whatever there is, as often as it changes."""

    def __init__(self, trust: Trust, signers: Mapping[str, MemorySigner]) -> None:
        """Sign the first root; nothing is carried yet."""
        # Far away: in tests of leases the route table's own end shall come first.
        self.trust = msgspec.structs.replace(trust, expires=trust.expires + timedelta(days=3650))
        self.root, self._online = signers["root"], signers["registry"]
        self.roots = [first_root(self.trust, [self.root])]
        self.revoked: tuple[str, ...] = ()  # for good, by the offline keys
        self.version = 0
        self._carried: tuple[object, dict[str, bytes]] = (None, {})

    def __call__(self, documents: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return the files of a repository that carries these documents; no file at all where there is none."""
        if not documents:
            return {}
        said = (dict(documents), self.revoked)
        if self._carried[0] != said:
            self.version += 1
            self._carried = (said, self.sign(documents, self.version))
        return self._carried[1]

    def next_root(self, trust: Trust, signers: Sequence[MemorySigner]) -> bytes:
        """Return the root after the first one, as these sign it for a trust whose keys differ.

        Raises:
            InvalidInput: They do not differ.
        """
        made = next_root(self.roots[0], trust)
        if made is None:
            raise InvalidInput("this trust asks for no other root")
        return countersigned(made, signers)

    def offline(self, version: int) -> Offline:
        """Return what the offline keys say."""
        made = write_targets(self.trust, self.revoked, version)
        return Offline(targets=countersigned(made.targets, [self.root]), revoked=made.revoked)

    def sign(
        self, documents: Mapping[str, bytes], version: int, *, expires: datetime | None = None
    ) -> dict[str, bytes]:
        """Return the files of a repository of this version; a document that is missing is named all the same."""
        release = write_release(
            self.offline(version),
            documents={name: documents.get(name, b"") for name in (POLICY_NAME, ROUTES_NAME, TRUST_NAME)},
            epoch=version,
            expires=expires or self.trust.expires,
            signer=self._online,
        )
        there = {name: data for name, data in release.names.items() if data}
        return {root_name(number): data for number, data in enumerate(self.roots, 1)} | there
