"""Material of the reviews, gathered from the ledger: what happened since a moment, as rows that a reviewer reads."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import HoldfastError
from holdfast.core.evidence import Evidence
from holdfast.core.ledger import Entry
from holdfast.core.passport import FILED, RECORDED
from holdfast.core.seal import EVIDENCE, unseal
from holdfast.core.security import Sort, happenings
from holdfast.core.telemetry import MEASURED
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Table, short

SEVERE: Final = 4  # of five
ROTATE_WITHIN: Final = timedelta(days=60)  # a key whose window ends sooner is due
WORDS: Final = 200  # characters of a cell
_SCAN: Final = "release.scan/1"
_DRIFT: Final = "watch.drift/1"
_STANDINGS: Final = ("release.promoted", "release.candidate", "release.returned", "artifact.revoked")


def _since(plant: Plant, since: datetime) -> Iterator[Entry]:
    return (entry for entry in plant.ledger.entries() if entry.moment >= since)


def severe(plant: Plant, since: datetime) -> Table:
    """Return security events of high severity, and incidents: counted by kind, each with its newest words."""
    found: dict[str, list[Any]] = {}
    for event in happenings(plant.ledger.entries()):
        if event.severity >= SEVERE and event.time >= since:
            row = found.setdefault(event.kind, [0, event])
            row[0], row[1] = row[0] + event.count, event
    rows = [
        (kind, event.sort, str(count), f"{event.time:%Y-%m-%d %H:%M}", event.words[:WORDS])
        for kind, (count, event) in sorted(found.items())
    ]
    return Table(title="Severe alerts", columns=("kind", "sort", "times", "last", "words"), rows=rows)


def trends(plant: Plant, since: datetime) -> Table:
    """Return drift per release over the windows that were measured: first, last and worst, and where it is worst."""
    found: dict[str, list[tuple[datetime, float, str]]] = {}
    for entry in _since(plant, since):
        if entry.kind == MEASURED:
            for item in entry.body["evidence"]:
                if item["control"] == _DRIFT and (worst := _worst(plant, item["envelope"], entry)) is not None:
                    found.setdefault(entry.stream.partition("/")[2], []).append((entry.moment, *worst))
    rows = []
    for release, points in sorted(found.items()):
        top = max(points, key=lambda point: point[1])
        way = "rising" if points[-1][1] > points[0][1] else "not rising"
        numbers = (f"{points[0][1]:.3f}", f"{points[-1][1]:.3f}", f"{top[1]:.3f}")
        rows.append((short(release), str(len(points)), *numbers, top[2], way))
    columns = ("release", "windows", "first", "last", "worst", "where", "trend")
    return Table(title="Drift trends", columns=columns, rows=rows)


def _worst(plant: Plant, envelope: str, entry: Entry) -> tuple[float, str] | None:
    """Return the highest drift of one window and the measure that has it; None where nothing was measured."""
    evidence = _evidence(plant, envelope, entry)
    measures = [(measure.value, measure.name) for measure in evidence.measures if measure.name.startswith("psi")]
    return max(measures, default=None)


def _evidence(plant: Plant, envelope: str, entry: Entry) -> Evidence:
    return unseal(plant.blobs.get(Digest(envelope)), EVIDENCE, plant.trust, at=entry.moment).value


def promotions(plant: Plant, since: datetime) -> Table:
    """Return what went into production or left it, by whom and why."""
    rows = [
        (
            f"{entry.moment:%Y-%m-%d %H:%M}",
            entry.kind,
            short(entry.stream),
            entry.actor,
            str(entry.body.get("reason", ""))[:WORDS],
        )
        for entry in _since(plant, since)
        if entry.kind in _STANDINGS
    ]
    return Table(title="New promotions", columns=("time (UTC)", "what", "release", "by", "reason"), rows=rows)


def scans(plant: Plant, since: datetime) -> Table:
    """Return every scan of a model since then: its outcome and findings by severity; none is said, too."""
    rows = []
    for entry in _since(plant, since):
        if entry.kind == FILED and entry.body["control"] == _SCAN:
            evidence = _evidence(plant, entry.body["envelope"], entry)
            counted: dict[str, int] = {}
            for finding in evidence.findings:
                counted[finding.severity] = counted.get(finding.severity, 0) + 1
            words = ", ".join(f"{count} {severity}" for severity, count in sorted(counted.items())) or "no finding"
            rows.append((f"{entry.moment:%Y-%m-%d %H:%M}", short(entry.stream), str(evidence.outcome), words))
    models = [entry.stream for entry in _since(plant, since) if _records(entry, Kind.MODEL)]
    scanned = {entry.stream for entry in plant.ledger.entries() if _scans(entry)}
    rows += [("", short(model), "NOT SCANNED", "nothing was filed") for model in models if model not in scanned]
    return Table(title="Security scan", columns=("time (UTC)", "model", "outcome", "findings"), rows=rows)


def _records(entry: Entry, kind: Kind) -> bool:
    return entry.kind == RECORDED and entry.body["kind"] == kind


def _scans(entry: Entry) -> bool:
    return entry.kind == FILED and entry.body["control"] == _SCAN


def keys_due(plant: Plant, since: datetime) -> Table:
    """Return every key with what is left of its window, and what has changed about keys since then."""
    now = plant.clock.now()
    rows = []
    for key in sorted(plant.trust.keys, key=lambda key: key.not_after):
        left = key.not_after - now
        state = "revoked" if key.keyid in plant.trust.revoked else "ok"
        if state == "ok" and left < ROTATE_WITHIN:
            state = "ROTATE" if left > timedelta(0) else "ENDED"
        changed = "new since" if key.not_before >= since else ""
        rows.append((key.role, key.keyid[:16], key.owner, f"{key.not_after:%Y-%m-%d}", state, changed))
    columns = ("role", "key id", "owner", "until", "state", "changed")
    return Table(title="Key-rotation review", columns=columns, rows=rows)


def threat_model(plant: Plant, since: datetime) -> Table:
    """Return what a threat model must be held against: what controls changed, and what was refused or tampered with."""
    changes = (Sort.CHANGE, Sort.TAMPER, Sort.GAP, Sort.VERIFICATION, Sort.POLICY, Sort.INCIDENT)
    counted: dict[tuple[str, str], int] = {}
    for event in happenings(plant.ledger.entries()):
        if event.time >= since and event.sort in changes:
            counted[event.sort, event.kind] = counted.get((event.sort, event.kind), 0) + event.count
    rows = [(sort, kind, str(count)) for (sort, kind), count in sorted(counted.items())]
    last = [entry for entry in plant.ledger.entries() if entry.kind.startswith("plan.threat")]
    said = f"{last[-1].moment:%Y-%m-%d} by {last[-1].actor}" if last else "none is on record"
    rows.append(("threat model", said, "1" if last else "0"))
    return Table(title="Threat-model update", columns=("sort", "what has changed", "times"), rows=rows)


def tabletops(plant: Plant, since: datetime) -> Table:
    """Return what was planned for the quarter: the tabletop exercise, or that none was."""
    planned = [
        (entry.body["on"], entry.body["what"][:WORDS], entry.actor)
        for entry in plant.ledger.stream("routine/quarterly")
        if entry.kind == "routine.scheduled" and entry.moment >= since
    ]
    rows = planned or [("", "NOTHING PLANNED: `holdfast routine schedule quarterly`", "")]
    return Table(title="Tabletop", columns=("on", "exercise", "by"), rows=rows)


def incidents(plant: Plant, since: datetime) -> Table:
    """Return every incident that was opened or is open: what it was, and what was done about it."""
    rows = []
    streams = dict.fromkeys(e.stream for e in plant.ledger.entries() if e.kind == "incident.opened")
    for stream in streams:
        history = [entry for entry in plant.ledger.stream(stream) if entry.kind.startswith("incident.")]
        for number, entry in enumerate(history):
            if entry.kind != "incident.opened":
                continue
            closed = next((each for each in history[number:] if each.kind == "incident.closed"), None)
            if entry.moment >= since or closed is None or closed.moment >= since:
                rows.append(_incident(plant, entry, closed))
    columns = ("opened", "model", "reason", "done", "state")
    return Table(title="Postmortem and action review", columns=columns, rows=rows)


def _incident(plant: Plant, entry: Entry, closed: Entry | None) -> tuple[str, ...]:
    try:
        actions = msgspec.json.decode(plant.blobs.get(Digest(entry.body["document"]))).get("actions", [])
    except (HoldfastError, msgspec.DecodeError, KeyError) as error:
        actions = [f"its document cannot be read: {error}"]
    state = f"closed {closed.moment:%Y-%m-%d}: {closed.body.get('reason', '')}" if closed else "OPEN"
    model, reason = entry.stream.partition("/")[2], str(entry.body.get("reason", ""))
    done = "; ".join(map(str, actions))
    return (f"{entry.moment:%Y-%m-%d %H:%M}", model, reason[:WORDS], done[:WORDS], state[:WORDS])
