"""Attackers who rewrite the published folder: the repository that carries it is refused whole, or obeyed whole."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import HoldfastError, NotFound, NotVerified, Refused
from holdfast.core.seal import TRUST
from holdfast.engines.repository import (
    REVOKED_NAME,
    ROUTES_NAME,
    TIMESTAMP_NAME,
    TRUST_NAME,
    Repository,
    Versions,
    first_root,
    read_repository,
    root_name,
)
from holdfast.testing.carried import MemoryPublished
from holdfast.testing.memory import MemorySigner
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import Serving, World


@pytest.fixture
def world() -> World:
    """A small signed world with one release published."""
    made = World()
    made.publish(made.table(made.release()))
    return made


def look(world: World, gateway: Serving | None = None) -> Serving:
    """A gateway that has looked; a new one unless one is given."""
    found = gateway or world.serving(OnnxRuntime())
    found.look()
    return found


def kept(world: World) -> dict[str, bytes]:
    """The files as they are published now."""
    return dict(world.published.present())


def newer(world: World) -> dict[str, bytes]:
    """The files after a newer table was published."""
    world.publish(world.table(world.release(tiny_model(bias=3.0))))
    return kept(world)


def refused(gateway: Serving, error: type[HoldfastError], words: str) -> None:
    """Asserts that the last look was in vain for this reason."""
    found = gateway.complaints[-1]
    assert isinstance(found, error), found
    assert words in str(found)


@pytest.mark.guarantee("G27")
def test_an_older_state_is_refused_also_after_a_restart(world: World) -> None:
    """Rollback: the attacker puts yesterday's folder back, every signature in it valid."""
    old = kept(world)
    gateway = look(world)
    newer(world)
    look(world, gateway)
    memory = gateway.memory.remembered
    again = world.serving(OnnxRuntime())
    again.memory.remembered = memory
    world.published.files = old
    look(world, again)
    refused(again, NotVerified, "timestamp 1 is replayed: 2 was seen before")
    assert again.call().status == 503


@pytest.mark.guarantee("G27")
@pytest.mark.parametrize("name", ["targets", "routing", "snapshot"])
def test_parts_of_two_states_are_no_state(world: World, name: str) -> None:
    """Mix and match: one file of the state before, under the name of the one that should be there."""
    old, new = kept(world), newer(world)
    world.published.files = new | {f"2.{name}.json": old[f"1.{name}.json"]}
    refused(look(world), NotVerified, "signed together with the others")


@pytest.mark.guarantee("G27")
def test_a_frozen_folder_ends_with_its_lease(world: World) -> None:
    """Freeze: nothing new is let through. The timestamp runs out, and no gateway starts on it or goes on with it."""
    end = world.clock.now() + timedelta(minutes=5)
    documents = dict(world.published.documents)
    world.published.files = world.carrier.sign(documents, 1, expires=end)
    gateway = look(world)
    assert gateway.call().status == 200
    assert gateway.gateway.state is not None
    assert gateway.gateway.state.lease == end
    world.clock.advance(timedelta(minutes=5))
    assert gateway.call().status == 503
    refused(look(world), Refused, "the lease is over")


def test_two_timestamps_of_one_number_are_two_stories(world: World) -> None:
    """The online key signs another end for the state that a gateway has seen."""
    documents = dict(world.published.documents)
    gateway = look(world)
    later = world.clock.now() + timedelta(days=100)
    world.published.files = world.carrier.sign(documents, 1, expires=later)
    refused(look(world, gateway), NotVerified, "a second timestamp says it is number 1")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (TIMESTAMP_NAME, "signed by 0 of those that must"),
        ("1.root.json", "signed by 0 of those that must"),
    ],
)
def test_a_strangers_signature_counts_for_nothing(world: World, name: str, words: str) -> None:
    """Whoever has no key of the role signs with a key of their own."""
    document = msgspec.json.decode(kept(world)[name])
    stranger = MemorySigner("registry", owner="mallory", start=world.start)
    document["signatures"] = [{"keyid": stranger.keyid, "sig": stranger.sign(b"x").hex()}]
    world.published.files = kept(world) | {name: msgspec.json.encode(document)}
    refused(look(world), NotVerified, words)


