"""What an attacker can put into the published folder, and that none of it is ever served."""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from holdfast.adapters.runtime import OnnxModel, OnnxRuntime
from holdfast.core.artifact import Artifact, Digest, Kind, digest_bytes, parse_manifest
from holdfast.core.errors import HoldfastError, NotFound, NotVerified, PolicyDenied, Refused
from holdfast.core.evidence import Finding, Severity
from holdfast.core.passport import ProvenEntry, parse_passport
from holdfast.core.routes import GuardSpec
from holdfast.core.seal import ROUTES, TRUST, open_envelope
from holdfast.engines.repository import POLICY_NAME, ROUTES_NAME, TRUST_NAME
from holdfast.serve.loading import Remembered
from holdfast.testing.carried import MemoryMemory, MemoryPublished
from holdfast.testing.memory import MemorySigner
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import GUARDS, MODEL, Serving, World, with_key


@pytest.fixture
def world() -> World:
    """A small signed world."""
    return World()


def serving(world: World) -> Serving:
    """A gateway that has looked at what is published."""
    found = world.serving(OnnxRuntime())
    found.look()
    return found


def answer(serving: Serving) -> tuple[int, str]:
    """Returns the status of a good call, and the release that answered."""
    response = serving.call()
    return response.status, (response.header(b"x-holdfast-release") or b"").decode()


def short(release: Artifact) -> str:
    """The part of a release's digest that callers see."""
    return release.digest.removeprefix("sha256:")[:12]


def blob_of(world: World, release: Artifact, name: str) -> Digest:
    """The digest of one file of a release."""
    return Digest(parse_manifest(world.blobs.get(release.digest)).file(name).digest)


def refused(serving: Serving, error: type[HoldfastError], words: str) -> None:
    """Asserts that the last load failed for this reason, is on record as a security event, and that nothing answers."""
    found = serving.complaints[-1]
    assert isinstance(found, error), found
    assert words in str(found) + "; ".join(getattr(found, "reasons", ()))
    assert any(event.kind == f"state.refused.{found.code}" for event in serving.events())


def test_a_permitted_release_is_served(world: World) -> None:
    """The world is whole: what the following tests spoil is what makes the difference."""
    release = world.release()
    world.publish(world.table(release))
    assert answer(serving(world)) == (200, short(release))


