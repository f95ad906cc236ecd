"""Custody: where the keys of the stages are kept, moved by rotation, never by copying.

A key that once lay on a disk is not made safer by being put into a token. So a move makes new keys where they shall be,
has the root vouch for them, and ends the old ones.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Artifact, Digest, Kind, digest_json
from holdfast.core.control import Control, Report, run
from holdfast.core.errors import InvalidInput, NotFound, Refused, Unavailable
from holdfast.core.evidence import MadeWith, exactly
from holdfast.core.keystate import KeyState, state_of
from holdfast.core.ledger import Draft
from holdfast.core.passport import FILED, RECORDED, STARTED
from holdfast.core.seal import EVIDENCE
from holdfast.core.succession import successor
from holdfast.core.trust import ROLES, TrustedKey
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import newest_release
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.rotation import REWRAPPED, span
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.trusting import change

MOVED: Final = "custody.moved"
DESTROYED: Final = "key.destroyed"
STORES: Final = ("signer", "hsm", "kms", "vault")
WRAPPING: Final = "unlock"  # what a wrapping key is for, where entries name the role of a key


def custody(
    plant: Plant,
    *,
    store: str,
    socket: Path | None = None,
    module: Path | None = None,
    token: str | None = None,
    pin_file: Path | None = None,
    service: str | None = None,
    overlap: str = "0s",
) -> Reply:
    """Move the keys of the stages into a signer process, a token or a service: new keys there, the old ones end.

    Raises:
        InvalidInput: There is no such store, or its token or service is not named as it must be.
        Refused: More root holders must sign; see `trusting.change`.
    """
    if store not in STORES:
        raise InvalidInput(f"a store called {store[:40]!r}", expected=", ".join(STORES))
    lasting = span(overlap)
    plant.unlock()
    wanted = {
        "store": store,
        "socket": str(socket or ""),
        "module": str(module.absolute()) if module else "",
        "token": token or "",
        "pin_file": str(pin_file.absolute()) if pin_file else "",
        "service": service or "",
    }
    with plant.ledger.lease("trust"):
        trust, now = plant.trust, plant.clock.now()
        made = plant.move_keys(wanted)
        roles = {key.role for key in made}
        keys = [_ending(key, now + lasting) if key.role in roles else key for key in trust.keys]
        old = [key.keyid for key in trust.keys if key.role in roles and state_of(key, trust, now) is KeyState.ACTIVE]
        body: dict[str, Any] = {"store": store, "token": token or "", "service": service or ""}
        body |= {"new": [key.keyid for key in made], "old": old}
        entry = Draft(kind=MOVED, actor=plant.person, stream="trust", body=body)
        says = f"{counted(len(made), 'key of the stages is', 'keys of the stages are')} in the {store}."
        reply = change(plant, successor(trust, keys=(*keys, *made)), says=says, because=[entry])
    hint = " Start `holdfast signer` now, and with the machine." if store == "signer" else ""
    return Reply(says=reply.says + hint, document={**reply.document, "store": store}, tables=reply.tables)


def _ending(key: TrustedKey, ends: datetime) -> TrustedKey:
    return msgspec.structs.replace(key, not_after=min(key.not_after, max(ends, key.not_before)))


def destroy_ended(plant: Plant) -> Reply:
    """Destroy the private halves of keys that have retired or were revoked; to verify, the public ones are enough.

    Wrapping keys go too, once another one has taken their place. What a store does not destroy for a caller, or cannot
    now, is named and left.
    """
    trust, now = plant.trust, plant.clock.now()
    known = {key.keyid: key for key in trust.keys}
    ended = [
        known[key.keyid]
        for key in plant.keys.held()
        if key.keyid in known and state_of(known[key.keyid], trust, now) in {KeyState.RETIRED, KeyState.REVOKED}
    ]
    gone: list[str] = []
    left: list[str] = []
    for key in ended:
        try:
            plant.keys.destroy(key.keyid)
        except (Refused, Unavailable):
            left.append(key.keyid)
            continue
        gone.append(key.keyid)
        body = {"keyid": key.keyid, "role": key.role, "owner": key.owner}
        plant.ledger.append([Draft(kind=DESTROYED, actor=plant.person, stream="keys", body=body)])
    wrapping = _retire_wrapping(plant, left)
    rest = f" {len(left)} are left: they are a signer's to remove, or their service does not answer." if left else ""
    also = f", and {len(wrapping)} wrapping keys are ended" if wrapping else ""
    document = {"destroyed": gone, "left": left, "wrapping": wrapping}
    return Reply(says=f"{len(gone)} private keys are destroyed{also}.{rest}", document=document)


def _retire_wrapping(plant: Plant, left: list[str]) -> list[str]:
    """End the wrapping keys that another has followed, by the record; the newest of each ring is never touched."""
    by_ring: dict[str, list[Mapping[str, Any]]] = {}
    for entry in plant.ledger.stream("trust"):
        if entry.kind == REWRAPPED:
            by_ring.setdefault(entry.body["ring"], []).append(entry.body)
    ended = {str(entry.body["keyid"]) for entry in plant.ledger.stream("keys") if entry.kind == DESTROYED}
    gone = []
    for history in by_ring.values():
        for body in history[:-1]:
            if body["key"] and body["key"] not in ended:
                try:
                    plant.retire_wrapping(body["service"], body["key"])
                except (Refused, Unavailable):
                    left.append(str(body["key"]))
                    continue
                said = {"keyid": body["key"], "role": WRAPPING, "owner": plant.person}
                plant.ledger.append([Draft(kind=DESTROYED, actor=plant.person, stream="keys", body=said)])
                gone.append(str(body["key"]))
    return gone


def custodies(plant: Plant) -> dict[str, str]:
    """Return how the key that signs for each role is kept; `elsewhere` for a role whose key is not held here."""
    held = {key.role for key in plant.keys.held()}
    found = {}
    for role in ROLES:
        try:
            found[role] = plant.keys.custody_of(plant.keys.signer(role).keyid) if role in held else "elsewhere"
        except NotFound:
            found[role] = "elsewhere"
    return found


def _measure(kept: Mapping[str, str]) -> Report:
    """Count the keys that sign here by how they are kept: one on the same disk is one that a copy of the disk takes."""
    here = [how for how in kept.values() if how != "elsewhere"]
    return Report(
        measures=(
            exactly("keys", len(here)),
            exactly("on_same_disk", here.count("same-disk")),
            exactly("in_other_process", here.count("other-process")),
            exactly("in_hsm", here.count("hsm")),
            exactly("in_service", here.count("service")),
        ),
        facts=dict(kept),
    )


CUSTODY: Final[Control[Mapping[str, str]]] = Control(name="keys.custody/1", measure=_measure)
"""How well the keys are isolated, as a policy may demand it."""


def attest(plant: Plant, *, release: str | None = None) -> Reply:
    """Put on record how the keys are kept, as evidence on a release.

    It says what this control plane sees of its own stores: whether that is so, only a look at the machine can tell.

    Raises:
        NotFound: No such release is on record.
    """
    plant.unlock()
    subject = release or newest_release(plant, current_project(plant)) or ""
    recorded = plant.last(subject, RECORDED) if subject else None
    if recorded is None or recorded.body["kind"] != Kind.RELEASE:
        raise NotFound("no such release is on record", place=subject[:80], expected="the digest of a release")
    kept = custodies(plant)
    artifact = Artifact(kind=Kind.RELEASE, digest=Digest(subject), size=int(recorded.body["size"]))
    made_with = MadeWith(code=plant.code, configuration="", data=(digest_json(kept),))
    name = plant.entropy.token(8).hex()
    started = {"control": CUSTODY.name, "run": name}
    plant.ledger.append([Draft(kind=STARTED, actor="keys", stream=subject, body=started)])
    evidence = run(CUSTODY, kept, artifact, made_with)
    body = {**started, "envelope": plant.seal(evidence, EVIDENCE, "keys"), "outcome": evidence.outcome}
    plant.ledger.append([Draft(kind=FILED, actor="keys", stream=subject, body=body)])
    rows = [(role, how) for role, how in kept.items()]
    measures = {measure.name: measure.value for measure in evidence.measures}
    says = f"{measures['on_same_disk']:.0f} of {measures['keys']:.0f} keys that sign here lie on the same disk."
    table = Table(title="Custody", columns=("role", "kept"), rows=rows)
    return Reply(says=says, document={"release": subject, "custody": kept, "measures": measures}, tables=(table,))
