"""What guards may know beside their own settings; handed to each when a route table's chain is built."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.core.ports import Clock
from holdfast.core.schema import Signature
from holdfast.serve.credentials import CredentialTable
from holdfast.serve.identities import Identities


@dataclass(slots=True)
class Rates:
    """The theoretical arrival time of each client's next call, in seconds of the monotonic clock.

    Lives as long as the gateway: a new route table must not hand everybody a fresh burst.
    """

    arrival_s: dict[str, float] = field(default_factory=dict)

    def keep_only(self, clients: frozenset[str]) -> None:
        """Forget clients that no table knows any more, so that memory stays bounded by the table."""
        for gone in [client for client in self.arrival_s if client not in clients]:
            del self.arrival_s[gone]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a guard may know beside its own settings."""

    credentials: CredentialTable
    signatures: Mapping[str, Signature]  # by digest of the release
    rates: Rates
    clock: Clock
    monotonic: Callable[[], float]
    nonces: Nonces
    identities: Identities = field(default_factory=Identities)  # none: API keys alone are known
    workers: int = 1  # that share one endpoint's limits evenly