@pytest.mark.parametrize("name", [TIMESTAMP_NAME, "1.root.json"])
def test_a_changed_file_is_refused(world: World, name: str) -> None:
    """One number is changed, and the old signature kept."""
    document = msgspec.json.decode(kept(world)[name])
    document["signed"]["version"] += 1
    world.published.files = kept(world) | {name: msgspec.json.encode(document)}
    refused(look(world), NotVerified, "signed by 0 of those that must")


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 50_000, b'{"signed":{"_type":"root"},"signatures":[]}', b"null"]
)
@pytest.mark.parametrize("name", [TIMESTAMP_NAME, "1.root.json"])
def test_garbage_in_place_of_metadata_is_refused_in_words(world: World, name: str, garbage: bytes) -> None:
    """Whatever stands there, the gateway says what it found and goes on."""
    world.published.files = kept(world) | {name: garbage}
    gateway = look(world)
    assert isinstance(gateway.complaints[-1], HoldfastError)


def test_an_endless_file_is_not_read(world: World) -> None:
    """Every file has a limit of its own."""
    world.published.files = kept(world) | {TIMESTAMP_NAME: b" " * (1 << 15)}
    refused(look(world), HoldfastError, "too long")


@pytest.mark.parametrize("name", [TRUST_NAME, ROUTES_NAME, REVOKED_NAME])
def test_a_document_under_a_foreign_hash_is_refused(world: World, name: str) -> None:
    """What a role names is what its hash says, and nothing else."""
    files = kept(world)
    path = next(path for path in files if path.endswith(name))
    world.published.files = files | {path: files[path][:-1] + b" "}
    refused(look(world), NotVerified, "not the document that was signed")


def test_a_missing_file_is_missing(world: World) -> None:
    """A folder that lacks what its snapshot names is not half obeyed."""
    files = kept(world)
    del files["1.routing.json"]
    world.published.files = files
    refused(look(world), NotFound, "missing")


# ── the offline keys ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rotated_root_is_followed_and_remembered(world: World) -> None:
    """The root keys hand over to new ones: the old one signs the new root, and can sign nothing after it."""
    gateway = look(world)
    heir = MemorySigner("root", owner="erin", start=world.start)
    keys = tuple(key for key in world.trust.keys if key.role != "root")
    trust = msgspec.structs.replace(world.trust, version=2, keys=(*keys, heir.public))
    after = world.carrier.next_root(trust, [world.signers["root"], heir])
    world.carrier.roots.append(after)
    old, world.carrier.root = world.signers["root"], heir
    world.carrier.trust = msgspec.structs.replace(trust, expires=trust.expires + timedelta(days=300))
    world.signers["root"] = heir
    world.publish(world.table(world.release(tiny_model(bias=3.0))), trust=trust)
    look(world, gateway)
    assert not gateway.complaints, gateway.complaints[-1]
    assert gateway.call().status == 200
    world.carrier.root = old  # whoever holds the retired key goes on signing
    world.signers["root"] = old
    world.carrier.trust = msgspec.structs.replace(world.trust, expires=world.start + timedelta(days=300))
    world.publish(world.table(world.release(tiny_model(bias=4.0))))
    look(world, gateway)
    refused(gateway, NotVerified, "signed by 0 of those that must")


def test_a_root_that_its_predecessor_did_not_sign_is_refused(world: World) -> None:
    """Somebody puts a second root beside the first, signed by itself alone."""
    stranger = MemorySigner("root", owner="mallory", start=world.start)
    keys = tuple(key for key in world.trust.keys if key.role != "root")
    trust = msgspec.structs.replace(world.trust, keys=(*keys, stranger.public))
    forged = world.carrier.next_root(trust, [stranger])
    world.published.files = kept(world) | {root_name(2): forged}
    refused(look(world), NotVerified, "signed by 0 of those that must")


def test_another_pin_ends_what_the_old_one_led_to(world: World) -> None:
    """The root keys were stolen, and the operator installs new ones: the remembered root counts for nothing."""
    gateway = look(world)
    assert gateway.call().status == 200
    other = MemorySigner("root", owner="erin", start=world.start)
    pinned = msgspec.structs.replace(world.root, keys=(other.public,))
    again = world.serving(OnnxRuntime())
    again.memory.remembered = gateway.memory.remembered
    again.loader.pins = replace(again.loader.pins, root=pinned)
    look(world, again)
    refused(again, NotVerified, "signed by 0 of those that must")
    assert again.call().status == 503


