"""Composition root of the control plane: the only place that chooses its adapters, and that makes workspaces.

What a workspace holds and who may unlock it is decided here; what is done with it, in `lifecycle`.
"""

import getpass
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from holdfast.adapters import published
from holdfast.adapters.answers import SqlAnswers
from holdfast.adapters.backup import read_backup, workspace_of, write_backup
from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.chosen_keys import ChosenKeys
from holdfast.adapters.clock import SystemClock, SystemEntropy
from holdfast.adapters.custody import (
    Custody,
    new_keys,
    read_custody,
    served_store,
    socket_of,
    stage_store,
    write_custody,
)
from holdfast.adapters.database import open_database
from holdfast.adapters.durable import PRIVATE_DIRECTORY, read_private, sync_directory, write_new
from holdfast.adapters.inference_probe import ask_models
from holdfast.adapters.jobs import SqlJobs
from holdfast.adapters.keys import FileKeys, create_keys, open_keys
from holdfast.adapters.keys_authority import CertificateAuthority
from holdfast.adapters.ledger import SqlLedger
from holdfast.adapters.moving import moving
from holdfast.adapters.object_blobs import ObjectBlobs, open_store
from holdfast.adapters.offline import OfflineFolder
from holdfast.adapters.person_folder import Secret, new_person, open_person, sign_proposal, unlock_name
from holdfast.adapters.published import PublishedFolder, prune, read_bounded, replace_durably
from holdfast.adapters.sandbox import open_sandbox, probe
from holdfast.adapters.scratch import in_memory, leave, scratch_folder
from holdfast.adapters.sealed_blobs import Place, SealedBlobs, Windows
from holdfast.adapters.sealed_index import DiskIndex, ObjectIndex
from holdfast.adapters.sealed_storage import SealedStorage
from holdfast.adapters.secrets import DiskSecrets
from holdfast.adapters.sessions import SqlSessions
from holdfast.adapters.signer_process import STAGES, SignerServer
from holdfast.adapters.tampering import unsafe_edit_entry
from holdfast.adapters.unlock import Unlock, create_unlock_file, passphrase_file, unlock_file
from holdfast.adapters.vault import Vault, create_vault
from holdfast.adapters.web import BoundedWeb
from holdfast.adapters.witness import ask_witness
from holdfast.config import Settings, read_settings
from holdfast.core.artifact import Digest, File, digest_bytes, from_base64, manifest
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, LedgerBroken, NotFound, NotVerified, Unavailable
from holdfast.core.ledger import Draft, Entry
from holdfast.core.policy import parse_policy
from holdfast.core.ports import Clock, Signer
from holdfast.core.project import parse_project
from holdfast.core.seal import MAX_ENVELOPE, TRUST, seal
from holdfast.core.succession import follow, parse_links
from holdfast.core.trust import ROLES, Grant, Trust, TrustedKey
from holdfast.engines.repository import sign_proposal as sign_repository
from holdfast.lifecycle.inputs import check_reason, read_project_file
from holdfast.lifecycle.plant import Home, Plant
from holdfast.lifecycle.policies import load_policy, shipped_policies
from holdfast.lifecycle.reply import Progress, Reply, Table
from holdfast.lifecycle.restoring import note_restoration
from holdfast.lifecycle.starter import write_starter
from holdfast.lifecycle.trusting import accept, settle_trust
from holdfast.lifecycle.verification import open_outside, outside_checkpoints
from holdfast.serve.state import Runtime

