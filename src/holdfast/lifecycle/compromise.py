"""Compromise of a key: withdrawn at once, all that it signed found and void, and what is still known stated again.

The strict rule: nothing that a revoked key ever signed verifies, also what it signed while it was still good, because
nobody can tell the two apart by the signature. What the ledger had taken in before, under a checkpoint from before, may
be stated again by the role's new key and by the person who answers for it; that is on record as what it is.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, InvalidProject, NotFound, NotVerified, Refused
from holdfast.core.keystate import KeyState, state_of
from holdfast.core.ledger import MAX_CHECKPOINT, Checkpoint, Draft, Entry, SignedCheckpoint, open_checkpoint
from holdfast.core.passport import AUTHORIZED, FILED, RECORDED
from holdfast.core.restatement import RESTATED, signed_by, void
from holdfast.core.seal import EVIDENCE, open_envelope, seal_payload, unseal
from holdfast.core.succession import successor
from holdfast.core.telemetry import DRAINED, MEASURED
from holdfast.core.trust import Trust, TrustedKey, raw_ed25519
from holdfast.engines.signing import model_signing
from holdfast.engines.signing.model_signing import DATA_ROLE, ROLE
from holdfast.lifecycle.inputs import check_reason, read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import withdraw
from holdfast.lifecycle.publishing import ENVIRONMENT, ROUTED, standing, standing_of
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.rotation import make_beside
from holdfast.lifecycle.routing import current_project, renew
from holdfast.lifecycle.signing import DATASET_SIGNED, FILES_SIGNED, RELEASE_SIGNED
from holdfast.lifecycle.trusting import STREAM, change, known_key

COMPROMISED: Final = "key.compromised"
NAMES_ENVELOPES: Final = {FILED: "envelope", AUTHORIZED: "envelope", DRAINED: "envelope", ROUTED: "table"}
"""Kinds of entries that name one sealed statement, and under which name; `MEASURED` names several."""

LISTED: Final = 200  # entries named in the record of a compromise; all of them are counted
VALID_FOR: Final = timedelta(days=365)  # of the successor


def envelopes_of(entry: Entry) -> tuple[str, ...]:
    """Return the digests of the sealed statements that an entry names."""
    if entry.kind == MEASURED:
        return tuple(str(item["envelope"]) for item in entry.body["evidence"])
    name = NAMES_ENVELOPES.get(entry.kind)
    return (str(entry.body[name]),) if name else ()


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """What rests on a key."""

    statements: tuple[dict[str, Any], ...]  # entries whose statement it signed: position, kind, stream
    bundles: tuple[str, ...]  # releases whose model signature it made
    releases: tuple[str, ...]  # releases that derive from anything it spoke about
    deployments: tuple[dict[str, str], ...]  # endpoints at which one of these answers now, or whose table it signed


BUNDLES: Final[Mapping[str, frozenset[str]]] = {
    ROLE: frozenset({RELEASE_SIGNED, FILES_SIGNED}),
    DATA_ROLE: frozenset({DATASET_SIGNED}),
}
"""Kinds of entries that name signatures over files, by the role whose key makes them."""


def affected(plant: Plant, key: TrustedKey) -> Affected:
    """Return all that a key signed, the releases that rest on it, and where these answer now, from the whole ledger."""
    statements: list[dict[str, Any]] = []
    parents: dict[str, set[str]] = {}
    kinds: dict[str, str] = {}
    bundles: dict[str, bool] = {}
    routed: dict[str, tuple[Entry, bool]] = {}
    for entry in plant.ledger.entries():
        by_key = any(_by(plant, envelope, key) for envelope in envelopes_of(entry))
        if by_key:
            statements.append({"position": entry.position, "kind": entry.kind, "stream": entry.stream})
        if entry.kind == RECORDED:
            kinds[entry.stream] = str(entry.body["kind"])
            parents.setdefault(entry.stream, set()).update(str(each["digest"]) for each in entry.body["parents"])
        elif entry.kind in BUNDLES.get(key.role, ()):
            bundles[entry.stream] = _bundle_by(plant, str(entry.body["bundle"]), key)
        elif entry.kind == ROUTED:
            routed[entry.stream] = (entry, by_key)
    touched = {str(item["stream"]).removeprefix("traffic/") for item in statements}
    touched |= {release for release, by in bundles.items() if by}
    releases = tuple(
        sorted(each for each, kind in kinds.items() if kind == Kind.RELEASE and touched & _closure(parents, each))
    )
    return Affected(
        statements=tuple(statements),
        bundles=tuple(sorted(release for release, by in bundles.items() if by)),
        releases=releases,
        deployments=tuple(_deployments(routed, set(releases))),
    )


def _by(plant: Plant, envelope: str, key: TrustedKey) -> bool:
    try:
        return signed_by(plant.blobs.get(Digest(envelope)), key.keyid)
    except (NotFound, NotVerified):
        return False  # gone or damaged: `holdfast verify` says so; nobody can say who signed it


def _bundle_by(plant: Plant, bundle: str, key: TrustedKey) -> bool:
    return model_signing.hint(key).encode() in plant.blobs.get(Digest(bundle))


def _closure(parents: Mapping[str, set[str]], digest: str) -> set[str]:
    found, waiting = set[str](), [digest]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += parents.get(each, ())
    return found


def _deployments(routed: Mapping[str, tuple[Entry, bool]], releases: set[str]) -> Iterator[dict[str, str]]:
    for stream, (entry, by_key) in routed.items():
        for release in standing_of(entry.body).releases:
            if release in releases or by_key:
                yield {"endpoint": stream.removeprefix(f"endpoint/{ENVIRONMENT}/"), "release": release}


def compromise(
    plant: Plant,
    *,
    keyid: str,
    reason: str,
    since: str | None = None,
    restate: bool = False,
    checkpoint: Path | None = None,
    proposal: Path | None = None,
) -> Reply:
    """Withdraw a key that somebody else may hold, and say what rests on it; from now on nothing it signed verifies.

    1. A successor is made, if the key was active and is kept here. 2. The root keys revoke the one and vouch for the
    other; on record with all that is affected. 3. Where that was asked for, what is known from before is stated again.
    4. What answers is decided upon anew: what rests on the key and was not restated goes out of production.

    Args:
        plant: The control plane.
        keyid: The key, by the beginning of its id.
        reason: Why, in a sentence that stays on record.
        since: From when on somebody else may have held it (ISO 8601); what was said later is never restated.
        restate: State again what the ledger took in before `since`, under a checkpoint from before.
        checkpoint: One kept elsewhere, better than those beside the ledger.
        proposal: Write the revocation for other root holders to sign.

    Raises:
        Conflict: It is revoked already.
        Refused: More root holders must sign; see `trusting.change`.
    """
    check_reason(reason)
    plant.unlock()
    moment = _moment(since, plant.clock.now())
    with plant.ledger.lease("trust"):
        trust, now = plant.trust, plant.clock.now()
        key = _unrevoked(trust, keyid)
        found = affected(plant, key)
        new = _replacement(plant, trust, key, now)  # 1.
        newer = successor(trust, keys=(*trust.keys, *new), revoked=sorted({*trust.revoked, key.keyid}))
        entry = Draft(
            kind=COMPROMISED, actor=plant.person, stream=STREAM, body=_record(key, new, found, reason, moment)
        )
        says = f"Key {key.keyid[:16]} of role {key.role} is revoked: nothing that it signed verifies."
        reply = change(plant, newer, says=says, because=[entry], proposal=proposal)  # 2.
    if proposal is not None:
        return reply
    restated = resign(plant, keyid=key.keyid, reason=reason, checkpoint=checkpoint) if restate else None  # 3.
    contained = _contain(plant, reason)  # 4.
    rows = [(short(item["release"]), item["endpoint"]) for item in found.deployments]
    words = [
        f"It signed {len(found.statements)} statements and {len(found.bundles)} model signatures, on which",
        f"{len(found.releases)} releases and {len(found.deployments)} deployments rest.",
        *([restated.says] if restated else []),
        *contained,
    ]
    document = {
        **reply.document,
        "affected": msgspec.to_builtins(found),
        "new": [each.keyid for each in new],
        "restated": restated.document if restated else None,
        "contained": contained,
    }
    tables = (*reply.tables, Table(title="Deployments affected", columns=("release", "endpoint"), rows=rows))
    return Reply(says=" ".join((reply.says, *words)), document=document, tables=tables)


def _unrevoked(trust: Trust, keyid: str) -> TrustedKey:
    known = trust.key(known_key(trust, keyid))
    if known is None:
        raise Conflict("this key is revoked already", place=f"key {keyid[:16]}")
    return known


def _replacement(plant: Plant, trust: Trust, key: TrustedKey, now: datetime) -> tuple[TrustedKey, ...]:
    """Make a successor for an active key that is kept here; a person's own is made by that person."""
    held = {each.keyid for each in (*plant.keys.held(), *plant.gateway_keys().held())}
    if key.keyid not in held or state_of(key, trust, now) is not KeyState.ACTIVE:
        return ()
    return (make_beside(plant, key, now, now + VALID_FOR),)


