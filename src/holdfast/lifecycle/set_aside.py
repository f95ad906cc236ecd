"""Rows set aside by the hour, and why, as the evidence of every ingest on record says."""

from collections import defaultdict
from typing import Final

from holdfast.core.artifact import Kind
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import project_stream
from holdfast.lifecycle.verbs import newest_on

CONTRACT: Final = "ingest.contract/1"
_HOUR: Final = 13  # characters of a moment up to its hour: 2026-01-31T09
_REASON: Final = "set_aside:"  # how measures of one reason begin


def by_hour(plant: Plant, *, newest: int = 24) -> Reply:
    """Say how many rows were set aside in each hour in which rows were taken in, and the most frequent reasons.

    Args:
        plant: The control plane.
        newest: Hours with ingests to show, from the newest on.
    """
    project = current_project(plant)
    found: dict[str, list[tuple[int, int, dict[str, int]]]] = defaultdict(list)
    for entry in plant.ledger.stream(project_stream(project)):
        if entry.kind != "stage.finished" or entry.body["stage"] != "ingest":
            continue
        digest = next(item["digest"] for item in entry.body["artifacts"] if item["kind"] == Kind.DATASET)
        evidence = newest_on(plant, digest).get(CONTRACT)
        if evidence is None:
            continue
        measures = {measure.name: int(measure.value) for measure in evidence.measures}
        reasons = {name.removeprefix(_REASON): count for name, count in measures.items() if name.startswith(_REASON)}
        found[entry.time[:_HOUR]].append((measures["rows_in"], measures["rows_quarantined"], reasons))
    hours = [_hour(hour, batches) for hour, batches in sorted(found.items(), reverse=True)[:newest]]
    names = ("hour", "batches", "rows_in", "set_aside", "share", "reasons")
    shown = [tuple(str(part) for part in hour) for hour in hours]
    table = Table(title="Rows set aside", columns=[name.replace("_", " ") for name in names], rows=shown)
    document = {"hours": [dict(zip(names, each, strict=True)) for each in hours]}
    says = f"{counted(sum(hour[3] for hour in hours), 'row')} set aside in {counted(len(hours), 'hour')} with ingests."
    return Reply(says=says, document=document, tables=(table,) if hours else ())


def _hour(hour: str, batches: list[tuple[int, int, dict[str, int]]]) -> tuple[str, int, int, int, str, str]:
    rows, aside, reasons = 0, 0, defaultdict[str, int](int)
    for came, set_aside, why in batches:
        rows, aside = rows + came, aside + set_aside
        for code, count in why.items():
            reasons[code] += count
    ordered = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    words = ", ".join(f"{code} {count}" for code, count in ordered)
    return f"{hour}:00Z", len(batches), rows, aside, f"{aside / max(rows, 1):.2%}", words