CARD_FILE: Final = "workspace.json"
TRUST_FILE: Final = "trust.dsse.json"
ROOT_FILE: Final = "root.json"  # the root keys alone: what a gateway pins
LINKS_FILE: Final = "roots.json"  # the versions of the trust that changed the root: how an old pin leads to a new one
MAX_LINKS_FILE: Final = 64 << 20  # bytes; a link takes a few KiB, and there are at most MAX_LINKS
CREDENTIAL_FILE: Final = "credential.key"
LEDGER_FILE: Final = "ledger.db"
MAX_CARD: Final = 64 * 1024  # bytes of the workspace's card and of the pinned root
MAX_URL: Final = 1000  # characters of a database's URL
MAX_OWNER: Final = 200  # characters of a person's name and address
STORAGE: Final = "storage"  # data keys
SEALED: Final = "sealed"  # what lies under them
GATEWAY: Final = "gateway"
PUBLISHED: Final = "published"
OFFLINE: Final = "offline"  # what the root keys have signed, besides the trust document
ONLINE_ROLES: Final = tuple(role for role in ROLES if role != GATEWAY)


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a workspace says of itself, in clear: nothing here is secret, and nothing here is trusted."""

    name: str  # also the origin of the ledger's checkpoints
    owner: str
    blobs: str = ""  # the object store that holds the blobs; they lie in the workspace's folder if left out
    database: str = ""  # URL of the ledger's database, without a password; empty: a file of the workspace


def silent(_: Progress) -> None:
    """Tell nobody: for programs, which read the reply."""


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
    unlock, made = _new_unlock(settings, card, passphrase_file, outside=home.root)
    building = home.workspace.with_name(f".holdfast-{secrets.token_hex(4)}")
    try:
        _build(building, card, unlock, clock)
        started = write_starter(home, answers)
        _move_into_place(building, home)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        if made is not None:
            made.unlink(missing_ok=True)
        raise
    tell(Progress(stage="init", state="finished", words=f"{len(ROLES)} keys, encrypted at rest, one for each role"))
    says = f"Workspace {card.name} belongs to {answers}. "
    says += f"Its keys are unlocked by {unlock.place}: keep a copy of that file elsewhere." if unlock.place else ""
    says += " A project file and a recipe were written: fill them in, then `holdfast run`." if started else ""
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


def check_database(url: str | None) -> str:
    """Return a database's URL if it may stand in a command line and in the workspace's card; "" where there is none.

    A password comes from where libpq looks for it: PGPASSFILE, ~/.pgpass, a service file or PGPASSWORD.

    Raises:
        InvalidInput: It is of another engine, or holds a password, which every user of the machine could read.
    """
    if url is None:
        return ""
    remedy = "Put the password into a file of your own that PGPASSFILE names (libpq's format)."
    if len(url) > MAX_URL or not url.isprintable() or not url.startswith("postgresql+psycopg://"):
        raise InvalidInput("the database's URL is not usable", expected="postgresql+psycopg://USER@HOST:PORT/NAME")
    parts = urlsplit(url)
    if parts.password is not None or "password" in parts.query:
        raise InvalidInput("the database's URL holds a password", expected="a URL without one", remedy=remedy)
    return url


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
        policies=tuple(sorted(parse_policy(path.read_bytes())[1] for path in shipped_policies())),
        grants=(Grant(person=card.owner, role="owner", not_after=expires),),
    )


def _new_unlock(
    settings: Settings, card: Card, passphrase: Path | None, *, outside: Path
) -> tuple[Unlock, Path | None]:
    """Return what will unlock the keys, and the file that was made for it.

    It is a passphrase somebody chose, for which nothing is made, or a new random secret outside the project.
    """
    chosen = passphrase or settings.passphrase_file
    if chosen is not None:
        return passphrase_file(chosen), None
    path = _unlock_path(settings, card.name)
    return create_unlock_file(path, outside=outside), path


def _known_unlock(settings: Settings, workspace: str) -> Unlock:
    """Return what unlocks the keys of a workspace that was made before: the passphrase that is named, or its file."""
    chosen = settings.passphrase_file
    return passphrase_file(chosen) if chosen else unlock_file(_unlock_path(settings, workspace))


def _unlock_path(settings: Settings, workspace: str) -> Path:
    return settings.unlock_dir / f"{workspace.replace('/', '-')}.unlock"


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
        unlock = _known_unlock(settings, workspace_of(file))
        listing = read_backup(file, unlock, building.workspace)
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


@contextmanager
def open_plant(root: Path, *, tell: Callable[[Progress], None] = silent, clock: Clock | None = None) -> Iterator[Plant]:
    """Open a workspace's control plane. The keys stay locked until something is to be signed.

    Args:
        root: The project's folder.
        tell: Told of each step.
        clock: The witness of time; the system's if left out.

    Raises:
        NotFound: There is no workspace, or a part of it is gone.
        NotVerified: Its trust document is not signed by its root keys.
        LedgerBroken: Its ledger is gone, empty or damaged.
    """
    home, settings, clock = Home(root=root.resolve()), read_settings(), clock or SystemClock()
    card = _read_card(home)
    unlock = _known_unlock(settings, card.name)
    folder = open_keys(home.workspace / "keys", unlock)
    authority = CertificateAuthority(home.workspace / "authority", card.name, unlock)
    stages = stage_store(home.workspace, read_custody(home.workspace))
    keys = ChosenKeys(dict.fromkeys(STAGES, stages) if stages else {}, default=folder, clock=clock, origin=card.name)
    scratch = scratch_folder(settings.scratch_dir, home.workspace)
    windows = Windows(scratch / "open")
    vault = Vault(home.workspace / STORAGE, unlock)
    storage = SealedStorage(_place(home, card, windows))
    archive = SealedStorage(_on_disk(home.archive, home.archive / SEALED))
    blobs = SealedBlobs(storage.place, vault, windows, clock)
    trusting = _Trusting(home, clock)
    trusting()
    keys.trusting(trusting)
    ledger = _open_ledger(home, keys, trusting, card, clock)
    plant = None
    reading = PublishedFolder(home.published)
    try:
        plant = Plant(
            home=home,
            origin=card.name,
            blobs=blobs,
            sealed=blobs.under,
            erase=vault.destroy,
            export_key=vault.export,
            data_keys=lambda: tuple(key.name for key in vault.stored()),
            scratch=scratch / "stages",
            scratch_in_memory=in_memory(scratch),
            ledger=ledger,
            keys=keys,
            unlock=lambda: _unlock(keys),
            clock=clock,
            entropy=SystemEntropy(),
            read_trust=trusting,
            open_sandbox=open_sandbox,
            load_policy=lambda name: load_policy(name, home.root),
            published_blobs=DiskBlobs(home.published / "blobs"),
            set_aside=lambda digest: _set_aside(home.published, digest),
            publish=lambda files: _publish(home.published, files),
            published_document=lambda name: reading.document(name, MAX_ENVELOPE),
            trust_document=lambda: read_bounded(home.workspace / TRUST_FILE, MAX_ENVELOPE, "the trust document"),
            write_backup=lambda out, signed: write_backup(
                out, home.workspace, name=card.name, made=clock.now(), checkpoint=signed.note
            ),
            root_links=lambda: _links(home),
            store_trust=partial(_store_trust, home, clock),
            accept_policy=_unbound,
            gateway_keys=lambda: open_keys(home.gateway / "keys", unlock_file(home.gateway / "unlock")),
            authority=authority,
            tell_uses=lambda: _tell_uses(keys, ledger),
            move_keys=lambda wanted: _move_keys(home, settings, card, clock, wanted),
            rewrap=lambda passphrase: _rewrap(folder, authority, vault, settings, card, passphrase, outside=home.root),
            offline=OfflineFolder(home.workspace / OFFLINE).newest,
            roots=OfflineFolder(home.workspace / OFFLINE).roots,
            propose_offline=lambda gone: OfflineFolder(home.workspace / OFFLINE).propose(read_trust(home, clock), gone),
            sign_offline=lambda document: sign_repository(document, _roots_held(keys, trusting())),
            follow_offline=partial(_follow_offline, home, keys, clock),
            accept_offline=OfflineFolder(home.workspace / OFFLINE).accept,
            pin_revocation=lambda digest: _pin_revocation(home, keys, clock, digest),
            credential_key=lambda: read_private(
                home.gateway / CREDENTIAL_FILE, what="the credential key", limit=MAX_CARD
            ),
            person=card.owner,
            runtime=_runtime,
            open_person=lambda folder: open_person(folder, person_secret(folder, None)).signer("person"),
            custody=keys.custody(),
            code=code_digest(),
            tell=tell,
            storage=storage,
            archive=SealedBlobs(archive.place, vault, windows, clock),
            put_away=lambda digest: storage.copy(digest, archive),
            bring_back=lambda digest: archive.copy(digest, storage),
            staged_blobs=DiskBlobs(home.staging / "blobs"),
            stage=lambda files: _publish(home.staging, files),
            secrets=DiskSecrets(home.workspace / "secrets", partial(vault.derived, b"job secrets")),
            web=BoundedWeb(),
            sessions=SqlSessions(ledger.engine),
            jobs=SqlJobs(ledger.engine, clock),
            answers=SqlAnswers(ledger.engine, clock),
            ask_witness=ask_witness,
            discard_blob=partial(_discard, storage, clock),
        )
        settle_trust(plant)  # a change that was put on record takes effect, whenever its process died
        yield replace(plant, accept_policy=partial(accept, plant))
    finally:
        try:
            if plant is not None:
                plant.memory.close(ledger, clock)  # what was counted goes on record before the ledger closes
        finally:
            with suppress(HoldfastError):  # what was signed is on record by itself; a broken ledger takes no summary
                _tell_uses(keys, ledger)
            windows.close()
            ledger.close()
            keys.close()
            leave(scratch)


def _place(home: Home, card: Card, windows: Windows) -> Place:
    """Return where a workspace's blobs lie: in its folder, or in the object store that its card names."""
    if not card.blobs:
        return _on_disk(home.workspace / "blobs", home.workspace / SEALED)
    store, prefix = open_store(card.blobs)
    return Place(
        documents=ObjectBlobs(store, f"{prefix}/documents", windows.opened),
        sealed=ObjectBlobs(store, f"{prefix}/sealed", windows.opened),
        index=ObjectIndex(store, f"{prefix}/index".lstrip("/")),
    )


