"""Everything a person can ask for, one row a command: the command line and the HTTP API are made from this table."""

from typing import Final

from holdfast.lifecycle.commands import (
    access,
    audit,
    bom,
    custody,
    dependencies,
    dlp,
    features,
    files,
    persons,
    plan,
    platform,
    quality,
    recall,
    records,
    registry,
    rollout,
    rules,
    scoring,
    screening,
    sources,
    storage,
    supply,
    versions,
    way,
)
from holdfast.lifecycle.commands.command import Command, Option

__all__ = ["COMMANDS", "ROOMS", "Command", "Option"]

ROOMS: Final = (
    ("The way into production", way.COMMANDS),
    ("Where rows come from", sources.COMMANDS),
    ("Rollouts", rollout.COMMANDS),
    ("Batches, streams, load", scoring.COMMANDS),
    ("What comes from outside", supply.COMMANDS),
    ("Poison and labels", screening.COMMANDS),
    ("What is on record", records.COMMANDS),
    ("Keys", custody.COMMANDS),
    ("Persons", persons.COMMANDS),
    ("Policies", rules.COMMANDS),
    ("Contracts and cleaning", quality.COMMANDS),
    ("Versions of data", versions.COMMANDS),
    ("Data at rest", storage.COMMANDS),
    ("Personal data", dlp.COMMANDS),
    ("Features", features.COMMANDS),
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
