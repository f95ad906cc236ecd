"""Composition root of the control plane: the only place that chooses its adapters, and that makes workspaces.

What a workspace holds and who may unlock it is decided here; what is done with it, in `lifecycle`.
"""

import getpass
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from holdfast.adapters import published
from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.clock import SystemClock, SystemEntropy
from holdfast.adapters.database import open_database
from holdfast.adapters.durable import PRIVATE_DIRECTORY, read_private, sync_directory, write_new
from holdfast.adapters.keys import FileKeys, create_keys, open_keys
from holdfast.adapters.ledger import SqlLedger
from holdfast.adapters.offline import OfflineFolder
from holdfast.adapters.published import PublishedFolder, prune, read_bounded, replace_durably
from holdfast.adapters.sandbox import open_sandbox, probe
from holdfast.adapters.tampering import unsafe_edit_entry
from holdfast.adapters.unlock import Unlock, create_unlock_file, passphrase_file, unlock_file
from holdfast.config import Settings, read_settings
from holdfast.core.artifact import Digest, File, digest_bytes, manifest
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, LedgerBroken, NotFound, NotVerified, Unavailable
from holdfast.core.ledger import Draft
from holdfast.core.policy import parse_policy
from holdfast.core.ports import Clock, Signer
from holdfast.core.project import parse_project
from holdfast.core.seal import MAX_ENVELOPE, TRUST, seal, unseal
from holdfast.core.trust import ROLES, Grant, Trust
from holdfast.engines.repository import sign_proposal
from holdfast.lifecycle.inputs import read_project_file
from holdfast.lifecycle.plant import Home, Plant
from holdfast.lifecycle.policies import load_policy, shipped_policies
from holdfast.lifecycle.reply import Progress, Reply, Table
from holdfast.lifecycle.starter import write_starter

CARD_FILE: Final = "workspace.json"
TRUST_FILE: Final = "trust.dsse.json"
ROOT_FILE: Final = "root.json"  # the root keys alone: what a gateway pins
CREDENTIAL_FILE: Final = "credential.key"
LEDGER_FILE: Final = "ledger.db"
MAX_CARD: Final = 64 * 1024  # bytes of the workspace's card and of the pinned root
MAX_OWNER: Final = 200  # characters of a person's name and address
GATEWAY: Final = "gateway"
PUBLISHED: Final = "published"
OFFLINE: Final = "offline"  # what the root keys have signed, besides the trust document
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
    sealed = seal(trust, TRUST, [keys.signer("root")])
    OfflineFolder(building / OFFLINE).begin(trust, [keys.signer("root")])
    write_new(building / TRUST_FILE, sealed)
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
def open_plant(root: Path, *, tell: Callable[[Progress], None] = silent) -> Iterator[Plant]:
    """Open a workspace's control plane. The keys stay locked until something is to be signed.

    Raises:
        NotFound: There is no workspace, or a part of it is gone.
        NotVerified: Its trust document is not signed by its root keys.
        LedgerBroken: Its ledger is gone, empty or damaged.
    """
    home, settings, clock = Home(root=root.resolve()), read_settings(), SystemClock()
    card = _read_card(home)
    chosen = settings.passphrase_file
    unlock = passphrase_file(chosen) if chosen else unlock_file(_unlock_path(settings, card))
    keys = open_keys(home.workspace / "keys", unlock)
    trusting = _Trusting(home, clock)
    trusting()
    reading = PublishedFolder(home.published)
    ledger = _open_ledger(home, keys, card, clock)
    try:
        yield Plant(
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
            published_document=lambda name: reading.document(name, MAX_ENVELOPE),
            trust_document=lambda: read_bounded(home.workspace / TRUST_FILE, MAX_ENVELOPE, "the trust document"),
            offline=OfflineFolder(home.workspace / OFFLINE).newest,
            roots=OfflineFolder(home.workspace / OFFLINE).roots,
            propose_offline=lambda gone: OfflineFolder(home.workspace / OFFLINE).propose(read_trust(home, clock), gone),
            sign_offline=lambda document: sign_proposal(document, [keys.signer("root")]),
            accept_offline=OfflineFolder(home.workspace / OFFLINE).accept,
            pin_revocation=lambda digest: _pin_revocation(home, keys, clock, digest),
            accept_policy=lambda digest: _accept(home, keys, clock, digest),
            credential_key=lambda: read_private(
                home.gateway / CREDENTIAL_FILE, what="the credential key", limit=MAX_CARD
            ),
            person=card.owner,
            custody=keys.custody(),
            code=code_digest(),
            tell=tell,
        )
    finally:
        ledger.close()


def _unlock(keys: FileKeys) -> None:
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


def _open_ledger(home: Home, keys: FileKeys, card: Card, clock: Clock) -> SqlLedger:
    """Open the ledger, which `init` began: one that is gone or empty must not be begun again in silence."""
    path = home.workspace / LEDGER_FILE
    remedy = "Restore it from a copy that matches a checkpoint; without one, make a new workspace."
    if not path.exists():
        raise LedgerBroken("the ledger is gone", place=str(path), remedy=remedy)
    if path.stat().st_size == 0:
        raise LedgerBroken("the ledger is empty", place=str(path), remedy=remedy)
    ledger = SqlLedger(open_database(path), clock=clock, signer=keys.signer("ledger"), origin=card.name)
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
    place = str(home.workspace / ROOT_FILE)
    try:
        root = msgspec.json.decode(read_bounded(home.workspace / ROOT_FILE, MAX_CARD, "the pinned root"), type=Trust)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"the pinned root cannot be read: {error}", place=place) from error
    if root.root_threshold < 1:  # empty means no
        raise NotVerified("the pinned root asks for no signature", place=place, expected="at least one")
    document = read_bounded(home.workspace / TRUST_FILE, MAX_ENVELOPE, "the trust document")
    trust = unseal(document, TRUST, root, at=clock.now(), threshold=root.root_threshold).value
    if trust.workspace != root.workspace:
        raise NotVerified("the trust document is another workspace's", place=str(home.workspace / TRUST_FILE))
    return trust


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


def _accept(home: Home, keys: FileKeys, clock: Clock, policy: Digest) -> None:
    """Let the root key sign a trust document that also accepts this policy: on top of the newest, read again here."""
    trust = read_trust(home, clock)
    newer = msgspec.structs.replace(trust, version=trust.version + 1, policies=tuple(sorted({*trust.policies, policy})))
    write_trust(home, newer, [keys.signer("root")])


def write_trust(home: Home, trust: Trust, signers: Sequence[Signer]) -> None:
    """Seal a trust document, and let the same root keys sign which online keys may carry it to the gateways.

    The one door through which a trust document is replaced. The repository first: a process that dies in between leaves
    gateways that would take a newer online key as well, never a table that they cannot follow.
    """
    OfflineFolder(home.workspace / OFFLINE).follow(trust, signers)
    replace_durably(home.workspace / TRUST_FILE, seal(trust, TRUST, signers))


def _pin_revocation(home: Home, keys: FileKeys, clock: Clock, digest: Digest) -> None:
    """Let the root key sign that an artifact is revoked for good: no online key can leave that out."""
    trust = read_trust(home, clock)
    OfflineFolder(home.workspace / OFFLINE).follow(trust, [keys.signer("root")], revoked=[digest])


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
