"""Machines: transitions read from a table, `(state, signal) → (state, commands)`, without I/O and without a clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from holdfast.core.errors import Conflict

State = TypeVar("State")
Signal = TypeVar("Signal")
Command = TypeVar("Command")


@dataclass(frozen=True, slots=True)
class Machine(Generic[State, Signal, Command]):
    """A state machine as data; a pair that is not in the table is refused, never ignored."""

    name: str
    initial: State
    table: Mapping[tuple[State, Signal], tuple[State, tuple[Command, ...]]]

    def step(self, state: State, signal: Signal) -> tuple[State, tuple[Command, ...]]:
        """Return the next state and what must be done on the way.

        Raises:
            Conflict: The table has no such transition.
        """
        try:
            return self.table[state, signal]
        except KeyError:
            known = ", ".join(sorted(str(s) for (at, s) in self.table if at == state)) or "nothing: it is final"
            raise Conflict(f"{signal} cannot happen in {state}", place=self.name, expected=known) from None

    def states(self) -> frozenset[State]:
        """Return every state the table mentions."""
        ends = {state for state, _ in self.table.values()}
        return frozenset({state for state, _ in self.table} | ends | {self.initial})

    def diagram(self) -> str:
        """Return the machine as a Mermaid state diagram."""
        lines = [f"    {state} --> {end}: {signal}" for (state, signal), (end, _) in self.table.items()]
        return "\n".join(["stateDiagram-v2", f"    [*] --> {self.initial}", *lines])
