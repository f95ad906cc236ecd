"""The registry under random transitions, actors and faults: no way into production but the whole one.

A hypothesis state machine writes histories that honest stages, forgers and bad news could write, in any order. After
each step the fold is held against an oracle that was written apart from it, and looks at the raw entries itself.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.evidence import Evidence, Finding, Outcome, Severity, exactly, failed
from holdfast.core.ledger import Entry
from holdfast.core.passport import AUTHORIZED, FILED, RECORDED, REVOKED
from holdfast.core.routes import ModelRoute, RouteTable
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, ROUTES, Authorization, seal, unseal
from holdfast.registry import LIFECYCLE, Opener, Record, Signal, State, closure, fold
from holdfast.registry.proofs import GATES, PACKAGE, SCAN, SIGNATURE
from holdfast.registry.record import (
    CLEARED,
    HELD,
    PURGED,
    QUARANTINED,
    RETIRED,
    ROUTED,
    RULES,
    STAGED,
    UNHELD,
)
from holdfast.registry.states import ANSWERING, BARRED
from holdfast.testing.chronicle import MADE_WITH, Chronicle, measured

POLICY = b"a policy that only its digest is used of"
PERSONS = ("alice", "bob", "carol")
STEPS = 50  # of one history
QUALITY = "assess.quality/1"
GOOD: dict[str, tuple[str, float]] = {
    PACKAGE: ("bom_complete", 1),
    SCAN: ("files_scanned", 3),
    SIGNATURE: ("verified", 1),
    QUALITY: ("auc", 0.99),
    GATES: ("unmet", 0),
}
BAD: dict[str, tuple[str, float]] = {
    PACKAGE: ("bom_complete", 0),
    SIGNATURE: ("verified", 0),
    GATES: ("unmet", 2),
}
ABOUT = {PACKAGE: "release", SIGNATURE: "release", GATES: "release", SCAN: "model", QUALITY: "model"}
ENDS = (CLEARED, RETIRED, PURGED, UNHELD)
COUNTED = {"transitions": 0, "moves": 0, "productions": 0, "ignored": 0}


class RegistryMachine(RuleBasedStateMachine):
    """One release, its model and its data, and everybody who may write about them."""

    quorum: ClassVar[int] = 2

    @initialize()
    def begin(self) -> None:
        """An empty workspace of three persons; carol was granted nothing."""
        self.world = Chronicle(POLICY, persons=PERSONS)
        grants = tuple(grant for grant in self.world.trust.grants if grant.person != "carol")
        self.world.trust = msgspec.structs.replace(self.world.trust, grants=grants)
        self.data = self.world.record(Kind.DATASET)
        self.model = self.world.record(Kind.MODEL, self.data)
        self.release = self.world.record(Kind.RELEASE, self.model)
        self.other = self.world.record(Kind.RELEASE, self.model, content=b"another release")
        self.opener = Opener(self.world.blobs, self.world.trust)
        self.epochs = {ROUTED: 0, STAGED: 0}
        self.before: Record | None = None

    # Honest stages, and stages with bad news.

    def _subject(self, control: str) -> Artifact:
        return self.release if ABOUT[control] == "release" else self.model

    def _evidence(self, control: str, measure: tuple[str, float], *findings: Finding) -> Evidence:
        item = measured(control, self._subject(control), exactly(*measure), findings=findings)
        if control != GATES:
            return item
        facts = {"policy": self.world.trust.policies[0], "approvals": f"owner={self.quorum}"}
        return msgspec.structs.replace(item, facts=facts)

    @rule(control=st.sampled_from(sorted(GOOD)))
    def good_news(self, control: str) -> None:
        """A stage measures, and signs with its own key."""
        self.world.file(self._evidence(control, GOOD[control]))

    @rule()
    def a_whole_run(self) -> None:
        """A run that leaves all it must: so that histories come far enough to be worth attacking."""
        for control, measure in GOOD.items():
            self.world.file(self._evidence(control, measure))

    @rule(kind=st.sampled_from([ROUTED, STAGED]), candidate=st.booleans(), persons=st.sampled_from([1, 2]))
    def a_whole_way(self, kind: str, candidate: bool, persons: int) -> None:
        """A run, approvals and a table: into production where nothing is in its way, and not with one approval less."""
        self.a_whole_run()
        for person in PERSONS[:persons]:
            self.world.authorize(person, self.release)
        self.route(kind, candidate)

    @rule(control=st.sampled_from(sorted(BAD)))
    def bad_news(self, control: str) -> None:
        """A stage measures something that does not do."""
        self.world.file(self._evidence(control, BAD[control]))

    @rule(severity=st.sampled_from([Severity.LOW, Severity.HIGH, Severity.CRITICAL]))
    def a_finding(self, severity: Severity) -> None:
        """The scanner finds something in the model."""
        finding = Finding(place="model.onnx", severity=severity, rule="r", message="m")
        self.world.file(self._evidence(SCAN, GOOD[SCAN], finding))

    @rule(control=st.sampled_from(sorted(GOOD)))
    def a_crash(self, control: str) -> None:
        """A control fails."""
        subject = self._subject(control)
        self.world.file(failed(control, subject.digest, subject.kind, MADE_WITH, "it crashed"))

    @rule(number=st.integers(0, 2), ends=st.booleans())
    def a_run_that_died(self, number: int, ends: bool) -> None:
        """A control is started and leaves no result, or leaves it late."""
        self.world.begin(QUALITY, self.model, f"run-{number}")
        if ends:
            self.world.file(self._evidence(QUALITY, GOOD[QUALITY]), run=f"run-{number}")

    # Persons.

    @rule(person=st.sampled_from(PERSONS), role=st.sampled_from(["owner", "auditor", "king"]))
    def approve(self, person: str, role: str) -> None:
        """Somebody approves, in a role that may be granted or not."""
        self.world.authorize(person, self.release, role=role)

    @rule()
    def reject(self) -> None:
        """Somebody rejects: rare, since nothing comes back from it."""
        if len(self.world.ledger.documents) % 5 == 0:
            self.world.authorize("bob", self.release, "reject")

    @rule(kind=st.sampled_from(ENDS), person=st.sampled_from(PERSONS))
    def say(self, kind: str, person: str) -> None:
        """A person signs the end of a release, or of a quarantine or a hold."""
        self._end(kind, self._word(person, RULES[kind], self.release))

    @rule(kind=st.sampled_from([QUARANTINED, HELD]))
    def ask(self, kind: str) -> None:
        """Anybody asks for a second look, or for a hold."""
        self._write(kind, self.release.digest, {"reason": "look at it"})

    # The registry, and whoever holds its key without the approvals.

    @rule(kind=st.sampled_from([ROUTED, STAGED]), candidate=st.booleans())
    def route(self, kind: str, candidate: bool) -> None:
        """The registry's key signs a table with the release in it, whether it may or not."""
        baseline = self.other if candidate else self.release
        self._route(kind, baseline, self.release.digest if candidate else None)

    @rule(kind=st.sampled_from([ROUTED, STAGED]))
    def route_away(self, kind: str) -> None:
        """The registry's key signs a table without it."""
        self._route(kind, self.other, None)

    @rule()
    def route_again(self) -> None:
        """An older table is played again: the fence is in its way."""
        self.epochs[ROUTED] -= 1
        self._route(ROUTED, self.release, None)

    # Forgers: write access to the ledger and to the blobs, and no key, or the wrong one.

    @rule(control=st.sampled_from(sorted(GOOD)), signer=st.sampled_from(["watch", "train", "mallory"]))
    def forged_evidence(self, control: str, signer: str) -> None:
        """Evidence that another stage signed, or nobody."""
        item = self._evidence(control, GOOD[control])
        if signer == "mallory":
            envelope = self.world.blobs.put(b"{}")
        else:
            envelope = self.world.blobs.put(seal(item, EVIDENCE, [self.world.signers[signer]]))
        self._write(FILED, item.subject, {"control": control, "run": "forged", "envelope": envelope})

    @rule(control=st.sampled_from(sorted(GOOD)))
    def borrowed_evidence(self, control: str) -> None:
        """Good evidence about another release is filed on this one."""
        subject = self.other if ABOUT[control] == "release" else self.data
        if ABOUT[control] != "release":
            return
        item = msgspec.structs.replace(self._evidence(control, GOOD[control]), subject=subject.digest)
        envelope = self.world.blobs.put(seal(item, EVIDENCE, [self.world.signers[item.stage]]))
        self._write(FILED, self.release.digest, {"control": control, "run": "borrowed", "envelope": envelope})

    @rule()
    def forged_approval(self) -> None:
        """Bob signs that alice approves; carol, whom nobody granted a role, says that she is the owner."""
        word = self._authorization("alice", "approve", "", self.release)
        envelope = self.world.blobs.put(seal(word, AUTHORIZATION, [self.world.signers["bob"]]))
        self._write(AUTHORIZED, self.release.digest, {"envelope": envelope})
        self.world.authorize("carol", self.release)

    @rule(kind=st.sampled_from(ENDS), how=st.sampled_from(["nothing", "another rule", "another release"]))
    def forged_end(self, kind: str, how: str) -> None:
        """An ending without a word, or with the word for something else."""
        envelope = ""
        if how == "another rule":
            envelope = self._word("alice", "registry.other", self.release)
        elif how == "another release":
            envelope = self._word("alice", RULES[kind], self.other)
        self._end(kind, envelope)

    @rule(kind=st.sampled_from([ROUTED, STAGED]))
    def forged_routing(self, kind: str) -> None:
        """A table that another key has signed, or none at all."""
        table = self._table(kind, self.release, None, 10_000)
        envelope = self.world.blobs.put(seal(table, ROUTES, [self.world.signers["release"]]))
        self._write(kind, self._endpoint(kind), {"table": envelope})
        self._write(kind, self._endpoint(kind), {"table": "sha256:" + "0" * 64})
        self._write("release.state", self.release.digest, {"state": "production"})

    @rule()
    def lost_blob(self) -> None:
        """An envelope that the ledger names is damaged on the disk: what it said counts no more."""
        filed = [entry for entry in self.world.ledger.stream(self.release.digest) if entry.kind == FILED]
        if filed and len(self.world.ledger.documents) % 3 == 0:
            self.world.blobs.held[filed[-1].body["envelope"]] = b"damaged"
            self.opener = Opener(self.world.blobs, self.world.trust)

    @rule(which=st.sampled_from(["data", "model", "release"]))
    def revoke(self, which: str) -> None:
        """Something of the closure is revoked: rare, since nothing comes back from it."""
        if len(self.world.ledger.documents) % 7 == 0:
            self._write(
                REVOKED, {"data": self.data, "model": self.model}.get(which, self.release).digest, {"reason": "x"}
            )

    @rule()
    def record_again(self) -> None:
        """The release is recorded with a second model that nobody has scanned: rare, for the same reason."""
        if len(self.world.ledger.documents) % 11 == 0:
            second = self.world.record(Kind.MODEL, self.data, content=b"second model")
            edges = [{"kind": second.kind, "digest": second.digest}]
            self._write(RECORDED, self.release.digest, {"kind": Kind.RELEASE, "size": 1, "parents": edges})

    # What every history must satisfy.

    @invariant()
    def no_path_round_the_gates(self) -> None:
        """Whatever answers, or is approved, has digest, scan, signature, gates and approvals, as the oracle sees it."""
        entries = self._entries()
        record = fold(self.release.digest, entries, self.opener)
        COUNTED["transitions"] += 1
        COUNTED["moves"] += len(record.trail)
        COUNTED["ignored"] += len(record.ignored)
        COUNTED["productions"] += record.state is State.PRODUCTION
        state, moves = LIFECYCLE.initial, iter(record.trail)
        for moved in moves:  # every move is a row of the table
            state, _ = LIFECYCLE.step(state, moved.signal)
            assert state is moved.state
        assert state is record.state
        for place, moved in enumerate(record.trail):
            if moved.state in ANSWERING and moved.signal in {Signal.ROUTED, Signal.SHARED}:
                entered = record.trail[place - 1].state if place else None
                if entered not in ANSWERING:
                    self._proved_at(moved.position)
        if record.state in BARRED - {State.REVOKED}:
            assert record.reason
        assert self._never_left(record)
        self._unheld_when_purged(record, entries)
        if COUNTED["transitions"] % 10 == 0:  # a function of the history and of nothing remembered
            assert fold(self.release.digest, entries, Opener(self.world.blobs, self.world.trust)) == record
        self.before = record

    def _never_left(self, record: Record) -> bool:
        """A purged or revoked release stays so, whatever is written after."""
        ends = {State.PURGED: {State.PURGED}, State.REVOKED: {State.REVOKED, State.RETIRED, State.PURGED}}
        return self.before is None or record.state in ends.get(self.before.state, set(State))

    def _unheld_when_purged(self, record: Record, entries: list[Entry]) -> None:
        """What is under legal hold is not purged: every hold before the tombstone was lifted by a signed word."""
        for moved in record.trail:
            if moved.state is State.PURGED:
                before = [entry for entry in entries if entry.position < moved.position]
                held = max((entry.position for entry in before if entry.kind == HELD), default=-1)
                lifted = max((e.position for e in before if e.kind == UNHELD and self._good_word(e)), default=-1)
                assert held <= lifted

    def _proved_at(self, position: int) -> None:
        """The oracle: look at the raw history before an entry into traffic, and find each proof with its signature."""
        seen = [entry for entry in self._entries() if entry.position < position]
        since = max((e.position for e in seen if e.kind == CLEARED and self._good_word(e)), default=-1)
        models = {Digest(e.stream) for e in seen if e.kind == RECORDED and e.body["kind"] == Kind.MODEL}
        assert models
        assert any(_measure(item, "bom_complete") == 1 for item in self._signed(seen, PACKAGE, self.release.digest))
        assert any(_measure(item, "verified") == 1 for item in self._signed(seen, SIGNATURE, self.release.digest))
        assert self.release.digest in {e.stream for e in seen if e.kind == RECORDED}  # its digest is on record
        for model in models:
            assert self._signed(seen, SCAN, model)
            assert self._signed(seen, QUALITY, model)
        gates = self._signed([e for e in seen if e.position > since], GATES, self.release.digest)
        assert gates
        persons = {
            word.person
            for entry in seen
            if entry.kind == AUTHORIZED and entry.position > since and (word := self._opened(entry, AUTHORIZATION))
            if word.action == "approve" and word.role == "owner" and word.person != "carol"
        }
        assert len(persons) >= self.quorum

    def _signed(self, entries: list[Entry], control: str, subject: str) -> list[Evidence]:
        found = (self._opened(e, EVIDENCE) for e in entries if e.kind == FILED and e.stream == subject)
        return [
            item
            for item in found
            if item and (item.control, item.subject, item.outcome) == (control, subject, Outcome.MEASURED)
        ]

    def _good_word(self, entry: Entry) -> bool:
        word = self._opened(entry, AUTHORIZATION)
        return word is not None and (word.rule, word.subject) == (RULES[entry.kind], self.release.digest)

    def _opened(self, entry: Entry, predicate: Any) -> Any:
        try:
            envelope = self.world.blobs.get(Digest(entry.body["envelope"]))
            return unseal(envelope, predicate, self.world.trust, at=entry.moment).value
        except Exception:  # noqa: BLE001 - the oracle believes nothing that does not open, for whatever reason
            return None

    # Hands.

    def _entries(self) -> list[Entry]:
        ledger = self.world.ledger
        found = {entry.position: entry for entry in closure(ledger, self.release.digest, ledger.size())}
        for kind in (ROUTED, STAGED):
            found |= {entry.position: entry for entry in ledger.stream(self._endpoint(kind))}
        return [found[position] for position in sorted(found)]

    def _endpoint(self, kind: str) -> str:
        return f"endpoint/{'production' if kind == ROUTED else 'staging'}/p"

    def _write(self, kind: str, stream: str, body: dict[str, Any]) -> None:
        self.world.write(kind, stream, body)

    def _end(self, kind: str, envelope: str) -> None:
        self._write(kind, self.release.digest, {"reason": "it is time", "envelope": envelope})

    def _authorization(self, person: str, action: Any, about: str, release: Artifact) -> Authorization:
        until = self.world.clock.now().replace(year=self.world.clock.now().year + 1)
        return Authorization(
            person=person, role="owner", action=action, subject=release.digest, rule=about, until=until, reason="r"
        )

    def _word(self, person: str, about: str, release: Artifact) -> str:
        word = self._authorization(person, "grant", about, release)
        return self.world.blobs.put(seal(word, AUTHORIZATION, [self.world.signers[person]]))

    def _table(self, kind: str, baseline: Artifact, candidate: str | None, epoch: int) -> RouteTable:
        now = self.world.clock.now()
        route = ModelRoute(name="p", baseline=baseline.digest, passport=baseline.digest, candidate=candidate)
        return RouteTable(
            workspace="chronicle",
            environment="production" if kind == ROUTED else "staging",
            epoch=epoch,
            issued=now,
            expires=now,
            policy=self.world.trust.policies[0],
            models=(route,),
            guards=(),
            credentials=(),
        )

    def _route(self, kind: str, baseline: Artifact, candidate: str | None) -> None:
        self.epochs[kind] += 1
        table = self._table(kind, baseline, candidate, self.epochs[kind])
        envelope = self.world.blobs.put(seal(table, ROUTES, [self.world.signers["registry"]]))
        self._write(kind, self._endpoint(kind), {"table": envelope})


def _measure(evidence: Evidence, name: str) -> float | None:
    return next((each.value for each in evidence.measures if each.name == name), None)


@pytest.mark.guarantee("G32")
def test_no_history_leads_into_production_round_the_gates(effort: Callable[..., int], record: Any) -> None:
    """Random transitions by random actors with faults: production is only ever entered with every proof there."""
    wanted = effort(ci=800, record=100_000)
    COUNTED.update(dict.fromkeys(COUNTED, 0))
    number = 0
    while COUNTED["transitions"] < wanted:
        examples = max(1, min(200, (wanted - COUNTED["transitions"]) // STEPS))
        run_state_machine_as_test(
            seed(number)(RegistryMachine),
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
        number += 1
    assert COUNTED["productions"] > 0, "no history came as far as production: the test has lost its teeth"
    record.save("registry-machine", seed=number, result=dict(COUNTED))
