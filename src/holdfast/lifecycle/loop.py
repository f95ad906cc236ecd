"""The one loop, closed here so that it can be seen: telemetry → evidence → signals → commands → traffic.

1. Make the gateway's folder whole. 2. Take in what the gateway wrote. 3. Advance a canary; return a candidate that does
harm. 4. Measure what answers on a window of traffic, seal it, file it, hold it against the promise. 5. Step the
playbook for each signal, and carry its commands out. 6. Decide anew about what answers: renew its lease, or take it
out. 7. Drill the rollback when that is due.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import (
    Conflict,
    HoldfastError,
    InvalidInput,
    LedgerBroken,
    NotFound,
    NotVerified,
    PolicyDenied,
)
from holdfast.core.evidence import Evidence
from holdfast.core.project import Project
from holdfast.core.signals import Raised, Signal
from holdfast.lifecycle.certificates import warn
from holdfast.lifecycle.drills import keep_drilled
from holdfast.lifecycle.incidents import record_incident
from holdfast.lifecycle.intake import take_in_spools
from holdfast.lifecycle.online_features import stale
from holdfast.lifecycle.planning_threats import keep_tickets
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import withdraw
from holdfast.lifecycle.publishing import is_newest, lease_left, settle, standing, standing_at
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, short
from holdfast.lifecycle.rotation import warn_due
from holdfast.lifecycle.routing import commit, current_project, draw, standing_case
from holdfast.lifecycle.steps import advance
from holdfast.lifecycle.traffic import measure_traffic
from holdfast.registry import Standing, renewed
from holdfast.respond import PLAYBOOK, Command, Posture
from holdfast.serve.events import Event

INTEGRITY_EVENTS: Final = (f"state.refused.{NotVerified.code[:3]}", "spool.broken")  # HF5…: something did not verify
LEASE_LEFT: Final = 0.5  # renew when less than this part of a lease is left
SHORTEST_WAIT_S: Final = 0.1  # between two looks; one takes about as long
LONGEST_WAIT_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one round found and did."""

    windows: int
    raised: tuple[Raised, ...]
    done: tuple[str, ...]
    evidence: tuple[Evidence, ...]


def watch(plant: Plant, *, every: float | None = None) -> Reply:
    """Look once, or again every so many seconds until interrupted.

    A round that fails is told, and the next one tries again: what is in production must not end with one bad file.

    Raises:
        InvalidInput: `every` is no time to wait.
        LedgerBroken: History does not fit its hashes; nothing may be written on top of it.
    """
    if every is not None and not (math.isfinite(every) and SHORTEST_WAIT_S <= every <= LONGEST_WAIT_S):
        raise InvalidInput(f"--every {every}", expected=f"{SHORTEST_WAIT_S} to {LONGEST_WAIT_S:.0f} seconds")
    plant.unlock()
    if every is None:
        seen = look(plant)
        keep_tickets(plant)
        return _reply(seen)
    seen = Seen(windows=0, raised=(), done=(), evidence=())
    try:
        while True:
            try:
                seen = look(plant)
                keep_tickets(plant)
                _tell(plant, seen)
            except LedgerBroken:
                raise
            except HoldfastError as error:
                plant.tell(Progress(stage="watch", state="failed", words=str(error)))
            time.sleep(every)
    except KeyboardInterrupt:
        return _reply(seen)


def look(plant: Plant) -> Seen:
    """Do one round of the loop."""
    project = current_project(plant)
    with plant.ledger.lease("route"):
        now = standing(plant, project)
        done, raised = _make_whole(plant, project, now)  # 1.
        taken = take_in_spools(plant, now.candidate or now.baseline)  # 2. what changed last is suspected first
        raised += [*taken.raised, *_told(plant, project, taken.events)]
        done += advance(plant, project)  # 3.
        evidence, beyond = measure_traffic(plant, project)  # 4.
        raised += [*beyond, *stale(plant, project, now.baseline)]
        done += _respond(plant, project, raised)  # 5.
        kept, unfit = _keep_lease(plant, project)  # 6.
    done += [*kept, *keep_drilled(plant, project)]  # 7.
    done += [*warn(plant), *warn_due(plant)]  # certificates and keys near their end
    plant.tell_uses()
    return Seen(windows=taken.statements, raised=(*raised, *unfit), done=tuple(done), evidence=tuple(evidence))


def _make_whole(plant: Plant, project: Project, now: Standing) -> tuple[list[str], list[Raised]]:
    """Complete what a dead process left unpublished, and restore what was damaged; what cannot be is a signal."""
    try:
        restored = settle(plant, project)
    except LedgerBroken:
        raise
    except (NotVerified, NotFound) as error:
        words = f"what should be published does not verify: {error.message} ({error.place})"
        about = _culprit(plant, now, error.place)
        return [], [Raised(signal=Signal.INTEGRITY_FAILURE, subject=about, words=words)]
    return [f"restored {short(digest)}, which was damaged in the gateway's folder" for digest in restored], []


