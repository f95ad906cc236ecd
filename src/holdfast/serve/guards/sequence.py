"""Who walks along the model's boundary: many calls that differ by little and get different answers.

An attack that sees only labels learns something from a query only where it could not foretell the answer, so its
queries lie close together on both sides of the boundary; honest rows seldom do. Four views of what was asked:

- each client: a cumulative sum over its new rows, which rises with every row that lies near an earlier one, anybody's,
  and gets another answer (the near-duplicate history of Chen et al., SPAI 2020, and Li et al., USENIX Security 2022);
- each place: rows near one another form a chain, whoever asks about them, and a chain with too many changes of the
  answer is closed (provenance across identities), so that keys handed round gain nothing;
- each client's steps: three rows in a row on one line are how boundaries are bisected (delta similarity);
- each client's last rows: many of them in one place, as rows proposed around one row are.

How near is near comes with the release: `maths.nearness.fit_space`, fitted where the training rows are. A row that
anybody has asked about before tells nothing new about the boundary, and counts for no place and no change of the
answer. Memory is a fixed number of rows, of each worker; a client's sums stand in the cells that all workers share, so
that a walk spread over them gains nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.allowances import EMPTY, Values
from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.maths.cusum import alarm_at
from holdfast.maths.nearness import (
    ALIGNED,
    CHAIN,
    CROWD,
    CROWDING,
    FALSE_ALARMS,
    HONEST,
    LINE,
    RECENT,
    TURNING,
    Neighbours,
    Projection,
    Space,
)
from holdfast.serve.guards.reactions import Reaction, Reactor
from holdfast.serve.guards.surroundings import Surroundings

NAME: Final = "query-sequence"
MAX_MEMORY: Final = 1 << 20  # rows; some 350 MB
UNKNOWN: Final = -1  # the answer to a row that was refused
KEPT_S: Final = 86400.0  # for which a client's sums stay after its last call
WHY: Final = ("answers change between near rows", "rows bisect a line", "rows crowd in one place")  # by sum
SUMS: Final = (TURNING, LINE, CROWDING)


class QuerySequenceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much is remembered, how sure an alarm is, and what follows."""

    memory: int = 16_384  # rows of a release
    false_alarms: float = FALSE_ALARMS  # chance that an honest client of 1,000 new rows is suspected
    chain: int = CHAIN  # changes of the answer along near rows that close a place
    radius: float | None = None  # what is near; the release's own measure if left out
    reaction: Reaction = Reaction(action="block")


@dataclass(slots=True)
class _Client:
    recent: NDArray[np.float32] | None = None  # the last rows' places, infinity where there is none yet
    count: int = 0
    last: NDArray[np.float32] | None = None
    step: NDArray[np.float32] | None = None


@dataclass(slots=True)
class _Turns:
    """Changes of the answer along a chain; half as much for each time that the memory was filled anew since."""

    weight: float = 0.0
    at: int = 0
    closed: bool = False

    def now(self, count: int, capacity: int) -> float:
        return float(self.weight * 2.0 ** ((self.at - count) / capacity))


