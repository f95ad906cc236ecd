"""Explanations: what each rule of a policy found in a dossier, and how two policies differ, in words.

An explanation decides nothing: it takes the verdict of `decide`, and says beside each rule what it looked at.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from holdfast.core.approval import seconds
from holdfast.core.artifact import Digest, Kind
from holdfast.core.passport import Dossier, Node, current
from holdfast.core.policy import Denial, Permit, Policy, Request, Rule, decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One rule: whether it holds, whether persons waived it, why not in words, and what it looked at."""

    rule: str
    because: str
    holds: bool
    waived: bool
    words: tuple[str, ...]
    rests_on: tuple[str, ...]


def explain(policy: Policy, digest: Digest, dossier: Dossier, request: Request) -> tuple[Explained, ...]:
    """Return what each rule found: those of the policy in order, then whatever denies beyond them."""
    verdict = decide(policy, digest, dossier, request)
    said: dict[str, list[str]] = {}
    for reason in verdict.reasons if isinstance(verdict, Denial) else ():
        said.setdefault(reason.rule, []).append(reason.words)
    covered = verdict.waived if isinstance(verdict, Permit) else ()
    rules = tuple(
        Explained(
            rule=rule.id,
            because=rule.because,
            holds=rule.id not in said and rule.id not in covered,
            waived=rule.id in covered,
            words=tuple(said.pop(rule.id, ())),
            rests_on=tuple(_looked_at(rule, dossier)),
        )
        for rule in policy.rule
    )
    prohibitions = {forbid.id: forbid.because for forbid in policy.forbid}
    always = tuple(
        Explained(
            rule=rule, because=prohibitions.get(rule, ""), holds=False, waived=False, words=tuple(words), rests_on=()
        )
        for rule, words in said.items()
    )
    return (*rules, *always)


def _looked_at(rule: Rule, dossier: Dossier) -> Iterator[str]:
    if rule.not_applicable_if is not None:
        yield from _excuses(rule.not_applicable_if, dossier)
    for node in dossier.nodes.values():
        if node.kind is not rule.on:
            continue
        if rule.control is not None:
            yield from _evidence(rule, rule.control, node)
        if rule.approved_by is not None:
            for word in (verified.value for verified in node.authorizations):
                about = word.rule == rule.approved_by.rule and word.role in rule.approved_by.roles
                if about or word.action == "reject":
                    yield f"{word.person} as {word.role}: {word.action}, until {word.until:%Y-%m-%d %H:%M}"


def _excuses(condition: str, dossier: Dossier) -> Iterator[str]:
    """Yield what is stated of the project that excuses a rule."""
    key, _, value = condition.partition("=")
    for node in dossier.nodes.values():
        for item in node.filed:
            if node.kind is Kind.PROJECT and item.evidence.facts.get(key) == value:
                signers = ", ".join(sorted({each.role for each in item.verified.signers}))
                yield f"{item.evidence.control} states {condition}, which excuses it, sealed by {signers}"


