"""Rollouts by a person's word: a release in the shadow, behind a flag, standing by, and the way back from each.

Every way in is a promotion's (`promotion.enter`): gates, the owner's word, a permit, an append that names the heads.
What the gateways then do stands in the signed route table alone. One candidate at a time stands beside a baseline.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import Conflict, InvalidInput
from holdfast.core.evidence import figure
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.core.routes import SILENT
from holdfast.core.telemetry import Window, add_windows
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import authorize, enter, may_return, new_salt, withdraw
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.registry_words import meant
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.rollout_records import CompareContext, measured
from holdfast.lifecycle.routing import commit, current_project, draw, project_of
from holdfast.lifecycle.steps import compared, step_began
from holdfast.lifecycle.traffic import windows_of
from holdfast.registry import Standing, with_candidate
from holdfast.rollout import Plan, Share, Verdict, standby, trial
from holdfast.rollout.controls import SHADOW

MAX_VALUES: Final = 100  # of one attribute of a segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a plan says beside its share."""

    plan: Plan
    share: float
    segment: dict[str, tuple[str, ...]] = field(default_factory=dict)
    experiment: str = ""
    mirrored: float = 0.0


def begin(
    plant: Plant, project: Project, subject: Digest, terms: Terms, reason: str, *, because: tuple[Draft, ...] = ()
) -> tuple[Standing, int]:
    """Put a release beside the baseline as a plan says; return the standing and its epoch. Needs the `route` lease.

    Raises:
        Conflict: A rollout is going on, or nothing is in production.
        PolicyDenied: With every reason; the denial is on record.
    """
    now = standing(plant, project)
    if now.candidate:
        remedy = "Wait until it has ended, or end it with `holdfast rollout stop`."
        raise Conflict(f"a rollout is going on ({now.plan})", place=now.candidate, remedy=remedy)
    machine = standby() if terms.plan is Plan.STANDBY else trial(terms.plan, terms.share)
    state, commands = machine.step(now.rollout, Verdict.START)
    share = next(each.share for each in commands if isinstance(each, Share))
    after = with_candidate(
        now,
        subject,
        share,
        state,
        plan=terms.plan,
        salt=new_salt(plant),
        segment=terms.segment,
        experiment=terms.experiment,
        mirrored=terms.mirrored,
    )
    _, table = enter(plant, project, now, after, subject, reason, because=because)
    return after, table.epoch


def shadow_start(plant: Plant, *, release: str | None = None, reason: str, share: float = 1.0) -> Reply:
    """Give a release copies of live calls; its answers go nowhere but into a report.

    Raises:
        InvalidInput: No share of the calls.
        Conflict: A rollout is going on, or nothing is in production.
    """
    _check_share(share)
    project, subject = named_release(plant, release, reason)
    with plant.ledger.lease("route"):
        terms = Terms(plan=Plan.SHADOW, share=0.0, mirrored=share)
        _, epoch = begin(plant, project, subject, terms, reason)
    says = f"Release {short(subject)} gets a copy of {share:.0%} of the calls, and answers none."
    return Reply(says=says, document={"release": subject, "epoch": epoch, "mirrored": share})


def shadow_report(plant: Plant) -> Reply:
    """Say how the shadow's answers differ from the live ones, and put that on record as evidence.

    Raises:
        Conflict: No release is in the shadow.
    """
    plant.unlock()
    project = current_project(plant)
    now = going_on(plant, project, Plan.SHADOW)
    since = step_began(plant, project, now)
    copies = [each for each in windows_of(plant, now.candidate, since) if not _answered(each)]
    seen = _summed(copies), _summed(windows_of(plant, now.baseline, since))
    context = CompareContext(release=now.candidate, beside=now.baseline, value=seen)
    item, drafts = measured(plant, SHADOW, context, travels=False)
    plant.ledger.append(drafts)
    rows = [(str(each.name), figure(each.value)) for each in (*item.measures, *item.timings)]
    table = Table(title="Shadow", columns=("measure", "value"), rows=rows)
    document = {
        "release": now.candidate,
        "baseline": now.baseline,
        "outcome": item.outcome,
        "measures": {each.name: each.value for each in (*item.measures, *item.timings)},
    }
    says = (
        f"Nothing is known of it: {item.reason}, as far as `holdfast watch` has read."
        if item.reason
        else f"Release {short(now.candidate)} in the shadow of {short(now.baseline)}."
    )
    return Reply(says=says, document=document, tables=(table,) if rows else ())


