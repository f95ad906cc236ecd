"""Waivers of rules of the intake: persons' signed words that let something from outside in although one rule is broken.

Whose word counts, and for how long, is decided by `core.policy` as for a release: a quorum in roles that the policy
names, none of whom signed for the origin. Here only what could never count is turned away, before it is signed.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

from holdfast.core.approval import Waivers, seconds
from holdfast.core.artifact import Artifact
from holdfast.core.authorship import authors_of, wrote
from holdfast.core.errors import InvalidInput, NotFound, Refused
from holdfast.core.policy import Policy, Rule
from holdfast.lifecycle.admission import Said, policy_for, say
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.quarantine import named
from holdfast.lifecycle.reply import Reply, short
from holdfast.lifecycle.routing import case_of

LASTS: Final = "7d"


def waive(
    plant: Plant,
    *,
    subject: str,
    rule: str,
    reason: str,
    role: str,
    key: Path | None = None,
    lasts: str = LASTS,
    policy: Path | None = None,
) -> Reply:
    """Put a person's signed waiver of one rule of the intake, for one thing from outside, on record; it ends by itself.

    Args:
        plant: The control plane.
        subject: The beginning of its digest.
        rule: The rule's id, as a denial names it.
        reason: Why, in a sentence.
        role: In which role the person speaks.
        key: The folder with the person's own key; the owner's if left out.
        lasts: For how long.
        policy: Another policy than the shipped one, that it is going to be admitted by.

    Raises:
        NotFound: The policy has no such rule, or nothing from outside has this digest.
        Refused: The rule cannot be waived, or not by this person.
        InvalidInput: It would last longer than the policy lets it.
    """
    check_reason(reason)
    plant.unlock()
    thing, sort = named(plant, subject)
    rules, _, _ = policy_for(sort, policy)
    terms = _waivable(rules, _rule(rules, rule), role)
    if timedelta(seconds=seconds(lasts)) > timedelta(seconds=seconds(terms.longest)):
        raise InvalidInput(f"a waiver that lasts {lasts}", place=rule, expected=f"at most {terms.longest}")
    word = say(
        plant,
        thing,
        role,
        key,
        Said(rule=rule, reason=reason, lasts=lasts, action="waive"),
        allowed=lambda person: _check_other(plant, thing, person),
    ).value
    says = (
        f"{word.person} waived {rule} for {short(thing.digest)} as {role}, until {word.until:%Y-%m-%d}. "
        f"It takes {terms.count} persons; then `holdfast intake admit` decides."
    )
    document = {"subject": thing.digest, "rule": rule, "person": word.person, "role": role}
    return Reply(says=says, document=document | {"until": word.until.isoformat(), "needed": terms.count})


def _rule(policy: Policy, wanted: str) -> Rule:
    found = next((each for each in policy.rule if each.id == wanted), None)
    if found is None:
        expected = ", ".join(each.id for each in policy.rule if each.waivable) or "none can be waived"
        raise NotFound(f"the policy {policy.name} has no rule {wanted[:80]!r}", expected=expected)
    return found


def _waivable(policy: Policy, rule: Rule, role: str) -> Waivers:
    terms = policy.waivers
    if terms is None or not rule.waivable or role not in terms.roles:
        words = f"the policy {policy.name} lets nobody of role {role} waive {rule.id}"
        remedy = "Meet the rule: origin, signatures, revocation and what a scan finds malicious are waived by nobody."
        raise Refused(words, place=rule.id, remedy=remedy)
    return terms


def _check_other(plant: Plant, thing: Artifact, person: str) -> None:
    """Check that a person did not sign for the origin; before anybody did, nobody can tell.

    Raises:
        Refused: The person did, or nobody has.
    """
    authors = authors_of(case_of(plant, thing.digest).dossier)
    if authors is None:
        remedy = "Have its origin recorded first: holdfast intake record."
        raise Refused("nobody has signed for its origin, so nobody can be told not to have", place=thing.digest,
                      remedy=remedy)  # fmt: skip
    if wrote(person, authors):
        words = f"{person} signed for its origin, so this waiver could not count"
        raise Refused(words, place=thing.digest, remedy="Ask somebody else.")
