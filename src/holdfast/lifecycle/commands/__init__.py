"""Everything a person can ask for, one row a command: the command line and the HTTP API are made from this table."""

from typing import Final

from holdfast.lifecycle.commands import custody, recall, records, rules, way
from holdfast.lifecycle.commands.command import Command, Option

__all__ = ["COMMANDS", "Command", "Option"]

COMMANDS: Final = (
    *way.COMMANDS,
    *records.COMMANDS,
    *custody.COMMANDS,
    *rules.COMMANDS,
    *recall.COMMANDS,
)
