"""States that no gateway may answer from, made by seed out of a good one: bytes, seals, tables, leases, trust.

Outsiders change bytes of what lies there. Insiders hold every online key and sign what they like; what they lack are
the root keys, good evidence, and the gateway's memory.
"""

import base64
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.artifact import Artifact, Digest, canonical, digest_bytes, parse_manifest
from holdfast.core.evidence import Finding, Severity
from holdfast.core.ledger import parse_entry
from holdfast.core.passport import RECORDED, parse_passport
from holdfast.core.routes import GuardSpec, RouteTable
from holdfast.core.seal import TRUST, open_envelope, seal_payload
from holdfast.core.trust import ROLES
from holdfast.engines.repository import POLICY_NAME, ROUTES_NAME, TIMESTAMP_NAME, TRUST_NAME, root_name
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import GUARDS, Serving, World

RUNTIME: Final = OnnxRuntime()
MINUTE: Final = timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class Scene:
    """A gateway that has served one release, and the newer state that is about to be spoiled."""

    world: World
    serving: Serving
    old: Artifact  # served under epoch 1
    new: Artifact  # routed to by epoch 2
    table: RouteTable
    before: dict[str, bytes]  # the repository's files under epoch 1

    def publish(self, release: Artifact | None = None, **changes: Any) -> None:
        """Publish the second table again, changed and signed anew."""
        table = self.table if release is None else self.rerouted(release)
        self.world.publish(msgspec.structs.replace(table, **changes))

    def rerouted(self, release: Artifact) -> RouteTable:
        """The second table, leading to another release."""
        return msgspec.structs.replace(self.world.table(release), epoch=self.table.epoch)

    def files(self) -> dict[str, bytes]:
        """The repository's files, from now on as an outsider leaves them."""
        self.world.published.files = dict(self.world.published.present())
        return self.world.published.files


def scene() -> Scene:
    """Everything is good: epoch 1 is served, epoch 2 lies ready."""
    world = World()
    old, new = world.release(), world.release(tiny_model(bias=5.0))
    world.publish(world.table(old))
    serving = world.serving(RUNTIME)
    serving.look()
    before = dict(world.published.present())
    table = world.publish(world.table(new))
    return Scene(world=world, serving=serving, old=old, new=new, table=table, before=before)


def _damaged(data: bytes, draw: random.Random) -> bytes:
    """These bytes with some of them changed, lost or added."""
    at = draw.randrange(len(data))
    kind = draw.randrange(5)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + draw.randbytes(draw.randrange(1, 9)) + data[at:]
    if kind == 2:
        return b""
    flipped = bytearray(data)
    for place in {at, draw.randrange(len(data))} if kind == 3 else {at}:
        flipped[place] ^= 1 << draw.randrange(8)
    return bytes(flipped)


# ── by outsiders ────────────────────────────────────────────────────────────────────────────────────────────────────


def file_damaged(it: Scene, draw: random.Random) -> None:
    """A file of the repository that is read: timestamp, snapshot, lists of targets, table, trust, policy.

    A signature's hexadecimal digits in capitals say the same, so that is no damage.
    """
    files = it.files()
    name = draw.choice(sorted(files.keys() - {root_name(1)}))
    whole = files[name]
    while files[name].lower() == whole.lower():
        files[name] = _damaged(whole, draw)


def file_gone(it: Scene, draw: random.Random) -> None:
    """The same, deleted."""
    files = it.files()
    del files[draw.choice(sorted(files.keys() - {root_name(1)}))]


def files_exchanged(it: Scene, draw: random.Random) -> None:
    """One file under the name of another."""
    files = it.files()
    one, other = draw.sample(sorted(files.keys() - {root_name(1)}), 2)
    files[one], files[other] = files[other], files[one]


def older_timestamp_with_newer_files(it: Scene, _draw: random.Random) -> None:
    """The lease of yesterday is put back in front of today's files."""
    it.files()[TIMESTAMP_NAME] = it.before[TIMESTAMP_NAME]


def older_table_under_its_new_name(it: Scene, _draw: random.Random) -> None:
    """The table of epoch 1 where the one of epoch 2 should lie."""
    files = it.files()
    (new,) = [name for name in files if name.endswith(ROUTES_NAME)]
    (old,) = [name for name in it.before if name.endswith(ROUTES_NAME)]
    files[new] = it.before[old]


