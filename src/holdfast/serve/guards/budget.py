"""How many different rows a group has asked about in a period, counted by all workers of a gateway together.

1. Each worker knows the rows that it has let pass, and those are answered again for nothing. 2. What workers have let
pass is added up in a cell that all share. It is never too small, so that who goes from worker to worker gains nothing;
it is too large where a row came to several of them. 3. So where the sum is used up and not all of it is this worker's,
a sketch of the different rows (`maths.distinct`), in three cells more, says whether it was used up by rows that came
again: as long as there are about fewer than `SURE` of the budget, it was, and the group gets answers.
"""

import hashlib
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.core.allowances import EMPTY, Values
from holdfast.core.ports import Clock
from holdfast.maths.distinct import EACH, NUMBERS, estimate, merged, place_of, raised
from holdfast.serve.guards.surroundings import Cells, LocalCells

Spent: TypeAlias = Literal["fits", "over", "over at last"]  # the last: the first time in a period

SURE: Final = 0.8  # of a budget; two standard errors of the estimate below it
IN_CELL: Final = 4  # numbers of the sketch


@dataclass(slots=True)
class Group:
    """What this worker knows of a group in its period."""

    begun_s: float = -math.inf
    seen: set[int] = field(default_factory=set)
    numbers: list[float] = field(default_factory=lambda: [0.0] * NUMBERS)  # of the sketch, as this worker has raised it


@dataclass(slots=True)
class Groups:
    """Every group that this worker has seen, and the counts of those for which the shared cells have no room."""

    known: dict[str, Group] = field(default_factory=dict)
    alone: LocalCells = field(default_factory=LocalCells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """So many different rows in a period, for each group."""

    name: str  # of its cells
    rows: int
    period_s: float
    key: bytes  # of the hash by which all workers know rows
    cells: Cells
    clock: Clock
    monotonic: Callable[[], float]
    groups: Groups

    def spend(self, name: str, rows: NDArray[np.float32]) -> Spent:
        """Charge a group for the rows that are new to this worker, all or none; those it has paid for are free."""
        group, now_s = self.groups.known.setdefault(name, Group()), self.monotonic()
        if not 0 <= now_s - group.begun_s < self.period_s:
            group.begun_s, group.seen, group.numbers = now_s, set(), [0.0] * NUMBERS
        hashes = {self._hash(row.tobytes()) for row in rows}
        if hashes <= group.seen:
            return "fits"
        with self.cells.exclusive():
            found = self._charge(self.cells, name, group, hashes)
        return found or self._charge(self.groups.alone, name, group, hashes) or "over"

    def _charge(self, cells: Cells, name: str, group: Group, hashes: set[int]) -> Spent | None:
        """Charge the cells, which nobody else changes meanwhile; None where they have no room."""
        sums, now_s = f"{self.name}\0{name}", self.monotonic()
        begun_s, spent, told, _, _ = cells.read(sums)
        if not ((spent or told) and 0 <= now_s - begun_s < self.period_s):
            begun_s, spent, told = group.begun_s, 0.0, 0.0
        if begun_s != group.begun_s:  # another worker has begun the period
            group.begun_s, group.seen, group.numbers = begun_s, set(), [0.0] * NUMBERS
        new = hashes - group.seen
        over = spent + len(new) > self.rows
        if over and spent > len(group.seen):
            over = estimate(self._sketch(cells, sums, begun_s)) >= SURE * self.rows
        keep_until = self.clock.now().timestamp() + self.period_s
        if over:
            after: Values = (begun_s, spent, 1.0, 0.0, 0.0)
        elif not self._raise(cells, sums, group, new, keep_until):
            return None
        else:
            after = (begun_s, spent + len(new), told, 0.0, 0.0)
        if not _put(cells, sums, after, keep_until):
            return None
        if not over:
            group.seen |= new
            return "fits"
        return "over" if told else "over at last"

    def _raise(self, cells: Cells, sums: str, group: Group, new: set[int], keep_until: float) -> bool:
        """Let the sketch see rows; say whether there was room."""
        changed = set()
        for hashed in new:
            register, rank = place_of(hashed)
            number, at = divmod(register, EACH)
            higher = raised(group.numbers[number], at, rank)
            if higher != group.numbers[number]:
                group.numbers[number] = higher
                changed.add(number // IN_CELL)
        for cell in changed if group.seen else range(NUMBERS // IN_CELL):  # all of them at first: is there room?
            own = group.numbers[cell * IN_CELL : (cell + 1) * IN_CELL]

            def merge(values: Values, now: float, amount: float, own: list[float] = own) -> tuple[float, Values]:  # noqa: ARG001 - a rule's signature
                both = [merged(mine, values[number]) for number, mine in enumerate(own)]
                return 0.0, (both[0], both[1], both[2], both[3], 0.0)

            if cells.apply(f"{sums}\0{group.begun_s}\0{cell}", merge, 0.0, 0.0, keep_until):
                return False
        return True

    @staticmethod
    def _sketch(cells: Cells, sums: str, begun_s: float) -> list[float]:
        """Return the sketch that all workers share."""
        return [
            number
            for cell in range(NUMBERS // IN_CELL)
            for number in cells.read(f"{sums}\0{begun_s}\0{cell}")[:IN_CELL]
        ]

    def _hash(self, row: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(row, digest_size=8, key=self.key).digest(), "little")


def _put(cells: Cells, name: str, after: Values, keep_until: float) -> bool:
    """Set a cell; say whether there was room."""

    def rule(values: Values, now: float, amount: float) -> tuple[float, Values]:  # noqa: ARG001 - a rule's signature
        return 0.0, after

    return not cells.apply(name, rule, 0.0, 0.0, keep_until)


def shared_key(cells: Cells, name: str, draw: np.random.Generator) -> bytes:
    """Return a key that all workers share: the first that asks has drawn it."""
    drawn = tuple(draw.random(IN_CELL).tolist())

    def rule(values: Values, now: float, amount: float) -> tuple[float, Values | None]:  # noqa: ARG001 - a rule's signature
        return 0.0, None if values != EMPTY else (drawn[0], drawn[1], drawn[2], drawn[3], 0.0)

    found = drawn if cells.apply(name, rule, 0.0, 0.0, math.inf) else cells.read(name)[:IN_CELL]
    return struct.pack(f"<{IN_CELL}d", *found)
