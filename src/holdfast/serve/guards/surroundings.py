"""What guards may know beside their own settings; handed to each when a route table's chain is built."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from holdfast.core.ports import Clock
from holdfast.core.schema import Signature
from holdfast.serve.credentials import CredentialTable


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a guard may know beside its own settings."""

    credentials: CredentialTable
    signatures: Mapping[str, Signature]  # by digest of the release
    rates: Rates
    clock: Clock
    monotonic: Callable[[], float]
    workers: int = 1  # that share one endpoint's limits evenly