@dataclass(slots=True)
class Memory:
    """What was asked of one release."""

    projection: Projection
    near: Neighbours
    space: Space
    answers: NDArray[np.int64]
    chains: NDArray[np.int64]
    seen: NDArray[np.int64]
    turns: OrderedDict[int, _Turns] = field(default_factory=OrderedDict)  # by chain, the one changed last at the end
    clients: dict[str, _Client] = field(default_factory=dict)
    until_s: dict[str, float] = field(default_factory=dict)
    alone: dict[str, Values] = field(default_factory=dict)  # sums of clients for which the cells have no room
    begun: int = 0

    @classmethod
    def of(cls, space: Space, radius: float, capacity: int, draw: np.random.Generator) -> "Memory":
        """Return an empty memory; `draw` is the key of its projection and of its cells."""
        projection = Projection.of(space, draw)
        near = Neighbours(dimensions=projection.matrix.shape[1], radius=radius, capacity=capacity, draw=draw)
        none = np.full(capacity, UNKNOWN, dtype=np.int64)
        return cls(
            projection, near, space, none, none.copy(), np.zeros(2 << (capacity - 1).bit_length(), dtype=np.int64)
        )

    def unseen(self, rows: NDArray[np.float32]) -> list[int]:
        """Return which rows were not asked about before, as far as that is remembered; each only once."""
        found, last = [], len(self.seen) - 1
        for number, row in enumerate(rows):
            known = hash(row.tobytes()) | 1  # keyed by the interpreter, so nobody can make two rows collide
            first, second = (known >> 1) & last, (known >> 32) & last
            if known not in {self.seen[first], self.seen[second]}:
                found.append(number)
            self.seen[first] = self.seen[second] = known
        return found

    def chain(self, own: list[int], nearest: list[int]) -> list[int]:
        """Let each row join the chain of the nearest before it, or begin one; return the chains."""
        for slot, neighbour in zip(own, nearest, strict=True):
            if neighbour >= 0:
                self.chains[slot] = self.chains[neighbour]
            else:
                self.begun += 1
                self.chains[slot] = self.begun
            self.answers[slot] = UNKNOWN
        return [int(self.chains[slot]) for slot in own]

    def turned(self, chain: int) -> float:
        """Return how much the answer changes along a chain."""
        turns = self.turns.get(chain)
        return 0.0 if turns is None else turns.now(self.near.count, self.near.capacity)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """A call between its way in and its way out."""

    release: str  # that was to answer: where it failed and another did, the rows are remembered of this one
    places: NDArray[np.float32]  # of all rows
    rows: list[int]  # those that were not asked about before
    own: list[int]
    nearest: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySequence:
    """A client does not walk along the boundary, alone or together with others."""

    name: str = NAME
    alarm: float
    chain: int
    memories: dict[str, Memory]  # by release
    reactors: dict[str, Reactor]

    def admit(self, call: Call) -> Call | Refusal:
        """Look where the rows lie, and react if the client or the place is suspected."""
        memory, reactor = self.memories.get(call.release), self.reactors.get(call.release)
        if memory is None or reactor is None or call.rows is None:
            raise InvalidInput("query-sequence has no memory of this release")  # the chain refuses: it fails closed
        suspected = reactor.suspects(call.client)
        if suspected and reactor.reaction.action == "block":  # nothing is learned from it, so nothing is remembered
            return reactor.answer(call)
        places = memory.projection(call.rows)
        rows = memory.unseen(call.rows)[-memory.near.capacity :]
        own, nearest = (each.tolist() for each in memory.near.visit(places[rows])) if rows else ([], [])
        chains = memory.chain(own, nearest)
        closed = any(memory.turned(each) >= self.chain for each in chains)
        call.notes[self.name] = _Visit(release=call.release, rows=rows, places=places, own=own, nearest=nearest)
        if closed and not suspected:
            reactor.note(call, "a row lies where somebody walks along the boundary")
        return reactor.answer(call) if suspected or closed else call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Learn what was answered, and who has become suspect by it."""
        visit = call.notes.get(self.name)
        if isinstance(visit, _Visit):
            said = answer.labels if call.said is None else call.said
            self._learn(call, said, visit, self.memories[visit.release], self.reactors[visit.release])
        return self.reactors[call.release].released(call, answer)

    def _learn(self, call: Call, said: NDArray[np.int64], visit: _Visit, memory: Memory, reactor: Reactor) -> None:
        memory.answers[visit.own] = said[visit.rows]
        client = memory.clients.setdefault(call.client, _Client())
        seen = _Seen()
        for place in visit.places:
            if _crowd(client, place, memory.space.crowd, seen) and memory.space.lines:
                _align(client, place, seen)
        for slot, neighbour in zip(visit.own, visit.nearest, strict=True):
            turned = neighbour >= 0 and memory.answers[neighbour] not in {UNKNOWN, memory.answers[slot]}
            seen.of[0].append(turned)
            if turned:
                self._turn(call, int(memory.chains[slot]), memory, reactor)
        for why in self._summed(call, memory, reactor, seen):
            reactor.suspect(call, why)

    def _summed(self, call: Call, memory: Memory, reactor: Reactor, seen: "_Seen") -> list[str]:
        """Add what was seen to a client's sums, which all workers share; return what there is to suspect it of."""
        suspected, alarm, whys = reactor.suspects(call.client), self.alarm, list[str]()

        def step(values: Values, now: float, amount: float) -> tuple[float, Values]:  # noqa: ARG001 - a rule's signature
            sums = [values[0], values[1], values[2]]
            for number, (coin, happened) in enumerate(zip(SUMS, seen.of, strict=True)):
                for each in happened:
                    sums[number] = coin.step(sums[number], happened=each)
            whys[:] = [] if suspected else [why for why, total in zip(WHY, sums, strict=True) if total >= alarm][:1]
            return 0.0, (0.0, 0.0, 0.0, 0.0, 0.0) if whys else (sums[0], sums[1], sums[2], 0.0, 0.0)

        name = f"{self.name}\0{call.release}\0{call.client}"
        if reactor.board.apply(name, step, 0.0, 0.0, reactor.clock.now().timestamp() + KEPT_S):
            memory.alone[call.client] = step(memory.alone.get(call.client, EMPTY), 0.0, 0.0)[1]
        return whys

    def _turn(self, call: Call, chain: int, memory: Memory, reactor: Reactor) -> None:
        """Count one change of the answer along a chain."""
        count, capacity = memory.near.count, memory.near.capacity
        turns = memory.turns.setdefault(chain, _Turns())
        turns.weight, turns.at = 1.0 + turns.now(count, capacity), count
        memory.turns.move_to_end(chain)
        if len(memory.turns) > capacity // 8:
            memory.turns.popitem(last=False)
        closed = turns.weight >= self.chain
        if closed and not turns.closed:
            reactor.note(call, f"{self.chain} changes of the answer along near rows: the place is closed")
        turns.closed = closed


