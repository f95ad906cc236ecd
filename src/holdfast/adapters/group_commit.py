"""Group commit: all who wait to append are served together, in one transaction with one sync to disk.

There is no thread of its own to start, stop or lose: while one caller writes, others queue up, and the first of them to
wake writes for all that wait by then. Requests stay separate: each is linked whole or refused alone, and each caller
returns only after the transaction that holds its entries is durable.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, insert, select

from holdfast.adapters.database import entries, nonces, recording
from holdfast.adapters.projections import MAX_TEXT, Change, Rows, fold, plain, read_heads
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, Refused, Unavailable
from holdfast.core.ledger import GENESIS, Draft, Entry, Heads, entry_hash, link, parse_entry
from holdfast.core.ports import Clock

MAX_GROUP: Final = 10_000  # entries of one transaction: about 1 s, which other processes spend waiting

# Built once: for an append of one entry, composing them anew would take longer than running them.
_NEWEST: Final = select(entries.c.position, entries.c.hash, entries.c.time).order_by(entries.c.position.desc()).limit(1)
_USED: Final = select(nonces.c.nonce).where(nonces.c.nonce.in_(bindparam("wanted", expanding=True)))
_INSERT_ENTRIES: Final = insert(entries)
_INSERT_NONCES: Final = insert(nonces)


@dataclass(slots=True, kw_only=True)
class Request:
    """One caller's wish to append, and what became of it."""

    drafts: tuple[Draft, ...]
    expect: Heads
    nonce: str | None
    entries: tuple[Entry, ...] = ()
    failure: BaseException | None = None
    done: bool = False

    def fail(self, failure: BaseException) -> None:
        """Say that nothing of it was written, and why."""
        self.failure, self.done = failure, True

    @property
    def streams(self) -> tuple[str, ...]:
        """Every stream it writes to or relies on."""
        return (*(draft.stream for draft in self.drafts), *self.expect)


def request(drafts: Sequence[Draft], expect: Heads | None, nonce: str | None) -> Request:
    """Return a request whose texts can be stored by every engine.

    Raises:
        InvalidInput: No drafts, too many, or one without identity, action or object.
    """
    if not drafts:  # empty means no: a caller that relies on having recorded something is told that it has not
        raise InvalidInput("nothing to append", expected="at least one draft")
    if len(drafts) > MAX_GROUP:
        raise InvalidInput(f"{len(drafts)} entries at once", expected=f"at most {MAX_GROUP}")
    for draft in drafts:
        plain(draft.kind, "the kind of an entry")
        plain(draft.actor, "the actor of an entry")
        plain(draft.stream, "the stream of an entry")
    if nonce is not None:
        plain(nonce, "the nonce")
    return Request(drafts=tuple(drafts), expect=dict(expect or {}), nonce=nonce)


