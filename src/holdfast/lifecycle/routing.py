"""Routing: from evidence to a permit, and from permits to the signed table that the gateway obeys.

Whatever answers, answers by a decision made for this very table over all that the ledger holds: `draw` decides,
`commit` appends. Between the two nothing may have been said about what was decided upon; the ledger compares the heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.consent import check_consent, consent
from holdfast.core.errors import Conflict, LedgerBroken, NotFound, NotVerified, PolicyDenied
from holdfast.core.ledger import Draft, Heads, SignedCheckpoint
from holdfast.core.needs import Needs
from holdfast.core.passport import REVOKED, Dossier, open_passport, parse_passport
from holdfast.core.placement import common, model_in
from holdfast.core.policy import Action, Denial, Permit, Policy, Request, decide, parse_policy, seconds
from holdfast.core.project import Project, parse_project
from holdfast.core.routes import Credential, ModelRoute, RouteTable
from holdfast.core.seal import ROUTES
from holdfast.lifecycle.access_compiled import compiled
from holdfast.lifecycle.access_identities import ended, identities, trust_domain
from holdfast.lifecycle.attesting import decided
from holdfast.lifecycle.decisions import denial_drafts, recorded_permit
from holdfast.lifecycle.guarding import guards_of
from holdfast.lifecycle.inputs import read_project_file
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import (
    ENVIRONMENT,
    ROUTED,
    carried,
    endpoint_stream,
    present_table,
    settle,
    standing,
)
from holdfast.lifecycle.registry_record import project_of, refusal
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.resilience import check_commands, resilience_of
from holdfast.registry import Signal, Standing, build_passport, news_of, renewed
from holdfast.registry.record import CLEARED, QUARANTINED

__all__ = ["commit", "current_project", "draw", "permit_for", "project_of", "renew", "standing"]

CREDENTIALS: Final = "credentials"  # the stream of API keys


def current_project(plant: Plant) -> Project:
    """Return the project in the workspace's folder, as its file says it now.

    Raises:
        InvalidProject: There is none, or something in it is wrong.
    """
    return parse_project(read_project_file(plant.home.project_file))[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All verified evidence on a release and its closure, and the passport that proves it to others."""

    dossier: Dossier
    passport: bytes
    heads: Heads  # of all it was made of, as they are now


def case_of(plant: Plant, subject: Digest, signed: SignedCheckpoint | None = None) -> Case:
    """Return everything the ledger proves about a release, by a checkpoint signed now unless one is given.

    Raises:
        NotVerified: Something in the closure does not check out.
        NotFound: The ledger knows nothing of the release, or an envelope is gone.
    """
    document = build_passport(plant.ledger, plant.blobs, subject, signed or plant.ledger.checkpoint())
    dossier = open_passport(parse_passport(document), plant.trust, origin=plant.origin)
    return Case(dossier=dossier, passport=document, heads=dossier.heads)


