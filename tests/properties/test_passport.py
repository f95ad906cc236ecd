"""Passports against whoever leaves something out, swaps it, or says it of something else."""

import base64
import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import passport as passports
from holdfast.core.artifact import Artifact, Kind, canonical, digest_bytes
from holdfast.core.errors import Conflict, NotVerified
from holdfast.core.evidence import Outcome, exactly, failed
from holdfast.core.ledger import Draft
from holdfast.core.passport import (
    AUTHORIZED,
    FILED,
    MAX_PASSPORT,
    RECORDED,
    REVOKED,
    STARTED,
    Passport,
    ProvenEntry,
    open_passport,
    parse_passport,
)
from holdfast.core.policy import Action, Denial, Permit, Request, decide, parse_policy
from holdfast.core.seal import EVIDENCE, seal
from holdfast.testing.chronicle import MADE_WITH, ORIGIN, Chronicle, fulfil, measured
from holdfast.testing.memory import MemorySigner

POLICY = (Path(__file__).parents[2] / "policies" / "baseline.toml").read_bytes()
CHRONICLE = Chronicle(POLICY)
MADE = fulfil(CHRONICLE, POLICY)
RELEASE = MADE[Kind.RELEASE]
WHOLE = CHRONICLE.passport(RELEASE)
CHRONICLE.write("note", "elsewhere", {"text": "so that the newest entry is none of the passport's"})
LATER = CHRONICLE.passport(RELEASE)
ENDS = {  # the last entry of each stream: whether anything came after it, only a checkpoint's size could tell
    index
    for index, proven in enumerate(LATER.entries)
    if json.loads(base64.b64decode(proven.document))["stream"]
    not in {json.loads(base64.b64decode(later.document))["stream"] for later in LATER.entries[index + 1 :]}
}


def opened(passport: Passport, **changes: Any) -> passports.Dossier:
    """What a passport proves, to somebody who trusts the chronicle's keys."""
    return open_passport(passport, changes.get("trust", CHRONICLE.trust), origin=changes.get("origin", ORIGIN))


def refused(passport: Passport, words: str | None = None, **changes: Any) -> None:
    """Asserts that a passport proves nothing, for this reason."""
    with pytest.raises(NotVerified, match=words):
        opened(passport, **changes)


def changed(**changes: Any) -> Passport:
    """The passport with something else in it."""
    return msgspec.structs.replace(LATER, **changes)


def entry(kind: str) -> int:
    """The index of the first entry of a kind."""
    kinds = [json.loads(base64.b64decode(proven.document))["kind"] for proven in LATER.entries]
    return kinds.index(kind)


OPENED = opened(LATER)


def test_a_whole_passport_opens() -> None:
    """Every artifact of the closure is there, with its evidence in ledger order, its parents and its stream's head."""
    dossier = opened(LATER)
    assert set(dossier.nodes) == {artifact.digest for artifact in MADE.values()}
    assert dossier.heads == CHRONICLE.ledger.heads([artifact.digest for artifact in MADE.values()])
    node = dossier.nodes[RELEASE.digest]
    assert {kind for kind, _ in node.parents} == {Kind.MODEL, Kind.PROJECT}
    filed = [item.evidence.control for item in node.filed]
    assert filed == ["release.package/1", "release.signature/1", "release.version/1", "release.secrets/1"]
    words = [(word.value.person, word.value.rule) for word in node.authorizations]
    assert words == [("alice", rule) for rule in ("", "signoff.design", "signoff.pipeline", "signoff.runtime")]
    assert parse_passport(canonical(LATER)) == LATER


