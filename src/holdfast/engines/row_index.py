"""Which rows a model learned from, was tuned on, and was tested on: keyed commitments and Roaring bitmaps.

Decides how a row is found again without its name being kept: its key's keyed hash (BLAKE2b under a salt of the table's
own) is looked up among sorted ones, and its place there is one bit in a bitmap for each side of a split. Leaves to
the caller where salt and bitmaps lie: whoever has both can try names.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from holdfast.core.errors import NotVerified

SIDES: Final = ("train", "validation", "test")
SALT_BYTES: Final = 32
HASH_BYTES: Final = 8  # a foreign key is taken for one of a million with chance 5e-14; two of a million agree with 3e-8
MAX_ROWS: Final = 1 << 32  # a bitmap's places are 32 bits wide
_BYTE: Final = 8  # bits
_WORD: Final = 8  # bytes
_LINE: Final = 32  # splits whose bits lie together, two of each to a word
_CONTAINER: Final = 1 << 16  # places of one container of a Roaring bitmap
_FEW: Final = 4096  # values that a container lists at most; of more it has bits
_WITH_RUNS: Final = 12347  # the cookie of a bitmap in which some container lists runs
_OFFSETS: Final = 4  # containers from which on offsets are stored beside runs
_ONE_OF_EACH: Final = 0x0101_0101_0101_0101  # the lowest bit of each byte of a word
_TOGETHER: Final = 1 << 14  # rows counted at once: of 1,000 splits 4 MB are fetched for them

_Planes: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]


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
        at, there = self._looked_up(keys)
        return at[there].astype(np.uint32)

    def has(self, keys: Iterable[str]) -> NDArray[np.bool_]:
        """Say of each key whether the table has such a row."""
        return self._looked_up(keys)[1]

    def _looked_up(self, keys: Iterable[str]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        wanted = np.frombuffer(b"".join(_digest(self.salt, key) for key in keys), dtype="<u8")
        at = np.searchsorted(self.hashes, wanted)
        there = at < self.hashes.size
        there[there] = self.hashes[at[there]] == wanted[there]
        return at, there


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
class Lines:
    """The sides of 32 splits of one roster, two bits for each row and split: what all say of a row lies together.

    Attributes:
        roster: Digest of the roster's document.
        splits: Their places in the order of the index, the first in the lowest bit.
        words: Of each row, shape (rows,). The lower half of a word has a bit for each split that has the row on its
            train or test side, the upper half one for each that has it on its validation or test side.
    """

    roster: str
    splits: tuple[int, ...]
    words: NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowIndex:
    """Every split that is on record, in memory: what questions about rows are answered from.

    A split lies in lines where they are not larger than its bitmaps, as those of a split that was drawn at random
    are: a row is then one word for 32 splits, where bitmaps have it in 96 places. Others stay bitmaps, which are small,
    and so do the last of a roster, up to 31. So the index takes at most what the bitmaps would.
    """

    rosters: Mapping[str, Roster]
    order: tuple[str, ...]  # every split by the digest of the SPLIT
    lines: Mapping[str, Sequence[Lines]]  # by roster
    bitmaps: Mapping[int, Split]  # by their place in the order

    def sides_of(self, key: str) -> Iterator[tuple[str, str]]:
        """Yield each split that has a row, and on which side."""
        at = {name: roster.place(key) for name, roster in self.rosters.items()}
        found = dict[int, str]()
        for roster, several in self.lines.items():
            place = at[roster]
            if place is None:
                continue
            for lines in several:
                word = int(lines.words[place])
                for bit, split in enumerate(lines.splits):
                    side = (word >> bit & 1) + 2 * (word >> _LINE + bit & 1)
                    if side:
                        found[split] = SIDES[side - 1]
        for number, held in self.bitmaps.items():
            place = at[held.roster]
            on = [side for side in SIDES if place is not None and place in held.sides[side]]
            if on:
                found[number] = on[0]
        return ((self.order[each], found[each]) for each in sorted(found))

    def touched(self, keys: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
        """Return how many of some rows each split has on each side: splits, and counts of shape (splits, 3).

        Splits of tables that have none of the rows are left out.
        """
        places = {name: np.unique(roster.places(keys)) for name, roster in self.rosters.items()}
        counts = np.zeros((len(self.order), len(SIDES)), dtype=np.int64)
        asked = np.zeros(len(self.order), dtype=np.bool_)
        for roster, several in self.lines.items():
            if places[roster].size:
                splits = [split for lines in several for split in lines.splits]
                counts[splits], asked[splits] = _counts(several, places[roster]), True
        wanted = {name: BitMap(places[name]) for name in {split.roster for split in self.bitmaps.values()}}
        for number, held in self.bitmaps.items():
            rows = wanted[held.roster]
            if rows:
                counts[number] = [rows.intersection_cardinality(held.sides[side]) for side in SIDES]
                asked[number] = True
        return [self.order[each] for each in np.flatnonzero(asked)], counts[asked]

    def known(self, keys: Sequence[str]) -> int:
        """Return how many of some rows any table on record has."""
        there = np.zeros(len(keys), dtype=np.bool_)
        for roster in self.rosters.values():
            there |= roster.has(keys)
        return int(there.sum())


def row_index(rosters: Mapping[str, Roster], splits: Iterable[tuple[str, Split]]) -> RowIndex:
    """Return the index of splits that come one after the other; bitmaps that go into lines are let go meanwhile.

    Args:
        rosters: By digest; a split's is there when the split comes.
        splits: Each with the digest of the SPLIT, once.
    """
    order, lines = list[str](), dict[str, list[Lines]]()
    bitmaps, waiting = dict[int, Split](), dict[str, dict[int, _Planes]]()
    for number, (name, split) in enumerate(splits):
        order.append(name)
        bitmaps[number] = split
        planes = _planes(split, rosters[split.roster].hashes.size)
        if planes is None:
            continue
        together = waiting.setdefault(split.roster, {})
        together[number] = planes
        if len(together) == _LINE:
            lines.setdefault(split.roster, []).append(_lines(split.roster, together, rosters[split.roster].hashes.size))
            for each in together:
                del bitmaps[each]
            together.clear()
    return RowIndex(rosters=rosters, order=tuple(order), lines=lines, bitmaps=bitmaps)


def _planes(split: Split, rows: int) -> _Planes | None:
    """Return a split's two bits a row, packed, or None where bitmaps are smaller, or a row is on two sides."""
    documents = [split.sides[name].serialize() for name in SIDES]
    outside = any(held and held.max() >= rows for held in split.sides.values())
    if sum(map(len, documents)) * _BYTE < 2 * rows or outside:
        return None
    train, validation, test = (_packed(document, rows) for document in documents)
    if np.any(train & validation) or np.any((train | validation) & test):
        return None
    return train | test, validation | test


