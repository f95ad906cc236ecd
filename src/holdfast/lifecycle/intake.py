"""Intake: what gateways wrote into their spools, taken into the ledger; what does not fit is a signal.

Both lie encrypted for this control plane. That says nothing of who wrote them, and what a gateway of before left in the
clear is taken as well: nothing in a spool is believed because it lies there. Telemetry is sealed by the gateway's own
key, each statement naming the one before; security events form a chain that sealed statements anchor. A statement is
removed once the ledger holds it, a file of events once it is wholly taken and a newer one has begun; what is refused
stays as evidence.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.core.artifact import Digest, digest_bytes, parse_manifest
from holdfast.core.errors import InvalidInput, NotFound, NotVerified
from holdfast.core.gateways import is_heard
from holdfast.core.ledger import Draft
from holdfast.core.seal import TELEMETRY, Telemetry, unseal
from holdfast.core.signals import Raised, Signal
from holdfast.core.spool import EVENTS, MAX_STATEMENT, STATEMENT
from holdfast.core.telemetry import DRAINED, LATENCY_EDGES_MS, PSEUDONYM, SHADOW_EDGES, Window
from holdfast.lifecycle.inbox import Inbox, inboxes, read, refuse, remove
from holdfast.lifecycle.intake_events import Anchor, missing, take_events
from holdfast.lifecycle.plant import Plant
from holdfast.serve.events import Event

if TYPE_CHECKING:  # numerics, which whoever only takes in events need not hold
    from holdfast.maths.sketch import Profile

NAMED: Final = re.compile(rf"[0-9a-f]{{{PSEUDONYM}}}")  # a unit of an experiment
MAX_STATEMENTS: Final = 10_000  # taken in one round; a gateway writes a few in a second, and the next round goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What one round has taken in."""

    statements: int
    events: tuple[Event, ...]
    raised: tuple[Raised, ...]


def take_in_spools(plant: Plant, about: str) -> Intake:
    """Take everything that waits in the gateways' spools into the ledger.

    Args:
        plant: The control plane.
        about: The release that signals are about: what answers now.

    Raises:
        Unavailable: A spool cannot be read or cleared: what was not looked at must not look like silence.
    """
    statements = 0
    events: list[Event] = []
    broken: list[str] = []
    for inbox in inboxes(plant):
        names = inbox.names()
        waiting = [inbox.folder / name for name in names if STATEMENT.fullmatch(name)]
        taken, anchors, words = _take_statements(plant, inbox, waiting)
        found, torn = take_events(plant, inbox, [inbox.folder / name for name in names if EVENTS.fullmatch(name)])
        statements += taken
        events += found
        broken += [*words, *torn]
        broken += [gone for anchor in anchors if (gone := missing(plant, inbox, anchor))]
    raised = tuple(Raised(signal=Signal.INTEGRITY_FAILURE, subject=about, words=words) for words in broken)
    return Intake(statements=statements, events=tuple(events), raised=raised)


def _take_statements(plant: Plant, inbox: Inbox, paths: Sequence[Path]) -> tuple[int, list[Anchor], list[str]]:
    """Take sealed statements; return how many, the anchors among them, and what is wrong, in words."""
    taken, anchors, broken = 0, [], []
    newest: dict[str, Statement | None] = {}
    for path in paths[:MAX_STATEMENTS]:
        try:
            document = _statement(plant, path)
            told = _believed(plant, inbox, document)
            if told.gateway not in newest:
                newest[told.gateway] = _newest(plant, told.gateway)
            gap = _gap(newest[told.gateway], told, digest_bytes(document))
        except (NotVerified, InvalidInput) as error:
            refuse(plant, path, error.message)
            if not _was_let_go(plant, inbox):
                broken.append(f"telemetry is refused: {error.message} ({path.name})")
            continue
        if gap is None:  # taken already, by a process that died before it could remove the file
            remove(path)
            continue
        if gap:
            broken.append(gap)
        newest[told.gateway] = _take_statement(plant, told, document, gap)
        remove(path)
        taken += 1
        anchors += [msgspec.convert(told.body, Anchor)] if not told.release else []
    return taken, anchors, broken


def _was_let_go(plant: Plant, inbox: Inbox) -> bool:
    """Say whether an inbox is a gateway's that the root keys vouch for no more.

    What it had handed over is set aside, on record; that it verifies no more is no news about what answers.
    """
    known = any(key.owner == inbox.gateway for key in plant.trust.keys)
    return known and not is_heard(plant.trust, inbox.gateway, plant.clock.now())