@dataclass(slots=True, kw_only=True)
class _Group:
    """The entries that one transaction adds, as they are linked; all that a refusal must leave untouched is here."""

    now: datetime
    position: int
    previous: str
    heads: dict[str, tuple[int, str]]
    used: set[str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    projected: Rows = field(default_factory=Rows)
    spent: list[dict[str, str]] = field(default_factory=list)

    def link(self, wish: Request) -> tuple[Entry, ...]:
        """Link one request's entries to the end, or raise with everything as it was."""
        self._check(wish)
        heads, position, previous = dict[str, tuple[int, str]](), self.position, self.previous
        linked: list[Entry] = []
        rows: list[dict[str, Any]] = []
        changes: list[Change] = []
        for draft in wish.drafts:
            head = heads.get(draft.stream) or self.heads[draft.stream]
            made, document = link(draft, position=position, previous=previous, head=head, now=self.now)
            # What is returned and folded is what a reader of the stored bytes will see, not what the caller passed.
            entry = parse_entry(document)
            previous = entry_hash(document)
            changes += fold(entry, previous)
            heads[draft.stream] = (head[0] + 1, previous)
            position += 1
            linked.append(entry)
            rows.append(_row(made, document, previous))
        self.heads |= heads
        self.position, self.previous = position, previous
        self.rows += rows
        self.projected.add(changes)
        if wish.nonce is not None:
            self.used.add(wish.nonce)
            self.spent.append({"nonce": wish.nonce, "used_at": _text(self.now)})
        return tuple(linked)

    def write(self, connection: Connection) -> None:
        """Insert everything that was linked."""
        if self.rows:
            connection.execute(_INSERT_ENTRIES, self.rows)
            self.projected.write(connection)
        if self.spent:
            connection.execute(_INSERT_NONCES, self.spent)

    def _check(self, wish: Request) -> None:
        if wish.nonce in self.used:
            raise Refused("this permit was used before", remedy="Have the decision made again: a permit is for once.")
        for stream, expected in wish.expect.items():
            length, head = self.heads[stream]
            if (length, head) != tuple(expected):
                raise Conflict(
                    f"the history of {stream} has moved on to {length} entries",
                    place=f"stream {stream[:MAX_TEXT]}",
                    expected=f"{expected[0]} entries ending in {expected[1][:16]}",
                )


class GroupCommit:
    """Appends for the threads of one process; other processes are kept apart by the transaction itself."""

    __slots__ = ("_changed", "_clock", "_engine", "_waiting", "_writing")

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Write to this database, by this clock."""
        self._engine = engine
        self._clock = clock
        self._waiting: deque[Request] = deque()
        self._writing = False
        self._changed = threading.Condition()

    def append(self, wish: Request) -> tuple[Entry, ...]:
        """Return the entries once they are durable.

        Raises:
            HoldfastError: What the request was refused for, or why the database did not take the group.
        """
        with self._changed:
            self._waiting.append(wish)
        while group := self._turn(wish):
            try:
                self._write(group)
            finally:
                with self._changed:
                    self._writing = False
                    self._changed.notify_all()
        if wish.failure is not None:
            raise wish.failure
        return wish.entries

    def _turn(self, wish: Request) -> list[Request]:
        """Wait until another caller has done the wish, then return nothing; or until nobody writes: what to write."""
        with self._changed:
            self._changed.wait_for(lambda: wish.done or not self._writing)
            if wish.done:
                return []
            self._writing = True
            group = [self._waiting.popleft()]
            total = len(group[0].drafts)
            while self._waiting and total + len(self._waiting[0].drafts) <= MAX_GROUP:
                group.append(self._waiting.popleft())
                total += len(group[-1].drafts)
            return group

    def _write(self, wishes: list[Request]) -> None:
        accepted: list[tuple[Request, tuple[Entry, ...]]] = []
        try:
            with recording(self._engine) as connection:
                group = _begin(connection, wishes, self._clock.now())
                for wish in wishes:
                    try:
                        accepted.append((wish, group.link(wish)))
                    except HoldfastError as refusal:
                        wish.fail(refusal)
                group.write(connection)
        except HoldfastError as failure:
            _fail_rest(wishes, failure)
        except BaseException:
            # An interrupt belongs to the thread it hit. The others cannot know whether the commit was on disk by then.
            _fail_rest(wishes, Unavailable("the append was interrupted: its entries may be there or not"))
            raise
        else:
            for wish, linked in accepted:
                wish.entries, wish.done = linked, True


def _fail_rest(wishes: Sequence[Request], failure: HoldfastError) -> None:
    for wish in wishes:
        if not wish.done:
            wish.fail(failure)


def _begin(connection: Connection, wishes: Sequence[Request], now: datetime) -> _Group:
    """Read all that linking needs, inside the transaction: no other writer can move it any more."""
    newest = connection.execute(_NEWEST).first()
    wanted = [wish.nonce for wish in wishes if wish.nonce is not None]
    used = connection.execute(_USED, {"wanted": wanted}).scalars() if wanted else ()
    # A clock that was set back must not make news older than what came before it: witnessed time never falls.
    witnessed = max(now, datetime.fromisoformat(newest.time)) if newest else now
    return _Group(
        now=witnessed,
        position=newest.position + 1 if newest else 0,
        previous=newest.hash if newest else GENESIS,
        heads=read_heads(connection, [stream for wish in wishes for stream in wish.streams]),
        used=set(used),
    )


def _row(entry: Entry, document: bytes, hashed: str) -> dict[str, Any]:
    return {
        "position": entry.position,
        "time": entry.time,
        "kind": entry.kind,
        "actor": entry.actor,
        "stream": entry.stream,
        "stream_position": entry.stream_position,
        "document": document,
        "hash": hashed,
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
