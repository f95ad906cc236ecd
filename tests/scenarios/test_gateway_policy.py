"""The gateway decides by the passport alone: tier, authorship, approvals and waivers count there as at the gate."""

from datetime import timedelta

import msgspec
import pytest

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.artifact import Artifact, Digest, Kind, digest_bytes
from holdfast.core.authorship import AUTHORS, AUTHORSHIP
from holdfast.core.errors import PolicyDenied
from holdfast.core.evidence import Evidence, MadeWith, Outcome, exactly
from holdfast.core.ledger import Draft
from holdfast.core.passport import AUTHORIZED, FILED
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, Authorization
from holdfast.core.trust import Grant
from holdfast.testing.world import POLICY, Serving, World

APPROVED = b"""
[waivers]
role = "risk"
count = 1

[[rule]]
id = "second"
because = "somebody who did not write it has looked at it"
approved_by = { role = "owner", not_author = true }
"""


def world_under(policy: bytes) -> World:
    """A small world whose root keys accept this policy, and grant alice two roles."""
    world = World()
    world.policy = policy
    grants = tuple(Grant(person="alice", role=role, not_after=world.trust.expires) for role in ("owner", "risk"))
    world.trust = msgspec.structs.replace(world.trust, policies=(digest_bytes(policy),), grants=grants)
    return world


def model_of(world: World, release: Artifact) -> Artifact:
    """The model of a release."""
    parent = world.ledger.stream(release.digest)[0].body["parents"][0]
    return Artifact(kind=Kind.MODEL, digest=Digest(parent["digest"]), size=0)


def wrote(world: World, release: Artifact, *authors: str) -> None:
    """Put on record who wrote the code that made a release's model."""
    evidence = Evidence(
        control=AUTHORSHIP,
        subject=model_of(world, release).digest,
        kind=Kind.MODEL,
        outcome=Outcome.MEASURED,
        made_with=MadeWith(code=digest_bytes(b"code"), configuration=""),
        measures=(exactly("known", 1),),
        facts={AUTHORS: msgspec.json.encode(authors).decode()},
    )
    envelope = world.blobs.put(world.sealed(evidence, EVIDENCE, "train"))
    body = {"control": AUTHORSHIP, "run": envelope, "envelope": envelope}
    world.ledger.append([Draft(kind=FILED, actor="train", stream=evidence.subject, body=body)])


def says(world: World, release: Artifact, action: str = "approve", role: str = "owner", rule: str = "") -> None:
    """Alice's word on a release."""
    word = Authorization(
        person="alice",
        role=role,
        action=action,  # type: ignore[arg-type]
        subject=release.digest,
        rule=rule,
        until=world.clock.now() + timedelta(minutes=30),
        reason="it was looked at",
    )
    envelope = world.blobs.put(world.sealed(word, AUTHORIZATION, "person"))
    world.ledger.append([Draft(kind=AUTHORIZED, actor="alice", stream=release.digest, body={"envelope": envelope})])


def looked(world: World, release: Artifact) -> Serving:
    """A gateway that has looked at a table with this release."""
    world.publish(world.table(release))
    found = world.serving(OnnxRuntime())
    found.look()
    return found


def refusal(found: Serving) -> str:
    """Why nothing is served, in words; it must be the policy."""
    denied = found.complaints[-1]
    assert isinstance(denied, PolicyDenied), denied
    assert found.call().status == 503
    return "; ".join(denied.reasons)


@pytest.mark.guarantee("G35")
def test_a_table_under_rules_too_lax_for_the_projects_tier_is_refused() -> None:
    """The control plane signed it all the same; the tier is in the passport, sealed by the plan's key."""
    for covers, tier, served in ((1, 2, False), (2, 2, True)):
        world = world_under(POLICY.replace(b"version = 1", b"version = 1\ncovers = %d" % covers))
        release = world.release()
        project = Artifact(kind=Kind.PROJECT, digest=world.blobs.put(b"project"), size=7)
        world.record(project)
        world.record(release, project)
        world.file("plan.tier/1", project, {"tier": tier})
        found = looked(world, release)
        assert (found.call().status == 200) is served
        if not served:
            assert "control tier is 2" in refusal(found)


@pytest.mark.guarantee("G33")
def test_an_authors_approval_is_no_approval_on_the_gateway_either() -> None:
    """Nobody's name on record, the author's own word, somebody else's: only the last is served."""
    world = world_under(POLICY + APPROVED)
    release = world.release()
    says(world, release)
    assert "not on record" in refusal(looked(world, release))
    wrote(world, release, "Alice <alice@example.org>")
    assert "alice wrote the training code" in refusal(looked(world, release))
    other = world_under(POLICY + APPROVED)
    release = other.release()
    says(other, release)
    wrote(other, release, "Bob <bob@example.org>")
    assert looked(other, release).call().status == 200


@pytest.mark.guarantee("G34")
def test_a_waiver_serves_until_it_ends_and_not_a_moment_longer() -> None:
    """The lease of what answers ends with the waiver it rests on, whatever the table says."""
    waivable = POLICY.replace(b"at_least = 0.8", b"at_least = 0.8\nwaivable = true")
    for policy, served in ((waivable, True), (POLICY, False)):
        world = world_under(policy + APPROVED)
        release = world.release(accuracy=0.7)
        says(world, release)
        wrote(world, release, "bob")
        says(world, release, "waive", "risk", "quality")
        found = looked(world, release)
        assert (found.call().status == 200) is served
        if served:
            state = found.gateway.state
            assert state is not None
            assert {each.permit.waived for each in state.releases.values()} == {("quality",)}
            world.clock.advance(timedelta(minutes=30))
            assert found.call().status == 503
