"""What the offline keys have signed, kept beside the trust document: the chain of roots, and the newest targets.

Signing here is a ceremony: it asks for signers of role `root`, and happens when the keys that the trust names change or
an artifact is revoked for good. Publishing a route table only reads what lies here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from holdfast.adapters.durable import PRIVATE_DIRECTORY
from holdfast.adapters.published import read_bounded, replace_durably
from holdfast.core.dsse import SigningKey
from holdfast.core.errors import Conflict, NotFound, NotVerified
from holdfast.core.trust import Trust
from holdfast.engines.repository import (
    Offline,
    Proposal,
    check_offline,
    countersigned,
    first_root,
    next_root,
    read_proposal,
    root_name,
    sign_proposal,
    write_targets,
)

MAX_OFFLINE: Final = 32 << 20  # bytes: the targets and the list of revocations, in base64
MAX_ROOT: Final = 1 << 20  # bytes of one root
_NEWEST: Final = "offline.json"


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    version: int  # of the targets
    targets: bytes
    revoked: bytes


@dataclass(frozen=True, slots=True)
class OfflineFolder:
    """The folder of what the offline keys have signed."""

    folder: Path

    def begin(self, trust: Trust, signers: Sequence[SigningKey]) -> None:
        """Sign the first root and the first targets in a new folder."""
        self.folder.mkdir(mode=PRIVATE_DIRECTORY)
        replace_durably(self.folder / root_name(1), first_root(trust, signers))
        offline = write_targets(trust, (), 1)
        self._keep(_Kept(version=1, targets=countersigned(offline.targets, signers), revoked=offline.revoked))

    def propose(self, trust: Trust, revoked: Sequence[str] = ()) -> bytes:
        """Return what comes next, unsigned: newer targets, and a newer root where keys, threshold or end have changed.

        Args:
            trust: The trust that is in force from now on.
            revoked: Digests that are revoked for good from now on, besides those that are already.
        """
        kept, roots = self._read(), self.roots()
        gone = sorted({*msgspec.json.decode(kept.revoked, type=tuple[str, ...]), *revoked})
        offline = write_targets(trust, gone, kept.version + 1)
        root = next_root(roots[root_name(len(roots))], trust)
        version = kept.version + 1
        proposal = Proposal(version=version, root=root, targets=offline.targets, revoked=offline.revoked)
        return msgspec.json.encode(proposal)

    def accept(self, proposal: bytes) -> None:
        """Keep what enough persons have signed.

        Raises:
            Conflict: Something else was kept since it was proposed.
            NotVerified: Too few persons have signed, or it cannot be read: nothing is kept, since no gateway would
                believe it.
        """
        made, kept, roots = read_proposal(proposal), self._read(), self.roots()
        if made.version != kept.version + 1:
            raise Conflict(f"targets {kept.version} were kept meanwhile", expected=f"number {made.version - 1}")
        check_offline(roots[root_name(len(roots))], made.root, made.targets, made.revoked)
        if made.root is not None:
            replace_durably(self.folder / root_name(len(roots) + 1), made.root)
        self._keep(_Kept(version=made.version, targets=made.targets, revoked=made.revoked))

    def follow(self, trust: Trust, signers: Sequence[SigningKey], *, revoked: Sequence[str] = ()) -> None:
        """Propose, sign and keep at once, where enough root keys are at hand.

        Raises:
            NotVerified: They are too few.
        """
        self.accept(sign_proposal(self.propose(trust, revoked), signers))

    def roots(self) -> Mapping[str, bytes]:
        """Return every root by name, from the first to the newest.

        Raises:
            NotFound: There is none.
        """
        found: dict[str, bytes] = {}
        while (self.folder / root_name(len(found) + 1)).exists():
            name = root_name(len(found) + 1)
            found[name] = read_bounded(self.folder / name, MAX_ROOT, name)
        if not found:
            raise NotFound("the offline keys have signed no root", place=str(self.folder))
        return found

    def newest(self) -> Offline:
        """Return what the offline keys have said last.

        Raises:
            NotFound: They have said nothing.
            NotVerified: It cannot be read.
        """
        kept = self._read()
        return Offline(targets=kept.targets, revoked=kept.revoked)

    def _read(self) -> _Kept:
        path = self.folder / _NEWEST
        try:
            return msgspec.json.decode(read_bounded(path, MAX_OFFLINE, "what the offline keys signed"), type=_Kept)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotVerified(f"what the offline keys signed cannot be read: {error}", place=str(path)) from error

    def _keep(self, kept: _Kept) -> None:
        """Keep targets and the list they speak of in one file: they are of one mind, or not there."""
        replace_durably(self.folder / _NEWEST, msgspec.json.encode(kept))