def _discard(storage: SealedStorage, clock: Clock, digest: Digest) -> None:
    """Remove a blob at once; one that is not there needs no removing."""
    with suppress(NotFound):
        storage.set_aside(digest, clock.now())
        storage.drop(digest)


def _on_disk(documents: Path, sealed: Path) -> Place:
    return Place(documents=DiskBlobs(documents), sealed=DiskBlobs(sealed / "bytes"), index=DiskIndex(sealed / "index"))


def _tell_uses(keys: ChosenKeys, ledger: SqlLedger) -> None:
    """Put on record how often each key has signed what since this was last done.

    Checkpoints are left out: each is a record of itself, kept beside the ledger, and an entry about it would be one
    that it does not cover.
    """
    if used := [use for use in keys.uses() if use["purpose"] != "checkpoint"]:
        ledger.append([Draft(kind="key.used", actor="keys", stream="keys", body={"uses": used})])


def _move_keys(
    home: Home, settings: Settings, card: Card, clock: Clock, wanted: Mapping[str, str]
) -> tuple[TrustedKey, ...]:
    """Make the stages' keys where a custody says, to be used from now on; until they are trusted the old ones sign."""
    custody = msgspec.convert(dict(wanted), Custody)
    custody.check()
    unlock = None
    if not custody.module:
        path = _signer_unlock(settings, card)
        unlock = create_unlock_file(path, outside=home.root)
    made = new_keys(home.workspace, custody, unlock, card.owner, clock)
    write_custody(home.workspace, custody)
    return made


