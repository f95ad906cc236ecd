"""Security events: every refusal, failed load and failed verification, chained by hash, none sampled away.

The first event of a kind from a caller in a second is kept with its detail; repeats within that second are counted
exactly. The counts of all events of a kind therefore add up to what happened, however hard somebody knocks. `note` is
called while a request waits and only touches memory; whoever calls `collect` makes the lines durable, in groups.

On disk a group is one line: its events sealed for the control plane, which the gateway itself cannot open again, and in
the clear only where their chain stood before and stands after, so that the gateway goes on with it after a restart.
"""

import base64
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from holdfast.core.artifact import canonical, from_base64
from holdfast.core.conventions import NONCONFORMING, is_event
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.ledger import GENESIS

MAX_CALLERS: Final = 4096  # distinct callers counted one by one in a second; the rest are counted together
MAX_UNWRITTEN: Final = 100_000  # events in memory that no disk has taken; beyond it the gateway stops answering
MAX_DETAIL: Final = 500  # characters of an event's detail
MAX_GROUP: Final = 500  # events sealed together: at most some 2 MiB, which whoever takes them in reads at once
ANYBODY: Final = "many"  # the caller of events beyond MAX_CALLERS


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of the log: something that happened `count` times within one second."""

    sequence: int
    time: str
    kind: str
    caller: str
    model: str
    correlation: str  # of the first
    count: int
    detail: str
    previous: str  # SHA-256 of the line before, hex


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line on disk: events that only the control plane can read, and where their chain stands before and after."""

    first: int
    previous: str
    following: int
    head: str
    sealed: str  # base64
    digest: str  # SHA-256 of the sealed bytes, hex: what a failing disk changed is found without opening it


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something that happened and is not yet a line."""

    time: datetime
    kind: str
    caller: str
    model: str = ""
    correlation: str = ""
    count: int = 1
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a chain of events stands: the number of the next line, and the hash it must name."""

    sequence: int = 0
    previous: str = GENESIS


class SecurityLog:
    """Takes note of events from any thread, and hands them out for writing."""

    def __init__(self) -> None:
        """Start with nothing noted."""
        self._lock = threading.Lock()
        self._waiting: list[Noted] = []
        self._second = 0
        self._repeats: dict[tuple[str, str], int] = {}
        self._models: dict[tuple[str, str], str] = {}
        self.total = 0

    def note(self, event: Noted) -> None:
        """Take note of one event; one of a kind that is none is kept under the name for such."""
        if not is_event(event.kind):
            event = replace(event, kind=NONCONFORMING, detail=f"{event.kind}: {event.detail}")
        second = int(event.time.timestamp())
        with self._lock:
            self.total += event.count
            if second != self._second:
                self._close(second)
            caller = event.caller if len(self._repeats) < MAX_CALLERS else ANYBODY
            key = (event.kind, caller)
            if (event.kind, event.caller) in self._repeats:
                self._repeats[event.kind, event.caller] += event.count
            elif key in self._repeats:
                self._repeats[key] += event.count
            else:
                self._repeats[key], self._models[key] = 0, event.model
                self._waiting.append(event)

    def collect(self, now: datetime) -> list[Noted]:
        """Return what must be written now: every first event, and the repeats of seconds that have ended."""
        with self._lock:
            if int(now.timestamp()) != self._second:
                self._close(int(now.timestamp()))
            waiting, self._waiting = self._waiting, []
            return waiting

    def give_back(self, events: Sequence[Noted]) -> None:
        """Take back what could not be written, to be collected again first."""
        with self._lock:
            self._waiting[:0] = events

    @property
    def full(self) -> bool:
        """Whether so much is unwritten that answering on would lose events."""
        return len(self._waiting) > MAX_UNWRITTEN

    def _close(self, second: int) -> None:
        """Turn the repeats of the second that ended into events."""
        moment = datetime.fromtimestamp(self._second, UTC)
        for (kind, caller), count in self._repeats.items():
            if count:
                model = self._models[kind, caller]
                detail = "repeats of the same second"
                self._waiting.append(
                    Noted(time=moment, kind=kind, caller=caller, model=model, count=count, detail=detail)
                )
        self._second, self._repeats, self._models = second, {}, {}


