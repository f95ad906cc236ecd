"""Runs of gets found by comparing bytes, and rows that get the same: read as one by one, and beside CPython."""

import contextlib
import io
import pickle
import random
import struct
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pytest
from tests.unit.engines.scan import long_streams
from tests.unit.engines.scan.read_twice import SIZES, leap_as, leapt, read, read_alike
from tests.unit.engines.scan.test_uneven_rows import MORE

from holdfast.engines.scan.pickles import mixed, rows, shapes, slots, strides, varied
from holdfast.engines.scan.pickles.boundaries import PADDING, Places
from holdfast.engines.scan.pickles.lists import Lists
from holdfast.engines.scan.pickles.stretches import APART, Memory, Stretch

SEED: Final = 20261130
WORDS: Final = ("posix", "system", *(f"word {number:03d}" for number in range(400)))
TABLE: Final = slots.tables_of(ord("e"))[2]


class _Recorder(pickle.Unpickler):
    """CPython's reader: what would be imported is written down, and nothing comes of it."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(io.BytesIO(stream))
        self.imported = set[tuple[str, str]]()

    def find_class(self, module: str, name: str) -> Any:
        """Import nothing."""
        self.imported.add((module, name))
        return lambda *_: None


def imported_by_cpython(stream: bytes) -> set[tuple[str, str]]:
    """What loading would import before it ends, one way or another."""
    reader = _Recorder(stream)
    with contextlib.suppress(Exception):  # broken streams raise anything
        reader.load()
    return reader.imported


def both(stream: bytes, rng: random.Random) -> None:
    """Read a stream in all ways: leaps change nothing, and no import of CPython's is missed."""
    read_alike(stream, rng)
    assert imported_by_cpython(stream) <= read(stream, leaping=True)[3], stream


