"""Verification: reads everything again, bytes, history, signatures and what is published, and believes nothing."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.attestation import ATTESTED, check_attested
from holdfast.core.errors import HoldfastError, NotFound, NotVerified, Unavailable
from holdfast.core.ledger import MAX_CHECKPOINT, Audit, Checkpoint, Entry, SignedCheckpoint, open_checkpoint
from holdfast.core.passport import AUTHORIZED, FILED, RECORDED
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, RESTORATION, ROUTES, TELEMETRY, Predicate, open_envelope
from holdfast.core.telemetry import DRAINED, MEASURED
from holdfast.core.trust import raw_ed25519
from holdfast.core.versions import COMMITTED
from holdfast.core.witness import check_demanded
from holdfast.engines.signing.model_signing import hint
from holdfast.lifecycle import FOLDERS, dlp_tokens, protected
from holdfast.lifecycle.compromise import reported, revocations
from holdfast.lifecycle.erasure import erased
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.proof import proved
from holdfast.lifecycle.publishing import ROUTED, documents_of, endpoint_stream, needed, standing, table_of
from holdfast.lifecycle.registry_retention import absent
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.restoring import RESTORED, lost_in_restore
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.row_index import indexed
from holdfast.lifecycle.security import pruned_before
from holdfast.lifecycle.signing import DATASET_SIGNED, RELEASE_SIGNED, check_signed
from holdfast.lifecycle.source_state import ACCEPTED, state_of
from holdfast.lifecycle.versions import named_of, opened
from holdfast.registry.record import STAGED

SEALED: Final[dict[str, Predicate[Any]]] = {
    FILED: EVIDENCE,
    MEASURED: EVIDENCE,
    AUTHORIZED: AUTHORIZATION,
    ROUTED: ROUTES,
    STAGED: ROUTES,
    DRAINED: TELEMETRY,
    RESTORED: RESTORATION,
}
"""Kinds of entries that name sealed statements, and what those say."""

_UNDER: Final = {dlp_tokens.MADE: dlp_tokens.tokens_key, protected.MADE: protected.protected_key}
"""Kinds of entries that say where a project's drawn key lies, and the data key under which it does."""


def verify(plant: Plant, *, checkpoint: Path | None = None) -> Reply:
    """Verify ledger, blobs, signatures, routes and releases of this workspace.

    Every check is made, whatever the ones before it found; only what was not given right ends the command.

    Raises:
        InvalidInput: The outside checkpoint cannot be read.
        NotVerified: It is not signed by this ledger's key.
    """
    outside = outside_checkpoints(plant, checkpoint)
    checked: list[tuple[str, str, str]] = []
    _step(checked, "ledger", lambda: _ledger_words(plant, outside))
    _step(checked, "artifacts", lambda: _artifact_words(plant))
    _step(checked, "data", lambda: _data_words(plant))
    _step(checked, "signatures", lambda: _signature_words(plant))
    _step(checked, "attestations", lambda: _attested_words(plant))
    _step(checked, "published", lambda: _published_words(plant))
    for release in _in_production(plant):
        _step(checked, f"release {short(release)}", partial(_release_words, plant, release))
    bad = [row for row in checked if row[1] == "BROKEN"]
    open_ = [row for row in checked if row[1] == "unknown"]
    table = Table(title="Verification", columns=("what", "result", "words"), rows=checked)
    document = {"checks": [{"what": what, "result": result, "words": words} for what, result, words in checked]}
    if bad:
        says, code = f"{len(bad)} of {len(checked)} checks failed: {bad[0][0]}: {bad[0][2]}", NotVerified.exit_code
    elif open_:
        says, code = f"{len(open_)} of {len(checked)} checks could not be made: {open_[0][2]}", Unavailable.exit_code
    else:
        says, code = "Everything verifies.", 0
    return Reply(says=says, document=document, tables=(table,), exit_code=code)


