"""Workspaces are made here, new or from a backup: whole, or not at all."""

import getpass
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from holdfast.adapters.backup import read_backup, workspace_of
from holdfast.adapters.clock import SystemClock
from holdfast.adapters.database import open_database
from holdfast.adapters.durable import PRIVATE_DIRECTORY, sync_directory, write_new
from holdfast.adapters.keys import FileKeys, create_keys
from holdfast.adapters.ledger import SqlLedger
from holdfast.adapters.object_blobs import open_store
from holdfast.adapters.offline import OfflineFolder
from holdfast.adapters.unlock import Unlock, create_unlock_file
from holdfast.adapters.use_notes import FOLDER
from holdfast.adapters.vault import Vault, create_vault
from holdfast.app.card import (
    CARD_FILE,
    CREDENTIAL_FILE,
    LEDGER_FILE,
    OFFLINE,
    ROOT_FILE,
    SEALED,
    STORAGE,
    TRUST_FILE,
    Card,
    check_database,
)
from holdfast.app.gateways import equip
from holdfast.app.opening import open_plant
from holdfast.app.unlocking import known_unlock, new_unlock, use_notes
from holdfast.config import read_settings
from holdfast.core.artifact import digest_bytes, from_base64
from holdfast.core.errors import Conflict, InvalidInput, NotVerified, Unavailable
from holdfast.core.ledger import Draft
from holdfast.core.policy import parse_policy
from holdfast.core.ports import Clock
from holdfast.core.project import parse_project
from holdfast.core.seal import TRUST, seal
from holdfast.core.trust import ROLES, Grant, Trust
from holdfast.lifecycle.home import Home
from holdfast.lifecycle.inputs import check_reason, read_project_file
from holdfast.lifecycle.policies import accepted_at_first
from holdfast.lifecycle.reply import Progress, Reply, silent
from holdfast.lifecycle.restoring import note_restoration
from holdfast.lifecycle.starter import keep_from_source, write_starter
from holdfast.lifecycle.verification import open_outside, outside_checkpoints

MAX_OWNER: Final = 200  # characters of a person's name and address
GATEWAY: Final = "gateway"
PUBLISHED: Final = "published"
ONLINE_ROLES: Final = tuple(role for role in ROLES if role != GATEWAY)


def init(
    root: Path,
    *,
    tell: Callable[[Progress], None] = silent,
    owner: str | None = None,
    passphrase_file: Path | None = None,
    blobs: str = "",
    database: str | None = None,
) -> Reply:
    """Make a workspace in a project's folder: a key for each role, a ledger, a trust root, a gateway's identity.

    It is made beside its place and moved there last: one that is there is whole, whenever the process dies. What a
    killed process leaves is a folder `.holdfast-…` that nothing reads, and an unlock secret that opens nothing.

    Raises:
        Conflict: There is a workspace already, the folder lies inside one, or the database holds a ledger.
        InvalidInput: Nobody is named who answers for it, the passphrase is too easily guessed, or the database's URL
            holds a password.
        Unavailable: It cannot be written.
    """
    home, settings, clock = Home(root=root.resolve()), read_settings(), SystemClock()
    _refuse_taken(home)
    answers = _owner(home, owner)
    if blobs:
        open_store(blobs)  # an address that cannot be one is refused before anything is made
    name = f"holdfast/{secrets.token_hex(8)}"
    card = Card(name=name, owner=answers, blobs=blobs, database=check_database(database))
    unlock, made = new_unlock(settings, card, passphrase_file, outside=home.root)
    building = home.workspace.with_name(f".holdfast-{secrets.token_hex(4)}")
    opener = None
    try:
        _build(building, card, unlock, clock)
        opener = equip(building / GATEWAY, settings, Vault(building / STORAGE, unlock), clock, outside=home.root)
        started, ignored = write_starter(home, answers), keep_from_source(home)
        _move_into_place(building, home)
    except BaseException:
        if opener is not None:
            opener.forget()
        shutil.rmtree(building, ignore_errors=True)
        if made is not None:
            made.unlink(missing_ok=True)
        raise
    tell(Progress(stage="init", state="finished", words=f"{len(ROLES)} keys, encrypted at rest, one for each role"))
    says = f"Workspace {card.name} belongs to {answers}. "
    says += f"Its keys are unlocked by {unlock.place}: keep a copy of that file elsewhere." if unlock.place else ""
    says += " A project file and a recipe were written: fill them in, then `holdfast run`." if started else ""
    says += f" {ignored}" if ignored else ""
    return Reply(says=says.strip(), document={"workspace": card.name, "owner": answers, "unlock": str(unlock.place)})


def _refuse_taken(home: Home) -> None:
    """Refuse a folder that holds a workspace, or lies inside one."""
    if home.workspace.exists() or home.workspace.is_symlink():
        raise Conflict(
            "there is a workspace here already", place=str(home.workspace), remedy="Use it, or another folder."
        )
    inside = next((folder for folder in (home.root, *home.root.parents) if (folder / CARD_FILE).is_file()), None)
    if inside is not None and (inside / ROOT_FILE).is_file():
        raise Conflict("this folder lies inside a workspace", place=str(inside), remedy="Use the project's own folder.")


def _owner(home: Home, named: str | None) -> str:
    """Return who answers for what is served here: as named, as the project file says, or else whoever types this."""
    try:
        answers = named or _declared_owner(home) or getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as containers have them
        answers = ""
    if not answers.isprintable() or not answers.strip() or len(answers) > MAX_OWNER:
        expected = f"--owner NAME, up to {MAX_OWNER} printable characters"
        raise InvalidInput("nobody is named who answers for this workspace", place=str(home.root), expected=expected)
    return answers


