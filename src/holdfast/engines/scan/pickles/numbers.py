"""Long runs of numbers of mixed widths, None and booleans: proved without writing down where each of them begins.

As in `boundaries`, lanes guess and walk, and only those that begin exactly where the one before ended count. All that
is met has to be a number or a constant, or the end of a batch and the beginning of the next, so nothing else needs to
be known about the opcodes in between: they push values, need none, and remember nothing.
"""

from typing import Final

import numpy as np

from holdfast.engines.scan.pickles.boundaries import (
    WIDTHS,
    Bytes,
    Flags,
    Places,
    Widths,
    chained,
    flatnonzero,
    guesses,
    places_of,
)
from holdfast.engines.scan.pickles.stretches import Stretch

_INTEGERS: Final = b"KMJ"
_LOOK: Final = 3  # steps of two integers between two looks whether all lanes are through
_FEW: Final = 4  # if one lane in so many is not through, the others go on with it
_FIXED: Final = b"KMJGN\x88\x89"
_LONG: Final = 0x8A


def table_of(closing: int) -> Places:
    """Return the bytes of each number by its first two bytes, and of `closing` with the mark behind it."""
    table = np.zeros((256, 256), np.int64)  # first byte, second byte
    for opcode in _FIXED:
        table[opcode] = WIDTHS[opcode]
    table[_LONG] = 2 + np.arange(256)
    if closing:
        table[closing, ord("(")] = 2
    return table.reshape(-1)


_TABLES: Final = {closing: table_of(closing) for closing in (0, ord("e"), ord("u"))}


def prove(data: Bytes, size: int, cuts: Places, closing: int) -> Stretch | None:
    """Return the stretch of numbers from the first byte on, or nothing; as `stretches.prove`, but for the memo."""
    table = _TABLES[closing]
    widths = Widths(data, table, lengths_of_four=False)
    starts = guesses(widths, size)
    ends = np.append(starts[1:], size)
    count, _ = chained(starts, ends, lambda lanes: widths.cross(starts[lanes], ends[lanes]))
    end, last = one_by_one(data, int(starts[count - 1]), size, table)
    if not last:
        return None

    def begins(places: Places) -> Places:
        """Return those of some places before the end at which an opcode begins."""
        lanes = np.searchsorted(starts[:count], places, "right") - 1
        real: Flags = widths.cross(starts[lanes], places) == places
        return places[real]

    inner = cuts[cuts < end]
    parting = places_of((data[: end - 1] == closing) & (data[1:end] == ord("("))) if closing else inner[:0]
    real = begins(np.concatenate((inner, parting)))
    if not np.array_equal(real[: len(inner)], inner):
        return None  # an argument goes on behind its frame
    batches = real[len(inner) :]
    return Stretch(
        end=end,
        last=last,
        puts=0,
        tuples=np.zeros(0, np.bool_),
        starts=np.zeros(1, np.int64),
        counts=np.zeros(1, np.int32),
        batch=int(batches[-1]) + 2 if len(batches) else -1,
        batch_count=0,
    )


def all_integers(data: Bytes, begins: Places, ends: Places) -> Flags:
    """Return between which places stand integers of up to four bytes, one behind another, and nothing else.

    How many bytes two of them take is found for all bytes at once, so each step of a lane is one look-up. What stands
    at an end may be anything but such an integer, or no lane stops there.
    """
    one, room = np.zeros(len(data), np.uint8), np.empty(len(data), np.uint8)
    kinds = [(np.equal(data, opcode).view(np.uint8), WIDTHS[opcode]) for opcode in _INTEGERS]
    for kind, width in kinds:
        one += np.multiply(kind, np.uint8(width), out=room)
    two = one.copy()
    for kind, width in kinds:
        np.multiply(kind[:-width], one[width:], out=room[:-width])
        np.add(two[:-width], room[:-width], out=two[:-width])
    found, lanes, here, bounds = begins.copy(), np.arange(len(begins)), begins.copy(), ends
    while True:
        for _ in range(_LOOK):
            here += two.take(here, mode="clip")
        going = here < bounds
        going &= one.take(here, mode="clip") > 0
        left = np.count_nonzero(going)
        if not left or left * _FEW < len(going):
            found[lanes] = here
            if not left:
                return np.equal(found, ends)
            on = flatnonzero(going)
            lanes, here, bounds = lanes.take(on), here.take(on), bounds.take(on)


def one_by_one(data: Bytes, at: int, size: int, table: Places) -> tuple[int, bytes]:
    """Return where numbers from a place on end, and the last two opcodes."""
    last = b""
    while at < size:
        width = int(table[int(data[at]) << 8 | int(data[at + 1])])
        if not width or at + width > size:
            break
        last = last[-1:] + data[at : at + 1].tobytes()
        at += width
    return at, last