@pytest.mark.guarantee("G07")
@pytest.mark.parametrize("index", range(len(LATER.entries)))
def test_a_dropped_entry_is_missed(index: int) -> None:
    """An entry left out is a gap in its stream, a missing parent, or a stream that ends before the ledger's does."""
    shortened = changed(entries=LATER.entries[:index] + LATER.entries[index + 1 :])
    if index not in ENDS:
        refused(shortened, "has a gap|lacks the history|nothing records")
        return
    try:
        dossier = opened(shortened)
    except NotVerified:
        return
    # The newest entry of a stream leaves no gap (ADR 70). Who decides on an older end is refused when the decision is
    # put on record, because the heads it was made on are not the ledger's any more.
    assert dict(dossier.heads) != dict(opened(LATER).heads)
    with pytest.raises(Conflict):
        CHRONICLE.ledger.append([Draft(kind="note", actor="a", stream="s", body={})], expect=dossier.heads)


@pytest.mark.guarantee("G07")
@pytest.mark.parametrize("index", range(len(LATER.envelopes)))
def test_a_dropped_or_foreign_envelope_is_missed(index: int) -> None:
    """Each envelope that an entry names must be there; another one in its place is not it."""
    rest = LATER.envelopes[:index] + LATER.envelopes[index + 1 :]
    refused(changed(envelopes=rest), "lacks an envelope")
    other = base64.b64encode(
        seal(measured("assess.quality/1", MADE[Kind.MODEL], exactly("auc", 1)), EVIDENCE, [CHRONICLE.signers["assess"]])
    ).decode()
    refused(changed(envelopes=(*rest, other)), "lacks an envelope")


@pytest.mark.guarantee("G07")
@given(order=st.randoms(use_true_random=False))
def test_the_order_of_entries_in_a_passport_means_nothing(order: Random) -> None:
    """A passport is a set: what counts is the ledger's order, which each entry carries."""
    entries = order.sample(LATER.entries, len(LATER.entries))
    shuffled = changed(entries=tuple(entries), envelopes=tuple(sorted(LATER.envelopes)))
    assert opened(shuffled) == OPENED


