"""Numbers of mixed widths, and rows whose values change their kind, are read as one by one, whatever is spliced in."""

import pickle
import pickletools
import random
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pytest
from tests.unit.engines.scan import long_streams
from tests.unit.engines.scan.read_twice import SIZES, leap_as, read, read_alike
from tests.unit.engines.scan.test_rows import SPLICES

from holdfast.engines.scan.pickles import leaps, lists, mixed, numbers, shapes
from holdfast.engines.scan.pickles.boundaries import PADDING
from holdfast.engines.scan.pickles.memo import Memo
from holdfast.engines.scan.pickles.rows import Rows
from holdfast.engines.scan.pickles.stretches import Memory, Stretch

SEED: Final = 20261129
SHARED: Final = [f"shared {number:03d}" + "x" * (number % 19) for number in range(90)]
Row = Callable[[random.Random, int], Any]
NUMBERS: Final[dict[str, Row]] = {
    "integers": lambda rng, _: rng.randrange(-9, 2 ** rng.choice((8, 16, 31, 31, 40, 70))),
    "anything": lambda rng, _: rng.choice((None, True, False, rng.random(), 7, 300, -1, 10**12)),
}
LOOSE: Final[dict[str, Row]] = {
    "shared": lambda rng, number: {"id": number, "of": rng.choice(SHARED), "at": rng.choice(SHARED)},
    "pairs": lambda rng, number: (rng.choice(SHARED), number),
    "kinds": lambda rng, number: {
        "id": number,
        "x": rng.choice((None, 1, 70_000, 0.5, "ab", f"text {number}", "日本")),
    },
    "nested": lambda rng, number: [
        rng.choice(SHARED),
        (number, rng.choice((None, "ab", f"n{number}"))),
        b"%05d" % number,
    ],
}
LISTS: Final[dict[str, Row]] = {
    "lists": lambda rng, _: [NUMBERS["integers"](rng, 0) for _ in range(rng.choice((0, 1, 1, 2, 3, 5, 9, 20)))],
    "long lists": lambda rng, _: [NUMBERS["anything"](rng, 0) for _ in range(rng.randrange(2, 30))],
}
KINDS: Final = {**NUMBERS, **LOOSE, **LISTS}
MORE: Final = (
    *SPLICES,
    b"h\x03",
    b"h\x09\x94",
    b"j\x20\x00\x00\x00",
    b"q\x05",
    b"\x8c\x05posixq\x05",
    b"\x8c\x06systemq\x060",
    b"h\x05h\x06\x93",
    b"K\x01K\x02\x86q\x05",
    b"e(",
    b"M",
    b"J",
    b"\x8a\x10",
    b"\x8a\xff",
    b"\x8c\xff",
)


def many(kind: str, rng: random.Random, count: int = 260) -> bytes:
    """A pickle of many rows, as CPython writes it."""
    return pickle.dumps([KINDS[kind](rng, number) for number in range(count)], 4)


def given(stream: bytes, memory: int) -> tuple[Any, int, Any, Memory, int]:
    """What is proved of the bytes behind the mark of a stream without frames."""
    body = stream[stream.index(b"(") + 1 :]
    data = np.frombuffer(body + bytes(PADDING), np.uint8)
    entries = Memory(count=memory, most=10**7, tuples=lambda numbers: np.zeros(len(numbers), np.bool_))
    return data, len(body), np.zeros(0, np.int64), entries, ord("e")


def _numbers(values: tuple[Any, int, Any, Memory, int]) -> Stretch | None:
    """What is proved as numbers."""
    data, size, cuts, _, closing = values
    return numbers.prove(data, size, cuts, closing)


