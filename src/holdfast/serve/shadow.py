"""The shadow: a candidate gets copies of calls that the baseline has answered, and its answers become counts only.

The live path does one thing, and never waits for it: it puts the validated rows and what was answered into a bounded
queue, after the answer was made. Where there is no room, the copy is dropped and counted. One thread of the lowest
priority works the queue off; a shadow that raises, hangs or answers nonsense fails alone, and is counted.
"""

import os
import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.serve.state import Release, sane
from holdfast.serve.telemetry import Meter

ROOM: Final = 64  # calls that wait for the shadow; at the most rows of a call, some 10 MB
LOWEST: Final = 19  # niceness of the shadow's thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One answered call, for its shadow."""

    release: Release
    meter: Meter  # of the shadow
    rows: NDArray[np.float32]
    labels: NDArray[np.int64]  # as answered
    scores: NDArray[np.float64]  # the same


@dataclass(slots=True)
class Shadow:
    """The queue of copies, and whoever works it off."""

    _waiting: "queue.Queue[Copy]" = field(default_factory=lambda: queue.Queue(ROOM))
    _thread: threading.Thread | None = None

    def offer(self, copy: Copy) -> None:
        """Take a copy if there is room for it."""
        if self._thread is None:  # begun with the first copy: a gateway without a shadow has no such thread
            self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(copy)
        except queue.Full:
            copy.meter.observe_dropped()

    def wait(self) -> None:
        """Wait until every copy that was taken has been worked off."""
        self._waiting.join()

    def _work(self) -> None:
        with suppress(OSError):  # Linux gives each thread a niceness of its own; elsewhere what waits is bounded too
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)
        while True:
            copy = self._waiting.get()
            try:
                compare(copy)
            finally:
                self._waiting.task_done()


def compare(copy: Copy) -> None:
    """Ask the shadow what the baseline was asked, and count how its answer differs; never raises."""
    release, begun = copy.release, time.perf_counter()
    try:
        labels, probabilities = release.model.run(copy.rows)
    except Exception:  # noqa: BLE001 - a model that raises has no answer, and nobody waits for this one
        copy.meter.observe_failure(time.perf_counter() - begun)
        return
    took = time.perf_counter() - begun
    if not sane(labels, probabilities, rows=len(copy.rows), classes=len(release.signature.classes)):
        copy.meter.observe_failure(took)
        return
    scores = probabilities[:, release.score]
    copy.meter.observe(took, copy.rows, scores, 0)
    distances: list[float] = np.abs(scores - copy.scores).tolist()
    copy.meter.observe_shadow(int((labels == copy.labels).sum()), distances)