def blob_damaged(it: Scene, draw: random.Random) -> None:
    """A blob that is read: passport, list of files, model, signature, profile."""
    release = parse_manifest(it.world.blobs.get(it.new.digest))
    names = ("model.onnx", "signature.json", "profile.json")
    digests = [it.new.digest, it.table.models[0].passport, *(release.file(name).digest for name in names)]
    digest = draw.choice(digests)
    blobs = it.world.published.blobs
    if draw.random() < 0.2:
        del blobs[digest]
    elif draw.random() < 0.3:
        blobs[digest] = blobs[draw.choice([each for each in digests if each != digest])]
    else:
        blobs[digest] = _damaged(blobs[digest], draw)


# ── by whoever holds the online keys: tables and leases ─────────────────────────────────────────────────────────────


def elsewhere(it: Scene, draw: random.Random) -> None:
    """A table for another workspace or environment."""
    changes: dict[str, Any] = {draw.choice(("workspace", "environment")): f"other-{draw.randrange(99)}"}
    it.publish(**changes)


def lease_over(it: Scene, draw: random.Random) -> None:
    """A lease that has ended, or ends this moment."""
    ends = it.world.clock.now() - timedelta(seconds=draw.choice((0, 1, 3600)))
    it.publish(issued=ends - 15 * MINUTE, expires=ends)


def lease_of_tomorrow(it: Scene, draw: random.Random) -> None:
    """A table from further ahead than clocks may differ."""
    issued = it.world.clock.now() + timedelta(seconds=draw.randrange(61, 10**6))
    it.publish(issued=issued, expires=issued + 15 * MINUTE)


def repository_lease_over(it: Scene, draw: random.Random) -> None:
    """A timestamp of the repository that has expired."""
    past = it.world.clock.now() - timedelta(seconds=draw.randrange(1, 10**6))
    carrier = it.world.carrier
    it.world.published.files = carrier.sign(it.world.published.documents, carrier.version + 1, expires=past)


def repository_falls(it: Scene, _draw: random.Random) -> None:
    """Today's documents in a repository with the version of yesterday, or the same version said twice."""
    it.world.published.files = it.world.carrier.sign(it.world.published.documents, 1)


def epoch_falls(it: Scene, draw: random.Random) -> None:
    """Another story under an epoch that was seen, or under an older one."""
    it.publish(epoch=draw.choice((0, 1)))


def guards_that_cannot_be(it: Scene, draw: random.Random) -> None:
    """No guard at all, one that nobody knows, one with a configuration that is none."""
    bad: tuple[GuardSpec, ...] = draw.choice(
        (
            (),
            (*GUARDS, GuardSpec(name=f"of-tomorrow-{draw.randrange(99)}")),
            (GuardSpec(name="within-size", configuration={"max_bytes": draw.choice((-1, "many", None))}), *GUARDS[1:]),
            (*GUARDS[:2], GuardSpec(name="within-rate", configuration={"rate_per_s": -1.0, "burst": 1}), *GUARDS[3:]),
        )
    )
    it.publish(guards=bad)


def another_policy(it: Scene, _draw: random.Random) -> None:
    """A weaker policy, named by the table and accepted by no root key."""
    weak = it.world.policy.replace(b"at_least = 0.8", b"at_least = 0.0")
    it.publish(policy=digest_bytes(weak))
    it.world.published.documents[POLICY_NAME] = weak


def candidate_that_is_denied(it: Scene, draw: random.Random) -> None:
    """Part of the traffic for a release that the policy denies."""
    bad = it.world.release(tiny_model(bias=9.0), accuracy=draw.uniform(0.0, 0.79))
    table = it.world.table(it.new, candidate=bad, share=draw.uniform(0.01, 1.0))
    it.world.publish(msgspec.structs.replace(table, epoch=it.table.epoch))


def revoked(it: Scene, _draw: random.Random) -> None:
    """A table that revokes what it routes to."""
    it.publish(revoked=(it.new.digest,))


# ── the same: seals and trust ───────────────────────────────────────────────────────────────────────────────────────


def in_another_role(it: Scene, draw: random.Random) -> None:
    """A table under the key of another role."""
    role = draw.choice(sorted(set(ROLES) - {"registry"}))
    it.world.publish(it.table, signer=role)


