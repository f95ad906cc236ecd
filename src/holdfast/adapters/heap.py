"""How a long-lived process keeps its memory: large blocks are given back to the machine when they are freed."""

import ctypes
from typing import Final

LARGE: Final = 4 << 20  # bytes; what answering one request needs is smaller, and stays as quick as it was
KEPT: Final = 16 << 20  # bytes at the heap's end; the rows of a twentieth of a second, until they are counted
_MMAP_THRESHOLD: Final = -3  # mallopt(3): M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, in glibc's malloc.h
_TRIM_THRESHOLD: Final = -1


def give_large_blocks_back() -> None:
    """Have the C library map each large block by itself, and unmap it when it is freed (glibc; elsewhere do nothing).

    Left alone, glibc takes the first large block that is freed as a sign of more to come, and keeps the next ones:
    a gateway that has opened one model would hold 16 MB that nothing uses. Told so, it no longer learns by itself how
    much of the heap's end to keep, and would give back and fetch again, page by page, what requests of a thousand rows
    need: 85 µs of each, a tenth of what the model takes. So some of it is kept.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is not None:
        change(_MMAP_THRESHOLD, LARGE)
        change(_TRIM_THRESHOLD, KEPT)