def _packed(document: bytes, rows: int) -> NDArray[np.uint8]:
    """Return a bitmap as plain bits, the first row in the lowest bit, shape (rows / 8, rounded up).

    Roaring's portable format (github.com/RoaringBitmap/RoaringFormatSpec): a cookie and how many containers, and where
    any has runs, which; of each its upper 16 bits and how many values it has, less one; where none has runs, or
    there are four and more, their offsets; then one after the other. The bitmap was just written by the library, so
    that nothing is checked again.
    """
    bits = np.zeros((-(-rows // _CONTAINER), _CONTAINER // _BYTE), dtype=np.uint8)
    cookie, at, runs = int.from_bytes(document[:2], "little"), 8, 0
    count = int.from_bytes(document[4:8], "little")
    if cookie == _WITH_RUNS:
        count = int.from_bytes(document[2:4], "little") + 1
        at = 4 + -(-count // _BYTE)
        runs = int.from_bytes(document[4:at], "little")
    heads = np.frombuffer(document, dtype="<u2", count=2 * count, offset=at).reshape(-1, 2).tolist()
    at += 4 * count if runs and count < _OFFSETS else 8 * count
    for number, (upper, less) in enumerate(heads):
        if runs >> number & 1:
            pairs = np.frombuffer(document, dtype="<u2", count=1, offset=at)[0]
            first, more = np.frombuffer(document, dtype="<u2", count=2 * pairs, offset=at + 2).reshape(-1, 2).T
            steps = np.zeros(_CONTAINER + 1, dtype=np.int8)
            steps[first] = 1
            steps[first.astype(np.intp) + more + 1] = -1  # runs do not touch: no place begins one and ends another
            bits[upper] = np.packbits(steps.cumsum(dtype=np.int8)[:-1].view(np.uint8), bitorder="little")
            at += 2 + 4 * int(pairs)
        elif less < _FEW:
            values = np.zeros(_CONTAINER, dtype=np.uint8)
            values[np.frombuffer(document, dtype="<u2", count=less + 1, offset=at)] = 1
            bits[upper] = np.packbits(values, bitorder="little")
            at += 2 * (less + 1)
        else:
            bits[upper] = np.frombuffer(document, dtype=np.uint8, count=_CONTAINER // _BYTE, offset=at)
            at += _CONTAINER // _BYTE
    return bits.reshape(-1)[: -(-rows // _BYTE)]


def _lines(roster: str, together: Mapping[int, _Planes], rows: int) -> Lines:
    words = np.zeros((rows, _WORD), dtype=np.uint8)
    planes = [low for low, _ in together.values()] + [high for _, high in together.values()]
    for byte in range(_WORD):
        line = np.zeros(rows, dtype=np.uint8)
        for bit, plane in enumerate(planes[byte * _BYTE : (byte + 1) * _BYTE]):
            ones = np.unpackbits(plane, count=rows, bitorder="little")
            line |= np.multiply(ones, np.uint8(1 << bit), out=ones)  # a shift, which numpy does twelve times slower
        words[:, byte] = line
    return Lines(roster=roster, splits=tuple(together), words=words.reshape(-1).view("<u8"))


def _counts(several: Sequence[Lines], places: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return how many of some rows each split has on each side, shape (splits, 3).

    The words of the rows are fetched and turned, so that bytes of the same splits lie side by side, a row each. One
    bit of each of eight bytes is counted at once.
    """
    counts = np.zeros((len(several) * _WORD // 2, _BYTE, len(SIDES)), dtype=np.int64)
    for start in range(0, places.size, _TOGETHER):
        at = places[start : start + _TOGETHER].astype(np.intp)
        fetched = np.zeros((len(several), -(-at.size // _WORD) * _WORD), dtype="<u8")
        for number, lines in enumerate(several):
            fetched[number, : at.size] = lines.words[at]
        turned = fetched.view(np.uint8).reshape(*fetched.shape, _WORD).transpose(0, 2, 1).copy().view(np.uint64)
        low, high = (half.reshape(len(counts), -1) for half in (turned[:, : _WORD // 2], turned[:, _WORD // 2 :]))
        for side, words in enumerate((low & ~high, high & ~low, low & high)):
            for bit in range(_BYTE):
                ones = np.bitwise_count(words & np.uint64(_ONE_OF_EACH << bit))
                counts[:, bit, side] += ones.sum(axis=1, dtype=np.int64)
    return counts.reshape(-1, len(SIDES))


def _digest(salt: bytes, key: str) -> bytes:
    return hashlib.blake2b(key.encode(), key=salt, digest_size=HASH_BYTES).digest()


def _hash(salt: bytes, key: str) -> int:
    return int.from_bytes(_digest(salt, key), "little")
