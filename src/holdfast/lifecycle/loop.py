"""The one loop, closed here so that it can be seen: telemetry → evidence → signals → commands → traffic.

1. Drain what the gateway sealed. 2. Advance a canary. 3. Measure what answers on a window of traffic, seal it, file it.
4. Hold it against the promise; step the playbook for each signal. 5. Carry its commands out. 6. Renew the lease.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Artifact, Digest, Kind, digest_json, parse_manifest
from holdfast.core.errors import NotVerified, PolicyDenied
from holdfast.core.evidence import Evidence, MadeWith
from holdfast.core.ledger import Draft, Entry
from holdfast.core.policy import Action
from holdfast.core.project import Project
from holdfast.core.seal import EVIDENCE, TELEMETRY, Telemetry, unseal
from holdfast.core.signals import Raised, Signal
from holdfast.core.telemetry import Window, add_windows
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import withdraw
from holdfast.lifecycle.reply import Progress, Reply, Table, short
from holdfast.lifecycle.routing import (
    current_project,
    endpoint_stream,
    lease_left,
    permit_for,
    renew,
    route,
    settle,
    standing,
)
from holdfast.maths.sequential import Block
from holdfast.maths.sketch import Profile
from holdfast.registry import Standing, promoted, with_candidate, without_candidate
from holdfast.respond import PLAYBOOK, SEVERITY, Command, Posture, incident_document
from holdfast.rollout import PROMOTED, RETURNED, Share, Verdict, analyse, canary
from holdfast.serve.events import Head, read_events
from holdfast.watch import Traffic, signals
from holdfast.watch import watch as measure

SPOOL: Final = "spool"
INTEGRITY_EVENTS: Final = (f"state.refused.{NotVerified.code[:3]}",)  # HF5…: something did not verify
LEASE_LEFT: Final = 0.5  # renew when less than this part of a lease is left


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one round found and did."""

    windows: int
    raised: tuple[Raised, ...]
    done: tuple[str, ...]
    evidence: tuple[Evidence, ...]


def watch(plant: Plant, *, every: float | None = None) -> Reply:
    """Look once, or again every so many seconds until interrupted."""
    seen = look(plant)
    while every is not None:
        _tell(plant, seen)
        time.sleep(max(every, 0.1))
        seen = look(plant)
    return _reply(seen)


def look(plant: Plant) -> Seen:
    """Do one round of the loop."""
    project = current_project(plant)
    with plant.ledger.lease("route"):
        settle(plant, project)
        drained, broken = drain(plant)  # 1.
        broken += take_events(plant, project)
        done = _advance(plant, project)  # 2.
        evidence = _measure(plant, project)  # 3.
        raised = (*broken, *signals(evidence, project.slo))  # 4.
        done += _respond(plant, project, raised)  # 5.
        done += _keep_lease(plant, project)  # 6.
    return Seen(windows=drained, raised=raised, done=tuple(done), evidence=evidence)


def drain(plant: Plant) -> tuple[int, tuple[Raised, ...]]:
    """Take the gateway's sealed windows and security events into the ledger; what does not verify is a signal.

    A window is removed from the spool only once the ledger holds it.
    """
    taken, raised = 0, []
    for path in sorted((plant.home.gateway / SPOOL).glob("telemetry-*.dsse.json")):
        document = path.read_bytes()
        try:
            told = unseal(document, TELEMETRY, plant.trust, at=plant.clock.now()).value
            _check_order(plant, told)
        except NotVerified as error:
            words = f"telemetry does not verify: {error.message}"
            raised.append(Raised(signal=Signal.INTEGRITY_FAILURE, subject=path.name, words=words))
            path.rename(path.with_suffix(".refused"))
            continue
        body = {"envelope": plant.blobs.put(document), "release": told.release, "sequence": told.sequence}
        plant.ledger.append([Draft(kind="telemetry.drained", actor="gateway", stream=told.gateway, body=body)])
        path.unlink()
        taken += 1
    return taken, tuple(raised)


def _check_order(plant: Plant, told: Telemetry) -> None:
    """Refuse a gap: a window that was never told could have held the attack."""
    last = plant.last(told.gateway, "telemetry.drained")
    expected = last.body["sequence"] + 1 if last else 0
    previous = last.body["envelope"] if last else ""
    if (told.sequence, told.previous) != (expected, previous):
        raise NotVerified(f"window {told.sequence} does not follow {expected - 1}", place=told.gateway)


def take_events(plant: Plant, project: Project) -> tuple[Raised, ...]:
    """Take the gateway's security events into the ledger, every one; a failed verification is a signal.

    The lines of a worker form a chain, and the ledger remembers where it stands: a removed, changed or inserted line is
    an integrity failure itself.
    """
    raised: list[Raised] = []
    for path in sorted((plant.home.gateway / SPOOL).glob("events-*.jsonl")):
        raised += _take_file(plant, project, path)
    return tuple(raised)


