"""Whose stream of calls is unlike itself: more calls, more rows, more refusals than this client used to have.

Time is cut into windows. A window counts as high in a measure if it is among the highest twentieth of the client's own
last ones, which for windows that are exchangeable happens with a probability of at most one in twenty, whatever the
measure's distribution (a conformal p-value); a cumulative sum (`maths.cusum`) over these suspects whoever is high again
and again, before the model is asked. Nothing of a client is known during its first `BEFORE` windows, and a client
whose traffic grows is unlike itself too: what follows is best an alert.

What is counted in a window, and the sums, stand in cells that all workers share, so that a client is the same whichever
workers it calls. The worker that sees the first call after a window holds it against those that it knows and adds to
the sums; the others learn it at their own next call, for as long as no later window is over.
"""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from holdfast.core.allowances import Charge, Values
from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.maths.cusum import Coin, alarm_at
from holdfast.serve.guards.reactions import Reaction, Reactor
from holdfast.serve.guards.surroundings import Cells, LocalCells, Surroundings

NAME: Final = "stream-anomaly"
MEASURES: Final = ("calls", "rows", "refused", "flagged")
HIGH: Final = Coin(usual=0.05, suspect=0.5)
BEFORE: Final = 40  # windows with calls before a client is known: twenty give no p-value of a twentieth
LAST: Final = 200  # windows that are compared with
LAG: Final = 12  # windows until one is compared with: what has just begun must not hide its own continuation
HONEST: Final = 1000  # windows within which an honest client is suspected with the probability that is stated
KEPT_S: Final = 86400.0  # for which counts and sums stay after a client's last call


class StreamAnomalySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long a window is, how sure an alarm, and what follows."""

    window_s: float = 10.0
    false_alarms: float = 0.001  # chance that an honest client is suspected within 1,000 windows
    reaction: Reaction = Reaction(action="alert")


@dataclass(slots=True)
class Measure:
    """One measure of one client, as far as this worker knows: its last values in order of time and of size."""

    late: deque[float] = field(default_factory=deque)
    ordered: list[float] = field(default_factory=list)

    def unlike(self, value: float) -> bool | None:
        """Take a window's value, and say whether it is high; None before enough is known."""
        high = None
        if len(self.ordered) >= BEFORE:
            at_least = len(self.ordered) - bisect_left(self.ordered, value)
            high = (at_least + 1) / (len(self.ordered) + 1) <= HIGH.usual
        self.late.append(value)
        if len(self.late) > LAG:
            insort(self.ordered, self.late[-1 - LAG])
        if len(self.late) > LAST + LAG:
            del self.ordered[bisect_left(self.ordered, self.late.popleft())]
        return high


@dataclass(slots=True)
class Stream:
    """What this worker knows of one client."""

    known: float = 0.0  # the last window that was over
    measures: tuple[Measure, ...] = field(default_factory=lambda: tuple(Measure() for _ in MEASURES))