def _build(building: Path, card: Card, unlock: Unlock, clock: Clock) -> None:
    """Fill a folder beside the workspace's place with all that belongs in it."""
    try:
        building.mkdir(mode=PRIVATE_DIRECTORY)
        (building / GATEWAY).mkdir(mode=PRIVATE_DIRECTORY)
        (building / PUBLISHED).mkdir(mode=PRIVATE_DIRECTORY)
        (building / SEALED).mkdir(mode=PRIVATE_DIRECTORY)
    except OSError as error:
        raise Unavailable(f"the workspace cannot be written: {error.strerror}", place=str(building.parent)) from error
    keys = create_keys(building / "keys", ONLINE_ROLES, owner=card.owner, clock=clock, unlock=unlock)
    # The gateway's secret lies beside its key: it must start without a person, and it can only sign telemetry.
    own = create_unlock_file(building / GATEWAY / "unlock", outside=building / GATEWAY / "keys")
    identity = create_keys(
        building / GATEWAY / "keys", [GATEWAY], owner=f"gateway/{secrets.token_hex(4)}", clock=clock, unlock=own
    )
    write_new(building / GATEWAY / CREDENTIAL_FILE, os.urandom(32))
    create_vault(building / STORAGE, unlock)
    trust = _first_trust(card, keys, identity)
    root = msgspec.structs.replace(trust, keys=trust.of_role("root"), policies=(), grants=())
    write_new(building / CARD_FILE, msgspec.json.encode(card))
    write_new(building / ROOT_FILE, msgspec.json.encode(root))
    write_new(building / GATEWAY / ROOT_FILE, msgspec.json.encode(root))
    sealed = seal(trust, TRUST, [keys.signer("root")])
    OfflineFolder(building / OFFLINE).begin(trust, [keys.signer("root")])
    write_new(building / TRUST_FILE, sealed)
    engine = open_database(card.database or building / LEDGER_FILE)
    ledger = SqlLedger(engine, clock=clock, signer=keys.signer("ledger"), origin=card.name)
    try:
        if ledger.size():
            raise Conflict("there is a ledger in that database already", remedy="Name an empty database.")
        body = {"workspace": card.name, "trust": digest_bytes((building / TRUST_FILE).read_bytes())}
        ledger.append([Draft(kind="workspace.created", actor=card.owner, stream="trust", body=body)])
    finally:
        ledger.close()


def _move_into_place(building: Path, home: Home) -> None:
    """Give a finished workspace its name: whole, or not at all."""
    try:
        building.rename(home.workspace)
        sync_directory(home.root)
    except OSError as error:
        if home.workspace.exists():
            raise Conflict("somebody made a workspace here meanwhile", place=str(home.workspace)) from error
        raise Unavailable(f"the workspace cannot be written: {error.strerror}", place=str(home.root)) from error


def _first_trust(card: Card, keys: FileKeys, identity: FileKeys) -> Trust:
    held = (*keys.trusted_keys(), *identity.trusted_keys())
    expires = min(key.not_after for key in held)
    return Trust(
        workspace=card.name,
        version=1,
        expires=expires,
        root_threshold=1,  # one machine, one person: `holdfast keys` says so; more roots come with more persons
        keys=held,
        policies=tuple(sorted(parse_policy(path.read_bytes())[1] for path in accepted_at_first())),
        grants=(Grant(person=card.owner, role="owner", not_after=expires),),
    )


def _declared_owner(home: Home) -> str | None:
    """Return the owner that the project file names, if there is a project file."""
    if not home.project_file.exists():
        return None
    return parse_project(read_project_file(home.project_file))[0].project.owner


def restore(
    root: Path,
    *,
    tell: Callable[[Progress], None] = silent,
    file: Path,
    checkpoint: Path | None = None,
    reason: str,
) -> Reply:
    """Bring a workspace back from a backup, into a folder that has none, and put that on record.

    It is verified before it gets its place: a backup that does not check out changes nothing.

    Raises:
        Conflict: There is a workspace here.
        InvalidInput: This is no backup, or the checkpoint cannot be read.
        NotVerified: The backup was changed, or its history is not the one that its checkpoint witnessed.
        Unavailable: The secret that opens it is not here.
    """
    home, settings = Home(root=root.resolve()), read_settings()
    check_reason(reason)
    _refuse_taken(home)
    outer = home.root / f".holdfast-{secrets.token_hex(4)}"
    outer.mkdir(mode=PRIVATE_DIRECTORY)
    building = Home(root=outer)
    try:
        noted = outer / "noted"  # the workspace's own notes begin once there is one
        unlock = known_unlock(settings, workspace_of(file), use_notes(noted), "unlock backup")
        listing = read_backup(file, unlock, building.workspace)
        if (noted / FOLDER).exists():
            (noted / FOLDER).rename(building.workspace / FOLDER)
        for empty in (building.workspace / SEALED, building.published, building.gateway):
            empty.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        with open_plant(outer, tell=tell) as plant:
            if plant.origin != listing.workspace:
                raise NotVerified("the backup is another workspace's", place=str(file), expected=listing.workspace)
            backed_up = open_outside(plant, from_base64(listing.checkpoint), place=str(file))
            newer = outside_checkpoints(plant, checkpoint)
            reply = note_restoration(plant, backed_up=backed_up, newer=newer[0] if newer else None, reason=reason)
        _move_into_place(building.workspace, home)
    finally:
        shutil.rmtree(outer, ignore_errors=True)
    return reply
