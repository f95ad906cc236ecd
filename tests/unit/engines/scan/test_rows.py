"""Rows of one shape are proved by comparing bytes: whatever is spliced into them, they are read as one by one."""

import pickle
import random
import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from tests.unit.engines.scan import long_streams
from tests.unit.engines.scan.read_twice import SIZES, leap_as, read, read_alike

from holdfast.engines.scan.examination import Content
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.pickles import reading, rows, shapes, varied
from holdfast.engines.scan.pickles.boundaries import PADDING
from holdfast.engines.scan.pickles.stretches import Memory, Stretch
from holdfast.engines.scan.pickles.values import Mapping, Tuple
from holdfast.engines.scan.report import Findings

SEED: Final = 20261128
NAMES: Final = ("red", "green", "blue")
Row = Callable[[random.Random, int], Any]
EQUAL: Final[dict[str, Row]] = {
    "floats": lambda rng, _: rng.random(),
    "integers": lambda rng, _: rng.randrange(1 << 17, 1 << 30),
    "strings": lambda _, number: f"some token {number:08d}",
    "tuples": lambda rng, number: (number + 10**6, f"n{number:06d}", rng.random()),
    "lists": lambda rng, number: [number + 10**6, [f"n{number:06d}", rng.random()]],
    "dictionaries": lambda rng, number: {"id": number + 10**6, "x": rng.random(), "of": rng.choice(NAMES)},
    "bytes": lambda rng, _: (rng.randbytes(12), rng.randbytes(20), None),
}
VARIED: Final[dict[str, Row]] = {
    "strings": lambda rng, _: "w" * rng.randrange(2, 30),
    "tuples": lambda rng, _: (rng.randrange(10 ** rng.randrange(1, 14)), "ab" * rng.randrange(2, 20), rng.random()),
    "letters": lambda rng, _: (
        rng.choice(("Straße", "日本", "x")) * rng.randrange(2, 6),
        rng.choice((None, True, 0.5)),
    ),
    "dictionaries": lambda rng, _: {"id": rng.randrange(10 ** rng.randrange(1, 9)), "of": rng.choice(NAMES)},
}
SPLICES: Final = (
    b"cposix\nsystem\n",
    b"(iposix\nsystem\n",
    b"\x8c\x05posix\x94\x8c\x06system\x94\x93",
    b"K",
    b"0",
    b"e(",
    b"N.",
    b"h\x00",
    b"j\xff\xff\x00\x00",
    b"\x94",
    b"\x8c\x14\x80\x04cposix\nsystem\n(tR.x",
    b"\x8c\x02\xff\xfe",
)


def many(make: Row, rng: random.Random, *, keyed: bool = False, count: int = 150) -> bytes:
    """A pickle of many rows, as CPython writes it."""
    made = [make(rng, number) for number in range(count)]
    return pickle.dumps({f"key {number:05d}": row for number, row in enumerate(made)} if keyed else made, 4)


