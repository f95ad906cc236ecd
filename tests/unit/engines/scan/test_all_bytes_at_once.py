"""What is found for all bytes of a piece at once is what walking finds: rows of far gets, of integers, and flags."""

import random
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from tests.unit.engines.scan.read_twice import SIZES, leap_as, leapt, read_alike
from tests.unit.engines.scan.test_strides import WORDS, both
from tests.unit.engines.scan.test_uneven_rows import MORE

from holdfast.engines.scan.pickles import numbers, slots, strides
from holdfast.engines.scan.pickles.boundaries import PADDING, places_of, without

SEED: Final = 20261128
TUPLE: Final = len(WORDS) + 1
"""The number of the only entry before the rows that is a tuple."""


def get(number: int) -> bytes:
    """A get of five bytes, whatever the number."""
    return b"j" + number.to_bytes(4, "little")


def number(rng: random.Random) -> bytes:
    """A number; its bytes often look like opcodes."""
    some = rng.choices(b"je(u\x86\x94]}KMJ\x00\x01", k=4)
    return rng.choice((b"K" + bytes(some[:1]), b"M" + bytes(some[:2]), b"J" + bytes(some[:3]) + b"\x00"))


def value(rng: random.Random, rare: float) -> bytes:
    """Mostly a far get; sometimes a near one, a new string, a number, the entry that is a tuple or one that is not."""
    if rng.random() >= rare:
        return get(rng.choice((rng.randrange(256, 400), rng.randrange(1, 400), 0x6A, 0x106)))
    strange = (get(TUPLE), get(rng.randrange(TUPLE + 1, 900)), b"J\x6a\x6a\x6a\x6a", b"G" + b"j" * 8)
    plain = (b"h\x05", b"h\xff", b"\x8c\x03new\x94", b"\x8c\x00\x94", b"N", number(rng))
    return rng.choice(plain if rng.random() < 0.9 else strange)


def _list(rng: random.Random, make: Callable[[], bytes]) -> bytes:
    count = rng.choice((0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 40))
    if count < 2:
        return b"]\x94" + (make() + b"a") * count
    return b"]\x94(" + b"".join(make() for _ in range(count)) + b"e"


Row = Callable[[random.Random, float], bytes]
ROWS: Final[dict[str, Row]] = {
    "lists of gets": lambda rng, rare: _list(rng, lambda: value(rng, rare)),
    "lists of integers": lambda rng, rare: _list(rng, lambda: value(rng, 1) if rng.random() < rare else number(rng)),
    "pairs": lambda rng, rare: value(rng, rare) + number(rng) + b"\x86\x94",
    "records": lambda rng, rare: (
        b"}\x94(h\x01" + number(rng) + b"h\x02" + value(rng, rare) + b"h\x03" + value(rng, rare) + b"u"
    ),
    "triples": lambda rng, rare: number(rng) + b"\x8c\x02ab\x94" + value(rng, rare) + b"\x87\x94",
}


def rows(kind: str, rng: random.Random, count: int, rare: float) -> bytes:
    """Rows in batches, behind the entries that they get; no frames."""
    head = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() + b"\x94" for word in WORDS) + b"K\x01K\x02\x86\x94"
    body = (ROWS[kind](rng, rare) + b"e(" * (each % 40 == 39) for each in range(count))
    return b"\x80\x04]\x94(" + head + b"".join(body) + b"e."


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize("rare", [0.0, 0.03, 0.3])
@pytest.mark.parametrize("kind", ROWS)
def test_splices_at_any_byte_of_rows_of_far_gets_change_nothing(
    kind: str, rare: float, monkeypatch: pytest.MonkeyPatch, effort: Any
) -> None:
    """Imports, gets, puts, ends and damage at each byte of some rows: as one by one, and as CPython imports."""
    rng = random.Random(f"{SEED} {kind} {rare}")  # noqa: S311 - a seed for tests
    for _ in range(effort(ci=1, record=10)):
        stream = rows(kind, rng, 260, rare)
        middle = len(stream) - 1500
        for number_, at in enumerate(range(middle, middle + 45)):
            leap_as([*SIZES][number_ % 3], monkeypatch)
            splice = MORE[rng.randrange(len(MORE))]
            both(stream[:at] + splice + stream[at + rng.choice((0, len(splice))) :], rng)


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize("kind", ROWS)
def test_rows_of_far_gets_that_are_cut_or_framed_are_read_alike(
    kind: str, monkeypatch: pytest.MonkeyPatch, effort: Any
) -> None:
    """The last bytes are missing, or frames begin anywhere: at opcodes and within arguments."""
    rng = random.Random(f"{SEED} {kind}")  # noqa: S311 - a seed for tests
    for _ in range(effort(ci=1, record=10)):
        stream = rows(kind, rng, 200, 0.02)
        for left in range(1, 25):
            leap_as([*SIZES][left % 3], monkeypatch)
            both(stream[:-left], rng)
        for number_ in range(24):
            leap_as([*SIZES][number_ % 3], monkeypatch)
            cut = rng.randrange(len(stream) - 900, len(stream) - 1)
            pieces = (stream[2:cut], stream[cut:])
            both(b"\x80\x04" + b"".join(b"\x95" + len(each).to_bytes(8, "little") + each for each in pieces), rng)