def _take_file(plant: Plant, project: Project, path: Path) -> list[Raised]:
    stream = f"events/{path.stem}"
    last = plant.last(stream, "security.drained")
    taken = last.body["bytes"] if last else 0
    document = path.read_bytes()
    whole = document[taken : document.rfind(b"\n") + 1]  # the gateway may be writing the next line just now
    if not whole:
        return []
    head = Head(sequence=last.body["sequence"], previous=last.body["head"]) if last else None
    about = standing(plant, project).baseline or project.project.name
    try:
        events, after = read_events(whole, head)
    except NotVerified as error:
        path.rename(path.with_suffix(".refused"))
        words = f"the gateway's security events do not fit together: {error.message} ({error.place})"
        return [Raised(signal=Signal.INTEGRITY_FAILURE, subject=about, words=words)]
    drafts = [
        Draft(kind="security.event", actor="gateway", stream=stream, body=msgspec.to_builtins(event))
        for event in events
    ]
    body = {"bytes": taken + len(whole), "sequence": after.sequence, "head": after.previous}
    plant.ledger.append([*drafts, Draft(kind="security.drained", actor="gateway", stream=stream, body=body)])
    return [
        Raised(signal=Signal.INTEGRITY_FAILURE, subject=about, words=f"the gateway refused to load: {event.detail}")
        for event in events
        if event.kind.startswith(INTEGRITY_EVENTS)
    ]


def _windows(plant: Plant, release: str, since: int) -> list[Window]:
    """Return what a release did, window by window, as drained after ledger position `since`."""
    found = []
    for gateway in {key.owner for key in plant.trust.of_role("gateway")}:
        for entry in plant.ledger.stream(gateway):
            if entry.kind == "telemetry.drained" and entry.position > since and entry.body["release"] == release:
                envelope = plant.blobs.get(Digest(entry.body["envelope"]))
                told = unseal(envelope, TELEMETRY, plant.trust, at=entry.moment).value
                found.append(msgspec.convert(told.body, Window))
    return found


def _advance(plant: Plant, project: Project) -> list[str]:
    """Step the canary, if there is one, on everything seen since its present step began."""
    now = standing(plant, project)
    if not now.candidate:
        return []
    since = _step_began(plant, project, now)
    blocks = _blocks(_windows(plant, now.candidate, since), _windows(plant, now.baseline, since))
    found = analyse(blocks, min_requests=project.rollout.min_requests, alpha=project.rollout.alpha)
    if found.verdict is Verdict.WAIT:
        return []
    state, commands = canary(project.rollout.steps).step(now.rollout, found.verdict)
    share = next(command.share for command in commands if isinstance(command, Share))
    body = {"reason": found.words, "state": state, "p_value": found.p_value}
    if state == RETURNED:
        why = Draft(kind="release.returned", actor="rollout", stream=now.candidate, body=body)
        route(plant, project, without_candidate(now, state), because=(why,), permit=None)
        return [f"canary {short(now.candidate)} returned to the baseline: {found.words}"]
    if state == PROMOTED:
        permit = permit_for(plant, project, Digest(now.candidate), Action.PROMOTE)
        why = Draft(kind="release.promoted", actor="rollout", stream=now.candidate, body=body)
        route(plant, project, promoted(now, now.candidate), because=(why,), permit=permit)
        return [f"canary {short(now.candidate)} took over: {found.words}"]
    why = Draft(kind="release.candidate", actor="rollout", stream=now.candidate, body=body)
    route(plant, project, with_candidate(now, now.candidate, share, state), because=(why,), permit=None)
    return [f"canary {short(now.candidate)} now answers {share:.0%}: {found.words}"]


def _step_began(plant: Plant, project: Project, now: Standing) -> int:
    """Return the ledger position at which the rollout came into its present state."""
    began = -1
    for entry in reversed(plant.ledger.stream(endpoint_stream(project))):
        if entry.kind == "endpoint.routed":
            then = entry.body["standing"]
            if (then["candidate"], then["rollout"]) != (now.candidate, now.rollout):
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


def _measure(plant: Plant, project: Project) -> tuple[Evidence, ...]:
    """Measure each release that answers, once enough traffic has come since it was last measured."""
    found: list[Evidence] = []
    for release in standing(plant, project).releases:
        last = plant.last(release, "traffic.measured")
        windows = _windows(plant, release, last.position if last else -1)
        if not windows:
            continue
        total = windows[0]
        for window in windows[1:]:
            total = add_windows(total, window)
        if max(total.rows, total.requests) < project.slo.min_window:
            continue
        found += _file(plant, project, Digest(release), total)
    return tuple(found)


