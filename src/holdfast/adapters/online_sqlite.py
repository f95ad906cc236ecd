"""Online features in one SQLite file: for gateways on the machine that the control plane is on.

WAL, so that look-ups go on while values are replaced, and see all of the old ones or all of the new ones. A reader
opens the file read-only, waits a few milliseconds at most, and makes no file where there is none.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.core.errors import Unavailable

if TYPE_CHECKING:  # a gateway whose models look nothing up does without it
    import sqlite3

READ_S: Final = 0.005  # for a lock while a caller waits
WRITE_S: Final = 30.0  # for a lock while values are replaced
_MAKE: Final = "CREATE TABLE IF NOT EXISTS online (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
_GET: Final = "SELECT value FROM online WHERE key = ?"
_PUT: Final = "INSERT OR REPLACE INTO online VALUES (?, ?)"
_DROP: Final = "DELETE FROM online WHERE key >= ? AND key < ?"


@dataclass(slots=True, kw_only=True)
class SqliteFeatures:
    """Values in one file (port `Store` of `holdfast.engines.online`)."""

    path: Path
    writes: bool = False
    _opened: "sqlite3.Connection | None" = field(default=None)

    def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Return what lies under each key; see `Store.get`."""
        import sqlite3

        try:
            connection = self._opened or self._open()
            found = []
            for key in keys:
                row = connection.execute(_GET, (key,)).fetchone()
                found.append(None if row is None else row[0])
        except sqlite3.Error as error:
            raise self._gone(error) from error
        return found

    def replace(self, prefix: str, items: Mapping[str, bytes]) -> None:
        """Let these be all the values under a prefix, in one transaction; see `Store.replace`."""
        import sqlite3

        try:
            connection = self._opened or self._open()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_DROP, (prefix, prefix + "\U0010ffff"))
                connection.executemany(_PUT, items.items())
        except sqlite3.Error as error:
            raise self._gone(error) from error

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        import sqlite3

        if self._opened is not None:
            with contextlib.suppress(sqlite3.Error):
                self._opened.close()
        self._opened = None

    def _open(self) -> "sqlite3.Connection":
        import sqlite3

        mode, wait = ("rwc", WRITE_S) if self.writes else ("ro", READ_S)
        if self.writes:
            self.path.touch(mode=0o600)
        # Opened by whichever worker uses it first, and used by its one thread; closing may be another's.
        found = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=wait,
            isolation_level=None,
            check_same_thread=False,
        )
        if self.writes:
            found.execute("PRAGMA journal_mode=WAL")
            found.execute("PRAGMA synchronous=NORMAL")  # what a crash takes is materialised again
            found.execute(_MAKE)
        self._opened = found
        return found

    def _gone(self, error: Exception) -> Unavailable:
        self.close()
        return Unavailable(f"the online store cannot be read: {error}", place=self.path.name)
