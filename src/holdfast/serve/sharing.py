"""Limits that several machines count together: what each let pass is told to the others behind the calls' backs.

No call waits for another machine. Each gateway charges its own cells at once; in the background one of its workers adds
what was charged to a total that all machines share, and charges its cells for what the others added. In the long run
all together give the limit and no more; for as long as one round takes, each may give what the others have used up
meanwhile. A machine that is new among them takes in what the others have used in this period, and in all, before it
counts on from there: what was used in periods before belongs to none of its own. Where the others cannot be reached,
the limits themselves say what holds: an even share, or nothing (`machines.Machines`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from holdfast.core.allowances import Charge, Values
from holdfast.core.guard import Chain
from holdfast.serve.guards.machines import Shared

KEPT_PERIODS: Final = 2  # for which the use of one period is kept
LOOK_AT_ALL: Final = 10  # every so many rounds, what others have used is asked for where nothing was used here


class Totals(Protocol):
    """What all machines have used, by the name of a limit."""

    def add(self, amounts: Mapping[str, float], kept_s: Mapping[str, float] = {}) -> Mapping[str, float]:
        """Add what was used here, and return the totals of these names.

        Args:
            amounts: By name.
            kept_s: For how long a total must be kept after its last use, of names that are not kept for longest.

        Raises:
            HoldfastError: They cannot be reached; whether something was added is not known.
        """
        ...


class ToldCells(Protocol):
    """The cells, as far as other machines are told of them."""

    def read(self, name: str) -> Values:
        """Return what a cell holds."""
        ...

    def take_untold(self, name: str) -> float:
        """Return what was charged since the last time, and begin to count it anew."""
        ...

    def put_untold(self, name: str, amount: float) -> None:
        """Take back what could not be told."""
        ...

    def learn(self, name: str, charge: Charge, now: float, amount: float, keep_until: float) -> None:
        """Charge a cell for what others have used."""
        ...

    def reached(self, now: float) -> None:
        """Note that other machines were reached."""
        ...


@dataclass(slots=True, kw_only=True)
class Sharing:
    """Tells other machines what was used here, and learns what was used there."""

    cells: ToldCells  # opened for the thread that does this
    totals: Totals
    monotonic: Callable[[], float]
    _rounds: int = field(default=0)

    def round(self, chain: Chain, clients: Iterable[str]) -> None:
        """Tell and learn once.

        Raises:
            HoldfastError: Other machines cannot be reached. What could not be told is told the next time: it may then
                be counted twice, never not at all.
        """
        limits = {shared.name: shared for client in clients for shared in _shared(chain, client)}
        used = {name: self.cells.take_untold(name) for name in limits}
        every = self._rounds % LOOK_AT_ALL == 0
        amounts = {name: amount for name, amount in used.items() if amount or every}
        periods = {name: limits[name].in_period for name in amounts}
        told = amounts | {period: amounts[name] for name, period in periods.items() if period}
        kept = {period: KEPT_PERIODS * limits[name].period_s for name, period in periods.items() if period}
        begun = self.monotonic()
        try:
            totals = self.totals.add(told, kept) if amounts else {}
        except Exception:
            for name, amount in used.items():
                if amount:
                    self.cells.put_untold(name, amount)
            raise
        self._rounds += 1
        for name, mine in amounts.items():
            self._learn(limits[name], totals[name], mine, totals.get(periods[name], mine))
        if totals or not limits:
            self.cells.reached(begun)

    def _learn(self, limit: Shared, total: float, mine: float, in_period: float) -> None:
        """Charge a cell for what others added since the total was last seen; it remembers the total.

        Where it was never seen, the cell takes in what others have used in this period and in all. A rate has no past:
        whoever calls too fast now is found in the next round.
        """
        seen = self.cells.read(limit.name)[4]
        others = total - mine - seen

        def rule(values: Values, now: float, amount: float) -> tuple[float, Values | None]:
            if not seen:
                joined = limit.join(values, now, max(in_period - mine, 0.0), amount) if limit.join else values
                return 0.0, (*joined[:4], total)
            _, after = limit.learn(values, now, amount) if amount > 0 else (0.0, values)
            return 0.0, (*(after or values)[:4], total)

        self.cells.learn(limit.name, rule, limit.now(), max(others, 0.0), limit.keep_until)


def _shared(chain: Chain, client: str) -> list[Shared]:
    """Return the limits of a client that a chain shares among machines."""
    guards = (guard for guard in chain.guards if getattr(guard, "machines", None) is not None)
    return [guard.shared(client) for guard in guards]  # type: ignore[attr-defined]
