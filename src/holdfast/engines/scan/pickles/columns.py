"""Columns: entries of the memo, remembered strings and numbers, one after another, without rows.

As in `numbers`, lanes guess and walk, and only those that begin exactly where the one before ended count. All that is
met pushes one value and needs none.
"""

from typing import Final

import numpy as np

from holdfast.engines.scan.pickles.boundaries import Bytes, Places, Widths, chained, distinct, guesses, places_of
from holdfast.engines.scan.pickles.slots import REST, Slots, tables_of
from holdfast.engines.scan.pickles.stretches import APART, Memory, Stretch
from holdfast.engines.scan.pickles.strides import strided

_LATE: Final = 8  # bytes that look like the end of a batch of which the last most probably is one
_TABLES: Final = {closing: tables_of(closing) for closing in (0, ord("e"), ord("u"))}


class Columns:
    """Proves columns. Strings that are made in one are looked for where the piece before had some."""

    def __init__(self) -> None:
        """Look for none at first."""
        self._texts = False

    def prove(self, data: Bytes, size: int, cuts: Places, memory: Memory, closing: int) -> Stretch | None:
        """Return the stretch of values from the first byte on, or nothing; as `stretches.prove`."""
        _, plain, with_texts = _TABLES[closing]
        if not with_texts[int(data[0]) << 8 | int(data[1])]:
            return None
        slots: Slots | None = strided(data, size, with_texts)
        if slots is None and not self._texts:
            slots = _slots(data, size, cuts, plain)
        if slots is None or slots.ends[-1] < size - REST:
            slots, self._texts = _slots(data, size, cuts, with_texts), True
        found = _proved(slots, cuts, memory, closing)
        self._texts = self._texts and found is not None and found.puts > 0
        return found


def _slots(data: Bytes, size: int, cuts: Places, table: Places) -> Slots:
    """Return the values from the first byte on."""
    widths = Widths(data, table, lengths_of_four=False)
    starts = distinct(np.sort(np.concatenate((guesses(widths, size), cuts[cuts < size]))))
    ends = np.append(starts[1:], size)
    count, _ = chained(starts, ends, lambda lanes: widths.cross(starts[lanes], ends[lanes]))
    starts = starts[:count]
    slots = Slots(data, table, widths, starts, np.append(starts[1:], size))
    slots.ends[-1] = slots.walked(count - 1, size)[0]
    return slots


def _proved(slots: Slots, cuts: Places, memory: Memory, closing: int) -> Stretch | None:
    """Return how far values may be in a stretch."""
    texts, end = slots.texts(int(slots.ends[-1]))
    end = slots.limit(cuts, memory, texts, end)
    texts = texts[: np.searchsorted(texts, end)]
    if not end or len(texts) > memory.most - memory.count:
        return None
    batch = _batch(slots, end, closing)
    starts = slots.starts[: np.searchsorted(slots.starts, end)]
    grid = np.searchsorted(starts, np.arange(0, end, APART))
    begins = starts[distinct(grid[grid < len(starts)])]
    return Stretch(
        end=end,
        last=_last(slots, len(starts) - 1, end),
        puts=len(texts),
        tuples=np.zeros(len(texts), np.bool_),
        starts=begins,
        counts=np.searchsorted(texts, begins).astype(np.int32),
        batch=batch,
        batch_count=int(np.searchsorted(texts, batch)),
    )


def _batch(slots: Slots, end: int, closing: int) -> int:
    """Return where the last batch begins, or -1."""
    if not closing:
        return -1
    data = slots.data
    found = places_of((data[: end - 1] == closing) & (data[1:end] == ord("(")))
    for some in found[-_LATE:], found[:-_LATE]:
        real = some[slots.real(some)]
        if len(real):
            return int(real[-1]) + 2
    return -1


def _last(slots: Slots, lane: int, end: int) -> bytes:
    """Return the last two opcodes before an end that lies in a lane; if it has but one, that of the lane before."""
    opcodes = slots.walked(lane, end)[1]
    if len(opcodes) < 2 and lane:
        opcodes = slots.walked(lane - 1, int(slots.starts[lane]))[1] + opcodes
    return opcodes[-2:]
