"""Composition root of the control plane: the only place that chooses its adapters, and that makes workspaces.

What a workspace holds and who may unlock it is decided here; what is done with it, in `lifecycle`.
"""

import getpass
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.clock import SystemClock, SystemEntropy
from holdfast.adapters.database import open_database
from holdfast.adapters.durable import PRIVATE_DIRECTORY, write_new
from holdfast.adapters.keys import FileKeys, create_keys, open_keys
from holdfast.adapters.ledger import SqlLedger
from holdfast.adapters.published import read_bounded, replace_durably
from holdfast.adapters.sandbox import open_sandbox, probe
from holdfast.adapters.tampering import unsafe_edit_entry
from holdfast.adapters.unlock import Unlock, create_unlock_file, passphrase_file, unlock_file
from holdfast.config import Settings, read_settings
from holdfast.core.artifact import Digest, File, digest_bytes, manifest
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified
from holdfast.core.ledger import Draft
from holdfast.core.policy import Policy, parse_policy
from holdfast.core.ports import Clock
from holdfast.core.project import parse_project
from holdfast.core.seal import MAX_ENVELOPE, TRUST, seal, unseal
from holdfast.core.trust import ROLES, Trust
from holdfast.lifecycle.plant import Home, Plant
from holdfast.lifecycle.reply import Progress, Reply, Table
from holdfast.lifecycle.runner import read_project_file
from holdfast.lifecycle.starter import PROJECT_FILE, RECIPE

CARD_FILE: Final = "workspace.json"
TRUST_FILE: Final = "trust.dsse.json"
ROOT_FILE: Final = "root.json"  # the root keys alone: what a gateway pins
CREDENTIAL_FILE: Final = "credential.key"
MAX_CARD: Final = 64 * 1024  # bytes of the workspace's card and of the pinned root
GATEWAY: Final = "gateway"
ONLINE_ROLES: Final = tuple(role for role in ROLES if role != GATEWAY)
POLICY_DIRECTORIES: Final = (
    Path(__file__).resolve().parents[2] / "policies",  # a checkout
    Path(__file__).resolve().parent / "_policies",  # an installed wheel
)


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a workspace says of itself, in clear: nothing here is secret, and nothing here is trusted."""

    name: str  # also the origin of the ledger's checkpoints
    owner: str


def init(
    root: Path, *, tell: Callable[[Progress], None], owner: str | None = None, passphrase_file: Path | None = None
) -> Reply:
    """Make a workspace in a project's folder: a key for each role, a ledger, a trust root, a gateway's identity.

    Raises:
        Conflict: There is a workspace already.
        InvalidInput: Nobody is named who answers for it.
    """
    home, settings, clock = Home(root=root.resolve()), read_settings(), SystemClock()
    if home.workspace.exists():
        raise Conflict(
            "there is a workspace here already", place=str(home.workspace), remedy="Use it, or another folder."
        )
    answers = owner or _declared_owner(home) or getpass.getuser()
    if not answers.isprintable() or not answers.strip():
        raise InvalidInput("nobody answers for this workspace", expected="--owner NAME")
    card = Card(name=f"holdfast/{secrets.token_hex(8)}", owner=answers)
    building = home.workspace.with_name(f".holdfast-{secrets.token_hex(4)}")
    unlock = _new_unlock(settings, card, passphrase_file, outside=home.root)
    _build(Home(root=home.root), building, card, unlock, clock)
    building.rename(home.workspace)  # whole or not at all
    tell(Progress(stage="init", state="finished", words=f"{len(ROLES)} keys, encrypted at rest, one for each role"))
    started = _write_starter(home, answers)
    says = f"Workspace {card.name} belongs to {answers}. "
    says += f"Its keys are unlocked by {unlock.place}: keep a copy of that file elsewhere." if unlock.place else ""
    says += " A project file and a recipe were written: fill them in, then `holdfast run`." if started else ""
    return Reply(says=says.strip(), document={"workspace": card.name, "owner": answers, "unlock": str(unlock.place)})


def _build(home: Home, building: Path, card: Card, unlock: Unlock, clock: Clock) -> None:
    """Fill a folder beside the workspace's place with all that belongs in it."""
    building.mkdir(mode=PRIVATE_DIRECTORY)
    keys = create_keys(building / "keys", ONLINE_ROLES, owner=card.owner, clock=clock, unlock=unlock)
    (building / GATEWAY).mkdir(mode=PRIVATE_DIRECTORY)
    # The gateway's secret lies beside its key: it must start without a person, and it can only sign telemetry.
    own = create_unlock_file(building / GATEWAY / "unlock", outside=building / GATEWAY / "keys")
    identity = create_keys(
        building / GATEWAY / "keys", [GATEWAY], owner=f"gateway/{secrets.token_hex(4)}", clock=clock, unlock=own
    )
    write_new(building / GATEWAY / CREDENTIAL_FILE, os.urandom(32))
    trust = _first_trust(card, keys, identity, clock)
    root = msgspec.structs.replace(trust, keys=trust.of_role("root"), policies=())
    write_new(building / CARD_FILE, msgspec.json.encode(card))
    write_new(building / ROOT_FILE, msgspec.json.encode(root))
    write_new(building / GATEWAY / ROOT_FILE, msgspec.json.encode(root))
    write_new(building / TRUST_FILE, seal(trust, TRUST, [keys.signer("root")]))
    engine = open_database(building / "ledger.db")
    ledger = SqlLedger(engine, clock=clock, signer=keys.signer("ledger"), origin=card.name)
    try:
        body = {"workspace": card.name, "trust": digest_bytes((building / TRUST_FILE).read_bytes())}
        ledger.append([Draft(kind="workspace.created", actor=card.owner, stream="trust", body=body)])
    finally:
        ledger.close()


