"""Check digits of many numbers at once: what a column of national ids must meet before each value is checked by itself.

Necessary conditions only: a kind of number that most values of a column do not meet is refuted here for microseconds;
what is left `python-stdnum` decides. Digits come as a matrix, one number a row.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

Digits: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


def _weighted(*weights: int, modulus: int = 11) -> Callable[[Digits], Mask]:
    """Return the check that a weighted sum of digits is divisible."""

    def check(digits: Digits) -> Mask:
        return np.asarray((digits @ np.array(weights)) % modulus == 0)

    return check


def _luhn(digits: Digits) -> Mask:
    doubled = digits[:, -2::-2] * 2
    total = digits[:, -1::-2].sum(axis=1) + np.where(doubled > 9, doubled - 9, doubled).sum(axis=1)
    return np.asarray(total % 10 == 0)


def _cpf(digits: Digits) -> Mask:
    first = (digits[:, :9] @ np.arange(10, 1, -1)) * 10 % 11 % 10
    return np.asarray(first == digits[:, 9])


def _belgian(digits: Digits) -> Mask:
    number, check = digits[:, :9] @ 10 ** np.arange(8, -1, -1), digits[:, 9] * 10 + digits[:, 10]
    return np.asarray((97 - number % 97 == check) | (97 - (number + 2 * 10**9) % 97 == check))


def _mod_11_10(digits: Digits) -> Mask:
    """ISO 7064 MOD 11,10."""
    product = np.full(len(digits), 10)
    for place in range(digits.shape[1] - 1):
        total = (digits[:, place] + product) % 10
        product = np.where(total == 0, 10, total) * 2 % 11
    return np.asarray((digits[:, -1] + product) % 10 == 1)


def _turkish(digits: Digits) -> Mask:
    return np.asarray(digits[:, :10].sum(axis=1) % 10 == digits[:, 10])


def _ukrainian(digits: Digits) -> Mask:
    total = digits[:, :9] @ np.array([-1, 5, 7, 9, 4, 6, 10, 5, 7])
    return np.asarray(total % 11 % 10 == digits[:, 9])


def _portuguese(digits: Digits) -> Mask:
    total = digits[:, :8] @ np.arange(9, 1, -1)
    return np.asarray((11 - total % 11) % 11 % 10 == digits[:, 8])


SUMS: Final[dict[str, tuple[int, Callable[[Digits], Mask]]]] = {
    "nl.bsn": (9, _weighted(9, 8, 7, 6, 5, 4, 3, 2, -1)),
    "au.tfn": (9, _weighted(1, 4, 3, 7, 5, 8, 6, 9, 10)),
    "gb.nhs": (10, _weighted(10, 9, 8, 7, 6, 5, 4, 3, 2, 1)),
    "ua.rntrc": (10, _ukrainian),
    "pt.nif": (9, _portuguese),
    "il.idnr": (9, _luhn),
    "ca.sin": (9, _luhn),
    "br.cpf": (11, _cpf),
    "be.nn": (11, _belgian),
    "hr.oib": (11, _mod_11_10),
    "de.idnr": (11, _mod_11_10),
    "tr.tckimlik": (11, _turkish),
}
"""For the kinds whose values have no shape beyond their length: how many digits, and what they must meet."""


def could_meet(module: str, texts: pl.Series) -> pl.Series | None:
    """Return which bare numbers may be of a kind, or None where nothing is known of it, or they are not bare."""
    length, check = SUMS.get(module, (0, _luhn))
    if not length or not texts.str.contains(rf"^[0-9]{{{length}}}$").all():
        return None
    joined = "".join(texts.to_list()).encode()
    digits = np.frombuffer(joined, dtype=np.uint8).reshape(-1, length).astype(np.int64) - ord("0")
    return pl.Series(check(digits))
