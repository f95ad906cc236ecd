"""A chronicle: a ledger in memory with a key for every role, in which a test writes what is to be decided upon.

Everything goes the way it goes in production (`seal`, `link`, `build_passport`, `open_passport`, `decide`), so what a
test shows of a policy holds there too. `fulfil` writes the history of a release that meets every rule of a policy; a
test then adds one thing and sees what becomes of the decision.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from holdfast.core.artifact import Artifact, Digest, Kind, canonical, digest_bytes
from holdfast.core.authorship import AUTHORS, AUTHORSHIP, KNOWN
from holdfast.core.evidence import Evidence, Finding, MadeWith, Measure, Outcome, exactly
from holdfast.core.ledger import Draft
from holdfast.core.passport import (
    AUTHORIZED,
    FILED,
    RECORDED,
    REVOKED,
    STARTED,
    Dossier,
    Passport,
    open_passport,
    parse_passport,
)
from holdfast.core.policy import Action, Denial, Permit, Policy, Request, Rule, decide, parse_policy
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, Authorization, seal
from holdfast.core.trust import ROLES, Grant, Trust
from holdfast.registry.admission import build_passport
from holdfast.testing.clock import SettableClock
from holdfast.testing.memory import MemoryBlobs, MemoryLedger, MemorySigner

ORIGIN: Final = "chronicle.example"
AUTHOR: Final = "Mallory Maker <mallory@example.org>"  # who wrote the training code of a fulfilled release
MADE_WITH: Final = MadeWith(code=digest_bytes(b"code"), configuration=digest_bytes(b"configuration"))


def measured(
    control: str,
    subject: Artifact,
    *measures: Measure,
    findings: Sequence[Finding] = (),
    facts: Mapping[str, str] | None = None,
) -> Evidence:
    """Return evidence of a control that measured."""
    return Evidence(
        control=control,
        subject=subject.digest,
        kind=subject.kind,
        outcome=Outcome.MEASURED,
        made_with=MADE_WITH,
        measures=measures,
        findings=tuple(findings),
        facts=dict(facts or {}),
    )


class Chronicle:
    """A workspace's history in memory, with one key for each role and each person."""

    def __init__(
        self, *policies: bytes, persons: Iterable[str] = ("alice",), roles: Iterable[str] = ("owner", "auditor")
    ) -> None:
        """Make keys, trust and ledger; the root keys accept these policies, and grant these roles to each person."""
        persons, roles = tuple(persons), tuple(roles)
        self.clock = SettableClock()
        self.start = self.clock.now()
        born = self.start - timedelta(days=1)
        self.signers = {role: MemorySigner(role, owner=role, start=born) for role in ROLES if role != "person"}
        self.signers |= {person: MemorySigner("person", owner=person, start=born) for person in persons}
        self.blobs = MemoryBlobs()
        self.ledger = MemoryLedger(self.clock, self.signers["ledger"], ORIGIN)
        self.trust = Trust(
            workspace="chronicle",
            version=1,
            expires=self.start + timedelta(days=300),
            root_threshold=1,
            keys=tuple(signer.public for signer in self.signers.values()),
            policies=tuple(digest_bytes(policy) for policy in policies),
            grants=tuple(
                Grant(person=person, role=role, not_after=self.start + timedelta(days=300))
                for person in persons
                for role in roles
            ),
        )

    def record(self, kind: Kind, *parents: Artifact, content: bytes | None = None) -> Artifact:
        """Put an artifact and what it derives from on record; without content it is the only one of its kind."""
        data = content if content is not None else kind.encode()
        artifact = Artifact(kind=kind, digest=self.blobs.put(data), size=len(data))
        edges = [{"kind": parent.kind, "digest": parent.digest} for parent in parents]
        self.write(RECORDED, artifact.digest, {"kind": kind, "size": len(data), "parents": edges})
        return artifact

    def begin(self, control: str, subject: Artifact, run: str) -> None:
        """Put on record that a control was started."""
        self.write(STARTED, subject.digest, {"control": control, "run": run})

    def file(self, evidence: Evidence, *, run: str | None = None, signer: str | None = None) -> Digest:
        """Put sealed evidence on record and return its envelope's digest; its stage signs unless a signer is named."""
        envelope = self.blobs.put(seal(evidence, EVIDENCE, [self.signers[signer or evidence.stage]]))
        body = {"control": evidence.control, "run": run or envelope, "envelope": envelope}
        self.write(FILED, evidence.subject, body)
        return envelope

    def authorize(
        self,
        person: str,
        subject: Artifact,
        action: Literal["approve", "reject", "waive", "rollback", "grant"] = "approve",
        *,
        role: str = "owner",
        rule: str = "",
        lasts: timedelta = timedelta(days=30),
        signer: str | None = None,
    ) -> Digest:
        """Put a person's signed word on record, return its envelope's digest; `signer` names another of their keys."""
        word = Authorization(
            person=person,
            role=role,
            action=action,
            subject=subject.digest,
            rule=rule,
            until=self.clock.now() + lasts,
            reason="it was looked at",
        )
        envelope = self.blobs.put(seal(word, AUTHORIZATION, [self.signers[signer or person]]))
        self.write(AUTHORIZED, subject.digest, {"envelope": envelope})
        return envelope

    def wrote(self, model: Artifact, *authors: str, known: float = 1.0) -> Digest:
        """Put on record who wrote the code that made a model."""
        facts = {AUTHORS: canonical(list(authors)).decode()}
        return self.file(measured(AUTHORSHIP, model, exactly(KNOWN, known), exactly("uncommitted", 0), facts=facts))

    def revoke(self, artifact: Artifact, reason: str = "it was poisoned") -> None:
        """Put on record that an artifact may no longer be used."""
        self.write(REVOKED, artifact.digest, {"reason": reason})

    def write(self, kind: str, stream: str, body: dict[str, Any]) -> None:
        """Append one entry of any kind; also one that nobody honest would write."""
        self.ledger.append([Draft(kind=kind, actor="chronicle", stream=stream, body=body)])

    def passport(self, subject: Artifact) -> Passport:
        """Return the passport of an artifact as of now."""
        return parse_passport(build_passport(self.ledger, self.blobs, subject.digest, self.ledger.checkpoint()))

    def dossier(self, subject: Artifact) -> Dossier:
        """Return everything verified about an artifact.

        Raises:
            NotVerified: The passport does not check out.
        """
        return open_passport(self.passport(subject), self.trust, origin=ORIGIN)

    def decide(
        self,
        policy: bytes,
        subject: Artifact,
        *,
        action: Action = Action.PROMOTE,
        now: datetime | None = None,
        environment: str = "production",
    ) -> Permit | Denial:
        """Decide about an artifact over everything on record."""
        rules, digest = parse_policy(policy)
        request = Request(action=action, environment=environment, now=now or self.clock.now(), nonce="nonce")
        return decide(rules, digest, self.dossier(subject), request)

    def distrust(self, *keyids: str) -> None:
        """Revoke keys."""
        self.trust = msgspec.structs.replace(self.trust, revoked=(*self.trust.revoked, *keyids))