def _file(plant: Plant, project: Project, release: Digest, total: Window) -> tuple[Evidence, ...]:
    inputs, scores = profiles_of(plant, release)
    traffic = Traffic(window=total, inputs=inputs, scores=scores, min_rows=project.slo.min_window)
    subject = Artifact(kind=Kind.RELEASE, digest=release, size=0)
    made_with = MadeWith(code=plant.code, configuration=digest_json(project.slo), data=(digest_json(total),))
    evidence = measure(traffic, subject, made_with)
    drafts = [
        Draft(
            kind="traffic.measured",
            actor="watch",
            stream=release,
            body={"rows": total.rows, "requests": total.requests},
        )
    ]
    for item in evidence:
        envelope = plant.seal(item, EVIDENCE, "watch")
        body = {"control": item.control, "run": envelope, "envelope": envelope, "outcome": item.outcome}
        drafts.append(Draft(kind="evidence.filed", actor="watch", stream=release, body=body))
    plant.ledger.append(drafts)
    return evidence


def profiles_of(plant: Plant, release: Digest) -> tuple[dict[str, Profile], Profile]:
    """Return what a release was trained on: the profile of each input, and of the training scores."""
    manifest = parse_manifest(plant.blobs.get(release))
    read = msgspec.json.decode(plant.blobs.get(Digest(manifest.file("profile.json").digest)))
    inputs = {name: msgspec.convert(item, Profile) for name, item in read["inputs"].items()}
    return inputs, msgspec.convert(read["score"], Profile)


def _respond(plant: Plant, project: Project, raised: Sequence[Raised]) -> list[str]:
    """Step the playbook for each signal and carry out what it says."""
    done: list[str] = []
    for item in raised:
        now = standing(plant, project)
        posture, commands = PLAYBOOK.step(Posture(now.posture), item.signal)
        done += [_carry_out(plant, project, command, item, posture, tuple(done)) for command in commands]
    return done


def _carry_out(
    plant: Plant, project: Project, command: Command, item: Raised, posture: Posture, done: Sequence[str]
) -> str:
    match command:
        case Command.ROLL_BACK:
            reason = f"playbook: {item.signal}: {item.words}"
            now = standing(plant, project)
            subject = item.subject if item.subject in now.releases else now.candidate or now.baseline
            if not subject:
                return "nothing is in production that could be rolled back"
            withdrawn, target = withdraw(
                plant, project, actor="respond", reason=reason, posture=posture, release=subject
            )
            answers = f"{short(target)} answers" if target else "nothing answers (the declared safe state)"
            return f"rolled back {short(withdrawn)}: {answers}"
        case Command.OPEN_INCIDENT | Command.ADD_TO_INCIDENT:
            return _record_incident(plant, project, command, item, done)
        case Command.CLOSE_INCIDENT:
            stream = f"incident/{project.project.name}"
            plant.ledger.append(
                [Draft(kind="incident.closed", actor="respond", stream=stream, body={"reason": item.words})]
            )
            return "incident closed"


def _record_incident(plant: Plant, project: Project, command: Command, item: Raised, done: Sequence[str]) -> str:
    entries: list[Entry] = [*plant.ledger.stream(endpoint_stream(project)), *plant.ledger.stream(item.subject)]
    document = incident_document(
        endpoint=endpoint_stream(project), raised=[item], severity=SEVERITY[item.signal], actions=done, entries=entries
    )
    body: dict[str, Any] = {
        "signal": item.signal,
        "reason": item.words,
        "subject": item.subject,
        "document": plant.blobs.put(document),
    }
    kind = "incident.opened" if command is Command.OPEN_INCIDENT else "incident.extended"
    stream = f"incident/{project.project.name}"
    entry = plant.ledger.append([Draft(kind=kind, actor="respond", stream=stream, body=body)])[0]
    return f"incident {entry.position} {'opened' if kind == 'incident.opened' else 'extended'}: {item.words}"


def _keep_lease(plant: Plant, project: Project) -> list[str]:
    """Renew the gateway's lease when half of it is gone; what may no longer serve is taken out instead."""
    if lease_left(plant, project) > LEASE_LEFT:
        return []
    try:
        table = renew(plant, project)
    except PolicyDenied as denied:
        reason = f"no lease: {denied.reasons[0]}"
        withdrawn, _ = withdraw(
            plant, project, actor="registry", reason=reason, posture=standing(plant, project).posture
        )
        return [f"took {short(withdrawn)} out of production: {reason}"]
    return [f"lease renewed until {table.expires:%H:%M:%S} UTC"] if table else []


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
    says = (
        "; ".join(seen.done)
        or f"{seen.windows} windows read, {len(seen.evidence)} measurements, nothing to respond to."
    )
    return Reply(says=says, document=document, tables=(table,) if seen.raised else ())