@pytest.mark.requirement("SUP-13", by="holdfast.serve.loading:_verified")
@pytest.mark.parametrize("name", ["model.onnx", "signature.json", "profile.json"])
@pytest.mark.guarantee("G01")
def test_a_changed_file_of_a_release_is_not_served(world: World, name: str) -> None:
    """One bit of a file is flipped in the store: the gateway refuses the release before it opens a byte of it."""
    release = world.release()
    world.publish(world.table(release))
    digest = blob_of(world, release, name)
    spoiled = bytearray(world.published.blobs[digest])
    spoiled[len(spoiled) // 2] ^= 1
    world.published.blobs[digest] = bytes(spoiled)
    gateway = serving(world)
    refused(gateway, NotVerified, "changed after it was signed")
    assert answer(gateway)[0] == 503


def test_a_changed_release_manifest_is_not_served(world: World) -> None:
    """The list of files names another model: its digest is no longer the release's."""
    release, other = world.release(), world.release(tiny_model(bias=5.0))
    world.publish(world.table(release))
    world.published.blobs[release.digest] = world.published.blobs[other.digest]
    refused(serving(world), NotVerified, "changed after it was signed")


def test_a_changed_passport_is_not_served(world: World) -> None:
    """A passport is a blob like any other."""
    release = world.release()
    table = world.publish(world.table(release))
    world.published.blobs[table.models[0].passport] += b" "
    refused(serving(world), NotVerified, "changed after it was signed")


def test_a_release_with_another_model_than_the_one_measured_is_not_served(world: World) -> None:
    """Everything is signed and measured, but the package holds a model that nobody measured beside good evidence."""
    release = world.release(packaged=tiny_model(bias=9.0))
    world.publish(world.table(release))
    refused(serving(world), NotVerified, "another model than the one its evidence is about")


def test_bytes_are_read_once_and_those_very_bytes_are_loaded(world: World) -> None:
    """A store that hands out good bytes first and bad ones later cannot get the bad ones loaded."""
    release = world.release()
    world.publish(world.table(release))
    digest = blob_of(world, release, "model.onnx")
    reads: list[str] = []
    loaded: list[str] = []
    found = world.serving(OnnxRuntime())

    class Swapping(MemoryPublished):
        def blob(self, wanted: Digest, limit: int) -> bytes:
            reads.append(wanted)
            return tiny_model(bias=9.0) if reads.count(wanted) > 1 else super().blob(wanted, limit)

    class Watching(OnnxRuntime):
        def load(self, model: bytes, *, features: int, classes: int) -> OnnxModel:
            loaded.append(digest_bytes(model))
            return super().load(model, features=features, classes=classes)

    honest = world.published
    found.loader.published, found.loader.runtime = Swapping(honest.documents, honest.blobs, honest.carry), Watching()
    found.look()
    assert (reads.count(digest), loaded) == (1, [digest])
    assert answer(found)[0] == 200


def test_a_release_signed_by_a_foreign_key_is_refused(world: World) -> None:
    """A stranger with a key of their own signs a route table to their own release."""
    table = world.table(world.release())
    world.publish(table)
    stranger = MemorySigner("registry", owner="mallory", start=world.start)
    world.signers["registry"] = stranger
    world.published.documents[ROUTES_NAME] = world.sealed(table, ROUTES, "registry")
    refused(serving(world), NotVerified, "no trusted key has signed this")


def test_a_route_table_without_signature_is_refused(world: World) -> None:
    """The attacker edits the table and keeps the old seal, or takes the seal away."""
    release, other = world.release(), world.release(tiny_model(bias=5.0))
    world.publish(world.table(release))
    envelope = msgspec.json.decode(world.published.documents[ROUTES_NAME])
    payload = base64.b64decode(envelope["payload"]).replace(release.digest.encode(), other.digest.encode())
    envelope["payload"] = base64.b64encode(payload).decode()
    world.published.documents[ROUTES_NAME] = msgspec.json.encode(envelope)
    refused(serving(world), NotVerified, "no trusted key has signed this")
    envelope["signatures"] = []
    world.published.documents[ROUTES_NAME] = msgspec.json.encode(envelope)
    refused(serving(world), NotVerified, "0 signatures")


@pytest.mark.parametrize("role", ["release", "gateway", "person", "ledger", "policy"])
@pytest.mark.guarantee("G03")
def test_a_route_table_signed_in_another_role_is_refused(world: World, role: str) -> None:
    """A stolen key of another role routes nothing: the role follows from what is said."""
    world.publish(world.table(world.release()), signer=role)
    refused(serving(world), NotVerified, f"signed as {role}")


def test_a_trust_document_that_the_root_has_not_signed_is_refused(world: World) -> None:
    """Whoever holds every online key still cannot say whom to trust."""
    world.publish(world.table(world.release()))
    for role in world.signers.keys() - {"root"}:
        world.published.documents[TRUST_NAME] = world.sealed(world.trust, TRUST, role)
        refused(serving(world), NotVerified, "no trusted key has signed this")


def test_a_trust_document_of_another_workspace_is_refused(world: World) -> None:
    """The same root may keep two workspaces; what is said in one is not said in the other."""
    world.publish(world.table(world.release()), trust=msgspec.structs.replace(world.trust, workspace="other"))
    refused(serving(world), NotVerified, "another workspace")


def test_an_expired_trust_document_is_refused(world: World) -> None:
    """Trust that the root keys do not renew ends."""
    table = world.table(world.release())
    world.publish(table, trust=msgspec.structs.replace(world.trust, expires=world.start))
    refused(serving(world), Refused, "the trust document has expired")


def test_a_route_table_of_another_workspace_or_environment_is_refused(world: World) -> None:
    """A table for the test environment is as well signed, and not for here."""
    for table in (world.table(None, environment="test"), world.table(None, workspace="other")):
        world.publish(table)
        refused(serving(world), NotVerified, "another workspace or environment")


def test_another_policy_than_the_tables_or_the_roots_is_refused(world: World) -> None:
    """A weaker policy in the folder, or one that the table names and the root keys never accepted, decides nothing."""
    release = world.release(accuracy=0.1)
    weak = world.policy.replace(b"at_least = 0.8", b"at_least = 0.0")
    world.publish(world.table(release))
    world.published.documents[POLICY_NAME] = weak
    refused(serving(world), NotVerified, "the policy is not the one")
    world.publish(world.table(release, policy=digest_bytes(weak)))
    world.published.documents[POLICY_NAME] = weak
    refused(serving(world), NotVerified, "the policy is not the one")


@pytest.mark.requirement("SUP-13", by="holdfast.serve.loading:_permit")
def test_a_release_that_the_policy_denies_is_not_served_although_it_is_routed(world: World) -> None:
    """The control plane signs a table for a bad release: the gateway decides for itself, and says no in words."""
    world.publish(world.table(world.release(accuracy=0.5)))
    gateway = serving(world)
    refused(gateway, PolicyDenied, "accuracy is 0.5 with lower bound 0.5")
    assert answer(gateway)[0] == 503


@pytest.mark.guarantee("G15")
def test_a_release_whose_scan_found_something_is_not_served(world: World) -> None:
    """A finding of high severity denies, whatever was measured."""
    bad = Finding(place="model.onnx", severity=Severity.HIGH, rule="custom-op", message="an operator nobody knows")
    world.publish(world.table(world.release(findings=[bad])))
    refused(serving(world), PolicyDenied, "an operator nobody knows")


@pytest.mark.guarantee("G07")
def test_a_passport_that_leaves_bad_evidence_out_is_refused(world: World) -> None:
    """Someone with the registry's key leaves the failing measurement out of the passport: the stream shows the gap."""
    release = world.release()
    model = next(entry.stream for entry in world.ledger.entries() if entry.kind == "evidence.filed")
    world.file("assess.quality/1", Artifact(kind=Kind.MODEL, digest=Digest(model), size=0), {"accuracy": 0.3})
    world.file("assess.quality/1", Artifact(kind=Kind.MODEL, digest=Digest(model), size=0), {"accuracy": 0.99})
    table = world.table(release)
    passport = parse_passport(world.blobs.get(Digest(table.models[0].passport)))

    def bad(entry: ProvenEntry) -> bool:
        body = msgspec.json.decode(base64.b64decode(entry.document))
        return body["stream"] == model and body["stream_position"] == 3

    kept = tuple(entry for entry in passport.entries if not bad(entry))
    assert len(kept) == len(passport.entries) - 1
    forged = msgspec.structs.replace(passport, entries=kept)
    route = msgspec.structs.replace(table.models[0], passport=world.blobs.put(msgspec.json.encode(forged)))
    world.publish(msgspec.structs.replace(table, models=(route,)))
    refused(serving(world), NotVerified, "has a gap")


def test_the_whole_passport_with_that_evidence_is_denied(world: World) -> None:
    """The worst measurement counts, also if a better one came later."""
    release = world.release()
    model = next(entry.stream for entry in world.ledger.entries() if entry.kind == "evidence.filed")
    world.file("assess.quality/1", Artifact(kind=Kind.MODEL, digest=Digest(model), size=0), {"accuracy": 0.3})
    world.file("assess.quality/1", Artifact(kind=Kind.MODEL, digest=Digest(model), size=0), {"accuracy": 0.99})
    world.publish(world.table(release))
    refused(serving(world), PolicyDenied, "accuracy is 0.3")


def test_a_passport_about_another_release_is_refused(world: World) -> None:
    """A bad release borrows the passport of a good one."""
    good, bad = world.release(), world.release(tiny_model(bias=5.0), accuracy=0.1)
    table = world.table(bad)
    route = msgspec.structs.replace(table.models[0], passport=world.passport(good))
    world.publish(msgspec.structs.replace(table, models=(route,)))
    refused(serving(world), NotVerified, "about something else")


def test_a_passport_of_another_ledger_is_refused(world: World) -> None:
    """Evidence from another workspace's history is no evidence here."""
    world.publish(world.table(world.release()))
    found = world.serving(OnnxRuntime())
    found.loader.pins = type(found.loader.pins)(root=world.root, origin="elsewhere", environment="production")
    found.look()
    refused(found, NotVerified, "elsewhere")


@pytest.mark.parametrize("what", ["release", "model", "dataset"])
def test_a_revocation_in_the_ledger_reaches_all_that_derives_from_it(world: World, what: str) -> None:
    """The data set was poisoned: every release made of it is out, without anybody listing them."""
    release = world.release()
    node: Artifact = release
    while node.kind.value != what:
        entry = world.ledger.stream(node.digest)[0]
        parent = entry.body["parents"][0]
        node = Artifact(kind=Kind(parent["kind"]), digest=Digest(parent["digest"]), size=0)
    world.revoke(node)
    world.publish(world.table(release))
    refused(serving(world), PolicyDenied, "is revoked: it was poisoned")


def test_a_revocation_in_the_route_table_is_enough(world: World) -> None:
    """The table revokes a digest that the passport does not know to be revoked yet."""
    release = world.release()
    dataset = next(entry.stream for entry in world.ledger.entries() if entry.body.get("kind") == "dataset")
    for digest in (release.digest, dataset):
        world.publish(world.table(release, revoked=(digest,)))
        refused(serving(world), NotVerified, "is revoked")


def test_a_revoked_release_stops_answering_even_if_its_replacement_cannot_be_loaded(world: World) -> None:
    """The newer table takes one release away and routes to a broken one: the old one is not kept alive by that."""
    old, new = world.release(), world.release(tiny_model(bias=5.0), accuracy=0.1)
    world.publish(world.table(old))
    gateway = serving(world)
    assert answer(gateway) == (200, short(old))
    world.publish(world.table(new, revoked=(old.digest,)))
    gateway.look()
    refused(gateway, PolicyDenied, "accuracy")
    assert answer(gateway)[0] == 503


def test_a_key_taken_away_is_refused_even_if_the_rest_of_the_table_cannot_be_loaded(world: World) -> None:
    """A newer table without the credential is believed in that, whatever else is wrong with it."""
    world.publish(world.table(world.release()))
    gateway = serving(world)
    world.publish(world.table(world.release(tiny_model(bias=5.0), accuracy=0.1), credentials=()))
    gateway.look()
    assert answer(gateway)[0] == 401


@pytest.mark.requirement("GATE-01", by="holdfast.serve.guards:readmitted")
@pytest.mark.parametrize(
    "guard",
    [
        GuardSpec(name="of-tomorrow"),
        GuardSpec(name="query-sequence"),
        GuardSpec(name="noised-output", configuration={"epsilon": 1e306, "budget": 1e307}),
    ],
    ids=["unknown", "no space", "raises"],
)
def test_a_key_taken_away_is_refused_even_if_a_newer_guard_cannot_be_built_here(world: World, guard: GuardSpec) -> None:
    """A gateway of an older version, or one whose release lacks what a detector needs, goes on with its own guards."""
    world.publish(world.table(world.release()))
    gateway = serving(world)
    world.publish(world.table(world.release(tiny_model(bias=5.0)), guards=(*GUARDS, guard), credentials=()))
    gateway.look()
    assert gateway.complaints
    assert answer(gateway)[0] == 401


@pytest.mark.guarantee("G08")
def test_a_replayed_older_table_is_refused(world: World) -> None:
    """An attacker puts back yesterday's table, still inside its lease: the epoch that was served never falls."""
    old, new = world.release(), world.release(tiny_model(bias=5.0))
    before = world.table(old)
    world.publish(world.table(new))
    gateway = serving(world)
    world.publish(before)
    gateway.look()
    refused(gateway, NotVerified, "is replayed")
    assert answer(gateway) == (200, short(new))


@pytest.mark.guarantee("G08")
def test_a_replayed_older_table_is_refused_after_a_restart(world: World) -> None:
    """What was served is remembered on disk: restarting the gateway does not make it forget."""
    old, new = world.release(), world.release(tiny_model(bias=5.0))
    before = world.table(old)
    world.publish(world.table(new))
    remembered = serving(world).memory
    world.publish(before)
    restarted = world.serving(OnnxRuntime())
    restarted.loader.memory = remembered
    restarted.look()
    refused(restarted, NotVerified, "is replayed")
    assert answer(restarted)[0] == 503


def test_the_epoch_is_remembered_even_if_its_releases_could_not_be_loaded(world: World) -> None:
    """A newer table that fails must not open the door for the one before it after a restart."""
    before = world.table(world.release())
    world.publish(world.table(world.release(tiny_model(bias=5.0), accuracy=0.1)))
    remembered = serving(world).memory
    world.publish(before)
    restarted = world.serving(OnnxRuntime())
    restarted.loader.memory = remembered
    restarted.look()
    refused(restarted, NotVerified, "is replayed")


def test_a_second_table_of_the_same_epoch_is_refused(world: World) -> None:
    """Two tables of one epoch are two stories; only a longer lease for the same story is a renewal."""
    old, new = world.release(), world.release(tiny_model(bias=5.0))
    first = world.publish(world.table(old))
    gateway = serving(world)
    world.publish(msgspec.structs.replace(world.table(new), epoch=first.epoch))
    gateway.look()
    refused(gateway, NotVerified, "a second route table")
    assert answer(gateway) == (200, short(old))


def test_an_older_lease_of_the_same_epoch_is_refused(world: World) -> None:
    """A renewed lease cannot be shortened again by putting the first one back."""
    first = world.publish(world.table(world.release()))
    later = timedelta(minutes=5)
    gateway = serving(world)
    world.clock.advance(later)
    world.publish(msgspec.structs.replace(first, issued=first.issued + later, expires=first.expires + later))
    gateway.look()
    assert gateway.gateway.state is not None
    assert gateway.gateway.state.lease == first.expires + later
    world.publish(first)
    gateway.look()
    refused(gateway, NotVerified, "an older lease is replayed")


def test_an_older_trust_document_is_refused(world: World) -> None:
    """The trust document from before a key was revoked is put back with its own old signature."""
    table = world.table(world.release())
    world.publish(table, trust=msgspec.structs.replace(world.trust, version=2))
    gateway = serving(world)
    world.publish(table)
    gateway.look()
    refused(gateway, NotVerified, "older than one seen before")


def test_a_memory_that_cannot_be_read_serves_nothing(world: World) -> None:
    """A gateway that cannot tell what it has seen could be told anything: it does not start anew."""
    world.publish(world.table(world.release()))
    gateway = world.serving(OnnxRuntime())

    class Damaged(MemoryMemory):
        def recall(self) -> Remembered:
            raise NotVerified("the gateway's memory cannot be read")

    gateway.loader.memory = Damaged()
    gateway.look()
    refused(gateway, NotVerified, "memory cannot be read")
    assert answer(gateway)[0] == 503


def test_evidence_signed_by_a_revoked_key_is_refused(world: World) -> None:
    """The assessor's key was stolen and revoked: nothing it ever signed counts any more."""
    release = world.release()
    trust = msgspec.structs.replace(world.trust, version=2, revoked=(world.signers["assess"].keyid,))
    world.publish(world.table(release), trust=trust)
    refused(serving(world), NotVerified, "no trusted key has signed this")


NOISED = GuardSpec(name="noised-output", configuration={"epsilon": 1.0, "budget": 1e6})
GROUPED = GuardSpec(name="grouped-output", configuration={"smallest": 2})
BOUNDED = GuardSpec(
    name="within-bounds", configuration={"values": {"benign": 0.0, "malignant": 1.0}, "lowest": 0.0, "highest": 1.0}
)


@pytest.mark.parametrize(
    ("guards", "words"),
    [
        ((*GUARDS, GuardSpec(name="within-budget")), "no guard is called 'within-budget'"),
        (GUARDS[1:2], "the guard valid-input is missing"),
        (GUARDS[2:], "the guard authenticated is missing"),
        ((), "the guard authenticated is missing"),
        ((*GUARDS, GUARDS[0]), "a guard is listed twice"),
        ((GUARDS[2], GUARDS[1], *GUARDS[3:]), "stands before authenticated"),
        ((GuardSpec(name="authenticated", configuration={"optional": True}), *GUARDS[2:]), "cannot be set so"),
        ((*GUARDS[:4], GuardSpec(name="coarse-output", configuration={"decimals": "two"})), "cannot be set so"),
        ((*GUARDS[:4], GuardSpec(name="coarse-output", configuration={"decimals": 99})), "99 decimals"),
        ((*GUARDS[:2], GuardSpec(name="within-rate", configuration={"rate_per_s": 0}), *GUARDS[3:]), "nobody call"),
        ((GuardSpec(name="within-size", configuration={"max_bytes": 0}), *GUARDS[1:]), "means nothing"),
        ((*GUARDS[:3], GuardSpec(name="valid-input", configuration={"max_rows": 0})), "means nothing"),
        ((*GUARDS, NOISED, BOUNDED), "within-bounds stands beside noised-output"),
        ((*GUARDS, GROUPED, BOUNDED), "within-bounds stands beside grouped-output"),
    ],
)
def test_a_table_with_guards_that_cannot_be_had_is_refused_whole(
    world: World, guards: tuple[GuardSpec, ...], words: str
) -> None:
    """A guard that this gateway does not know is a control that somebody counts on."""
    world.publish(world.table(world.release(), guards=guards))
    gateway = serving(world)
    refused(gateway, HoldfastError, words)
    assert answer(gateway)[0] == 503


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda world: world.published.documents.pop(TRUST_NAME), NotFound),
        (lambda world: world.published.documents.pop(ROUTES_NAME), NotFound),
        (lambda world: world.published.documents.pop(POLICY_NAME), NotFound),
        (lambda world: world.published.blobs.clear(), NotFound),
        (lambda world: world.published.documents.update({ROUTES_NAME: b"{"}), NotVerified),
        (lambda world: world.published.documents.update({ROUTES_NAME: b"\xff" * 100}), NotVerified),
        (lambda world: world.published.documents.update({ROUTES_NAME: b"[" * 100_000}), HoldfastError),
        (lambda world: world.published.documents.update({TRUST_NAME: b"{}"}), NotVerified),
    ],
)
def test_a_folder_with_something_missing_or_garbled_serves_nothing_and_raises_nothing_else(
    world: World, spoil: Callable[[World], object], error: type[HoldfastError]
) -> None:
    """Whatever is in the folder, the gateway says why it is not served, and lives."""
    world.publish(world.table(world.release()))
    spoil(world)
    gateway = serving(world)
    assert isinstance(gateway.complaints[-1], (error, RecursionError))
    assert answer(gateway)[0] == 503


