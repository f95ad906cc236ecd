"""What follows when a detector suspects somebody: six answers, from a record to a refusal.

Every detection is a security event of the kind `detected.GUARD`, and counted; none is sampled away. What else happens
the route table says. Suspicion ends by itself after a time, and being refused meanwhile does not prolong it. It stands
in the cells that all workers share: whom one suspects, the others suspect half a second later, and so does a gateway
that was started again.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from holdfast.core.allowances import Charge, Rate, Values
from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.ports import Clock
from holdfast.core.work_proof import MAX_BITS, PROOF, proved
from holdfast.serve.events import Noted, SecurityLog
from holdfast.serve.refusals import BLOCKED, SLOWED, UNPROVEN

Action: TypeAlias = Literal["alert", "flag", "coarsen", "slow", "challenge", "block"]
SUSPECTED: Final = "suspected"  # the flag in an answer
MAX_SUSPECTS: Final = 4096  # remembered at once; the one whose suspicion ends first makes room
LOOK_S: Final = 0.5  # between two looks at what other workers suspect of one client
MAX_SERIES: Final = 256
MAX_QUEUE: Final = 1024  # calls that wait to be looked at: beyond some 4,000 a second they are dropped, and counted
WORK_S: Final = 0.02  # of a look at what waits, ten times a second: a fifth of a processor at most


class Reaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The answer to a suspicion: what is done, for how long, and how hard."""

    action: Action = "alert"
    lasts_s: float = 900.0
    pause_s: float = 5.0  # between two calls of somebody slowed
    bits: int = 16  # of work that a challenge asks for; each one doubles it

    def check(self, guard: str) -> None:
        """Refuse a reaction that is none.

        Raises:
            InvalidInput: A time or a number of bits that means nothing.
        """
        if not 0 < self.lasts_s <= 30 * 86400 or not 0 < self.pause_s <= self.lasts_s or not 1 <= self.bits <= MAX_BITS:
            raise InvalidInput(f"{guard} reacts in a way that means nothing", place="routes")


@dataclass(slots=True)
class Watched:
    """What detectors remember, and how often they found something; lives as long as the gateway.

    A new route table must not make a gateway forget whom it suspects, so each detector keeps its memory here, under a
    name that says of what and with which settings.
    """

    kept: dict[str, Any] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # by guard and action
    queue: deque[tuple[str, Callable[[], None]]] = field(default_factory=deque)

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what is kept under a name; made where there is nothing yet."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]

    def keep_only(self, releases: frozenset[str]) -> None:
        """Forget what was remembered of releases that no table names any more."""
        for name in [name for name in self.kept if name.rpartition("\0")[2] not in {*releases, ""}]:
            del self.kept[name]

    def offer(self, guard: str, task: Callable[[], None]) -> None:
        """Leave something to be looked at off the request path; where too much waits, it is dropped and counted."""
        if len(self.queue) >= MAX_QUEUE:
            self.count(guard, "dropped")
        else:
            self.queue.append((guard, task))

    def work(self, monotonic: Callable[[], float], most_s: float = WORK_S) -> None:
        """Look at what waits, for so long at most; what fails is counted, and the rest goes on."""
        until_s = monotonic() + most_s
        while self.queue and monotonic() < until_s:
            guard, task = self.queue.popleft()
            try:
                task()
            except Exception:  # noqa: BLE001 - whatever it is, it must not end the thread that looks after the gateway
                self.count(guard, "failed")

    def count(self, guard: str, outcome: str, by: int = 1) -> None:
        """Count what a detector found."""
        key = (guard, outcome)
        if key in self.counts or len(self.counts) < MAX_SERIES:
            self.counts[key] = self.counts.get(key, 0) + by


class Board(Protocol):
    """What workers tell one another: `surroundings.Cells`, as far as detectors need them."""

    def apply(self, name: str, charge: Charge, now: float, amount: float, keep_until: float) -> float:
        """Let a rule change the cell of a name, as one step; infinity where there is no room for it."""
        ...

    def read(self, name: str) -> Values:
        """Return what a cell holds; all zero where there is none."""
        ...


