"""What limits have counted: fixed cells in one file that all workers of a gateway map, so that limits are exact.

The file outlives workers, gateways and, from its last checkpoint on, the machine: a restart hands nobody a fresh
budget. Changes are made under a lock on the file (`flock`), which the kernel takes back from a worker that dies with
it; a worker that dies between two words of a cell loses at most its own last call.

    header   64 bytes    magic, number of cells, a random key for names, when other machines were last reached
    slots    320 × 8     which name each worker is busy with; 0 while with none
    cells    n × 64      name (a keyed hash; 0 is free), until when to keep it, use that nobody was told of, 5 numbers

A cell is found by linear probing and stays where it is. One whose time is over is taken for another name when there is
no free one; a worker notices, because it compares the name each time.
"""

import fcntl
import hashlib
import math
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from holdfast.core.allowances import EMPTY, Charge, Values
from holdfast.core.errors import InvalidInput, Unavailable

CELLS: Final = 16384  # of 64 bytes: 1 MiB; five limits of 3,000 clients
MOST_SLOTS: Final = 320  # more than workers of any sort that one supervisor starts, and whoever answers no calls
TOGETHER_S: Final = 2.0  # after which other machines count as out of reach
PROBES: Final = 64  # places looked at for a name
_MAGIC: Final = b"holdfast cells 1"
_HEADER: Final = struct.Struct("<16sQ16s24x")
_SLOTS: Final = struct.Struct(f"<{MOST_SLOTS}Q")
_SLOT: Final = struct.Struct("<Q")
_CELL: Final = struct.Struct("<Qddddddd")
_BEGIN: Final = _HEADER.size + _SLOTS.size
_NUMBER: Final = struct.Struct("<d")
_REACHED: Final = 40  # where in the header the time stands at which other machines were last reached
_UNTOLD: Final = 16  # where in a cell the use stands that other machines have not been told


