"""Keys that no workspace holds: a person's own, or a gateway's on another host, in a folder of their own."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec

from holdfast.adapters.clock import SystemClock
from holdfast.adapters.gateway_folder import request_enrolment
from holdfast.adapters.person_folder import Secret, new_person, open_person, sign_proposal, unlock_name
from holdfast.app.card import CARD_FILE
from holdfast.config import read_settings
from holdfast.core.errors import Conflict
from holdfast.core.gateways import full_name
from holdfast.lifecycle.home import Home
from holdfast.lifecycle.reply import Progress, Reply, Table, silent


def person_new(
    *,
    tell: Callable[[Progress], None] = silent,
    name: str,
    out: Path,
    root_holder: bool = False,
    days: int = 365,
    passphrase_file: Path | None = None,
) -> Reply:
    """Make a person's own keys in a folder of their own; no workspace takes part, and none holds them.

    Raises:
        Conflict: The folder holds something, or there is an unlock file of this name.
        InvalidInput: The name cannot stand in a statement, or the passphrase is too easily guessed.
    """
    del tell  # nothing here takes long
    secret = person_secret(out, passphrase_file)
    public, held = new_person(out, name, secret, root=root_holder, clock=SystemClock(), valid_for=timedelta(days=days))
    kept = f"the passphrase in {secret.passphrase}" if secret.passphrase else f"{secret.unlock}: keep a copy elsewhere"
    document = {"name": name, "public": str(public), "keys": [{"keyid": key.keyid, "role": key.role} for key in held]}
    return Reply(says=f"Hand in {public}; the keys stay in {out} and are opened by {kept}.", document=document)


def person_secret(folder: Path, passphrase: Path | None) -> Secret:
    """Return what opens the keys in a person's folder: the passphrase named, or the unlock file made for it."""
    settings = read_settings()
    unlock = settings.unlock_dir / f"{unlock_name(folder)}.unlock"
    return Secret(passphrase=passphrase or settings.passphrase_file, unlock=unlock)


def trust_sign(
    *, tell: Callable[[Progress], None] = silent, file: Path, keys: Path, passphrase_file: Path | None = None
) -> Reply:
    """Sign a proposal with the root key in a person's folder, on whatever machine that is.

    Raises:
        NotFound: The folder holds no root key.
        Refused: This key has signed it already.
        NotVerified: It is no proposal.
    """
    del tell  # nothing here takes long
    trust, signatures = sign_proposal(file, open_person(keys, person_secret(keys, passphrase_file)))
    holders = sorted({key.owner for key in trust.of_role("root")})
    words = f"{file} has {signatures} signatures; `holdfast trust apply` takes it when they are enough."
    rows = [("root", f"{trust.root_threshold} of {len(holders)}: {', '.join(holders)}")]
    rows += [("grant", f"{each.role} to {each.person} until {each.not_after:%Y-%m-%d}") for each in trust.grants]
    rows += [("key", f"{key.role} {key.keyid[:16]} of {key.owner}") for key in trust.keys]
    rows += [("revoked", keyid[:16]) for keyid in trust.revoked]
    document = {"signatures": signatures, "version": trust.version, "trust": msgspec.to_builtins(trust)}
    table = Table(title=f"What was signed: trust version {trust.version}", columns=("what", "says"), rows=rows)
    return Reply(says=words, document=document, tables=(table,))


def gateway_new(root: Path, *, tell: Callable[[Progress], None] = silent, name: str, days: int = 365) -> Reply:
    """Make a gateway's own keys on its own host, or its next identity, and write what it hands in to be enrolled.

    Raises:
        InvalidInput: The name cannot be a gateway's.
        Conflict: The folder is a workspace's, or another gateway's.
        Unavailable: The folder cannot be written.
    """
    del tell  # nothing here takes long
    home, whole = Home(root=root.resolve()), full_name(name)
    if (home.workspace / CARD_FILE).exists():
        remedy = "Make the gateway's folder on its own host; this workspace's own gateway needs none."
        raise Conflict("this is the folder of a workspace", place=str(home.workspace), remedy=remedy)
    lasts, unlock_dir = timedelta(days=days), read_settings().unlock_dir
    public, keyid = request_enrolment(home.gateway, whole, SystemClock(), unlock_dir=unlock_dir, lasts=lasts)
    says = f"{whole} is {keyid[:16]}. Hand in {public}; the private keys stay in {home.gateway}. "
    says += "Put what `holdfast gateway enrol` writes there."
    return Reply(says=says, document={"name": whole, "public": str(public), "keyid": keyid})