def standing_case(plant: Plant, project: Project, release: str) -> Case | None:
    """Return what is proved about a release by the very passport that it serves with.

    None where it does not serve, where something that a decision reads was said of it since, or where the passport does
    not check out by what is trusted now.

    Raises:
        LedgerBroken: History does not fit its hashes.
    """
    present = present_table(plant, project)
    passports: dict[str | None, str | None] = {}
    for model in present.models if present else ():
        passports |= {model.candidate: model.candidate_passport, model.baseline: model.passport}
    known = passports.get(release)
    if known is None:
        return None
    try:
        document = plant.blobs.get(Digest(known))
        dossier = open_passport(parse_passport(document), plant.trust, origin=plant.origin)
    except LedgerBroken:
        raise
    except (NotVerified, NotFound):
        return None
    heads = plant.ledger.heads(list(dossier.heads))  # read first: what is said after this, the ledger will notice
    if news_of(plant.ledger, dossier.subject, dossier.checkpoint.size):
        return None
    return Case(dossier=dossier, passport=document, heads=heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A policy with its bytes."""

    policy: Policy
    digest: Digest
    text: bytes


def rules_of(plant: Plant, release: str) -> Rules:
    """Return the policy that a release's own project names.

    Raises:
        NotFound: There is no such policy.
        InvalidInput: It is malformed, or lies outside the project.
    """
    policy, digest, text = plant.load_policy(project_of(plant, release).gates.policy)
    return Rules(policy=policy, digest=digest, text=text)


def judge(
    plant: Plant, rules: Rules, dossier: Dossier, action: Action, environment: str = ENVIRONMENT
) -> Permit | Denial:
    """Decide about an action on a release; nothing is recorded."""
    return decide(rules.policy, rules.digest, dossier, _request(plant, action, environment))


def _request(plant: Plant, action: Action, environment: str) -> Request:
    nonce = plant.entropy.token(16).hex()
    return Request(action=action, environment=environment, now=plant.clock.now(), nonce=nonce)


def permit_for(plant: Plant, rules: Rules, dossier: Dossier, action: Action, environment: str = ENVIRONMENT) -> Permit:
    """Return the permit for an action on a release.

    Raises:
        PolicyDenied: With every reason; the denial is on record.
    """
    request = _request(plant, action, environment)
    match decide(rules.policy, rules.digest, dossier, request):
        case Permit() as permit:
            return permit
        case Denial() as denial:
            subject = denial.subject
            said = decided(plant, dossier, denial, at=request.now, environment=environment)
            plant.ledger.append([*denial_drafts(plant, denial, dossier, request, rules.text), *said])
            words = tuple(str(reason) for reason in denial.reasons)
            refused = f"policy {rules.policy.name} does not let release {short(subject)} into {environment}"
            raise PolicyDenied(refused, reasons=words, place=subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A route table that may be signed, what it rests on, and the heads of all that was decided upon."""

    after: Standing
    table: RouteTable
    rules: Rules
    permit: Permit | None  # for the one release that did not answer before
    permits: tuple[Permit, ...]  # every one that the table rests on
    heads: Heads
    passports: tuple[bytes, ...]
    summary: tuple[Draft, ...] = ()  # what others may read of the decision about that release


def draw(
    plant: Plant, project: Project, after: Standing, *, subject: str = "", action: Action = Action.PROMOTE
) -> Drawn:
    """Decide whether an endpoint may stand so, and draw the table for it.

    1. What answers anew is the one subject, and it gets a permit for just this action. 2. Each release that answers is
    permitted to serve. 3. The lease ends with the first permit.

    Args:
        plant: The control plane.
        project: The project whose endpoint it is.
        after: The new standing.
        subject: The release that begins to answer, or takes over; empty where nothing does.
        action: By what right it does.

    Raises:
        PolicyDenied: A release may not do what `after` says; `place` names it, and the denial is on record.
        NotVerified: The evidence on a release does not check out, or more begins to answer than the subject.
        Conflict: The endpoint does not stand as `after` supposes.
    """
    stream = endpoint_stream(project)
    heads: dict[str, tuple[int, str]] = dict(plant.ledger.heads([stream]))
    before = standing(plant, project)
    if after.epoch != before.epoch + 1:
        raise Conflict(f"the endpoint stands at epoch {before.epoch}", place=stream, expected=f"{after.epoch - 1}")
    strangers = set(after.releases) - {*before.releases, subject}
    if strangers or (subject and subject not in after.releases):
        raise NotVerified("a release would answer that nobody decided about", place=next(iter(strangers), subject))
    cases = {release: _checked_case(plant, project, Digest(release), subject) for release in after.releases}
    rules = _standing_rules(plant, project, after, subject, action)
    permit, said = None, list[Draft]()
    if subject:  # 1.
        entering = rules_of(plant, subject) if action is Action.PROMOTE else rules
        permit = permit_for(plant, entering, cases[subject].dossier, action)
        said = decided(plant, cases[subject].dossier, permit, at=permit.issued, environment=ENVIRONMENT)
        if action is Action.ROLLBACK:  # the gateways ask for it too, and would refuse a table without it
            check_consent(cases[subject].dossier, _floor(plant, project, before), plant.clock.now())
    serving = []
    for release, case in cases.items():  # 2.
        serving.append(permit_for(plant, rules, case.dossier, Action.SERVE))
        _check_state(plant, project, after, Digest(release), entering=release == subject)
        heads |= case.heads
    expires = [each.expires for each in serving]
    passports = {release: case.passport for release, case in cases.items()}
    table = _table(plant, project, after, rules, passports, expires)  # 3.
    return Drawn(
        after=after,
        table=table,
        rules=rules,
        permit=permit,
        permits=(*([permit] if permit else []), *serving),
        heads=heads,
        passports=tuple(passports.values()),
        summary=tuple(said),
    )


def _check_state(plant: Plant, project: Project, after: Standing, release: Digest, *, entering: bool) -> None:
    """Check that a release's state lets it answer: what is on record of it must have led there.

    Raises:
        PolicyDenied: It does not; the denial is on record.
    """
    signal = (Signal.ROUTED if after.baseline == release else Signal.SHARED) if entering else None
    words = refusal(plant, project, release, signal)
    if not words:
        return
    reasons = [{"rule": "state", "subject": release, "words": words}]
    body = {"action": signal or Action.SERVE, "policy": "", "reasons": reasons}
    plant.ledger.append([Draft(kind="decision.denied", actor="registry", stream=release, body=body)])
    said = f"its state does not let release {short(release)} into {ENVIRONMENT}"
    raise PolicyDenied(said, reasons=(f"[state] {words}",), place=release)


def _floor(plant: Plant, project: Project, before: Standing) -> datetime | None:
    """Return the newest consent to what answers now, as far as that checks out: what must go may be what is broken."""
    found = [standing_case(plant, project, release) for release in before.releases]
    given = [consent(case.dossier, plant.clock.now()) for case in found if case is not None]
    return max((moment for moment in given if moment is not None), default=None)


def _checked_case(plant: Plant, project: Project, release: Digest, subject: str) -> Case:
    """Return all that is proved about a release; where something does not check out, the error's place names it."""
    try:
        known = standing_case(plant, project, release) if release != subject else None
        return known or case_of(plant, release)
    except LedgerBroken:
        raise
    except (NotVerified, NotFound) as error:
        words = f"the evidence on this release does not check out: {error.message} ({error.place})"
        raise NotVerified(words, place=release) from error


def rules_for(plant: Plant, project: Project, release: str) -> Rules:
    """Return the policy that decides about a release: the endpoint's, if it answers there, else its own project's.

    An endpoint's policy is its last promotion's, until the next one brings its own. So neither an edited file nor a
    newer version of Holdfast changes under what a standing release answers.
    """
    present = present_table(plant, project)
    if present is None or release not in standing(plant, project).releases:
        return rules_of(plant, release)
    return _rules_in(plant, present)


def _rules_in(plant: Plant, table: RouteTable) -> Rules:
    text = plant.blobs.get(Digest(table.policy))
    policy, digest = parse_policy(text)
    return Rules(policy=policy, digest=digest, text=text)


def _standing_rules(plant: Plant, project: Project, after: Standing, subject: str, action: Action) -> Rules:
    """Return the policy under which an endpoint will stand: that of a promotion, else the present one."""
    present = present_table(plant, project)
    if present is None or (subject and subject == after.baseline and action is Action.PROMOTE):
        release = subject or after.baseline
        return rules_of(plant, release) if release else _rules_named(plant, project)
    return _rules_in(plant, present)


def _rules_named(plant: Plant, project: Project) -> Rules:
    policy, digest, text = plant.load_policy(project.gates.policy)
    return Rules(policy=policy, digest=digest, text=text)


def _table(
    plant: Plant,
    project: Project,
    after: Standing,
    rules: Rules,
    passports: Mapping[str, bytes],
    expires: list[datetime],
) -> RouteTable:
    now, name = plant.clock.now(), project.project.name
    digests = {release: digest_bytes(document) for release, document in passports.items()}
    # Guards and lease are those of the project that the baseline was made from, and so went through the gate with it.
    terms = project_of(plant, after.baseline) if after.baseline else project
    check_commands(plant, terms, after.releases)
    serving = ModelRoute(
        name=name,
        baseline=after.baseline,
        passport=digests.get(after.baseline, ""),
        candidate=after.candidate or None,
        candidate_passport=digests.get(after.candidate),
        candidate_share=after.share,
        plan=after.plan,
        salt=after.salt,
        segment=after.segment,
        experiment=after.experiment,
        mirrored=after.mirrored,
        resilience=resilience_of(plant, terms, after.releases),
        needs=terms.needs if terms.needs != Needs() else None,
    )
    return RouteTable(
        workspace=plant.trust.workspace,
        environment=ENVIRONMENT,
        epoch=after.epoch,
        issued=now,
        expires=min([now + timedelta(seconds=seconds(terms.serving.lease)), *expires]),
        policy=rules.digest,
        models=(serving,) if after.baseline else (),  # none: the declared safe state, in which nothing answers
        guards=guards_of(terms, [project_of(plant, Digest(release)) for release in after.releases]),
        credentials=credentials(plant, now, name),
        identities=identities(plant, (name,)),
        trust_domain=trust_domain(plant),
        ended=ended(plant, now),
        regions=common(*(model_in(project_of(plant, Digest(release))) for release in after.releases)),
        revoked=revoked(plant),
    )


def commit(plant: Plant, project: Project, drawn: Drawn, *, because: tuple[Draft, ...] = ()) -> RouteTable:
    """Sign a drawn table, append it with what it follows from, and publish it.

    Args:
        plant: The control plane.
        project: The project whose endpoint it is.
        drawn: The table, and the heads on which it was decided: none of them may have moved since.
        because: Entries appended in the same transaction: the promotion or the return.

    Raises:
        Conflict: Something was said meanwhile about what was decided upon; nothing was changed.
        Refused: The permit was used before; nothing was changed.
        NotVerified: The permit has expired.
    """
    permit, after = drawn.permit, drawn.after
    if permit is not None:
        permit.covers(subject=permit.subject, action=permit.action, environment=ENVIRONMENT, now=plant.clock.now())
    stream = endpoint_stream(project)
    for document in (drawn.rules.text, *drawn.passports):
        plant.blobs.put(document)
    sealed = plant.seal(drawn.table, ROUTES, "registry")
    body: dict[str, Any] = {
        "standing": msgspec.to_builtins(after),
        "permit": _permitted(permit) if permit else None,
        "decisions": [recorded_permit(plant, each) for each in drawn.permits],
        "table": sealed,
        "files": carried(plant, drawn.table, sealed, drawn.rules.text),
        "pointer": {"name": stream, "digest": after.baseline},
    }
    routed = Draft(kind=ROUTED, actor="registry", stream=stream, body=body)
    plant.ledger.append(
        [*because, *drawn.summary, routed], expect=drawn.heads, consume_nonce=permit.nonce if permit else None
    )
    settle(plant, project)
    return drawn.table


def _permitted(permit: Permit) -> dict[str, Any]:
    return {"nonce": permit.nonce, "expires": permit.expires.isoformat(), "waived": list(permit.waived)}


def renew(plant: Plant, project: Project) -> RouteTable | None:
    """Sign a newer table of the same standing, with a fresh lease; None where nothing was ever in production.

    Each release is decided upon again: what may no longer serve gets no lease.

    Raises:
        PolicyDenied: A release that answers may no longer serve; `place` names it.
        NotVerified: The evidence on one does not check out.
    """
    now = standing(plant, project)
    if not now.epoch:
        return None
    return commit(plant, project, draw(plant, project, renewed(now)))


def credentials(plant: Plant, now: datetime, name: str) -> tuple[Credential, ...]:
    """Return the API keys in force for a model: the fold of their stream, and what rules about access compile to."""
    kept: dict[str, Credential] = {}
    for entry in plant.ledger.stream(CREDENTIALS):
        if entry.kind == "credential.issued":
            kept[entry.body["hash"]] = msgspec.convert(entry.body, Credential)
        elif entry.kind == "credential.revoked":
            kept = {hashed: item for hashed, item in kept.items() if item.id != entry.body["id"]}
    issued = tuple(item for item in kept.values() if item.expires > now)
    return (*issued, *compiled(plant, (name,)))


def revoked(plant: Plant) -> tuple[str, ...]:
    """Return the digests that may not answer, whatever else says so: revoked for ever, or quarantined for now."""
    gone, aside = set[str](), set[str]()
    for entry in plant.ledger.entries():
        if entry.kind == REVOKED:
            gone.add(entry.stream)
        elif entry.kind == QUARANTINED:
            aside.add(entry.stream)
        elif entry.kind == CLEARED:  # whether somebody entitled said so, the release's state tells
            aside.discard(entry.stream)
    return tuple(sorted(gone | aside))
