"""How many different things were seen by several observers, from a few numbers that they share.

Flajolet, Fusy, Gandouet and Meunier, HyperLogLog, AofA 2007, with 120 registers of five bits, ten in each of twelve
numbers that a float64 holds exactly: the estimate has a standard error of 9.5 %. Where registers are still empty they
are counted instead (Whang, Vander-Zanden and Taylor, ACM TODS 15, 1990). Things are known by 64 bits of a keyed hash,
so that who does not know the key cannot choose things that count for nothing.
"""

import math
from collections.abc import Sequence
from typing import Final

REGISTERS: Final = 120
EACH: Final = 10  # registers in one number
NUMBERS: Final = REGISTERS // EACH
BITS: Final = 5
MOST_RANK: Final = (1 << BITS) - 1
_ALPHA: Final = 0.7213 / (1 + 1.079 / REGISTERS)
_COUNTED: Final = 2.5 * REGISTERS  # below it, empty registers say more


def place_of(hashed: int) -> tuple[int, int]:
    """Return the register of a thing, and the rank that it raises it to: one more than the zeros its bits begin with.

    Args:
        hashed: 64 bits of a keyed hash.

    >>> place_of(121 << 32 | 1 << 31), place_of(1)
    ((1, 1), (0, 31))
    """
    low = hashed & 0xFFFF_FFFF
    return (hashed >> 32) % REGISTERS, min(33 - low.bit_length(), MOST_RANK)


def raised(number: float, at: int, rank: int) -> float:
    """Return a number whose register `at`, 0 to 9, is at least `rank`.

    >>> raised(0.0, 1, 3), raised(96.0, 1, 2)
    (96.0, 96.0)
    """
    whole, shift = int(number), BITS * at
    if whole >> shift & MOST_RANK >= rank:
        return number
    return float(whole & ~(MOST_RANK << shift) | rank << shift)


def merged(one: float, other: float) -> float:
    """Return a number whose registers are each the higher of two.

    >>> merged(96.0, 2.0), merged(96.0, 64.0)
    (98.0, 96.0)
    """
    found, whole = one, int(other)
    for at in range(EACH):
        found = raised(found, at, whole >> BITS * at & MOST_RANK)
    return found


def estimate(numbers: Sequence[float]) -> float:
    """Return about how many different things have raised the registers in these numbers.

    >>> estimate([0.0] * NUMBERS), round(estimate([1.0] + [0.0] * (NUMBERS - 1)), 2)
    (0.0, 1.0)
    """
    ranks = [int(number) >> BITS * at & MOST_RANK for number in numbers for at in range(EACH)]
    found = _ALPHA * len(ranks) ** 2 / sum(2.0**-rank for rank in ranks)
    empty = ranks.count(0)
    return len(ranks) * math.log(len(ranks) / empty) if empty and found <= _COUNTED else found