def _evidence(rule: Rule, control: str, node: Node) -> Iterator[str]:
    for item in current(node, control):
        evidence = item.evidence
        shown = [str(each) for each in (*evidence.measures, *evidence.timings) if rule.measure in {None, each.name}]
        signers = ", ".join(sorted({key.role for key in item.verified.signers}))
        found = "; ".join(shown[:3]) or evidence.reason[:120] or f"{len(evidence.findings)} findings"
        yield (
            f"{control} on {node.kind} {node.digest[7:19]}: {evidence.outcome}, {found}, sealed by {signers} "
            f"at {item.time:%Y-%m-%d %H:%M:%S}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between two policies; `effect` is what it does to who gets through."""

    rule: str
    effect: str  # added, removed, tightened, loosened or changed
    words: str


_TIGHTER: Final = {True: "tightened", False: "loosened"}


def differences(old: Policy, new: Policy) -> tuple[Change, ...]:
    """Return how a newer policy differs from an older one: rules first, then what is said of the whole."""
    before, after = ({rule.id: rule for rule in policy.rule} for policy in (old, new))
    changes = [Change(rule=name, effect="removed", words=before[name].because) for name in before if name not in after]
    changes += [Change(rule=name, effect="added", words=after[name].because) for name in after if name not in before]
    for name in before:
        if name in after:
            changes += _rule_changes(before[name], after[name])
    barred = ({forbid.id: forbid for forbid in policy.forbid} for policy in (old, new))
    changes += _forbid_changes(*barred)
    changes += _whole_changes(old, new)
    return tuple(changes)


def _forbid_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in {**before, **after}:
        if name not in after:
            yield Change(rule=name, effect="removed", words=before[name].because)
        elif name not in before:
            yield Change(rule=name, effect="added", words=after[name].because)
        elif before[name].cel != after[name].cel:
            yield Change(rule=name, effect="changed", words=f"{before[name].cel} → {after[name].cel}")


def _rule_changes(old: Rule, new: Rule) -> Iterator[Change]:
    for name in (field.name for field in msgspec.structs.fields(Rule)):
        was, now = getattr(old, name), getattr(new, name)
        if was != now and name != "because":
            tighter = _tighter(name, was, now)
            effect = "changed" if tighter is None else _TIGHTER[tighter]
            yield Change(rule=old.id, effect=effect, words=f"{name}: {_shown(was)} → {_shown(now)}")


def _tighter(name: str, was: Any, now: Any) -> bool | None:
    """Say whether fewer get through with the newer value of a field; None where that cannot be told."""
    if name in {"waivable", "not_applicable_if"}:  # what lets somebody through is tighter where it is gone
        return None if was and now else bool(was)
    if name in {"at_least", "at_most", "fresh_within", "signed_by", "approved_by"} and (was is None or now is None):
        return was is None
    match name:
        case "at_least":
            return bool(now > was)
        case "at_most":
            return bool(now < was)
        case "fresh_within":
            return seconds(now) < seconds(was)
        case "none_of" | "none_of_rules":
            return True if set(now) > set(was) else False if set(now) < set(was) else None
        case "approved_by":
            return _stricter_approvals(was, now)
    return None


def _stricter_approvals(was: Any, now: Any) -> bool | None:
    signs = {now.count - was.count, now.not_author - was.not_author}
    fewer, more = set(now.roles) < set(was.roles), set(now.roles) > set(was.roles)
    if set(now.roles) != set(was.roles) and not (fewer or more):
        return None
    up, down = max(signs) > 0 or fewer, min(signs) < 0 or more
    return up if up != down else None


def _whole_changes(old: Policy, new: Policy) -> Iterator[Change]:
    """Yield differences in what is said of a policy as a whole."""
    if old.covers != new.covers:  # a policy for higher tiers decides about more
        effect = _TIGHTER[new.covers < old.covers]
        yield Change(rule="covers", effect=effect, words=f"control tier {old.covers} → {new.covers}")
    if old.permit_lasts != new.permit_lasts:
        effect = _TIGHTER[seconds(new.permit_lasts) < seconds(old.permit_lasts)]
        yield Change(rule="permit_lasts", effect=effect, words=f"{old.permit_lasts} → {new.permit_lasts}")
    for name in ("environments", "waivers"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield Change(rule=name, effect="changed", words=f"{_shown(was)} → {_shown(now)}")
    for kind in {**old.derivation, **new.derivation}:
        lost = set(old.derivation.get(kind, ())) - set(new.derivation.get(kind, ()))
        gained = set(new.derivation.get(kind, ())) - set(old.derivation.get(kind, ()))
        for parent in sorted(lost):
            yield Change(rule="derivation", effect="loosened", words=f"a {kind} need not derive from a {parent}")
        for parent in sorted(gained):
            yield Change(rule="derivation", effect="tightened", words=f"a {kind} must derive from a {parent}")


def _shown(value: object) -> str:
    if value is None or value == ():
        return "nothing"
    return msgspec.json.encode(value).decode() if not isinstance(value, str) else value
