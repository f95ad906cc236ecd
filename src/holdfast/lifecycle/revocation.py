"""Taking back: an artifact, an API key, and what follows for everything that answers.

Bad news needs nobody's permission and is never held up: it is on record before anything else happens, and what it
touches is taken out of production in the same command. A revocation has no way back.
"""

from typing import Any, Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import HoldfastError, InvalidInput, LedgerBroken, NotFound, NotVerified, PolicyDenied
from holdfast.core.ledger import Draft
from holdfast.core.passport import RECORDED, REVOKED
from holdfast.core.project import Project
from holdfast.core.routes import RouteTable
from holdfast.core.seal import AUTHORIZATION, Authorization
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import APPROVAL_LASTS, withdraw
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.reply import Reply, short
from holdfast.lifecycle.routing import CREDENTIALS, case_of, current_project, renew

SHORTEST: Final = 12  # hexadecimal digits of a digest that are enough to name it, if only one begins so


def revoke(plant: Plant, *, digest: str, reason: str) -> Reply:
    """Revoke an artifact for good by a person's signed word: it, and whatever derives from it, must not answer.

    1. The word is signed and on record. 2. The root keys sign it too, where they are at hand: then no online key can
    leave it out any more. 3. Each release that answers is decided upon again, and taken out if it derives from it.
    4. Gateways are told, also where nothing had to be taken out.

    Raises:
        NotFound: The ledger knows no such artifact.
        InvalidInput: There is no reason, or too few digits to tell artifacts apart.
    """
    check_reason(reason)
    plant.unlock()
    project, subject = current_project(plant), _recorded(plant, digest)
    with plant.ledger.lease("route"):
        _record(plant, subject, reason)  # 1.
        pinned = _pin(plant, subject)  # 2.
        gone = _take_out(plant, project, subject, reason)  # 3.
        if not gone:
            gone = _tell_gateways(plant, project, f"revoked: {reason}")[1]  # 4.
    says = f"{short(subject)} is revoked. "
    says += (
        f"Out of production: {', '.join(short(each) for each in gone)}." if gone else "Nothing that answers is touched."
    )
    says += "" if pinned else " The root keys have not signed it yet: until then it rests on the online keys."
    return Reply(says=says, document={"revoked": subject, "withdrawn": gone, "signed_offline": pinned})


def _recorded(plant: Plant, digest: str) -> Digest:
    """Return the artifact that was meant: the only one on record whose digest begins so."""
    wanted = digest.removeprefix("sha256:")
    if len(wanted) < SHORTEST:
        raise InvalidInput(
            f"{digest[:80]!r} is too short", expected=f"{SHORTEST} hexadecimal digits of a digest, or all"
        )
    known = {
        entry.stream
        for entry in plant.ledger.entries()
        if entry.kind == RECORDED and entry.stream.removeprefix("sha256:").startswith(wanted)
    }
    if len(known) != 1:
        raise NotFound(f"{len(known)} artifacts begin with {digest[:80]!r}", expected="the digest of one artifact")
    return Digest(known.pop())


def _record(plant: Plant, subject: Digest, reason: str) -> None:
    now = plant.clock.now()
    word = Authorization(
        person=plant.person,
        role="owner",
        action="revoke",
        subject=subject,
        until=now + APPROVAL_LASTS,  # of the word's proof; a revocation itself has no end
        reason=reason,
        issued=now,
    )
    envelope = plant.seal(word, AUTHORIZATION, "person")
    body = {"reason": reason, "person": plant.person, "envelope": envelope}
    plant.ledger.append([Draft(kind=REVOKED, actor=plant.person, stream=subject, body=body)])


def _pin(plant: Plant, subject: Digest) -> bool:
    """Let the root keys sign the revocation; say whether they could."""
    try:
        plant.offline.revoke(subject)
    except HoldfastError:  # they are elsewhere, as they should be: the reply says that a ceremony is due
        return False
    return True


def _take_out(plant: Plant, project: Project, subject: Digest, reason: str) -> list[str]:
    """Withdraw every release that answers and derives from the subject; return what is out."""
    gone: list[str] = []
    while touched := next((each for each in standing(plant, project).releases if _derives(plant, each, subject)), None):
        posture = standing(plant, project).posture
        why = f"revoked: {short(subject)}: {reason}"
        before = set(standing(plant, project).releases)
        withdraw(plant, project, actor=plant.person, reason=why, posture=posture, release=touched)
        gone += sorted(before - set(standing(plant, project).releases))
    return gone


def _derives(plant: Plant, release: str, subject: Digest) -> bool:
    """Say whether a release derives from an artifact; one of which nothing can be shown is treated as if it did."""
    try:
        return subject in case_of(plant, Digest(release)).dossier.nodes
    except LedgerBroken:
        raise
    except (NotVerified, NotFound):
        return True


def _tell_gateways(plant: Plant, project: Project, reason: str) -> tuple[RouteTable | None, list[str]]:
    """Publish a newer table; what may not be in one any more is taken out, so that a table there is.

    Returns:
        The table, if one was renewed, and what was taken out instead.
    """
    try:
        return renew(plant, project), []
    except LedgerBroken:
        raise
    except (PolicyDenied, NotVerified, NotFound) as error:
        now = standing(plant, project)
        release = error.place if error.place in now.releases else ""
        gone, _ = withdraw(plant, project, actor="registry", reason=reason, posture=now.posture, release=release)
        return None, [gone]


def revoke_key(plant: Plant, *, client: str) -> Reply:
    """Take back every API key of a client: connected gateways refuse their next call within 5 s.

    Raises:
        NotFound: The client has no key in force.
    """
    plant.unlock()
    project = current_project(plant)
    with plant.ledger.lease("route"):
        held = _in_force(plant, client)
        if not held:
            remedy = "`holdfast log credentials` lists what was issued and revoked."
            raise NotFound(
                f"{client[:80]!r} has no key in force", expected="the name a key was issued to", remedy=remedy
            )
        body: dict[str, Any] = {"id": client}
        revoked = Draft(kind="credential.revoked", actor=project.project.owner, stream=CREDENTIALS, body=body)
        plant.ledger.append([revoked])
        _, gone = _tell_gateways(plant, project, "no lease any more, found when a key was revoked")
    says = f"{held} key(s) of {client} are revoked." + (f" {short(gone[0])} is out of production." if gone else "")
    return Reply(says=says, document={"client": client, "revoked": held, "withdrawn": gone})


def _in_force(plant: Plant, client: str) -> int:
    """Return how many keys of a client were issued since they were last revoked; expired ones count too."""
    held = 0
    for entry in plant.ledger.stream(CREDENTIALS):
        if entry.body.get("id") == client:
            held = held + 1 if entry.kind == "credential.issued" else 0
    return held


def renew_lease(plant: Plant) -> Reply:
    """Decide anew about what answers, and give the gateways a fresh lease.

    Raises:
        NotFound: Nothing was ever put into production.
    """
    plant.unlock()
    project = current_project(plant)
    with plant.ledger.lease("route"):
        if not standing(plant, project).epoch:
            raise NotFound("nothing was ever put into production", remedy="Promote a release first.")
        table, gone = _tell_gateways(plant, project, "no lease: it may not serve any more")
    if table is None:
        says = f"{short(gone[0])} may not serve any more, and is out of production."
        return Reply(says=says, document={"epoch": standing(plant, project).epoch, "withdrawn": gone}, exit_code=1)
    document = {"epoch": table.epoch, "expires": table.expires.isoformat(), "withdrawn": gone}
    return Reply(says=f"The lease now lasts until {table.expires:%Y-%m-%d %H:%M:%S} UTC.", document=document)
