"""Policies: versioned rules that turn all verified evidence into a permit, or into a denial with reasons in words.

Pure, and monotone by construction: a rule can only ask for evidence and bound it, a CEL expression can only forbid, so
adding bad news never turns a denial into a permit. An empty policy, a missing, stale, failed or unreadable condition
denies. Bounds of intervals are compared, so that a small sample cannot pass by luck.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from holdfast.core.artifact import Digest, Kind, digest_bytes
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.evidence import SEVERITIES, Evidence, Measure, Outcome, Severity
from holdfast.core.ledger import Heads
from holdfast.core.passport import Dossier, Filed, Node
from holdfast.core.prohibition import Forbid, check_forbid, objections
from holdfast.core.trust import Trust

MAX_POLICY: Final = 256 * 1024  # bytes
MAX_SKEW: Final = timedelta(minutes=1)  # how far the ledger's clock may be ahead of the one that decides
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Action(StrEnum):
    """What a permit may be for."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    SERVE = "serve"


class Approvals(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many distinct persons must have approved, in which role, and of what their words must speak."""

    role: str
    count: int = 1
    rule: str = ""  # what the words are about, such as `signoff.design`; empty: the release as a whole


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One condition on every artifact of one kind in the closure."""

    id: str
    because: str
    on: Kind = Kind.RELEASE
    control: str | None = None
    measure: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    none_of: tuple[Severity, ...] = ()
    fresh_within: str | None = None
    signed_by: str | None = None
    approved_by: Approvals | None = None
    not_applicable_if: str | None = None  # "key=value" of the signed project's facts that justifies not-applicable


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A versioned set of rules; see `docs/reference/policy.md`."""

    name: str
    version: int
    permit_lasts: str
    derivation: dict[Kind, tuple[Kind, ...]]
    rule: tuple[Rule, ...]
    forbid: tuple[Forbid, ...] = ()


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


def parse_policy(text: bytes) -> tuple[Policy, Digest]:
    """Return the policy in a TOML document, and the document's digest.

    Raises:
        InvalidInput: Unknown keys, a rule without a condition, a duplicate id, a malformed duration or expression.
    """
    digest = digest_bytes(text)
    if len(text) > MAX_POLICY:
        raise InvalidInput(f"a policy of {len(text)} bytes", expected=f"at most {MAX_POLICY}")
    try:
        policy = msgspec.toml.decode(text, type=Policy)
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not TOML, not a policy
        raise InvalidInput(f"the policy cannot be read: {error}", place="policy") from error
    seconds(policy.permit_lasts)
    ids = [rule.id for rule in policy.rule] + [forbid.id for forbid in policy.forbid]
    if len(set(ids)) != len(ids):
        raise InvalidInput("two rules share an id", place=f"policy {policy.name}", expected="distinct ids")
    for rule in policy.rule:
        _check_rule(rule)
    for forbid in policy.forbid:
        check_forbid(forbid)
    return policy, digest


def seconds(text: str) -> int:
    """Return a duration such as `30d` in seconds.

    >>> seconds("15m")
    900

    Raises:
        InvalidInput: It is not a positive whole number and one of s, m, h, d.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{text!r} is not a duration", expected="for example 90s, 15m, 12h or 30d")
    return int(found[1]) * _UNITS[found[2]]


def _check_rule(rule: Rule) -> None:
    place = f"rule {rule.id}"
    bounds = rule.at_least is not None or rule.at_most is not None
    if bounds != (rule.measure is not None):
        raise InvalidInput("a bound needs a measure and a measure a bound", place=place)
    if not all(math.isfinite(bound) for bound in (rule.at_least, rule.at_most) if bound is not None):
        raise InvalidInput("a bound that is no number", place=place, expected="not inf or nan, which bound nothing")
    if rule.control is None and (bounds or rule.none_of or rule.fresh_within or rule.signed_by):
        raise InvalidInput("a condition on evidence names no control", place=place, expected="control = …")
    if rule.control is None and rule.approved_by is None:  # empty means no
        raise InvalidInput("the rule demands nothing", place=place, expected="a control or approved_by")
    if rule.control is not None and not (bounds or rule.none_of or rule.fresh_within or rule.signed_by):
        raise InvalidInput(
            "the rule bounds nothing", place=place, expected="at_least, at_most, none_of, fresh_within or signed_by"
        )
    if rule.fresh_within is not None:
        seconds(rule.fresh_within)
    if rule.not_applicable_if is not None and "=" not in rule.not_applicable_if:
        raise InvalidInput("not_applicable_if is not key=value", place=place)
    if rule.approved_by is not None and rule.approved_by.count < 1:
        raise InvalidInput("an approval by nobody", place=place, expected="count of at least 1")


def decide(policy: Policy, digest: Digest, dossier: Dossier, request: Request) -> Permit | Denial:
    """Decide whether an action on the dossier's subject is allowed.

    1. The trust names this policy, and is not expired.
    2. The policy is not empty, and the subject is a release.
    3. No node of the closure is revoked.
    4. Each node has the parents its kind must have, and no unfinished run.
    5. Each rule holds on every node of its kind, of which there is at least one.
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
    for rule in policy.rule:  # 5.
        nodes = [node for node in dossier.nodes.values() if node.kind is rule.on]
        if not nodes:
            reasons.append(_because(rule, dossier.subject, f"nothing of kind {rule.on} is in the closure"))
        for node in nodes:
            reasons += (_because(rule, node.digest, words) for words in _broken(rule, node, dossier, request))
            expires += _deadlines(rule, node, dossier.trust, request)
    reasons += (  # 6.
        Reason(rule=rule, subject=dossier.subject, words=words) for rule, words in objections(policy.forbid, dossier)
    )
    if not reasons and min(expires) <= request.now:
        reasons.append(
            Reason(rule="expiry", subject=dossier.subject, words="what the permit would rest on has expired")
        )
    if reasons:
        return Denial(subject=dossier.subject, action=request.action, policy=digest, reasons=tuple(reasons))
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
    kind = dossier.nodes[dossier.subject].kind
    if kind is not Kind.RELEASE:  # else a model could borrow the approvals of a release that it derives from
        yield Reason(rule="subject", subject=dossier.subject, words=f"only a release can be permitted, not a {kind}")


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


def current(node: Node, control: str) -> tuple[Filed, ...]:
    """Return what counts of a control's evidence: all but failures that a later result has superseded."""
    filed = [item for item in node.filed if item.evidence.control == control]
    last_good = max((i for i, item in enumerate(filed) if item.evidence.outcome is not Outcome.FAILED), default=-1)
    return tuple(item for i, item in enumerate(filed) if item.evidence.outcome is not Outcome.FAILED or i > last_good)


def _broken(rule: Rule, node: Node, dossier: Dossier, request: Request) -> Iterator[str]:
    # Where a rule also names a control, the excuse is the control's: the persons are asked all the same.
    excused = rule.control is None and _justified(rule.not_applicable_if, dossier)
    if rule.approved_by is not None and not excused:
        yield from _unapproved(rule.approved_by, node, dossier.trust, request.now)
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
    if rule.measure is not None:
        yield from _out_of_bounds(rule, evidence)


def _out_of_bounds(rule: Rule, evidence: Evidence) -> Iterator[str]:
    measure = _measure(evidence, rule.measure or "")
    if measure is None:
        yield f"{evidence.control} does not report {rule.measure}"
        return
    unit = "" if measure.unit == "1" else f" {measure.unit}"
    if rule.at_least is not None and not measure.low >= rule.at_least:
        yield (
            f"{rule.measure} is {measure.value:.4g}{unit} with lower bound {measure.low:.4g} on {measure.n} samples; "
            f"at least {rule.at_least:g} is required"
        )
    if rule.at_most is not None and not measure.high <= rule.at_most:
        yield (
            f"{rule.measure} is {measure.value:.4g}{unit} with upper bound {measure.high:.4g} on {measure.n} samples; "
            f"at most {rule.at_most:g} is allowed"
        )


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


def _unapproved(wanted: Approvals, node: Node, trust: Trust, now: datetime) -> Iterator[str]:
    rejected = {word.value.person for word in node.authorizations if word.value.action == "reject"}  # in any role
    approved = _approved(wanted, node, trust, now)
    if rejected:  # bad news counts, whoever else approved
        yield f"{', '.join(sorted(rejected))} rejected it"
    if len(approved) < wanted.count:
        of = f" of {wanted.rule}" if wanted.rule else ""
        yield f"{len(approved)} of {wanted.count} approvals{of} by {wanted.role}"


def _approved(wanted: Approvals, node: Node, trust: Trust, now: datetime) -> list[datetime]:
    """Return until when each person's approval in the wanted role lasts, longest first; a person counts once.

    The role is one that the root keys have granted, never one that the person claims.
    """
    until: dict[str, datetime] = {}
    for word in (verified.value for verified in node.authorizations):
        meant = (word.action, word.role, word.rule) == ("approve", wanted.role, wanted.rule)
        if meant and now < word.until:
            granted = trust.granted(word.person, word.role, now)
            if granted is not None:
                until[word.person] = max(min(word.until, granted), until.get(word.person, now))
    return sorted(until.values(), reverse=True)


def _deadlines(rule: Rule, node: Node, trust: Trust, request: Request) -> list[datetime]:
    """Return when what the rule rests on ends: the last approval that is needed, and the age of the newest result."""
    found: list[datetime] = []
    if rule.approved_by is not None:
        found += _approved(rule.approved_by, node, trust, request.now)[: rule.approved_by.count][-1:]
    if rule.fresh_within is not None and rule.control is not None and request.action is not Action.ROLLBACK:
        filed = current(node, rule.control)
        found += [_renewed(filed) + timedelta(seconds=seconds(rule.fresh_within))] if filed else []
    return found
