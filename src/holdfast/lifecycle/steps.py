"""Steps of a canary: what both releases did since the last one decides whether there is a next, or a way back."""

from collections.abc import Iterable, Sequence

from holdfast.core.errors import Conflict, LedgerBroken, NotFound, NotVerified, PolicyDenied
from holdfast.core.ledger import Draft
from holdfast.core.policy import Action
from holdfast.core.project import Project
from holdfast.core.telemetry import Window
from holdfast.lifecycle.incidents import resolution
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import withdraw
from holdfast.lifecycle.publishing import ROUTED, endpoint_stream, standing, standing_of
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.routing import commit, draw, project_of
from holdfast.lifecycle.traffic import windows_of
from holdfast.maths.sequential import Block
from holdfast.registry import Standing, promoted, with_candidate
from holdfast.rollout import PROMOTED, Canary, Verdict, analyse, canary


def advance(plant: Plant, project: Project) -> list[str]:
    """Step the canary, if there is one, on everything seen since its present step began; return what was done.

    A candidate that may not serve any more, or of which something does not verify, goes back like one that fails.
    """
    now = standing(plant, project)
    if not now.candidate:
        return []
    try:
        return _step(plant, project, now)
    except LedgerBroken:
        raise
    except Conflict:
        return []  # something was said meanwhile about what was decided upon; the next look decides anew
    except (PolicyDenied, NotVerified, NotFound) as refused:
        if refused.place == now.baseline:
            return []  # the candidate is not to blame; whether the baseline may serve is looked at next
        return _return(plant, project, now, refused.reasons[0] if isinstance(refused, PolicyDenied) else str(refused))


def _step(plant: Plant, project: Project, now: Standing) -> list[str]:
    plan = project_of(plant, now.candidate).rollout
    since = _step_began(plant, project, now)
    blocks = _blocks(windows_of(plant, now.candidate, since), windows_of(plant, now.baseline, since))
    found = analyse(blocks, min_requests=plan.min_requests, alpha=plan.alpha)
    if found.verdict is Verdict.WAIT:
        return []
    if found.verdict is Verdict.RETURN:
        return _return(plant, project, now, found.words)
    state, commands = canary(plan.steps).step(now.rollout, found.verdict)
    (command,) = commands
    return _forward(plant, project, now, found, state, command.share)


def _forward(plant: Plant, project: Project, now: Standing, found: Canary, state: str, share: float) -> list[str]:
    """Give the candidate the next share; the last one makes it the baseline, by a permit of its own."""
    wins = state == PROMOTED
    after = promoted(now, now.candidate) if wins else with_candidate(now, now.candidate, share, state)
    drawn = draw(plant, project, after, subject=now.candidate if wins else "", action=Action.PROMOTE)
    body = {"reason": found.words, "state": state, "p_value": found.p_value}
    kind = "release.promoted" if wins else "release.candidate"
    why = Draft(kind=kind, actor="rollout", stream=now.candidate, body=body)
    ended = resolution(project, now, found.words) if wins else ()
    commit(plant, project, drawn, because=(why, *ended))
    did = "took over" if wins else f"now answers {share:.0%}"
    return [f"canary {short(now.candidate)} {did}: {found.words}"]


def _return(plant: Plant, project: Project, now: Standing, words: str) -> list[str]:
    withdraw(plant, project, actor="rollout", reason=words, posture=now.posture, release=now.candidate)
    return [f"canary {short(now.candidate)} returned to the baseline: {words}"]


def _step_began(plant: Plant, project: Project, now: Standing) -> int:
    """Return the ledger position at which the rollout came into its present state."""
    began = -1
    for entry in reversed(plant.ledger.stream(endpoint_stream(project))):
        if entry.kind == ROUTED:
            then = standing_of(entry.body)
            if (then.candidate, then.rollout) != (now.candidate, now.rollout):
                break
            began = entry.position
    return began


def _blocks(candidate: Sequence[Window], baseline: Sequence[Window]) -> Iterable[Block]:
    """Yield blocks in which both releases answered; their sizes depend on traffic, never on its outcome."""
    for ours, theirs in zip(candidate, baseline, strict=False):
        if ours.requests and theirs.requests:
            yield Block(
                candidate_failures=ours.failures,
                candidate_n=ours.requests,
                baseline_failures=theirs.failures,
                baseline_n=theirs.requests,
            )
