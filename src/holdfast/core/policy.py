"""Policies: versioned rules that turn all verified evidence into a permit, or into a denial with reasons in words.

Pure, and monotone by construction: a rule can only ask for evidence and bound it, a CEL expression can only forbid, so
adding bad news never turns a denial into a permit. An empty policy, a missing, stale, failed or unreadable condition
denies. Bounds of intervals are compared, so that a small sample cannot pass by luck.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, Kind, digest_bytes
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.evidence import SEVERITIES, Evidence, Measure, Outcome, Severity
from holdfast.core.ledger import Heads
from holdfast.core.passport import Dossier, Filed, Node

MAX_POLICY: Final = 256 * 1024  # bytes
MAX_CEL: Final = 1000  # characters of one expression: it has no cost limit of its own
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MACRO: Final = re.compile(r"\.\s*(all|exists|exists_one|map|filter)\s*\(")


class Action(StrEnum):
    """What a permit may be for."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    SERVE = "serve"


class Approvals(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many distinct persons must have approved, in which role."""

    role: str
    count: int = 1


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


class Forbid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A prohibition in CEL; true forbids, and so does every error."""

    id: str
    because: str
    cel: str


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
    """Leave to do one thing once; only `decide` makes one."""

    subject: Digest
    action: Action
    environment: str
    policy: Digest
    heads: Heads
    checkpoint_size: int
    issued: datetime
    expires: datetime
    nonce: str
    maker: object

    def __post_init__(self) -> None:
        """Refuse every maker but `decide`."""
        if self.maker is not _MAKER:
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
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(f"the policy cannot be read: {error}", place="policy") from error
    seconds(policy.permit_lasts)
    ids = [rule.id for rule in policy.rule] + [forbid.id for forbid in policy.forbid]
    if len(set(ids)) != len(ids):
        raise InvalidInput("two rules share an id", place=f"policy {policy.name}", expected="distinct ids")
    for rule in policy.rule:
        _check_rule(rule)
    for forbid in policy.forbid:
        if len(forbid.cel) > MAX_CEL or len(_MACRO.findall(forbid.cel)) > 1:
            raise InvalidInput(
                "the expression is too costly", place=f"rule {forbid.id}", expected="one macro, 1000 characters"
            )
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

    1. The trust names this policy, and is not expired. 2. The policy is not empty. 3. No node of the closure is revoked.
    4. Each node has the parents its kind must have. 5. Each rule holds on every node of its kind, of which there is at
    least one. 6. No prohibition applies. Only then a permit, which expires with the first thing it rests on.

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
            expires += _deadlines(rule, node, request)
    reasons += _forbidden(policy, dossier)  # 6.
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
            words = f"{control} was started on {node.kind} {node.digest[:19]} and never gave a result, which counts as failed"
            yield Reason(rule="completeness", subject=node.digest, words=words)


def current(node: Node, control: str) -> tuple[Filed, ...]:
    """Return what counts of a control's evidence: everything measured, and a failure only while nothing came after it."""
    filed = [item for item in node.filed if item.evidence.control == control]
    last_good = max((i for i, item in enumerate(filed) if item.evidence.outcome is not Outcome.FAILED), default=-1)
    return tuple(item for i, item in enumerate(filed) if item.evidence.outcome is not Outcome.FAILED or i > last_good)


def _broken(rule: Rule, node: Node, dossier: Dossier, request: Request) -> Iterator[str]:
    if rule.approved_by is not None:
        yield from _unapproved(rule.approved_by, node, request.now)
    if rule.control is None:
        return
    filed = current(node, rule.control)
    if not filed:
        yield f"{rule.control} has left no evidence on {node.kind} {node.digest[:19]}"
    for item in filed:  # every one: the worst measurement counts
        yield from _broken_by(rule, item, dossier, request)


def _broken_by(rule: Rule, item: Filed, dossier: Dossier, request: Request) -> Iterator[str]:
    evidence = item.evidence
    if evidence.outcome is Outcome.FAILED:
        yield f"{evidence.control} failed: {evidence.reason}"
        return
    if evidence.outcome is Outcome.NOT_APPLICABLE:
        if not _justified(rule.not_applicable_if, dossier):
            yield f"{evidence.control} was not applicable ({evidence.reason}), and no signed property of the project excuses it"
        return
    stale = rule.fresh_within is not None and request.now >= item.time + timedelta(seconds=seconds(rule.fresh_within))
    if stale and request.action is not Action.ROLLBACK:
        yield f"{evidence.control} is older than {rule.fresh_within}"
    if rule.signed_by is not None and rule.signed_by not in {key.role for key in item.verified.signers}:
        yield f"{evidence.control} is not signed by {rule.signed_by}"
    bad = [finding for finding in evidence.findings if finding.severity in rule.none_of]
    if bad:
        worst = max(bad, key=lambda finding: SEVERITIES.index(finding.severity))
        yield f"{evidence.control} found {len(bad)} of severity {worst.severity} or the like, first {worst.message} at {worst.place}"
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
    """Say whether every project in the closure states, signed, the property that excuses a control."""
    if condition is None:
        return False
    key, _, value = condition.partition("=")
    projects = [node for node in dossier.nodes.values() if node.kind is Kind.PROJECT]
    stated = [item.evidence.facts.get(key) for node in projects for item in node.filed]
    return bool(stated) and all(fact == value for fact in stated if fact is not None) and value in stated


def _unapproved(wanted: Approvals, node: Node, now: datetime) -> Iterator[str]:
    words = [word.value for word in node.authorizations]
    rejected = {word.person for word in words if word.action == "reject"}  # in any role, for ever
    approving = [word for word in words if word.action == "approve" and word.role == wanted.role and now < word.until]
    persons = {word.person for word in approving} - rejected
    if rejected:  # bad news counts, whoever else approved
        yield f"{', '.join(sorted(rejected))} rejected it"
    if len(persons) < wanted.count:
        yield f"{len(persons)} of {wanted.count} approvals by {wanted.role}"


def _deadlines(rule: Rule, node: Node, request: Request) -> list[datetime]:
    found: list[datetime] = []
    if rule.approved_by is not None:
        found += [
            word.value.until
            for word in node.authorizations
            if word.value.action == "approve" and word.value.until > request.now
        ]
    if rule.fresh_within is not None and rule.control is not None and request.action is not Action.ROLLBACK:
        found += [item.time + timedelta(seconds=seconds(rule.fresh_within)) for item in current(node, rule.control)]
    return found


def _forbidden(policy: Policy, dossier: Dossier) -> Iterator[Reason]:
    if not policy.forbid:
        return
    try:
        import cel
    except ImportError:
        words = "the policy holds CEL prohibitions, and holdfast[cel] is not installed to evaluate them"
        yield Reason(rule="cel", subject=dossier.subject, words=words)
        return
    facts = _cel_facts(dossier)
    for forbid in policy.forbid:
        try:
            answer = cel.evaluate(forbid.cel, facts)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in the evaluator forbids
            words = f"the prohibition cannot be evaluated: {str(error)[:200]} ({forbid.because})"
            yield Reason(rule=forbid.id, subject=dossier.subject, words=words)
            continue
        if answer is not False:  # anything but a clear false forbids
            yield Reason(rule=forbid.id, subject=dossier.subject, words=forbid.because)


def _cel_facts(dossier: Dossier) -> dict[str, Any]:
    """Return what a prohibition may look at: per control the worst interval of each measure, and the signed facts."""
    measures: dict[str, dict[str, dict[str, float]]] = {}
    facts: dict[str, str] = {}
    for node in dossier.nodes.values():
        for item in node.filed:
            facts |= {f"{item.evidence.control}:{key}": value for key, value in item.evidence.facts.items()}
            known = measures.setdefault(item.evidence.control, {})
            for measure in item.evidence.measures:
                old = known.get(measure.name, {"low": measure.low, "high": measure.high})
                known[measure.name] = {"low": min(old["low"], measure.low), "high": max(old["high"], measure.high)}
    return {"measures": measures, "facts": facts, "subject": dossier.subject}
