"""The trust documents of a workspace on disk: the pinned root, what it leads to, and what root keys held here sign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.adapters.chosen_keys import ChosenKeys
from holdfast.adapters.offline import OfflineFolder
from holdfast.adapters.published import read_bounded, replace_durably
from holdfast.app.card import LINKS_FILE, MAX_CARD, OFFLINE, ROOT_FILE, TRUST_FILE
from holdfast.core.artifact import Digest
from holdfast.core.errors import NotFound, NotVerified, Unavailable
from holdfast.core.ports import Clock, Signer
from holdfast.core.seal import MAX_ENVELOPE
from holdfast.core.succession import follow, parse_links
from holdfast.core.trust import Trust
from holdfast.engines.repository import Offline, sign_proposal
from holdfast.lifecycle.home import Home

MAX_LINKS_FILE: Final = 64 << 20  # bytes; a link takes a few KiB, and there are at most MAX_LINKS


def read_trust(home: Home, clock: Clock) -> Trust:
    """Return the workspace's trust document, verified with the root keys that the workspace pins.

    Raises:
        NotVerified: Too few root keys have signed it, or it is another workspace's.
    """
    document = read_bounded(home.workspace / TRUST_FILE, MAX_ENVELOPE, "the trust document")
    return follow(pinned(home), parse_links(links_since(home)), document, now=clock.now()).value


def pinned(home: Home) -> Trust:
    """Return the root keys that the workspace has pinned since it was made."""
    place = str(home.workspace / ROOT_FILE)
    try:
        root = msgspec.json.decode(read_bounded(home.workspace / ROOT_FILE, MAX_CARD, "the pinned root"), type=Trust)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"the pinned root cannot be read: {error}", place=place) from error
    if root.root_threshold < 1:  # empty means no
        raise NotVerified("the pinned root asks for no signature", place=place, expected="at least one")
    return root


def links_since(home: Home) -> bytes:
    """Return the versions that changed the root since the pin; none where there is no such file."""
    try:
        return read_bounded(home.workspace / LINKS_FILE, MAX_LINKS_FILE, "the versions of the root")
    except NotFound:
        return b"{}"


def store_trust(home: Home, clock: Clock, document: bytes, links: bytes | None) -> None:
    """Put a newer trust in force: the links first, which a reader of the older trust does not follow yet.

    Raises:
        NotVerified: The pinned root does not lead to it: then what is in force stays, whatever the ledger names.
    """
    followed = links_since(home) if links is None else links
    follow(pinned(home), parse_links(followed), document, now=clock.now())
    try:
        if links is not None:
            replace_durably(home.workspace / LINKS_FILE, links)
        replace_durably(home.workspace / TRUST_FILE, document)
    except OSError as error:
        raise Unavailable(f"the trust cannot be written: {error.strerror}", place=str(home.workspace)) from error


class Trusting:
    """Reads the trust document when it is asked for, and verifies it when it has changed."""

    def __init__(self, home: Home, clock: Clock) -> None:
        """Read nothing yet."""
        self._home, self._clock = home, clock
        self._known: tuple[bytes, Trust] | None = None

    def __call__(self) -> Trust:
        """Return the trust, verified.

        Raises:
            NotVerified: Too few root keys have signed it, or it is another workspace's.
        """
        document = read_bounded(self._home.workspace / TRUST_FILE, MAX_ENVELOPE, "the trust document")
        if self._known is None or self._known[0] != document:
            self._known = (document, read_trust(self._home, self._clock))
        return self._known[1]


def roots_held(keys: ChosenKeys, *trusts: Trust) -> list[Signer]:
    """Return every root key that is held here, of those that these versions of the trust name."""
    held = {key.keyid for key in keys.held()}
    named = {key.keyid for trust in trusts for key in trust.of_role("root")}
    return [keys.signer_of(keyid) for keyid in sorted(held & named)]


@dataclass(frozen=True, slots=True)
class OfflineHere:
    """The root keys that are held here, and what they sign of the gateways' repository (port `OfflineKeys`)."""

    home: Home
    keys: ChosenKeys
    clock: Clock

    @property
    def _folder(self) -> OfflineFolder:
        return OfflineFolder(self.home.workspace / OFFLINE)

    def newest(self) -> Offline:
        """Return what the root keys have signed last."""
        return self._folder.newest()

    def roots(self) -> Mapping[str, bytes]:
        """Return every root by name, from the first to the newest."""
        return self._folder.roots()

    def propose(self, revoked: Sequence[str]) -> bytes:
        """Return what the root keys should sign next, with these revocations."""
        return self._folder.propose(read_trust(self.home, self.clock), revoked)

    def sign(self, proposal: bytes) -> bytes:
        """Return a proposal with the signatures of the root keys held here."""
        return sign_proposal(proposal, roots_held(self.keys, read_trust(self.home, self.clock)))

    def accept(self, proposal: bytes) -> None:
        """Keep what enough root keys have signed.

        Raises:
            NotVerified: They are too few.
        """
        self._folder.accept(proposal)

    def follow(self, newer: Trust) -> bool:
        """Let those held here sign what gateways need to follow a newer trust; say whether they were enough."""
        signers = roots_held(self.keys, read_trust(self.home, self.clock), newer)
        if not signers:
            return False
        try:
            self._folder.follow(newer, signers)
        except NotVerified:
            return False
        return True

    def revoke(self, digest: Digest) -> None:
        """Let those held here sign that an artifact is revoked for good: no online key can leave that out.

        Raises:
            NotVerified: They are too few.
        """
        trust = read_trust(self.home, self.clock)
        self._folder.follow(trust, roots_held(self.keys, trust), revoked=[digest])