def _signer_unlock(settings: Settings, card: Card) -> Path:
    return settings.unlock_dir / f"{card.name.replace('/', '-')}-signer.unlock"


def signer(
    root: Path,
    *,
    tell: Callable[[Progress], None] = silent,
    unlock_with: Path | None = None,
    passphrase_from: Path | None = None,
    uid: int | None = None,
) -> Reply:
    """Run the signer of a workspace until it is told to stop: it holds the keys of the stages, and starts unattended.

    Args:
        root: The project's folder.
        tell: Told when it is ready.
        unlock_with: What opens its keys; by default the file that `key custody` made. A systemd credential is one.
        passphrase_from: A passphrase file instead.
        uid: Another user whose processes may ask for signatures, beside its own.

    Raises:
        Conflict: The workspace uses no signer, or another one runs.
        Unavailable: The keys cannot be unlocked, or the socket cannot be listened on.
    """
    home, settings = Home(root=root.resolve()), read_settings()
    card, custody = _read_card(home), read_custody(home.workspace)
    named = unlock_with or _signer_unlock(settings, card)
    unlock = passphrase_file(passphrase_from) if passphrase_from else unlock_file(named)
    store = served_store(home.workspace, custody, unlock)
    place = socket_of(home.workspace, custody)
    uids = frozenset({os.geteuid(), *(() if uid is None else (uid,))})
    server = SignerServer(store, place, origin=card.name, uids=uids)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    words = f"the signer answers on {place}, keys: {store.custody()}"
    server.run(lambda: tell(Progress(stage="signer", state="finished", words=words)))
    return Reply(says="The signer has ended.")