def _told(plant: Plant, project: Project, events: Iterable[Event]) -> list[Raised]:
    """Return a signal for each event in which the gateway says that something did not verify.

    It is about what was routed then: a gateway that complains again before it has seen the newer table says nothing of
    the release that answers by now.
    """
    raised = []
    for event in events:
        if event.kind.startswith(INTEGRITY_EVENTS):
            about = _culprit(plant, standing_at(plant, project, datetime.fromisoformat(event.time)), event.detail)
            words = f"the gateway says {event.kind}: {event.detail}"
            raised.append(Raised(signal=Signal.INTEGRITY_FAILURE, subject=about, words=words))
    return raised


def _culprit(plant: Plant, then: Standing, detail: str) -> str:
    """Return the release that words about a failure name, itself or a file of it; else what had changed last."""
    suspects = [digest for digest in (then.candidate, then.baseline) if digest]
    for release in suspects:
        try:
            files = parse_manifest(plant.blobs.get(Digest(release))).files
        except (NotFound, NotVerified):
            return release
        if any(digest in detail for digest in (release, *(file.digest for file in files))):
            return release
    return suspects[0] if suspects else ""


def _respond(plant: Plant, project: Project, raised: Sequence[Raised]) -> list[str]:
    """Step the playbook for each signal and carry out what it says."""
    done: list[str] = []
    for item in raised:
        posture, commands = PLAYBOOK.step(Posture(standing(plant, project).posture), item.signal)
        for command in commands:
            if command is Command.ROLL_BACK:
                done += _roll_back(plant, project, item, posture)
            else:
                done.append(record_incident(plant, project, command, item, tuple(done)))
    return done


def _roll_back(plant: Plant, project: Project, item: Raised, posture: Posture) -> list[str]:
    """Take the release that a signal is about out of production; one that is out already stays out."""
    if item.subject not in standing(plant, project).releases:
        return []
    reason = f"playbook: {item.signal}: {item.words}"
    withdrawn, target = withdraw(plant, project, actor="respond", reason=reason, posture=posture, release=item.subject)
    answers = f"{short(target)} answers" if target else "nothing answers (the declared safe state)"
    return [f"rolled back {short(withdrawn)}: {answers}"]


def _keep_lease(plant: Plant, project: Project) -> tuple[list[str], list[Raised]]:
    """Decide anew about what answers, when something was said of it or of the trust, or half of its lease is gone.

    A release that the policy denies by now is taken out; one of which something does not verify is an integrity
    failure, for which the playbook has a row.
    """
    now = standing(plant, project)
    if not now.epoch:
        return [], []
    try:
        quiet = all(standing_case(plant, project, release) for release in now.releases)
        if quiet and is_newest(plant, project) and lease_left(plant, project) > LEASE_LEFT:
            return [], []
        table = commit(plant, project, draw(plant, project, renewed(now)))
    except LedgerBroken:
        raise
    except Conflict:
        return [], []  # something was said meanwhile about what was decided upon; the next look decides anew
    except PolicyDenied as denied:
        reason = f"no lease: {denied.reasons[0]}"
        release = denied.place if denied.place in now.releases else ""
        gone, _ = withdraw(plant, project, actor="registry", reason=reason, posture=now.posture, release=release)
        return [f"took {short(gone)} out of production: {reason}"], []
    except (NotVerified, NotFound) as error:
        words = f"no lease: {error.message} ({error.place})"
        about = error.place if error.place in now.releases else _culprit(plant, now, error.place)
        unfit = [Raised(signal=Signal.INTEGRITY_FAILURE, subject=about, words=words)]
        return _respond(plant, project, unfit), unfit
    return [f"lease renewed until {table.expires:%H:%M:%S} UTC"], []


def _tell(plant: Plant, seen: Seen) -> None:
    for words in (*(item.words for item in seen.raised), *seen.done):
        plant.tell(Progress(stage="watch", state="finished", words=words))


def _reply(seen: Seen) -> Reply:
    table = Table(
        title="Signals",
        columns=("signal", "about", "words"),
        rows=[(r.signal, short(r.subject), r.words) for r in seen.raised],
    )
    document = {
        "windows": seen.windows,
        "signals": [{"signal": item.signal, "subject": item.subject, "words": item.words} for item in seen.raised],
        "done": list(seen.done),
        "evidence": [item.control for item in seen.evidence],
    }
    quiet = (
        f"{counted(seen.windows, 'window')} read, {counted(len(seen.evidence), 'measurement')}, nothing to respond to."
    )
    return Reply(says="; ".join(seen.done) or quiet, document=document, tables=(table,) if seen.raised else ())
