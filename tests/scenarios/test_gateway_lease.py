"""A gateway cut off from its control plane: it goes on for as long as it was told it may, says so, and then stops."""

from datetime import timedelta

import msgspec
import pytest

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import NotFound, Refused
from holdfast.core.seal import TRUST
from holdfast.engines.repository import ROUTES_NAME, TRUST_NAME
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import MODEL, Serving, World

LEASE = timedelta(minutes=15)


@pytest.fixture
def world() -> World:
    """A small signed world."""
    return World()


def ready(gateway: Serving) -> int:
    """The status of the readiness probe."""
    return gateway.call((), path="/v2/health/ready", method="GET").status


@pytest.mark.guarantee("G09")
def test_a_gateway_whose_control_plane_is_gone_answers_until_its_lease_ends(world: World) -> None:
    """The published folder is deleted: the last valid state goes on, marked stale, and ends with the lease."""
    gateway = world.serve(OnnxRuntime())
    assert gateway.call().header(b"x-holdfast-stale") is None
    world.published.documents.clear()
    world.published.blobs.clear()
    gateway.look()
    assert isinstance(gateway.complaints[-1], NotFound)
    world.clock.advance(LEASE - timedelta(seconds=1))
    gateway.look()
    assert (gateway.call().status, gateway.call().header(b"x-holdfast-stale")) == (200, b"true")
    assert ready(gateway) == 200
    world.clock.advance(timedelta(seconds=1))
    response = gateway.call()
    assert (response.status, response.header(b"x-holdfast-code")) == (503, b"HF761")
    assert ready(gateway) == 503


def test_the_end_of_a_lease_needs_no_watcher(world: World) -> None:
    """Even if nothing ever looks again, the first request after the lease is refused."""
    gateway = world.serve(OnnxRuntime())
    world.clock.advance(LEASE)
    assert gateway.call().status == 503


def test_a_clock_set_back_does_not_bring_an_ended_lease_back(world: World) -> None:
    """What has ended stays ended until a new table comes."""
    gateway = world.serve(OnnxRuntime())
    start = world.clock.now()
    world.clock.advance(LEASE)
    assert gateway.call().status == 503
    world.clock.set(start)
    assert gateway.call().status == 503


def test_an_expired_table_is_not_loaded(world: World) -> None:
    """A gateway that starts with a table whose lease is over serves nothing."""
    world.publish(world.table(world.release()))
    world.clock.advance(LEASE)
    gateway = world.serving(OnnxRuntime())
    gateway.look()
    assert isinstance(gateway.complaints[-1], Refused)
    assert (gateway.call().status, gateway.call().header(b"x-holdfast-code")) == (503, b"HF760")


def test_a_table_from_the_future_is_not_loaded(world: World) -> None:
    """A gateway whose clock runs behind says so, rather than serve for longer than was meant."""
    world.clock.advance(timedelta(hours=2))
    world.publish(world.table(world.release()))
    world.clock.advance(timedelta(hours=-1))
    gateway = world.serving(OnnxRuntime())
    gateway.look()
    assert "from the future" in str(gateway.complaints[-1])


def test_the_lease_ends_with_the_permit_beneath_it(world: World) -> None:
    """A table may ask for a year: it serves no longer than the evidence under it is fresh enough to permit."""
    far = world.clock.now() + timedelta(days=365)
    gateway = world.serve(OnnxRuntime(), expires=far)
    state = gateway.gateway.state
    assert state is not None
    assert state.lease == world.clock.now() + timedelta(hours=12)  # permit_lasts of the world's policy


def test_the_lease_ends_with_the_keys_and_the_trust_beneath_it(world: World) -> None:
    """No lease outlives the document or a key that it rests on."""
    soon = world.clock.now() + timedelta(minutes=3)
    table = world.table(world.release())
    world.publish(table, trust=msgspec.structs.replace(world.trust, expires=soon))
    gateway = world.serving(OnnxRuntime())
    gateway.look()
    assert gateway.gateway.state is not None
    assert gateway.gateway.state.lease == soon
    ending = tuple(
        msgspec.structs.replace(key, not_after=soon) if key.role == "registry" else key for key in world.trust.keys
    )
    world.publish(table, trust=msgspec.structs.replace(world.trust, keys=ending))
    other = world.serving(OnnxRuntime())
    other.look()
    assert other.gateway.state is not None
    assert other.gateway.state.lease == soon


