"""What a gateway has seen of signed requests: one memory of fixed size that all its workers share.

Made before the workers are forked, in anonymous shared memory. A nonce is kept as a keyed 128-bit digest, so that
nobody outside can choose where it lands, in a bucket of 64 places; each place is a digest and the time until which it
counts. A place whose time is over is free. Changes are made under a lock on a file (POSIX `fcntl`), which the kernel
takes back from a worker that dies with it; a place is given its time last, so one half written is free.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

BUCKETS: Final = 8192
PLACES: Final = 64  # of a bucket: with 200,000 nonces at once, fewer than one in 10^9 buckets is full
_DIGEST: Final = 16  # bytes
_TIME: Final = struct.Struct("<d")
_KEYS: Final = PLACES * _DIGEST
_BUCKET: Final = _KEYS + PLACES * _TIME.size


class SharedNonces:
    """A memory of nonces (port `Nonces`); safe for threads, and for the processes that are forked after it was made."""

    def __init__(self, since: float = 0.0, *, buckets: int = BUCKETS) -> None:
        """Remember nothing yet.

        Args:
            since: Seconds since 1970: nothing signed earlier is let in, because nobody remembers it.
            buckets: How much can be remembered; each takes 1.5 KiB once it is used.
        """
        self.since = since
        self._buckets = buckets
        self._memory = mmap.mmap(-1, buckets * _BUCKET)  # shared by the forks, zero: every place is free
        self._lock_file = os.memfd_create("holdfast-nonces", os.MFD_CLOEXEC)
        self._among_threads = threading.Lock()
        self._key = os.urandom(16)

    def remember(self, nonce: str, *, until: float, now: float) -> bool:
        """Remember a nonce for its time; say no to one that is known, or for which there is no place.

        Args:
            nonce: With whose it is.
            until: When it may be forgotten, in seconds since 1970.
            now: The same clock's time.
        """
        digest = hashlib.blake2b(nonce.encode("utf-8", "surrogateescape"), digest_size=_DIGEST, key=self._key).digest()
        start = int.from_bytes(digest[:8], "little") % self._buckets * _BUCKET
        with self._locked():
            times = struct.unpack_from(f"<{PLACES}d", self._memory, start + _KEYS)
            if any(times[place] >= now for place in self._found(digest, start)):
                return False
            free = next((place for place, end in enumerate(times) if end < now), None)
            if free is None:
                return False
            at = start + free * _DIGEST
            self._memory[at : at + _DIGEST] = digest
            _TIME.pack_into(self._memory, start + _KEYS + free * _TIME.size, until)
            return True

    def _found(self, digest: bytes, start: int) -> Iterator[int]:
        """Yield each place of a bucket that holds a digest."""
        at = self._memory.find(digest, start, start + _KEYS)
        while at >= 0:
            if (at - start) % _DIGEST == 0:
                yield (at - start) // _DIGEST
            at = self._memory.find(digest, at + 1, start + _KEYS)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._among_threads:  # a file lock is the process's: it keeps no other thread out
            fcntl.lockf(self._lock_file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._lock_file, fcntl.LOCK_UN)
