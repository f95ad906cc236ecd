"""What was decided a moment ago: kept for one state of the ledger, and for a second at most.

Authentication and authorisation read the ledger. Where the same caller asks the same thing a thousand times a second,
what was said holds as long as nothing was written since, which a thread of its own looks for twenty times a second. A
revocation is therefore obeyed after `LOOK_S` at most. A refusal is never kept, and where the thread has not looked for
`BLIND_S`, nothing that is kept counts.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

from holdfast.core.errors import HoldfastError

LOOK_S: Final = 0.05  # between two looks at the ledger
BLIND_S: Final = 0.5  # without a look: what is kept no longer counts
KEPT_S: Final = 1.0  # tokens expire by the clock, not by an entry
MOST: Final = 10_000  # answers kept


class Known:
    """Answers for one state of the ledger; safe for threads."""

    def __init__(self, size: Callable[[], int], monotonic: Callable[[], float]) -> None:
        """Keep nothing yet; nothing is kept until `look` has looked."""
        self._size, self._monotonic = size, monotonic
        self._state, self._looked = -1, float("-inf")
        self._kept: dict[Any, tuple[float, Any]] = {}
        self._stop = threading.Event()

    def start(self) -> Callable[[], None]:
        """Look from now on, in a thread; return what ends it."""
        thread = threading.Thread(target=self._watch, name="known", daemon=True)
        thread.start()

        def stop() -> None:
            self._stop.set()
            thread.join()

        return stop

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(LOOK_S)

    def look(self) -> None:
        """Look at the ledger once; what was kept for another state is forgotten."""
        now = self._monotonic()
        try:
            state = self._size()
        except HoldfastError:  # no database: nothing kept counts once `BLIND_S` have passed
            return
        if state != self._state or len(self._kept) > MOST:
            self._kept = {}
        self._state, self._looked = state, now

    def state(self) -> int | None:
        """Return the state of the ledger as of the last look, or None where that is too long ago."""
        return self._state if self._monotonic() - self._looked < BLIND_S else None

    def recall(self, key: Any) -> Any:
        """Return what was kept under a key for the present state, or None."""
        if self.state() is None:
            return None
        since, value = self._kept.get(key, (float("-inf"), None))
        return value if self._monotonic() - since < KEPT_S else None

    def keep(self, key: Any, value: Any, state: int | None) -> None:
        """Keep what was found out since the ledger was seen in this state, if it still is."""
        kept = self._kept  # a look between these two lines puts a new dictionary in its place
        if state is not None and state == self._state:
            kept[key] = (self._monotonic(), value)
