"""Cases: what a policy is expected to answer, each on a history in memory that is written for it and decided upon.

A case begins with a release that just meets every rule, and says what is different: controls that left nothing, further
evidence, words of persons, time that has passed. So a policy's author can say what it must refuse, and be told when it
no longer does.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from holdfast.core.approval import seconds
from holdfast.core.artifact import Kind
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.evidence import Finding, Severity, exactly, failed
from holdfast.core.policy import Action, Denial, Policy, parse_policy
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.policies import load_policy, shipped_policies
from holdfast.lifecycle.reply import Progress, Reply, Table
from holdfast.testing.chronicle import MADE_WITH, Chronicle, fulfil, measured

MAX_CASES: Final = 1 << 20  # bytes of a file of cases
PERSONS: Final = ("alice", "bob", "carol", "dave", "Mallory Maker <mallory@example.org>")
"""Persons who hold every role; the last one wrote the training code. The first ones have approved what is asked for."""
CASES: Final = "cases"  # the folder of the shipped policies' own cases


class More(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Further evidence: of a control that measured, or one that failed."""

    control: str
    on: Kind
    measures: dict[str, float] = {}
    findings: tuple[Severity, ...] = ()
    found: tuple[str, ...] = ()  # rules of further findings, of no severity to speak of
    facts: dict[str, str] = {}
    failed: str = ""  # the reason; then nothing was measured


class Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's word on the release."""

    person: str
    role: str
    action: Literal["approve", "reject", "waive"] = "approve"
    rule: str = ""
    lasts: str = "7d"


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is different from a release that meets every rule, and what the answer must be."""

    name: str
    policy: str  # a shipped policy, or a file beside the cases
    expect: Literal["permit", "denial"]
    rules: tuple[str, ...] = ()  # the rules that deny, or that are waived; all of them
    but: tuple[str, ...] = ()  # controls that left nothing
    evidence: tuple[More, ...] = ()
    words: tuple[Word, ...] = ()
    revoked: tuple[Kind, ...] = ()
    environment: str = ""  # where; by default one that the policy decides about
    action: Action = Action.PROMOTE
    after: str = ""  # how much later it is decided
    approved: bool = True  # whether the persons that the policy asks for have approved the release


class Cases(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of cases."""

    case: tuple[Case, ...]


def check(root: Path, *, tell: Any, file: Path | None = None) -> Reply:
    """Decide every case, and compare with what is expected.

    Raises:
        InvalidInput: The file is no file of cases.
        NotVerified: An answer is not the expected one; the place is the first case of which that is so.
    """
    files = [file] if file is not None else _shipped()
    rows, wrong = [], []
    for path in files:
        for case in read_cases(path):
            difference = differs(case, path.parent if file is not None else root)
            rows.append((path.name, case.name, difference or "as expected"))
            if difference:
                wrong.append((case.name, difference))
                tell(Progress(stage="policy test", state="failed", words=f"{case.name}: {difference}"))
    if wrong:
        name, words = wrong[0]
        remedy = "Correct the policy, or the case if the policy was meant to change."
        raise NotVerified(f"{len(wrong)} of {len(rows)} cases: {words}", place=name, remedy=remedy)
    document = {"cases": [{"file": name, "case": case, "result": result} for name, case, result in rows]}
    table = Table(title="Cases", columns=("file", "case", "result"), rows=rows)
    return Reply(says=f"{len(rows)} cases, each as expected.", document=document, tables=(table,))


def _shipped() -> list[Path]:
    policies = shipped_policies()
    found = sorted((policies[0].parent / CASES).glob("*.toml")) if policies else []
    if not found:  # empty means no
        raise InvalidInput("no cases are shipped here", expected="a file of cases")
    return found


def read_cases(path: Path) -> tuple[Case, ...]:
    """Return the cases in a TOML or JSON file.

    Raises:
        InvalidInput: It cannot be read, or holds no case.
    """
    data = read_given(path, limit=MAX_CASES, what="the file of cases")
    decode = msgspec.json.decode if path.suffix == ".json" else msgspec.toml.decode
    try:
        found = decode(data, type=Cases)
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not TOML, not cases
        raise InvalidInput(f"the cases cannot be read: {error}", place=str(path)) from error
    if not found.case:  # empty means no
        raise InvalidInput("the file holds no case", place=str(path), expected="[[case]]")
    return found.case


def differs(case: Case, root: Path) -> str:
    """Return in words how the answer to a case differs from the expected one; empty where it does not.

    Raises:
        NotFound: There is no such policy.
        InvalidInput: It is malformed.
    """
    text = load_policy(case.policy, root)[2]
    policy, _ = parse_policy(text)
    chronicle, made = _written(case, policy, text)
    where = case.environment or (policy.environments[0] if policy.environments else "production")
    later = chronicle.clock.now() + timedelta(seconds=seconds(case.after) if case.after else 0)
    answer = chronicle.decide(text, made[Kind.RELEASE], action=case.action, now=later, environment=where)
    got = "denial" if isinstance(answer, Denial) else "permit"
    rules = sorted({reason.rule for reason in answer.reasons} if isinstance(answer, Denial) else set(answer.waived))
    if got == case.expect and rules == sorted(set(case.rules)):
        return ""
    return f"{got} by {_named(rules)}, expected a {case.expect} by {_named(sorted(set(case.rules)))}"


def _named(rules: Sequence[str]) -> str:
    return ", ".join(rules) or "no rule"


def _written(case: Case, policy: Policy, text: bytes) -> tuple[Chronicle, dict[Kind, Any]]:
    """Write the history that a case describes."""
    asked = {role for rule in policy.rule if rule.approved_by is not None for role in rule.approved_by.roles}
    roles = asked | {word.role for word in case.words} | set(policy.waivers.roles if policy.waivers else ())
    chronicle = Chronicle(text, persons=PERSONS, roles=sorted(roles))
    made = fulfil(chronicle, text, but=case.but, approved=case.approved)
    for more in case.evidence:
        subject = made[more.on]
        if more.failed:
            chronicle.file(failed(more.control, subject.digest, subject.kind, MADE_WITH, more.failed))
            continue
        measures = [exactly(name, value) for name, value in more.measures.items()] or [exactly("items", 1)]
        findings = [Finding(place="case", severity=each, rule="case", message="a finding") for each in more.findings]
        findings += [Finding(place="case", severity=Severity.INFO, rule=each, message="found") for each in more.found]
        chronicle.file(measured(more.control, subject, *measures, findings=findings, facts=more.facts))
    for word in case.words:
        lasts = timedelta(seconds=seconds(word.lasts))
        chronicle.authorize(word.person, made[Kind.RELEASE], word.action, role=word.role, rule=word.rule, lasts=lasts)
    for kind in case.revoked:
        chronicle.revoke(made[kind])
    return chronicle, made