def column(rng: random.Random, values: int, rare: float = 0.02) -> bytes:
    """Gets of far entries, now and then something else between, and ends of batches; no frames."""
    head = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() + b"\x94" for word in WORDS)
    body = list[bytes]()
    for number in range(values):
        odd = rng.choice((b"h\x05", b"K\x07", b"\x8c\x03new\x94", b"Jjjjj", b"M\x6a\x01", b"e(", b"N"))
        far = b"j" + rng.choice((rng.randrange(256, 400), rng.randrange(1, 400), 0x6A)).to_bytes(4, "little")
        body.append(odd if rng.random() < rare else far)
        if number % 100 == 99:
            body.append(b"e(")
    return b"\x80\x04]\x94(" + head + b"".join(body) + b"e."


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize("rare", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("size", SIZES)
def test_splices_at_any_byte_of_a_column_change_nothing(
    size: str, rare: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imports, gets, puts, ends and damage at each byte of some values in the middle."""
    leap_as(size, monkeypatch)
    rng = random.Random(f"{SEED} {size} {rare}")  # noqa: S311 - a seed for tests
    stream = column(rng, 500, rare)
    middle = len(stream) - 1200
    for at in range(middle, middle + 45):
        splice = MORE[rng.randrange(len(MORE))]
        both(stream[:at] + splice + stream[at + rng.choice((0, len(splice))) :], rng)


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize("size", SIZES)
def test_a_column_cut_near_its_end_or_with_frames_anywhere_is_read_alike(
    size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bytes are missing; frames begin at opcodes and within arguments."""
    leap_as(size, monkeypatch)
    rng = random.Random(f"{SEED} {size}")  # noqa: S311 - a seed for tests
    stream = column(rng, 400)
    for left in range(1, 30):
        both(stream[:-left], rng)
    for _ in range(30):
        body = stream[2:]
        ends = sorted(rng.sample(range(4200, len(body) - 1), 2))
        pieces = [body[a:b] for a, b in pairwise([0, *ends, len(body)])]
        both(b"\x80\x04" + b"".join(b"\x95" + struct.pack("<Q", len(piece)) + piece for piece in pieces), rng)


@pytest.mark.guarantee("G72")
def test_names_that_a_column_gets_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are got in a run, put anew or left, and used as names: the scanner and CPython name the same import."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    for number in range(40):
        leap_as([*SIZES][number % 3], monkeypatch)
        stream = column(rng, 300, 0.05)[:-2]
        anew = b"\x8c\x04date" + b"q\x02" + b"0" if number % 2 else b""
        uses = b"j\x01\x00\x00\x00j\x02\x00\x00\x00" + anew + rng.choice((b"\x93", b"\x93)R"))
        both(stream + uses + b"j\x07\x00\x00\x00" * rng.choice((0, 200)) + b"e.", rng)


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.strides:strided")
def test_values_of_a_column_of_gets_are_known_without_walking() -> None:
    """Each place at which a value begins is one, and no other is, within runs and between them."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    stream = column(rng, 3000)
    body = stream[stream.index(b"\x94j") + 1 : -2]
    wanted, at = list[int](), 0
    while at < len(body):
        wanted.append(at)
        at += int(TABLE[body[at] << 8 | body[min(at + 1, len(body) - 1)]])
    data = np.frombuffer(body + bytes(PADDING), np.uint8)
    found = strides.strided(data, len(body), TABLE)
    assert found is not None
    assert found.ends[-1] == len(body)
    assert np.all(found.starts[1:] == found.ends[:-1])
    assert np.flatnonzero(found.real(np.arange(len(body)))).tolist() == wanted
    assert found.runs is not None
    assert np.mean(found.ends - found.starts, where=found.runs) > 50


def test_long_runs_can_be_read_again_from_places_within() -> None:
    """Nobody has to read half a megabyte for one value: no part of a run is longer than the others of a stretch."""
    body = b"j\x07\x01\x00\x00" * 40_000
    found = strides.strided(np.frombuffer(body + bytes(PADDING), np.uint8), len(body), TABLE)
    assert found is not None
    assert np.max(found.ends - found.starts) <= APART
    assert np.all(found.starts[1:] == found.ends[:-1])
    assert found.ends[-1] == len(body)


def test_a_value_that_is_not_whole_is_none() -> None:
    """A run ends with its last whole value: what comes behind it stands in the next piece."""
    whole = b"j\x07\x01\x00\x00" * 300
    for cut in (b"", b"j", b"j\x07\x01\x00"):
        data = np.frombuffer(whole + cut + bytes(PADDING), np.uint8)
        found = strides.strided(data, len(whole + cut), TABLE)
        assert found is not None
        assert found.ends[-1] == len(whole)
        assert found.real(np.array([len(whole) - 5, len(whole)])).tolist() == [True, False]


@pytest.mark.parametrize("odd", [b"j\xff", b"0", b"\x93", b"J\x00", b"jjjj", b"\x8c\x03new"])
def test_a_run_goes_no_further_than_something_that_is_no_value(odd: bytes) -> None:
    """A byte too many shifts what stands behind it; what begins in another order of places is another run."""
    gets = b"".join(b"j" + bytes([number % 250, number % 200, 0, 0]) for number in range(600))
    body = gets + odd + gets
    data = np.frombuffer(body + bytes(PADDING), np.uint8)
    found = strides.strided(data, len(body), TABLE)
    places, at = set[int](), 0
    while at < len(body) and (width := int(TABLE[int(data[at]) << 8 | int(data[at + 1])])):
        places.add(at)
        at += width
    if found is None:
        assert at < len(body)
    else:
        assert {*np.flatnonzero(found.real(np.arange(len(body)))).tolist()} <= places


def test_columns_of_other_values_have_no_runs() -> None:
    """Numbers with bytes that look like gets: less than half is in runs."""
    body = b"".join(b"Jj\x01\x02\x03K" + bytes([number % 256]) for number in range(900))
    assert strides.strided(np.frombuffer(body + bytes(PADDING), np.uint8), len(body), TABLE) is None


# -- rows that get the same


def _records(rng: random.Random, count: int, odd: dict[int, bytes]) -> bytes:
    """Records as CPython writes them, whose second key is another get in some rows."""
    head = b"".join(b"\x8c\x02k" + bytes([97 + number]) + b"\x94" for number in range(6))
    made = (
        b"}\x94(h\x01"
        + rng.choice((b"K\x07", b"N", b"M\x01\x02", b"h\x04", b"\x8c\x03abc\x94"))
        + odd.get(number, b"h\x02")
        + rng.choice((b"K\x07", b"J\x01\x02\x03\x00"))
        + b"u"
        for number in range(count)
    )
    return b"\x80\x04]\x94(" + head + b"K\x01K\x02\x86\x94" + b"".join(made) + b"e."


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize(
    "odd", [b"h\x03", b"h\x07", b"h\xfa", b"h", b"j\x02\x00\x00\x00", b"K\x02", b"\x8c\x01k\x94", b"h\x02\x94"]
)
def test_a_row_that_gets_something_else_is_seen(odd: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another key, a tuple, an entry that is not there, damage: in the first row, the last and between."""
    rng = random.Random(f"{SEED} {odd!r}")  # noqa: S311 - a seed for tests
    for number, row in enumerate((0, 1, 60, 118, 119)):
        leap_as([*SIZES][number % 3], monkeypatch)
        both(_records(rng, 120, {row: odd}), rng)


def _proved(body: bytes, cuts: Places, plain: int = 8) -> int:
    """How far rows of a loose shape go, where frames begin at the cuts."""
    data = np.frombuffer(body + bytes(PADDING), np.uint8)
    memory = Memory(count=8, most=1 << 40, tuples=lambda asked: np.equal(asked, 7), plain=plain)
    shape = shapes.learn(data, len(body))
    assert shape is not None
    found = mixed.prove(shape if shape.loose else shapes.loosely(shape), data, len(body), cuts, memory, ord("e"))
    return found.end if found else -1


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.mixed:prove")
@pytest.mark.parametrize("plain", [0, 7])
def test_a_frame_that_begins_within_an_argument_ends_rows(plain: int) -> None:
    """At each byte of a row: rows go on over a frame that begins at an opcode, and end before one that does not."""
    row = b"}\x94(h\x01J\x01\x02\x03\x04h\x02\x8c\x03abc\x94h\x03C\x02xyu"
    opcodes = {0, 1, 2, 3, 5, 10, 12, 17, 18, 20, 24}
    body, before = row * 100, len(row) * 50
    assert _proved(body, np.zeros(0, np.int64), plain) == len(body)
    for byte in range(len(row)):
        assert _proved(body, np.array([before + byte]), plain) == (len(body) if byte in opcodes else before), byte


@pytest.mark.parametrize(("got", "fine"), [(6, True), (7, False), (8, True), (9, False), (200, False)])
def test_an_entry_that_all_rows_get_has_to_be_there_and_no_tuple(got: int, fine: bool) -> None:
    """Number 6 is a string, 7 a tuple, 8 the first row itself; others are not there when that gets them."""
    row = b"}\x94(h" + bytes([got]) + b"K\x01h\x02Nu"
    assert (_proved(row * 100, np.zeros(0, np.int64), plain=7) == 100 * len(row)) is fine


def test_batches_are_found_between_rows_and_among_bytes_that_look_like_rows() -> None:
    """Ends of rows within numbers begin none; the last batch and what was made before it are known."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    body, batch, made, before = b"", -1, 0, 0
    for number in range(900):
        if number % 70 == 69:
            body += b"e("
            batch, before = len(body), made
        if rng.random() < 0.5:
            body += b"\x8c\x02ab\x94"
            made += 1
        else:
            body += b"h\x01"
        body += rng.choice((b"K\x07", b"J\x86\x94K\x01", b"J\x86\x94h\x01", b"Je(\x86\x94")) + b"\x86\x94"
        made += 1
    data = np.frombuffer(body + bytes(PADDING), np.uint8)
    memory = Memory(count=8, most=1 << 40, tuples=lambda asked: np.equal(asked, 7), plain=7)
    shape = shapes.learn(data, len(body))
    assert shape is not None
    loose = shape if shape.loose else shapes.loosely(shape)
    found = mixed.prove(loose, data, len(body), np.zeros(0, np.int64), memory, ord("e"))
    assert found is not None
    assert (found.end, found.puts, found.batch, found.batch_count) == (len(body), made, batch, before)
    assert np.count_nonzero(found.tuples) == 900


@pytest.mark.guarantee("G72")
def test_nothing_is_stepped_over_behind_the_end_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import at the beginning of a batch, made to look like the end of a row: rows end before it."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    pair, text = b"h\x01K\x07\x86\x94", b"\x8c\x02ab\x94K\x07\x86\x94"
    hidden = b"e(cposix\nsystem\nK\x01\x86\x94"
    for pairs in (pair * 90, (pair + text) * 45):
        assert _proved(pairs + hidden + pairs, np.zeros(0, np.int64), plain=7) <= len(pairs)
        for size in SIZES:
            leap_as(size, monkeypatch)
            both(b"\x80\x04]\x94(\x8c\x01a\x94\x8c\x01b\x94" + pairs + hidden + pairs + b"e.", rng)


@pytest.mark.parametrize("wrong", [b"h\xfa", b"h\x07", b"j\x09\x01\x00\x00"])
def test_rows_before_one_that_is_not_whole_are_looked_at(wrong: bytes) -> None:
    """The last row goes on in the next piece; what the others get is looked at where it stands."""

    def row(got: bytes) -> bytes:
        return b"}\x94(h\x01K\x07h\x02" + got + b"h\x03\x8c\x02ab\x94h\x04Nu"

    few, many = row(b"h\x05") * 20, row(b"h\x05") * 60
    part = row(b"h\x05")[:-3]
    assert _proved(many + part, np.zeros(0, np.int64), plain=7) == len(many)
    assert _proved(few + row(wrong) + many + part, np.zeros(0, np.int64), plain=7) == len(few)


# -- what is tried first


def _lists(rng: random.Random, value: tuple[bytes, ...], count: int = 300) -> bytes:
    return b"".join(
        b"]\x94(" + b"".join(rng.choice(value) for _ in range(rng.randrange(2, 9))) + b"e" for _ in range(count)
    )


def test_lists_look_for_no_more_than_they_hold() -> None:
    """Numbers alone, then entries of the memo, then strings; bytes of a number that look like a list change nothing."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    numbers, gets, texts = (b"K\x07", b"M\x01\x02"), (b"h\x01", b"K\x07"), (b"h\x01", b"\x8c\x02ab\x94")
    prover, memory = (
        Lists(),
        Memory(count=9, most=1 << 40, tuples=lambda asked: np.zeros(len(asked), np.bool_), plain=9),
    )

    def end(body: bytes) -> int:
        data = np.frombuffer(body + b"]\x94" + bytes(PADDING), np.uint8)
        stretch = prover.prove(data, len(body) + 2, np.zeros(0, np.int64), memory, ord("e"))
        return stretch.end if stretch else -1

    for values in (numbers, gets, texts, gets, numbers):
        body = _lists(rng, values)
        assert end(body) == len(body)
    odd = _lists(rng, numbers) + b"]\x94(Ke" + b"Je]\x94\x01" + b"e"
    prover = Lists()
    assert end(odd + _lists(rng, numbers)) < len(odd)
    assert prover._table == 0


def test_templates_are_tried_again_where_rows_became_even(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are left out while rows are uneven, but not for good."""
    tried, stretch = list[int](), rows._Piece.stretch

    def counting(piece: rows._Piece) -> Stretch | None:
        tried.append(1)
        return stretch(piece)

    monkeypatch.setattr(rows._Piece, "stretch", counting)
    uneven = b"".join(b"\x8c" + bytes([4 + number % 9]) + b"x" * (4 + number % 9) + b"\x94" for number in range(900))
    data = np.frombuffer(uneven + bytes(PADDING), np.uint8)
    memory = Memory(count=9, most=1 << 40, tuples=lambda asked: np.zeros(len(asked), np.bool_), plain=9)
    prover, pieces = rows.Rows(), 2 * rows.AGAIN + 1
    for _ in range(pieces):
        found = prover.prove(data, len(uneven), np.zeros(0, np.int64), memory, ord("e"))
        assert found is not None
        assert found.end == len(uneven)
    assert len(tried) == 3


def test_rows_that_begin_within_numbers_are_no_candidates() -> None:
    """Of the places behind something that looks like the end of a row, those are left where a row could begin."""
    body = (b"}\x94(h\x01J}\x94(hh\x02Ju}\x94Ku" + b"}\x94(h\x01K\x01h\x02K\x02u") * 50
    data = np.frombuffer(body + bytes(PADDING), np.uint8)
    shape = shapes.learn(data[: len(body)], len(body))
    assert shape is not None
    places = varied.candidates(shape, data, len(body), 0).tolist()
    real = {at for at in long_streams.opcode_starts(b"(" + body + b"e.") if body[at - 1 : at] == b"}"}
    assert {at - 1 for at in real} <= {*places}
    assert len(places) < body.count(b"}\x94")


def test_a_leap_is_taken_over_a_column_of_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the streams above are read with leaps at all."""
    leap_as("tiny", monkeypatch)
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    assert leapt(read_alike(column(rng, 2000), rng))