def link(events: Sequence[Noted], head: Head) -> tuple[bytes, Head]:
    """Return the lines of events, each naming the hash of the one before, and where the chain then stands."""
    lines: list[bytes] = []
    sequence, previous = head.sequence, head.previous
    for event in events:
        line = canonical(
            Event(
                sequence=sequence,
                time=event.time.astimezone(UTC).isoformat(timespec="microseconds"),
                kind=event.kind,
                caller=event.caller,
                model=event.model,
                correlation=event.correlation,
                count=event.count,
                detail=event.detail[:MAX_DETAIL].encode("utf-8", "replace").decode(),
                previous=previous,
            )
        )
        lines.append(line + b"\n")
        sequence, previous = sequence + 1, hashlib.sha256(line).hexdigest()
    return b"".join(lines), Head(sequence=sequence, previous=previous)


def read_events(document: bytes, head: Head | None = None) -> tuple[tuple[Event, ...], Head]:
    """Return the events in a file's bytes and where their chain stands, each line checked against the one before.

    Args:
        document: Whole lines; a line that was cut off is refused.
        head: Where the chain stood before; the first line's own claim if left out.

    Raises:
        NotVerified: A line is changed, missing, repeated, moved or cut off; `place` names the first that does not fit.
    """
    events: list[Event] = []
    for number, line in enumerate(document.split(b"\n")[:-1]):
        place = f"line {number + 1}"
        try:
            event = msgspec.json.decode(line, type=Event)
            same = canonical(event) == line
        except (msgspec.MsgspecError, InvalidInput, UnicodeDecodeError) as error:
            raise NotVerified("an event cannot be read", place=place) from error
        expected = head or Head(sequence=event.sequence, previous=event.previous)
        if not same or (event.sequence, event.previous) != (expected.sequence, expected.previous):
            raise NotVerified("an event does not follow the one before it", place=place)
        events.append(event)
        head = Head(sequence=event.sequence + 1, previous=hashlib.sha256(line).hexdigest())
    if document and not document.endswith(b"\n"):
        raise NotVerified("the last event was cut off", place=f"line {len(events) + 1}")
    return tuple(events), head or Head()


def sealed_groups(events: Sequence[Noted], head: Head, seal: Callable[[bytes], bytes]) -> tuple[bytes, Head]:
    """Return events as lines for the disk, sealed in groups, and where their chain then stands.

    Args:
        events: What has been noted.
        head: Where the chain stands.
        seal: Encrypts for the control plane.
    """
    lines: list[bytes] = []
    for begin in range(0, len(events), MAX_GROUP):
        plain, after = link(events[begin : begin + MAX_GROUP], head)
        sealed = seal(plain)
        group = Group(
            first=head.sequence,
            previous=head.previous,
            following=after.sequence,
            head=after.previous,
            sealed=base64.b64encode(sealed).decode(),
            digest=hashlib.sha256(sealed).hexdigest(),
        )
        lines.append(canonical(group) + b"\n")
        head = after
    return b"".join(lines), head


def in_clear(document: bytes) -> bool:
    """Say whether a file of events begins with one that is not sealed, as a gateway of before wrote them."""
    return bool(document) and _group(document.partition(b"\n")[0]) is None


def standing(document: bytes) -> Head:
    """Return where the chain in a file of sealed groups stands, as far as that can be said without opening them.

    Raises:
        NotVerified: A group is changed, missing, repeated or moved; `place` names the first that does not fit.
    """
    head: Head | None = None
    for number, line in enumerate(document.split(b"\n")[:-1]):
        place, group = f"line {number + 1}", _group(line)
        if group is None or hashlib.sha256(_sealed(group, place)).hexdigest() != group.digest:
            raise NotVerified("a group of events cannot be read", place=place)
        if head is not None and (group.first, group.previous) != (head.sequence, head.previous):
            raise NotVerified("a group of events does not follow the one before it", place=place)
        head = Head(sequence=group.following, previous=group.head)
    if document and not document.endswith(b"\n"):
        raise NotVerified("the last group of events was cut off")
    return head or Head()


def opened(document: bytes, unseal: Callable[[bytes], bytes]) -> bytes:
    """Return the events in a file's bytes, every group opened; a line that is no group stays as it is.

    Raises:
        NotVerified: A group was changed, or was sealed for somebody else.
    """
    found: list[bytes] = []
    *lines, rest = document.split(b"\n")
    for number, line in enumerate(lines):
        group = _group(line)
        found.append(line + b"\n" if group is None else unseal(_sealed(group, f"line {number + 1}")))
    return b"".join([*found, rest])


def _group(line: bytes) -> Group | None:
    try:
        return msgspec.json.decode(line, type=Group)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _sealed(group: Group, place: str) -> bytes:
    try:
        return from_base64(group.sealed)
    except InvalidInput as error:
        raise NotVerified("a group of events cannot be read", place=place) from error