def _record(
    key: TrustedKey, new: tuple[TrustedKey, ...], found: Affected, reason: str, since: datetime
) -> dict[str, Any]:
    return {
        "keyid": key.keyid,
        "role": key.role,
        "owner": key.owner,
        "reason": reason,
        "since": since.isoformat(),
        "new": [each.keyid for each in new],
        "statements": len(found.statements),
        "positions": [item["position"] for item in found.statements[:LISTED]],
        "bundles": list(found.bundles[:LISTED]),
        "releases": list(found.releases[:LISTED]),
        "deployments": list(found.deployments[:LISTED]),
    }


def _contain(plant: Plant, reason: str) -> list[str]:
    """Decide anew about what answers; take out what may no longer serve, as often as that is another release."""
    try:
        project = current_project(plant)
    except InvalidProject:
        return []
    said: list[str] = []
    with plant.ledger.lease("route"):
        for _ in standing(plant, project).releases:
            now = standing(plant, project)
            try:
                renew(plant, project)
            except HoldfastError as error:
                words = f"a key it rests on was revoked: {reason}"
                place = error.place if error.place in now.releases else now.candidate or now.baseline
                gone, serving = withdraw(
                    plant, project, actor=plant.person, reason=words, posture=now.posture, release=place
                )
                answers = f"{short(serving)} answers" if serving else "nothing answers"
                said.append(f"Release {short(gone)} is out of production ({error.message}); {answers}.")
            else:
                return [*said, "What answers was decided upon anew."]
    return said