def fulfil(
    chronicle: Chronicle, policy: bytes, *, but: Iterable[str] = (), approved: bool = True
) -> dict[Kind, Artifact]:
    """Put on record a release, all it derives from, and the least evidence that meets every rule; return the artifacts.

    Args:
        chronicle: Where to write; its persons approve.
        policy: The policy's document.
        but: Controls that leave nothing.
        approved: Whether the persons approve; what they say of single steps, such as a review, is there either way.
    """
    rules, _ = parse_policy(policy)
    made: dict[Kind, Artifact] = {}
    _derive(chronicle, rules, Kind.RELEASE, made)
    controls = dict.fromkeys((rule.on, rule.control) for rule in rules.rule if rule.control is not None)
    for kind, control in controls:
        if control in {*but, AUTHORSHIP}:  # that one names persons, below
            continue
        asked = [rule for rule in rules.rule if (rule.on, rule.control) == (kind, control)]
        chronicle.file(measured(control, made[kind], *_least(asked)))
    if AUTHORSHIP not in but and Kind.MODEL in made:
        chronicle.wrote(made[Kind.MODEL], AUTHOR)
    everybody = [name for name, signer in chronicle.signers.items() if signer.role == "person"]
    seats: dict[str, Iterator[str]] = {}
    for rule in rules.rule:
        topic = rule.approved_by.rule if rule.approved_by is not None else ""
        if rule.approved_by is not None and (approved or topic):
            persons = seats.setdefault(topic, iter(everybody))  # a person takes one seat in each topic
            for _, person in zip(range(rule.approved_by.count), persons, strict=False):
                chronicle.authorize(person, made[rule.on], role=rule.approved_by.roles[0], rule=topic)
    return made


def _derive(chronicle: Chronicle, policy: Policy, kind: Kind, made: dict[Kind, Artifact]) -> Artifact:
    """Record an artifact of a kind after everything the policy wants it to derive from."""
    if kind not in made:
        parents = [_derive(chronicle, policy, parent, made) for parent in policy.derivation.get(kind, ())]
        made[kind] = chronicle.record(kind, *parents)
    return made[kind]


def _least(rules: Sequence[Rule]) -> tuple[Measure, ...]:
    """Return measures that just meet the rules on one control; a count where no rule bounds anything."""
    values: dict[str, float] = {}
    for rule in rules:
        if rule.measure is None:
            continue
        low = [float(other.at_least) for other in rules if other.measure == rule.measure and other.at_least is not None]
        high = [float(other.at_most) for other in rules if other.measure == rule.measure and other.at_most is not None]
        values[rule.measure] = max(low) if low else min(high)
    return tuple(exactly(name, value) for name, value in values.items()) or (exactly("items", 1),)