@dataclass(slots=True)
class _Seen:
    """What happened, or did not, in one call: by sum, one by one."""

    of: tuple[list[bool], list[bool], list[bool]] = field(default_factory=lambda: ([], [], []))


def _crowd(client: _Client, place: NDArray[np.float32], crowd: float, seen: _Seen) -> bool:
    """Take one row of a client: do many of its last ones lie around it? Say whether it is none of those."""
    if client.recent is None:
        client.recent = np.full((RECENT, len(place)), np.inf, dtype=np.float32)
    apart = client.recent - place
    squares = np.einsum("ij,ij->i", apart, apart)
    if squares.min() == 0:
        return False
    seen.of[2].append(int((squares < crowd * crowd).sum()) >= CROWD)
    client.recent[client.count % RECENT] = place
    client.count += 1
    return True


def _align(client: _Client, place: NDArray[np.float32], seen: _Seen) -> None:
    """Take one step of a client: does it go on along the line of the one before?"""
    if client.last is not None:
        step = place - client.last
        length = float(step @ step)
        if client.step is not None and length > 0:
            along = float(step @ client.step)
            seen.of[1].append(along * along > ALIGNED * ALIGNED * length * float(client.step @ client.step) > 0)
        if length > 0:
            client.step = step
    client.last = place


def query_sequence(settings: QuerySequenceSettings, surroundings: Surroundings) -> QuerySequence:
    """Build the guard, with what is remembered from before.

    Raises:
        InvalidInput: A setting that means nothing, or a release that does not say what is near.
    """
    settings.reaction.check(NAME)
    if not 64 <= settings.memory <= MAX_MEMORY or not 0 < settings.false_alarms < 1 or settings.chain < 2:  # noqa: PLR2004 - fewer remember nothing
        raise InvalidInput(f"{NAME} has a limit that means nothing", place="routes")
    memories, reactors = {}, {}
    for digest in surroundings.signatures:
        space = surroundings.spaces.get(digest)
        radius = settings.radius if settings.radius is not None else space.radius if space is not None else 0.0
        if space is None or not radius > 0:
            raise InvalidInput(f"{NAME} needs a release that says what is near", place=digest, expected="a space")
        memories[digest] = _kept(settings, surroundings, space, radius, digest)
        reactors[digest] = surroundings.reactor(NAME, settings.reaction, memories[digest].until_s, digest)
    alarm = alarm_at(settings.false_alarms, HONEST)
    return QuerySequence(alarm=alarm, chain=settings.chain, memories=memories, reactors=reactors)


def _kept(
    settings: QuerySequenceSettings, surroundings: Surroundings, space: Space, radius: float, digest: str
) -> Memory:
    name = f"{NAME}\0{settings.memory}\0{radius}\0{digest}"

    def made() -> Memory:
        return Memory.of(space, radius, settings.memory, surroundings.draw())

    memory: Memory = surroundings.watched.keep(name, made)
    return memory
