"""Intake: what the gateway wrote into its spool, taken into the ledger; what does not fit is a signal.

Nothing in the spool is believed because it lies there. Telemetry is sealed by the gateway's own key, each statement
naming the one before; security events form a chain that sealed statements anchor. A statement is removed once the
ledger holds it, a file of events once it is wholly taken and a newer one has begun; what is refused stays as evidence.
"""

import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, digest_bytes, parse_manifest
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.core.ledger import Draft
from holdfast.core.seal import MAX_ENVELOPE, TELEMETRY, Telemetry, unseal
from holdfast.core.signals import Raised, Signal
from holdfast.core.telemetry import LATENCY_EDGES_MS, Window
from holdfast.lifecycle.plant import Plant
from holdfast.maths.sketch import Profile
from holdfast.serve.events import Event, Head, read_events

SPOOL: Final = "spool"
DRAINED: Final = "telemetry.drained"
EVENT: Final = "security.event"
TAKEN: Final = "security.drained"
MAX_STATEMENTS: Final = 10_000  # taken in one round; a gateway writes a few in a second, and the next round goes on
MAX_CHUNK: Final = 4 << 20  # bytes of events taken in one append, some 15,000 lines
MAX_CHUNKS: Final = 16  # of one file in one round; a gateway begins a new file after 16 MiB
_STATEMENT: Final = re.compile(r"telemetry-\d{10}\.dsse\.json")
_EVENTS: Final = re.compile(r"events-(\d+)-(\d{12})\.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What a sealed statement says of a worker's chain of events: so many there were, and this was its head."""

    worker: int
    events: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What one round has taken in."""

    statements: int
    events: tuple[Event, ...]
    raised: tuple[Raised, ...]


def take_in_spool(plant: Plant, about: str) -> Intake:
    """Take everything that waits in the spool into the ledger.

    Args:
        plant: The control plane.
        about: The release that signals are about: what answers now.

    Raises:
        Unavailable: The spool cannot be read or cleared: what was not looked at must not look like silence.
    """
    spool = plant.home.gateway / SPOOL
    try:
        names = sorted(entry.name for entry in os.scandir(spool))
    except FileNotFoundError:
        return Intake(statements=0, events=(), raised=())
    except OSError as error:
        raise Unavailable(f"the gateway's spool cannot be read: {error.strerror}", place=str(spool)) from error
    taken, anchors, broken = _take_statements(plant, [spool / name for name in names if _STATEMENT.fullmatch(name)])
    events, torn = _take_events(plant, [spool / name for name in names if _EVENTS.fullmatch(name)])
    broken += torn
    broken += [words for anchor in anchors if (words := _missing(plant, anchor))]
    raised = tuple(Raised(signal=Signal.INTEGRITY_FAILURE, subject=about, words=words) for words in broken)
    return Intake(statements=taken, events=tuple(events), raised=raised)


def _take_statements(plant: Plant, paths: Sequence[Path]) -> tuple[int, list[Anchor], list[str]]:
    """Take sealed statements; return how many, the anchors among them, and what is wrong, in words."""
    taken, anchors, broken = 0, [], []
    newest: dict[str, Statement | None] = {}
    for path in paths[:MAX_STATEMENTS]:
        try:
            document = _read(path, 0, MAX_ENVELOPE + 1)
            told = _believed(plant, document)
            if told.gateway not in newest:
                newest[told.gateway] = _newest(plant, told.gateway)
            gap = _gap(newest[told.gateway], told, digest_bytes(document))
        except (NotVerified, InvalidInput) as error:
            broken.append(f"telemetry is refused: {error.message} ({path.name})")
            _refuse(plant, path, error.message)
            continue
        if gap is None:  # taken already, by a process that died before it could remove the file
            _remove(path)
            continue
        if gap:
            broken.append(gap)
        newest[told.gateway] = _take_statement(plant, told, document, gap)
        _remove(path)
        taken += 1
        anchors += [msgspec.convert(told.body, Anchor)] if not told.release else []
    return taken, anchors, broken


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


def _believed(plant: Plant, document: bytes) -> Telemetry:
    """Return a statement that its gateway has sealed, and that a reader can use.

    Raises:
        NotVerified: Nobody trusted sealed it, it speaks for another gateway, or it cannot be what the release did.
    """
    verified = unseal(document, TELEMETRY, plant.trust, at=plant.clock.now())
    told = verified.value
    if told.gateway not in {key.owner for key in verified.signers}:
        raise NotVerified("a gateway speaks for another", place=told.gateway)
    try:
        if told.release:
            _check_window(msgspec.convert(told.body, Window), *profiles_of(plant, told.release))
        else:
            msgspec.convert(told.body, Anchor)
    except (msgspec.ValidationError, NotFound, InvalidInput) as error:
        raise NotVerified(f"a statement that cannot be what happened: {error}", place=told.gateway) from error
    return told


def _check_window(window: Window, inputs: Mapping[str, Profile], scores: Profile) -> None:
    """Check that a window counts what this release's profile has cells for."""
    fits = {name: len(cells) for name, cells in window.inputs.items()} == {
        name: len(profile.cells) for name, profile in inputs.items()
    }
    counts = [window.requests, window.rows, window.failures, window.flagged, *window.latency, *window.scores]
    counts += [count for cells in window.inputs.values() for count in cells]
    shapes = len(window.scores) == len(scores.cells) and len(window.latency) == len(LATENCY_EDGES_MS) + 1
    if not fits or not shapes or min(counts) < 0 or window.failures > window.requests or window.flagged > window.rows:
        raise InvalidInput("counts of something else than this release")


def profiles_of(plant: Plant, release: str) -> tuple[dict[str, Profile], Profile]:
    """Return what a release was trained on: the profile of each input, and of the training scores.

    Raises:
        NotFound: There is no such release.
        NotVerified: Its stored profile was changed.
    """
    manifest = parse_manifest(plant.blobs.get(Digest(release)))
    read = msgspec.json.decode(plant.blobs.get(Digest(manifest.file("profile.json").digest)))
    inputs = {name: msgspec.convert(item, Profile) for name, item in read["inputs"].items()}
    return inputs, msgspec.convert(read["score"], Profile)


def _take_events(plant: Plant, paths: Sequence[Path]) -> tuple[list[Event], list[str]]:
    """Take the lines of every file of events; return them, and what is wrong, in words."""
    events: list[Event] = []
    broken: list[str] = []
    for path in paths:
        try:
            found, words = _take_file(plant, path)
        except InvalidInput as error:  # no file of the gateway's making
            _refuse(plant, path, error.message)
            found, words = [], [f"security events are refused: {error.message} ({path.name})"]
        events += found
        broken += words
    for path, following in pairwise(paths):
        if not broken and _worker(path) == _worker(following) and _where(plant, path)[0] == _size(path):
            _remove(path)  # the gateway has begun another, and the ledger holds all of this one
    return events, broken


def _worker(path: Path) -> int:
    found = _EVENTS.fullmatch(path.name)
    return int(found[1]) if found else -1


def _take_file(plant: Plant, path: Path) -> tuple[list[Event], list[str]]:
    """Take what is new in one file, whole lines only: the gateway may be writing the next one just now."""
    events: list[Event] = []
    broken: list[str] = []
    for _ in range(MAX_CHUNKS):
        taken, head = _where(plant, path)
        if (size := _size(path)) < taken:
            broken.append(f"security events were cut off: {path.name} had {taken} bytes and has {size}")
            _note(plant, path, {"bytes": 0, "reason": broken[-1]})
            continue
        chunk = _read(path, taken, MAX_CHUNK)
        whole = chunk[: chunk.rfind(b"\n") + 1]
        if not whole and len(chunk) < MAX_CHUNK:
            break
        found, words = _take_chunk(plant, path, taken, whole or chunk, head)
        events += found
        broken += words
    return events, broken


def _positions(path: Path) -> str:
    """Return the stream that says how far a worker's files are taken; apart from the events, since it is read often."""
    return f"spool/events/{_worker(path)}"


def _where(plant: Plant, path: Path) -> tuple[int, Head | None]:
    """Return how many bytes of a file are taken, and where its worker's chain of events stood then, where known."""
    history = [entry.body for entry in plant.ledger.stream(_positions(path))]
    mine = next((body for body in reversed(history) if body["file"] == path.name), None)
    last = history[-1] if history else None
    head = Head(sequence=last["sequence"], previous=last["head"]) if last and "head" in last else None
    return (mine["bytes"] if mine else 0), head


def _take_chunk(
    plant: Plant, path: Path, taken: int, chunk: bytes, head: Head | None
) -> tuple[Sequence[Event], list[str]]:
    """Put lines on record if they are a chain; else keep their bytes as evidence, and go on behind them."""
    words: list[str] = []
    try:
        try:
            events, after = read_events(chunk, head)
        except NotVerified:
            events, after = read_events(chunk)  # a chain of its own: lines are missing before it, none inside
            words.append(f"security events are missing before number {events[0].sequence} ({path.name})")
    except NotVerified as error:
        words = [f"security events do not fit together: {error.message} ({path.name}, {error.place})"]
        _note(plant, path, {"bytes": taken + len(chunk), "reason": words[0], "kept": plant.blobs.put(chunk)})
        return (), words
    stream = f"events/{_worker(path)}"
    drafts = [Draft(kind=EVENT, actor="gateway", stream=stream, body=msgspec.to_builtins(event)) for event in events]
    body = {
        "file": path.name,
        "bytes": taken + len(chunk),
        "first": events[0].sequence,
        "sequence": after.sequence,
        "head": after.previous,
    }
    plant.ledger.append([*drafts, Draft(kind=TAKEN, actor="gateway", stream=_positions(path), body=body)])
    return events, words


def _note(plant: Plant, path: Path, body: dict[str, Any]) -> None:
    named = {"file": path.name} | body
    plant.ledger.append([Draft(kind="security.refused", actor="registry", stream=_positions(path), body=named)])


def _missing(plant: Plant, anchor: Anchor) -> str:
    """Return what a sealed anchor knows and the taken events lack, in words: their end may have been cut off."""
    for entry in reversed(plant.ledger.stream(f"spool/events/{anchor.worker}")):
        body = entry.body
        if entry.kind != TAKEN or not body["first"] < anchor.events <= body["sequence"]:
            continue
        if (body["sequence"], body["head"]) == (anchor.events, anchor.head) or _passed(plant, anchor):
            return ""
    return f"security events are missing: worker {anchor.worker} sealed that there were {anchor.events}"


def _passed(plant: Plant, anchor: Anchor) -> bool:
    """Say whether the chain of events stood just as the anchor says before it went on."""
    wanted = (anchor.events, anchor.head)
    events = (entry.body for entry in plant.ledger.stream(f"events/{anchor.worker}"))
    return any((body["sequence"], body["previous"]) == wanted for body in events)


def _refuse(plant: Plant, path: Path, reason: str) -> None:
    """Move a refused statement aside, as evidence, and say so on record."""
    kept = path.with_name(f"{path.name}.refused-{plant.entropy.token(4).hex()}")
    body = {"file": kept.name, "reason": reason[:500]}
    plant.ledger.append([Draft(kind="telemetry.refused", actor="registry", stream="spool", body=body)])
    try:
        path.rename(kept)
    except OSError as error:
        raise Unavailable(f"refused telemetry cannot be moved aside: {error.strerror}", place=str(path)) from error


def _read(path: Path, offset: int, limit: int) -> bytes:
    """Return bytes of a regular file of the spool; no link is followed, no pipe is waited for.

    Raises:
        InvalidInput: It is no regular file.
        Unavailable: The operating system does not let us read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise InvalidInput("a symbolic link lies in the spool", place=path.name) from error
        raise Unavailable(f"the spool cannot be read: {error.strerror}", place=str(path)) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidInput("something that is no file lies in the spool", place=path.name)
        return os.pread(descriptor, limit, offset)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError as error:
        raise Unavailable(f"the spool cannot be read: {error.strerror}", place=str(path)) from error


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise Unavailable(f"the spool cannot be cleared: {error.strerror}", place=str(path)) from error
