"""Damage and its remedy: what no longer has its digest is refused, restored from a good copy, and alerted.

Good copies are looked for where the same bytes lie for another reason: in the archive, in the folders that gateways
read, in a backup that somebody names. Each is verified by its digest before it is used. What no copy is left of, but a
stage has made, is set aside, so that the next run makes it again from the same inputs; the rest is lost, and is said
to be.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import HoldfastError, InvalidProject, NotVerified
from holdfast.core.ledger import Draft
from holdfast.core.project import parse_project
from holdfast.core.signals import Raised, Signal
from holdfast.lifecycle.incidents import record_incident
from holdfast.lifecycle.inputs import read_project_file
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import short
from holdfast.respond import Command

RESTORED: Final = "blob.restored"
DAMAGED: Final = "blob.damaged"
STREAM: Final = "blobs"
Copy = tuple[str, Callable[[Digest], None]]
"""A place where good copies may lie, in words, and what brings one back from there or raises."""


def mend(plant: Plant, digest: Digest, found: str, *, more: tuple[Copy, ...] = ()) -> str:
    """Put a good copy in the place of a damaged blob, and say so in the ledger and in an incident; return from where.

    Args:
        plant: The control plane.
        digest: The blob.
        found: What is wrong with it, in words.
        more: Further places to look for a copy, by name.

    Raises:
        NotVerified: There is no good copy; that is on record too.
    """
    for name, bring in (*more, *_copies(plant)):
        with suppress(HoldfastError):  # whatever is wrong there, it is no good copy
            bring(digest)
            plant.blobs.check(digest)
            _alert(plant, RESTORED, digest, {"found": found, "from": name})
            return name
    _alert(plant, DAMAGED, digest, {"found": found})
    raise NotVerified(
        f"{found}, and no good copy is here",
        place=digest,
        remedy="`holdfast registry repair` restores it, from a backup too, or lets the next run make it again.",
    )


def _copies(plant: Plant) -> tuple[Copy, ...]:
    """Return the places that every workspace has; each verifies what it hands out before anything here is moved."""

    def archived(digest: Digest) -> None:
        plant.archive.check(digest)
        plant.set_damaged_aside(digest)
        plant.bring_back(digest)

    return (
        ("the archive", archived),
        ("what gateways read", lambda digest: plant.replace_damaged(digest, plant.published.blobs.get(digest))),
        ("what gateways of staging read", lambda digest: plant.replace_damaged(digest, plant.staged.blobs.get(digest))),
    )


def _alert(plant: Plant, kind: str, digest: Digest, said: dict[str, Any]) -> None:
    """Put damage on record as a security event, and in an incident where there is a project to answer for it."""
    body = {"digest": digest, **said}
    plant.ledger.append([Draft(kind=kind, actor="registry", stream=STREAM, body=body)])
    with suppress(InvalidProject):
        project = parse_project(read_project_file(plant.home.project_file))[0]
        done = (f"restored from {said['from']}",) if "from" in said else ()
        words = f"stored bytes were changed: {short(digest)}"
        raised = Raised(signal=Signal.INTEGRITY_FAILURE, subject=digest, words=words)
        record_incident(plant, project, Command.OPEN_INCIDENT, raised, done)


def sound(plant: Plant, digest: Digest) -> None:
    """Verify a blob before it is used; a damaged one is never used, but replaced first.

    Raises:
        NotFound: There is no such blob.
        NotVerified: It is damaged, and no good copy is left.
    """
    try:
        plant.blobs.check(digest)
    except NotVerified as error:
        mend(plant, digest, error.message)