def proved(
    stream: bytes, *, closing: bytes = b"e", by: str = "rows", memory: int = 1, cuts: Any = ()
) -> Stretch | None:
    """What is proved of the bytes behind the mark of a stream without frames."""
    body = stream[stream.index(b"(") + 1 :]
    data = np.frombuffer(body + bytes(PADDING), np.uint8)
    entries = Memory(count=memory, most=10**7, tuples=lambda numbers: np.zeros(len(numbers), np.bool_))
    given = data, len(body), np.array(cuts, np.int64), entries, closing[0]
    if by == "rows":
        return rows.Rows().prove(*given)
    shape = shapes.learn(data, len(body))
    return varied.prove(shape, *given) if shape else None


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize(
    ("kinds", "kind"), [(k, n) for k in ("EQUAL", "VARIED") for n in (EQUAL, VARIED)[k == "VARIED"]]
)
def test_splices_at_any_byte_of_a_row_change_nothing(
    kinds: str, kind: str, keyed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each byte of some rows in the middle: imports, gets, ends and damage give what reading one by one gives."""
    rng = random.Random(f"{SEED} {kinds} {kind} {keyed}")  # noqa: S311 - a seed for tests
    stream = many({"EQUAL": EQUAL, "VARIED": VARIED}[kinds][kind], rng, keyed=keyed)
    if rng.random() < 0.5:
        stream = long_streams.without_frames(stream)
    middle = len(stream) // 2
    for number, at in enumerate(range(middle, middle + 40)):
        leap_as([*SIZES][number % 3], monkeypatch)
        splice = SPLICES[rng.randrange(len(SPLICES))]
        read_alike(stream[:at] + splice + stream[at + rng.choice((0, len(splice))) :], rng)


@pytest.mark.parametrize(("kinds", "kind"), [("EQUAL", "tuples"), ("EQUAL", "floats"), ("VARIED", "tuples")])
def test_a_stream_cut_anywhere_near_its_end_is_read_alike(
    kinds: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the last bytes are: what loading does before it stops is the same."""
    rng = random.Random(f"{SEED} {kind}")  # noqa: S311 - a seed for tests
    stream = long_streams.without_frames(many({"EQUAL": EQUAL, "VARIED": VARIED}[kinds][kind], rng, count=90))
    for left in range(1, 70):
        leap_as([*SIZES][left % 3], monkeypatch)
        read_alike(stream[:-left], rng)


@pytest.mark.parametrize("kind", ["tuples", "strings", "integers", "dictionaries"])
def test_frames_that_begin_within_rows_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame may begin at each opcode of a row; one that begins within an argument makes two readings."""
    rng = random.Random(f"{SEED} {kind}")  # noqa: S311 - a seed for tests
    body = long_streams.without_frames(many(EQUAL[kind], rng))[2:]
    for number in range(60):
        leap_as([*SIZES][number % 3], monkeypatch)
        ends = sorted(rng.sample(range(200, len(body) - 1), 3))
        pieces = [body[a:b] for a, b in zip([0, *ends], [*ends, len(body)], strict=True)]
        stream = b"\x80\x04" + b"".join(b"\x95" + struct.pack("<Q", len(piece)) + piece for piece in pieces)
        read_alike(stream, rng)


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.rows:Rows.prove")
@pytest.mark.parametrize("kind", sorted(EQUAL.keys() - {"bytes"}))  # some of those begin like a pickle
def test_rows_of_equal_widths_are_proved_as_rows(kind: str) -> None:
    """What CPython writes for honest rows is proved in bulk, across the ends of batches."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    stream = long_streams.without_frames(many(EQUAL[kind], rng, count=3500))
    first = stream.index(b"(") + 1
    if kind == "dictionaries":  # the first rows make the strings that all others get
        first = stream.index(b"}", first + 200)
        first = stream.index(b"}", first + 200)
    stretch = proved(b"(" + stream[first:], memory=12)
    assert stretch is not None
    assert stretch.end > 0.95 * (len(stream) - first)
    assert stretch.batch > 0


@pytest.mark.parametrize("kind", ["strings", "tuples", "letters"])
def test_rows_of_many_widths_are_proved_as_rows(kind: str) -> None:
    """The same where names are of any length and numbers of any size."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    stream = long_streams.without_frames(many(VARIED[kind], rng, count=3500))
    stretch = proved(stream, by="varied")
    assert stretch is not None
    assert stretch.end > 0.95 * len(stream)
    assert stretch.batch > 0


def test_bytes_that_look_like_rows_begin_none() -> None:
    """Numbers may hold the opcodes of a whole row: a row begins only where the one before it ended."""
    row = b"\x8c\x03abc\x94G" + b"\x86\x94\x8c\x01x\x94KJ" + b"\x86\x94"
    body = b"".join(row.replace(b"abc", str(number % 900 + 100).encode()) for number in range(900))
    for by in ("rows", "varied"):
        stretch = proved(b"(" + body, by=by)
        assert stretch is not None
        assert (stretch.end, stretch.puts) == (len(body), 1800)


def test_an_entry_that_is_not_there_ends_rows() -> None:
    """A number of the memo that was not made before the piece is looked at one by one, wherever it stands."""
    body = b"".join(b"h" + bytes([number % 7]) + b"K\x01\x86\x94" for number in range(1200))
    for by in ("rows", "varied"):
        whole = proved(b"(" + body, memory=7, by=by)
        assert whole is not None
        assert whole.end == len(body)
    late = 900 * 6
    body = body[:late] + b"h\x09" + body[late + 2 :]
    for by in ("rows", "varied"):
        stretch = proved(b"(" + body, memory=7, by=by)
        assert stretch is not None
        assert stretch.end == late


@pytest.mark.guarantee("G72")
def test_a_value_got_before_its_entry_was_put_anew_is_the_former(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that a stretch got from the memo stays what it was, although its number is given away later."""
    monkeypatch.setattr(reading, "LEAPS", 0)

    def text(word: bytes) -> bytes:
        return b"\x8c" + bytes([len(word)]) + word

    plain = b"K\x01" * 9000
    stream = (
        b"\x80\x04](" + text(b"posix") + b"\x94" + text(b"getpid") + b"\x94" + plain + b"h\x00\x94h\x01\x94" + plain
    )
    stream += text(b"collections") + b"q\x00" + text(b"OrderedDict") + b"q\x01" + b"e0h\x02h\x03\x93)R."
    findings = Findings()
    examine(Content(memoryview(stream), "rows.pkl"), findings)
    assert "pickle.dangerous-call" in {each.rule for each in findings.kept}


@pytest.mark.parametrize("size", SIZES)
def test_a_dictionary_of_a_stretch_is_one(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put into it through the memo is in it as well where it lies on the stack."""
    leap_as(size, monkeypatch)
    values = b"}\x94(\x8c\x01aK\x01\x8c\x01bK\x02u" + b"K\x07" * 900
    filled = b"h\x00(\x8c\x01bK\x03\x8c\x01cK\x04u"
    stream = b"\x80\x04(" + values + filled + b"t."
    found = []
    for leaping in (False, True):
        machine = read(stream[:-1], leaping=leaping)[0]
        top = machine.opened(machine.stack)[-1]
        assert isinstance(top, Tuple)
        inside = top.items[0]
        assert isinstance(inside, Mapping)
        found.append((inside.entries, inside.whole))
    assert found[0] == found[1] == ({"a": 1, "b": 3, "c": 4}, True)