def test_every_flipped_byte_of_a_signed_document_is_noticed(world: World) -> None:
    """500 single changes of table and trust document, spread over their bytes: not one leads to a served state."""
    world.publish(world.table(world.release()))
    honest = dict(world.published.documents)
    for name in (ROUTES_NAME, TRUST_NAME):
        document = honest[name]
        for step in range(250):
            position = step * (len(document) - 1) // 249
            spoiled = bytearray(document)
            spoiled[position] ^= 1 << (step % 7)
            world.published.documents = honest | {name: bytes(spoiled)}
            gateway = serving(world)
            if gateway.gateway.state is not None:  # a change outside what is signed, that changes nothing of it
                assert same_meaning(document, bytes(spoiled)), position


def same_meaning(first: bytes, second: bytes) -> bool:
    """Whether two envelopes hold the same payload: spelling of base64's last character is not signed."""
    return open_envelope(first)[0] == open_envelope(second)[0]


def test_candidate_traffic_is_a_stable_share_of_ids(world: World) -> None:
    """The same id always meets the same release, and the candidate gets its share of ids, no more."""
    old, new = world.release(), world.release(tiny_model(bias=5.0))
    world.publish(world.table(old, candidate=new, share=0.25))
    gateway = serving(world)

    def release_for(number: int) -> str:
        headers = (*with_key(), (b"x-correlation-id", f"call-{number}".encode()))
        return (gateway.call(headers).header(b"x-holdfast-release") or b"").decode()

    first = [release_for(number) for number in range(400)]
    gateway.ticks.seconds += 60
    assert first == [release_for(number) for number in range(400)]
    assert set(first) == {short(old), short(new)}
    assert 60 <= first.count(short(new)) <= 140  # 100 expected; five standard deviations to either side


