"""Columns: what each worker of a gateway counts, in memory that all share, so that any of them can tell of the whole.

A column has one writer, the worker of its number, and any number of readers, none of whom waits for anybody. It holds a
fixed number of series: a value of eight bytes each, which processors write whole, and a name with its checksum, written
before it is announced. A worker that takes the place of one that died finds its column and counts on; what a gauge
said ends with the process that said it. A place whose release is gone is given to another series only after its name is
taken away and that is announced: a reader that saw an announcement come in between reads again.

    column   header   64 bytes         process id, announcements so far, places used so far
             values   slots × 8        IEEE doubles: whole numbers are exact up to 2^53
             names    slots × 192      checksum (CRC-32), length, name: family and values of labels, parted by NUL
"""

import math
import mmap
import os
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Container, Iterator
from typing import Final, TypeAlias

from holdfast.core.conventions import BY_NAME, over_workers

SLOTS: Final = 16384  # series of one worker: 600 releases of 26; 3.2 MB, of which only what is used takes memory
LONE_SLOTS: Final = 2048  # of a gateway without a supervisor
MOST_SPOILED: Final = 1000  # series about inputs: a caller who spoils all inputs of a wide model leaves room for others
SPOILED: Final = "holdfast_spoiled_values_total"
UNPLACED: Final = "holdfast_unplaced_series_total"
NOTHING: Final = math.nan  # a gauge about which a worker says nothing
_HEADER: Final = 8  # words
_PID, _CHANGES, _USED = range(3)
_NAME: Final = 192  # bytes
_ENTRY: Final = struct.Struct("<IH")
SINK: Final = 0  # the place of what found none, read by nobody
_MOST_TRIES: Final = 1000  # of a reader; a worker announces far less often than one is read

Key: TypeAlias = tuple[str, ...]
"""A family of the table of conventions, and the values of its labels; without the model where there is a release."""

_Series: TypeAlias = tuple[str, Callable[[float, float], float], bool]
"""A name, what makes one value of two workers', and whether the value lasts longer than the process that counts."""

_OF_RELEASES: Final = frozenset(name for name, metric in BY_NAME.items() if "release" in metric.labels)
_GAUGES: Final = frozenset(name for name, metric in BY_NAME.items() if metric.kind == "gauge")


def size(workers: int, slots: int = SLOTS) -> int:
    """Return how many bytes the columns of so many workers take."""
    return workers * _words(slots) * 8


def _words(slots: int) -> int:
    return _HEADER + slots + slots * _NAME // 8


class Columns:
    """The columns of all workers of a gateway."""

    def __init__(
        self,
        memory: bytearray | mmap.mmap,
        workers: int,
        *,
        slots: int = SLOTS,
        lives: Callable[[int], bool] | None = None,
    ) -> None:
        """Take in memory of `size(workers, slots)` bytes, zero at first, shared by all processes that are to count.

        Args:
            memory: At addresses that eight divides.
            workers: How many columns it has.
            slots: How many series a column holds.
            lives: Says whether a process is there; asks the kernel if left out.
        """
        view = memoryview(memory).cast("B")
        self._bytes, self._workers, self._slots = view, workers, slots
        self._words, self._values = view.cast("Q"), view.cast("d")
        self._lives = lives or _lives
        self._names: dict[int, tuple[int, list[tuple[int, _Series]]]] = {}

    def own(self, number: int, pid: int) -> "Column":
        """Return the column of a worker, to be written by this process alone from now on."""
        begin = number * _words(self._slots)
        end = begin + _HEADER + self._slots
        names = self._bytes[8 * end : 8 * (begin + _words(self._slots))]
        return Column(self, self._words[begin : begin + _HEADER], self._values[begin + _HEADER : end], names, pid)

    def read(self, worker: int | None = None) -> dict[Key, float]:
        """Return every series of the gateway, put together as the table of conventions says; or those of one worker.

        Raises:
            IndexError: There is no such worker.
        """
        if worker is not None and not 0 <= worker < self._workers:
            raise IndexError(worker)
        found: dict[str, float] = {}  # by name: a string knows its hash, a tuple works it out each time
        for number in range(self._workers) if worker is None else (worker,):
            there = self._lives(self._words[number * _words(self._slots) + _PID])
            for (name, join, lasting), value in self._whole(number):
                if (there or lasting) and not math.isnan(value):
                    before = found.get(name)
                    found[name] = value if before is None else join(before, value)
        return {_key(name): value for name, value in found.items()}

    def _whole(self, number: int) -> list[tuple[_Series, float]]:
        """Return a column's series and values as they stood at one of its announcements."""
        begin = number * _words(self._slots)
        for _ in range(_MOST_TRIES):
            changes = self._words[begin + _CHANGES]
            names = self._named(number, changes)
            used = self._words[begin + _USED]
            values = self._values[begin + _HEADER : begin + _HEADER + used].tolist()
            if self._words[begin + _CHANGES] == changes:
                return [(series, values[slot]) for slot, series in names if slot < used]
        return []

    def _named(self, number: int, changes: int) -> list[tuple[int, _Series]]:
        """Return the names in a column, as far as they are whole; read again only where something was announced."""
        known = self._names.get(number)
        if known is None or known[0] != changes:
            begin = number * _words(self._slots)
            used = self._words[begin + _USED]
            first = 8 * (begin + _HEADER + self._slots)
            found = list(_read(self._bytes[first : first + used * _NAME]))
            families = [_key(name)[0] for _, name in found]
            series = [
                (slot, (name, over_workers(family), family not in _GAUGES))
                for (slot, name), family in zip(found, families, strict=True)
            ]
            known = self._names[number] = (changes, series)
        return known[1]