def _rewrap(
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
    path = _unlock_path(settings, card.name)
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


def _unbound(digest: Digest) -> None:
    """Accept no policy: the control plane is not whole yet."""
    raise Unavailable("the control plane is not open yet", place=digest)


def _runtime() -> Runtime:
    """Return the engine that loads models; imported here, because most commands need none."""
    from holdfast.adapters.runtime import OnnxRuntime

    return OnnxRuntime()


@contextmanager
def open_jobs(root: Path) -> Iterator[SqlJobs]:
    """Open a workspace's queue of jobs alone: a worker waits with little in memory.

    Raises:
        NotFound: There is no workspace.
    """
    home = Home(root=root.resolve())
    engine = open_database(_read_card(home).database or home.workspace / LEDGER_FILE)
    try:
        yield SqlJobs(engine, SystemClock())
    finally:
        engine.dispose()


def _unlock(keys: ChosenKeys) -> None:
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


def _ledger_on(
    place: Path | str, keys: ChosenKeys, trusting: Callable[[], Trust], card: Card, clock: Clock
) -> SqlLedger:
    return SqlLedger(
        open_database(place),
        clock=clock,
        signer=lambda: keys.signer("ledger"),
        origin=card.name,
        # Also keys that were revoked: what lies beside the ledger anchors nothing, it can only contradict.
        former=lambda: [key for key in trusting().keys if key.role == "ledger"],
    )


def _open_ledger(home: Home, keys: ChosenKeys, trusting: Callable[[], Trust], card: Card, clock: Clock) -> SqlLedger:
    """Open the ledger, which `init` began: one that is gone or empty must not be begun again in silence."""
    path = home.workspace / LEDGER_FILE
    place = card.database or str(path)
    remedy = "Restore it from a copy that matches a checkpoint; without one, make a new workspace."
    if not card.database and not path.exists():
        raise LedgerBroken("the ledger is gone", place=place, remedy=remedy)
    if not card.database and path.stat().st_size == 0:
        raise LedgerBroken("the ledger is empty", place=place, remedy=remedy)
    ledger = _ledger_on(card.database or path, keys, trusting, card, clock)
    try:
        _check_first(next(ledger.entries(0, 1), None), card, place, remedy)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _check_first(first: Entry | None, card: Card, place: str, remedy: str) -> None:
    """Check that a ledger begins with this workspace."""
    if first is None:
        raise LedgerBroken("the ledger is empty", place=place, remedy=remedy)
    if first.body.get("workspace") != card.name:
        raise NotVerified("this is another workspace's ledger", place=place, expected=card.name)


def migrate(root: Path, *, tell: Callable[[Progress], None] = silent, to: str) -> Reply:
    """Move a workspace's ledger into another database, entry by entry, and check that it is the same.

    1. The old ledger is locked. 2. Everything is copied, along its hash chain, and compared. 3. The new one is audited,
    and its root must be the old one's. 4. The workspace's card names the new one. 5. The old one is closed for ever.

    Args:
        root: The project's folder; nothing else may be running there.
        tell: Takes what happens.
        to: The URL of an empty PostgreSQL database, or `sqlite` for a file of the workspace.

    Raises:
        Conflict: It lies there already, or there is another one.
        LedgerBroken: Its history does not fit its hashes, or the copy is not the same; the old one stays as it is.
    """
    home, clock = Home(root=root.resolve()), SystemClock()
    card = _read_card(home)
    target = msgspec.structs.replace(card, database="" if to == "sqlite" else check_database(to))
    path = home.workspace / LEDGER_FILE
    if target == card:
        raise Conflict("the ledger lies there already", place=card.database or str(path))
    if not target.database and path.exists():
        raise Conflict("there is a ledger's file already", place=str(path), remedy="Move it away first.")
    trusting = _Trusting(home, clock)
    stages = stage_store(home.workspace, read_custody(home.workspace))
    folder = open_keys(home.workspace / "keys", _known_unlock(read_settings(), card.name))
    keys = ChosenKeys(dict.fromkeys(STAGES, stages) if stages else {}, default=folder, clock=clock, origin=card.name)
    keys.trusting(trusting)
    old = _open_ledger(home, keys, trusting, card, clock)
    new = _ledger_on(target.database or path, keys, trusting, card, clock)
    try:
        root_before = old.root()
        with moving(old.engine, new.engine) as moved:  # 1. and 2.
            tell(Progress(stage="migrate", state="finished", words=f"{moved.entries} entries copied and compared"))
            new.verify()  # 3.
            if new.root() != root_before or new.checkpoints() != old.checkpoints():
                raise LedgerBroken("the copy has another root or other checkpoints", place=target.database or str(path))
            replace_durably(home.workspace / CARD_FILE, msgspec.json.encode(target))  # 4.
        body = {"from": card.database or "sqlite", "to": target.database or "sqlite", "entries": moved.entries}
        new.append([Draft(kind="ledger.moved", actor=card.owner, stream="trust", body=body)])
    finally:
        old.close()
        new.close()
    if not card.database:  # 5.
        for suffix in ("", "-wal", "-shm"):
            left = path.with_name(path.name + suffix)
            if left.exists():
                left.rename(left.with_name(f"moved-{left.name}"))
    return Reply(
        says=f"The ledger, {moved.entries} entries, now lies in {target.database or path}; nothing else was moved.",
        document={"entries": moved.entries, "checkpoints": moved.checkpoints, "root": root_before.hex()},
    )


def _read_card(home: Home) -> Card:
    try:
        return msgspec.json.decode(
            read_bounded(home.workspace / CARD_FILE, MAX_CARD, "the workspace's card"), type=Card
        )
    except NotFound as error:
        remedy = "Change to the project's folder, or make a workspace with `holdfast init`."
        raise NotFound("there is no workspace here", place=str(home.root), remedy=remedy) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        place = str(home.workspace / CARD_FILE)
        raise NotVerified(f"the workspace's card cannot be read: {error}", place=place) from error


def read_trust(home: Home, clock: Clock) -> Trust:
    """Return the workspace's trust document, verified with the root keys that the workspace pins.

    Raises:
        NotVerified: Too few root keys have signed it, or it is another workspace's.
    """
    document = read_bounded(home.workspace / TRUST_FILE, MAX_ENVELOPE, "the trust document")
    return follow(_pinned(home), parse_links(_links(home)), document, now=clock.now()).value


def _pinned(home: Home) -> Trust:
    """Return the root keys that the workspace has pinned since it was made."""
    place = str(home.workspace / ROOT_FILE)
    try:
        root = msgspec.json.decode(read_bounded(home.workspace / ROOT_FILE, MAX_CARD, "the pinned root"), type=Trust)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"the pinned root cannot be read: {error}", place=place) from error
    if root.root_threshold < 1:  # empty means no
        raise NotVerified("the pinned root asks for no signature", place=place, expected="at least one")
    return root