def resign(plant: Plant, *, keyid: str, reason: str, checkpoint: Path | None = None) -> Reply:
    """State again, by the role's new key and one's own, what a revoked key had said before it was compromised.

    Only what the ledger had taken in before the moment that was reported, under a checkpoint signed before it: that the
    statement is older than the compromise then does not rest on the key. That it is true, the person confirms.

    Raises:
        Conflict: The key was never reported as compromised.
        Refused: No checkpoint from before the compromise is known.
        NotFound: The role has no key here that could state anything.
    """
    check_reason(reason)
    plant.unlock()
    trust = plant.trust
    key = next(each for each in trust.keys if each.keyid == known_key(trust, keyid))
    report = next((each for each in _reports(plant) if each.body["keyid"] == key.keyid), None)
    if report is None:
        raise Conflict("this key was never reported as compromised", place=f"key {key.keyid[:16]}")
    since = datetime.fromisoformat(report.body["since"])
    witness = _witness(plant, since, checkpoint)
    before = msgspec.structs.replace(trust, revoked=tuple(each for each in trust.revoked if each != key.keyid))
    drafts, left = [], 0
    done = {str(entry.body["restates"]) for entry in plant.ledger.entries() if entry.kind == RESTATED}
    for entry in plant.ledger.entries(0, report.position):
        for name in envelopes_of(entry) if entry.kind in {FILED, MEASURED} else ():
            if name in done or not _by(plant, name, key):
                continue
            if entry.position >= witness.size or entry.moment >= since:
                left += 1
                continue
            drafts.append(_restatement(plant, before, key, entry, name, witness, reason))
    if drafts:
        plant.ledger.append(drafts)
    bundles = _resigned_bundles(plant, key, report, witness) if key.role in BUNDLES else 0
    says = f"{len(drafts)} statements and {bundles} model signatures are stated again, witnessed by the checkpoint at "
    says += f"{witness.size} entries; {left} came later and stay void."
    return Reply(says=says, document={"restated": len(drafts), "bundles": bundles, "void": left, "at": witness.size})


