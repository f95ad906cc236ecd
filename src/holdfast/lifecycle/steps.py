"""Steps of a canary: what both releases did since the last one decides whether there is a next, or a way back."""

from collections.abc import Callable

from holdfast.core.artifact import Digest
from holdfast.core.errors import Conflict, LedgerBroken, NotFound, NotVerified, PolicyDenied
from holdfast.core.ledger import Draft
from holdfast.core.policy import Action
from holdfast.core.project import Project
from holdfast.core.routes import SILENT
from holdfast.lifecycle.incidents import resolution
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import withdraw
from holdfast.lifecycle.publishing import ROUTED, endpoint_stream, standing, standing_of
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.rollout_records import CompareContext, measured, scores_of
from holdfast.lifecycle.routing import commit, draw, project_of
from holdfast.lifecycle.traffic import side_by_side, windows_of
from holdfast.registry import Standing, promoted, with_candidate
from holdfast.rollout import PROMOTED, Canary, Plan, Rules, Share, Verdict, analyse, canary
from holdfast.rollout.controls import CANARY


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


def compared(plant: Plant, project: Project, now: Standing) -> Canary:
    """Return what is known of the candidate beside the baseline: evidence of the whole rollout, calls of this step.

    One analysis over all steps has one error budget; to begin anew on each step would spend it on each.
    """
    plan = project_of(plant, Digest(now.candidate)).rollout
    pairs = side_by_side(plant, now.candidate, now.baseline, rollout_began(plant, project, now))
    rules = Rules(min_requests=plan.min_requests, alpha=plan.alpha, slower=plan.slower, score_shift=plan.score_shift)
    answered = sum(each.requests for each in windows_of(plant, now.candidate, step_began(plant, project, now)))
    return analyse(pairs, rules, scores_of(plant, now), answered=answered)


def _step(plant: Plant, project: Project, now: Standing) -> list[str]:
    if now.plan in SILENT:
        return []  # it answers nobody; what it does with its copies is measured like any release's traffic
    found = compared(plant, project, now)
    if found.verdict is Verdict.RETURN:
        return _return(plant, project, now, found.words, found)
    if found.verdict is Verdict.WAIT or now.plan != Plan.CANARY:
        return []  # a test or a flag is ended by whoever began it, or by harm
    steps = project_of(plant, Digest(now.candidate)).rollout.steps
    state, commands = canary(steps).step(now.rollout, found.verdict)
    share = next(each.share for each in commands if isinstance(each, Share))
    return _forward(plant, project, now, found, state, share)


def _forward(plant: Plant, project: Project, now: Standing, found: Canary, state: str, share: float) -> list[str]:
    """Give the candidate the next share; the last one makes it the baseline, by a permit of its own."""
    wins = state == PROMOTED
    after = promoted(now, now.candidate) if wins else with_candidate(now, now.candidate, share, state)
    drawn = draw(plant, project, after, subject=now.candidate if wins else "", action=Action.PROMOTE)
    body = {"reason": found.words, "state": state, "p_value": found.p_value}
    kind = "release.promoted" if wins else "release.candidate"
    why = Draft(kind=kind, actor="rollout", stream=now.candidate, body=body)
    ended = resolution(project, now, found.words) if wins else ()
    commit(plant, project, drawn, because=(*_evidence(plant, now, found), why, *ended))
    did = "took over" if wins else f"now answers {share:.0%}"
    return [f"canary {short(now.candidate)} {did}: {found.words}"]


def _return(plant: Plant, project: Project, now: Standing, words: str, found: Canary | None = None) -> list[str]:
    """Give all of the traffic back to the baseline; what was measured travels with the candidate from now on."""
    because = _evidence(plant, now, found, bad=True) if found is not None else ()
    withdraw(plant, project, actor="rollout", reason=words, posture=now.posture, release=now.candidate, because=because)
    return [f"{now.plan} {short(now.candidate)} returned to the baseline: {words}"]


def _evidence(plant: Plant, now: Standing, found: Canary, *, bad: bool = False) -> tuple[Draft, ...]:
    context = CompareContext(release=now.candidate, beside=now.baseline, value=found)
    return measured(plant, CANARY, context, travels=bad)[1]


def rollout_began(plant: Plant, project: Project, now: Standing) -> int:
    """Return the ledger position at which the candidate came beside the baseline."""
    return _since(plant, project, lambda then: (then.candidate, then.salt) == (now.candidate, now.salt))


def step_began(plant: Plant, project: Project, now: Standing) -> int:
    """Return the ledger position at which the rollout came into its present state."""
    present = (now.candidate, now.salt, now.rollout)
    return _since(plant, project, lambda then: (then.candidate, then.salt, then.rollout) == present)


def _since(plant: Plant, project: Project, same: Callable[[Standing], bool]) -> int:
    began = -1
    for entry in reversed(plant.ledger.stream(endpoint_stream(project))):
        if entry.kind == ROUTED:
            then = standing_of(entry.body)
            if not same(then):
                break
            began = entry.position
    return began
