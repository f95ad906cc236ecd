"""Streams: events in, answers out, each exactly once and in the order of its key, through any crash (SERV-03).

What makes it so, whatever broker is behind `Bus`:

1. Events are delivered in their order, from the first that is not known to be done; a bounded number is under way.
2. Events of one key are answered one after the other; different keys do not wait for one another.
3. An answer is published on the subject of its key *after the last one there*, a condition that the broker checks. Its
   header names the event. So it is stored once, however often it is tried and whoever tries it, and the last message of
   a subject says how far its key is done.
4. An event is acknowledged when its answer, or its dead letter, is stored. One that comes again is not answered again.

An event that the guards refuse is a dead letter, with the reason. One that the service cannot answer now waits, and so
does what is behind it: nothing more is taken in than may be under way.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from holdfast.core.errors import Conflict, Refused
from holdfast.core.streaming import Event, Last, Outrun, Where
from holdfast.serve.exchange import HttpRequest, HttpResponse
from holdfast.serve.scoring import CALLER, code_of, words_of

MAX_KEYS: Final = 100_000  # of which it is remembered how far they are done; of others the broker is asked
LONGEST_WAIT_S: Final = 10.0  # between two tries; the broker is told meanwhile that an event is worked on
FIRST_WAIT_S: Final = 0.1
POISON: Final = frozenset({"HF763", "HF799"})  # a model or a guard that fails on this event may fail on it always
MOST_TRIES: Final = 5  # of such an event, before it is a dead letter
_OK, _TOO_FAST, _UNAVAILABLE = 200, 429, 503


class Bus(Protocol):
    """A broker, as one process sees it."""

    async def fetch(self, most: int) -> Sequence[Event]:
        """Return the next events in order, at most so many; none where there are none for a while.

        Raises:
            Conflict: Another process has taken over.
            Unavailable: The broker does not answer.
        """
        ...

    async def last(self, where: Where, key: str) -> Last:
        """Return the last message of a key's subject."""
        ...

    async def publish(self, where: Where, event: Event, body: bytes, said: dict[str, str], after: Last) -> Last:
        """Store a message about an event on its key's subject, right after this one; return it as the last.

        Raises:
            Outrun: Another is the last there, or it is not known whether this one was stored.
        """
        ...

    async def acknowledge(self, event: Event) -> None:
        """Say that an event is done."""
        ...

    async def working(self, event: Event) -> None:
        """Say that an event is still worked on."""
        ...


@dataclass(slots=True)
class Tally:
    """What became of events."""

    answered: int = 0
    fallback: int = 0
    dead: int = 0
    again: int = 0  # came again, and were done already
    waits: int = 0


@dataclass(slots=True)
class _Done:
    answers: Last
    dead: Last

    @property
    def about(self) -> int:
        return max(self.answers.about, self.dead.about)


