"""The control plane of a workspace, opened: the only place that chooses its adapters."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from holdfast.adapters.answers import SqlAnswers
from holdfast.adapters.bills import SqlBills
from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.chosen_keys import ChosenKeys
from holdfast.adapters.clock import SystemClock, SystemEntropy
from holdfast.adapters.custody import Custody, new_keys, write_custody
from holdfast.adapters.durable import read_private
from holdfast.adapters.jobs import SqlJobs
from holdfast.adapters.key_places import TokenPlace
from holdfast.adapters.keys import open_keys
from holdfast.adapters.keys_authority import CertificateAuthority
from holdfast.adapters.ledger import SqlLedger
from holdfast.adapters.mending import DAMAGED, backup_opened, move_damaged, replace_damaged
from holdfast.adapters.object_blobs import ObjectBlobs, open_store, region_of
from holdfast.adapters.person_folder import open_person
from holdfast.adapters.published import read_bounded
from holdfast.adapters.records import RECORDS_KEY
from holdfast.adapters.sandbox import open_sandbox
from holdfast.adapters.scratch import in_memory, leave, scratch_folder
from holdfast.adapters.sealed_blobs import Place, SealedBlobs, Windows
from holdfast.adapters.sealed_index import DiskIndex, ObjectIndex
from holdfast.adapters.sealed_storage import SealedStorage
from holdfast.adapters.secrets import DiskSecrets
from holdfast.adapters.sessions import SqlSessions
from holdfast.adapters.shelf import ShelfFolder
from holdfast.adapters.shelf_key import SHELF_FILE, ShelfKey
from holdfast.adapters.unlock import create_unlock_file, unlock_file
from holdfast.adapters.use_notes import UseNotes
from holdfast.adapters.vault import Vault
from holdfast.adapters.web import BoundedWeb
from holdfast.adapters.wrapped_unlock import open_service
from holdfast.app.card import CREDENTIAL_FILE, MAX_CARD, SEALED, STORAGE, TRUST_FILE, Card, read_card
from holdfast.app.gateways import equip
from holdfast.app.ledgers import open_ledger
from holdfast.app.people import person_secret
from holdfast.app.recognising import open_recogniser
from holdfast.app.trusting import OfflineHere, Trusting, links_since, store_trust
from holdfast.app.unlocking import Rings, known_unlock, open_chosen, signer_unlock, unlock_keys, use_notes
from holdfast.config import Settings, read_settings
from holdfast.core.artifact import Digest, File, digest_bytes, manifest
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, Unavailable
from holdfast.core.ledger import Draft, SignedCheckpoint
from holdfast.core.ports import Asking, Clock, Puller
from holdfast.core.quota import STREAM, quotas_of
from holdfast.core.seal import MAX_ENVELOPE
from holdfast.core.sources import Source
from holdfast.core.trust import TrustedKey
from holdfast.lifecycle.gateways import readers
from holdfast.lifecycle.home import Home
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.policies import load_policy
from holdfast.lifecycle.quotas import Metered, Room
from holdfast.lifecycle.reply import Progress, silent
from holdfast.lifecycle.trusting import accept, settle_trust

if TYPE_CHECKING:  # what loads models is held by who rehearses a release
    from holdfast.engines.online import Store as FeatureStore
    from holdfast.serve.state import Runtime

FEATURES_FILE = "features.sqlite"
FEATURES_PASSWORD = "features.password"  # noqa: S105 - a file's name


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
    card = read_card(home)
    notes = use_notes(home.workspace)
    unlock = partial(known_unlock, settings, card.name, notes)
    folder = open_keys(home.workspace / "keys", unlock("unlock keys"))
    authority = CertificateAuthority(home.workspace / "authority", card.name, unlock("unlock certificates"))
    keys = open_chosen(home, card, folder, clock)
    scratch = scratch_folder(settings.scratch_dir, home.workspace)
    windows = Windows(scratch / "open")
    vault = Vault(home.workspace / STORAGE, unlock("unlock data"))
    rings = Rings(home=home, settings=settings, card=card, folder=folder, authority=authority, vault=vault)
    storage = SealedStorage(_place(home, card, windows))
    archive = SealedStorage(_on_disk(home.archive, home.archive / SEALED))
    blobs = SealedBlobs(storage.place, vault, windows, clock)
    trusting = Trusting(home, clock)
    trusting()
    keys.trusting(trusting)
    ledger = open_ledger(home, keys, trusting, card, clock)
    room = Room(ledger, (storage, archive))
    shelf = ShelfKey(
        vault=vault,
        path=home.workspace / STORAGE / SHELF_FILE,
        recipients=lambda: (
            equip(home.gateway, settings, vault, clock, outside=home.root).recipient(),
            *readers(ledger, trusting(), clock.now()),
        ),
        clock=clock,
    )
    plant = None
    try:
        plant = Plant(
            home=home,
            origin=card.name,
            blobs=blobs,
            sealed=lambda key: Metered(blobs.under(key), room),
            erase=vault.destroy,
            export_key=vault.export,
            data_keys=lambda: tuple(key.name for key in vault.stored()),
            regions=_regions(settings, card),
            scratch=scratch / "stages",
            scratch_in_memory=in_memory(scratch),
            ledger=ledger,
            features=lambda: _features(home, settings, card),
            bills=SqlBills(ledger.engine),
            keys=keys,
            unlock=lambda: unlock_keys(keys),
            clock=clock,
            entropy=SystemEntropy(),
            read_trust=trusting,
            open_sandbox=open_sandbox,
            load_policy=lambda name: load_policy(name, home.root),
            open_record=lambda record: vault.open(vault.current(RECORDS_KEY, clock.now()), record),
            published=ShelfFolder(folder=home.published, key=shelf, windows=windows),
            staged=ShelfFolder(folder=home.staging, key=shelf, windows=windows),
            trust_document=lambda: read_bounded(home.workspace / TRUST_FILE, MAX_ENVELOPE, "the trust document"),
            write_backup=lambda out, signed: _write_backup(home, card, clock.now(), out, signed),
            root_links=lambda: links_since(home),
            store_trust=partial(store_trust, home, clock),
            accept_policy=_unbound,
            gateway_keys=lambda: open_keys(home.gateway / "keys", unlock_file(home.gateway / "unlock")),
            authority=authority,
            tell_uses=lambda: _tell_uses(keys, notes, ledger),
            move_keys=lambda wanted: _move_keys(home, settings, card, clock, wanted),
            rewrap=rings.rewrap,
            rewrap_signer=rings.rewrap_signer,
            retire_wrapping=_retire_wrapping,
            offline=OfflineHere(home, keys, clock),
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
            archived=archive,
            archive=SealedBlobs(archive.place, vault, windows, clock),
            put_away=lambda digest: storage.copy(digest, archive),
            bring_back=lambda digest: archive.copy(digest, storage),
            secrets=DiskSecrets(home.workspace / "secrets", partial(vault.derived, b"job secrets")),
            open_source=_open_source,
            open_recogniser=partial(open_recogniser, home.root),
            web=BoundedWeb(),
            lineage_url=settings.lineage_url,
            sessions=SqlSessions(ledger.engine),
            jobs=SqlJobs(ledger.engine, clock, most=lambda: quotas_of(ledger.stream(STREAM)).jobs),
            answers=SqlAnswers(ledger.engine, clock),
            ask_witness=_ask_witness,
            replace_damaged=partial(replace_damaged, storage.place, vault, blobs, home.workspace / DAMAGED),
            set_damaged_aside=lambda digest: _set_damaged_aside(storage.place, digest, home.workspace / DAMAGED),
            open_backup=lambda file: backup_opened(
                file,
                unlock("unlock backup"),
                vault,
                clock,
                scratch / "backup",
                lambda source, digest: _take_over(source, storage, digest, home.workspace / DAMAGED),
            ),
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
                _tell_uses(keys, notes, ledger)
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


def _regions(settings: Settings, card: Card) -> dict[str, str]:
    """Return where what holds rows stands: this machine, and the object store if blobs lie in one."""
    places = {"this machine": settings.region}
    if card.blobs:
        places["the object store"] = region_of(card.blobs)
    return places


def _discard(storage: SealedStorage, clock: Clock, digest: Digest) -> None:
    """Remove a blob at once; one that is not there needs no removing."""
    with suppress(NotFound):
        storage.set_aside(digest, clock.now())
        storage.drop(digest)


def _set_damaged_aside(place: Place, digest: Digest, kept: Path) -> None:
    move_damaged(place, digest, kept)


def _take_over(source: SealedStorage, storage: SealedStorage, digest: Digest, kept: Path) -> None:
    """Put a good copy in the place of a damaged blob, just as it lies elsewhere; the damaged one is kept aside."""
    move_damaged(storage.place, digest, kept)
    source.copy(digest, storage)


def _on_disk(documents: Path, sealed: Path) -> Place:
    return Place(documents=DiskBlobs(documents), sealed=DiskBlobs(sealed / "bytes"), index=DiskIndex(sealed / "index"))


def _tell_uses(keys: ChosenKeys, notes: UseNotes, ledger: SqlLedger) -> None:
    """Put on record how often each key has signed what since this was last done, and each use of a wrapping key.

    Checkpoints are left out: each is a record of itself, kept beside the ledger, and an entry about it would be one
    that it does not cover.
    """
    if used := [use for use in keys.uses() if use["purpose"] != "checkpoint"]:
        ledger.append([Draft(kind="key.used", actor="keys", stream="keys", body={"uses": used})])
    notes.hand_over(
        lambda batch, uses: _append_batch(ledger, batch, uses),
        lambda batch: any(entry.body.get("batch") == batch for entry in ledger.stream("keys")),
    )


def _append_batch(ledger: SqlLedger, batch: str, uses: list[dict[str, str | int]]) -> None:
    ledger.append([Draft(kind="key.used", actor="keys", stream="keys", body={"uses": uses, "batch": batch})])


def _move_keys(
    home: Home, settings: Settings, card: Card, clock: Clock, wanted: Mapping[str, str]
) -> tuple[TrustedKey, ...]:
    """Make the stages' keys where a custody says, to be used from now on; until they are trusted the old ones sign."""
    said = dict(wanted)
    module, label, pin = said.pop("module"), said.pop("token"), said.pop("pin_file")
    if module or label or pin:
        if said["service"] or not (module and label and pin):
            expected = "--module, --token and --pin-file together, and no --service"
            raise InvalidInput("the token is not named as it must be", expected=expected)
        said["service"] = str(TokenPlace(module=Path(module), label=label, pin_file=Path(pin)))
    custody = msgspec.convert(said, Custody)
    unlock = None
    if custody.sort() == "file":
        path = signer_unlock(settings, card)
        unlock = create_unlock_file(path, outside=home.root)
    made = new_keys(home.workspace, custody, unlock, card.owner, clock)
    write_custody(home.workspace, custody)
    return made


