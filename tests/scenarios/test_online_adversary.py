"""An adversary who holds every online key: what that is worth without a root, policy or person's key."""

from datetime import datetime, timedelta

import msgspec
import pytest

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.artifact import Artifact, digest_bytes
from holdfast.core.consent import RETURN
from holdfast.core.errors import HoldfastError, NotVerified, PolicyDenied
from holdfast.core.ledger import Draft
from holdfast.core.passport import AUTHORIZED
from holdfast.core.routes import GuardSpec
from holdfast.core.seal import AUTHORIZATION, ROUTES, TRUST, Authorization, seal
from holdfast.core.signed_request import NONCE, SIGNATURE, TIMESTAMP, request_signature
from holdfast.core.trust import ROLES, Grant
from holdfast.engines.repository import POLICY_NAME, ROUTES_NAME, TRUST_NAME, first_root
from holdfast.serve.guards.surroundings import LocalNonces
from holdfast.testing.memory import MemoryLedger, MemorySigner
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import API_KEY, GUARDS, INFER, MODEL, POLICY, ROW, WORKSPACE, Serving, World

OFFLINE = {"root", "policy", "person"}
ONLINE = tuple(role for role in ROLES if role not in OFFLINE)
QUORUM = b"""
[[rule]]
id = "approved"
because = "a person answers for what is served"
on = "release"
approved_by = { role = "owner", count = 1 }
"""


class Workspace(World):
    """A small world in which nothing is served without its owner's word."""

    def __init__(self) -> None:
        """Let the root keys accept the stricter policy, and no other."""
        super().__init__()
        self.policy = POLICY + QUORUM
        self.trust = msgspec.structs.replace(self.trust, policies=(digest_bytes(self.policy),))

    def say(self, release: Artifact, *, signer: MemorySigner | None = None, person: str = "alice", **word: str) -> None:
        """Put a person's word on record, as of now."""
        now = self.clock.now()
        said = Authorization(
            person=person,
            role="owner",
            action="rollback" if word.get("rule") else "approve",
            subject=release.digest,
            rule=word.get("rule", ""),
            until=now + timedelta(days=30),
            reason="it was looked at",
            issued=now,
        )
        envelope = self.blobs.put(seal(said, AUTHORIZATION, [signer or self.signers["person"]]))
        body = {"action": said.action, "person": person, "envelope": envelope}
        self.ledger.append([Draft(kind=AUTHORIZED, actor="world", stream=release.digest, body=body)])

    def approved(self, bias: float) -> Artifact:
        """A release with its owner's approval."""
        release = self.release(tiny_model(bias=bias))
        self.say(release)
        self.clock.advance(timedelta(minutes=1))
        return release


@pytest.fixture
def world() -> Workspace:
    """A world whose releases are approved by a person."""
    return Workspace()


def served(world: World, release: Artifact, gateway: Serving | None = None) -> Serving:
    """A gateway that serves a release."""
    world.publish(world.table(release))
    found = gateway or world.serving(OnnxRuntime())
    found.look()
    return found


def answers(gateway: Serving) -> str:
    """The release that answers."""
    return (gateway.call().header(b"x-holdfast-release") or b"").decode()


def short(release: Artifact) -> str:
    """The part of a release's digest that callers see."""
    return release.digest.removeprefix("sha256:")[:12]


def refused(gateway: Serving, error: type[HoldfastError], words: str) -> None:
    """Asserts that the last table was refused for this reason."""
    found = gateway.complaints[-1]
    assert isinstance(found, error), found
    assert words in str(found) + "; ".join(getattr(found, "reasons", ()))


@pytest.mark.guarantee("G29")
def test_a_release_without_its_quorum_is_not_loaded(world: Workspace) -> None:
    """Every stage says the best of a poisoned release, the registry routes to it: no person has said yes."""
    good = world.approved(1.0)
    gateway = served(world, good)
    served(world, world.release(tiny_model(bias=-9.0), accuracy=1.0), gateway)
    refused(gateway, PolicyDenied, "0 of 1 approvals by owner")
    assert answers(gateway) == short(good)


