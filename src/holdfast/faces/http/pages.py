"""Pages: one pagination for every list of the API, and the cursor that says where the next page begins.

A cursor names the last row that was given, by the row's own key, never by a number of rows: whatever is added meanwhile
shifts nothing, so that every row which was there at the first page comes once. Where an answer has several lists, they
lie end to end, and a page is cut from all of them together. Cursors are opaque and bear the server's mark: over whose
they are, over the call and its options, and over when they were made. Nothing here does I/O.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from holdfast.core.artifact import canonical
from holdfast.core.errors import InvalidRequest

PAGE: Final = 100  # rows of a page where the caller names no number
MAX_PAGE: Final = 1000  # rows of one page
MAX_CURSOR: Final = 2048  # characters: a mark, and a key whose longest part is cut at `MAX_PART`
MAX_PART: Final = 256  # characters of one part of a key as it stands in a cursor; what is longer ends in its digest
GOOD_FOR: Final = timedelta(hours=24)  # as long as an answer is kept for its idempotency key
MARK_BYTES: Final = 16  # of HMAC-SHA-256: nobody guesses 128 bits against a server that counts calls
_LABEL: Final = b"holdfast page cursor v1"

Key: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A list of an answer: its name in the document, its rows' own key, and the order in which its rows come.

    `key`: in the order of their keys; a row may be gone by the next page. `given`: as the answer has them, where no row
    ever changes its place; a row that is gone ends the walk. `newest`: newest first, and the command itself reads only
    part of them, by its options `last` and `before`.
    """

    name: str
    key: tuple[str, ...] = ()  # names of the fields; empty where a row is a text, which is its own key
    order: Literal["key", "given", "newest"] = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The last row that was given: of which list, its key, and how many rows before it had the same key."""

    which: int
    key: Key
    nth: int = 0


@dataclass(frozen=True, slots=True)
class Cursors:
    """Makes cursors, and reads what it made."""

    secret: Callable[[], bytes]
    now: Callable[[], datetime]

    def made(self, place: Place, about: Sequence[object]) -> str:
        """Return the cursor of a place; it is good for the call that `about` tells, and for nothing else."""
        said = json.dumps([int(self.now().timestamp()), place.which, place.nth, *place.key], separators=(",", ":"))
        payload = said.encode()
        return base64.urlsafe_b64encode(self._mark(payload, about) + payload).rstrip(b"=").decode()

    def place(self, cursor: str, about: Sequence[object]) -> Place:
        """Return the place that a cursor names.

        Raises:
            InvalidRequest: It is none of ours, of another call or caller, or too old: all in the same words.
        """
        try:
            whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            whole = b""
        mark, payload = whole[:MARK_BYTES], whole[MARK_BYTES:]
        if not payload or not hmac.compare_digest(mark, self._mark(payload, about)):
            raise stale()
        made, which, nth, *key = json.loads(payload)  # ours: the mark says so
        if not timedelta() <= self.now() - datetime.fromtimestamp(made, self.now().tzinfo) <= GOOD_FOR:
            raise stale()
        return Place(which=which, key=tuple(key), nth=nth)

    def _mark(self, payload: bytes, about: Sequence[object]) -> bytes:
        key = hmac.digest(self.secret(), _LABEL, hashlib.sha256)
        return hmac.digest(key, canonical(list(about)) + b"\n" + payload, hashlib.sha256)[:MARK_BYTES]


def stale() -> InvalidRequest:
    """Return what a caller is told of a cursor that leads nowhere; it says nothing of why."""
    return InvalidRequest(
        "the cursor is none of ours for this call, or it is no longer good",
        expected="`next` of the page before, with the same options, within 24 hours; else begin with the first page",
    )


def page_of(
    document: Mapping[str, Any], lists: Sequence[Listed], *, limit: int, after: Place | None
) -> tuple[dict[str, Any], Place | None]:
    """Return a page of an answer, and the place of its last row where there are more.

    Args:
        document: The whole answer; of a list whose order is `newest`, the rows before `after`, newest last.
        lists: Its lists, in the order in which they lie end to end.
        limit: Rows of a page, all lists together.
        after: The last row of the page before; None for the first page.

    Raises:
        InvalidRequest: The row of a list as it is given is not there any more.
    """
    page: dict[str, Any] = {**document} | {each.name: [] for each in lists}
    left, last = limit, after
    for which, each in enumerate(lists):
        if after is not None and which < after.which:
            continue
        here = after if after is not None and which == after.which else None
        for place, row in _beyond(_placed(document[each.name], each, which), each, here):
            if not left:
                return page, last
            page[each.name].append(row)
            left, last = left - 1, place
    return page, None


def _placed(rows: Sequence[Any], listed: Listed, which: int) -> list[tuple[Place, Any]]:
    """Return the rows of a list with their places, in the order in which they come."""
    keyed = [(key_of(row, listed), row) for row in rows]
    if listed.order == "key":
        keyed.sort(key=lambda each: each[0])
    elif listed.order == "newest":
        keyed.reverse()
    seen: dict[Key, int] = {}
    found = []
    for key, row in keyed:
        found.append((Place(which=which, key=key, nth=seen.get(key, 0)), row))
        seen[key] = seen.get(key, 0) + 1
    return found


def _beyond(placed: list[tuple[Place, Any]], listed: Listed, after: Place | None) -> Iterator[tuple[Place, Any]]:
    """Yield the rows that come after one."""
    if after is None or listed.order == "newest":  # the command has left out what was given
        yield from placed
    elif listed.order == "key":
        yield from (each for each in placed if (each[0].key, each[0].nth) > (after.key, after.nth))
    else:
        places = [place for place, _ in placed]
        if after not in places:
            raise stale()
        yield from placed[places.index(after) + 1 :]


def key_of(row: Any, listed: Listed) -> Key:
    """Return a row's own key, as short as a cursor needs it."""
    parts = [row[name] for name in listed.key] if listed.key else [row]
    return tuple(part if type(part) is int else _short(str(part)) for part in parts)


def _short(part: str) -> str:
    return part if len(part) <= MAX_PART else part[:MAX_PART] + hashlib.sha256(part.encode()).hexdigest()
