"""Respond: signals become commands by a playbook that is a table, and incidents write their own timeline."""

from holdfast.respond.incident import incident_document, timeline
from holdfast.respond.playbook import PLAYBOOK, SEVERITY, Command, Posture

__all__ = ["PLAYBOOK", "SEVERITY", "Command", "Posture", "incident_document", "timeline"]
