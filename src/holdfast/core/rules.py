"""Rules: what a policy's document may say, read once and strictly; `core.policy` decides by them."""

import math
import re
from typing import Final

import msgspec

from holdfast.core.approval import Approvals, Waivers, check_approvals, check_waivers, seconds
from holdfast.core.artifact import Digest, Kind, digest_bytes
from holdfast.core.errors import InvalidInput
from holdfast.core.evidence import Severity
from holdfast.core.prohibition import Forbid, check_forbid

MAX_POLICY: Final = 256 * 1024  # bytes
TIER: Final = "plan.tier/1"  # the control whose measure `tier` says how strictly a model must be controlled
STRICTEST: Final = 4  # the highest control tier
_FINDING: Final = re.compile(r"[a-z0-9-]+\.[A-Za-z0-9.+:-]*\*?")
NEVER_WAIVED: Final = frozenset(
    {
        "release.signature",
        "registry.signature",
        "ingest.provenance",
        "release.origin",
        "train.authorship",
        "plan.tier",
        "features.view",
        "features.lineage",
        "features.links",
    }
)
"""Controls of signature, provenance and derivation, and those that rules about persons rest on, of any version."""
SCANS: Final = frozenset({"release.sweep", "release.scan"})
"""Controls of scans: a finding of the worst severity means malicious (`policies/scan/`), and cannot be waived."""


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
    none_of_rules: tuple[str, ...] = ()  # of findings, by name in any case; a last `*` stands for every ending
    fresh_within: str | None = None
    signed_by: str | None = None
    approved_by: Approvals | None = None
    not_applicable_if: str | None = None  # "key=value" of the signed project's facts that justifies not-applicable
    waivable: bool = False  # whether persons may waive it for one release, as the policy's `waivers` say


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A versioned set of rules; see `docs/reference/policy.md`."""

    name: str
    version: int
    permit_lasts: str
    derivation: dict[Kind, tuple[Kind, ...]]
    rule: tuple[Rule, ...]
    forbid: tuple[Forbid, ...] = ()
    environments: tuple[str, ...] = ()  # where it may decide; everywhere where none is named
    covers: int = 1  # the highest control tier that these rules are strict enough for; what says nothing is for light
    waivers: Waivers | None = None  # nobody may waive anything where nothing is said


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
    if not 1 <= policy.covers <= STRICTEST:
        raise InvalidInput(f"covers = {policy.covers}", place=f"policy {policy.name}", expected=f"1 to {STRICTEST}")
    if policy.waivers is not None:
        check_waivers(policy.waivers, f"policy {policy.name}: waivers")
    for rule in policy.rule:
        _check_rule(rule)
    for forbid in policy.forbid:
        check_forbid(forbid)
    return policy, digest


def _check_rule(rule: Rule) -> None:
    place = f"rule {rule.id}"
    bounds = rule.at_least is not None or rule.at_most is not None
    if bounds != (rule.measure is not None):
        raise InvalidInput("a bound needs a measure and a measure a bound", place=place)
    if not all(math.isfinite(bound) for bound in (rule.at_least, rule.at_most) if bound is not None):
        raise InvalidInput("a bound that is no number", place=place, expected="not inf or nan, which bound nothing")
    found = rule.none_of or rule.none_of_rules
    if rule.control is None and (bounds or found or rule.fresh_within or rule.signed_by):
        raise InvalidInput("a condition on evidence names no control", place=place, expected="control = …")
    if rule.control is None and rule.approved_by is None:  # empty means no
        raise InvalidInput("the rule demands nothing", place=place, expected="a control or approved_by")
    if rule.control is not None and not (bounds or found or rule.fresh_within or rule.signed_by):
        expected = "at_least, at_most, none_of, none_of_rules, fresh_within or signed_by"
        raise InvalidInput("the rule bounds nothing", place=place, expected=expected)
    for name in rule.none_of_rules:
        if not _FINDING.fullmatch(name):  # a name that no finding can have would forbid nothing
            raise InvalidInput(f"{name[:80]!r} names no finding", place=place, expected="as licence.GPL-3.0-only")
    if rule.fresh_within is not None:
        seconds(rule.fresh_within)
    if rule.not_applicable_if is not None and "=" not in rule.not_applicable_if:
        raise InvalidInput("not_applicable_if is not key=value", place=place)
    if rule.approved_by is not None:
        check_approvals(rule.approved_by, place)
    if rule.waivable:
        _check_waivable(rule, place)


def _check_waivable(rule: Rule, place: str) -> None:
    control = (rule.control or "").partition("/")[0]
    if rule.signed_by or rule.approved_by or control in NEVER_WAIVED:
        raise InvalidInput("signatures, provenance, derivation and approvals cannot be waived", place=place)
    if control in SCANS and ("critical" in rule.none_of or not rule.none_of):
        words = "what a scan finds malicious, or could not read, cannot be waived"
        raise InvalidInput(words, place=place, expected='a rule of its own for none_of = ["critical"]')