def test_two_keys_of_one_person_are_one_voice(world: World) -> None:
    """A threshold of two counts persons: one person's second key does not make up for the person who is missing."""
    mine, second, other = (MemorySigner("root", owner=name, start=world.start) for name in ("alice", "second", "bob"))
    of_roots = (mine.public, msgspec.structs.replace(second.public, owner="alice"), other.public)
    keys = tuple(key for key in world.trust.keys if key.role != "root")
    pinned = msgspec.structs.replace(world.root, keys=of_roots, root_threshold=2)
    trust = msgspec.structs.replace(world.trust, keys=(*keys, *of_roots), root_threshold=2)

    def reads(root: bytes) -> None:
        files = {root_name(1): root}

        def fetch(name: str, _: int) -> bytes:
            if name not in files:
                raise NotFound(name)
            return files[name]

        read_repository(Repository(fetch=fetch, pinned=pinned), Versions(), world.clock.now())

    for signers in ([mine], [mine, second]):
        with pytest.raises(NotVerified, match="signed by 1 of those that must"):
            reads(first_root(trust, signers))
    with pytest.raises(NotFound, match=TIMESTAMP_NAME):  # with both, the root is believed, and the rest is asked for
        reads(first_root(trust, [mine, other]))


@pytest.mark.guarantee("G28")
def test_what_the_offline_keys_revoked_no_online_key_can_leave_out(world: World) -> None:
    """The registry's key signs a table without the revocation, the ledger's a history without it: nothing answers."""
    release = world.release()
    table = world.table(release)
    assert table.revoked == ()
    world.carrier.revoked = (release.digest,)
    world.publish(table)
    refused(look(world), NotVerified, "is revoked")


@pytest.mark.guarantee("G28")
def test_what_a_gateway_has_seen_revoked_stays_revoked(world: World) -> None:
    """A later table leaves the revocation out: the gateway has not forgotten it, nor has the next process."""
    bad, good = world.release(), world.release(tiny_model(bias=3.0))
    world.publish(world.table(good, revoked=(bad.digest,)))
    gateway = look(world)
    assert gateway.call().status == 200
    world.publish(world.table(bad))
    look(world, gateway)
    refused(gateway, NotVerified, "is revoked")
    again = world.serving(OnnxRuntime())
    again.memory.remembered = gateway.memory.remembered
    look(world, again)
    refused(again, NotVerified, "is revoked")


def test_memories_of_several_workers_are_joined(world: World) -> None:
    """None of them forgets what another has seen: revocations and consents add up, versions are the highest."""
    first = look(world).memory.remembered
    early, late = world.start, world.start + timedelta(hours=1)
    one = msgspec.structs.replace(first, revoked=("sha256:a",), consents={"m": late})
    two = msgspec.structs.replace(first, epoch=9, revoked=("sha256:b",), consents={"m": early, "n": early})
    for joined in (one.joined(two), two.joined(one)):
        assert joined.epoch == 9
        assert joined.revoked == ("sha256:a", "sha256:b")
        assert joined.consents == {"m": late, "n": early}


def test_the_same_values_give_the_same_files(world: World) -> None:
    """Nothing in the metadata depends on when or how often it was made."""
    documents = dict(world.published.documents)
    assert world.carrier.sign(documents, 7) == world.carrier.sign(documents, 7)


def test_files_are_named_after_their_content(world: World) -> None:
    """Consistent snapshots: an old and a new document never stand in each other's way."""
    for path, data in kept(world).items():
        if path.startswith("targets/"):
            assert path.removeprefix("targets/").startswith(hashlib.sha256(data).hexdigest())


def test_a_trust_document_that_only_the_repository_vouches_for_is_refused(world: World) -> None:
    """The seal inside decides: the repository may carry it, but the root keys must have sealed it."""
    world.published.documents[TRUST_NAME] = world.sealed(world.trust, TRUST, "policy")
    refused(look(world), NotVerified, "no trusted key has signed this")


def test_a_published_state_can_be_fetched_again_by_its_blobs(world: World) -> None:
    """A copy of the folder is as good as the folder: nothing depends on where it lies."""
    copy = MemoryPublished(blobs=dict(world.published.blobs), files=kept(world))
    gateway = world.serving(OnnxRuntime())
    gateway.loader.published = replace(copy)
    gateway.look()
    assert gateway.call().status == 200
    assert digest_bytes(kept(world)[TIMESTAMP_NAME]) == gateway.memory.remembered.versions.newest
