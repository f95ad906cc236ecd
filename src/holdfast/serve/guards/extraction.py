"""Who copies the model by asking: rows that lie unlike honest ones, and more different rows than a group may ask about.

The first is looked at off the request path: a call leaves its rows in a bounded queue, and whoever runs the queue holds
the distances of each client's rows against those of training rows (`maths.spread`, after PRADA). What it finds counts
from then on. The second is inline: each group of clients has a budget of different rows in a period, which all workers
of a gateway count together (`budget`). Who harvests with real rows, slowly, cannot be told from honest clients; the
budget is what bounds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.maths.nearness import Projection
from holdfast.maths.spread import Distances, Spread
from holdfast.serve.guards.budget import Budget, Groups, shared_key
from holdfast.serve.guards.reactions import Reaction, Reactor, Watched
from holdfast.serve.guards.surroundings import Surroundings

NAME: Final = "extraction"
MAX_BUDGET: Final = 10_000_000
MAX_CLIENTS: Final = 1024  # whose distances are held, some 30 kB each; the one unseen for longest makes room


class ExtractionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many different rows a group may ask about, who belongs together, and what follows."""

    rows: int = 0  # different rows that a group may ask about in a period; 0: no budget
    period_s: float = 86400.0
    groups: dict[str, str] = {}  # by client; a client that is not here is a group of its own
    sample: float = 1.0  # of the rows whose distances are looked at
    reaction: Reaction = Reaction(action="coarsen")


@dataclass(slots=True)
class Memory:
    """What was asked of one release."""

    projection: Projection
    groups: Groups = field(default_factory=Groups)
    clients: dict[str, Distances] = field(default_factory=dict)
    until_s: dict[str, float] = field(default_factory=dict)
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """A group asks about no more different rows than its budget, and about none that a method has made."""

    name: str = NAME
    groups: Mapping[str, str]
    every: int  # row of a client that is looked at
    spreads: Mapping[str, Spread]
    memories: Mapping[str, Memory]
    budgets: Mapping[str, Budget]  # none where any number of rows may be asked about
    reactors: Mapping[str, Reactor]
    watched: Watched

    def admit(self, call: Call) -> Call | Refusal:
        """Count the rows against the budget, leave them to be looked at, and react if the client is suspected."""
        memory, reactor = self.memories.get(call.release), self.reactors.get(call.release)
        if memory is None or reactor is None or call.rows is None:
            raise InvalidInput("extraction has no memory of this release")  # the chain refuses: it fails closed
        spent = self._spend(call, call.rows, reactor)
        memory.turn += len(call.rows)
        if self.every == 1 or memory.turn % self.every < len(call.rows):
            rows, bare = call.rows, _bare(call)
            self.watched.offer(NAME, lambda: self._look(bare, rows, memory, reactor))
        return reactor.answer(call) if spent or reactor.suspects(call.client) else call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Let out what a suspect gets."""
        return self.reactors[call.release].released(call, answer)

    def _spend(self, call: Call, rows: NDArray[np.float32], reactor: Reactor) -> bool:
        """Count different rows, and say whether the group has used up its budget."""
        budget = self.budgets.get(call.release)
        if budget is None:
            return False
        group = self.groups.get(call.client, call.client)
        spent = budget.spend(group, rows)
        if spent == "over at last":
            reactor.note(call, f"{group} has asked about {budget.rows} different rows")
        return spent != "fits"

    def _look(self, call: Call, rows: NDArray[np.float32], memory: Memory, reactor: Reactor) -> None:
        """Hold a client's distances against those of training rows; runs off the request path."""
        seen = memory.clients.pop(call.client, None) or Distances()
        memory.clients[call.client] = seen
        if len(memory.clients) > MAX_CLIENTS:
            del memory.clients[next(iter(memory.clients))]
        spread = self.spreads[call.release]
        for place in memory.projection(rows):
            last = seen.observe(place)
            if last is None:
                continue
            differs = spread.differs(last)
            if differs > spread.limit and not reactor.suspects(call.client):
                reactor.suspect(call, f"the distances of the last rows differ by {differs:.2f}")


def _bare(call: Call) -> Call:
    """Return what is needed of a call later, without its body."""
    return Call(
        model=call.model,
        headers={},
        body=b"",
        correlation=call.correlation,
        received_s=call.received_s,
        client=call.client,
        release=call.release,
    )


def extraction(settings: ExtractionSettings, surroundings: Surroundings) -> Extraction:
    """Build the guard, with what is remembered from before.

    Raises:
        InvalidInput: A setting that means nothing, or a release that does not say how training rows lie.
    """
    settings.reaction.check(NAME)
    if not 0 <= settings.rows <= MAX_BUDGET or not settings.period_s > 0 or not 0 < settings.sample <= 1:
        raise InvalidInput(f"{NAME} has a limit that means nothing", place="routes")
    spreads, memories, budgets, reactors = {}, {}, {}, {}
    for digest in surroundings.signatures:
        space = surroundings.spaces.get(digest)
        if space is None or space.spread is None:
            raise InvalidInput(f"{NAME} needs a release that says how rows lie", place=digest, expected="a spread")
        projection = Projection.shown(space)
        memory: Memory = surroundings.watched.keep(f"{NAME}\0{digest}", lambda made=projection: Memory(made))  # type: ignore[misc]
        spreads[digest], memories[digest] = space.spread, memory
        reactors[digest] = surroundings.reactor(NAME, settings.reaction, memory.until_s, digest)
        if settings.rows:
            budgets[digest] = _budget(settings, surroundings, memory.groups, digest)
    return Extraction(
        groups=settings.groups,
        every=round(1 / settings.sample),
        spreads=spreads,
        memories=memories,
        budgets=budgets,
        reactors=reactors,
        watched=surroundings.watched,
    )


def _budget(settings: ExtractionSettings, surroundings: Surroundings, groups: Groups, digest: str) -> Budget:
    return Budget(
        name=f"{NAME}\0{digest}",
        rows=settings.rows,
        period_s=settings.period_s,
        key=shared_key(surroundings.cells, f"{NAME}\0key", surroundings.draw()),
        cells=surroundings.cells,
        clock=surroundings.clock,
        monotonic=surroundings.monotonic,
        groups=groups,
    )
