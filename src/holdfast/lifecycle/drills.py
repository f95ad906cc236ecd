"""Drills that are due: the rollback of what answers is rehearsed regularly, by whoever watches, and put on record.

A drill that fails leaves failed evidence on the release, which the next decision about it reads: what cannot be gone
back from does not stay for long.
"""

from datetime import datetime, timedelta

from holdfast.core.errors import Conflict
from holdfast.core.passport import FILED
from holdfast.core.policy import seconds
from holdfast.core.project import Project
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.probes import DRILL
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.readiness import drill_rollback
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.routing import project_of


def keep_drilled(plant: Plant, project: Project) -> list[str]:
    """Rehearse the rollback of what answers if that is due; return what was done."""
    release = standing(plant, project).baseline
    if not release or not is_due(plant, release):
        return []
    try:
        reply = drill_rollback(plant, release=release)
    except Conflict:
        return []  # a run is under way; the next look finds the drill still due
    (found,) = reply.document["evidence"]
    if reply.exit_code:
        return [f"the drilled rollback of {short(release)} failed: {found['reason']}"]
    return [f"drilled the rollback of {short(release)}: {found['measures']['rollback_s'] * 1000:.0f} ms"]


def is_due(plant: Plant, release: str) -> bool:
    """Say whether the rollback of a release must be rehearsed: by the term of the project that it was made from."""
    every = project_of(plant, release).rollout.drill_every
    last = last_drilled(plant, release)
    return bool(every) and last is not None and plant.clock.now() >= last + timedelta(seconds=seconds(every))


def last_drilled(plant: Plant, release: str) -> datetime | None:
    """Return when it was rehearsed last, else when the release began to answer."""
    entries = [
        entry
        for entry in plant.ledger.stream(release)
        if entry.kind == "release.promoted" or (entry.kind == FILED and entry.body.get("control") == DRILL.name)
    ]
    return entries[-1].moment if entries else None
