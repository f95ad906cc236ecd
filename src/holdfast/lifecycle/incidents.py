"""Incidents: opened, added to and closed as the playbook says, each time with the timeline as the ledger has it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.core.signals import Raised, Signal
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import endpoint_stream
from holdfast.registry import Standing
from holdfast.respond import PLAYBOOK, SEVERITY, Command, Posture, incident_document

DID: Final[Mapping[Command, str]] = {
    Command.OPEN_INCIDENT: "opened",
    Command.ADD_TO_INCIDENT: "extended",
    Command.CLOSE_INCIDENT: "closed",
}


def incident_stream(project: Project) -> str:
    """Return the name of the stream that holds a project's incidents."""
    return f"incident/{project.project.name}"


def record_incident(plant: Plant, project: Project, command: Command, item: Raised, done: Sequence[str]) -> str:
    """Open an incident, add to the open one or close it, and say so.

    Args:
        plant: The control plane.
        project: The project whose endpoint it is about.
        command: What the playbook says about incidents.
        item: The signal that led to it.
        done: What was done about it so far, in words.
    """
    streams = dict.fromkeys((endpoint_stream(project), item.subject))
    document = incident_document(
        endpoint=endpoint_stream(project),
        raised=[item],
        severity=SEVERITY[item.signal],
        actions=done,
        entries=[entry for stream in streams for entry in plant.ledger.stream(stream)],
    )
    body: dict[str, Any] = {
        "signal": item.signal,
        "reason": item.words,
        "subject": item.subject,
        "document": plant.blobs.put(document),
    }
    draft = Draft(kind=f"incident.{DID[command]}", actor="respond", stream=incident_stream(project), body=body)
    (entry,) = plant.ledger.append([draft])
    return f"incident {entry.position} {DID[command]}: {item.words}"


def resolution(project: Project, now: Standing, reason: str) -> tuple[Draft, ...]:
    """Return the entries that end what is open, for whoever puts a release into production; none where all is well."""
    if Posture(now.posture) is Posture.STEADY:
        return ()
    _, commands = PLAYBOOK.step(Posture(now.posture), Signal.RESOLVED)
    stream = incident_stream(project)
    return tuple(
        Draft(kind=f"incident.{DID[command]}", actor="respond", stream=stream, body={"reason": reason})
        for command in commands
    )
