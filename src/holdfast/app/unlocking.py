"""What opens the keys of a workspace: where the secret lies, how it is replaced, what is said where it is missing."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from holdfast.adapters.chosen_keys import ChosenKeys
from holdfast.adapters.custody import (
    CUSTODY_FILE,
    former_stores,
    read_custody,
    signer_keys,
    socket_of,
    stage_store,
)
from holdfast.adapters.durable import sync_directory
from holdfast.adapters.keys import FileKeys
from holdfast.adapters.keys_authority import CertificateAuthority
from holdfast.adapters.signer_client import SignerProcess
from holdfast.adapters.signer_process import STAGES
from holdfast.adapters.unlock import Unlock, create_unlock_file, passphrase_file, remedy_of
from holdfast.adapters.use_notes import FOLDER, UseNotes
from holdfast.adapters.vault import Vault
from holdfast.adapters.wrapped_unlock import create_wrapped, stored_unlock
from holdfast.app.card import Card
from holdfast.config import Settings
from holdfast.core.errors import Conflict, HoldfastError, Unavailable
from holdfast.core.ports import Clock
from holdfast.lifecycle.home import Home


def new_unlock(settings: Settings, card: Card, passphrase: Path | None, *, outside: Path) -> tuple[Unlock, Path | None]:
    """Return what will unlock the keys, and the file that was made for it.

    It is a passphrase somebody chose, for which nothing is made, or a new random secret outside the project.
    """
    chosen = passphrase or settings.passphrase_file
    if chosen is not None:
        return passphrase_file(chosen), None
    path = unlock_path(settings, card.name)
    return create_unlock_file(path, outside=outside), path


def known_unlock(settings: Settings, workspace: str, notes: UseNotes, purpose: str) -> Unlock:
    """Return what unlocks the keys of a workspace that was made before: the passphrase that is named, or its file.

    Args:
        settings: Where secrets lie.
        workspace: The workspace's name.
        notes: Where it is noted that a wrapping key is used, where one protects the secret.
        purpose: What for.
    """
    chosen = settings.passphrase_file
    if chosen:
        return passphrase_file(chosen)
    return stored_unlock(unlock_path(settings, workspace), opens=workspace, purpose=purpose, notes=notes)


def known_signer_unlock(card: Card, path: Path, notes: UseNotes) -> Unlock:
    """Return what unlocks the keys of a workspace's signer, from a file."""
    return stored_unlock(path, opens=_signer_of(card), purpose="unlock signer", notes=notes)


def use_notes(workspace: Path) -> UseNotes:
    """Return where a workspace's uses of wrapping keys are noted until they are on record."""
    return UseNotes(workspace / FOLDER)


def unlock_path(settings: Settings, workspace: str) -> Path:
    """Return where the secret lies that opens a workspace's keys."""
    return settings.unlock_dir / f"{workspace.replace('/', '-')}.unlock"


def signer_unlock(settings: Settings, card: Card) -> Path:
    """Return where the secret lies that opens the keys of its signer."""
    return unlock_path(settings, f"{card.name}-signer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """All that the secret of one workspace opens."""

    home: Home
    settings: Settings
    card: Card
    folder: FileKeys
    authority: CertificateAuthority
    vault: Vault

    def rewrap(self, passphrase: Path | None, service: str | None) -> tuple[str, str]:
        """Protect the keys with another secret; return what opens them now, and the key that wraps it in a service.

        It is a passphrase somebody chose, a new random file, or such a file encrypted by a new key of a service. A new
        file takes the old one's place last: one that a crash leaves beside it is named `.next`, and if the present one
        does not open the keys any more, that one does.
        """
        if passphrase is not None:
            with self.vault.rewrapping(passphrase_file(passphrase)):
                self.folder.rewrap(passphrase_file(passphrase))
                self.authority.rewrap(passphrase_file(passphrase))
            return str(passphrase), ""
        notes = use_notes(self.home.workspace)
        path = unlock_path(self.settings, self.card.name)
        opened = partial(stored_unlock, opens=self.card.name, notes=notes)
        following, key = _following(path, service, self.card.name, self.home, notes)
        with self.vault.rewrapping(opened(following, purpose="unlock data")):
            self.folder.rewrap(opened(following, purpose="unlock keys"))
            self.authority.rewrap(opened(following, purpose="unlock certificates"))
        _take_place(following, path)
        self.folder.opened_by(opened(path, purpose="unlock keys"))
        self.authority.opened_by(opened(path, purpose="unlock certificates"))
        return str(path), key

    def rewrap_signer(self, service: str | None) -> tuple[str, str]:
        """Protect the keys of the signer with another secret, as above; it must not run meanwhile.

        Raises:
            Conflict: The workspace's signer has no keys of its own, or it runs.
        """
        workspace, place = self.home.workspace, str(self.home.workspace / CUSTODY_FILE)
        custody = read_custody(workspace)
        if custody.store != "signer" or custody.service:
            raise Conflict("the workspace has no signer whose keys lie in a folder", place=place)
        if SignerProcess(socket_of(workspace, custody)).answers():
            raise Conflict("the signer runs", place=place, remedy="Stop it: it holds its keys under the old secret.")
        notes, path = use_notes(workspace), signer_unlock(self.settings, self.card)
        following, key = _following(path, service, _signer_of(self.card), self.home, notes)
        present = known_signer_unlock(self.card, path, notes)
        signer_keys(workspace, present).rewrap(known_signer_unlock(self.card, following, notes))
        _take_place(following, path)
        return str(path), key


def _following(path: Path, service: str | None, opens: str, home: Home, notes: UseNotes) -> tuple[Path, str]:
    """Make the file that will take another's place, and return it with the key that wraps it, if one does."""
    following = path.with_suffix(".next")
    following.unlink(missing_ok=True)
    if service is None:
        create_unlock_file(following, outside=home.root)
        return following, ""
    return following, create_wrapped(following, service, opens=opens, outside=home.root, notes=notes)


def _take_place(following: Path, path: Path) -> None:
    following.replace(path)
    sync_directory(path.parent)


def _signer_of(card: Card) -> str:
    return f"{card.name} signer"


def open_chosen(home: Home, card: Card, folder: FileKeys, clock: Clock) -> ChosenKeys:
    """Return all keys of a workspace, wherever its custody says that those of the stages are."""
    custody = read_custody(home.workspace)
    stages = stage_store(home.workspace, custody)
    return ChosenKeys(
        dict.fromkeys(STAGES, stages) if stages else {},
        default=folder,
        clock=clock,
        origin=card.name,
        former=former_stores(home.workspace, custody),
    )


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
            remedy=f"{remedy_of(error)} What only reads works without: why, verify, log, keys.",
        ) from error