@pytest.mark.guarantee("G07")
@given(index=st.integers(0, len(LATER.entries) - 1), where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_flipped_bit_of_an_entry_is_refused(index: int, where: int, bit: int) -> None:
    """An entry that was touched is not in the signed tree."""
    proven = LATER.entries[index]
    document = bytearray(base64.b64decode(proven.document))
    document[where % len(document)] ^= 1 << bit
    refused(with_entry(index, document=base64.b64encode(document).decode()))


@pytest.mark.guarantee("G07")
@given(index=st.integers(0, len(LATER.entries) - 1), where=st.integers(min_value=0), bit=st.integers(0, 255))
def test_any_flipped_bit_of_a_proof_is_refused(index: int, where: int, bit: int) -> None:
    """An audit path that was touched leads to no signed root."""
    path = list(LATER.entries[index].path)
    node = int(path[where % len(path)], 16) ^ 1 << bit
    path[where % len(path)] = node.to_bytes(32).hex()
    refused(with_entry(index, path=tuple(path)), "does not lead to the signed root")


def with_entry(index: int, **changes: Any) -> Passport:
    """The passport with one entry spoiled."""
    spoiled = msgspec.structs.replace(LATER.entries[index], **changes)
    return changed(entries=(*LATER.entries[:index], spoiled, *LATER.entries[index + 1 :]))


@pytest.mark.guarantee("G07")
@given(first=st.integers(0, len(LATER.entries) - 1), second=st.integers(0, len(LATER.entries) - 1))
def test_a_proof_is_good_for_its_own_entry_only(first: int, second: int) -> None:
    """The document of one entry with the audit path of another is neither."""
    if first != second:
        refused(with_entry(first, document=LATER.entries[second].document))


@pytest.mark.parametrize(
    "spoil",
    [
        {"document": "é"},
        {"document": base64.b64encode(b"[" * 60_000).decode()},
        {"document": base64.b64encode(b"\xff").decode()},
        {"path": ("zz",)},
        {"path": ("é",)},
        {"path": ("00",) * 70},
        {"path": ()},
        {"path": ("00" * 31,)},
    ],
    ids=lambda spoil: str(spoil)[:40],
)
def test_an_unreadable_entry_is_refused_in_words(spoil: dict[str, Any]) -> None:
    """Whatever stands where an entry or its proof should be, the answer is one error."""
    refused(with_entry(3, **spoil))


def test_an_unreadable_envelope_is_refused_in_words() -> None:
    """Also where no entry names it."""
    refused(changed(envelopes=(*LATER.envelopes, "é")), "an envelope is not readable")


def test_an_entry_given_twice_is_refused() -> None:
    """A stream has one entry at each of its places."""
    refused(changed(entries=(*LATER.entries, LATER.entries[0])), "has a gap")


@pytest.mark.guarantee("G07")
def test_a_checkpoint_nobody_signed_or_of_another_state_is_refused() -> None:
    """The tree is the one the ledger's key signed: not an older one, not another ledger's, not a stranger's."""
    refused(changed(checkpoint=WHOLE.checkpoint))
    refused(changed(checkpoint=""), "not a signed note")
    refused(LATER, "not signed by this key", origin="another.example")
    stranger = MemorySigner("ledger", owner="mallory", start=CHRONICLE.start)
    refused(LATER, "not signed by this key", trust=msgspec.structs.replace(CHRONICLE.trust, keys=(stranger.public,)))


@pytest.mark.guarantee("G07")
def test_a_ledger_key_counts_in_its_window_and_while_it_is_not_revoked() -> None:
    """Without a trusted ledger key, or with one that had expired when it signed, nothing is proved."""
    trust, key = CHRONICLE.trust, CHRONICLE.signers["ledger"].public
    without = tuple(other for other in trust.keys if other.role != "ledger")
    refused(LATER, "no ledger key is trusted", trust=msgspec.structs.replace(trust, keys=without))
    refused(LATER, "no ledger key is trusted", trust=msgspec.structs.replace(trust, revoked=(key.keyid,)))
    for window in ({"not_after": CHRONICLE.start}, {"not_before": CHRONICLE.start + timedelta(seconds=1)}):
        late = msgspec.structs.replace(key, **window)
        refused(LATER, "outside its key's window", trust=msgspec.structs.replace(trust, keys=(*without, late)))
    rotated = (*without, MemorySigner("ledger", owner="new", start=CHRONICLE.start).public, key)
    assert opened(LATER, trust=msgspec.structs.replace(trust, keys=rotated)).subject == RELEASE.digest


@pytest.mark.guarantee("G07")
def test_evidence_is_judged_at_the_time_the_ledger_witnessed() -> None:
    """A key that was good when the entry was written stays good for it; one that was not, or was revoked, never was."""
    trust, key = CHRONICLE.trust, CHRONICLE.signers["assess"].public
    others = tuple(other for other in trust.keys if other.keyid != key.keyid)
    ended = msgspec.structs.replace(key, not_after=CHRONICLE.start + timedelta(seconds=1))
    assert opened(LATER, trust=msgspec.structs.replace(trust, keys=(*others, ended))).subject == RELEASE.digest
    late = msgspec.structs.replace(key, not_before=CHRONICLE.start + timedelta(seconds=1))
    refused(LATER, "no trusted key", trust=msgspec.structs.replace(trust, keys=(*others, late)))
    refused(LATER, "no trusted key", trust=msgspec.structs.replace(trust, revoked=(key.keyid,)))


@pytest.mark.guarantee("G07")
@pytest.mark.parametrize("kind", [kind for kind in MADE if kind is not Kind.RELEASE])
def test_a_parent_without_its_history_is_refused(kind: Kind) -> None:
    """The whole stream of an artifact that something derives from cannot be left out."""
    rest = [proven for proven in LATER.entries if MADE[kind].digest not in stream(proven)]
    refused(changed(entries=tuple(rest)), "lacks the history|nothing records")


def stream(proven: ProvenEntry) -> str:
    """The stream of an entry."""
    return str(json.loads(base64.b64decode(proven.document))["stream"])


def test_a_passport_of_something_else_is_about_that() -> None:
    """The subject is a digest that the passport has the history of."""
    refused(changed(subject=digest_bytes(b"another")), "lacks the history")
    refused(changed(subject="release"), "not a digest")
    assert opened(changed(subject=MADE[Kind.MODEL].digest)).subject == MADE[Kind.MODEL].digest


@pytest.mark.parametrize("document", [b"", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"subject":"\xff"}'], ids=repr)
def test_bytes_that_are_no_passport_are_refused_in_words(document: bytes) -> None:
    """Noise, nesting without end and bytes that are no text are one error."""
    with pytest.raises(NotVerified, match="cannot be read"):
        parse_passport(document)


def test_a_passport_beyond_its_limits_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, entries and depth have limits."""
    with pytest.raises(NotVerified, match="a passport of"):
        parse_passport(bytes(MAX_PASSPORT + 1))
    monkeypatch.setattr(passports, "MAX_DEPTH", 3)
    refused(LATER, "too deep")
    monkeypatch.setattr(passports, "MAX_ENTRIES", len(LATER.entries) - 1)
    refused(LATER, f"{len(LATER.entries)} entries")


# What the ledger itself may be made to say: entries that are well proved, and wrong.


@dataclasses.dataclass
class Told:
    """A chronicle with a model and its release, to which a test adds one entry."""

    chronicle: Chronicle
    model: Artifact
    release: Artifact

    def refused(self, words: str) -> None:
        """Asserts that the release's passport proves nothing any more."""
        with pytest.raises(NotVerified, match=words):
            self.chronicle.dossier(self.release)

    def node(self, artifact: Artifact) -> passports.Node:
        """What is known of an artifact."""
        return self.chronicle.dossier(self.release).nodes[artifact.digest]


@pytest.fixture
def told() -> Told:
    """A release of a model, nothing measured yet."""
    chronicle = Chronicle(persons=("alice", "bob"))
    model = chronicle.record(Kind.MODEL)
    return Told(chronicle=chronicle, model=model, release=chronicle.record(Kind.RELEASE, model))


@pytest.mark.guarantee("G01")
def test_two_kinds_for_one_artifact_are_refused(told: Told) -> None:
    """Bytes that are recorded as a model cannot be recorded as a source as well, to escape a model's rules."""
    told.chronicle.record(Kind.SOURCE, content=Kind.MODEL.encode())
    told.refused("recorded as two kinds")


def test_an_artifact_recorded_again_keeps_every_parent(told: Told) -> None:
    """A second way to the same bytes adds what they derive from, and takes nothing away."""
    other = told.chronicle.record(Kind.MODEL, content=b"another model")
    told.chronicle.record(Kind.RELEASE, other)
    assert {digest for _, digest in told.node(told.release).parents} == {told.model.digest, other.digest}


@pytest.mark.guarantee("G03")
def test_an_edge_must_call_its_parent_what_it_is(told: Told) -> None:
    """A source, of which no rule asks anything, cannot be recorded as the model that a release derives from."""
    source = told.chronicle.record(Kind.SOURCE)
    disguised = Artifact(kind=Kind.MODEL, digest=source.digest, size=source.size)
    told.chronicle.record(Kind.RELEASE, disguised)
    told.refused("derives from a model that is recorded as a source")


@pytest.mark.guarantee("G03")
@pytest.mark.parametrize("kind", [Kind.RELEASE])
def test_evidence_must_speak_of_what_the_artifact_is(told: Told, kind: Kind) -> None:
    """A role may speak of some kinds only; saying that a model is a release does not widen it."""
    lie = dataclasses.replace(told.model, kind=kind)
    told.chronicle.file(measured("release.package/1", lie, exactly("files", 1)))
    told.refused("release.package/1 speaks of something else than this model")


@pytest.mark.guarantee("G03")
def test_the_plan_cannot_speak_about_a_model(told: Told) -> None:
    """The plan's key says `project` of a model's digest: the role fits the claim, the claim does not fit the model."""
    lie = dataclasses.replace(told.model, kind=Kind.PROJECT)
    told.chronicle.file(measured("plan.tier/1", lie, exactly("tier", 1), facts={"protected": "none"}))
    told.refused("plan.tier/1 speaks of something else than this model")


@pytest.mark.guarantee("G03")
def test_a_person_speaks_about_releases_only(told: Told) -> None:
    """An approval that is filed on a model is nobody's to give."""
    told.chronicle.authorize("alice", told.model)
    told.refused("an authorization speaks of something else than this model")


@pytest.mark.guarantee("G03")
def test_an_authorization_cannot_be_replayed_on_another_release(told: Told) -> None:
    """Alice's approval of one release, filed on the next, is refused."""
    envelope = told.chronicle.authorize("alice", told.release)
    second = told.chronicle.record(Kind.RELEASE, told.model, content=b"second")
    told.chronicle.write(AUTHORIZED, second.digest, {"envelope": envelope})
    with pytest.raises(NotVerified, match="about something else"):
        told.chronicle.dossier(second)


@pytest.mark.guarantee("G03")
def test_evidence_cannot_be_replayed_on_another_model_or_under_another_name(told: Told) -> None:
    """An entry names control and subject; an envelope of another control or about another model is not its envelope."""
    better = told.chronicle.record(Kind.MODEL, content=b"better")
    envelope = told.chronicle.file(measured("assess.quality/1", better, exactly("auc", 1)))
    told.chronicle.write(FILED, told.model.digest, {"control": "assess.quality/1", "run": "1", "envelope": envelope})
    told.refused("the evidence is about something else")


@pytest.mark.guarantee("G03")
def test_an_entry_cannot_call_one_control_another(told: Told) -> None:
    """Evidence of latency filed as evidence of quality is refused."""
    item = measured("assess.latency/1", told.model, exactly("auc", 1))
    envelope = told.chronicle.blobs.put(seal(item, EVIDENCE, [told.chronicle.signers["assess"]]))
    told.chronicle.write(FILED, told.model.digest, {"control": "assess.quality/1", "run": "1", "envelope": envelope})
    told.refused("the evidence is about something else")


@pytest.mark.guarantee("G03")
def test_an_authorization_cannot_be_filed_as_evidence(told: Told) -> None:
    """Envelopes are opened as what the entry says they are."""
    envelope = told.chronicle.authorize("alice", told.release)
    told.chronicle.write(FILED, told.release.digest, {"control": "release.package/1", "run": "1", "envelope": envelope})
    told.refused("a statement of type")


@pytest.mark.guarantee("G03")
def test_a_stage_cannot_sign_for_another_stages_control(told: Told) -> None:
    """Training code's own key says how good the model is: refused, whoever filed it."""
    told.chronicle.file(measured("assess.quality/1", told.model, exactly("auc", 1)), signer="train")
    told.refused("signed as train")


def test_the_same_envelope_filed_twice_is_one_word_twice(told: Told) -> None:
    """Filing an approval or a measurement again neither adds a person nor hides anything."""
    envelope = told.chronicle.authorize("alice", told.release)
    told.chronicle.write(AUTHORIZED, told.release.digest, {"envelope": envelope})
    assert {word.value.person for word in told.node(told.release).authorizations} == {"alice"}


@pytest.mark.guarantee("G04")
def test_a_run_without_a_result_stays_unfinished(told: Told) -> None:
    """Only a result of the same control and the same run ends a run."""
    chronicle, model = told.chronicle, told.model
    chronicle.begin("assess.quality/1", model, "run-1")
    assert told.node(model).unfinished == ("assess.quality/1",)
    chronicle.file(measured("assess.quality/1", model, exactly("auc", 1)), run="run-2")
    chronicle.file(measured("assess.latency/1", model, exactly("ms", 1)), run="run-1")
    assert told.node(model).unfinished == ("assess.quality/1",)
    chronicle.file(failed("assess.quality/1", model.digest, model.kind, MADE_WITH, "out of memory"), run="run-1")
    assert told.node(model).unfinished == ()


@pytest.mark.guarantee("G04")
def test_a_run_number_used_twice_hides_no_run(told: Told) -> None:
    """Two controls under one number, or one control started twice, are two runs that both owe a result."""
    chronicle, model = told.chronicle, told.model
    for control in ("assess.quality/1", "assess.latency/1", "assess.latency/1"):
        chronicle.begin(control, model, "run-1")
    assert told.node(model).unfinished == ("assess.latency/1", "assess.latency/1", "assess.quality/1")
    chronicle.file(measured("assess.latency/1", model, exactly("ms", 1)), run="run-1")
    assert told.node(model).unfinished == ("assess.latency/1", "assess.quality/1")


def test_a_result_filed_before_its_start_does_not_end_the_run(told: Told) -> None:
    """The ledger's order counts: what is started after its result was filed owes another one."""
    told.chronicle.file(measured("assess.quality/1", told.model, exactly("auc", 1)), run="run-1")
    told.chronicle.begin("assess.quality/1", told.model, "run-1")
    assert told.node(told.model).unfinished == ("assess.quality/1",)


@pytest.mark.parametrize("reason", [{"reason": "poisoned"}, {"reason": ""}, {}])
def test_a_revocation_needs_no_reason_and_cannot_be_taken_back(told: Told, reason: dict[str, str]) -> None:
    """Whatever follows a revocation, the artifact stays revoked."""
    told.chronicle.write(REVOKED, told.model.digest, reason)
    told.chronicle.record(Kind.MODEL)
    told.chronicle.write("artifact.unrevoked", told.model.digest, {"reason": ""})
    assert told.node(told.model).revoked == (reason.get("reason") or "revoked")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (RECORDED, {}),
        (RECORDED, {"kind": "model"}),
        (RECORDED, {"kind": "nonsense", "parents": []}),
        (RECORDED, {"kind": "model", "parents": "none"}),
        (RECORDED, {"kind": "model", "parents": [{"kind": "source"}]}),
        (RECORDED, {"kind": "model", "parents": [{"kind": "source", "digest": "nonsense"}]}),
        (RECORDED, {"kind": "model", "parents": [{"kind": "nonsense", "digest": "sha256:" + "0" * 64}]}),
        (STARTED, {}),
        (STARTED, {"control": "assess.quality/1"}),
        (STARTED, {"control": 1, "run": 1}),
        (FILED, {}),
        (FILED, {"control": "assess.quality/1", "run": "1"}),
        (FILED, {"control": "assess.quality/1", "run": "1", "envelope": 7}),
        (AUTHORIZED, {}),
        (AUTHORIZED, {"envelope": None}),
        (REVOKED, {"reason": 7}),
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_read_is_refused_with_its_place(told: Told, kind: str, body: dict[str, Any]) -> None:
    """A malformed entry about an artifact ends in words that name it, never in a traceback and never in silence."""
    chronicle = told.chronicle
    chronicle.write(kind, told.model.digest, body)
    document = canonical(told_passport(told, body))
    with pytest.raises(NotVerified) as caught:
        open_passport(parse_passport(document), chronicle.trust, origin=ORIGIN)
    assert caught.value.place in {"entry 2", "passport"}


def told_passport(told: Told, body: dict[str, Any]) -> Passport:
    """A passport over the model's whole stream, made by hand: who gathers one may stumble over such an entry."""
    ledger = told.chronicle.ledger
    entries = tuple(
        ProvenEntry(
            document=base64.b64encode(item.document).decode(),
            path=tuple(node.hex() for node in ledger.inclusion(item.position, ledger.size())),
        )
        for item in ledger.entries()
    )
    checkpoint = ledger.checkpoint().note.decode()
    return Passport(subject=told.release.digest, checkpoint=checkpoint, entries=entries, envelopes=())


def test_other_entries_are_history_and_decide_nothing(told: Told) -> None:
    """Promotions, notes and kinds that do not exist yet are carried along, unread."""
    before = told.node(told.model)
    told.chronicle.write("release.promoted", told.model.digest, {"anything": [1, 2, 3]})
    assert told.node(told.model) == before


def test_an_artifact_that_nothing_records_is_refused(told: Told) -> None:
    """Evidence about bytes of which nobody said what they are proves nothing."""
    stray = Artifact(kind=Kind.RELEASE, digest=digest_bytes(b"stray"), size=5)
    told.chronicle.file(measured("release.package/1", stray, exactly("files", 1)))
    with pytest.raises(NotVerified, match="nothing records what this artifact is"):
        told.chronicle.dossier(stray)


def test_a_dossier_cannot_be_changed() -> None:
    """What was verified stays as it was: nodes and heads are read-only, and a copy with other ones needs the maker."""
    dossier = opened(LATER)
    assert isinstance(dossier.nodes, MappingProxyType)
    assert isinstance(dossier.heads, MappingProxyType)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(dossier, nodes={})  # type: ignore[call-arg] # the token that it does not have
    with pytest.raises(NotVerified, match="only open_passport"):
        dataclasses.replace(dossier, nodes={}, maker=dossier)


@pytest.mark.guarantee("G07")
@pytest.mark.parametrize(
    "cut", [lambda entries: entries[len(entries) // 2 :], lambda entries: entries[1:], lambda entries: entries[::2]]
)
def test_a_passport_with_half_its_entries_is_refused(cut: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
    """Larger holes are holes too."""
    refused(changed(entries=cut(LATER.entries)))


@pytest.mark.guarantee("G05")
@given(data=st.data())
def test_leaving_entries_out_never_wins_a_permit(data: st.DataObject) -> None:
    """Whatever is left out of the passport of a denied release, it is refused, or denied, or older than the ledger."""
    left_out = data.draw(st.sets(st.integers(0, len(BAD.entries) - 1), min_size=1, max_size=4))
    kept = tuple(proven for index, proven in enumerate(BAD.entries) if index not in left_out)
    try:
        dossier = open_passport(msgspec.structs.replace(BAD, entries=kept), SPOILED.trust, origin=ORIGIN)
    except NotVerified:
        return
    rules, digest = parse_policy(POLICY)
    request = Request(action=Action.SERVE, environment="production", now=SPOILED.start, nonce="1")
    decision = decide(rules, digest, dossier, request)
    assert isinstance(decision, Denial) or dossier.heads != SPOILED.ledger.heads(list(dossier.heads))


SPOILED = Chronicle(POLICY)
SPOILED_RELEASE = fulfil(SPOILED, POLICY)[Kind.RELEASE]
assert isinstance(SPOILED.decide(POLICY, SPOILED_RELEASE), Permit)
SPOILED.revoke(SPOILED_RELEASE)
assert isinstance(SPOILED.decide(POLICY, SPOILED_RELEASE), Denial)
BAD = SPOILED.passport(SPOILED_RELEASE)


def test_outcomes_are_kept_as_they_were_filed(told: Told) -> None:
    """Failures and excuses are in the dossier beside measurements, in order: the policy weighs them."""
    model = told.model
    told.chronicle.file(failed("assess.quality/1", model.digest, model.kind, MADE_WITH, "crashed"))
    told.chronicle.file(measured("assess.quality/1", model, exactly("auc", 1)))
    outcomes = [item.evidence.outcome for item in told.node(model).filed]
    assert outcomes == [Outcome.FAILED, Outcome.MEASURED]