@dataclass(slots=True, kw_only=True)
class Stream:
    """Answers the events of one stream."""

    bus: Bus
    handle: Callable[[HttpRequest], HttpResponse]
    request: Callable[[bytes, str], HttpRequest]  # a body and a correlation id as a signed call
    name: str
    in_flight: int
    keep_up: Callable[[], None]  # between two fetches: obey what is newly published, write records
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    tally: Tally = field(default_factory=Tally)
    _done: OrderedDict[str, _Done] = field(default_factory=OrderedDict)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """End after the events under way; what waits stays with the broker."""
        self._stopped.set()

    async def run(self, *, until_idle: bool = False) -> Tally:
        """Answer events until told to stop, or, if asked, until there are none.

        Raises:
            Refused: The key is not valid, or may not call the model.
            Conflict: Another process has taken over.
            HoldfastError: Records cannot be written, or the broker does not answer.
        """
        while not self._stopped.is_set():
            self.keep_up()
            events = await self.bus.fetch(self.in_flight)
            if not events and until_idle:
                break
            by_key: dict[str, list[Event]] = {}
            for event in events:
                by_key.setdefault(event.key, []).append(event)
            ended = await asyncio.gather(*map(self._in_order, by_key.values()), return_exceptions=True)
            for each in ended:  # what the other keys had under way has come to its end
                if each is not None:
                    raise each
        self.keep_up()
        return self.tally

    async def _in_order(self, events: Sequence[Event]) -> None:
        for event in events:
            if not await self._answer(event):
                return  # told to stop: this one and those behind it stay with the broker

    async def _answer(self, event: Event) -> bool:
        """Bring one event to its end; False where it was not, because somebody said stop."""
        done = await self._known(event.key)
        tries, wait_s = 0, FIRST_WAIT_S
        while event.sequence > done.about:
            response = self.handle(self.request(event.body, f"{self.name}-{event.sequence}"))
            code = code_of(response)
            tries += code in POISON
            if response.status in CALLER:
                raise Refused(
                    f"the gateway refuses: {words_of(response)} ({code})", remedy="Give a key that may call it."
                )
            if _passes(response) and not (code in POISON and tries >= MOST_TRIES):
                if not await self._pause(event, wait_s, response):
                    return False
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                continue
            await self._store(event, response, done)
            done = await self._known(event.key)
            break
        else:
            self.tally.again += 1
        await self.bus.acknowledge(event)
        return True

    async def _pause(self, event: Event, wait_s: float, response: HttpResponse) -> bool:
        """Wait a while, and say that the event is not forgotten; False where somebody said stop."""
        self.tally.waits += 1
        later = float(response.header(b"retry-after") or 0)
        await self.bus.working(event)
        await self.sleep(min(max(wait_s, later), LONGEST_WAIT_S))
        self.keep_up()
        return not self._stopped.is_set()

    async def _store(self, event: Event, response: HttpResponse, done: _Done) -> None:
        """Publish what became of an event, once, whoever else tries to.

        Raises:
            Conflict: Somebody else publishes there, and not about our events.
        """
        fine = response.status == _OK
        where: Where = "answers" if fine else "dead letters"
        said = _said(response)
        for _ in range(MOST_TRIES):
            after = done.answers if fine else done.dead
            try:
                stored = await self.bus.publish(where, event, response.body if fine else event.body, said, after)
            except Outrun:
                self._done.pop(event.key, None)
                done = await self._known(event.key)
                if done.about >= event.sequence:
                    self.tally.again += 1
                    return
                continue
            self._done[event.key] = _Done(stored, done.dead) if fine else _Done(done.answers, stored)
            self._count(response)
            return
        raise Conflict("somebody else publishes where the answers go", place=event.key, expected="subjects of its own")

    def _count(self, response: HttpResponse) -> None:
        if response.status != _OK:
            self.tally.dead += 1
        elif response.header(b"x-holdfast-fallback"):
            self.tally.fallback += 1
        else:
            self.tally.answered += 1

    async def _known(self, key: str) -> _Done:
        """Return how far a key is done."""
        found = self._done.get(key)
        if found is None:
            found = _Done(await self.bus.last("answers", key), await self.bus.last("dead letters", key))
            self._done[key] = found
        self._done.move_to_end(key)
        while len(self._done) > MAX_KEYS:
            self._done.popitem(last=False)
        return found


def _passes(response: HttpResponse) -> bool:
    """Say whether a refusal is of the moment: limits, overload, a service that may not answer now."""
    if response.status == _TOO_FAST:
        return True
    return response.status >= _UNAVAILABLE


def _said(response: HttpResponse) -> dict[str, str]:
    """Return the headers of a message: who answered, or why nobody did."""
    release = (response.header(b"x-holdfast-release") or b"").decode()
    fallback = (response.header(b"x-holdfast-fallback") or b"").decode()
    if response.status == _OK:
        said = {"Holdfast-Outcome": "fallback" if fallback else "answered", "Holdfast-Release": release}
        return said | ({"Holdfast-Fallback": fallback} if fallback else {})
    words = words_of(response).encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")
    return {"Holdfast-Outcome": "refused", "Holdfast-Code": code_of(response), "Holdfast-Reason": words[:400]}