@pytest.mark.guarantee("G29")
@pytest.mark.parametrize("role", ONLINE)
def test_no_online_key_can_sign_an_approval(world: Workspace, role: str) -> None:
    """The word is written in the owner's name and signed by each key that the adversary holds."""
    release = world.release()
    world.say(release, signer=world.signers[role])
    gateway = served(world, release)
    assert isinstance(gateway.complaints[-1], NotVerified)
    assert gateway.call().status == 503


@pytest.mark.guarantee("G29")
def test_a_person_of_ones_own_has_no_say(world: Workspace) -> None:
    """The adversary makes a key of role person: no root key has granted it anything."""
    release = world.release()
    mallory = MemorySigner("person", owner="mallory", start=world.start)
    world.say(release, signer=mallory, person="mallory")
    assert isinstance(served(world, release).complaints[-1], NotVerified)


@pytest.mark.guarantee("G29")
def test_trust_and_policy_cannot_be_forged(world: Workspace) -> None:
    """A trust that grants mallory everything, a policy that asks for nothing, a root of one's own: all refused."""
    mallory = MemorySigner("person", owner="mallory", start=world.start)
    weak = POLICY
    trust = msgspec.structs.replace(
        world.trust,
        version=99,
        keys=(*world.trust.keys, mallory.public),
        policies=(digest_bytes(weak),),
        grants=(Grant(person="mallory", role="owner", not_after=world.start + timedelta(days=9)),),
    )
    release = world.release()
    world.say(release, signer=mallory, person="mallory")
    table = world.table(release, policy=digest_bytes(weak))
    for role in ONLINE:
        world.publish(table)
        world.published.documents |= {TRUST_NAME: world.sealed(trust, TRUST, role), POLICY_NAME: weak}
        gateway = world.serving(OnnxRuntime())
        gateway.look()
        assert isinstance(gateway.complaints[-1], NotVerified)
    world.publish(table)
    own = MemorySigner("root", owner="root", start=world.start - timedelta(days=1))
    assert own.keyid == world.signers["root"].keyid  # only the real key has the real name
    fake = MemorySigner("root", owner="mallory", start=world.start)
    keys = tuple(key for key in trust.keys if key.role != "root")
    root = first_root(msgspec.structs.replace(trust, keys=(*keys, fake.public)), [fake])
    world.published.files = dict(world.published.present()) | {"1.root.json": root}
    gateway = world.serving(OnnxRuntime())
    gateway.look()
    refused(gateway, NotVerified, "signed by 0 of those that must")


@pytest.mark.guarantee("G29")
def test_an_older_approved_release_does_not_come_back_by_itself(world: Workspace) -> None:
    """Its approval is real and has not run out, the table is newer: a person must have said that it may return."""
    old, new = world.approved(1.0), world.approved(2.0)
    gateway = served(world, old)
    served(world, new, gateway)
    assert answers(gateway) == short(new)
    served(world, old, gateway)
    refused(gateway, NotVerified, "an older release would answer again without a recorded rollback")
    assert answers(gateway) == short(new)
    again = world.serving(OnnxRuntime())
    again.memory.remembered = gateway.memory.remembered
    served(world, old, again)
    assert again.call().status == 503


def test_a_recorded_rollback_lets_the_older_release_back(world: Workspace) -> None:
    """The owner signs that the old one may return: the newer table is obeyed, and the withdrawn one stays out."""
    old, new = world.approved(1.0), world.approved(2.0)
    gateway = served(world, old)
    served(world, new, gateway)
    world.say(old, rule=RETURN)
    world.clock.advance(timedelta(minutes=1))
    served(world, old, gateway)
    assert not gateway.complaints, gateway.complaints[-1]
    assert answers(gateway) == short(old)
    served(world, new, gateway)
    refused(gateway, NotVerified, "without a recorded rollback")


