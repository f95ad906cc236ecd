"""A person's own folder: a key pair that no workspace holds, and what is done with it away from any.

Making keys and signing a proposal need neither a workspace nor a network. What a person signs is shown before.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from holdfast.adapters.durable import PRIVATE_DIRECTORY, write_new
from holdfast.adapters.keys import VALID_FOR, FileKeys, create_keys, open_keys
from holdfast.adapters.published import read_bounded, replace_durably
from holdfast.adapters.unlock import Unlock, create_unlock_file, passphrase_file, unlock_file
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified, Refused, Unavailable
from holdfast.core.ports import Clock
from holdfast.core.possession import check_name, public_file
from holdfast.core.seal import MAX_ENVELOPE, TRUST, claimed, open_envelope, seal_payload
from holdfast.core.succession import with_signatures
from holdfast.core.trust import Trust, TrustedKey

KEYS: Final = "keys"
PUBLIC: Final = "public.json"
UNLOCKED_BY: Final = "unlocked-by"  # the name of the unlock file, which lies elsewhere: a folder may be moved
_NAME: Final = re.compile(r"person-[0-9a-f]{16}")
MAX_VALID: Final = timedelta(days=3 * 366)  # NIST SP 800-57 part 1, 5.3.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What opens a person's keys: a passphrase in a file, or an unlock file kept elsewhere."""

    passphrase: Path | None
    unlock: Path

    def open(self) -> Unlock:
        """Return the unlock of keys that are there."""
        return passphrase_file(self.passphrase) if self.passphrase else unlock_file(self.unlock)

    def create(self, folder: Path) -> Unlock:
        """Return the unlock of keys that will be made; an unlock file is made now, outside their folder.

        Raises:
            Refused: The unlock file would lie beside the keys.
            Conflict: There is one already.
        """
        if self.passphrase:
            return passphrase_file(self.passphrase)
        return create_unlock_file(self.unlock, outside=folder)


def unlock_name(folder: Path) -> str:
    """Return the name of the unlock file of a person's folder; a new one where no keys were made yet.

    Raises:
        NotVerified: The folder names something that is no such file.
    """
    try:
        name = read_bounded(folder / UNLOCKED_BY, 64, "the name of the unlock file").decode(errors="replace")
    except NotFound:
        return f"person-{secrets.token_hex(8)}"
    if not _NAME.fullmatch(name):
        raise NotVerified("the folder names no unlock file", place=str(folder / UNLOCKED_BY))
    return name


def new_person(
    folder: Path, name: str, secret: Secret, *, root: bool, clock: Clock, valid_for: timedelta = VALID_FOR
) -> tuple[Path, tuple[TrustedKey, ...]]:
    """Make a person's keys in a new folder, and beside them the public file to hand in; return its path and the keys.

    Raises:
        InvalidInput: The name cannot stand in a statement, or the passphrase is too easily guessed.
        Conflict: The folder holds something.
        Unavailable: It cannot be written.
    """
    check_name(name)
    if not timedelta() < valid_for <= MAX_VALID:
        raise InvalidInput(f"keys for {valid_for.days} days", expected=f"1 to {MAX_VALID.days}")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict("there is something in this folder already", place=str(folder))
    roles = ("person", "root") if root else ("person",)
    unlock = secret.create(folder.resolve())
    try:
        folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        keys = create_keys(folder / KEYS, roles, owner=name, clock=clock, unlock=unlock, valid_for=valid_for)
        held = keys.held()
        public = public_file(name, held, {key.keyid: keys.signer_of(key.keyid) for key in held})
        write_new(folder / UNLOCKED_BY, secret.unlock.stem.encode())
        write_new(folder / PUBLIC, public)
    except OSError as error:
        raise Unavailable(f"the keys cannot be written: {error.strerror}", place=str(folder)) from error
    except BaseException:
        if secret.passphrase is None:
            secret.unlock.unlink(missing_ok=True)  # it opens nothing
        raise
    return folder / PUBLIC, held


def open_person(folder: Path, secret: Secret) -> FileKeys:
    """Return the keys in a person's folder.

    Raises:
        NotFound: There are none.
        Refused: A key file is open to others.
    """
    return open_keys(folder / KEYS, secret.open())


def sign_proposal(file: Path, keys: FileKeys) -> tuple[Trust, int]:
    """Add this person's root signature to a proposal, in its place; return what it proposes, and how many have signed.

    Raises:
        NotFound: The folder holds no root key.
        Refused: It has this signature already.
        NotVerified: It is no proposal.
    """
    document = read_bounded(file, MAX_ENVELOPE, "the proposal")
    proposed = claimed(document, TRUST)  # a root key signs nothing else
    payload, signatures = open_envelope(document)
    signer = keys.signer("root")
    if signer.keyid in {signature.keyid for signature in signatures}:
        raise Refused("this key has signed the proposal already", place=str(file), remedy="Hand it to the next holder.")
    signed = with_signatures(document, seal_payload(payload, [signer]))
    try:
        replace_durably(file, signed)
    except OSError as error:
        raise Unavailable(f"the proposal cannot be written: {error.strerror}", place=str(file)) from error
    return proposed, len(open_envelope(signed)[1])