def _answered(window: Window) -> bool:
    """Say whether a release answered callers in a window: one from before it was a shadow may be read late."""
    return window.requests > window.failures and not (window.shadow and window.shadow.rows)


def _summed(windows: Sequence[Window]) -> Window:
    total = (
        windows[0] if windows else Window(requests=0, rows=0, failures=0, flagged=0, latency=(), inputs={}, scores=())
    )
    for window in windows[1:]:
        total = add_windows(total, window)
    return total


def flag_set(plant: Plant, *, release: str | None = None, share: float = 1.0, segment: str = "", reason: str) -> Reply:
    """Expose a release to a share of the units, or of those of a segment; the same again sets another share.

    A share that grows keeps every unit that it had. Whoever exposes more units, by share or by segment, gives the word
    and asks for the decision that a release needs to come in.

    Raises:
        PolicyDenied: More units than before, and the policy does not permit it now.
        InvalidInput: No share, or a segment of attributes that the project does not declare.
        Conflict: Another rollout is going on, or nothing is in production.
    """
    _check_share(share)
    project, subject = named_release(plant, release, reason)
    wanted = segment_of(segment, project_of(plant, subject))
    with plant.ledger.lease("route"):
        now = standing(plant, project)
        if (now.plan, now.candidate) == (Plan.FLAG, subject):
            state, _ = trial(Plan.FLAG, share).step(now.rollout, Verdict.START)
            after = with_candidate(now, subject, share, state, segment=wanted)
            if share > now.share or not _within(wanted, now.segment):
                # Whom it did not meet before, it meets by a new word and a new decision, as when it came in.
                _, table = enter(plant, project, now, after, subject, reason)
                return _flagged(subject, table.epoch, share, segment, wanted)
            # One word for all that may answer: a newer one for the candidate alone would bar the way back.
            may_return(plant, project, [*now.previous, now.baseline, subject], reason, plant.clock.now())
            body = {"reason": reason, "share": share, "segment": wanted}
            draft = Draft(kind="release.candidate", actor=project.project.owner, stream=subject, body=body)
            epoch = commit(plant, project, draw(plant, project, after), because=(draft,)).epoch
        else:
            terms = Terms(plan=Plan.FLAG, share=share, segment=wanted)
            _, epoch = begin(plant, project, subject, terms, reason)
    return _flagged(subject, epoch, share, segment, wanted)


def _within(narrow: dict[str, tuple[str, ...]], wide: dict[str, tuple[str, ...]]) -> bool:
    """Say whether all units of a segment are of another; one without attributes holds all.

    >>> _within({"country": ("de",), "plan": ("pro",)}, {"country": ("de", "at")})
    True
    """
    return all(name in narrow and set(narrow[name]) <= set(values) for name, values in wide.items())


def _flagged(subject: Digest, epoch: int, share: float, segment: str, wanted: dict[str, tuple[str, ...]]) -> Reply:
    """Say whom a release answers."""
    whom = f"{share:.0%} of the units" + (f" of {segment}" if segment else "")
    document = {"release": subject, "epoch": epoch, "share": share, "segment": {k: list(v) for k, v in wanted.items()}}
    return Reply(says=f"Release {short(subject)} answers {whom}.", document=document)