def test_evidence_that_is_not_fresh_any_more_ends_the_lease_and_the_next_renewal(world: World) -> None:
    """The policy wants a measurement of the last day: the lease ends when it is a day old, and no renewal helps."""
    world.policy = world.policy.replace(b"at_least = 0.8\n", b'at_least = 0.8\nfresh_within = "1d"\n')
    world.trust = msgspec.structs.replace(world.trust, policies=(digest_bytes(world.policy),))
    release = world.release()
    world.clock.advance(timedelta(hours=23, minutes=50))
    world.publish(world.table(release))
    gateway = world.serving(OnnxRuntime())
    gateway.look()
    assert gateway.gateway.state is not None
    assert gateway.gateway.state.lease == world.start + timedelta(days=1)
    world.clock.advance(timedelta(minutes=10))
    world.publish(world.table(release))
    gateway.look()
    assert any("older than 1d" in reason for reason in getattr(gateway.complaints[-1], "reasons", ()))
    assert gateway.call().status == 503


def test_a_renewed_lease_is_taken_up_and_nothing_is_stale(world: World) -> None:
    """Each renewal moves the end; a failed one in between leaves no mark behind."""
    gateway = world.serve(OnnxRuntime())
    release = world.release(tiny_model(bias=-1.0))
    honest = dict(world.published.documents)
    world.published.documents[ROUTES_NAME] = b"garbage"
    gateway.look()
    assert gateway.gateway.stale
    world.published.documents = honest
    world.clock.advance(timedelta(minutes=10))
    world.publish(world.table(release))
    gateway.look()
    assert not gateway.gateway.stale
    world.clock.advance(timedelta(minutes=14))
    assert (gateway.call().status, gateway.call().header(b"x-holdfast-stale")) == (200, None)


def test_a_table_that_serves_nothing_is_the_declared_safe_state(world: World) -> None:
    """A rollback with nowhere to go: the gateway obeys, answers nobody, and is not ready."""
    gateway = world.serve(OnnxRuntime())
    world.publish(world.table(None))
    gateway.look()
    assert gateway.gateway.state is not None
    assert gateway.call().status == 404
    assert ready(gateway) == 503


def test_a_state_swapped_in_while_calls_go_on_fails_none_of_them(world: World) -> None:
    """Fifty swaps between two releases, calls in between: every one is answered by one of the two."""
    first, second = world.release(), world.release(tiny_model(bias=5.0))
    gateway = world.serve(OnnxRuntime())
    seen = set()
    for turn in range(50):
        world.publish(world.table((first, second)[turn % 2]))
        gateway.look()
        response = gateway.call()
        assert response.status == 200
        seen.add(response.header(b"x-holdfast-release"))
    assert len(seen) == 2


def test_a_refused_state_is_tried_again_and_recorded_each_time_but_not_at_every_look(world: World) -> None:
    """The folder is polled four times a second; a table that was refused is looked at again after some seconds."""
    gateway = world.serve(OnnxRuntime())
    world.published.documents[TRUST_NAME] = world.sealed(world.trust, TRUST, "ledger")
    gateway.events()
    for _ in range(8):
        gateway.ticks.seconds += 0.25
        gateway.watcher.look()
    assert [event.kind for event in gateway.events()] == ["state.refused.HF500", "signature.refused"]
    gateway.ticks.seconds += 5.0
    gateway.watcher.look()
    world.clock.advance(timedelta(seconds=3))
    assert sum(event.count for event in gateway.events()) == 2
    assert gateway.call().status == 200


def test_events_tell_of_loads_and_of_the_end_of_a_lease(world: World) -> None:
    """The record says which releases began to answer, and when the gateway stopped."""
    gateway = world.serve(OnnxRuntime())
    world.clock.advance(LEASE)
    gateway.look()
    kinds = [event.kind for event in gateway.events()]
    assert [kind for kind in kinds if kind.startswith("state.")][:2] == ["state.loaded", "state.lease-over"]
    assert MODEL