class SharedCells:
    """The cells in a file (port `Cells`). Each worker, and each thread of one, opens the file for itself.

    The lock is the open file's: it keeps out whoever has opened it elsewhere, in this process or in another.
    """

    def __init__(
        self, path: Path, *, worker: int = 0, cells: int = CELLS, wall: Callable[[], float] = time.time
    ) -> None:
        """Open the file, or make it.

        Args:
            path: The file.
            worker: The number of this worker, whose slot is freed: whoever had it before is gone.
            cells: How many a new file gets.
            wall: Seconds since 1970.

        Raises:
            InvalidInput: More workers than there are slots.
            Unavailable: The file cannot be opened, or is no such file. Nothing is counted anew then: that would give
                everybody a fresh budget.
        """
        if not 0 <= worker < MOST_SLOTS:
            raise InvalidInput(f"worker {worker} of a gateway", expected=f"at most {MOST_SLOTS}")
        self._wall = wall
        self._places: dict[str, tuple[int, int]] = {}  # name to its hash and where its cell is
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                self._memory, self._count, self._key = _mapped(self._file, path, cells)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        except OSError as error:
            raise Unavailable(f"what limits have counted cannot be opened: {error}", place=str(path)) from error
        self._own = _Locked(self._file)
        self._lock: _Locked | _Nothing = self._own
        self._slot = _HEADER.size + worker * _SLOT.size
        _SLOT.pack_into(self._memory, self._slot, 0)

    def apply(self, name: str, charge: Charge, now: float, amount: float, keep_until: float) -> float:
        """Let a rule charge an amount to the cell of a name, as one step that no other worker can come between."""
        return self._change(name, charge, now, amount, keep_until, amount)

    def learn(self, name: str, charge: Charge, now: float, amount: float, keep_until: float) -> None:
        """Do the same for what other machines have counted: nobody is told of it again."""
        self._change(name, charge, now, amount, keep_until, 0.0)

    def _change(self, name: str, charge: Charge, now: float, amount: float, keep_until: float, untold: float) -> float:
        memory, lock = self._memory, self._lock
        if lock is not _NOTHING:
            lock.__enter__()
        try:
            hashed, at = self._places.get(name) or self._find(name)
            found = _CELL.unpack_from(memory, at)
            if found[0] != hashed:  # it was taken for another name
                hashed, at = self._find(name)
                found = _CELL.unpack_from(memory, at)
            wait, after = charge(found[3:], now, amount)
            if after is not None:
                until = max(keep_until, found[1])
                _CELL.pack_into(memory, at, hashed, until, found[2] + (0.0 if wait else untold), *after)
        except _FullError:
            return math.inf
        else:
            return wait
        finally:
            if lock is not _NOTHING:
                lock.__exit__()

    def exclusive(self) -> "_Exclusive":
        """Return within what no other worker changes a cell: several changes then cost one lock.

        The kernel takes it back from a worker that dies meanwhile, with every change that is whole.
        """
        return _Exclusive(self)

    def read(self, name: str) -> Values:
        """Return what a cell holds; all zero where there is none."""
        with self._locked():
            hashed = self._hash(name)
            for at in self._probes(hashed):
                found = _CELL.unpack_from(self._memory, at)
                if found[0] == hashed:
                    return found[3:]
                if not found[0]:  # a cell is never given back: the name would stand here, or before
                    break
        return EMPTY

    def enter(self, name: str, most: int) -> bool:
        """Note that this worker is busy with a call of a name; no, where as many workers are as may be."""
        hashed = self._hash(name)
        with self._locked():
            slots = _SLOTS.unpack_from(self._memory, _HEADER.size)
            if slots.count(hashed) >= most:
                return False
            _SLOT.pack_into(self._memory, self._slot, hashed)
            return True

    def leave(self) -> None:
        """Note that this worker is busy with nothing."""
        _SLOT.pack_into(self._memory, self._slot, 0)

    def take_untold(self, name: str) -> float:
        """Return what was charged to a name since the last time that somebody asked, and begin to count it anew."""
        hashed = self._hash(name)
        with self._locked():
            for at in self._probes(hashed):
                found = _CELL.unpack_from(self._memory, at)
                if found[0] == hashed:
                    _NUMBER.pack_into(self._memory, at + _UNTOLD, 0.0)
                    return float(found[2])
        return 0.0

    def put_untold(self, name: str, amount: float) -> None:
        """Take back what could not be told."""
        hashed = self._hash(name)
        with self._locked():
            for at in self._probes(hashed):
                found = _CELL.unpack_from(self._memory, at)
                if found[0] == hashed:
                    _NUMBER.pack_into(self._memory, at + _UNTOLD, found[2] + amount)
                    return

    def reached(self, now: float) -> None:
        """Note, for all workers, that other machines were reached at this time of the monotonic clock."""
        _NUMBER.pack_into(self._memory, _REACHED, now)

    def together(self, now: float) -> bool:
        """Say whether what other machines count is known, as of a moment ago."""
        (reached,) = _NUMBER.unpack_from(self._memory, _REACHED)
        return bool(reached and 0.0 <= now - reached <= TOGETHER_S)

    def checkpoint(self) -> None:
        """Have the kernel write what is in memory to the disk, and return when it has.

        Raises:
            Unavailable: The disk refuses.
        """
        try:
            self._memory.flush()
        except OSError as error:
            raise Unavailable(f"what limits have counted cannot be written: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()
        os.close(self._file)

    def _locked(self) -> "_Locked | _Nothing":
        return self._lock

    def keep(self, *, locked: bool) -> None:
        """Take the lock for more than one change, or let go of it."""
        if locked:
            self._own.__enter__()
            self._lock = _NOTHING
        else:
            self._lock = self._own
            self._own.__exit__()

    def _hash(self, name: str) -> int:
        known = self._places.get(name)
        if known is not None:
            return known[0]
        data = name.encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=self._key).digest(), "little") or 1

    def _probes(self, hashed: int) -> Iterator[int]:
        """Yield where the cell of a name may be."""
        for step in range(PROBES):
            yield _BEGIN + (hashed + step) % self._count * _CELL.size

    def _find(self, name: str) -> tuple[int, int]:
        """Return a name's hash and where its cell is, made if there is none; the lock is held."""
        hashed, free, over = self._hash(name), 0, 0
        for at in self._probes(hashed):
            found = _CELL.unpack_from(self._memory, at)
            if found[0] == hashed:
                break
            free = free or (at if found[0] == 0 else 0)
            over = over or (at if found[1] < self._wall() else 0)
        else:
            at = free or over
            if not at:
                raise _FullError
            _CELL.pack_into(self._memory, at, hashed, 0.0, 0.0, *EMPTY)
        if len(self._places) >= self._count:
            self._places.clear()
        self._places[name] = (hashed, at)
        return hashed, at


class _FullError(Exception):
    """There is no cell for a name."""


class _Locked:
    """The lock on a file."""

    __slots__ = ("_file",)

    def __init__(self, file: int) -> None:
        self._file = file

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)


class _Nothing:
    """What stands in the place of a lock that is held already."""

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


_NOTHING: Final = _Nothing()


class _Exclusive:
    """Holds the lock of cells over several changes."""

    __slots__ = ("_cells",)

    def __init__(self, cells: SharedCells) -> None:
        self._cells = cells

    def __enter__(self) -> None:
        self._cells.keep(locked=True)

    def __exit__(self, *_: object) -> None:
        self._cells.keep(locked=False)


def _mapped(file: int, path: Path, cells: int) -> tuple[mmap.mmap, int, bytes]:
    """Return a file's memory, its number of cells and its key; an empty file is laid out first."""
    size = os.fstat(file).st_size
    if size == 0:
        # A page of a hole that a full disk has no room for would end the worker that writes to it: the room is taken
        # now.
        os.posix_fallocate(file, 0, _BEGIN + cells * _CELL.size)
        os.pwrite(file, _HEADER.pack(_MAGIC, cells, os.urandom(16)), 0)
        os.fsync(file)
        size = os.fstat(file).st_size
    header = os.pread(file, _HEADER.size, 0)
    magic, count, key = _HEADER.unpack(header) if len(header) == _HEADER.size else (b"", 0, b"")
    if magic != _MAGIC or size != _BEGIN + count * _CELL.size or not count:
        raise Unavailable(
            "what limits have counted is no such file",
            place=str(path),
            remedy="Remove it only if every client may begin anew with its whole budget.",
        )
    return mmap.mmap(file, size), count, key