@dataclass(slots=True, kw_only=True)
class Reactor:
    """Suspects of one detector on one release, and what is done with their calls."""

    guard: str
    reaction: Reaction
    watched: Watched
    log: SecurityLog
    clock: Clock
    monotonic: Callable[[], float]
    board: Board
    release: str  # "" where a detector looks at all of them
    until_s: dict[str, float]  # suspects of this worker, and those of others that it knows of
    asked_s: dict[str, float] = field(default_factory=dict)  # when to look again what others suspect

    def suspects(self, client: str) -> bool:
        """Say whether a client is under suspicion, here or by another worker."""
        now_s = self.monotonic()
        until_s = self.until_s.get(client)
        if until_s is not None and now_s < until_s:
            return True
        if now_s < self.asked_s.get(client, 0.0):
            return False
        until_s = self.board.read(self._name("suspected", client))[0]
        if now_s < until_s <= now_s + self.reaction.lasts_s:  # beyond it, the machine's clock has begun anew since
            self._remember(client, until_s)
            return True
        self.until_s.pop(client, None)
        if len(self.asked_s) >= 2 * MAX_SUSPECTS:
            self.asked_s.clear()
        self.asked_s[client] = now_s + LOOK_S
        return False

    def suspect(self, call: Call, detail: str, *, client: str = "") -> None:
        """Begin to suspect a client, and put it on record."""
        whom, until_s = client or call.client, self.monotonic() + self.reaction.lasts_s
        self._remember(whom, until_s)
        kept = self.clock.now().timestamp() + self.reaction.lasts_s
        self.board.apply(self._name("suspected", whom), _until, 0.0, until_s, kept)
        self.note(call, detail, client=whom)

    def _remember(self, client: str, until_s: float) -> None:
        if len(self.until_s) >= MAX_SUSPECTS and client not in self.until_s:
            del self.until_s[min(self.until_s, key=lambda each: self.until_s[each])]
        self.until_s[client] = until_s

    def _name(self, what: str, client: str) -> str:
        return f"{what}\0{self.guard}\0{self.release}\0{client}"

    def note(self, call: Call, detail: str, *, client: str = "") -> None:
        """Put a detection on record and count it."""
        self.watched.count(self.guard, self.reaction.action)
        event = Noted(
            time=self.clock.now(),
            kind=f"detected.{self.guard}",
            caller=f"client:{client or call.client}",
            model=call.model,
            correlation=call.correlation,
            detail=detail,
        )
        self.log.note(event)

    def answer(self, call: Call) -> Call | Refusal:
        """Do with a suspect's call what the table says, as far as that is done before the model answers."""
        match self.reaction.action:
            case "block":
                return BLOCKED.refusal(self.guard, f"{call.client} is suspected")
            case "challenge":
                now = int(self.clock.now().timestamp())
                _, body = call.signed or ("", call.body)
                if proved(call.headers.get(PROOF, ""), body=body, bits=self.reaction.bits, now=now):
                    return call
                words = f"{UNPROVEN.public}: {self.reaction.bits} bits"
                return UNPROVEN.refusal(self.guard, f"{call.client} is suspected", public=words)
            case "slow":
                pause = Rate(interval_s=self.reaction.pause_s, tolerance_s=0.0)
                kept = self.clock.now().timestamp() + 2 * self.reaction.pause_s
                wait = self.board.apply(self._name("slowed", call.client), pause.charge, self.monotonic(), 1.0, kept)
                if wait > 0:
                    after_s = min(wait, self.reaction.pause_s)
                    return SLOWED.refusal(self.guard, f"{call.client} is suspected", retry_after_s=after_s)
            case "flag":
                call.flags = (*call.flags, SUSPECTED)
            case "coarsen":
                call.notes[self.guard + ".coarsen"] = True
            case "alert":
                pass
        return call

    def released(self, call: Call, answer: Answer) -> Answer:
        """Take from a suspect's answer what the table says it does not get."""
        if self.guard + ".coarsen" in call.notes:
            answer.probabilities = answer.probabilities[:, :0]
        return answer


def _until(values: Values, now: float, amount: float) -> tuple[float, Values]:  # noqa: ARG001 - a rule's signature
    """Keep when a suspicion ends."""
    return 0.0, (amount, 0.0, 0.0, 0.0, 0.0)