def test_a_bad_candidate_is_refused_with_the_whole_table(world: World) -> None:
    """A candidate must be as good as a baseline, however small its share."""
    old, bad = world.release(), world.release(tiny_model(bias=5.0), accuracy=0.1)
    world.publish(world.table(old))
    gateway = serving(world)
    world.publish(world.table(old, candidate=bad, share=0.01))
    gateway.look()
    refused(gateway, PolicyDenied, "accuracy")
    assert answer(gateway) == (200, short(old))


@pytest.mark.requirement("SERV-27", by="holdfast.serve.loading:warm")
def test_a_model_that_does_not_answer_its_warm_up_call_gets_no_traffic(world: World) -> None:
    """A release is loaded and called before it takes over; one that fails there never does."""
    old, new = world.release(), world.release(tiny_model(bias=5.0))
    world.publish(world.table(old))
    gateway = serving(world)

    class Broken:
        def run(self, rows: object) -> Any:
            raise ValueError("no such operator")

    class Runtime:
        def load(self, model: bytes, *, features: int, classes: int) -> Broken:
            return Broken()

    gateway.loader.runtime = Runtime()
    world.publish(world.table(new))
    gateway.look()
    assert str(gateway.complaints[-1]) == "no such operator"
    assert answer(gateway) == (200, short(old))


def test_a_model_is_loaded_once_and_kept_over_renewals(world: World) -> None:
    """A renewed lease verifies everything again, but does not load the same bytes again."""
    release = world.release()
    world.publish(world.table(release))
    gateway = serving(world)
    state = gateway.gateway.state
    assert state is not None
    world.publish(world.table(release))
    gateway.look()
    renewed = gateway.gateway.state
    assert renewed is not None
    assert renewed.epoch == state.epoch + 1
    assert renewed.routes[MODEL].baseline.model is state.routes[MODEL].baseline.model


def test_a_file_changed_on_disk_is_noticed_at_the_next_renewal(world: World) -> None:
    """The loaded model goes on within its lease, but a renewal over changed files is refused and on record."""
    release = world.release()
    world.publish(world.table(release))
    gateway = serving(world)
    world.publish(world.table(release))
    world.published.blobs[blob_of(world, release, "model.onnx")] = b"something else"
    gateway.look()
    refused(gateway, NotVerified, "changed after it was signed")
    assert answer(gateway) == (200, short(release))