def _links(home: Home) -> bytes:
    """Return the versions that changed the root since the pin; none where there is no such file."""
    try:
        return read_bounded(home.workspace / LINKS_FILE, MAX_LINKS_FILE, "the versions of the root")
    except NotFound:
        return b"{}"


def _store_trust(home: Home, clock: Clock, document: bytes, links: bytes | None) -> None:
    """Put a newer trust in force: the links first, which a reader of the older trust does not follow yet.

    Raises:
        NotVerified: The pinned root does not lead to it: then what is in force stays, whatever the ledger names.
    """
    followed = _links(home) if links is None else links
    follow(_pinned(home), parse_links(followed), document, now=clock.now())
    try:
        if links is not None:
            replace_durably(home.workspace / LINKS_FILE, links)
        replace_durably(home.workspace / TRUST_FILE, document)
    except OSError as error:
        raise Unavailable(f"the trust cannot be written: {error.strerror}", place=str(home.workspace)) from error


class _Trusting:
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


def _roots_held(keys: ChosenKeys, *trusts: Trust) -> list[Signer]:
    """Return every root key that is held here, of those that these versions of the trust name."""
    held = {key.keyid for key in keys.held()}
    named = {key.keyid for trust in trusts for key in trust.of_role("root")}
    return [keys.signer_of(keyid) for keyid in sorted(held & named)]


def _follow_offline(home: Home, keys: ChosenKeys, clock: Clock, newer: Trust) -> bool:
    """Let the root keys held here sign what gateways need to follow a newer trust; say whether they were enough."""
    signers = _roots_held(keys, read_trust(home, clock), newer)
    if not signers:
        return False
    try:
        OfflineFolder(home.workspace / OFFLINE).follow(newer, signers)
    except NotVerified:
        return False
    return True


def _pin_revocation(home: Home, keys: ChosenKeys, clock: Clock, digest: Digest) -> None:
    """Let the root key sign that an artifact is revoked for good: no online key can leave that out."""
    trust = read_trust(home, clock)
    OfflineFolder(home.workspace / OFFLINE).follow(trust, _roots_held(keys, trust), revoked=[digest])


