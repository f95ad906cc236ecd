"""Gates: what the registry says of a release's policy, as evidence that moves its state.

The decision itself is `core.policy.decide`, made again for every route table. What is filed here says which of the
policy's rules held, without the approvals, and how many of those it asks for: with it a reader of the ledger sees how
far a release had come, and a release without it never becomes a candidate.
"""

import msgspec

from holdfast.core.artifact import Digest, Kind
from holdfast.core.evidence import Evidence, Finding, MadeWith, Outcome, Severity, exactly
from holdfast.core.ledger import Draft
from holdfast.core.passport import FILED
from holdfast.core.policy import Action, Denial, Policy, Request, decide
from holdfast.core.project import Project
from holdfast.core.seal import EVIDENCE
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import ENVIRONMENT
from holdfast.lifecycle.registry_record import record_of
from holdfast.lifecycle.routing import Rules, case_of, rules_of
from holdfast.registry.proofs import GATES
from holdfast.registry.record import gated_under


def file_gates(plant: Plant, project: Project, release: Digest) -> None:
    """Put on record which rules of its policy a release meets, unless just that is on record already.

    Raises:
        NotVerified: Something in the closure does not check out.
        NotFound: The ledger knows no such release.
    """
    rules = rules_of(plant, release)
    if gated_under(record_of(plant, project.project.name, release), rules.digest):
        return
    item = _measured(plant, rules, release)
    envelope = plant.seal(item, EVIDENCE, "registry")
    body = {"control": GATES, "run": f"{envelope}/{GATES}", "envelope": envelope, "outcome": item.outcome}
    plant.ledger.append([Draft(kind=FILED, actor="registry", stream=release, body=body)])


def _measured(plant: Plant, rules: Rules, release: Digest) -> Evidence:
    """Return evidence of what `decide` says of a policy without its approvals."""
    dossier = case_of(plant, release).dossier
    request = Request(action=Action.PROMOTE, environment=ENVIRONMENT, now=plant.clock.now(), nonce="gates")
    verdict = decide(unapproved(rules.policy), rules.digest, dossier, request)
    reasons = verdict.reasons if isinstance(verdict, Denial) else ()
    waived = set(verdict.waived) if not isinstance(verdict, Denial) else set()
    asked = [rule.approved_by for rule in rules.policy.rule if rule.approved_by is not None]
    wanted = [each for each in asked if not each.rule]  # of the release as a whole; the rest is for `decide` alone
    return Evidence(
        control=GATES,
        subject=release,
        kind=Kind.RELEASE,
        outcome=Outcome.MEASURED,
        made_with=MadeWith(code=plant.code, configuration=rules.digest, data=(release,)),
        measures=(exactly("rules", len(rules.policy.rule)), exactly("unmet", len(reasons))),
        findings=tuple(
            Finding(place=reason.subject, severity=Severity.MEDIUM, rule=reason.rule, message=reason.words[:1000])
            for reason in reasons[:100]
        ),
        facts={
            "policy": rules.digest,
            "waived": ",".join(
                sorted({rule.control for rule in rules.policy.rule if rule.control and rule.id in waived})
            ),
            "approvals": ",".join(f"{'|'.join(each.roles)}={each.count}" for each in wanted),
        },
    )


def unapproved(policy: Policy) -> Policy:
    """Return a policy without the approvals it asks for; a rule that asked for nothing else is gone."""
    kept = (msgspec.structs.replace(rule, approved_by=None) for rule in policy.rule if rule.control is not None)
    return msgspec.structs.replace(policy, rule=tuple(kept))