@pytest.mark.parametrize("kind", ROWS)
def test_leaps_are_taken_over_rows_of_far_gets(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the streams above are read with leaps at all."""
    leap_as("tiny", monkeypatch)
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    assert leapt(read_alike(rows(kind, rng, 900, 0.0), rng))


# -- the parts


def test_places_of_flags_are_those_that_numpy_finds() -> None:
    """However many there are, wherever the array begins and whatever its length is."""
    rng = np.random.default_rng(SEED)
    for _ in range(1500):
        flags = rng.random(int(rng.integers(0, 400))) < rng.choice((0.0, 0.01, 0.05, 0.12, 0.3, 0.95, 1.0))
        flags = flags[int(rng.integers(0, 4)) :]
        assert places_of(flags).tolist() == np.flatnonzero(flags).tolist()


@pytest.mark.parametrize("wrong", [[], [0], [3, 4, 99], [*range(0, 100, 3)], [*range(100)]])
def test_values_without_some_are_all_others(wrong: list[int]) -> None:
    """Few of them and many."""
    found = without(np.arange(100), np.array(wrong, np.int64))
    assert found.tolist() == [each for each in range(100) if each not in wrong]


def _whole(body: bytes, begin: int, end: int, table: Any) -> bool:
    while begin < end:
        width = int(table[body[begin] << 8 | body[begin + 1]])
        if not width:
            return False
        begin += width
    return begin == end


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.strides:all_gets")
def test_only_gets_one_behind_another_are_all_gets() -> None:
    """Between any two places of a stream: whether nothing else stands there, up to more than a hundred of them."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    body = b"".join(value(rng, 0.1) for _ in range(300)) + get(7) * 400 + value(rng, 1) + get(7) * 90
    begins = np.array([rng.randrange(len(body)) for _ in range(6000)])
    ends = np.minimum(begins + np.array([rng.randrange(-3, 60) * rng.choice((1, 5, 40)) for _ in begins]), len(body))
    found = strides.all_gets(np.frombuffer(body + bytes(PADDING), np.uint8), begins, ends)
    for begin, end, said in zip(begins.tolist(), ends.tolist(), found.tolist(), strict=True):
        there = end - begin > 0 and (end - begin) % 5 == 0 and set(body[begin:end:5]) == {ord("j")}
        assert said == (there and end - begin <= 5 * 255), (begin, end)
    assert np.count_nonzero(found) > 400


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.numbers:all_integers")
def test_only_integers_one_behind_another_are_all_integers() -> None:
    """Between any two places: what is said to be integers is what walking over numbers comes through, to the end."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    pieces = [number(rng) if rng.random() < 0.97 else rng.choice((b"e", b"]", b"j", b"N", b"G")) for _ in range(900)]
    body = b"".join(pieces)
    begins = np.array([rng.randrange(len(body)) for _ in range(3000)])
    ends = np.minimum(begins + np.array([rng.randrange(-3, 60) for _ in begins]), len(body))
    data = np.frombuffer(body + bytes(PADDING), np.uint8)
    table = slots.tables_of(0)[0]
    found = numbers.all_integers(data, begins, ends)
    for begin, end, said in zip(begins.tolist(), ends.tolist(), found.tolist(), strict=True):
        if said:
            assert end >= begin
            assert _whole(body + bytes(2), begin, end, table), (begin, end)
    assert numbers.all_integers(data, begins[:0], ends[:0]).tolist() == []
    closed = b"".join(b"KaM\x01\x02Jabcd" * (each % 9) + b"e" for each in range(200))
    ends = np.array([place for place in range(len(closed)) if closed[place : place + 2] in {b"eK", b"ee"}])
    begins = np.append(0, ends[:-1] + 1)
    assert np.all(numbers.all_integers(np.frombuffer(closed + bytes(PADDING), np.uint8), begins, ends))
