"""What people do to the state of a release, besides promoting it: quarantine, hold, retire, purge; and aliases.

Each verb appends an entry that the fold of the release's history believes, or refuses before anything is written. The
heads that the decision was made on go with the append, so that of two who decide at once one has to look again.
"""

from typing import Any

from holdfast.core.artifact import Digest, canonical
from holdfast.core.errors import Conflict
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import withdraw
from holdfast.lifecycle.publishing import endpoint_stream, standing
from holdfast.lifecycle.registry_record import gone, record_of
from holdfast.lifecycle.registry_words import aliases_of, granted, meant
from holdfast.lifecycle.reply import Reply, short
from holdfast.lifecycle.routing import current_project
from holdfast.registry import LIFECYCLE, Record, Signal, State
from holdfast.registry.aliases import ALIASED, Resolver, alias_rule, alias_stream
from holdfast.registry.record import CLEARED, HELD, PURGED, QUARANTINED, RETIRED, RULES, UNHELD
from holdfast.registry.retention import doomed, family
from holdfast.registry.states import ANSWERING, BARRED, Effect


def quarantine(plant: Plant, *, release: str, reason: str) -> Reply:
    """Take a release out of use until somebody has looked at it; one that answers is withdrawn in the same append.

    Raises:
        Conflict: Its state does not allow it.
    """
    check_reason(reason)
    project = current_project(plant)
    subject = meant(plant, project, release)
    with plant.ledger.lease("route"):
        record = record_of(plant, project.project.name, subject)
        state, effects = LIFECYCLE.step(record.state, Signal.QUARANTINED)
        draft = Draft(kind=QUARANTINED, actor=plant.person, stream=subject, body={"reason": reason})
        answers = subject in standing(plant, project).releases
        if answers or Effect.WITHDRAW in effects:
            plant.unlock()  # a newer table is to be signed; without one, nobody has to wait for a key
            posture = standing(plant, project).posture
            withdraw(
                plant, project, actor=plant.person, reason=reason, posture=posture, release=subject, because=(draft,)
            )
        else:
            plant.ledger.append([draft])
    words = ", and answers no more" if answers else ""
    return _moved(subject, state, f"Release {short(subject)} is quarantined{words}.")


def clear(plant: Plant, *, release: str, reason: str) -> Reply:
    """Lift a quarantine by a person's signed word; gates and approvals are to be given anew.

    Raises:
        Conflict: It is not quarantined.
    """
    return _spoken(plant, release, reason, CLEARED, Signal.CLEARED)


def retire(plant: Plant, *, release: str, reason: str) -> Reply:
    """End the use of a release for good; what answers must be taken out of production first.

    Raises:
        Conflict: It answers, is what a rollback would go back to, or has ended already.
    """
    return _spoken(plant, release, reason, RETIRED, Signal.RETIRED)


def purge(plant: Plant, *, release: str, reason: str) -> Reply:
    """Let the bytes of a retired release be collected, and leave a tombstone with their digests.

    Raises:
        Conflict: It is not retired, is held, or a name still points to it.
    """
    return _spoken(plant, release, reason, PURGED, Signal.PURGED)


def _spoken(plant: Plant, release: str, reason: str, kind: str, signal: Signal) -> Reply:
    """Append what a person's word is needed for, if the state allows it."""
    check_reason(reason)
    plant.unlock()
    project = current_project(plant)
    subject = meant(plant, project, release)
    heads = plant.ledger.heads([subject, endpoint_stream(project)])
    record = record_of(plant, project.project.name, subject)
    state, effects = LIFECYCLE.step(record.state, signal)
    if signal in {Signal.RETIRED, Signal.PURGED}:
        _refuse_used(plant, project, record)
    body: dict[str, Any] = {"reason": reason, "envelope": granted(plant, subject, RULES[kind], reason)}
    if Effect.TOMBSTONE in effects:
        body["tombstone"] = plant.blobs.put(canonical(tombstone(plant, subject)))
    plant.ledger.append([Draft(kind=kind, actor=plant.person, stream=subject, body=body)], expect=heads)
    return _moved(
        subject, state, f"Release {short(subject)} is {state if signal is not Signal.CLEARED else 'cleared'}."
    )


