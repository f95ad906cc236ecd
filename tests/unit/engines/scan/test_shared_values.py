"""Runs of entries of the memo are read as one by one, whatever is hidden in them, and nothing is read again in vain."""

import pickle
import random
from typing import Any, Final

import numpy as np
import pytest
from tests.unit.engines.scan import long_streams
from tests.unit.engines.scan.read_twice import SIZES, leap_as, leapt, read, read_alike
from tests.unit.engines.scan.shared_streams import LAYOUTS, shared

from holdfast.engines.scan.pickles.boundaries import PADDING
from holdfast.engines.scan.pickles.columns import Columns
from holdfast.engines.scan.pickles.lists import Lists
from holdfast.engines.scan.pickles.memo import Memo
from holdfast.engines.scan.pickles.stretches import Memory, Stretch

SEED: Final = 20261128
SHARED: Final = [f"shared {number:03d}" + "x" * (number % 19) for number in range(600)]


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whatever_is_hidden_in_shared_values_is_read_alike(
    layout: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries put anew, numbers of entries that are not there, imports and their names: as opcode by opcode."""
    leap_as(size, monkeypatch)
    rng = random.Random(f"{SEED} {layout} {size}")  # noqa: S311 - a seed for tests
    for _ in range(30):
        read_alike(shared(rng, layout), rng)


@pytest.mark.guarantee("G72")
def test_an_entry_that_is_got_stays_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both names of an import are got, put anew as others, and only then used: the first ones are imported."""
    leap_as("tiny", monkeypatch)
    rows = b"".join(b"\x8c\x02ab\x94K" + bytes([number % 9]) for number in range(200))
    names = b"\x8c\x05posix\x94\x8c\x06system\x94"
    anew = b"\x8c\x08datetime\x94q\xc90\x8c\x04date\x94q\xca0"
    stream = b"\x80\x04]\x94(" + rows + names + rows[:600] + b"h\xc9h\xca" + anew + b"\x93)Re."
    machine, _, found, imported = read(stream, leaping=True)
    assert leapt(machine)
    assert imported == {("posix", "system")}
    assert "pickle.dangerous-call" in {rule for rule, _, _ in found}
    assert read(stream, leaping=False)[2:] == (found, imported)


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.memo:Memo.got")
def test_what_lists_get_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks for values that lie in lists, so no part of the file is read a second time for them."""
    leap_as("tiny", monkeypatch)
    kept, keep = list[int](), Memo.keep

    def counting(memo: Memo, index: int, value: Any) -> None:
        kept.append(index)
        keep(memo, index, value)

    monkeypatch.setattr(Memo, "keep", counting)
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    made = [[rng.choice(SHARED) for _ in range(rng.randrange(2, 20))] for _ in range(3000)]
    machine = read(long_streams.without_frames(pickle.dumps(made, 4)), leaping=True)[0]
    assert leapt(machine)
    assert kept == []


def proved(prover: Columns | Lists, body: bytes, count: int = 1, tuples: tuple[int, ...] = ()) -> Stretch | None:
    """What is proved of bytes behind the mark of a list, where the memo has so many entries and these are tuples."""
    data = np.frombuffer(body + bytes(PADDING), np.uint8)
    memory = Memory(count=count, most=1 << 40, tuples=lambda numbers: np.isin(numbers, tuples))
    return prover.prove(data, len(body), np.zeros(0, np.int64), memory, ord("e"))


def body_of(made: list[Any]) -> bytes:
    """What stands behind the mark of a list, as CPython writes it, without frames and the end."""
    stream = long_streams.without_frames(pickle.dumps(made, 4))
    return stream[stream.index(b"(") + 1 : -2]


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.columns:Columns.prove")
def test_a_column_of_shared_strings_is_proved_to_its_end() -> None:
    """Strings where they are new, entries where they come again, numbers between: over the ends of batches."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    made = [rng.choice((*SHARED, None, 7, 70_000, 0.5)) for _ in range(20_000)]
    body = body_of(made)
    stretch = proved(Columns(), body)
    assert stretch is not None
    assert stretch.end == len(body)
    assert stretch.puts == len({each for each in made if isinstance(each, str)})
    assert body[stretch.batch - 2 : stretch.batch] == b"e("
    again = [rng.choice(SHARED[:300]) for _ in range(9000)]
    later = body_of([*SHARED, *again])[len(body_of(SHARED)) :]
    known = proved(Columns(), later, count=601)
    assert known is not None
    assert (known.end, known.puts) == (len(later), 0)


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.lists:Lists.prove")
@pytest.mark.parametrize("kind", ["lists", "records"])
def test_rows_of_shared_strings_of_any_length_are_proved(kind: str) -> None:
    """Lists of some strings, and records in which fields are missing: all but the last."""
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    made: list[Any] = [rng.choices(SHARED, k=rng.choice((0, 1, 2, 9))) for _ in range(4000)]
    if kind == "records":
        made = [{key: rng.choice(SHARED) for key in each} for each in made]
    body, prover = body_of(made), Lists()
    stretch = proved(prover, body)
    assert stretch is not None
    assert stretch.puts == 3999 + len({text for each in made for text in each} | _values(made))
    assert body[stretch.end :][:2] in {b"]\x94", b"}\x94"}
    assert stretch.batch > 0


def _values(made: list[Any]) -> set[str]:
    return {text for each in made if isinstance(each, dict) for text in each.values()}


@pytest.mark.parametrize("number", [40, 255, 256, 65_536, 0x80000005])
@pytest.mark.parametrize("kind", ["column", "lists"])
def test_an_entry_that_may_not_be_got_ends_a_run_before_it(kind: str, number: int) -> None:
    """One that is not there yet, and one that is a tuple; bytes of numbers that look like gets end nothing."""
    entry = (b"h" + bytes([number])) if number == 40 else b"j" + number.to_bytes(4, "little")
    head, values, end = (
        (b"]\x94(", b"h\x07J\x00j\x20\xf0h\x08", b"e") if kind == "lists" else (b"", b"h\x07Jh\xffjh", b"")
    )
    before, got = (head + values + end) * 9, head + b"h\x07" + entry + end
    body, wrong = before + got + (head + values + end) * 200, len(before) + (0 if head else 2)
    made = 10 * len(head) // 3  # entries: one a list

    def ends(count: int, tuples: tuple[int, ...] = ()) -> int:
        stretch = proved(Columns() if kind == "column" else Lists(), body + head[:2], count, tuples)
        return stretch.end if stretch else -1

    assert ends(number + 1) == len(body)
    assert ends(number - made + 1) == len(body)
    assert ends(number - made) == wrong
    assert ends(number + 1, tuples=(number,)) == wrong
    assert ends(1 << 32, tuples=(number,)) == wrong
    assert ends(1 << 32, tuples=(number - 1, number + 1)) == len(body)