def ledger_verify(plant: Plant, *, checkpoint: Path | None = None) -> Reply:
    """Check every entry of the ledger.

    Raises:
        LedgerBroken: With the first entry that does not fit as its place.
        InvalidInput: The outside checkpoint cannot be read.
        NotVerified: It is not signed by this ledger's key.
    """
    outside = outside_checkpoints(plant, checkpoint)
    found, lost = _held_against(plant, outside)
    anchor = f"anchored at entry {found.anchored}" if found.anchored is not None else "unanchored"
    document = {"size": found.size, "root": found.root.hex(), "head": found.head, "anchored": found.anchored}
    advice = "" if outside else " Keep a checkpoint elsewhere (`holdfast ledger checkpoint`) to detect a rewritten end."
    return Reply(says=f"{found.size} entries hold together, {anchor}{lost}.{advice}", document=document)


def _step(checked: list[tuple[str, str, str]], what: str, check: Callable[[], str]) -> None:
    try:
        checked.append((what, "ok", check()))
    except Unavailable as error:
        checked.append((what, "unknown", str(error)))
    except HoldfastError as error:
        checked.append((what, "BROKEN", str(error)))


def outside_checkpoints(plant: Plant, path: Path | None) -> tuple[Checkpoint, ...]:
    """Return the checkpoint in a file, opened with the ledger's key; none where no file is named.

    Raises:
        InvalidInput: It cannot be read.
        NotVerified: It is not signed by this ledger's key.
    """
    if path is None:
        return ()
    note = read_given(path, limit=MAX_CHECKPOINT + 1, what="the checkpoint")
    opened = open_outside(plant, note, place=str(path))
    check_demanded(note, plant.trust.witnesses, plant.trust.witness_quorum)
    return (opened,)


def open_outside(plant: Plant, note: bytes, *, place: str) -> Checkpoint:
    """Return a checkpoint that came from elsewhere, opened with the ledger's key.

    Raises:
        NotVerified: It is not signed by this ledger's key.
    """
    refusal = NotVerified("no ledger key is trusted", place=place)
    for key in plant.trust.of_role("ledger"):
        try:
            return open_checkpoint(SignedCheckpoint(note=note), origin=plant.origin, public_key=raw_ed25519(key))
        except NotVerified as error:
            refusal = NotVerified(f"the checkpoint does not verify: {error.message}", place=place)
    raise refusal


def _held_against(plant: Plant, outside: tuple[Checkpoint, ...]) -> tuple[Audit, str]:
    """Verify the ledger against outside checkpoints; what one witnessed and a signed restore calls lost is said."""
    lost = {checkpoint.size: lost_in_restore(plant, checkpoint) for checkpoint in outside}
    found = plant.ledger.verify([checkpoint for checkpoint in outside if not lost[checkpoint.size]])
    words = "; ".join(said for said in lost.values() if said)
    return found, f"; {words}, which a signed restore says" if words else ""


def opened_checkpoints(plant: Plant) -> tuple[Checkpoint, ...]:
    """Return the checkpoints kept beside the ledger that its key has signed, oldest first."""
    keys = [raw_ed25519(key) for key in plant.trust.of_role("ledger")]
    found = []
    for signed in plant.ledger.checkpoints():
        for key in keys:
            with suppress(NotVerified):
                found.append(open_checkpoint(signed, origin=plant.origin, public_key=key))
    return tuple(found)


def _ledger_words(plant: Plant, outside: tuple[Checkpoint, ...]) -> str:
    found, lost = _held_against(plant, outside)
    anchor = (
        f"anchored at {found.anchored}" if found.anchored is not None else "unanchored: no outside checkpoint was given"
    )
    return f"{found.size} entries; chain, tree and every table made from them hold, {anchor}{lost}"


def _artifact_words(plant: Plant) -> str:
    """Read every artifact that is on record, and each file of those that are folders, here or in the archive."""
    count, closed, lost = 0, 0, 0
    purged, archived = absent(plant)
    for entry in plant.ledger.entries():
        if entry.kind != RECORDED or entry.stream in purged:
            continue
        away = entry.stream in archived
        for digest in _blobs_of(plant, entry, archived=away):
            count += 1
            try:
                closed += not _checked(plant, digest, archived=away)
            except NotFound:
                if not erased(plant, digest):
                    raise
                lost += 1
    told = f", {len(archived)} artifacts lie in the archive" if archived else ""
    told += f", {len(purged)} were purged and left a tombstone" if purged else ""
    told += f"; {lost} of them were erased, which is on record" if lost else ""
    told += f"; {closed} of them in encrypted form only, since the keys are locked" if closed else ""
    return f"{count} blobs have the bytes they were recorded with{told}"


