"""Decisions on record: everything that a decision was a function of, so that it can be made again and compared.

A permit stands in the routing that it led to, a denial in the release's own history and, with the ids of the rules that
denied, in the history of the policy that was violated. `replay` makes each of them again from what the ledger held at
that moment, with the trust and the policy of then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import HoldfastError, NotFound, NotVerified
from holdfast.core.ledger import Checkpoint, Draft, Entry, SignedCheckpoint
from holdfast.core.passport import Dossier, open_passport, parse_passport
from holdfast.core.policy import Action, Denial, Permit, Request, decide, parse_policy
from holdfast.core.seal import TRUST, unseal
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import ROUTED
from holdfast.registry import build_passport

DENIED: Final = "decision.denied"
VIOLATED: Final = "policy.violated"


def recorded_permit(plant: Plant, permit: Permit) -> dict[str, Any]:
    """Return what is put on record of a permit."""
    return {
        "answer": "permit",
        "subject": permit.subject,
        "action": permit.action,
        "environment": permit.environment,
        "policy": permit.policy,
        "size": permit.checkpoint_size,
        "now": permit.issued.isoformat(),
        "nonce": permit.nonce,
        "expires": permit.expires.isoformat(),
        "rules": list(permit.waived),
        "trust": plant.blobs.put(plant.trust_document()),
    }


def denial_drafts(plant: Plant, denial: Denial, dossier: Dossier, request: Request, text: bytes) -> tuple[Draft, Draft]:
    """Return the entries that put a denial on record: in the history of the release, and of the policy it violates.

    Args:
        plant: The control plane.
        denial: What was decided.
        dossier: What it was decided on.
        request: What was asked.
        text: The policy's bytes, which are kept.
    """
    plant.blobs.put(text)
    rules = sorted({reason.rule for reason in denial.reasons})
    decision = {
        "answer": "denial",
        "subject": denial.subject,
        "action": denial.action,
        "environment": request.environment,
        "policy": denial.policy,
        "size": dossier.checkpoint.size,
        "now": request.now.isoformat(),
        "nonce": request.nonce,
        "expires": "",
        "rules": rules,
        "trust": plant.blobs.put(plant.trust_document()),
    }
    reasons = [{"rule": each.rule, "subject": each.subject, "words": each.words} for each in denial.reasons]
    body = {"action": denial.action, "policy": denial.policy, "reasons": reasons, "decision": decision}
    violated = {"release": denial.subject, "action": denial.action, "rules": rules}
    return (
        Draft(kind=DENIED, actor="registry", stream=denial.subject, body=body),
        Draft(kind=VIOLATED, actor="registry", stream=f"policy/{denial.policy}", body=violated),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One decision made again: where it stands, what it was, and how today's answer differs, if it does."""

    position: int
    decision: dict[str, Any]
    difference: str


def replay_all(plant: Plant) -> Iterator[Replayed]:
    """Make every recorded decision again, oldest first."""
    kept = {Checkpoint.size_of(signed): signed for signed in plant.ledger.checkpoints()}
    for entry in plant.ledger.entries():
        for decision in _decisions(entry):
            yield Replayed(
                position=entry.position, decision=decision, difference=_differs(plant, entry, decision, kept)
            )


def _decisions(entry: Entry) -> tuple[dict[str, Any], ...]:
    if entry.kind == ROUTED:
        return tuple(entry.body.get("decisions", ()))
    if entry.kind == DENIED and "decision" in entry.body:
        return (entry.body["decision"],)
    return ()


def _differs(plant: Plant, entry: Entry, decision: dict[str, Any], kept: dict[int, SignedCheckpoint]) -> str:
    """Return in words how a decision comes out otherwise than recorded; empty where it does not."""
    try:
        verdict = _again(plant, entry, decision, kept)
    except HoldfastError as error:
        return f"it cannot be made again: {error.message} ({error.place})"
    answer = "permit" if isinstance(verdict, Permit) else "denial"
    if answer != decision["answer"]:
        why = f": {verdict.reasons[0]}" if isinstance(verdict, Denial) else ""
        return f"then a {decision['answer']}, now a {answer}{why}"
    rules = sorted({each.rule for each in verdict.reasons}) if isinstance(verdict, Denial) else list(verdict.waived)
    if rules != decision["rules"]:
        return f"then by {', '.join(decision['rules']) or 'no rule'}, now by {', '.join(rules) or 'no rule'}"
    expires = verdict.expires.isoformat() if isinstance(verdict, Permit) else ""
    return "" if expires == decision["expires"] else f"then until {decision['expires']}, now until {expires}"


def _again(plant: Plant, entry: Entry, decision: dict[str, Any], kept: dict[int, SignedCheckpoint]) -> Permit | Denial:
    """Decide again: over the ledger as it was, with the trust and policy of then."""
    signed = kept.get(int(decision["size"]))
    if signed is None:
        raise NotFound("no checkpoint of that size is kept", place=f"entry {entry.position}")
    document = plant.blobs.get(Digest(decision["trust"]))
    now = datetime.fromisoformat(decision["now"])
    trust = unseal(document, TRUST, plant.trust, at=now, threshold=plant.trust.root_threshold).value
    policy, digest = parse_policy(plant.blobs.get(Digest(decision["policy"])))
    passport = build_passport(plant.ledger, plant.blobs, Digest(decision["subject"]), signed)
    dossier = open_passport(parse_passport(passport), trust, origin=plant.origin)
    if digest != decision["policy"]:
        raise NotVerified("the policy is another one", place=digest)
    request = Request(
        action=Action(decision["action"]), environment=decision["environment"], now=now, nonce=decision["nonce"]
    )
    return decide(policy, digest, dossier, request)
