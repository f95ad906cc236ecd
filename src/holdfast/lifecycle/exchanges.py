"""Blue-green and the emergency: what answers changes at once, decided upon anew and in one action on record.

Standing by, a release is loaded in every gateway after every gate; to let it answer takes one more table. An emergency
puts an approved safe release in place of whatever answers, and opens an incident.
"""

from typing import Final

from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import Conflict, NotFound
from holdfast.core.ledger import Draft
from holdfast.core.policy import Action
from holdfast.core.project import Project
from holdfast.core.signals import Raised, Signal
from holdfast.lifecycle.consuming import consume
from holdfast.lifecycle.incidents import record_incident
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import authorize, may_return
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.registry_gates import file_gates
from holdfast.lifecycle.registry_words import aliases_of, meant
from holdfast.lifecycle.reply import Reply, short
from holdfast.lifecycle.rollouts import Terms, begin, going_on, named_release
from holdfast.lifecycle.routing import Drawn, commit, current_project, draw
from holdfast.registry import Standing, exchanged, swapped
from holdfast.respond import PLAYBOOK, Posture
from holdfast.rollout import Plan, Verdict, standby
from holdfast.rollout.plans import STANDING_BY

SAFE: Final = "safe"  # the alias of the release that an emergency falls back on
EMERGENCY: Final = "release.swapped"  # kind of an entry: an emergency put another release in place of what answered


def bluegreen_prepare(plant: Plant, *, release: str | None = None, reason: str) -> Reply:
    """Load a release beside the one that answers, after every gate, so that both can change places at once.

    Raises:
        Conflict: A rollout is going on, or nothing is in production.
    """
    project, subject = named_release(plant, release, reason)
    with plant.ledger.lease("route"):
        _, epoch = begin(plant, project, subject, Terms(plan=Plan.STANDBY, share=0.0), reason)
    says = f"Release {short(subject)} stands by; `holdfast bluegreen switch` lets it answer."
    return Reply(says=says, document={"release": subject, "epoch": epoch})


def bluegreen_switch(plant: Plant, *, reason: str) -> Reply:
    """Let the release that stands by answer, and the one that answered stand by; the same again is the way back.

    Both are decided upon anew: the one that begins to answer by the rules of a promotion, on the way back by those of a
    rollback.

    Raises:
        Conflict: Nothing stands by.
        PolicyDenied: It may not answer any more; the denial is on record.
    """
    check_reason(reason)
    plant.unlock()
    project = current_project(plant)
    with plant.ledger.lease("route"):
        now = going_on(plant, project, Plan.STANDBY)
        state, _ = standby().step(now.rollout, Verdict.SWITCH)
        back = state == STANDING_BY
        after, subject, at = exchanged(now, state), Digest(now.candidate), plant.clock.now()
        authorize(plant, project, subject, "rollback" if back else "approve", reason, at=at)
        if not back:
            file_gates(plant, project, subject)
        may_return(plant, project, [*after.previous, *after.releases], reason, at)
        drawn = draw(plant, project, after, subject=subject, action=Action.ROLLBACK if back else Action.PROMOTE)
        table = commit(plant, project, drawn, because=_switched(project, now, subject, reason, drawn))
    says = f"Release {short(subject)} answers; {short(after.candidate)} stands by."
    document = {"serving": subject, "standing_by": after.candidate, "epoch": table.epoch, "back": back}
    return Reply(says=says, document=document)


def _switched(project: Project, now: Standing, subject: Digest, reason: str, drawn: Drawn) -> tuple[Draft, ...]:
    owner = project.project.owner
    body = {"reason": reason, "nonce": drawn.permit.nonce if drawn.permit else ""}
    return (
        Draft(kind="release.promoted", actor=owner, stream=subject, body=body),
        Draft(kind="release.candidate", actor=owner, stream=now.baseline, body={"reason": f"stands by: {reason}"}),
    )


def emergency_swap(plant: Plant, *, release: str | None = None, reason: str) -> Reply:
    """Replace what answers by an approved safe release at once, in one action on record, and open an incident.

    Which one: the release that is named, else what the alias `safe` means, else the one that answered before. One that
    never was in production must have been approved before: this word alone lets nothing new in.

    Raises:
        NotFound: There is none.
        Conflict: Nothing is in production, or that one answers already.
        PolicyDenied: It may not answer; the denial is on record.
    """
    check_reason(reason)
    plant.unlock()
    project = current_project(plant)
    with plant.ledger.lease("route"):
        now = standing(plant, project)
        if not now.baseline:
            raise Conflict("nothing is in production", remedy="Promote a release.")
        subject, at = _safe(plant, project, now, release), plant.clock.now()
        item = Raised(signal=Signal.EMERGENCY, subject=now.baseline, words=f"emergency swap: {reason}")
        posture, commands = PLAYBOOK.step(Posture(now.posture), item.signal)
        after = swapped(now, subject, posture)
        action = Action.ROLLBACK if subject in now.previous else Action.PROMOTE
        may_return(plant, project, [*after.previous, subject], reason, at)
        drawn = draw(plant, project, after, subject=subject, action=action)
        if action is Action.PROMOTE:
            consume(plant, subject, Kind.RELEASE)
        epoch = commit(plant, project, drawn, because=_swap_entries(project, now, subject, reason)).epoch
        done = [f"{short(subject)} answers instead of {', '.join(short(each) for each in now.releases)}"]
        done += [record_incident(plant, project, command, item, tuple(done)) for command in commands]
    document = {"withdrawn": [*(each for each in now.releases if each != subject)], "serving": subject, "epoch": epoch}
    return Reply(says=f"Emergency: {'; '.join(done).removesuffix('.')}.", document=document)


def _swap_entries(project: Project, now: Standing, subject: Digest, reason: str) -> tuple[Draft, ...]:
    owner, words = project.project.owner, {"reason": f"emergency: {reason}"}
    gone = [digest for digest in now.releases if digest != subject]
    return (
        Draft(kind=EMERGENCY, actor=owner, stream=subject, body={"reason": reason, "instead_of": gone}),
        *(Draft(kind="release.returned", actor=owner, stream=digest, body=words) for digest in gone),
    )


def _safe(plant: Plant, project: Project, now: Standing, release: str | None) -> Digest:
    """Return the release that an emergency falls back on."""
    if release is not None:
        return meant(plant, project, release)
    if (named := aliases_of(plant).get(SAFE)) is not None:
        return named
    if not now.previous:
        remedy = f"Name one, or point the alias to it before you need it: `holdfast registry alias {SAFE} RELEASE`."
        raise NotFound("there is no safe release to fall back on", remedy=remedy)
    return Digest(now.previous[-1])