@pytest.mark.guarantee("G29")
def test_a_word_filed_twice_is_no_newer_word(world: Workspace) -> None:
    """The ledger's key writes the old approval into history once more, at its end: it says when it was said."""
    old, new = world.approved(1.0), world.approved(2.0)
    gateway = served(world, old)
    served(world, new, gateway)
    (entry,) = [entry for entry in world.ledger.stream(old.digest) if entry.kind == AUTHORIZED]
    world.ledger.append([Draft(kind=AUTHORIZED, actor="world", stream=old.digest, body=dict(entry.body))])
    served(world, old, gateway)
    refused(gateway, NotVerified, "without a recorded rollback")


@pytest.mark.guarantee("G29")
def test_a_history_written_anew_brings_no_older_release_back(world: Workspace) -> None:
    """The ledger's key forks history so that the old release comes last in it; persons' words do not move with it."""
    old, new = world.approved(1.0), world.approved(2.0)
    gateway = served(world, old)
    served(world, new, gateway)
    documents = list(world.ledger.entries())
    world.ledger = MemoryLedger(world.clock, world.signers["ledger"], WORKSPACE)
    for stream in (new.digest, old.digest):
        for entry in documents:
            if (entry.stream == stream) or (stream == new.digest and entry.stream != old.digest):
                draft = Draft(kind=entry.kind, actor=entry.actor, stream=entry.stream, body=dict(entry.body))
                world.ledger.append([draft])
    served(world, old, gateway)
    refused(gateway, NotVerified, "without a recorded rollback")


@pytest.mark.guarantee("G29")
def test_a_revocation_left_out_of_a_forged_history_still_holds(world: Workspace) -> None:
    """The ledger's key writes a history without the revocation; the offline keys and the gateway's memory have it."""
    bad = world.approved(1.0)
    gateway = served(world, bad)
    world.revoke(bad)
    world.publish(world.table(world.approved(2.0), revoked=(bad.digest,)))
    gateway.look()
    documents = [entry for entry in world.ledger.entries() if entry.kind != "artifact.revoked"]
    world.ledger = MemoryLedger(world.clock, world.signers["ledger"], WORKSPACE)
    for entry in documents:
        draft = Draft(kind=entry.kind, actor=entry.actor, stream=entry.stream, body=dict(entry.body))
        world.ledger.append([draft])
    world.say(bad, rule=RETURN)
    served(world, bad, gateway)
    refused(gateway, NotVerified, "is revoked")
    fresh = served(world, bad)  # a gateway that has seen nothing yet: here the offline keys' word is what holds
    assert fresh.call().status == 200
    world.carrier.revoked = (bad.digest,)
    fresh = served(world, bad)
    refused(fresh, NotVerified, "is revoked")


def test_yesterdays_table_is_refused(world: Workspace) -> None:
    """Signed, sealed, carried by a new timestamp that the registry's key has signed today: its epoch is over."""
    old, new = world.approved(1.0), world.approved(2.0)
    table = world.table(old)
    world.publish(table)
    gateway = world.serving(OnnxRuntime())
    gateway.look()
    served(world, new, gateway)
    world.published.documents[ROUTES_NAME] = world.sealed(table, ROUTES, "registry")
    gateway.look()
    refused(gateway, NotVerified, "route table 1 is replayed: 2 was seen before")


# ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────────

SIGNED = (*GUARDS[:2], GuardSpec(name="fresh-request", configuration={"window_s": 60}), *GUARDS[2:])


