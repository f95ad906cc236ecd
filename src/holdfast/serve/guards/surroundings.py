"""What guards may know beside their own settings; handed to each when a route table's chain is built."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

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


MAX_NONCES: Final = 200_000  # of one worker, about 40 MB; at 500 calls a second, a window of 200 s to either side


@dataclass(slots=True)
class Nonces:
    """What a worker has seen of signed requests; lives as long as the worker, like the rates."""

    since: float = 0.0  # seconds since 1970: nothing signed earlier is let in, because nobody remembers it
    until: dict[str, float] = field(default_factory=dict)  # when each may be forgotten; oldest entries first

    def remember(self, nonce: str, *, until: float, now: float) -> bool:
        """Remember a nonce for its time; say no to one that is known, or where no more can be remembered."""
        if nonce in self.until:
            return False
        if len(self.until) >= MAX_NONCES:
            self.until = {known: end for known, end in self.until.items() if end >= now}
            if len(self.until) >= MAX_NONCES:
                return False
        for known in list(islice(self.until, 2)):  # two for each that comes: the memory shrinks when calls become fewer
            if self.until[known] < now:
                del self.until[known]
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
    nonces: Nonces = field(default_factory=Nonces)
    workers: int = 1  # that share one endpoint's limits evenly
