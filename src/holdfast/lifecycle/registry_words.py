"""Words: a person's signed word on what happens to a release, and which release a person means."""

from datetime import timedelta
from typing import Final

from holdfast.core.artifact import Digest, parse_digest
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.project import Project
from holdfast.core.seal import AUTHORIZATION, Authorization
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import resolve_release
from holdfast.registry import Opener
from holdfast.registry.aliases import ALIASED, alias_stream, pointed

WORD_LASTS: Final = timedelta(days=1)  # it is used at once; what it did stands for ever


def granted(plant: Plant, release: Digest, rule: str, reason: str) -> Digest:
    """Sign, with the person's own key, that something may be done to a release, and return the envelope's digest.

    Raises:
        InvalidInput: The reason cannot stay on record.
        Unavailable: The key cannot be had.
    """
    check_reason(reason)
    word = Authorization(
        person=plant.person,
        role="owner",
        action="grant",
        subject=release,
        rule=rule,
        until=plant.clock.now() + WORD_LASTS,
        reason=reason,
    )
    return plant.seal(word, AUTHORIZATION, "person")


def meant(plant: Plant, project: Project, release: str | None) -> Digest:
    """Return the release that a person means: by the beginning of its digest, by an alias, or the newest.

    Raises:
        NotFound: There is none, or more than one begins so.
    """
    if release is not None:
        try:
            stream = alias_stream(release)
        except InvalidInput:
            stream = ""
        entries = plant.ledger.stream(stream) if stream else ()
        found = pointed(release, entries, Opener(plant.blobs, plant.trust)) if entries else None
        if found is not None:
            return found
        try:
            whole = parse_digest(release)
        except InvalidInput:
            return resolve_release(plant, project, release)
        if plant.last(whole, "artifact.recorded") is None:
            raise NotFound("the ledger knows no such release", place=whole)
        return whole
    return resolve_release(plant, project, None)


def aliases_of(plant: Plant) -> dict[str, Digest]:
    """Return every alias and the release it means."""
    opener = Opener(plant.blobs, plant.trust)
    streams = {entry.stream for entry in plant.ledger.entries() if entry.kind == ALIASED}
    found = {}
    for stream in sorted(streams):
        name = stream.removeprefix("alias/")
        target = pointed(name, plant.ledger.stream(stream), opener)
        if target is not None:
            found[name] = target
    return found