def _first_trust(card: Card, keys: FileKeys, identity: FileKeys, clock: Clock) -> Trust:
    held = (*keys.trusted_keys(), *identity.trusted_keys())
    return Trust(
        workspace=card.name,
        version=1,
        expires=min(key.not_after for key in held),
        root_threshold=1,  # one machine, one person: `holdfast keys` says so; more roots come with more persons
        keys=held,
        policies=tuple(sorted(parse_policy(path.read_bytes())[1] for path in _shipped_policies())),
    )


def _new_unlock(settings: Settings, card: Card, passphrase: Path | None, *, outside: Path) -> Unlock:
    """Return what will unlock the keys: a passphrase somebody chose, or a new random secret outside the project."""
    chosen = passphrase or settings.passphrase_file
    if chosen is not None:
        return passphrase_file(chosen)
    return create_unlock_file(_unlock_path(settings, card), outside=outside)


def _unlock_path(settings: Settings, card: Card) -> Path:
    return settings.unlock_dir / f"{card.name.replace('/', '-')}.unlock"


def _declared_owner(home: Home) -> str | None:
    """Return the owner that the project file names, if there is a project file."""
    if not home.project_file.exists():
        return None
    return parse_project(read_project_file(home.project_file))[0].project.owner


def _write_starter(home: Home, owner: str) -> bool:
    """Write a project file and a recipe where there is no project yet."""
    if home.project_file.exists():
        return False
    home.project_file.write_text(PROJECT_FILE.format(owner=msgspec.json.encode(owner).decode()), encoding="utf-8")
    recipe = home.root / "train.py"
    if not recipe.exists():
        recipe.write_text(RECIPE, encoding="utf-8")
    return True


