"""Security events taken into the ledger: whole lines, in the order of their chain; what does not fit is kept and told.

A gateway's sealed statements anchor the chain, so that an end that was cut off before it was taken is missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.ledger import Draft
from holdfast.core.spool import MAX_CHUNK
from holdfast.lifecycle.inbox import Inbox, read, refuse, remove, size, worker_of
from holdfast.lifecycle.plant import Plant
from holdfast.serve.events import Event, Head, opened, read_events

EVENT: Final = "security.event"
TAKEN: Final = "security.drained"
MAX_CHUNKS: Final = 16  # of one file in one round; a gateway begins a new file after 16 MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What a sealed statement says of a worker's chain of events: so many there were, and this was its head."""

    worker: int
    events: int
    head: str


def take_events(plant: Plant, inbox: Inbox, paths: Sequence[Path]) -> tuple[list[Event], list[str]]:
    """Take the lines of every file of events; return them, and what is wrong, in words."""
    events: list[Event] = []
    broken: list[str] = []
    for path in paths:
        try:
            found, words = _take_file(plant, inbox, path)
        except InvalidInput as error:  # no file of the gateway's making
            refuse(plant, path, error.message)
            found, words = [], [f"security events are refused: {error.message} ({path.name})"]
        events += found
        broken += words
    for path, following in pairwise(paths):
        if not broken and worker_of(path) == worker_of(following) and _where(plant, inbox, path)[0] == size(path):
            remove(path)  # the gateway has begun another, and the ledger holds all of this one
    return events, broken


def _take_file(plant: Plant, inbox: Inbox, path: Path) -> tuple[list[Event], list[str]]:
    """Take what is new in one file, whole lines only: the gateway may be writing the next one just now."""
    events: list[Event] = []
    broken: list[str] = []
    for _ in range(MAX_CHUNKS):
        taken, head = _where(plant, inbox, path)
        if (there := size(path)) < taken:
            broken.append(f"security events were cut off: {path.name} had {taken} bytes and has {there}")
            _note(plant, inbox, path, {"bytes": 0, "reason": broken[-1]})
            continue
        chunk = read(path, taken, MAX_CHUNK)
        whole = chunk[: chunk.rfind(b"\n") + 1]
        if not whole and len(chunk) < MAX_CHUNK:
            break
        found, words = _take_chunk(plant, inbox, path, taken, whole or chunk, head)
        events += found
        broken += words
    return events, broken


def _where(plant: Plant, inbox: Inbox, path: Path) -> tuple[int, Head | None]:
    """Return how many bytes of a file are taken, and where its worker's chain of events stood then, where known."""
    history = [entry.body for entry in plant.ledger.stream(inbox.positions(worker_of(path)))]
    mine = next((body for body in reversed(history) if body["file"] == path.name), None)
    last = history[-1] if history else None
    head = Head(sequence=last["sequence"], previous=last["head"]) if last and "head" in last else None
    return (mine["bytes"] if mine else 0), head


def _take_chunk(
    plant: Plant, inbox: Inbox, path: Path, taken: int, chunk: bytes, head: Head | None
) -> tuple[Sequence[Event], list[str]]:
    """Put lines on record if they are a chain; else keep their bytes as evidence, and go on behind them."""
    words: list[str] = []
    try:
        lines = opened(chunk, plant.open_record)
        try:
            events, after = read_events(lines, head)
        except NotVerified:
            events, after = read_events(lines)  # a chain of its own: lines are missing before it, none inside
            words.append(f"security events are missing before number {events[0].sequence} ({path.name})")
    except NotVerified as error:
        words = [f"security events do not fit together: {error.message} ({path.name}, {error.place})"]
        _note(plant, inbox, path, {"bytes": taken + len(chunk), "reason": words[0], "kept": plant.blobs.put(chunk)})
        return (), words
    stream = inbox.events(worker_of(path))
    drafts = [Draft(kind=EVENT, actor="gateway", stream=stream, body=msgspec.to_builtins(event)) for event in events]
    body = {
        "file": path.name,
        "bytes": taken + len(chunk),
        "first": events[0].sequence,
        "sequence": after.sequence,
        "head": after.previous,
    }
    plant.ledger.append(
        [*drafts, Draft(kind=TAKEN, actor="gateway", stream=inbox.positions(worker_of(path)), body=body)]
    )
    return events, words


def _note(plant: Plant, inbox: Inbox, path: Path, body: dict[str, Any]) -> None:
    named = {"file": path.name} | body
    plant.ledger.append(
        [Draft(kind="security.refused", actor="registry", stream=inbox.positions(worker_of(path)), body=named)]
    )


def missing(plant: Plant, inbox: Inbox, anchor: Anchor) -> str:
    """Return what a sealed anchor knows and the taken events lack, in words: their end may have been cut off."""
    for entry in reversed(plant.ledger.stream(inbox.positions(anchor.worker))):
        body = entry.body
        if entry.kind != TAKEN or not body["first"] < anchor.events <= body["sequence"]:
            continue
        if (body["sequence"], body["head"]) == (anchor.events, anchor.head) or _passed(plant, inbox, anchor):
            return ""
    return f"security events are missing: worker {anchor.worker} sealed that there were {anchor.events}"


def _passed(plant: Plant, inbox: Inbox, anchor: Anchor) -> bool:
    """Say whether the chain of events stood just as the anchor says before it went on."""
    wanted = (anchor.events, anchor.head)
    events = (entry.body for entry in plant.ledger.stream(inbox.events(anchor.worker)))
    return any((body["sequence"], body["previous"]) == wanted for body in events)
