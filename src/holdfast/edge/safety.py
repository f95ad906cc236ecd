"""The safe state between workers and over restarts: one small file in the gateway's folder, which only ever rises."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.core.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.adapters.published import MemoryFile
    from holdfast.core.resilience import SafeState
    from holdfast.serve import Gateway

SAFE_NAME: Final = "safe-state.json"


def safe_memory(home: Path) -> "MemoryFile[SafeState]":
    """Return the file in which a gateway's folder keeps its safe state."""
    from holdfast.adapters.published import MemoryFile
    from holdfast.core.resilience import SafeState

    return MemoryFile(path=home / SAFE_NAME, type=SafeState, join=SafeState.joined)


def share_safe_state(gateway: "Gateway", memory: "MemoryFile[SafeState]") -> None:
    """Take in what another worker or an earlier process has entered, and keep what this one has.

    A file that is there and cannot be read counts as a safe state that no table leads out of: somebody was at it.

    Raises:
        HoldfastError: What this process has entered cannot be kept; in memory it holds all the same.
    """
    from holdfast.core.resilience import UNREADABLE, SafeState

    try:
        kept = memory.recall()
    except HoldfastError as error:
        gateway.keep_safe(SafeState(epoch=UNREADABLE, reason=error.message))
        return
    if gateway.safe.epoch > kept.epoch:
        memory.keep(gateway.safe)
    else:
        gateway.keep_safe(kept)
