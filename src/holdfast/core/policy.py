"""Policies: versioned rules that turn all verified evidence into a permit, or into a denial with reasons in words.

Pure, and monotone by construction: a rule can only ask for evidence and bound it, a CEL expression can only forbid, so
adding bad news never turns a denial into a permit. A waiver is not news: it is persons' word that covers one rule for
one release until a date, and under the same waivers bad news still only denies. An empty policy, a missing, stale,
failed or unreadable condition denies. Bounds of intervals are compared, so that a small sample cannot pass by luck.
"""

from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from holdfast.core.approval import Approvals, Seated, Waivers, seat, seconds, waived
from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import NotVerified
from holdfast.core.evidence import SEVERITIES, Evidence, Measure, Outcome, figure
from holdfast.core.ledger import Heads
from holdfast.core.passport import Dossier, Filed, Node, current
from holdfast.core.prohibition import objections
from holdfast.core.rules import MAX_POLICY, STRICTEST, TIER, Policy, Rule, parse_policy

__all__ = [
    "MAX_POLICY",
    "MAX_SKEW",
    "Action",
    "Approvals",
    "Denial",
    "Permit",
    "Policy",
    "Reason",
    "Request",
    "Rule",
    "Waivers",
    "current",
    "decide",
    "parse_policy",
    "seated",
    "seconds",
]

MAX_SKEW: Final = timedelta(minutes=1)  # how far the ledger's clock may be ahead of the one that decides


class Action(StrEnum):
    """What a permit may be for."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    SERVE = "serve"
    ADMIT = "admit"  # let something foreign out of its quarantine


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody wants to do, where, and when."""

    action: Action
    environment: str
    now: datetime
    nonce: str


