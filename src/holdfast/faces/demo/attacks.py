"""Five attacks that fail in front of the reader, each on the real thing or on a copy of it.

1. A changed model file. 2. A release that nobody signed. 3. Calls without a key, and malformed ones. 4. A burst. 5. An
edited ledger entry.
"""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast import app
from holdfast.client import Client
from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import HoldfastError, LedgerBroken, Refused
from holdfast.core.seal import Envelope, open_envelope
from holdfast.edge import Running, try_loading
from holdfast.faces.demo.stage import Stage
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.routing import current_project, standing

CHAPTER: Final = "3. Attacks"
BURST: Final = 400  # calls, as fast as one client can; the key may make 100 at once


def run(stage: Stage, plant: Plant, gateway: Running, key: str, row: NDArray[np.float64]) -> None:
    """Make every attack; each must fail, and the model must still answer afterwards."""
    changed_model_file(stage, plant)
    unsigned_release(stage, plant)
    without_key_and_malformed(stage, plant, gateway, key)
    burst(stage, plant, gateway, key, row)
    edited_ledger(stage, plant)
