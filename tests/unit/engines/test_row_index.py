"""The index of rows, held against sets in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyroaring import BitMap

from holdfast.core.errors import NotVerified
from holdfast.engines.row_index import (
    SIDES,
    Roster,
    RowIndex,
    Split,
    parse_roster,
    parse_split,
    roster_of,
    row_index,
    split_of,
)

SALT = bytes(range(32))
KEYS = [f"wdbc-{number:04d}" for number in range(40)]
CHOICES = st.lists(st.sampled_from([*SIDES, ""]), min_size=len(KEYS), max_size=len(KEYS))


def split_by(roster: Roster, keys: list[str], chosen: list[str]) -> Split:
    """A split as it is read from its stored document."""
    sides = {side: [key for key, at in zip(keys, chosen, strict=True) if at == side] for side in SIDES}
    return parse_split(split_of(roster, "roster", sides).document)


def index_of(*choices: list[str]) -> RowIndex:
    """An index of splits in which each key is on the side that is chosen for it, or on none."""
    roster = roster_of(KEYS, SALT)
    splits = ((f"split-{number}", split_by(roster, KEYS, chosen)) for number, chosen in enumerate(choices))
    return row_index({"roster": parse_roster(roster.document)}, splits)


@given(CHOICES, CHOICES)
def test_each_row_is_found_on_its_side_of_each_split_and_nowhere_else(one: list[str], two: list[str]) -> None:
    """Train, validation and test are told apart; a row that no split has, and one that no table has, are on none."""
    index = index_of(one, two)
    for key, first, second in zip(KEYS, one, two, strict=True):
        expected = [(f"split-{n}", at) for n, at in enumerate((first, second)) if at]
        assert list(index.sides_of(key)) == expected
    assert list(index.sides_of("nobody")) == []


@given(CHOICES, st.lists(st.sampled_from([*KEYS, "nobody", "wdbc-9999"]), max_size=10, unique=True))
def test_a_request_is_counted_by_side(chosen: list[str], request: list[str]) -> None:
    """As many rows of it as each side has; strangers count for nothing."""
    index = index_of(chosen)
    where = dict(zip(KEYS, chosen, strict=True))
    expected = {side: sum(where.get(key) == side for key in request) for side in SIDES}
    splits, counts = index.touched(request)
    assert splits == (["split-0"] if set(request) & set(KEYS) else [])
    assert counts.sum(axis=0).tolist() == [expected[side] for side in SIDES]
    assert index.known(request) == sum(key in where for key in request)


def drawn(sort: int, rng: np.random.Generator, rows: int) -> NDArray[np.int64]:
    """The side of the row at each place, 3 for none: at random, runs alone, runs and two sides at random, few, one."""
    at = np.arange(rows)
    return [
        rng.choice(4, rows, p=[0.5, 0.2, 0.25, 0.05]),
        at * 4 // rows,
        np.where(at // 9_000 % 4, rng.integers(0, 2, rows), 2),
        np.where(rng.random(rows) < 0.03, rng.integers(0, 3, rows), 3),
        np.zeros(rows, dtype=np.int64),
    ][sort]


@pytest.mark.parametrize("rows", [70_000, 270_000])
def test_lines_and_bitmaps_say_the_same_as_a_plain_table(rows: int) -> None:
    """Of 100 splits of all sorts, each request and row is answered as a table of sides does it, in the order of splits.

    Some lie in lines of 32, some stay bitmaps: what is smaller so, the last ones, and one of which rows are on two
    sides. Two tables have rosters of their own. Of few containers Roaring's format says less than of many.
    """
    rng = np.random.default_rng(rows)
    names = [f"k{number}" for number in range(rows)]
    roster = roster_of(names, SALT)
    keys = [names[at] for at in np.argsort(roster.places(names)).tolist()]  # by their place
    table = np.stack([drawn(number % 5, rng, rows) for number in range(100)])
    splits = {}
    for number, sides in enumerate(table):
        held = {side: BitMap(np.flatnonzero(sides == at).astype(np.uint32)) for at, side in enumerate(SIDES)}
        if number % 5 != 3:
            assert [rows_of.run_optimize() for rows_of in held.values()]
        splits[f"s{number}"] = parse_split(Split(roster="roster", sides=held).document)
    half = BitMap(range(rows // 2))
    splits["twice"] = Split(roster="roster", sides={"train": half, "validation": half, "test": BitMap()})
    few = {"train": keys[:400], "validation": list[str](), "test": keys[400:450]}
    splits["few"] = split_of(other := roster_of(keys[:500], SALT[::-1]), "other", few)
    index = row_index({"roster": roster, "other": other}, splits.items())
    lined = {index.order[each] for lines in index.lines["roster"] for each in lines.splits}
    assert len(lined) == 32 * len(index.lines["roster"]) > 0
    assert {f"s{number % 5}" for number in range(100) if f"s{number}" in lined} == {"s0", "s2"}
    for some in (1, 7, 1_000, 40_000):
        at = np.unique(np.append(rng.integers(0, rows, some), rows - 1))
        request = ["nobody", *(keys[each] for each in at.tolist()), keys[rows - 1]]
        expected = [[int((sides[at] == side).sum()) for side in range(3)] for sides in table]
        expected += [[int((at < rows // 2).sum())] * 2 + [0]]
        of_few = [int((at < 400).sum()), 0, int(((at >= 400) & (at < 450)).sum())]
        expected += [of_few] if (at < 500).any() else []
        found, counts = index.touched(request)
        assert found == [name for name in splits if name != "few" or (at < 500).any()]
        assert counts.tolist() == expected
        assert index.known(request) == len(request) - 1
    for place in (0, 449, 65_535, 65_536, rows - 1):
        expected_sides = {f"s{number}": (*SIDES, "")[side] for number, side in enumerate(table[:, place])}
        expected_sides |= {"twice": "train" if place < rows // 2 else ""}
        expected_sides |= {"few": "train" if place < 400 else "test" if place < 450 else ""}
        assert list(index.sides_of(keys[place])) == [(name, side) for name, side in expected_sides.items() if side]


def test_neither_document_holds_a_key() -> None:
    """What is stored are keyed hashes and places; under another salt the hashes are others."""
    roster = roster_of(KEYS, SALT)
    split = split_of(roster, "roster", {side: KEYS[:10] if side == "train" else [] for side in SIDES})
    assert not [key for key in KEYS if key.encode() in roster.document + split.document]
    assert not set(roster.hashes.tolist()) & set(roster_of(KEYS, SALT[::-1]).hashes.tolist())


def test_what_is_no_index_is_refused() -> None:
    """Bytes that are none, hashes out of order, a side that is missing."""
    roster = roster_of(KEYS, SALT)
    for document in (b"", b"\xc1", Roster(salt=SALT, hashes=roster.hashes[::-1]).document):
        with pytest.raises(NotVerified):
            parse_roster(document)
        with pytest.raises(NotVerified):
            parse_split(document)
