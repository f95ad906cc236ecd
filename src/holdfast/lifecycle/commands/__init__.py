"""Everything a person can ask for, one row a command: the command line and the HTTP API are made from this table."""

from typing import Final

from holdfast.lifecycle.commands import (
    access,
    audit,
    custody,
    persons,
    plan,
    platform,
    recall,
    records,
    registry,
    rules,
    storage,
    way,
)
from holdfast.lifecycle.commands.command import Command, Option

__all__ = ["COMMANDS", "Command", "Option"]

COMMANDS: Final = (
    *way.COMMANDS,
    *records.COMMANDS,
    *custody.COMMANDS,
    *persons.COMMANDS,
    *rules.COMMANDS,
    *storage.COMMANDS,
    *registry.COMMANDS,
    *access.COMMANDS,
    *platform.COMMANDS,
    *plan.COMMANDS,
    *audit.COMMANDS,
    *recall.COMMANDS,
)
