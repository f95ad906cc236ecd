"""What the workers of one gateway have in common: memory that is made before they are forked, and gone with the last.

The parent makes it, so nothing heavy may be imported here. What outlives a gateway lies in files instead.
"""

import mmap
import time
from dataclasses import dataclass
from typing import Final, Self

from holdfast.adapters.nonces import SharedNonces
from holdfast.edge.config import EdgeConfig
from holdfast.serve.columns import Columns, size

MOST_COLUMNS: Final = 257  # as many workers as a supervisor starts at most, and the one that speaks gRPC


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The memory that all workers of a gateway map."""

    nonces: SharedNonces  # that signed requests have borne
    columns: Columns  # of what each worker counts

    @classmethod
    def of(cls, config: EdgeConfig) -> Self:
        """Make it for a gateway whose workers begin to live now."""
        workers = min(max(config.workers, 1) + 1, MOST_COLUMNS)  # a number that makes no sense is refused elsewhere
        columns = Columns(mmap.mmap(-1, size(workers)), workers)
        return cls(nonces=SharedNonces(since=time.time()), columns=columns)
