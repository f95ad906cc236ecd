"""Point-in-time joins: for each row that asks, what was known of its entity at its moment, exactly.

Of an entity's events those count that had happened by then and were known by then. Among them the newest one by event
time answers; of two at one time, the one that came to be known later; of two that did that at once, the later row.
Rows in are rows out, in their order.

The way: an event may be read from max(event time, knowledge time) on. In the order of these, a running maximum of the
rank by (event time, knowledge time, row) is the event that answers, and a binary search finds where each asking row
stands in it. Entity and time are sorted by as one number of 64 bits, of which the last bits of the time may be cut off:
what is alike in it is put in order by the whole. `tests/properties/test_point_in_time.py` compares it with looking at
every pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from holdfast.engines.events import CREATED, EVENT

Longs: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]

_GROUP: Final = "__group"
_WIDEST: Final = 1 << 32  # between the least and the greatest whole number of an entity that stands for itself
NOTHING: Final = -1  # the position of no event


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where each asking row's event is among the events, shape (n,), -1 where none is; how many were there."""

    position: Longs
    count: Longs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """How an entity's number and a time become one number of 64 bits, in whose order theirs is."""

    least: int  # the earliest time, in microseconds
    bits: int  # of the time that stay
    cut: int  # of the time, at its end

    def words(self, group: Words, time: Longs) -> Words:
        """Return the numbers, shape (n,); times are not before the earliest."""
        since = time.view(np.uint64) - np.uint64(self.least & _ALL)  # also where the difference needs all of 64 bits
        return (group << np.uint64(self.bits)) | (since >> np.uint64(self.cut))


_ALL: Final = (1 << 64) - 1


def find(
    events: pl.DataFrame, asks: pl.DataFrame, entity: Sequence[str], moment: str, *, strictly_before: bool = False
) -> Found:
    """Return which event answers each row, and how many of its entity were known by then.

    Args:
        events: With the entity's columns, `EVENT` and `CREATED` in microseconds.
        asks: With the entity's columns and the moment asked about, in microseconds; missing ones find nothing.
        entity: Names of the entity's columns, alike in both.
        moment: Name of the column of moments.
        strictly_before: Whether an event at the very moment does not count.
    """
    position, count = np.full(asks.height, NOTHING), np.zeros(asks.height, dtype=np.int64)
    if not events.height or not asks.height:
        return Found(position=position, count=count)
    group, asking, groups = _groups(events, asks, list(entity))
    happened, known = events.get_column(EVENT).to_numpy(), events.get_column(CREATED).to_numpy()
    since = np.maximum(happened + 1 if strictly_before else happened, known)
    least, last = int(happened.min()), int(since.max())
    width, wide = groups.bit_length(), (last - least).bit_length()
    cut = max(0, width + wide - 64)
    scale = _Scale(least=least, bits=wide - cut, cut=cut)

    rows = _ordered(scale.words(group, happened), (happened, known))  # rank to row; of ties the later row is last
    group, since = group[rows], since[rows]
    first = np.concatenate(([True], group[1:] != group[:-1]))
    best = np.arange(rows.size)
    if ((since[1:] < since[:-1]) & ~first[1:]).any():  # something came to be known out of turn
        ranks = _ordered(scale.words(group, since), (since,))
        since = since[ranks]
        best = np.maximum.accumulate(ranks)  # ranks rise from entity to entity: one running maximum serves all of them
    begins = np.maximum.accumulate(np.where(first, np.arange(rows.size), 0))

    moments = asks.get_column(moment)
    when = moments.fill_null(least).to_numpy().astype(np.int64)
    able = np.flatnonzero((asking < groups) & moments.is_not_null().to_numpy() & (when >= least))
    when = np.minimum(when[able], last)
    words = scale.words(asking[able], when)
    near = np.argsort(words)  # neighbours are found in neighbouring places
    able, when, words = able[near], when[near], words[near]
    at = _last_not_after(scale.words(group, since), since, words, when)
    hit = at >= 0
    hit[hit] = group[at[hit]] == asking[able[hit]]
    able, at = able[hit], at[hit]
    position[able] = rows[best[at]]
    count[able] = at - begins[at] + 1
    return Found(position=position, count=count)


def _groups(events: pl.DataFrame, asks: pl.DataFrame, keys: list[str]) -> tuple[Words, Words, int]:
    """Return a number of each event's and each asking row's entity, shapes (n,) and (m,), and how many there are.

    Rows that lack a part of their entity, and entities that no event is of, have no event to find: an asking one has
    the number after the last.
    """
    if len(keys) == 1 and events.schema[keys[0]].is_integer() and not events.get_column(keys[0]).null_count():
        named, asked = events.get_column(keys[0]), asks.get_column(keys[0])
        least, last = named.min(), named.max()
        if isinstance(least, int) and isinstance(last, int) and last - least < _WIDEST:
            within = asked.is_between(least, last).fill_null(value=False).to_numpy()
            numbers = asked.fill_null(least).to_numpy().astype(np.int64)
            mine = (named.to_numpy().astype(np.int64) - least).view(np.uint64)
            return mine, np.where(within, numbers - least, last - least + 1).astype(np.uint64), last - least + 1
    entities = events.select(keys).unique().drop_nulls().with_row_index(_GROUP)
    found = [
        frame.select(keys).join(entities, on=keys, how="left", maintain_order="left").get_column(_GROUP)
        for frame in (events, asks)
    ]
    mine, theirs = (each.fill_null(entities.height).to_numpy().astype(np.uint64) for each in found)
    return mine, theirs, entities.height


def _ordered(words: Words, whole: Sequence[Longs]) -> Longs:
    """Return the order of words, and where they are alike that of the whole numbers, then of rows; shape (n,)."""
    order = np.argsort(words)
    alike = words[order[1:]] == words[order[:-1]]
    if alike.any():
        places = np.flatnonzero(np.concatenate(([False], alike)) | np.concatenate((alike, [False])))
        rows = order[places]
        order[places] = rows[np.lexsort((rows, *(each[rows] for each in reversed(whole)), words[rows]))]
    return order


def _last_not_after(words: Words, times: Longs, asked: Words, when: Longs) -> Longs:
    """Return where the last of the ordered times of an entity is that is not after a moment; before it all, shape (m,).

    Args:
        words: Of entities and times, in order, shape (n,).
        times: The same times whole, shape (n,).
        asked: Words of what is asked, shape (m,).
        when: The same moments whole, shape (m,).
    """
    high = np.searchsorted(words, asked, side="right")
    low = np.searchsorted(words, asked, side="left")  # what lies between differs in bits that were cut off
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) // 2
        later = times[middle] > when[open_]
        high[open_] = np.where(later, middle, high[open_])
        low[open_] = np.where(later, low[open_], middle + 1)
    return low - 1


def taken(column: pl.Series, position: NDArray[np.int64], alive: NDArray[np.bool_]) -> pl.Series:
    """Return a column's values at positions, missing where there is none or it is no longer alive."""
    index = pl.Series(np.where(alive & (position >= 0), position, 0)).set(pl.Series(~alive | (position < 0)), None)
    return column.gather(index)