def _restatement(
    plant: Plant, before: Trust, key: TrustedKey, entry: Entry, name: str, witness: Checkpoint, reason: str
) -> Draft:
    """Sign the same payload once more; that the old signature was good then is checked, not supposed."""
    document = plant.blobs.get(Digest(name))
    unseal(document, EVIDENCE, before, at=entry.moment)
    signers = [plant.keys.signer(key.role), plant.keys.signer("person")]
    envelope = plant.blobs.put(seal_payload(open_envelope(document)[0], signers))
    body = {
        "restates": name,
        "envelope": envelope,
        "position": entry.position,
        "key": key.keyid,
        "witnessed": {"size": witness.size, "root": witness.root.hex(), "time": witness.time.isoformat()},
        "reason": reason,
    }
    return Draft(kind=RESTATED, actor=plant.person, stream=entry.stream, body=body)


def _resigned_bundles(plant: Plant, key: TrustedKey, report: Entry, witness: Checkpoint) -> int:
    """Sign the very files again whose signature the ledger had taken in before the compromise; none of them is read."""
    signer, keys, count = plant.keys.signer(key.role), plant.trust.of_role(key.role), 0
    signed = {
        (entry.kind, entry.stream): entry
        for entry in plant.ledger.entries(0, report.position)
        if entry.kind in BUNDLES[key.role]
    }
    for (kind, stream), entry in signed.items():
        old = str(entry.body["bundle"])
        if entry.position >= witness.size or not _bundle_by(plant, old, key):
            continue
        said = model_signing.open_bundle(plant.blobs.get(Digest(old)), [key], role=key.role, at=entry.moment)
        bundle = model_signing.sign_listed(
            said.files, said.name, signer, keys, role=key.role, shard_size=said.shard_size
        )
        body = {**entry.body, "bundle": plant.blobs.put(bundle), "restates": old}
        plant.ledger.append([Draft(kind=kind, actor=key.role, stream=stream, body=body)])
        count += 1
    return count


def _witness(plant: Plant, since: datetime, path: Path | None) -> Checkpoint:
    """Return the newest checkpoint from before a moment that the ledger's history still fits."""
    notes = (
        [SignedCheckpoint(note=read_given(path, limit=MAX_CHECKPOINT + 1, what="the checkpoint"))]
        if path is not None
        else list(plant.ledger.checkpoints())
    )
    opened = [found for note in notes for key in plant.trust.of_role("ledger") if (found := _opened(plant, note, key))]
    fitting = [each for each in opened if each.time < since]
    if not fitting:
        raise Refused(
            "no checkpoint from before the compromise is known",
            expected=f"one signed before {since.isoformat()} by a ledger key that is still trusted",
            remedy="Give one that was kept elsewhere with --checkpoint; without one, run the stages again.",
        )
    newest = max(fitting, key=lambda each: each.size)
    plant.ledger.verify([newest])
    return newest


def _opened(plant: Plant, note: SignedCheckpoint, key: TrustedKey) -> Checkpoint | None:
    try:
        return open_checkpoint(note, origin=plant.origin, public_key=raw_ed25519(key))
    except NotVerified:
        return None


def _reports(plant: Plant) -> list[Entry]:
    return [entry for entry in plant.ledger.stream(STREAM) if entry.kind == COMPROMISED]


def revocations(plant: Plant) -> dict[str, int]:
    """Return where the ledger reports each compromised key."""
    return {str(entry.body["keyid"]): entry.position for entry in _reports(plant)}


def reported(document: bytes, entry: Entry, trust: Trust, revoked_at: Mapping[str, int]) -> bool:
    """Say whether an entry's statement is void and was so reported: not where it came after the report."""
    if not void(document, trust):
        return False
    keyids = [signature.keyid for signature in open_envelope(document)[1]]
    return all(entry.position < revoked_at.get(keyid, -1) for keyid in keyids)


def _moment(text: str | None, now: datetime) -> datetime:
    if text is None:
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"a moment of {text[:40]!r}", place="--since", expected="like 2026-03-01T12:00+00:00"
        ) from error
    if moment.tzinfo is None or moment > now:
        raise InvalidInput("the moment has no zone, or is to come", place="--since", expected="a moment with its zone")
    return moment
