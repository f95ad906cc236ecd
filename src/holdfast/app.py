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

import msgspec

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
from holdfast.adapters.keys import FileKeys, create_keys, open_keys
from holdfast.adapters.keys_authority import CertificateAuthority
from holdfast.adapters.ledger import SqlLedger
from holdfast.adapters.person_folder import Secret, new_person, open_person, sign_proposal
from holdfast.adapters.published import PublishedFolder, read_bounded, replace_durably
from holdfast.adapters.sandbox import open_sandbox, probe
from holdfast.adapters.signer_process import STAGES, SignerServer
from holdfast.adapters.tampering import unsafe_edit_entry
from holdfast.adapters.unlock import Unlock, create_unlock_file, passphrase_file, unlock_file
from holdfast.config import Settings, read_settings
from holdfast.core.artifact import Digest, File, digest_bytes, manifest
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, LedgerBroken, NotFound, NotVerified, Unavailable
from holdfast.core.ledger import Draft
from holdfast.core.policy import parse_policy
from holdfast.core.ports import Clock
from holdfast.core.project import parse_project
from holdfast.core.seal import MAX_ENVELOPE, TRUST, seal
from holdfast.core.succession import follow, parse_links
from holdfast.core.trust import ROLES, Grant, Trust, TrustedKey
from holdfast.lifecycle.inputs import read_project_file
from holdfast.lifecycle.plant import Home, Plant
from holdfast.lifecycle.policies import load_policy, shipped_policies
from holdfast.lifecycle.reply import Progress, Reply, Table
from holdfast.lifecycle.starter import write_starter
from holdfast.lifecycle.trusting import accept, settle_trust