def _data_words(plant: Plant) -> str:
    """Read what lies beside artifacts: of versions, indexes, sources and drawn keys; what was erased may be gone."""
    purged, _ = absent(plant)
    count = closed = lost = 0
    for about, digests in _beside(plant):
        for digest in digests:
            count += 1
            try:
                closed += not plant.blobs.check(Digest(digest))
            except NotFound:
                if not any(each in purged or erased(plant, each) for each in about):
                    raise
                lost += 1
    told = f"; {lost} of them were erased, which is on record" if lost else ""
    told += f"; {closed} of them in encrypted form only, since the keys are locked" if closed else ""
    what = f"{count} blobs of versions, indexes of rows, sources and drawn keys"
    return f"{what} have the bytes they were recorded with{told}"


def _beside(plant: Plant) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield blobs that are no artifacts, with the artifacts whose erasure takes them away."""
    names = dict.fromkeys(entry.stream for entry in plant.ledger.entries() if entry.kind == COMMITTED)
    for stream in names:
        named = named_of(plant, stream.partition("/")[2])
        for digest in named.commits:
            commit = opened(plant, named, digest).commit
            table = parse_manifest(plant.blobs.get(Digest(commit.table)))
            log = (each.digest for each in table.files if each.path.startswith("_delta_log/"))
            yield (commit.source, commit.dataset), (digest, commit.table, commit.layout, *log)
    for each in indexed(plant).values():
        yield (each.source, each.split), (each.roster, each.index)
    streams = dict.fromkeys(entry.stream for entry in plant.ledger.entries() if entry.kind == ACCEPTED)
    for stream in streams:
        for arrival in state_of(plant, stream.partition("/")[2]).arrivals:
            yield (), (arrival.digest, *([arrival.body["late"]] if "late" in arrival.body else []))
    yield (), tuple(_drawn(plant))


def _drawn(plant: Plant) -> Iterator[str]:
    """Yield where the keys lie that were drawn for projects, but for those that were destroyed."""
    newest = {(e.kind, e.body["project"]): e.body["key"] for e in plant.ledger.entries() if e.kind in _UNDER}
    kept = plant.data_keys()
    yield from (key for (kind, project), key in newest.items() if _UNDER[kind](project) in kept)


def _blobs_of(plant: Plant, entry: Entry, *, archived: bool) -> Iterator[Digest]:
    """Yield each blob that an artifact on record consists of."""
    digest = Digest(entry.stream)
    yield digest
    if Kind(entry.body["kind"]) in FOLDERS:
        document = (plant.archive if archived else plant.blobs).get(digest)
        yield from (Digest(file.digest) for file in parse_manifest(document).files)


def _checked(plant: Plant, digest: Digest, *, archived: bool) -> bool:
    """Verify a blob; one of an archived folder may be here too, where another release shares it."""
    try:
        return plant.blobs.check(digest)
    except NotFound:
        if not archived:
            raise
        return plant.archive.check(digest)


def _signature_words(plant: Plant) -> str:
    """Unseal every statement that the ledger names, at the time the ledger witnessed.

    What a key signed that was reported as compromised afterwards is void, and counted: it proves nothing any more.
    """
    count, dead, revoked_at, pruned = 0, 0, revocations(plant), pruned_before(plant)
    for entry in plant.ledger.entries():
        predicate = SEALED.get(entry.kind)
        if entry.kind == DRAINED and entry.position < pruned and entry.body["release"]:
            continue  # its bytes are past their time, and that they were removed is on record
        for envelope in _envelopes(entry) if predicate else ():
            try:
                plant.believe(Digest(envelope), SEALED[entry.kind], at=entry.moment, stream=entry.stream)
            except NotVerified as error:
                if reported(plant.blobs.get(Digest(envelope)), entry, plant.trust, revoked_at):
                    dead += 1
                    continue
                raise NotVerified(f"{error.message} ({error.place})", place=f"entry {entry.position}") from error
            count += 1
    words = f"; {dead} more are void, their keys were revoked" if dead else ""
    return f"{count} sealed statements are signed by whose they are{words}"


def _attested_words(plant: Plant) -> str:
    """Verify the signatures over files of data sets and releases, and attestations, when the ledger took them in.

    What a revoked key signed is counted and proves nothing; whoever is handed it refuses it.
    """
    whole, told, void = Counter[str](), 0, 0
    purged, archived = absent(plant)
    for entry in plant.ledger.entries():
        if entry.kind in {DATASET_SIGNED, RELEASE_SIGNED}:
            signed = _signs(plant, entry, away=purged | archived)
            whole[entry.kind] += signed is True
            void += signed is False
        elif entry.kind == ATTESTED:
            document = plant.blobs.get(Digest(entry.body["envelope"]))
            if any(signature.keyid in plant.trust.revoked for signature in open_envelope(document)[1]):
                void += 1
            else:
                check_attested(document, entry, plant.trust)
                told += 1
    words = f"; {void} more are void, their keys were revoked" if void else ""
    files = f"{counted(whole[DATASET_SIGNED], 'data set')} and {counted(whole[RELEASE_SIGNED], 'release')}"
    return f"{files} are signed file by file, {told} attestations by whose they are{words}"


def _signs(plant: Plant, entry: Entry, *, away: frozenset[str]) -> bool | None:
    """Verify the newest signature over files; None where there is nothing to verify, False where it is void."""
    subject = Digest(entry.stream)
    if plant.last(subject, entry.kind) != entry or subject in away or not plant.blobs.has(subject):
        return None  # said anew since, or not here; whether that is on record is the step's before this
    bundle = plant.blobs.get(Digest(entry.body["bundle"]))
    revoked = (key for key in plant.trust.keys if key.keyid in plant.trust.revoked)
    if any(hint(key).encode() in bundle for key in revoked):
        return False
    check_signed(plant, subject, parse_manifest(plant.blobs.get(subject)), entry.kind)
    return True


def _envelopes(entry: Entry) -> list[str]:
    if entry.kind == MEASURED:
        return [item["envelope"] for item in entry.body["evidence"]]
    return [entry.body["table" if entry.kind in {ROUTED, STAGED} else "envelope"]]


def _published_words(plant: Plant) -> str:
    """Compare what the gateway reads with what the ledger names."""
    entry = plant.last(endpoint_stream(current_project(plant)), ROUTED)
    if entry is None:
        return "nothing was ever put into production"
    table = table_of(plant, entry)
    documents = documents_of(plant, entry)
    for name, content in documents.items():
        if plant.published.document(name) != content:
            raise NotVerified(
                "the gateway's copy is not what the ledger names",
                place=name,
                remedy="Find out who changed it; `holdfast watch` publishes it again.",
            )
    blobs = set(needed(plant, table))
    checked = [plant.published.blobs.check(digest) for digest in blobs]
    words = f"epoch {table.epoch}; {len(blobs)} blobs and {len(documents)} documents are what the ledger names"
    return words if all(checked) else f"{words}, the blobs in encrypted form only: the keys are locked"


def _in_production(plant: Plant) -> tuple[str, ...]:
    """Return what answers; nothing where no project says what that could be, which is reported already."""
    try:
        return standing(plant, current_project(plant)).releases
    except HoldfastError:
        return ()


def _release_words(plant: Plant, release: str) -> str:
    """Prove a release's whole chain, and verify its model signature as a consumer would."""
    case, aside = proved(plant, Digest(release))
    files = parse_manifest(plant.blobs.get(Digest(release)))
    check_signed(plant, Digest(release), files)
    nodes = case.dossier.nodes.values()
    evidence = sum(len(node.filed) for node in nodes)
    return (
        f"{len(nodes)} artifacts, {evidence} envelopes and the signature over {len(files.files)} files verify.{aside}"
    )
