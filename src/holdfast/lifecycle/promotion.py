"""Promotion and rollback: by whose word a release goes into production or leaves it.

Every way in is the same: a person's signed word, the release's passport built from the whole ledger, `decide`, and an
append that names the heads the decision was made on. What follows from it for the gateway is in `routing`.
"""

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import Conflict, InvalidInput, NotFound
from holdfast.core.ledger import Draft
from holdfast.core.passport import AUTHORIZED
from holdfast.core.policy import Action, parse_policy
from holdfast.core.project import Project
from holdfast.core.seal import AUTHORIZATION, Authorization
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.routing import CREDENTIALS, current_project, permit_for, renew, route, standing
from holdfast.lifecycle.runner import project_stream
from holdfast.registry import promoted, rolled_back, with_candidate
from holdfast.serve.credentials import hash_api_key

APPROVAL_LASTS: Final = timedelta(days=30)
MAX_REASON: Final = 500  # characters
KEY_BYTES: Final = 32  # of entropy in an API key: guessing is hopeless, so a fast keyed hash may store it


def promote(plant: Plant, *, release: str | None = None, reason: str, canary: bool = False) -> Reply:
    """Approve a release with the owner's key and, if the policy permits, put it into production.

    Raises:
        PolicyDenied: With every reason in words; the denial is on record.
    """
    project = current_project(plant)
    subject = _resolve(plant, project, release)
    with plant.ledger.lease("route"):
        _authorize(plant, project, subject, "approve", reason)
        permit = permit_for(plant, project, subject, Action.PROMOTE)
        now = standing(plant, project)
        if canary:
            share = project.rollout.steps[0]
            after = with_candidate(now, subject, share, "step-0")
            says = f"Release {short(subject)} now answers {share:.0%} of the calls as a canary."
        else:
            after, says = promoted(now, subject), f"Release {short(subject)} is in production."
        kind = "release.candidate" if canary else "release.promoted"
        why = Draft(
            kind=kind, actor=project.project.owner, stream=subject, body={"reason": reason, "nonce": permit.nonce}
        )
        table = route(plant, project, after, because=(why,), permit=permit)
    document = {
        "release": subject,
        "epoch": table.epoch,
        "canary": canary,
        "permit_expires": permit.expires.isoformat(),
    }
    return Reply(says=says, document=document)


def rollback(plant: Plant, *, model: str | None = None, reason: str) -> Reply:
    """Put the release before this one back into production, by the owner's word.

    Raises:
        PolicyDenied: The earlier release may not serve either.
        Conflict: Nothing is in production.
    """
    project = current_project(plant)
    if model not in {None, project.project.name}:
        raise NotFound(f"this workspace serves no model {model!r}", expected=project.project.name)
    with plant.ledger.lease("route"):
        now = standing(plant, project)
        if not now.baseline:
            raise Conflict("nothing is in production", remedy="Promote a release first.")
        _authorize(plant, project, Digest(now.candidate or now.baseline), "rollback", reason)
        withdrawn, target = withdraw(plant, project, actor=project.project.owner, reason=reason, posture="steady")
    says = f"Release {short(withdrawn)} is out of production; " + (
        f"{short(target)} answers again." if target else "nothing answers: there was no release before it."
    )
    return Reply(says=says, document={"withdrawn": withdrawn, "serving": target})


def withdraw(
    plant: Plant, project: Project, *, actor: str, reason: str, posture: str, release: str = ""
) -> tuple[str, str]:
    """Take a release out of production; return the withdrawn release and the one that answers instead.

    The one that answers instead is decided upon anew, under the rollback's rules: staleness is excused, findings are not.
    """
    after, withdrawn = rolled_back(standing(plant, project), posture, release)
    permit = permit_for(plant, project, Digest(after.baseline), Action.ROLLBACK) if after.baseline else None
    why = Draft(kind="release.returned", actor=actor, stream=withdrawn, body={"reason": reason})
    route(plant, project, after, because=(why,), permit=permit)
    return withdrawn, after.baseline


def issue_key(plant: Plant, *, client: str, days: int = 30) -> Reply:
    """Issue an API key; it is shown once and stored as a keyed hash.

    Raises:
        InvalidInput: A client without a name, or a key that never expires.
    """
    if not client.isprintable() or not 0 < len(client) <= 64:  # noqa: PLR2004 - characters of a name
        raise InvalidInput(f"client {client[:80]!r}", expected="a name of up to 64 printable characters")
    if not 0 < days <= 366:  # noqa: PLR2004 - a year
        raise InvalidInput(f"{days} days", expected="1 to 366: a key that never expires is never looked at again")
    project = current_project(plant)
    key = "hf_" + secrets.token_urlsafe(KEY_BYTES)
    body: dict[str, Any] = {
        "id": client,
        "hash": hash_api_key(plant.credential_key(), key),
        "models": [project.project.name],
        "expires": (plant.clock.now() + timedelta(days=days)).isoformat(),
    }
    with plant.ledger.lease("route"):
        plant.ledger.append(
            [Draft(kind="credential.issued", actor=project.project.owner, stream=CREDENTIALS, body=body)]
        )
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
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"the policy cannot be read: {error.strerror}", place=str(file)) from error
    policy, digest = parse_policy(text)
    plant.accept_policy(digest)
    plant.ledger.append(
        [
            Draft(
                kind="policy.accepted",
                actor="root",
                stream="trust",
                body={"policy": plant.blobs.put(text), "name": policy.name},
            )
        ]
    )
    return Reply(says=f"Policy {policy.name} {short(digest)} may now decide here.", document={"policy": digest})


def newest_release(plant: Plant, project: Project) -> str | None:
    """Return the release that the newest finished run made."""
    for entry in reversed(plant.ledger.stream(project_stream(project))):
        if entry.kind == "stage.finished":
            for item in entry.body["artifacts"]:
                if item["kind"] == Kind.RELEASE:
                    return str(item["digest"])
    return None


def _resolve(plant: Plant, project: Project, release: str | None) -> Digest:
    """Return the release that was meant: the newest, or the only one whose digest begins as given."""
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
        raise NotFound(f"{len(made)} releases begin with {release[:80]!r}", expected="the digest of one release")
    return Digest(made.pop())


def _authorize(
    plant: Plant, project: Project, subject: Digest, action: Literal["approve", "rollback"], reason: str
) -> None:
    """Put the owner's signed word on record."""
    if not reason.strip() or len(reason) > MAX_REASON:
        raise InvalidInput("the reason is empty or too long", expected=f"a sentence of up to {MAX_REASON} characters")
    word = Authorization(
        person=plant.person,
        role="owner",
        action=action,
        subject=subject,
        until=plant.clock.now() + APPROVAL_LASTS,
        reason=reason,
    )
    envelope = plant.seal(word, AUTHORIZATION, "person")
    body = {"action": action, "person": plant.person, "envelope": envelope}
    plant.ledger.append([Draft(kind=AUTHORIZED, actor=project.project.owner, stream=subject, body=body)])
