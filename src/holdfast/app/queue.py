"""The queue of jobs alone: what a worker holds while it waits, and nothing more."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.adapters.clock import SystemClock
from holdfast.adapters.database import open_database
from holdfast.adapters.jobs import SqlJobs
from holdfast.app.card import LEDGER_FILE, read_card
from holdfast.lifecycle.home import Home


@contextmanager
def open_jobs(root: Path) -> Iterator[SqlJobs]:
    """Open a workspace's queue of jobs alone: a worker waits with little in memory.

    Raises:
        NotFound: There is no workspace.
    """
    home = Home(root=root.resolve())
    engine = open_database(read_card(home).database or home.workspace / LEDGER_FILE)
    try:
        yield SqlJobs(engine, SystemClock())
    finally:
        engine.dispose()