def _retire_wrapping(address: str, key: str) -> None:
    """End a wrapping key in its service: what it wrapped opens nothing any more, wherever copies of that lie."""
    service = open_service(address)
    try:
        service.destroy(key, wrapping=True)
    finally:
        service.close()


def _unbound(digest: Digest) -> None:
    """Accept no policy: the control plane is not whole yet."""
    raise Unavailable("the control plane is not open yet", place=digest)


# What follows is loaded when it is used: a server is open for long, and does these things now and then.


def _write_backup(home: Home, card: Card, made: datetime, out: Path, signed: SignedCheckpoint) -> int:
    """Write the whole workspace, encrypted, into a new file."""
    from holdfast.adapters.backup import write_backup

    return write_backup(out, home.workspace, name=card.name, made=made, checkpoint=signed.note)


def _ask_witness(url: str, request: bytes) -> tuple[int, bytes]:
    """Send a request to a witness; return status and answer."""
    from holdfast.adapters.witness import ask_witness

    return ask_witness(url, request)


def _open_source(source: Source, asking: Asking) -> Puller:
    """Return a source that is asked for rows; its driver is loaded here and nowhere else."""
    if source.database is not None:
        from holdfast.adapters.source_database import DatabaseSource

        return DatabaseSource(place=source.database, key=source.key, asking=asking)
    if source.api is not None:
        from holdfast.adapters.source_api import ApiSource

        return ApiSource(place=source.api, asking=asking)
    if source.stream is not None:
        from holdfast.adapters.source_stream import StreamSource

        return StreamSource(place=source.stream, key=source.key, asking=asking)
    raise InvalidInput("a file is read, not asked", place=asking.name)


def _features(home: Home, settings: Settings, card: Card) -> "FeatureStore":
    """Open the online store of features, to be written: a file of the gateway's folder, or the Redis that is named."""
    if not settings.features_url:
        from holdfast.adapters.online_sqlite import SqliteFeatures

        return SqliteFeatures(path=home.gateway / FEATURES_FILE, writes=True)
    from holdfast.adapters.online_redis import WRITE_S, RedisFeatures

    secret = home.gateway / FEATURES_PASSWORD
    password = read_private(secret, what="the online store's password", limit=MAX_CARD) if secret.exists() else b""
    return RedisFeatures(
        url=settings.features_url, prefix=card.name, password=password.decode().strip(), timeout_s=WRITE_S
    )


def _runtime() -> "Runtime":
    """Return the engine that loads models."""
    from holdfast.adapters.runtime import OnnxRuntime

    return OnnxRuntime()


def code_digest() -> Digest:
    """Return the digest of this installation's own source, names included: what evidence says it was made with."""
    package = Path(__file__).resolve().parent.parent
    sources = ((path.relative_to(package).as_posix(), path.read_bytes()) for path in package.rglob("*.py"))
    return manifest(File(path=name, digest=digest_bytes(data), size=len(data)) for name, data in sources).digest