_MAKER: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave to do one thing once; only `decide` makes one. As with `Verified`, the maker's token is not kept."""

    subject: Digest
    action: Action
    environment: str
    policy: Digest
    heads: Heads
    checkpoint_size: int
    issued: datetime
    expires: datetime
    nonce: str
    waived: tuple[str, ...] = ()  # the rules that did not hold, and that persons have waived for this subject
    maker: InitVar[object]

    def __post_init__(self, maker: object) -> None:
        """Refuse every maker but `decide`."""
        if maker is not _MAKER:
            raise NotVerified("only decide() makes permits", place=self.subject)

    def covers(self, *, subject: str, action: Action, environment: str, now: datetime) -> None:
        """Check that this permit is for exactly this.

        Raises:
            NotVerified: It is for something else, or it has expired.
        """
        if (self.subject, self.action, self.environment) != (subject, action, environment):
            raise NotVerified(
                "the permit is for something else", place=subject, expected=f"{self.action} {self.subject}"
            )
        if not self.issued <= now < self.expires:
            raise NotVerified("the permit has expired", place=subject, expected=f"before {self.expires.isoformat()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason for a denial: which rule, about what, in words."""

    rule: str
    subject: str
    words: str

    def __str__(self) -> str:
        """Return the reason as one line."""
        return f"[{self.rule}] {self.words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """No, and every reason for it."""

    subject: Digest
    action: Action
    policy: Digest
    reasons: tuple[Reason, ...]


def decide(policy: Policy, digest: Digest, dossier: Dossier, request: Request) -> Permit | Denial:
    """Decide whether an action on the dossier's subject is allowed.

    1. The trust names this policy, and is not expired.
    2. The policy is not empty, and the subject is a release; to be admitted, something foreign.
    3. No node of the closure is revoked.
    4. Each node has the parents its kind must have, and no unfinished run.
    5. Each rule holds on every node of its kind, of which there is at least one, or persons have waived it.
    6. No prohibition applies.

    Only then a permit, which expires with the first thing it rests on.

    Args:
        policy: The rules.
        digest: The digest of the policy's own bytes.
        dossier: All verified evidence on the subject and what it derives from.
        request: What is asked, where, when; for a rollback, staleness is excused, findings are not.
    """
    reasons = [*_preconditions(policy, digest, dossier, request), *_closure(policy, dossier)]
    expires = [request.now + timedelta(seconds=seconds(policy.permit_lasts)), dossier.trust.expires]
    seats = seated(policy, dossier, request.now)
    covered: list[str] = []
    for rule in policy.rule:  # 5.
        nodes = [node for node in dossier.nodes.values() if node.kind is rule.on]
        if not nodes:
            reasons.append(_because(rule, dossier.subject, f"nothing of kind {rule.on} is in the closure"))
        broken = [
            _because(rule, node.digest, words)
            for node in nodes
            for words in (*_broken(rule, node, dossier, request), *seats[node.digest].lacking.get(rule.id, ()))
        ]
        by = [node for node in nodes if node.digest in {reason.subject for reason in broken}]
        until = waived(policy.waivers, rule.id, dossier, request.now, by) if broken and rule.waivable else None
        if until is not None:
            covered.append(rule.id)
            expires.append(until)
            continue
        reasons += broken
        expires += [end for node in nodes for end in _deadlines(rule, node, request)]
    expires += [found.until for found in seats.values() if found.until is not None]
    reasons += (  # 6.
        Reason(rule=rule, subject=dossier.subject, words=words) for rule, words in objections(policy.forbid, dossier)
    )
    if not reasons and min(expires) <= request.now:
        reasons.append(
            Reason(rule="expiry", subject=dossier.subject, words="what the permit would rest on has expired")
        )
    if reasons:
        told = tuple(dict.fromkeys(reasons))  # two measurements that say the same are one reason
        return Denial(subject=dossier.subject, action=request.action, policy=digest, reasons=told)
    return Permit(
        subject=dossier.subject,
        action=request.action,
        environment=request.environment,
        policy=digest,
        heads=dossier.heads,
        checkpoint_size=dossier.checkpoint.size,
        issued=request.now,
        expires=min(expires),
        nonce=request.nonce,
        waived=tuple(covered),
        maker=_MAKER,
    )


def _because(rule: Rule, subject: Digest, words: str) -> Reason:
    return Reason(rule=rule.id, subject=subject, words=f"{words} ({rule.because})")


def _preconditions(policy: Policy, digest: Digest, dossier: Dossier, request: Request) -> Iterator[Reason]:
    if digest not in dossier.trust.policies:  # 1.
        yield Reason(rule="policy", subject=digest, words=f"the policy {policy.name} is not one the root keys accept")
    if request.now >= dossier.trust.expires:
        yield Reason(
            rule="trust", subject=dossier.subject, words="the trust document has expired; the root keys must renew it"
        )
    if not policy.rule or not policy.derivation:  # 2. empty means no
        yield Reason(
            rule="empty", subject=digest, words="the policy holds no rule, or no derivation, and so allows nothing"
        )
    if policy.environments and request.environment not in policy.environments:
        words = f"the policy {policy.name} decides about {' and '.join(policy.environments)}, not {request.environment}"
        yield Reason(rule="environment", subject=digest, words=words)
    yield from _too_lax(policy, dossier)
    kind = dossier.nodes[dossier.subject].kind
    wanted = Kind.FOREIGN if request.action is Action.ADMIT else Kind.RELEASE
    if kind is not wanted:  # else a model could borrow the approvals of a release that it derives from
        only = "what is foreign can be admitted" if wanted is Kind.FOREIGN else "a release can be permitted"
        words = f"only {only}, not a {kind}"
        yield Reason(rule="subject", subject=dossier.subject, words=words)


def _too_lax(policy: Policy, dossier: Dossier) -> Iterator[Reason]:
    """Yield each project that must be controlled more strictly than this policy does, or whose tier nobody stated."""
    if policy.covers >= STRICTEST:
        return
    asked = any(rule.control == TIER for rule in policy.rule)  # then the rule says so, where none was decided
    for node in dossier.nodes.values():
        if node.kind is not Kind.PROJECT:
            continue
        tiers = [
            measure.high for item in current(node, TIER) for measure in item.evidence.measures if measure.name == "tier"
        ]
        if not tiers and not asked:
            words = "no control tier is on record, so the strictest policy must decide"
            yield Reason(rule="tier", subject=node.digest, words=words)
        if max(tiers, default=0) > policy.covers:
            words = (
                f"the project's control tier is {max(tiers):g}, and the policy {policy.name} is strict enough for tier "
                f"{policy.covers} at most; name a stricter one under [gates]"
            )
            yield Reason(rule="tier", subject=node.digest, words=words)


def _closure(policy: Policy, dossier: Dossier) -> Iterator[Reason]:
    for node in dossier.nodes.values():
        if node.revoked:  # 3.
            yield Reason(
                rule="revoked", subject=node.digest, words=f"{node.kind} {node.digest[:19]} is revoked: {node.revoked}"
            )
        kinds = {kind for kind, _ in node.parents}
        for wanted in policy.derivation.get(node.kind, ()):  # 4.
            if wanted not in kinds:
                words = f"{node.kind} {node.digest[:19]} has no recorded {wanted} it derives from"
                yield Reason(rule="derivation", subject=node.digest, words=words)
        for control in node.unfinished:
            words = f"{control} was started on {node.kind} {node.digest[:19]} without a result, which counts as failed"
            yield Reason(rule="completeness", subject=node.digest, words=words)


def _broken(rule: Rule, node: Node, dossier: Dossier, request: Request) -> Iterator[str]:
    if rule.control is None:
        return
    filed = current(node, rule.control)
    if not filed:
        yield f"{rule.control} has left no evidence on {node.kind} {node.digest[:19]}"
    for item in filed:  # every one: the worst measurement counts
        yield from _broken_by(rule, item, dossier)
    if rule.fresh_within is not None and filed and request.action is not Action.ROLLBACK:
        age = request.now - _renewed(filed)
        if age >= timedelta(seconds=seconds(rule.fresh_within)):
            yield f"{rule.control} is older than {rule.fresh_within}"
        if age < -MAX_SKEW:
            yield f"{rule.control} is from the future, so nobody can say how old it is"


def _renewed(filed: Sequence[Filed]) -> datetime:
    """Return when a control last gave a result: a new one makes it fresh, the old ones still count for their bounds."""
    return max(item.time for item in filed)


def _broken_by(rule: Rule, item: Filed, dossier: Dossier) -> Iterator[str]:
    evidence = item.evidence
    if evidence.outcome is Outcome.FAILED:
        yield f"{evidence.control} failed: {evidence.reason}"
        return
    if evidence.outcome is Outcome.NOT_APPLICABLE:
        if not _justified(rule.not_applicable_if, dossier):
            yield (
                f"{evidence.control} was not applicable ({evidence.reason}), "
                "and no signed property of the project excuses it"
            )
        return
    if rule.signed_by is not None and rule.signed_by not in {key.role for key in item.verified.signers}:
        yield f"{evidence.control} is not signed by {rule.signed_by}"
    bad = [finding for finding in evidence.findings if finding.severity in rule.none_of]
    if bad:
        worst = max(bad, key=lambda finding: SEVERITIES.index(finding.severity))
        yield (
            f"{evidence.control} found {len(bad)} of a forbidden severity, "
            f"the worst {worst.severity}: {worst.message} at {worst.place}"
        )
    named = [finding for finding in evidence.findings if _forbidden(finding.rule, rule.none_of_rules)]
    if named:
        first = f"{named[0].rule}: {named[0].message} at {named[0].place}"
        yield f"{evidence.control} found what must not be there, {first}" + (
            f", and {', '.join(finding.rule for finding in named[1:])}" if named[1:] else ""
        )
    if rule.measure is not None:
        yield from _out_of_bounds(rule, evidence)


def _forbidden(found: str, names: Sequence[str]) -> bool:
    """Say whether a finding's rule is one of these names, whatever the case; a last `*` stands for every ending."""
    lower = found.casefold()
    return any(
        lower.startswith(name[:-1].casefold()) if name.endswith("*") else lower == name.casefold() for name in names
    )


def _out_of_bounds(rule: Rule, evidence: Evidence) -> Iterator[str]:
    measure = _measure(evidence, rule.measure or "")
    if measure is None:
        yield f"{evidence.control} does not report {rule.measure}"
        return
    unit = "" if measure.unit == "1" else f" {measure.unit}"
    if rule.at_least is not None and not measure.low >= rule.at_least:
        yield (
            f"{rule.measure} is {figure(measure.value)}{unit} with lower bound {_beside(measure.low, rule.at_least)} "
            f"on {measure.n} samples; at least {rule.at_least:g} is required"
        )
    if rule.at_most is not None and not measure.high <= rule.at_most:
        yield (
            f"{rule.measure} is {figure(measure.value)}{unit} with upper bound {_beside(measure.high, rule.at_most)} "
            f"on {measure.n} samples; at most {rule.at_most:g} is allowed"
        )


def _beside(number: float, bound: float) -> str:
    """Return a number with as many digits as tell it from the bound that it breaks.

    >>> _beside(0.89999, 0.9), _beside(0.8123456, 0.9)
    ('0.89999', '0.8123')
    """
    return next((said for said in (figure(number), f"{number:.8g}") if said != f"{bound:g}"), repr(number))


def _measure(evidence: Evidence, name: str) -> Measure | None:
    return next((measure for measure in evidence.measures + evidence.timings if measure.name == name), None)


def _justified(condition: str | None, dossier: Dossier) -> bool:
    """Say whether every project in the closure states, signed by the role plan, the property that excuses a control."""
    if condition is None:
        return False
    key, _, value = condition.partition("=")
    projects = [node for node in dossier.nodes.values() if node.kind is Kind.PROJECT]
    return bool(projects) and all(_stated(node, key) == {value} for node in projects)


def _stated(project: Node, key: str) -> set[str]:
    """Return every value that measured evidence of the role plan states for a fact of a project."""
    return {
        item.evidence.facts[key]
        for item in project.filed
        if item.evidence.outcome is Outcome.MEASURED
        and all(signer.role == "plan" for signer in item.verified.signers)
        and key in item.evidence.facts
    }


def seated(policy: Policy, dossier: Dossier, now: datetime) -> dict[Digest, Seated]:
    """Return whose approvals count on each artifact, over all rules of one topic at once: a person takes one seat.

    A rule that asks for nothing but approvals is excused where a signed property of the project says so; where it also
    names a control, the excuse is the control's, and the persons are asked all the same.
    """
    found = {}
    for node in dossier.nodes.values():
        topics: dict[str, list[tuple[str, Approvals]]] = {}
        for rule in policy.rule:
            excused = rule.control is None and _justified(rule.not_applicable_if, dossier)
            if rule.on is node.kind and rule.approved_by is not None and not excused:
                topics.setdefault(rule.approved_by.rule, []).append((rule.id, rule.approved_by))
        each = [seat(asked, node, dossier, now) for asked in topics.values()]
        ends = [one.until for one in each if one.until is not None]
        lacking = {rule: words for one in each for rule, words in one.lacking.items()}
        found[node.digest] = Seated(lacking=lacking, until=min(ends) if ends and not lacking else None)
    return found


def _deadlines(rule: Rule, node: Node, request: Request) -> list[datetime]:
    """Return when what the rule measures is too old: counted from the newest result."""
    if rule.fresh_within is None or rule.control is None or request.action is Action.ROLLBACK:
        return []
    filed = current(node, rule.control)
    return [_renewed(filed) + timedelta(seconds=seconds(rule.fresh_within))] if filed else []