CARD_FILE: Final = "workspace.json"
TRUST_FILE: Final = "trust.dsse.json"
ROOT_FILE: Final = "root.json"  # the root keys alone: what a gateway pins
LINKS_FILE: Final = "roots.json"  # the versions of the trust that changed the root: how an old pin leads to a new one
MAX_LINKS_FILE: Final = 64 << 20  # bytes; a link takes a few KiB, and there are at most MAX_LINKS
CREDENTIAL_FILE: Final = "credential.key"
LEDGER_FILE: Final = "ledger.db"
MAX_CARD: Final = 64 * 1024  # bytes of the workspace's card and of the pinned root
MAX_OWNER: Final = 200  # characters of a person's name and address
GATEWAY: Final = "gateway"
PUBLISHED: Final = "published"
ONLINE_ROLES: Final = tuple(role for role in ROLES if role != GATEWAY)


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a workspace says of itself, in clear: nothing here is secret, and nothing here is trusted."""

    name: str  # also the origin of the ledger's checkpoints
    owner: str


def silent(_: Progress) -> None:
    """Tell nobody: for programs, which read the reply."""


def init(
    root: Path,
    *,
    tell: Callable[[Progress], None] = silent,
    owner: str | None = None,
    passphrase_file: Path | None = None,
) -> Reply:
    """Make a workspace in a project's folder: a key for each role, a ledger, a trust root, a gateway's identity.

    It is made beside its place and moved there last: one that is there is whole, whenever the process dies. What a
    killed process leaves is a folder `.holdfast-…` that nothing reads, and an unlock secret that opens nothing.

    Raises:
        Conflict: There is a workspace already, or the folder lies inside one.
        InvalidInput: Nobody is named who answers for it, or the passphrase is too easily guessed.
        Unavailable: It cannot be written.
    """
    home, settings, clock = Home(root=root.resolve()), read_settings(), SystemClock()
    _refuse_taken(home)
    answers = _owner(home, owner)
    card = Card(name=f"holdfast/{secrets.token_hex(8)}", owner=answers)
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
    except OSError as error:
        raise Unavailable(f"the workspace cannot be written: {error.strerror}", place=str(building.parent)) from error
    keys = create_keys(building / "keys", ONLINE_ROLES, owner=card.owner, clock=clock, unlock=unlock)
    # The gateway's secret lies beside its key: it must start without a person, and it can only sign telemetry.
    own = create_unlock_file(building / GATEWAY / "unlock", outside=building / GATEWAY / "keys")
    identity = create_keys(
        building / GATEWAY / "keys", [GATEWAY], owner=f"gateway/{secrets.token_hex(4)}", clock=clock, unlock=own
    )
    write_new(building / GATEWAY / CREDENTIAL_FILE, os.urandom(32))
    trust = _first_trust(card, keys, identity)
    root = msgspec.structs.replace(trust, keys=trust.of_role("root"), policies=(), grants=())
    write_new(building / CARD_FILE, msgspec.json.encode(card))
    write_new(building / ROOT_FILE, msgspec.json.encode(root))
    write_new(building / GATEWAY / ROOT_FILE, msgspec.json.encode(root))
    write_new(building / TRUST_FILE, seal(trust, TRUST, [keys.signer("root")]))
    engine = open_database(building / LEDGER_FILE)
    ledger = SqlLedger(engine, clock=clock, signer=keys.signer("ledger"), origin=card.name)
    try:
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
    path = _unlock_path(settings, card)
    return create_unlock_file(path, outside=outside), path


def _unlock_path(settings: Settings, card: Card) -> Path:
    return settings.unlock_dir / f"{card.name.replace('/', '-')}.unlock"


def _declared_owner(home: Home) -> str | None:
    """Return the owner that the project file names, if there is a project file."""
    if not home.project_file.exists():
        return None
    return parse_project(read_project_file(home.project_file))[0].project.owner


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
    chosen = settings.passphrase_file
    unlock = passphrase_file(chosen) if chosen else unlock_file(_unlock_path(settings, card))
    folder = open_keys(home.workspace / "keys", unlock)
    authority = CertificateAuthority(home.workspace / "authority", card.name, unlock)
    stages = stage_store(home.workspace, read_custody(home.workspace))
    keys = ChosenKeys(dict.fromkeys(STAGES, stages) if stages else {}, default=folder, clock=clock, origin=card.name)
    trusting = _Trusting(home, clock)
    trusting()
    keys.trusting(trusting)
    published = PublishedFolder(home.published)
    ledger = _open_ledger(home, keys, trusting, card, clock)
    try:
        plant = Plant(
            home=home,
            origin=card.name,
            blobs=DiskBlobs(home.workspace / "blobs"),
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
            published_document=lambda name: published.document(name, MAX_ENVELOPE),
            trust_document=lambda: read_bounded(home.workspace / TRUST_FILE, MAX_ENVELOPE, "the trust document"),
            root_links=lambda: _links(home),
            store_trust=partial(_store_trust, home, clock),
            accept_policy=_unbound,
            gateway_keys=lambda: open_keys(home.gateway / "keys", unlock_file(home.gateway / "unlock")),
            authority=authority,
            tell_uses=lambda: _tell_uses(keys, ledger),
            move_keys=lambda wanted: _move_keys(home, settings, card, clock, wanted),
            rewrap=lambda passphrase: _rewrap(folder, authority, settings, card, passphrase, outside=home.root),
            credential_key=lambda: read_private(
                home.gateway / CREDENTIAL_FILE, what="the credential key", limit=MAX_CARD
            ),
            person=card.owner,
            custody=keys.custody(),
            code=code_digest(),
            tell=tell,
        )
        settle_trust(plant)  # a change that was put on record takes effect, whenever its process died
        yield replace(plant, accept_policy=partial(accept, plant))
    finally:
        with suppress(HoldfastError):  # what was signed is on record by itself; a broken ledger takes no summary of it
            _tell_uses(keys, ledger)
        ledger.close()
        keys.close()


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
        folder.rewrap(passphrase_file(passphrase))
        authority.rewrap(passphrase_file(passphrase))
        return str(passphrase)
    path = _unlock_path(settings, card)
    following = path.with_suffix(".next")
    following.unlink(missing_ok=True)
    unlock = create_unlock_file(following, outside=outside)
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


def _open_ledger(home: Home, keys: ChosenKeys, trusting: Callable[[], Trust], card: Card, clock: Clock) -> SqlLedger:
    """Open the ledger, which `init` began: one that is gone or empty must not be begun again in silence."""
    path = home.workspace / LEDGER_FILE
    remedy = "Restore it from a copy that matches a checkpoint; without one, make a new workspace."
    if not path.exists():
        raise LedgerBroken("the ledger is gone", place=str(path), remedy=remedy)
    if path.stat().st_size == 0:
        raise LedgerBroken("the ledger is empty", place=str(path), remedy=remedy)
    ledger = SqlLedger(
        open_database(path),
        clock=clock,
        signer=lambda: keys.signer("ledger"),
        origin=card.name,
        # Also keys that were revoked: what lies beside the ledger anchors nothing, it can only contradict.
        former=lambda: [key for key in trusting().keys if key.role == "ledger"],
    )
    try:
        size = ledger.size()
    except BaseException:
        ledger.close()
        raise
    if size == 0:
        ledger.close()
        raise LedgerBroken("the ledger is empty", place=str(path), remedy=remedy)
    return ledger


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


def _publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace the gateway's documents one by one, each whole, in the order given; what is as it should be stays."""
    published = PublishedFolder(folder)
    try:
        folder.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        for name, content in files.items():
            try:
                same = published.document(name, len(content)) == content
            except HoldfastError:  # missing, longer, a link or a pipe: it is replaced, whatever it is
                same = False
            if not same:
                replace_durably(folder / name, content)
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
    slug = digest_bytes(str(folder.resolve()).encode()).removeprefix("sha256:")[:16]
    return Secret(
        passphrase=passphrase or settings.passphrase_file, unlock=settings.unlock_dir / f"person-{slug}.unlock"
    )


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
