"""What guards may know beside their own settings; handed to each when a route table's chain is built."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from holdfast.core.allowances import EMPTY, Charge, Values
from holdfast.core.ports import Clock
from holdfast.core.schema import Signature
from holdfast.maths.nearness import Space
from holdfast.serve.credentials import CredentialTable
from holdfast.serve.events import SecurityLog
from holdfast.serve.guards.reactions import Reaction, Reactor, Watched
from holdfast.serve.identities import Identities

if TYPE_CHECKING:  # which stands on this module
    from holdfast.serve.guards.lookup import Source


class Cells(Protocol):
    """What limits have counted: one memory for all workers of a gateway, which outlives them."""

    def apply(self, name: str, charge: Charge, now: float, amount: float, keep_until: float) -> float:
        """Let a rule charge an amount to the cell of a name, as one step that no other worker can come between.

        Args:
            name: Of the limit and of whom it is for.
            charge: The rule: see `allowances`.
            now: The time, by the rule's own clock.
            amount: What is charged.
            keep_until: Seconds since 1970 after which the cell may be forgotten.

        Returns:
            The rule's wait in seconds: 0 where the call passes. Infinity too where there is no room for one more cell:
            what cannot be counted is refused.
        """
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Return within what no other worker changes a cell: several changes then cost one lock."""
        ...

    def read(self, name: str) -> Values:
        """Return what a cell holds; all zero where there is none."""
        ...

    def together(self, now: float) -> bool:
        """Say whether what other machines count is known, at this time of the monotonic clock."""
        ...

    def enter(self, name: str, most: int) -> bool:
        """Note that this worker is busy with a call of a name; no, where as many workers are as may be."""
        ...

    def leave(self) -> None:
        """Note that this worker is busy with nothing."""
        ...

    def checkpoint(self) -> None:
        """Make what was counted last beyond this machine's next failure."""
        ...


@dataclass(slots=True)
class LocalCells:
    """The memory of one process (port `Cells`): for rehearsals and tests. A gateway's workers share theirs."""

    held: dict[str, Values] = field(default_factory=dict)

    def apply(self, name: str, charge: Charge, now: float, amount: float, keep_until: float) -> float:  # noqa: ARG002 - kept for as long as the process
        """Let a rule charge an amount to the cell of a name."""
        wait, after = charge(self.held.get(name, EMPTY), now, amount)
        if after is not None:
            self.held[name] = after
        return wait

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep nobody out: there is nobody else."""
        return nullcontext()

    def read(self, name: str) -> Values:
        """Return what a cell holds; all zero where there is none."""
        return self.held.get(name, EMPTY)

    def together(self, now: float) -> bool:  # noqa: ARG002 - there are no other machines
        """Say that nobody else is known."""
        return False

    def enter(self, name: str, most: int) -> bool:  # noqa: ARG002 - the only worker is busy with one call at a time
        """Note that this worker is busy with a call of a name."""
        return most >= 1

    def leave(self) -> None:
        """Note that this worker is busy with nothing."""

    def checkpoint(self) -> None:
        """Keep it in memory: it ends with the process."""


class Nonces(Protocol):
    """What a gateway has seen of signed requests: one memory for all its workers."""

    @property
    def since(self) -> float:
        """Seconds since 1970: nothing signed earlier is let in, because nobody remembers it."""
        ...

    def remember(self, nonce: str, *, until: float, now: float) -> bool:
        """Remember a nonce for its time; say no to one that is known, or where no more can be remembered.

        Args:
            nonce: With whose it is.
            until: When it may be forgotten, in seconds since 1970.
            now: The same clock's time.
        """
        ...


@dataclass(slots=True)
class LocalNonces:
    """The memory of one process (port `Nonces`): for rehearsals and tests. A gateway's workers share theirs."""

    since: float
    most: int = 100_000
    until: dict[str, float] = field(default_factory=dict)

    def remember(self, nonce: str, *, until: float, now: float) -> bool:
        """Remember a nonce for its time; say no to one that is known, or where no more can be remembered."""
        self.until = {known: end for known, end in self.until.items() if end >= now}
        if nonce in self.until or len(self.until) >= self.most:
            return False
        self.until[nonce] = until
        return True


def _nobody(kind: str, client: str, detail: str, correlation: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a guard may know beside its own settings."""

    credentials: CredentialTable
    signatures: Mapping[str, Signature]  # by digest of the release
    cells: Cells
    clock: Clock
    monotonic: Callable[[], float]
    nonces: Nonces
    identities: Identities = field(default_factory=Identities)  # none: API keys alone are known
    tell: Callable[[str, str, str, str], None] = (
        _nobody  # takes what must be on record: kind, client, detail, correlation
    )
    spaces: Mapping[str, Space] = field(default_factory=dict)  # by digest of the release, where training left one
    watched: Watched = field(default_factory=Watched)
    log: SecurityLog = field(default_factory=SecurityLog)
    features: "Source | None" = None  # where features are looked up; none: nothing is there
    draw: Callable[[], np.random.Generator] = np.random.default_rng  # keys of detectors: drawn anew, known to nobody

    def reactor(self, guard: str, reaction: Reaction, until_s: dict[str, float], release: str = "") -> Reactor:
        """Return what a detector reacts with, on one release or all; `until_s` are its suspects, and until when."""
        return Reactor(
            guard=guard,
            reaction=reaction,
            watched=self.watched,
            log=self.log,
            clock=self.clock,
            monotonic=self.monotonic,
            board=self.cells,
            release=release,
            until_s=until_s,
        )
