"""What the door remembers between two requests: folds of streams until they grow, and counts until they are on record.

Nothing here is believed longer than the history it was made from: a fold is kept under the head of its stream. Counts
are exact: they leave memory only with the append that puts them on record, once a second and when the plant closes.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from holdfast.core.ledger import Draft, Entry
from holdfast.core.ports import Clock, Ledger

STREAM: Final = "access"
EVERY_S: Final = 1.0  # how long a repeated grant or denial may be in memory only
ONE_REQUEST_S: Final = 0.1  # between authenticating and deciding: both rest on one look at the record
MAX_KINDS: Final = 1024  # different things told apart within one second; a flood beyond is counted under one name
OTHERS: Final = "others"

Outcome: TypeAlias = Literal["granted", "denied", "unauthenticated"]
Fold: TypeAlias = Callable[[Sequence[Entry]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One kind of request, as it is counted."""

    outcome: Outcome
    principal: str
    sort: str
    session: str
    action: str
    resource: str
    why: str  # the rules that granted it, or the reasons against

    def draft(self, count: int, since: datetime, until: datetime) -> Draft:
        """Return the entry that says how often this was asked."""
        body = {
            "principal": self.principal,
            "sort": self.sort,
            "session": self.session,
            "action": self.action,
            "resource": self.resource,
            "why": self.why,
            "count": count,
            "since": since.isoformat(),
            "until": until.isoformat(),
        }
        return Draft(kind=f"access.{self.outcome}", actor=self.principal or "nobody", stream=STREAM, body=body)


class Memory:
    """The memory of one process; safe for threads."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._folded: dict[str, tuple[tuple[int, str], Any]] = {}
        self._kept: dict[str, tuple[object, Any]] = {}
        self._counts: dict[Asked, tuple[int, datetime]] = {}
        self._second: datetime | None = None
        self._seen: set[Asked] = set()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._request = threading.local()
        self._writer: threading.Thread | None = None

    def folded(self, ledger: Ledger, folds: Mapping[str, Fold]) -> dict[str, Any]:
        """Return the fold of each stream as it is now; a stream is read again only when it has grown."""
        heads, found = ledger.heads(list(folds)), {}
        for stream, fold in folds.items():
            head = heads[stream]
            kept = self._folded.get(stream)
            if kept is None or kept[0] != tuple(head):
                kept = ((head[0], head[1]), fold(ledger.stream(stream)))
                self._folded[stream] = kept
            found[stream] = kept[1]
        return found

    def kept(self, name: str, key: object, make: Callable[[], Any]) -> Any:
        """Return what was made under this key, or make it now."""
        held = self._kept.get(name)
        if held is None or held[0] != key:
            held = (key, make())
            self._kept[name] = held
        return held[1]

    def begin(self, who: object, seen: Any) -> None:
        """Keep what was seen when somebody was authenticated, for the one decision that follows in this thread."""
        self._request.seen = (who, time.monotonic(), seen)

    def seen(self, who: object) -> Any:
        """Return what was seen when just this principal was authenticated, once, and only right afterwards; or None."""
        kept, self._request.seen = getattr(self._request, "seen", None), None
        if kept is None or kept[0] is not who or time.monotonic() - kept[1] > ONE_REQUEST_S:
            return None
        return kept[2]

    def recall(self, name: str) -> Any:
        """Return what was held under a name, or None."""
        return self._kept.get(name, (None, None))[1]

    def hold(self, name: str, value: Any) -> None:
        """Hold something under a name, instead of what was held before."""
        self._kept[name] = (None, value)

    def note(self, ledger: Ledger, clock: Clock, asked: Asked, *, at_once: bool) -> None:
        """Put a request on record: at once, or as one of those that are counted until the second is over.

        The first denial of a kind in a second is written at once too; what repeats it is counted.

        Raises:
            HoldfastError: It cannot be put on record; whoever asked must be refused.
        """
        now = clock.now()
        with self._lock:
            if self._second is None or now.replace(microsecond=0) != self._second:
                self._second, self._seen = now.replace(microsecond=0), set()
            if asked not in self._seen and len(self._seen) >= MAX_KINDS:
                asked = Asked(
                    outcome=asked.outcome, principal=OTHERS, sort="", session="", action="", resource="", why=""
                )
            first = asked not in self._seen
            self._seen.add(asked)
            write = at_once or (first and asked.outcome != "granted")
            if not write:
                count, since = self._counts.get(asked, (0, now))
                self._counts[asked] = (count + 1, since)
            due = any((now - since).total_seconds() >= EVERY_S for _, since in self._counts.values())
        if write:
            ledger.append([asked.draft(1, now, now)])
        if due:
            self.write(ledger, clock)
        self._start(ledger, clock)

    def write(self, ledger: Ledger, clock: Clock) -> None:
        """Put all that was counted on record, in one append; what cannot be appended stays counted.

        Raises:
            HoldfastError: It cannot be put on record now.
        """
        with self._writing:
            with self._lock:
                counts, self._counts = self._counts, {}
            if not counts:
                return
            now = clock.now()
            try:
                ledger.append([asked.draft(count, since, now) for asked, (count, since) in counts.items()])
            except BaseException:
                with self._lock:
                    for asked, (count, since) in counts.items():
                        more, _ = self._counts.get(asked, (0, since))
                        self._counts[asked] = (count + more, since)
                raise

    def close(self, ledger: Ledger, clock: Clock) -> None:
        """Stop counting, and put the rest on record."""
        self._ended.set()
        if self._writer is not None:
            self._writer.join()
        self.write(ledger, clock)

    def _start(self, ledger: Ledger, clock: Clock) -> None:
        """See to it that counts reach the record although nobody asks any more."""
        with self._lock:
            if self._writer is not None or not self._counts or self._ended.is_set():
                return
            self._writer = threading.Thread(
                target=self._write_on, args=(ledger, clock), name="access counts", daemon=True
            )
        self._writer.start()

    def _write_on(self, ledger: Ledger, clock: Clock) -> None:
        from holdfast.core.errors import HoldfastError

        while not self._ended.wait(EVERY_S):
            try:
                self.write(ledger, clock)
            except HoldfastError:
                continue  # it stays counted; the next request or the close says what is wrong
