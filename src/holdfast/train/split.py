"""Splits: which rows are learned from, tuned on, and kept sealed for the one honest answer at the end.

Decided by a hash of seed and id, so that the order of the table does not matter; stratified by class; an entity (all
rows of one id) is on one side only. Rows of different entities can still be alike: `repeated_rows` says which.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidData

KEY_BYTES: Final = (
    8  # of the hash that orders entities: among a million, two share one with chance 3e-8, and then the id decides
)


class Side(IntEnum):
    """Where a row goes."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What part of each class's rows is tested and tuned on; the rest is learned from."""

    test: float
    validation: float


def assign(ids: Sequence[str], labels: NDArray[np.int64], shares: Shares, seed: int) -> NDArray[np.int8]:
    """Return each row's `Side`, shape (n,).

    Entities of a class are put in the order of their hash and cut where the shares say, counted in rows: an entity goes
    where the middle of its rows falls. An entity whose rows have several classes counts to its most frequent one.

    Args:
        ids: Each row's entity, n of them.
        labels: Each row's class index, shape (n,).
        shares: Parts of the rows, each above 0, together below 1.
        seed: Another seed, another split.

    Raises:
        InvalidData: Some class has too few entities to be on every side.
    """
    names, entity = np.unique(np.asarray(ids, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(entity, minlength=names.size)
    classes = _class_of_each(entity, labels, names.size)
    keys = np.array([_key(seed, str(name)) for name in names])
    side_of = np.empty(names.size, dtype=np.int8)
    for label in np.unique(labels):
        members = np.flatnonzero(classes == label)
        members = members[np.argsort(keys[members], kind="stable")]
        sides = _cut(sizes[members], shares)
        if set(sides.tolist()) != {int(side) for side in Side}:
            raise InvalidData(
                f"class {int(label)} has {members.size} entities: too few for three sides",
                place="[train] test_share and validation_share",
                expected="enough rows of each class for train, validation and test",
                remedy="Bring more rows of this class, or larger shares.",
            )
        side_of[members] = sides
    return side_of[entity]


def _key(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:KEY_BYTES]


def _class_of_each(entity: NDArray[np.intp], labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return each entity's most frequent class, the lowest of equals; shape (count,)."""
    classes = np.unique(labels)
    votes = np.zeros((count, classes.size), dtype=np.int64)
    np.add.at(votes, (entity, np.searchsorted(classes, labels)), 1)
    return np.asarray(classes[votes.argmax(axis=1)], dtype=np.int64)


def _cut(sizes: NDArray[np.int64], shares: Shares) -> NDArray[np.int8]:
    """Return the sides of ordered entities of these sizes: test first, then validation, then train."""
    total = sizes.sum()
    middle = np.cumsum(sizes) - sizes / 2
    sides = np.full(sizes.size, Side.TRAIN, dtype=np.int8)
    sides[middle < (shares.test + shares.validation) * total] = Side.VALIDATION
    sides[middle < shares.test * total] = Side.TEST
    return sides


def repeated_rows(sealed: NDArray[np.float32], seen: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return which sealed rows, shape (n, d), equal a row seen, shape (m, d); a missing value equals another."""
    known = {row.tobytes() for row in comparable(seen)}
    return np.flatnonzero([row.tobytes() in known for row in comparable(sealed)])


def comparable(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows whose bytes are equal where their values are: one zero, one NaN."""
    return np.where(np.isnan(rows), np.float32(np.nan), rows + np.float32(0))
