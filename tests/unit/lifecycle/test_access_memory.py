"""What the door counts: exactly, bounded, and on record before anybody could lose it."""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from holdfast.core.errors import Unavailable
from holdfast.core.ledger import Draft
from holdfast.lifecycle.access_memory import EVERY_S, MAX_KINDS, OTHERS, Asked, Memory, Outcome
from holdfast.testing.clock import SettableClock
from holdfast.testing.memory import MemoryLedger, MemorySigner


class Sometimes(MemoryLedger):
    """A ledger whose disk can be full."""

    full = False

    def append(self, drafts: Sequence[Draft], **more: Any) -> Any:
        if self.full:
            raise Unavailable("the disk is full")
        return super().append(drafts, **more)


@pytest.fixture
def clock() -> SettableClock:
    """The clock that says which second it is."""
    return SettableClock()


@pytest.fixture
def ledger(clock: SettableClock) -> Sometimes:
    """Where it is put on record."""
    return Sometimes(clock, MemorySigner("ledger", owner="x", start=clock.now()), "a.ledger")


def asked(outcome: Outcome = "granted", who: str = "emil", action: str = "registry.read") -> Asked:
    """One kind of request."""
    return Asked(outcome=outcome, principal=who, sort="user", session="s", action=action, resource="r", why="w")


def total(ledger: MemoryLedger, kind: str = "access.granted") -> int:
    """How often it is on record."""
    return sum(entry.body["count"] for entry in ledger.stream("access") if entry.kind == kind)


def test_what_is_counted_is_written_when_the_second_is_over(ledger: Sometimes, clock: SettableClock) -> None:
    """By whoever asks next, in one entry for each kind; since and until tell which time it was."""
    memory = Memory()
    for _ in range(40):
        memory.note(ledger, clock, asked(), at_once=False)
    clock.advance(timedelta(seconds=EVERY_S))
    memory.note(ledger, clock, asked(), at_once=False)
    (entry,) = ledger.stream("access")
    assert (entry.body["count"], entry.actor) == (41, "emil")
    assert entry.body["since"] < entry.body["until"]
    memory.close(ledger, clock)


def test_it_is_written_although_nobody_asks_any_more(ledger: Sometimes) -> None:
    """A thread of its own sees to it; and it ends with the control plane."""
    memory, clock = Memory(), SettableClock()
    memory.note(ledger, clock, asked(), at_once=False)
    for _ in range(100):
        if total(ledger):
            break
        time.sleep(0.05)
    assert total(ledger) == 1
    memory.close(ledger, clock)
    assert "access counts" not in {thread.name for thread in threading.enumerate()}


def test_what_cannot_be_written_stays_counted(ledger: Sometimes, clock: SettableClock) -> None:
    """A full disk refuses whoever asks, and forgets nobody who asked before."""
    memory = Memory()
    memory._ended.set()  # no thread of its own: this test decides when it writes
    for _ in range(7):
        memory.note(ledger, clock, asked(), at_once=False)
    ledger.full = True
    clock.advance(timedelta(seconds=EVERY_S))
    for request in (asked(), asked("denied"), asked(action="pipeline.run")):
        with pytest.raises(Unavailable):
            memory.note(ledger, clock, request, at_once=request.action == "pipeline.run")
    with pytest.raises(Unavailable):
        memory.close(ledger, clock)
    ledger.full = False
    memory.close(ledger, clock)
    assert (total(ledger), total(ledger, "access.denied")) == (8, 0)


def test_a_flood_of_strangers_fills_neither_memory_nor_ledger(ledger: Sometimes, clock: SettableClock) -> None:
    """Each is counted; beyond a bound, without its name."""
    memory = Memory()
    memory._ended.set()
    for number in range(MAX_KINDS + 500):
        memory.note(ledger, clock, asked("unauthenticated", f"stranger-{number}"), at_once=False)
    memory.close(ledger, clock)
    entries = ledger.stream("access")
    assert len(entries) == MAX_KINDS + 2
    assert total(ledger, "access.unauthenticated") == MAX_KINDS + 500
    assert sum(entry.body["count"] for entry in entries if entry.actor == OTHERS) == 500


def test_what_was_seen_counts_for_one_decision(ledger: Sometimes) -> None:
    """Of the same principal, in the same thread, right afterwards, once."""
    memory, me, other = Memory(), object(), object()
    memory.begin(me, "seen")
    assert memory.seen(other) is None
    memory.begin(me, "seen")
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(memory.seen(me)))
    thread.start()
    thread.join()
    assert found == [None]
    assert (memory.seen(me), memory.seen(me)) == ("seen", None)