@contextmanager
def open_plant(root: Path, *, tell: Callable[[Progress], None]) -> Iterator[Plant]:
    """Open a workspace's control plane.

    Raises:
        NotFound: There is no workspace.
        NotVerified: Its trust document is not signed by its root keys.
    """
    home, settings, clock = Home(root=root.resolve()), read_settings(), SystemClock()
    card = _read_card(home)
    chosen = settings.passphrase_file
    unlock = passphrase_file(chosen) if chosen else unlock_file(_unlock_path(settings, card))
    keys = open_keys(home.workspace / "keys", unlock)
    trust = read_trust(home, clock)
    blobs = DiskBlobs(home.workspace / "blobs")
    ledger = SqlLedger(
        open_database(home.workspace / "ledger.db"), clock=clock, signer=keys.signer("ledger"), origin=card.name
    )
    try:
        yield Plant(
            home=home,
            origin=card.name,
            blobs=blobs,
            ledger=ledger,
            keys=keys,
            clock=clock,
            entropy=SystemEntropy(),
            trust=trust,
            open_sandbox=open_sandbox,
            load_policy=lambda name: load_policy(name, home.root),
            publish_blobs=DiskBlobs,
            set_aside=lambda digest: _set_aside(home.published, digest),
            publish=lambda files: _publish(home.published, files),
            trust_document=(home.workspace / TRUST_FILE).read_bytes,
            accept_policy=lambda digest: _accept(home, keys, trust, digest),
            credential_key=(home.gateway / CREDENTIAL_FILE).read_bytes,
            person=card.owner,
            custody=keys.custody(),
            code=code_digest(),
            tell=tell,
        )
    finally:
        ledger.close()


def _read_card(home: Home) -> Card:
    try:
        return msgspec.json.decode(
            read_bounded(home.workspace / CARD_FILE, MAX_CARD, "the workspace's card"), type=Card
        )
    except NotFound as error:
        remedy = "Change to the project's folder, or make a workspace with `holdfast init`."
        raise NotFound("there is no workspace here", place=str(home.root), remedy=remedy) from error
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the workspace's card cannot be read: {error}", place=str(home.workspace)) from error


def read_trust(home: Home, clock: Clock) -> Trust:
    """Return the workspace's trust document, verified with the root keys that the workspace pins.

    Raises:
        NotVerified: Too few root keys have signed it.
    """
    try:
        root = msgspec.json.decode(read_bounded(home.workspace / ROOT_FILE, MAX_CARD, "the pinned root"), type=Trust)
    except msgspec.MsgspecError as error:
        raise NotVerified(f"the pinned root cannot be read: {error}", place=str(home.workspace)) from error
    document = read_bounded(home.workspace / TRUST_FILE, MAX_ENVELOPE, "the trust document")
    return unseal(document, TRUST, root, at=clock.now(), threshold=root.root_threshold).value


def _accept(home: Home, keys: FileKeys, trust: Trust, policy: Digest) -> None:
    """Let the root key sign a trust document that also accepts this policy."""
    newer = msgspec.structs.replace(trust, version=trust.version + 1, policies=tuple(sorted({*trust.policies, policy})))
    replace_durably(home.workspace / TRUST_FILE, seal(newer, TRUST, [keys.signer("root")]))


def _publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace the gateway's documents one by one, each whole, in the order given."""
    folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            replace_durably(path, content)


def _set_aside(published: Path, digest: Digest) -> None:
    """Move a damaged blob of the gateway's folder aside; it is evidence of whatever changed it."""
    hexadecimal = digest.removeprefix("sha256:")
    damaged = published / "blobs" / "sha256" / hexadecimal[:2] / hexadecimal[2:]
    kept = published / "damaged"
    kept.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
    damaged.rename(kept / f"{hexadecimal}.{secrets.token_hex(4)}")


def load_policy(name: str, root: Path) -> tuple[Policy, Digest, bytes]:
    """Return a policy, its digest and its bytes: a shipped one by name, or a file of the project.

    Raises:
        NotFound: There is no such policy.
        InvalidInput: It is malformed, or lies outside the project.
    """
    shipped = {path.stem: path for path in _shipped_policies()}
    path = shipped.get(name) or (root / name).resolve()
    if path not in shipped.values() and not path.is_relative_to(root.resolve()):
        raise InvalidInput(f"the policy {name!r} lies outside the project", place="holdfast.toml")
    if not path.is_file():
        raise NotFound(
            f"there is no policy {name!r}", place="holdfast.toml", expected=", ".join(sorted(shipped)) + " or a file"
        )
    text = path.read_bytes()
    policy, digest = parse_policy(text)
    return policy, digest, text


def _shipped_policies() -> tuple[Path, ...]:
    folder = next((folder for folder in POLICY_DIRECTORIES if folder.is_dir()), None)
    return tuple(sorted(folder.glob("*.toml"))) if folder else ()


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


def sandbox(*, tell: Callable[[Progress], None]) -> Reply:
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