def _refuse_used(plant: Plant, project: Project, record: Record) -> None:
    now = standing(plant, project)
    place = record.release
    if record.release in now.releases or record.state in ANSWERING:
        raise Conflict("this release answers", place=place, remedy="Take it out with `holdfast rollback` first.")
    if record.held:
        remedy = "Lift it with `holdfast registry unhold`."
        raise Conflict(f"this release is held: {record.held[0]}", place=place, remedy=remedy)
    named = [name for name, target in aliases_of(plant).items() if target == record.release]
    if named:
        remedy = "Point it to another release first."
        raise Conflict(f"the alias {named[0]!r} points to this release", place=place, remedy=remedy)


def tombstone(plant: Plant, release: Digest) -> dict[str, Any]:
    """Return what is going to be gone with a release: every artifact that belongs to it alone, by kind and digest."""
    known = family(plant.ledger.entries())
    ending = doomed(known, {release, *gone(plant)})
    listed = [{"kind": known.kinds[digest], "digest": digest} for digest in sorted(ending)]
    return {"release": release, "artifacts": listed}


def hold(plant: Plant, *, release: str, reason: str) -> Reply:
    """Put a release under legal hold: it is neither archived nor purged nor collected until the hold is lifted.

    Raises:
        Conflict: It is purged.
    """
    check_reason(reason)
    project = current_project(plant)
    subject = meant(plant, project, release)
    heads = plant.ledger.heads([subject])
    record = record_of(plant, project.project.name, subject)
    if record.state is State.PURGED:
        raise Conflict("this release is purged; there is nothing left to hold", place=subject)
    draft = Draft(kind=HELD, actor=plant.person, stream=subject, body={"reason": reason})
    plant.ledger.append([draft], expect=heads)
    return _moved(subject, record.state, f"Release {short(subject)} is held: {reason}")


def unhold(plant: Plant, *, release: str, reason: str) -> Reply:
    """Lift every legal hold on a release by a person's signed word.

    Raises:
        Conflict: It is not held.
    """
    check_reason(reason)
    plant.unlock()
    project = current_project(plant)
    subject = meant(plant, project, release)
    heads = plant.ledger.heads([subject])
    record = record_of(plant, project.project.name, subject)
    if not record.held:
        raise Conflict("this release is not held", place=subject, remedy="Nothing needs to be done.")
    body = {"reason": reason, "envelope": granted(plant, subject, RULES[UNHELD], reason)}
    plant.ledger.append([Draft(kind=UNHELD, actor=plant.person, stream=subject, body=body)], expect=heads)
    return _moved(subject, record.state, f"Release {short(subject)} is held no more.")


def alias(plant: Plant, *, name: str, release: str, reason: str) -> Reply:
    """Point a name to a release by a person's signed word.

    Raises:
        InvalidInput: This cannot be an alias.
        Conflict: The release is quarantined, revoked, retired or purged, or somebody moved the name just now.
    """
    check_reason(reason)
    stream = alias_stream(name)
    plant.unlock()
    project = current_project(plant)
    subject = meant(plant, project, release)
    heads = plant.ledger.heads([stream, subject])
    record = record_of(plant, project.project.name, subject)
    if record.state in BARRED:
        raise Conflict(f"the release is {record.state}: {record.reason}", place=subject)
    envelope = granted(plant, subject, alias_rule(name), reason)
    body = {"pointer": {"name": stream, "digest": subject}, "reason": reason, "envelope": envelope}
    plant.ledger.append([Draft(kind=ALIASED, actor=plant.person, stream=stream, body=body)], expect=heads)
    says = f"{name} now means release {short(subject)}."
    return Reply(says=says, document={"alias": name, "release": subject})


def resolve(plant: Plant, *, name: str) -> Reply:
    """Say which release a name means, verified.

    Raises:
        NotFound: Nobody has pointed it anywhere.
        Refused: The release it means may not be used.
    """
    release = Resolver(plant.ledger, plant.blobs, plant.read_trust).resolve(name)
    return Reply(says=f"{name} means release {short(release)}.", document={"alias": name, "release": release})


def _moved(subject: Digest, state: State, says: str) -> Reply:
    return Reply(says=says, document={"release": subject, "state": state})