@dataclass(slots=True)
class Memory:
    """Every client's stream, over all models."""

    streams: dict[str, Stream] = field(default_factory=dict)
    until_s: dict[str, float] = field(default_factory=dict)
    alone: LocalCells = field(default_factory=LocalCells)  # counts of clients for which the shared cells have no room


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAnomaly:
    """A client's stream of calls is like itself."""

    name: str = NAME
    window_s: float
    alarm: float
    memory: Memory
    reactor: Reactor
    cells: Cells

    def admit(self, call: Call) -> Call | Refusal:
        """Count the call, as refused until an answer comes back this way, and react if its client is suspected."""
        stream = self.memory.streams.get(call.client)
        if stream is None:
            stream = self.memory.streams[call.client] = Stream()
        window = self.reactor.monotonic() // self.window_s
        call.notes[self.name], high = window, list[str]()
        if not self._goes_on(call.client, stream, window):
            with self.cells.exclusive():
                found = self._count(self.cells, call.client, stream, window)
                high = self._count(self.memory.alone, call.client, stream, window) or [] if found is None else found
        if high and not self.reactor.suspects(call.client):
            self.reactor.suspect(call, f"{high[0]} are higher than they used to be")
        return self.reactor.answer(call) if self.reactor.suspects(call.client) else call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Count the rows that were answered, in the window in which they were asked about."""
        rows, window = 0.0 if call.rows is None else float(len(call.rows)), float(call.notes[self.name])

        def rule(values: Values, now: float, amount: float) -> tuple[float, Values | None]:
            if 0 < values[0] - now <= LAST:
                return 0.0, None  # too late: answers of a later window are counted already
            _, answered, had, flagged, _ = values if values[0] == now else (now, 0.0, 0.0, 0.0, 0.0)
            return 0.0, (now, answered + 1.0, had + amount, flagged + call.flagged, 0.0)

        name = self._name("answers", call.client)
        if self.cells.apply(name, rule, window, rows, self._kept()):
            self.memory.alone.apply(name, rule, window, rows, 0.0)
        return self.reactor.released(call, answer)

    def _goes_on(self, client: str, stream: Stream, window: float) -> bool:
        """Count a call in a window that has begun, where nothing is over that this worker does not know; else no."""
        counted = False

        def rule(values: Values, now: float, amount: float) -> tuple[float, Values | None]:
            nonlocal counted
            begun, calls, known, _, _ = values
            counted = calls > 0 and begun in {now, now + 1} and known in {0.0, stream.known}
            return 0.0, (begun, calls + amount, known, 0.0, 0.0) if counted else None

        self.cells.apply(self._name("calls", client), rule, window, 1.0, self._kept())
        return counted

    def _count(self, cells: Cells, client: str, stream: Stream, window: float) -> list[str] | None:
        """Count a call in its window; return in which measures the client is unlike itself, None without any room.

        1. The first call of a window, at whichever worker, ends the last one that had calls: its values stand in a cell
        from then on. 2. Each worker that sees a call of the client takes them in, once. 3. Whose call ended the window
        adds to the sums.
        """
        begun, calls, known, _, _ = cells.read(self._name("calls", client))
        ends = calls > 0 and begun not in {window, window + 1}  # whose clock was read a moment ago ends nothing
        kept, high = self._kept(), list[str]()
        if ends:  # 1.
            at, answered, rows, flagged, _ = cells.read(self._name("answers", client))
            if at != begun:
                answered, rows, flagged = 0.0, 0.0, 0.0
            refused = max(calls - answered, 0.0) / calls
            over: Values = (calls, rows, refused, flagged / max(rows, 1.0), 0.0)
            if cells.apply(self._name("over", client), _put(over), 0.0, 0.0, kept):
                return None
            known = begun
        after = (window, 1.0, known) if ends or not calls else (begun, calls + 1.0, known)
        if cells.apply(self._name("calls", client), _put((*after, 0.0, 0.0)), 0.0, 0.0, kept):
            return None
        if known and known != stream.known:  # 2.
            stream.known = known
            values = cells.read(self._name("over", client))
            unlike = [each.unlike(value) for each, value in zip(stream.measures, values, strict=False)]
            if ends and None not in unlike:  # 3.
                high = self._add(cells, client, [each is True for each in unlike])
        return high

    def _add(self, cells: Cells, client: str, unlike: list[bool]) -> list[str]:
        """Add a window to the sums; where one is an alarm, all begin anew."""
        high = list[str]()

        def rule(values: Values, now: float, amount: float) -> tuple[float, Values]:  # noqa: ARG001 - a rule's signature
            sums = [HIGH.step(total, happened=each) for total, each in zip(values, unlike, strict=False)]
            high[:] = [measure for measure, total in zip(MEASURES, sums, strict=True) if total >= self.alarm]
            return 0.0, (0.0, 0.0, 0.0, 0.0, 0.0) if high else (sums[0], sums[1], sums[2], sums[3], 0.0)

        if cells.apply(self._name("sums", client), rule, 0.0, 0.0, self._kept()):
            self.memory.alone.apply(self._name("sums", client), rule, 0.0, 0.0, 0.0)
        return high

    def _name(self, what: str, client: str) -> str:
        return f"{NAME}\0{self.window_s}\0{what}\0{client}"

    def _kept(self) -> float:
        return self.reactor.clock.now().timestamp() + max(KEPT_S, 2 * self.window_s)


def _put(after: Values) -> Charge:
    """Return the rule that sets a cell."""
    return lambda values, now, amount: (0.0, after)  # noqa: ARG005 - a rule's signature


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
    return StreamAnomaly(
        window_s=settings.window_s, alarm=alarm, memory=memory, reactor=reactor, cells=surroundings.cells
    )
