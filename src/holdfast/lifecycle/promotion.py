"""Promotion and rollback: by whose word a release goes into production or leaves it.

Every way in is the same: a person's signed word, the release's passport built from the whole ledger, `decide`, and an
append that names the heads the decision was made on. What follows from it for the gateway is in `routing`.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from holdfast.core.artifact import Digest, Kind
from holdfast.core.consent import RETURN
from holdfast.core.errors import Conflict, InvalidInput, LedgerBroken, NotFound, NotVerified, PolicyDenied
from holdfast.core.ledger import Draft
from holdfast.core.passport import AUTHORIZED
from holdfast.core.policy import MAX_POLICY, Action, parse_policy
from holdfast.core.project import Project
from holdfast.core.routes import INFER, LOOK, RouteTable
from holdfast.core.seal import AUTHORIZATION, Authorization
from holdfast.lifecycle.consuming import consume
from holdfast.lifecycle.incidents import resolution
from holdfast.lifecycle.inputs import check_reason, read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.registry_gates import file_gates
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.routing import CREDENTIALS, Drawn, commit, current_project, draw, project_of, renew
from holdfast.lifecycle.runner import project_stream
from holdfast.lifecycle.trusting import demand_quorum
from holdfast.registry import Standing, promoted, renewed, rolled_back, with_candidate
from holdfast.rollout import PROMOTED, Plan, Share, Verdict
from holdfast.rollout import canary as plan_of
from holdfast.serve.credentials import hash_api_key

APPROVAL_LASTS: Final = timedelta(days=30)
MAY_ANSWER: Final = 4  # releases: the one that goes in, and three that may answer again when it must go
ATTEMPTS: Final = 5  # to take a release out while others write: each needs one of them to file evidence just then
MAX_CLIENT: Final = 64  # characters of a client's name
MAX_DAYS: Final = 366  # of an API key: one that never expires is never looked at again
KEY_BYTES: Final = 32  # of entropy in an API key: guessing is hopeless, so a fast keyed hash may store it


def promote(
    plant: Plant, *, release: str | None = None, reason: str, canary: bool = False, no_approve: bool = False
) -> Reply:
    """Approve a release with the owner's key and, if the policy permits, put it into production.

    With `no_approve` it only decides: by the approvals that are on record.

    Raises:
        PolicyDenied: With every reason in words; the denial is on record.
        Conflict: A canary is going on already, or there is no release that one could return to.
        NotVerified: A file of it was changed and no good copy is left, or it is not signed.
    """
    check_reason(reason)
    plant.unlock()
    project = current_project(plant)
    subject = resolve_release(plant, project, release)
    with plant.ledger.lease("route"):
        now = standing(plant, project)
        after = _entering(plant, now, subject) if canary else promoted(now, subject)
        drawn, table = enter(plant, project, now, after, subject, reason, no_approve=no_approve)
    if after.candidate == subject:
        says = f"Release {short(subject)} now answers {after.share:.0%} of the calls as a canary."
    else:
        says = f"Release {short(subject)} is in production."
    document = {
        "release": subject,
        "epoch": table.epoch,
        "canary": after.candidate == subject,
        "permit_expires": drawn.permit.expires.isoformat() if drawn.permit else None,
    }
    return Reply(says=says, document=document)


def enter(
    plant: Plant,
    project: Project,
    now: Standing,
    after: Standing,
    subject: Digest,
    reason: str,
    *,
    no_approve: bool = False,
    because: tuple[Draft, ...] = (),
) -> tuple[Drawn, RouteTable]:
    """Let a release in by the owner's word, under the lease of whoever routes: as the baseline, or beside it.

    Raises:
        PolicyDenied: With every reason in words; the denial is on record.
        NotVerified: A file of it was changed and no good copy is left, or it is not signed.
    """
    at = plant.clock.now()  # one moment for all that is said at once: neither word is older than the other
    if not no_approve:
        authorize(plant, project, subject, "approve", reason, at=at)
    file_gates(plant, project, subject)
    # Who lets a release in also says what may answer again if it must go at night: gateways ask for this word.
    may_return(plant, project, [*after.previous, *{after.baseline} - {subject}, subject], reason, at)
    drawn = draw(plant, project, after, subject=subject, action=Action.PROMOTE)
    consume(plant, subject, Kind.RELEASE)  # the last thing before anything changes: these bytes are published
    return drawn, commit(plant, project, drawn, because=(*because, *_entry(project, now, drawn, subject, reason)))


def _entering(plant: Plant, now: Standing, subject: Digest) -> Standing:
    """Return the standing in which a release answers the first share of its own plan."""
    if now.candidate:
        remedy = "Wait until it has ended, or take it back with `holdfast rollback`."
        raise Conflict("a canary is going on", place=now.candidate, remedy=remedy)
    state, commands = plan_of(project_of(plant, subject).rollout.steps).step(now.rollout, Verdict.START)
    if state == PROMOTED:  # a plan of one step: all of the traffic at once
        return promoted(now, subject)
    share = next(each.share for each in commands if isinstance(each, Share))
    return with_candidate(now, subject, share, state, plan=Plan.CANARY, salt=new_salt(plant))


def new_salt(plant: Plant) -> str:
    """Return the key of a new split: what it was in the last rollout says nothing of this one."""
    return plant.entropy.token(16).hex()


def _entry(project: Project, now: Standing, drawn: Drawn, subject: Digest, reason: str) -> tuple[Draft, ...]:
    """Return what is put on record with a promotion."""
    after, owner = drawn.after, project.project.owner
    kind = "release.candidate" if after.candidate == subject else "release.promoted"
    body = {"reason": reason, "nonce": drawn.permit.nonce if drawn.permit else ""}
    entries = [Draft(kind=kind, actor=owner, stream=subject, body=body)]
    if now.candidate not in {"", subject, after.candidate}:
        words = {"reason": f"it made way for release {short(subject)}"}
        entries.append(Draft(kind="release.returned", actor=owner, stream=now.candidate, body=words))
    ended = resolution(project, now, reason) if after.posture != now.posture else ()
    return (*entries, *ended)


def rollback(plant: Plant, *, model: str | None = None, reason: str) -> Reply:
    """Put the last good release before this one back into production, by the owner's word.

    Where no earlier one may serve any more, nothing answers: that is the declared safe state.

    Raises:
        Conflict: Nothing is in production.
    """
    check_reason(reason)
    plant.unlock()
    project = current_project(plant)
    if model not in {None, project.project.name}:
        raise NotFound(f"this workspace serves no model {model!r}", expected=project.project.name)
    with plant.ledger.lease("route"):
        now = standing(plant, project)
        if not now.baseline:
            raise Conflict("nothing is in production", remedy="Promote a release first.")
        at = plant.clock.now()
        authorize(plant, project, Digest(now.candidate or now.baseline), "rollback", reason, at=at)
        after, _ = rolled_back(now, now.posture)
        may_return(plant, project, [*after.previous, after.baseline], reason, at)
        withdrawn, target = withdraw(plant, project, actor=project.project.owner, reason=reason, posture=now.posture)
    says = f"Release {short(withdrawn)} is out of production; " + (
        f"{short(target)} answers again." if target else "nothing answers: there is no earlier release that may serve."
    )
    return Reply(says=says, document={"withdrawn": withdrawn, "serving": target})


def withdraw(
    plant: Plant,
    project: Project,
    *,
    actor: str,
    reason: str,
    posture: str,
    release: str = "",
    because: tuple[Draft, ...] = (),
    attempts: int = ATTEMPTS,
) -> tuple[str, str]:
    """Take a release out of production; return the withdrawn release and the one that answers instead.

    The one that answers instead is decided upon anew, under the rollback's rules. One that may not serve any more is
    passed over for the one before it; where none is left, nothing answers. So a rollback never fails because of what it
    would go back to. What it is `because` of is appended with it, all or nothing.

    Raises:
        Conflict: The release is not in production, or others wrote about it all the time.
        LedgerBroken: History does not fit its hashes; nothing may be written on top of it.
    """
    now = standing(plant, project)
    after, withdrawn = rolled_back(now, posture, release)
    drawn = _last_good(plant, project, now, after)
    gone = [digest for digest in now.releases if digest not in drawn.after.releases]
    why = [Draft(kind="release.returned", actor=actor, stream=digest, body={"reason": reason}) for digest in gone]
    try:
        commit(plant, project, drawn, because=(*because, *why))
    except Conflict:  # a run files evidence just now; what is wrong must go all the same
        if attempts == 1:
            raise
        again = attempts - 1
        return withdraw(
            plant,
            project,
            actor=actor,
            reason=reason,
            posture=posture,
            release=withdrawn,
            because=because,
            attempts=again,
        )
    return withdrawn, drawn.after.baseline


def _last_good(plant: Plant, project: Project, now: Standing, after: Standing) -> Drawn:
    """Return the table of the newest earlier standing that may still serve, at last of the one in which none does."""
    while True:
        anew = after.baseline if after.baseline not in now.releases else ""
        try:
            return draw(plant, project, after, subject=anew, action=Action.ROLLBACK)
        except LedgerBroken:
            raise
        except (PolicyDenied, NotVerified, NotFound):  # a denial is on record
            if not after.baseline:
                raise
            after = msgspec.structs.replace(rolled_back(after, after.posture)[0], epoch=now.epoch + 1)


def issue_key(plant: Plant, *, client: str, days: int = 30, operations: str = "infer,look") -> Reply:
    """Issue an API key; it is shown once and stored as a keyed hash.

    Raises:
        InvalidInput: A client without a name, or a key that never expires.
        PolicyDenied: What is in production may not serve any more, so no gateway could be told of the key.
    """
    if not client.isprintable() or not client.strip() or len(client) > MAX_CLIENT:
        raise InvalidInput(f"client {client[:80]!r}", expected=f"a name of up to {MAX_CLIENT} printable characters")
    if not 0 < days <= MAX_DAYS:
        raise InvalidInput(f"{days} days", expected=f"1 to {MAX_DAYS}")
    permitted = tuple(operations.split(","))
    if not set(permitted) <= {INFER, LOOK} or len(set(permitted)) != len(permitted):
        raise InvalidInput(f"operations {operations[:80]!r}", expected=f"{INFER}, {LOOK}, or both with a comma between")
    plant.unlock()
    project = current_project(plant)
    key = "hf_" + secrets.token_urlsafe(KEY_BYTES)
    body: dict[str, Any] = {
        "id": client,
        "hash": hash_api_key(plant.credential_key(), key),
        "models": [project.project.name],
        "expires": (plant.clock.now() + timedelta(days=days)).isoformat(),
        "operations": permitted,
    }
    issued = Draft(kind="credential.issued", actor=project.project.owner, stream=CREDENTIALS, body=body)
    with plant.ledger.lease("route"):
        now = standing(plant, project)
        if now.epoch:
            draw(plant, project, renewed(now))  # would there be a table? Else nothing is written
        plant.ledger.append([issued])
        renew(plant, project)
    table = Table(
        title="API key (shown once)", columns=("client", "key", "expires"), rows=((client, key, body["expires"][:10]),)
    )
    document = {"client": client, "key": key, "expires": body["expires"]}
    return Reply(says="Keep the key now: only its keyed hash is stored.", document=document, tables=(table,))


def accept_policy(plant: Plant, *, file: Path) -> Reply:
    """Let the root key accept a policy, so that it may decide here.

    Raises:
        InvalidInput: The file cannot be read, or is not a policy.
        Refused: More root holders must sign: `holdfast trust propose --accept`.
    """
    text = read_given(file, limit=MAX_POLICY + 1, what="the policy")
    policy, digest = parse_policy(text)
    plant.unlock()
    demand_quorum(plant)
    body = {"policy": plant.blobs.put(text), "name": policy.name}
    with plant.ledger.lease("trust"):
        # On record first: a trust that accepts more than the record says would be the worse half.
        plant.ledger.append([Draft(kind="policy.accepted", actor="root", stream="trust", body=body)])
        plant.accept_policy(digest)
    return Reply(says=f"Policy {policy.name} {short(digest)} may now decide here.", document={"policy": digest})


def newest_release(plant: Plant, project: Project) -> str | None:
    """Return the release that the newest finished run made, or found made already."""
    for entry in reversed(plant.ledger.stream(project_stream(project))):
        if entry.kind in {"stage.finished", "stage.reused"}:
            for item in entry.body["artifacts"]:
                if item["kind"] == Kind.RELEASE:
                    return str(item["digest"])
    return None


def resolve_release(plant: Plant, project: Project, release: str | None) -> Digest:
    """Return the release that was meant: the newest, or the only one whose digest begins as given.

    Raises:
        NotFound: None has been made yet, or none or several begin so.
    """
    if release is None:
        newest = newest_release(plant, project)
        if newest is None:
            raise NotFound("no release has been made yet", remedy="Make one with `holdfast run`.")
        return Digest(newest)
    wanted = release.removeprefix("sha256:")
    made = {
        str(item["digest"])
        for entry in plant.ledger.stream(project_stream(project))
        if entry.kind == "stage.finished"
        for item in entry.body["artifacts"]
        if item["kind"] == Kind.RELEASE and str(item["digest"]).removeprefix("sha256:").startswith(wanted)
    }
    if len(made) != 1 or not wanted:
        raise NotFound(
            f"{len(made)} releases begin with {release[:80]!r}",
            expected="the digest of one release",
            remedy="`holdfast registry list` shows all of them.",
        )
    return Digest(made.pop())


def may_return(plant: Plant, project: Project, releases: Sequence[str], reason: str, at: datetime) -> None:
    """Put on record which releases may answer from now on, whatever was approved when; the last ones of these."""
    named = [Digest(digest) for digest in releases if digest][-MAY_ANSWER:]
    words = [_word(plant, project, digest, "rollback", reason, at=at, rule=RETURN) for digest in named]
    if words:  # none: what goes leaves the declared safe state
        plant.ledger.append(words)


def authorize(
    plant: Plant,
    project: Project,
    subject: Digest,
    action: Literal["approve", "rollback"],
    reason: str,
    *,
    at: datetime | None = None,
    rule: str = "",
) -> None:
    """Put the owner's signed word on record, as of a moment; now, if left out."""
    plant.ledger.append([_word(plant, project, subject, action, reason, at=at or plant.clock.now(), rule=rule)])


def _word(
    plant: Plant,
    project: Project,
    subject: Digest,
    action: Literal["approve", "rollback"],
    reason: str,
    *,
    at: datetime,
    rule: str,
) -> Draft:
    """Sign the owner's word, and return the entry that files it."""
    word = Authorization(
        person=plant.person,
        role="owner",
        action=action,
        subject=subject,
        rule=rule,
        until=at + APPROVAL_LASTS,
        reason=reason,
        issued=at,
    )
    envelope = plant.seal(word, AUTHORIZATION, "person")
    body = {"action": action, "person": plant.person, "envelope": envelope}
    return Draft(kind=AUTHORIZED, actor=project.project.owner, stream=subject, body=body)
