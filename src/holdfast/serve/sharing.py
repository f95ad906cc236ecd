"""Limits that several machines count together: what each let pass is told to the others behind the calls' backs.

No call waits for another machine. Each gateway charges its own cells at once; in the background one of its workers adds
what was charged to a total that all machines share, and charges its cells for what the others added. In the long run
all together give the limit and no more; for as long as one round takes, each may give what the others have used up
meanwhile. Where the others cannot be reached, the limits themselves say what holds: an even share, or nothing
(`machines.Machines`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from holdfast.core.allowances import Charge, Values
from holdfast.core.guard import Chain
from holdfast.serve.guards.machines import Shared

LOOK_AT_ALL: Final = 10  # every so many rounds, what others have used is asked for where nothing was used here


class Totals(Protocol):
    """What all machines have used, by the name of a limit."""

    def add(self, amounts: Mapping[str, float]) -> Mapping[str, float]:
        """Add what was used here, and return the totals of these names.

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
        begun = self.monotonic()
        try:
            totals = self.totals.add(amounts) if amounts else {}
        except Exception:
            for name, amount in used.items():
                if amount:
                    self.cells.put_untold(name, amount)
            raise
        self._rounds += 1
        for name, total in totals.items():
            self._learn(limits[name], total, amounts[name])
        if totals or not limits:
            self.cells.reached(begun)

    def _learn(self, limit: Shared, total: float, mine: float) -> None:
        """Charge a cell for what others added since the total was last seen; it remembers the total."""
        others = total - mine - self.cells.read(limit.name)[4]

        def rule(values: Values, now: float, amount: float) -> tuple[float, Values | None]:
            _, after = limit.learn(values, now, amount) if amount > 0 else (0.0, values)
            return 0.0, (*(after or values)[:4], total)

        self.cells.learn(limit.name, rule, limit.now(), max(others, 0.0), limit.keep_until)


def _shared(chain: Chain, client: str) -> list[Shared]:
    """Return the limits of a client that a chain shares among machines."""
    guards = (guard for guard in chain.guards if getattr(guard, "machines", None) is not None)
    return [guard.shared(client) for guard in guards]  # type: ignore[attr-defined]
