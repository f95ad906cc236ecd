"""Which rows a model learned from, was tuned on, and was tested on: keyed commitments and Roaring bitmaps.

Decides how a row is found again without its name being kept: its key's keyed hash (BLAKE2b under a salt of the table's
own) is looked up among sorted ones, and its place there is one bit in a bitmap for each side of a split. Leaves to
the caller where salt and bitmaps lie: whoever has both can try names.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from holdfast.core.errors import NotVerified

SIDES: Final = ("train", "validation", "test")
SALT_BYTES: Final = 32
HASH_BYTES: Final = 8  # a foreign key is taken for one of a million with chance 5e-14; two of a million agree with 3e-8
MAX_ROWS: Final = 1 << 32  # a bitmap's places are 32 bits wide


class _Roster(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    salt: bytes
    hashes: bytes  # little-endian uint64, ascending


class _Sides(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    roster: str
    sides: dict[str, bytes]  # Roaring's portable format


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The rows of a table of features by keyed hash; a row is known by its place among them."""

    salt: bytes
    hashes: NDArray[np.uint64]

    @property
    def document(self) -> bytes:
        """The bytes that are stored, sealed."""
        return msgspec.msgpack.encode(_Roster(salt=self.salt, hashes=self.hashes.astype("<u8").tobytes()))

    def place(self, key: str) -> int | None:
        """Return a row's place, or None where the table has no such row."""
        wanted = np.uint64(_hash(self.salt, key))
        at = int(np.searchsorted(self.hashes, wanted))
        return at if at < self.hashes.size and self.hashes[at] == wanted else None

    def places(self, keys: Iterable[str]) -> NDArray[np.uint32]:
        """Return the places of those rows that the table has, one of each key that is in it."""
        wanted = np.fromiter((_hash(self.salt, key) for key in keys), dtype=np.uint64)
        at = np.searchsorted(self.hashes, wanted)
        there = at < self.hashes.size
        there[there] = self.hashes[at[there]] == wanted[there]
        return at[there].astype(np.uint32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The rows of each side of a split, by their places on a roster."""

    roster: str  # digest of the roster's document
    sides: Mapping[str, BitMap]

    @property
    def document(self) -> bytes:
        """The bytes that are stored, sealed."""
        sides = {name: self.sides[name].serialize() for name in SIDES}
        return msgspec.msgpack.encode(_Sides(roster=self.roster, sides=sides))


def roster_of(keys: Iterable[str], salt: bytes) -> Roster:
    """Return the roster of a table's rows.

    Raises:
        NotVerified: Two keys have one hash under this salt; another salt has not.
    """
    names = set(keys)
    hashes = np.unique(np.fromiter((_hash(salt, key) for key in names), dtype=np.uint64, count=len(names)))
    if hashes.size != len(names):
        raise NotVerified("two rows have one hash under this salt", remedy="Take another salt.")
    return Roster(salt=salt, hashes=hashes)


def split_of(roster: Roster, named: str, sides: Mapping[str, Sequence[str]]) -> Split:
    """Return a split's bitmaps; `named` is the digest of the roster's document."""
    return Split(roster=named, sides={name: _bitmap(roster.places(sides[name])) for name in SIDES})


def _bitmap(places: NDArray[np.uint32]) -> BitMap:
    found = BitMap(places)
    found.run_optimize()
    return found


def parse_roster(document: bytes) -> Roster:
    """Return the roster that a document holds.

    Raises:
        NotVerified: It holds none.
    """
    try:
        read = msgspec.msgpack.decode(document, type=_Roster)
        hashes = np.frombuffer(read.hashes, dtype="<u8")
    except (msgspec.MsgspecError, ValueError) as error:
        raise NotVerified(f"this is not an index of rows: {error}") from error
    if hashes.size and not bool(np.all(hashes[1:] > hashes[:-1])):
        raise NotVerified("the index of rows is not in order")
    return Roster(salt=read.salt, hashes=hashes)


def parse_split(document: bytes) -> Split:
    """Return the bitmaps that a document holds.

    Raises:
        NotVerified: It holds none.
    """
    try:
        read = msgspec.msgpack.decode(document, type=_Sides)
        sides = {name: BitMap.deserialize(read.sides[name]) for name in SIDES}
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise NotVerified(f"these are not the sides of a split: {error}") from error
    return Split(roster=read.roster, sides=sides)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowIndex:
    """Every split that is on record, in memory: what questions about rows are answered from."""

    rosters: Mapping[str, Roster]
    splits: Mapping[str, Split]  # by digest of the SPLIT

    def sides_of(self, key: str) -> Iterator[tuple[str, str]]:
        """Yield each split that has a row, and on which side."""
        at = {name: roster.place(key) for name, roster in self.rosters.items()}
        for name, split in self.splits.items():
            place = at[split.roster]
            if place is None:
                continue
            for side, rows in split.sides.items():
                if place in rows:
                    yield name, side
                    break

    def touched(self, keys: Sequence[str]) -> dict[str, dict[str, int]]:
        """Return how many of some rows each split has, by side; splits that have none are left out."""
        wanted = {name: BitMap(roster.places(keys)) for name, roster in self.rosters.items()}
        found = {}
        for name, split in self.splits.items():
            rows = wanted[split.roster]
            if rows:
                found[name] = {side: rows.intersection_cardinality(held) for side, held in split.sides.items()}
        return found

    def known(self, keys: Sequence[str]) -> int:
        """Return how many of some rows any table on record has."""
        return sum(any(roster.place(key) is not None for roster in self.rosters.values()) for key in keys)


def _hash(salt: bytes, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), key=salt, digest_size=HASH_BYTES).digest(), "little")
