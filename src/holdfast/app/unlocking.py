"""What opens the keys of a workspace: where the secret lies, how it is replaced, what is said where it is missing."""

from pathlib import Path

from holdfast.adapters.chosen_keys import ChosenKeys
from holdfast.adapters.durable import sync_directory
from holdfast.adapters.keys import FileKeys
from holdfast.adapters.keys_authority import CertificateAuthority
from holdfast.adapters.unlock import Unlock, create_unlock_file, passphrase_file, unlock_file
from holdfast.adapters.vault import Vault
from holdfast.app.card import Card
from holdfast.config import Settings
from holdfast.core.errors import HoldfastError, Unavailable


def new_unlock(settings: Settings, card: Card, passphrase: Path | None, *, outside: Path) -> tuple[Unlock, Path | None]:
    """Return what will unlock the keys, and the file that was made for it.

    It is a passphrase somebody chose, for which nothing is made, or a new random secret outside the project.
    """
    chosen = passphrase or settings.passphrase_file
    if chosen is not None:
        return passphrase_file(chosen), None
    path = unlock_path(settings, card.name)
    return create_unlock_file(path, outside=outside), path


def known_unlock(settings: Settings, workspace: str) -> Unlock:
    """Return what unlocks the keys of a workspace that was made before: the passphrase that is named, or its file."""
    chosen = settings.passphrase_file
    return passphrase_file(chosen) if chosen else unlock_file(unlock_path(settings, workspace))


def unlock_path(settings: Settings, workspace: str) -> Path:
    """Return where the secret lies that opens a workspace's keys."""
    return settings.unlock_dir / f"{workspace.replace('/', '-')}.unlock"


def signer_unlock(settings: Settings, card: Card) -> Path:
    """Return where the secret lies that opens the keys of its signer."""
    return settings.unlock_dir / f"{card.name.replace('/', '-')}-signer.unlock"


def rewrap(
    folder: FileKeys,
    authority: CertificateAuthority,
    vault: Vault,
    settings: Settings,
    card: Card,
    passphrase: Path | None,
    *,
    outside: Path,
) -> str:
    """Protect the keys with a passphrase somebody chose, or with a new random secret; return what opens them now.

    A new unlock file takes the old one's place last: one that a crash leaves beside it is named `.next`, and if the
    present one does not open the keys any more, that one does.
    """
    if passphrase is not None:
        with vault.rewrapping(passphrase_file(passphrase)):
            folder.rewrap(passphrase_file(passphrase))
            authority.rewrap(passphrase_file(passphrase))
        return str(passphrase)
    path = unlock_path(settings, card.name)
    following = path.with_suffix(".next")
    following.unlink(missing_ok=True)
    unlock = create_unlock_file(following, outside=outside)
    with vault.rewrapping(unlock):
        folder.rewrap(unlock)
        authority.rewrap(unlock)
    following.replace(path)
    sync_directory(path.parent)
    folder.opened_by(unlock_file(path))
    authority.opened_by(unlock_file(path))
    return str(path)


def unlock_keys(keys: ChosenKeys) -> None:
    """Open the keys, or say what is missing and what works without them.

    Raises:
        Unavailable: The secret cannot be had, or is not theirs.
    """
    try:
        keys.unlock()
    except HoldfastError as error:
        raise Unavailable(
            f"the keys stay locked: {error.message}",
            place=error.place,
            expected=error.expected or "the unlock file or passphrase that `holdfast init` used",
            remedy="Name its folder in HOLDFAST_UNLOCK_DIR, or a passphrase file in HOLDFAST_PASSPHRASE_FILE. "
            "What only reads works without: why, verify, log, keys.",
        ) from error
