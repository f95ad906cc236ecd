"""A gateway's own folder on its own host: identity, TLS key, key for reading, and what it hands in to be enrolled.

All private keys are made here and never leave. The identity's secret lies beside it: a gateway starts without a person,
and its key can only seal what it has seen. That of the key for reading lies outside, with other unlock secrets.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

from holdfast.adapters.durable import PRIVATE_DIRECTORY
from holdfast.adapters.keys import VALID_FOR, FileKeys, create_keys, open_keys
from holdfast.adapters.keys_tls import certificate_request
from holdfast.adapters.opener import Opener, make_opener
from holdfast.adapters.peer import KEY
from holdfast.adapters.published import replace_durably
from holdfast.adapters.unlock import create_unlock_file, unlock_file
from holdfast.core.errors import Conflict, InvalidInput, Unavailable
from holdfast.core.gateways import MAX_KEYS, ROLE, gateway_file
from holdfast.core.ports import Clock
from holdfast.core.trust import TrustedKey

KEYS: Final = "keys"
UNLOCK: Final = "unlock"
PUBLIC: Final = "enrol.json"
MAX_VALID: Final = timedelta(days=3 * 366)  # NIST SP 800-57 part 1, 5.3.6


def request_enrolment(
    folder: Path, name: str, clock: Clock, *, unlock_dir: Path, lasts: timedelta = VALID_FOR
) -> tuple[Path, str]:
    """Make a gateway's keys, or its next identity where it has one; return its public file and the new key's id.

    The public file is signed by every identity that has not ended: the present one so vouches for the next.

    Raises:
        InvalidInput: The days are out of range.
        Conflict: The folder is another gateway's, or it has more identities than may overlap.
        Unavailable: It cannot be written.
    """
    if not timedelta() < lasts <= MAX_VALID:
        raise InvalidInput(f"an identity for {lasts.days} days", expected=f"1 to {MAX_VALID.days}")
    now = clock.now()
    try:
        folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        if (folder / KEYS).exists():
            keys = open_keys(folder / KEYS, unlock_file(folder / UNLOCK))
            _check_owner(keys, name, folder)
            made = keys.make(ROLE, name, now, now + lasts)
        else:
            unlock = create_unlock_file(folder / UNLOCK, outside=folder / KEYS)
            keys = create_keys(folder / KEYS, [ROLE], owner=name, clock=clock, unlock=unlock, valid_for=lasts)
            made = keys.held()[0]
        held = tuple(key for key in keys.held() if now < key.not_after)
        if len(held) > MAX_KEYS:
            raise Conflict(f"{len(held)} identities overlap", place=str(folder), expected=f"at most {MAX_KEYS}")
        signers = {key.keyid: keys.signer_of(key.keyid) for key in held}
        opener = Opener(folder, unlock_dir)
        opener = opener if opener.whole() else make_opener(folder, unlock_dir, outside=folder)
        request = certificate_request(folder / KEY, name)
        replace_durably(folder / PUBLIC, gateway_file(name, held, dict(signers), request, opener.recipient()))
    except OSError as error:
        raise Unavailable(f"the gateway's folder cannot be written: {error.strerror}", place=str(folder)) from error
    return folder / PUBLIC, made.keyid


def _check_owner(keys: FileKeys, name: str, folder: Path) -> None:
    """Check that a folder's identities are of this name."""
    held: tuple[TrustedKey, ...] = keys.held()
    if any(key.owner != name for key in held):
        raise Conflict(f"this is the folder of {held[0].owner[:80]}", place=str(folder), remedy="Use another folder.")
