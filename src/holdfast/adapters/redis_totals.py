"""Totals that machines share, in Redis.

One connection, one pipeline for each round, everything bounded in time and size. A total is a float under a key that
names workspace, environment and a keyed hash of the limit: whoever reads the store learns no client's name.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from holdfast.adapters.resp import Connection, command
from holdfast.core.errors import Unavailable

TIMEOUT_S: Final = 1.0  # for a connection, and for each answer
KEPT_S: Final = 400 * 86400  # after the last use; longer than the longest period
BATCH: Final = 500  # names in one pipeline


@dataclass(slots=True, kw_only=True)
class RedisTotals:
    """The totals in one Redis (port `Totals` of `holdfast.serve.sharing`)."""

    url: str  # redis://host:port/database, or rediss:// for TLS; a password is never part of it
    prefix: str  # of the keys: whose limits they are
    key: bytes = field(repr=False)  # of the hashes of names
    password: str = field(default="", repr=False)
    _line: Connection = field(init=False)

    def __post_init__(self) -> None:
        """Refuse an address that is none, and a password where every child process could read it.

        Raises:
            InvalidInput: See above.
        """
        secret = "the file `limits.password`"  # noqa: S105 - where a secret belongs, and none
        self._line = Connection(url=self.url, timeout_s=TIMEOUT_S, password=self.password, secret=secret)

    def add(self, amounts: Mapping[str, float], kept_s: Mapping[str, float] = {}) -> Mapping[str, float]:
        """Add what was used here, and return the totals of these names.

        Args:
            amounts: By name.
            kept_s: For how long a total is kept after its last use, of names that are not kept for longest.

        Raises:
            Unavailable: The store cannot be reached, or does not answer as it should.
        """
        found: dict[str, float] = {}
        names = list(amounts)
        try:
            for begin in range(0, len(names), BATCH):
                batch = names[begin : begin + BATCH]
                self._line.send([self._increment(name, amounts[name], kept_s.get(name, KEPT_S)) for name in batch])
                for name in batch:
                    found[name] = _finite(self._line.text())
                    self._line.text()  # of EXPIRE
        except (OSError, ValueError) as error:
            self.close()
            raise Unavailable(f"shared totals cannot be reached: {error}", place=self.url) from error
        return found

    def close(self) -> None:
        """Let go of the connection; the next use makes another."""
        self._line.close()

    def _increment(self, name: str, amount: float, kept_s: float) -> bytes:
        hashed = hashlib.blake2b(name.encode(), digest_size=16, key=self.key).hexdigest()
        key = f"holdfast:{self.prefix}:{hashed}"
        return command("INCRBYFLOAT", key, repr(amount)) + command("EXPIRE", key, str(math.ceil(min(kept_s, KEPT_S))))


def _finite(said: str) -> float:
    """Return a total; one that is no number would let everybody pass, and an infinite one nobody, ever again."""
    total = float(said)
    if not math.isfinite(total):
        raise ValueError("a total that is no number")
    return total
