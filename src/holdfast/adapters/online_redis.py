"""Online features in Redis: one question for each look-up, bounded in time; nothing here opens what it carries.

The store must not evict (`maxmemory-policy noeviction`): an entity that was evicted looks like one that was never seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.adapters.resp import Connection, command
from holdfast.core.errors import Unavailable

READ_S: Final = 0.005  # for an answer while a caller waits; a later one is as good as none
WRITE_S: Final = 10.0  # for an answer to a batch of writes
BATCH: Final = 500  # values in one pipeline
SCANNED: Final = "1000"  # keys of one part of a scan, about


@dataclass(slots=True, kw_only=True)
class RedisFeatures:
    """Values in one Redis (port `Store` of `holdfast.engines.online`)."""

    url: str
    prefix: str  # of the keys: whose features they are
    password: str = field(default="", repr=False)
    timeout_s: float = READ_S
    _line: Connection = field(init=False)

    def __post_init__(self) -> None:
        """Refuse an address that is none, and a password in it.

        Raises:
            InvalidInput: See above.
        """
        secret = "the file `features.password`"  # noqa: S105 - where a secret belongs, and none
        self._line = Connection(url=self.url, timeout_s=self.timeout_s, password=self.password, secret=secret)

    def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Return what lies under each key; see `Store.get`."""
        try:
            self._line.send([command("MGET", *(self._key(key) for key in keys))])
            found = self._line.value()
            if not isinstance(found, list) or len(found) != len(keys):
                raise ValueError("an answer of another length")  # noqa: TRY301 - caught with the rest
        except (OSError, ValueError) as error:
            raise self._gone(error) from error
        return found

    def replace(self, prefix: str, items: Mapping[str, bytes]) -> None:
        """Let these be all the values under a prefix; see `Store.replace`. Values come before what is gone goes."""
        kept, names = frozenset(items), list(items)
        try:
            for begin in range(0, len(names), BATCH):
                batch = names[begin : begin + BATCH]
                self._line.send([command("SET", self._key(name), items[name]) for name in batch])
                for _ in batch:
                    self._line.text()
            gone = [key for key in self._under(prefix) if key not in kept]
            for begin in range(0, len(gone), BATCH):
                self._line.send([command("DEL", *(self._key(key) for key in gone[begin : begin + BATCH]))])
                self._line.text()
        except (OSError, ValueError) as error:
            raise self._gone(error) from error

    def close(self) -> None:
        """Let go of the connection; the next use makes another."""
        self._line.close()

    def _under(self, prefix: str) -> list[str]:
        found: list[str] = []
        cursor, begin = "0", len(self._key(""))
        while True:
            self._line.send([command("SCAN", cursor, "MATCH", self._key(prefix) + "*", "COUNT", SCANNED)])
            cursor, keys = self._line.keys()
            found += [key[begin:] for key in keys]
            if cursor == "0":
                return found

    def _key(self, name: str) -> str:
        return f"holdfast:features:{self.prefix}:{name}"

    def _gone(self, error: Exception) -> Unavailable:
        self.close()
        return Unavailable(f"the online store cannot be reached: {error}", place=self.url)