def signed(
    at: datetime, nonce: str = "A" * 22, *, key: str = API_KEY, body: bytes = ROW, path: str = INFER
) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a signed request."""
    timestamp = str(int(at.timestamp()))
    signature = request_signature(key, method="POST", path=path, body=body, timestamp=timestamp, nonce=nonce)
    return (
        (b"authorization", b"Bearer " + API_KEY.encode()),
        (TIMESTAMP.encode(), timestamp.encode()),
        (NONCE.encode(), nonce.encode()),
        (SIGNATURE.encode(), signature.encode()),
    )


@pytest.mark.requirement("ACC-16", by="holdfast.serve.guards.freshness:FreshRequest.admit")
@pytest.mark.requirement("ACC-16", by="holdfast.core.consent:check_consent")
def test_neither_a_request_nor_a_release_comes_a_second_time(world: Workspace) -> None:
    """A request is answered once, within its window; an older release answers again only by a recorded rollback."""
    old, new = world.approved(1.0), world.approved(2.0)
    world.publish(world.table(old, guards=SIGNED))
    gateway = world.serving(OnnxRuntime())
    gateway.look()
    headers = signed(world.clock.now())
    assert gateway.call(headers).status == 200
    repeated = gateway.call(headers)
    assert (repeated.status, repeated.header(b"x-holdfast-code")) == (403, b"HF250")
    assert gateway.call(signed(world.clock.now() - timedelta(seconds=61), "B" * 22)).status == 403
    world.publish(world.table(new, guards=SIGNED))
    gateway.look()
    assert gateway.call(headers).status == 403  # a newer table makes nobody forget
    world.publish(world.table(old, guards=SIGNED))
    gateway.look()
    refused(gateway, NotVerified, "without a recorded rollback")
    world.say(old, rule=RETURN)
    world.publish(world.table(old, guards=SIGNED))
    gateway.look()
    answered = gateway.call(signed(world.clock.now(), "C" * 22))
    assert (answered.status, answered.header(b"x-holdfast-release")) == (200, short(old).encode())


def test_a_signature_is_for_one_request_only(world: Workspace) -> None:
    """Another body, path, time, nonce or key under the same signature, or none at all: refused, and on record."""
    gateway = _serving(world)
    now = world.clock.now()
    good = dict(signed(now))
    for change in (
        {NONCE.encode(): b"D" * 22},
        {NONCE.encode(): b"short"},
        {TIMESTAMP.encode(): str(int(now.timestamp()) + 1).encode()},
        {TIMESTAMP.encode(): b"yesterday"},
        {SIGNATURE.encode(): b"0" * 64},
        {SIGNATURE.encode(): b""},
        {SIGNATURE.encode(): b"\xff\xfe"},
    ):
        assert gateway.call(tuple({**good, **change}.items())).status == 403
    assert gateway.call(tuple(good.items()), body=ROW.replace(b"50", b"51")).status == 403
    assert gateway.call(signed(now, key="hf_" + "B" * 43)).status == 403
    assert gateway.call(signed(now, path="/predict/" + MODEL)).status == 403
    assert gateway.call().status == 403
    assert {event.kind for event in gateway.events()} >= {"refused.fresh-request.HF250"}
    assert gateway.call(tuple(good.items())).status == 200  # none of all that has spent the nonce


def _serving(world: Workspace, nonces: LocalNonces | None = None) -> Serving:
    world.publish(world.table(world.approved(1.0), guards=SIGNED))
    gateway = world.serving(OnnxRuntime(), nonces=nonces)
    gateway.look()
    return gateway


def test_what_an_earlier_process_has_seen_is_not_let_in_again(world: Workspace) -> None:
    """Its memory is gone: so whatever was signed before the new one began is refused."""
    headers = signed(world.clock.now())
    world.clock.advance(timedelta(seconds=5))
    assert _serving(world).call(headers).status == 403


def test_a_memory_that_is_full_refuses(world: Workspace) -> None:
    """More calls than can be remembered within the window: none is let in unremembered; later ones are again."""
    gateway = _serving(world, LocalNonces(since=world.clock.now().timestamp(), most=3))
    statuses = [gateway.call(signed(world.clock.now(), f"{n:022}")).status for n in range(5)]
    assert statuses == [200, 200, 200, 403, 403]
    world.clock.advance(timedelta(seconds=121))
    assert gateway.call(signed(world.clock.now(), f"{9:022}")).status == 200