class Column:
    """One worker's column; `cells[place(key)] += 1` counts. Only places are taken and given back under a lock."""

    __slots__ = ("_free", "_header", "_lock", "_names", "_of", "_places", "cells", "columns")

    def __init__(
        self, columns: Columns, header: "memoryview[int]", cells: "memoryview[float]", names: memoryview, pid: int
    ) -> None:
        """Find what a predecessor has counted, and end what its gauges said."""
        self.columns, self.cells = columns, cells
        self._header, self._names, self._lock = header, names, threading.Lock()
        used = header[_USED] = max(header[_USED], 1)
        self._places = {_key(name): slot for slot, name in _read(names[: used * _NAME])}
        self._of = Counter(key[0] for key in self._places)
        taken = set(self._places.values())
        self._free = [slot for slot in range(1, used) if slot not in taken]
        for key, slot in self._places.items():
            if key[0] in _GAUGES:
                cells[slot] = NOTHING
        header[_PID] = pid
        self.place((UNPLACED,))

    def place(self, key: Key) -> int:
        """Return where a series is counted; where there is no room for it, a place that nobody reads."""
        found = self._places.get(key)
        return self._place(key) if found is None else found

    def add(self, key: Key, by: float = 1.0) -> None:
        """Count."""
        self.cells[self.place(key)] += by

    def put(self, key: Key, value: float) -> None:
        """Let a gauge say something."""
        self.cells[self.place(key)] = value

    def keep_only(self, releases: Container[str]) -> None:
        """Give back the places of other releases."""
        with self._lock:
            gone = [key for key in self._places if key[0] in _OF_RELEASES and key[1] not in releases]
            for key in gone:
                slot = self._places.pop(key)
                self._of[key[0]] -= 1
                _ENTRY.pack_into(self._names, slot * _NAME, 0, 0)
                self._free.append(slot)
            self._header[_CHANGES] += bool(gone)

    def _place(self, key: Key) -> int:
        name = "\0".join(key).encode("utf-8", "replace")
        with self._lock:
            if key in self._places:  # another thread was faster
                return self._places[key]
            slot = self._free[-1] if self._free else self._header[_USED]
            crowded = key[0] == SPOILED and self._of[SPOILED] >= MOST_SPOILED
            if slot >= len(self.cells) or crowded or len(name) > _NAME - _ENTRY.size:
                self.cells[self._places[UNPLACED,]] += 1
                return SINK
            if self._free:
                self._free.pop()
            self._write(slot, key, name)
            return slot

    def _write(self, slot: int, key: Key, name: bytes) -> None:
        """Begin a series at nothing, name it, and announce it, in this order."""
        self.cells[slot] = 0.0
        at = slot * _NAME
        self._names[at + _ENTRY.size : at + _ENTRY.size + len(name)] = name
        _ENTRY.pack_into(self._names, at, zlib.crc32(name), len(name))
        self._header[_USED] = max(self._header[_USED], slot + 1)
        self._header[_CHANGES] += 1
        self._places[key] = slot
        self._of[key[0]] += 1


def lone() -> Column:
    """Return the column of a gateway that has no other workers."""
    return Columns(bytearray(size(1, LONE_SLOTS)), 1, slots=LONE_SLOTS, lives=lambda _: True).own(0, os.getpid())


def _key(name: str) -> Key:
    return tuple(name.split("\0"))


def _read(names: memoryview) -> Iterator[tuple[int, str]]:
    """Yield the place of each name that is whole, and the name."""
    for slot in range(1, len(names) // _NAME):
        at = slot * _NAME
        check, length = _ENTRY.unpack_from(names, at)
        name = bytes(names[at + _ENTRY.size : at + _ENTRY.size + min(length, _NAME - _ENTRY.size)])
        if length and zlib.crc32(name) == check:
            yield slot, name.decode("utf-8", "replace")


def _lives(pid: int) -> bool:
    if not pid:  # no worker has had this column yet
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
