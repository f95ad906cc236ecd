"""Whose stream of calls is unlike itself: more calls, more rows, more refusals than this client used to have.

Time is cut into windows. A window counts as high in a measure if it is among the highest twentieth of the client's own
last ones, which for windows that are exchangeable happens with a probability of at most one in twenty, whatever the
measure's distribution (a conformal p-value); a cumulative sum (`maths.cusum`) over these suspects whoever is high again
and again, before the model is asked. Nothing of a client is known during its first `BEFORE` windows, and a client
whose traffic grows is unlike itself too: what follows is best an alert.
"""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.maths.cusum import Coin, alarm_at
from holdfast.serve.guards.reactions import Reaction, Reactor
from holdfast.serve.guards.surroundings import Surroundings

NAME: Final = "stream-anomaly"
MEASURES: Final = ("calls", "rows", "refused", "flagged")
HIGH: Final = Coin(usual=0.05, suspect=0.5)
BEFORE: Final = 40  # windows with calls before a client is known: twenty give no p-value of a twentieth
LAST: Final = 200  # windows that are compared with
LAG: Final = 12  # windows until one is compared with: what has just begun must not hide its own continuation
HONEST: Final = 1000  # windows within which an honest client is suspected with the probability that is stated


class StreamAnomalySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long a window is, how sure an alarm, and what follows."""

    window_s: float = 10.0
    false_alarms: float = 0.001  # chance that an honest client is suspected within 1,000 windows
    reaction: Reaction = Reaction(action="alert")


@dataclass(slots=True)
class Measure:
    """One measure of one client: its last values in order of time and of size, and the sum."""

    late: deque[float] = field(default_factory=deque)
    ordered: list[float] = field(default_factory=list)
    total: float = 0.0

    def step(self, value: float) -> float:
        """Take a window's value, and return the sum after it."""
        if len(self.ordered) >= BEFORE:
            at_least = len(self.ordered) - bisect_left(self.ordered, value)
            p_value = (at_least + 1) / (len(self.ordered) + 1)
            self.total = HIGH.step(self.total, happened=p_value <= HIGH.usual)
        self.late.append(value)
        if len(self.late) > LAG:
            insort(self.ordered, self.late[-1 - LAG])
        if len(self.late) > LAST + LAG:
            del self.ordered[bisect_left(self.ordered, self.late.popleft())]
        return self.total


@dataclass(slots=True)
class Stream:
    """One client: the window that runs, and its measures."""

    begun_s: float
    counts: list[float] = field(default_factory=lambda: [0.0] * len(MEASURES))
    measures: tuple[Measure, ...] = field(default_factory=lambda: tuple(Measure() for _ in MEASURES))

    def close(self, now_s: float, window_s: float) -> list[float]:
        """End the window if its time is over, and return the sums; windows without any call are left out."""
        if now_s - self.begun_s < window_s:
            return []
        calls, rows, refused, flagged = self.counts
        values = (calls, rows, refused / max(calls, 1.0), flagged / max(rows, 1.0))
        self.begun_s, self.counts = now_s, [0.0] * len(MEASURES)
        if not calls:
            return []
        return [measure.step(value) for measure, value in zip(self.measures, values, strict=True)]


@dataclass(slots=True)
class Memory:
    """Every client's stream, over all models."""

    streams: dict[str, Stream] = field(default_factory=dict)
    until_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAnomaly:
    """A client's stream of calls is like itself."""

    name: str = NAME
    window_s: float
    alarm: float
    memory: Memory
    reactor: Reactor

    def admit(self, call: Call) -> Call | Refusal:
        """Count the call, as refused until an answer comes back this way, and react if its client is suspected."""
        now_s = self.reactor.monotonic()
        stream = self.memory.streams.get(call.client)
        if stream is None:
            stream = self.memory.streams[call.client] = Stream(begun_s=now_s)
        for measure, total in zip(MEASURES, stream.close(now_s, self.window_s), strict=False):
            if total >= self.alarm and not self.reactor.suspects(call.client):
                self.reactor.suspect(call, f"{measure} are higher than they used to be")
                for each in stream.measures:
                    each.total = 0.0
        stream.counts[0] += 1
        stream.counts[2] += 1
        return self.reactor.answer(call) if self.reactor.suspects(call.client) else call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Count the rows that were answered."""
        counts = self.memory.streams[call.client].counts
        counts[1] += 0 if call.rows is None else len(call.rows)
        counts[2] -= 1
        counts[3] += call.flagged
        return self.reactor.released(call, answer)


def stream_anomaly(settings: StreamAnomalySettings, surroundings: Surroundings) -> StreamAnomaly:
    """Build the guard, with what is remembered from before.

    Raises:
        InvalidInput: A setting that means nothing.
    """
    settings.reaction.check(NAME)
    if not 0 < settings.window_s <= 86400 or not 0 < settings.false_alarms < 1:  # noqa: PLR2004 - a day
        raise InvalidInput(f"{NAME} has a limit that means nothing", place="routes")
    memory: Memory = surroundings.watched.keep(f"{NAME}\0{settings.window_s}\0", Memory)
    alarm = alarm_at(settings.false_alarms / len(MEASURES), HONEST)
    reactor = surroundings.reactor(NAME, settings.reaction, memory.until_s)
    return StreamAnomaly(window_s=settings.window_s, alarm=alarm, memory=memory, reactor=reactor)
