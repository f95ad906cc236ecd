"""Who knocked at the door for gateways and was not let in: counted exactly, and put on record within seconds.

A refusal must not make the one who asks wait for the ledger, nor give a stranger the power to fill it: what repeats is
one entry with its number. The ledger is opened only when there is something to say.
"""

import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.app.opening import open_plant
from holdfast.core.errors import HoldfastError
from holdfast.core.ledger import Draft
from holdfast.lifecycle.gateways import REFUSED, STREAM
from holdfast.lifecycle.home import Home

EVERY_S: Final = 2.0  # between two looks whether somebody was refused
MAX_APART: Final = 1000  # who and why that are told apart between two looks; the rest are counted together
MANY: Final = ("many", "")


class Knocks:
    """Counts refusals from any thread until they are written."""

    def __init__(self, home: Home) -> None:
        """Start with none."""
        self._home, self._lock = home, threading.Lock()
        self._waiting: Counter[tuple[str, str]] = Counter()

    def refused(self, who: str, why: str) -> None:
        """Take note of one refusal."""
        with self._lock:
            about = (who, why)
            self._waiting[about if about in self._waiting or len(self._waiting) < MAX_APART else MANY] += 1

    def write(self) -> None:
        """Put on record what was noted; what the ledger does not take now is tried again, and said."""
        with self._lock:
            taken, self._waiting = self._waiting, Counter()
        if not taken:
            return
        drafts = [
            Draft(kind=REFUSED, actor="platform", stream=STREAM, body={"who": who, "why": why, "count": count})
            for (who, why), count in taken.items()
        ]
        try:
            with open_plant(self._home.root) as plant:
                plant.ledger.append(drafts)
        except HoldfastError as error:
            with self._lock:
                self._waiting += taken
            sys.stderr.write(json.dumps({"event": "problem", "code": error.code, "words": str(error)}) + "\n")
            sys.stderr.flush()


@contextmanager
def recorded(home: Home) -> Iterator[Knocks]:
    """Count refusals while the block runs, writing them every few seconds and once more at its end."""
    knocks, stop = Knocks(home), threading.Event()

    def work() -> None:
        while not stop.wait(EVERY_S):
            knocks.write()

    thread = threading.Thread(target=work, name="knocks", daemon=True)
    thread.start()
    try:
        yield knocks
    finally:
        stop.set()
        thread.join()
        knocks.write()
