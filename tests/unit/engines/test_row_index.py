"""The index of rows, held against sets in plain Python."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import NotVerified
from holdfast.engines.row_index import (
    SIDES,
    Roster,
    RowIndex,
    parse_roster,
    parse_split,
    roster_of,
    split_of,
)

SALT = bytes(range(32))
KEYS = [f"wdbc-{number:04d}" for number in range(40)]
CHOICES = st.lists(st.sampled_from([*SIDES, ""]), min_size=len(KEYS), max_size=len(KEYS))


def index_of(*choices: list[str]) -> RowIndex:
    """An index of splits in which each key is on the side that is chosen for it, or on none."""
    roster = roster_of(KEYS, SALT)
    splits = {}
    for number, chosen in enumerate(choices):
        sides = {side: [key for key, at in zip(KEYS, chosen, strict=True) if at == side] for side in SIDES}
        splits[f"split-{number}"] = parse_split(split_of(roster, "roster", sides).document)
    return RowIndex(rosters={"roster": parse_roster(roster.document)}, splits=splits)


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
    found = index.touched(request).get("split-0", dict.fromkeys(SIDES, 0))
    assert found == expected
    assert index.known(request) == sum(key in where for key in request)


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
