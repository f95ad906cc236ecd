"""The whole API as one ASGI application over an open workspace: door, routes and desk put together."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from holdfast.faces.http.desk import Desk
from holdfast.faces.http.door import Door, Terms
from holdfast.faces.http.known import Known
from holdfast.faces.http.offers import offers
from holdfast.faces.http.routes import application
from holdfast.lifecycle.plant import Plant

GATE_THREADS: Final = 4  # that find out who asks
THREADS: Final = 16  # that carry commands out; writes take turns at the ledger anyway


@contextmanager
def serving(plant: Plant, terms: Terms, *, monotonic: Callable[[], float] = time.monotonic) -> Iterator[Door]:
    """Open the API over a workspace, and close it when the block ends."""
    known = Known(plant.ledger.size, monotonic)
    known.look()
    stop = known.start()
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="api")
    gate = ThreadPoolExecutor(GATE_THREADS, thread_name_prefix="gate")
    desk, table = Desk(plant, known), offers()
    resolving = next(offer for offer in table if offer.name == "resolve")
    try:
        yield Door(
            application(desk, table), desk, terms, resolving=resolving, pool=pool, gate=gate, monotonic=monotonic
        )
    finally:
        pool.shutdown(cancel_futures=True)
        gate.shutdown(cancel_futures=True)
        stop()