def _publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace the gateway's documents one by one, each whole, in the order given; what is as it should be stays."""
    reading = PublishedFolder(folder)
    try:
        (folder / "targets").mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        for name, content in files.items():
            try:
                same = reading.document(name, len(content)) == content
            except HoldfastError:  # missing, longer, a link or a pipe: it is replaced, whatever it is
                same = False
            if not same:
                replace_durably(folder / name, content)
        prune(folder, frozenset(files))
    except OSError as error:
        raise Unavailable(f"the gateway's folder cannot be written: {error.strerror}", place=str(folder)) from error


def _set_aside(published: Path, digest: Digest) -> None:
    """Move a damaged blob of the gateway's folder aside; it is evidence of whatever changed it."""
    hexadecimal = digest.removeprefix("sha256:")
    damaged = published / "blobs" / "sha256" / hexadecimal[:2] / hexadecimal[2:]
    kept = published / "damaged"
    try:
        kept.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        damaged.rename(kept / f"{hexadecimal}.{secrets.token_hex(4)}")
    except OSError as error:
        raise Unavailable(f"a damaged blob cannot be moved aside: {error.strerror}", place=str(damaged)) from error


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


def published_file(root: Path, name: str) -> bytes | None:
    """Return a file that gateways may fetch from a project's workspace, or None; see `adapters.published`."""
    return published.published_file(Home(root=root).published, name)


def unsafe_edit_ledger(root: Path, position: int, old: bytes, new: bytes) -> None:
    """Edit a stored ledger entry as somebody with the file would: for the demo and for drills, on a copy.

    Raises:
        NotFound: There is no such entry, or the bytes are not in it.
    """
    unsafe_edit_entry(Home(root=root).workspace / "ledger.db", position, old, new)


def code_digest() -> Digest:
    """Return the digest of this installation's own source, names included: what evidence says it was made with."""
    package = Path(__file__).resolve().parent
    sources = ((path.relative_to(package).as_posix(), path.read_bytes()) for path in package.rglob("*.py"))
    return manifest(File(path=name, digest=digest_bytes(data), size=len(data)) for name, data in sources).digest


def inventory(
    root: Path,
    *,
    tell: Callable[[Progress], None] = silent,
    under: Path | None = None,
    probe: str | None = None,
    key_file: Path | None = None,
) -> Reply:
    """List every model with owner, sensitivity, exposure, stakes, stage and version, and what answers unlisted.

    It looks into other folders and asks servers, on behalf of whoever sits at this machine: it is no question for the
    network. `holdfast.lifecycle.planning_models:models` answers that one.

    Args:
        root: The project's folder.
        tell: Told of progress.
        under: Also list every workspace in the folders below this one.
        probe: Addresses of servers to ask what they answer for, separated by commas.
        key_file: A file with an API key to present to them.

    Raises:
        InvalidInput: An address is none, or the key cannot be read.
    """
    from holdfast.lifecycle.planning_models import find_workspaces, read_key, take_stock

    with open_plant(root, tell=tell) as plant:
        places = find_workspaces(under) if under else ()
        beside = [partial(open_plant, place) for place in places if place != plant.home.root]
        key = read_key(key_file) if key_file else ""
        servers = tuple(url.strip() for url in probe.split(",")) if probe else ()
        return take_stock(plant, beside=beside, servers=servers, ask=partial(ask_models, key=key))


def sandbox(*, tell: Callable[[Progress], None] = silent) -> Reply:
    """Say which sandbox tiers this machine offers, and what is missing for the others."""
    del tell  # nothing here takes long
    reports = probe()
    rows = [
        (
            report.tier,
            "available" if report.available else "missing",
            report.adds,
            "; ".join(report.missing) or "—",
            report.without,
        )
        for report in reports
    ]
    table = Table(title="Sandbox tiers", columns=("tier", "here", "adds", "missing", "without it"), rows=rows)
    document = {
        "tiers": [
            {"tier": r.tier, "available": r.available, "missing": list(r.missing), "adds": r.adds, "without": r.without}
            for r in reports
        ]
    }
    there = [report.tier for report in reports if report.available]
    says = (
        f"Strongest tier here: {there[-1]}."
        if there
        else "No sandbox tier is available here: training will be refused."
    )
    return Reply(says=says, document=document, tables=(table,))
