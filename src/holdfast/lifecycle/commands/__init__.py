"""Everything a person can ask for, one row a command: the command line and the HTTP API are made from this table."""

from typing import Final

from holdfast.lifecycle.commands import (
    access,
    audit,
    bom,
    custody,
    dependencies,
    files,
    persons,
    plan,
    platform,
    recall,
    records,
    registry,
    rollout,
    rules,
    scoring,
    storage,
    supply,
    way,
)
from holdfast.lifecycle.commands.command import Command, Option

__all__ = ["COMMANDS", "ROOMS", "Command", "Option"]

ROOMS: Final = (
    ("The way into production", way.COMMANDS),
    ("Rollouts", rollout.COMMANDS),
    ("Batches, streams, load", scoring.COMMANDS),
    ("What comes from outside", supply.COMMANDS),
    ("What is on record", records.COMMANDS),
    ("Keys", custody.COMMANDS),
    ("Persons", persons.COMMANDS),
    ("Policies", rules.COMMANDS),
    ("Data at rest", storage.COMMANDS),
    ("Dependencies, images, secrets", dependencies.COMMANDS),
    ("Registry", registry.COMMANDS),
    ("Bills of materials", bom.COMMANDS),
    ("Files of anybody", files.COMMANDS),
    ("Accounts and access", access.COMMANDS),
    ("The platform", platform.COMMANDS),
    ("Plan", plan.COMMANDS),
    ("Audit", audit.COMMANDS),
    ("Revocation and leases", recall.COMMANDS),
)
"""Which commands belong together, in the order in which the help lists them."""

COMMANDS: Final = tuple(command for _, commands in ROOMS for command in commands)