def flag_off(plant: Plant, *, reason: str) -> Reply:
    """Turn the flag off: the baseline answers every call from the next table on.

    Raises:
        Conflict: No flag is set.
    """
    return _stop(plant, reason, Plan.FLAG)


def rollout_stop(plant: Plant, *, reason: str) -> Reply:
    """End what is going on, whatever its plan: the baseline answers every call.

    Raises:
        Conflict: No rollout is going on.
    """
    return _stop(plant, reason, None)


def _stop(plant: Plant, reason: str, plan: Plan | None) -> Reply:
    check_reason(reason)
    plant.unlock()
    project = current_project(plant)
    with plant.ledger.lease("route"):
        now = going_on(plant, project, plan)
        owner = project.project.owner
        authorize(plant, project, Digest(now.candidate), "rollback", reason)
        withdraw(plant, project, actor=owner, reason=reason, posture=now.posture, release=now.candidate)
    says = f"Release {short(now.candidate)} ({now.plan}) is taken back; {short(now.baseline)} answers every call."
    return Reply(says=says, document={"withdrawn": now.candidate, "serving": now.baseline, "plan": now.plan})


def rollout_status(plant: Plant) -> Reply:
    """Say which rollout is going on, what its candidate answers, and what the analysis says so far."""
    project = current_project(plant)
    now = standing(plant, project)
    document: dict[str, Any] = {
        "epoch": now.epoch,
        "baseline": now.baseline,
        "candidate": now.candidate,
        "plan": now.plan if now.candidate else "",
        "state": now.rollout,
        "share": now.share,
        "mirrored": now.mirrored,
        "experiment": now.experiment,
        "segment": {name: list(values) for name, values in now.segment.items()},
    }
    if not now.candidate:
        return Reply(says="No rollout is going on.", document=document)
    says = f"{now.plan} ({now.rollout}): release {short(now.candidate)} answers {now.share:.0%} of the calls"
    if now.plan not in SILENT:
        found = compared(plant, project, now)
        document |= {"verdict": found.verdict, "words": found.words, "p_value": found.p_value}
        says += f"; {found.words}"
    return Reply(says=f"{says}.", document=document)


def segment_of(text: str, project: Project) -> dict[str, tuple[str, ...]]:
    """Return a segment as it was written, `country=de,at; plan=pro`: every attribute must fit, by any of its values.

    Raises:
        InvalidInput: It cannot be read, or names what the project does not declare.
    """
    found: dict[str, tuple[str, ...]] = {}
    for part in (part.strip() for part in text.split(";") if part.strip()):
        name, _, values = part.partition("=")
        listed = tuple(value.strip() for value in values.split(",") if value.strip())
        if name in found or not listed or len(listed) > MAX_VALUES or not text.isprintable():
            raise InvalidInput(f"the segment {part[:80]!r}", expected="attribute=value,value; attribute=value")
        if name not in project.rollout.attributes:
            expected = ", ".join(project.rollout.attributes) or "none: rollout.attributes of holdfast.toml is empty"
            raise InvalidInput(f"no call declares {name[:80]!r}", expected=expected)
        found[name] = listed
    return found


def named_release(plant: Plant, release: str | None, reason: str) -> tuple[Project, Digest]:
    """Return the project and the release that is meant, with the keys open and the reason checked."""
    check_reason(reason)
    plant.unlock()
    project = current_project(plant)
    return project, meant(plant, project, release)


def going_on(plant: Plant, project: Project, plan: Plan | None) -> Standing:
    """Return the present standing if a rollout of this plan, or of any, is going on."""
    now = standing(plant, project)
    if not now.candidate or plan not in {None, now.plan}:
        going = (
            f"the rollout that is going on is of another plan ({now.plan})"
            if now.candidate
            else "no rollout is going on"
        )
        raise Conflict(going, place=now.candidate, expected=plan or "a rollout")
    return now


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise InvalidInput(f"a share of {share}", expected="more than 0, at most 1")