def payload_edited(it: Scene, draw: random.Random) -> None:
    """A table edited under its old signature, or without any."""
    envelope = msgspec.json.decode(it.world.published.documents[ROUTES_NAME])
    if draw.random() < 0.5:
        payload = base64.b64decode(envelope["payload"]).replace(b"tiny", b"tony")
        envelope["payload"] = base64.b64encode(payload).decode()
    else:
        envelope["signatures"] = []
    it.world.published.documents[ROUTES_NAME] = msgspec.json.encode(envelope)


def table_with_more_in_it(it: Scene, draw: random.Random) -> None:
    """A well-signed table with a field that nobody knows, or without one that it needs."""
    payload, _ = open_envelope(it.world.published.documents[ROUTES_NAME])
    statement = msgspec.json.decode(payload)
    value = statement["predicate"]
    if draw.random() < 0.5:
        value[f"also-{draw.randrange(99)}"] = True
    else:
        del value[draw.choice(("workspace", "environment", "epoch", "expires", "policy"))]
    signed = seal_payload(canonical(statement), [it.world.signers["registry"]])
    it.world.published.documents[ROUTES_NAME] = signed


def trust_of_others(it: Scene, draw: random.Random) -> None:
    """Trust that no root key has signed, of another workspace, or at its end."""
    trust = it.world.trust
    kind = draw.randrange(3)
    if kind == 0:
        role = draw.choice(sorted(set(ROLES) - {"root"}))
        it.world.published.documents[TRUST_NAME] = it.world.sealed(trust, TRUST, role)
    elif kind == 1:
        it.world.publish(it.table, trust=msgspec.structs.replace(trust, workspace="other"))
    else:
        it.world.publish(it.table, trust=msgspec.structs.replace(trust, expires=it.world.start))


# ── the same: releases ──────────────────────────────────────────────────────────────────────────────────────────────


def release_that_is_denied(it: Scene, draw: random.Random) -> None:
    """A release that measures too little, or in which something was found."""
    found = Finding(place="model.onnx", severity=Severity.HIGH, rule="custom-op", message="an operator")
    poor = draw.random() < 0.5
    accuracy = draw.uniform(0.0, 0.79) if poor else 0.95
    it.publish(it.world.release(tiny_model(bias=9.0), accuracy=accuracy, findings=() if poor else [found]))


def release_with_another_model(it: Scene, draw: random.Random) -> None:
    """Good evidence beside bytes that nobody measured."""
    it.publish(it.world.release(packaged=tiny_model(bias=draw.uniform(6.0, 9.0))))


def borrowed_passport(it: Scene, _draw: random.Random) -> None:
    """A release that comes with the passport of another."""
    route = msgspec.structs.replace(it.table.models[0], passport=it.world.passport(it.old))
    it.publish(models=(route,))


def passport_with_a_gap(it: Scene, draw: random.Random) -> None:
    """A passport from which one entry was left out, or in which one stands for another.

    Left out are entries that something leads to. What was said last of an artifact can be left out by whoever holds the
    registry's key: that passport is one of an older day (N15).
    """
    passport = parse_passport(it.world.blobs.get(Digest(it.table.models[0].passport)))
    entries = list(passport.entries)
    at = draw.randrange(len(entries))
    again = parse_entry(base64.b64decode(entries[at].document))
    if draw.random() < 0.5 and not (again.kind == RECORDED and again.stream_position):
        del entries[at]
    else:
        entries[at] = msgspec.structs.replace(entries[at], document=entries[at - 1].document)
    forged = it.world.blobs.put(msgspec.json.encode(msgspec.structs.replace(passport, entries=tuple(entries))))
    it.publish(models=(msgspec.structs.replace(it.table.models[0], passport=forged),))


def recalled_in_the_ledger(it: Scene, _draw: random.Random) -> None:
    """A release that is revoked by the time its passport is made."""
    it.world.revoke(it.new)
    it.publish(it.new)


SPOILERS: Final[tuple[Callable[[Scene, random.Random], None], ...]] = (
    file_damaged,
    file_gone,
    files_exchanged,
    older_timestamp_with_newer_files,
    older_table_under_its_new_name,
    blob_damaged,
    elsewhere,
    lease_over,
    lease_of_tomorrow,
    repository_lease_over,
    repository_falls,
    epoch_falls,
    guards_that_cannot_be,
    another_policy,
    candidate_that_is_denied,
    revoked,
    in_another_role,
    payload_edited,
    table_with_more_in_it,
    trust_of_others,
    release_that_is_denied,
    release_with_another_model,
    borrowed_passport,
    passport_with_a_gap,
    recalled_in_the_ledger,
)