def proved_mixed(stream: bytes, memory: int = 1) -> Stretch | None:
    """What is proved as rows of a loose shape."""
    values = given(stream, memory)
    shape = shapes.learn(*values[:2])
    assert shape is not None
    return mixed.prove(shape if shape.loose else shapes.loosely(shape), *values)


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_splices_at_any_byte_change_nothing(kind: str, framed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each byte of some rows in the middle: imports, gets, puts, ends and damage give what one by one gives."""
    rng = random.Random(f"{SEED} {kind} {framed}")  # noqa: S311 - a seed for tests
    stream = many(kind, rng)
    stream = stream if framed else long_streams.without_frames(stream)
    middle = len(stream) // 2
    for number, at in enumerate(range(middle, middle + 45)):
        leap_as([*SIZES][number % 3], monkeypatch)
        splice = MORE[rng.randrange(len(MORE))]
        read_alike(stream[:at] + splice + stream[at + rng.choice((0, len(splice))) :], rng)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_cut_anywhere_near_its_end_is_read_alike(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the last bytes are: what loading does before it stops is the same."""
    rng = random.Random(f"{SEED} {kind}")  # noqa: S311 - a seed for tests
    stream = long_streams.without_frames(many(kind, rng, count=120))
    for left in range(1, 40):
        leap_as([*SIZES][left % 3], monkeypatch)
        read_alike(stream[:-left], rng)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_begin_within_rows_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame may begin at each opcode of a row; one that begins within an argument makes two readings."""
    rng = random.Random(f"{SEED} {kind}")  # noqa: S311 - a seed for tests
    body = long_streams.without_frames(many(kind, rng))[2:]
    starts = long_streams.opcode_starts(b"\x80\x04" + body)
    for number in range(40):
        leap_as([*SIZES][number % 3], monkeypatch)
        ends = sorted(
            rng.sample(range(200, len(body) - 1), 2) if number % 2 else [at - 2 for at in rng.sample(starts[60:], 4)]
        )
        pieces = [body[a:b] for a, b in pairwise([0, *ends, len(body)])]
        stream = b"\x80\x04" + b"".join(b"\x95" + struct.pack("<Q", len(piece)) + piece for piece in pieces)
        read_alike(stream, rng)


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize("batch", range(3))
@pytest.mark.parametrize("size", SIZES)
def test_entries_that_are_given_away_stay_what_they_were(
    batch: int, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows put what they get under new numbers; the old ones are given away, and both are imported later."""
    leap_as(size, monkeypatch)
    rng = random.Random(f"{SEED} {batch} {size}")  # noqa: S311 - a seed for tests
    for _ in range(25):
        read_alike(long_streams.aliased(rng), rng)


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.numbers:prove")
@pytest.mark.parametrize("kind", sorted(NUMBERS))
def test_numbers_of_mixed_widths_are_proved_without_their_places(kind: str) -> None:
    """All of them, to the last, over the ends of batches."""
    stream = long_streams.without_frames(many(kind, random.Random(SEED), count=20_000))  # noqa: S311 - a seed
    values = given(stream, 1)
    stretch = _numbers(values)
    assert stretch is not None
    assert stretch.end == len(stream) - len(b"e.") - stream.index(b"(") - 1
    assert stream[stream.index(b"(") + 1 :][stretch.batch - 2 : stretch.batch] == b"e("
    assert stretch.puts == 0


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.mixed:prove")
@pytest.mark.parametrize("kind", sorted(LOOSE))
def test_rows_whose_values_change_their_kind_are_proved(kind: str) -> None:
    """As rows of one loose shape, whether a string is new or was there before."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    stream = long_streams.without_frames(many(kind, rng, count=3500))
    stretch = proved_mixed(stream)
    assert stretch is not None
    assert stretch.end > 0.95 * len(stream)
    end = stream.index(b"(") + 1 + stretch.end
    put = [at for opcode, _, at in pickletools.genops(stream) if opcode.name == "MEMOIZE"]
    assert stretch.puts == sum(at < end for at in put if at is not None) - 1  # that of the list comes before
    assert stretch.batch > 0


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.lists:Lists.prove")
@pytest.mark.parametrize("kind", sorted(LISTS))
def test_lists_of_any_length_are_proved_row_by_row(kind: str) -> None:
    """None, one or many numbers in each: all but the last are in the stretch."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    stream = long_streams.without_frames(many(kind, rng, count=3500))
    stretch = lists.Lists().prove(*given(stream, 1))
    assert stretch is not None
    assert stretch.puts == 3499
    assert stream[stream.index(b"(") + 1 :][stretch.end :].startswith(b"]\x94")
    assert stretch.batch > 0


@pytest.mark.parametrize(
    "wrong",
    [b"]\x94a", b"]\x94(a", b"]\x94K\x01e", b"]\x94K\x01K\x02a", b"]\x94(K\x01", b"]\x94(K\x01ee", b"]\x94]\x94a"],
)
def test_what_is_no_list_of_numbers_ends_lists(wrong: bytes) -> None:
    """Ends without a list, one number where many are said to come, a list in a list: none is in the stretch."""
    fine = b"".join(b"]\x94(K\x01M\x02\x03e]\x94K\x07a]\x94" for _ in range(90))
    stretch = lists.Lists().prove(*given(b"(" + fine + wrong + fine, 1))
    assert stretch is not None
    assert stretch.end <= len(fine) + (2 if wrong == b"]\x94]\x94a" else 0)


def test_a_batch_ends_only_where_an_opcode_stands() -> None:
    """`e(` within a number ends nothing: what was pushed before it stays on the stack."""
    body = b"".join(b"J" + b"e(" + bytes([number % 200, 0]) + b"K\x07M\x01\x02" for number in range(400))
    stretch = _numbers(given(b"(" + body, 1))
    assert stretch is not None
    assert (stretch.end, stretch.batch) == (len(body), -1)
    real = body[: 10 * 300] + b"e(" + body[10 * 300 :]
    stretch = _numbers(given(b"(" + real, 1))
    assert stretch is not None
    assert (stretch.end, stretch.batch) == (len(real), 3002)


def test_an_argument_that_goes_on_behind_its_frame_is_no_run_of_numbers() -> None:
    """Frames may begin where an opcode does, and nowhere else."""
    body = b"".join(b"J" + bytes([number % 200, 1, 2, 3]) + b"K\x07M\x01\x02" for number in range(400))
    data, size, _, _, closing = given(b"(" + body, 1)
    inside = numbers.prove(data, size, np.array([1506]), closing)
    between = numbers.prove(data, size, np.array([1505]), closing)
    assert inside is None
    assert between is not None
    assert between.end == size


@pytest.mark.parametrize(("wanted", "tuples"), [(3, False), (8, True), (1203, False), (5000, False)])
def test_an_entry_that_may_not_be_got_ends_rows(wanted: int, tuples: bool) -> None:
    """One that is not there yet and one that is a tuple, made in the same piece: the row before it is the last."""
    rows = b"".join(b"\x8c\x02ab\x94K" + bytes([number % 9]) + b"\x86\x94" for number in range(600))
    got = b"h" + bytes([wanted]) if wanted < 256 else b"j" + wanted.to_bytes(4, "little")
    stretch = proved_mixed(b"(" + rows + got + b"K\x01\x86\x94" + b"h\x01K\x01\x86\x94" * 200, memory=3)
    assert stretch is not None
    fine = not tuples and wanted < 3 + 2 * 600
    assert (stretch.end > len(rows)) is fine


@pytest.mark.parametrize("kind", ["pairs", "texts"])
def test_what_may_be_remembered_is_left_for_the_next_piece(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What remembers it may come next: to read it by itself, all that was leapt over would be read again."""
    leap_as("tiny", monkeypatch)
    monkeypatch.setattr(leaps, "Rows", _NoRows)
    kept, keep = list[int](), Memo.keep

    def counting(memo: Memo, index: int, value: Any) -> None:
        kept.append(index)
        keep(memo, index, value)

    monkeypatch.setattr(Memo, "keep", counting)
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    make = LOOSE["pairs"] if kind == "pairs" else lambda _, number: f"text {number}"
    stream = long_streams.without_frames(pickle.dumps([make(rng, number) for number in range(5000)], 4))
    machine = read(stream, leaping=True)[0]
    assert machine.memo.count >= 5000
    assert kept == []


class _NoRows(Rows):
    """No rows are found, so all is read in lanes."""

    def prove(self, *_given: Any) -> None:
        """Find none."""
