"""Time-boxed access: asked for, approved by somebody else, over by itself.

Whether such access is in force is a pure function of what is on record and of now: nobody has to act for it to end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from holdfast.core.access import Principal, Resource
from holdfast.core.artifact import Moment
from holdfast.core.errors import NotVerified
from holdfast.core.ledger import Entry

STREAM: Final = "access-requests"
REQUESTED: Final = "access.requested"
APPROVED: Final = "access.approved"
REJECTED: Final = "access.rejected"
LONGEST: Final = timedelta(days=7)  # what is needed for longer is a group, and reviewed as one
WAITS: Final = timedelta(days=1)  # a request that nobody has looked at by then is over

T = TypeVar("T")


class Asking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request as it is on record."""

    id: str
    person: str
    action: str
    resource: str
    seconds: Annotated[int, Meta(gt=0, le=int(LONGEST.total_seconds()))]
    reason: str


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What somebody said to a request."""

    id: str
    by: str
    until: Moment | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A request, and what became of it."""

    asked: Asking
    at: datetime
    answer: Answer | None = None
    approved: bool = False

    def state(self, now: datetime) -> str:
        """Return how it stands: waiting, over, rejected, or in force."""
        if self.answer is None:
            return "waiting" if now < self.at + WAITS else "over"
        if (
            not self.approved or self.answer.by == self.asked.person
        ):  # whatever an entry says, nobody approves for oneself
            return "rejected"
        return "in force" if self.answer.until is not None and now < self.answer.until else "over"


def fold(entries: Iterable[Entry]) -> Mapping[str, Box]:
    """Return every request by id, with the first answer to it.

    Raises:
        NotVerified: An entry cannot be read.
    """
    found: dict[str, Box] = {}
    for entry in entries:
        if entry.kind == REQUESTED:
            asked = _read(entry, Asking)
            found.setdefault(asked.id, Box(asked=asked, at=entry.moment))
        elif entry.kind in {APPROVED, REJECTED}:
            answer = _read(entry, Answer)
            box = found.get(answer.id)
            if box is not None and box.answer is None:
                approved = entry.kind == APPROVED
                found[answer.id] = Box(asked=box.asked, at=box.at, answer=answer, approved=approved)
    return found


def boxed(boxes: Mapping[str, Box], principal: Principal, action: str, resource: Resource, now: datetime) -> Box | None:
    """Return the approved request that covers just this now, or None."""
    wanted = (principal.name, action, str(resource))
    for box in boxes.values():
        asked = box.asked
        if (asked.person, asked.action, asked.resource) == wanted and box.state(now) == "in force":
            return box
    return None


def _read(entry: Entry, of: type[T]) -> T:
    body: dict[str, Any] = entry.body
    try:
        return msgspec.convert(body, of)
    except msgspec.ValidationError as error:
        place = f"entry {entry.position}"
        raise NotVerified(f"an entry about an access request cannot be read: {error}", place=place) from error
