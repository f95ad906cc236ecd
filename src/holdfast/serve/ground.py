"""What a gateway stands on, whatever it serves: its clocks and keys, and where it notes what happens."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from holdfast.core.ports import Clock
from holdfast.serve.columns import Column, lone
from holdfast.serve.events import SecurityLog
from holdfast.serve.guards.lookup import Source
from holdfast.serve.guards.reactions import Watched
from holdfast.serve.tracing import Tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a gateway stands on, apart from its state: clocks, the key of its pseudonyms, its version."""

    clock: Clock
    monotonic: Callable[[], float]
    credential_key: bytes = field(repr=False)
    version: str
    log: SecurityLog = field(default_factory=SecurityLog)
    terminator_key: bytes = field(
        default=b"", repr=False
    )  # shared with the TLS terminator in front; empty: no word about certificates is taken
    watched: Watched = field(default_factory=Watched)
    features: Source | None = None  # where features are looked up by entity
    draw: Callable[[], np.random.Generator] = np.random.default_rng  # keys of detectors: drawn anew, known to nobody
    tracing: Tracing | None = None  # chooses the calls that are traced; none: no call is
    metrics_for_all: bool = False  # whether callers from other machines may read /metrics
    column: Column = field(default_factory=lone, repr=False)  # where this worker counts, beside the others