def _statement(plant: Plant, path: Path) -> bytes:
    lies = read(path, 0, MAX_STATEMENT + 1)
    return lies if path.suffix == ".json" else plant.open_record(lies)


def _take_statement(plant: Plant, told: Telemetry, document: bytes, gap: str) -> "Statement":
    digest = plant.blobs.put(document)
    body = {"envelope": digest, "release": told.release, "sequence": told.sequence}
    drafts = [Draft(kind=DRAINED, actor="gateway", stream=told.gateway, body=body)]
    if gap:
        drafts.insert(0, Draft(kind="telemetry.gap", actor="registry", stream=told.gateway, body={"reason": gap}))
    plant.ledger.append(drafts)
    return Statement(number=told.sequence, digest=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A gateway's statement that the ledger holds."""

    number: int
    digest: str


def _newest(plant: Plant, gateway: str) -> Statement | None:
    entry = plant.last(gateway, DRAINED)
    return Statement(number=entry.body["sequence"], digest=entry.body["envelope"]) if entry else None


def _gap(newest: Statement | None, told: Telemetry, digest: Digest) -> str | None:
    """Return what is missing before a statement, in words: a window that was never told could have held the attack.

    Returns:
        None where the ledger holds this very statement already.

    Raises:
        NotVerified: It is older than the newest taken: replayed, or a second story.
    """
    number, known = (newest.number, newest.digest) if newest else (-1, "")
    if told.sequence == number and digest == known:
        return None
    if told.sequence <= number:
        raise NotVerified(f"statement {told.sequence} comes after {number}", place=told.gateway)
    if (told.sequence, told.previous) == (number + 1, known):
        return ""
    return f"telemetry is missing: statement {told.sequence} of {told.gateway} does not follow {number}"


def _believed(plant: Plant, inbox: Inbox, document: bytes) -> Telemetry:
    """Return a statement that its gateway has sealed, and that a reader can use.

    Raises:
        NotVerified: Nobody trusted sealed it, it speaks for another gateway, or it cannot be what the release did.
    """
    verified = unseal(document, TELEMETRY, plant.trust, at=plant.clock.now())
    told = verified.value
    if told.gateway not in {key.owner for key in verified.signers} or inbox.gateway not in {"", told.gateway}:
        raise NotVerified("a gateway speaks for another", place=told.gateway)
    try:
        if told.release:
            _check_window(msgspec.convert(told.body, Window), *profiles_of(plant, told.release))
        else:
            msgspec.convert(told.body, Anchor)
    except (msgspec.ValidationError, NotFound, InvalidInput) as error:
        raise NotVerified(f"a statement that cannot be what happened: {error}", place=told.gateway) from error
    return told


def _check_window(window: Window, inputs: "Mapping[str, Profile]", scores: "Profile") -> None:
    """Check that a window counts what this release's profile has cells for."""
    fits = {name: len(cells) for name, cells in window.inputs.items()} == {
        name: len(profile.cells) for name, profile in inputs.items()
    }
    counts = [window.requests, window.rows, window.failures, window.flagged, *window.latency, *window.scores]
    counts += [count for cells in window.inputs.values() for count in cells]
    shapes = len(window.scores) == len(scores.cells) and len(window.latency) == len(LATENCY_EDGES_MS) + 1
    counts += [window.refused, window.marked, window.unexposed]
    if window.shadow is not None:
        counts += [window.shadow.rows - window.shadow.agreed, window.shadow.dropped, *window.shadow.distance]
        shapes = shapes and len(window.shadow.distance) == len(SHADOW_EDGES) + 1
    shapes = shapes and all(NAMED.fullmatch(unit) for units in window.exposed.values() for unit in units)
    if not fits or not shapes or min(counts) < 0 or window.failures > window.requests or window.flagged > window.rows:
        raise InvalidInput("counts of something else than this release")


def profiles_of(plant: Plant, release: str) -> "tuple[dict[str, Profile], Profile]":
    """Return what a release was trained on: the profile of each input, and of the training scores.

    Raises:
        NotFound: There is no such release.
        NotVerified: Its stored profile was changed.
    """
    manifest = parse_manifest(plant.blobs.get(Digest(release)))
    read = msgspec.json.decode(plant.blobs.get(Digest(manifest.file("profile.json").digest)))
    from holdfast.maths.sketch import Profile

    inputs = {name: msgspec.convert(item, Profile) for name, item in read["inputs"].items()}
    return inputs, msgspec.convert(read["score"], Profile)
