"""Pages: whatever the size of a page, and whatever is added between two of them, every old row comes exactly once."""

from collections import Counter
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidRequest
from holdfast.faces.http.pages import GOOD_FOR, MAX_CURSOR, Cursors, Listed, Place, page_of
from holdfast.testing import SettableClock

NAMES: Final = st.text(st.characters(codec="utf-8", exclude_characters="+"), max_size=3)
ABOUT: Final = ("access_users", "ada", {"sort": "user"})
KEYED: Final = Listed(name="one", key=("name", "number"))
GIVEN: Final = Listed(name="one", key=("name",), order="given")
TEXTS: Final = Listed(name="one")
NEWEST: Final = Listed(name="one", key=("number",), order="newest")


def rows_of(names: list[str]) -> list[dict[str, Any]]:
    """Return rows that are told from one another by an id which is no part of their key."""
    return [{"name": name, "number": len(name), "id": number} for number, name in enumerate(names)]


def walk(rows: list[Any], listed: Listed, limit: int, added: list[tuple[int, Any]]) -> list[Any]:
    """Return all rows of all pages; before each page but the first, one more row is put in at a place."""
    cursors = Cursors(lambda: b"k" * 32, SettableClock().now)
    found: list[Any] = []
    cursor, there = "", list(rows)
    while True:
        after = cursors.place(cursor, ABOUT) if cursor else None
        document = {"one": there, "other": ["x"], "says": "kept"}
        page, last = page_of(document, (listed, Listed(name="other")), limit=limit, after=after)
        assert page["says"] == "kept"
        assert len(page["one"]) + len(page["other"]) <= limit
        found += page["one"] + page["other"]
        if last is None:
            assert found.count("x") == 1 + (listed is TEXTS and there.count("x"))
            return found
        cursor = cursors.made(last, ABOUT)
        assert len(cursor) <= MAX_CURSOR
        if added:
            place, row = added.pop()
            there.insert(place % (len(there) + 1), row)


@pytest.mark.parametrize("listed", [KEYED, GIVEN])
@given(names=st.lists(NAMES, max_size=30), more=st.lists(st.tuples(st.integers(0, 99), NAMES)), limit=st.integers(1, 9))
def test_every_old_row_comes_once_whatever_is_added(
    listed: Listed, names: list[str], more: list[tuple[int, str]], limit: int
) -> None:
    """Also where rows have one and the same key; what is added may come, but nothing comes twice."""
    rows = rows_of(names)
    # No new row has the key of another row: of two that nothing tells apart, nobody can say which one was given.
    new = [
        (place, {"name": f"{name}+{n if listed is GIVEN else ''}", "number": -1 - n, "id": 1000 + n})
        for n, (place, name) in enumerate(more)
    ]
    seen = Counter(row["id"] for row in walk(rows, listed, limit, new) if row != "x")
    assert all(seen[row["id"]] == 1 for row in rows)
    assert max(seen.values(), default=1) == 1


@given(texts=st.lists(st.text(max_size=2000), unique=True, max_size=12), limit=st.integers(1, 5))
def test_texts_come_in_order_however_long(texts: list[str], limit: int) -> None:
    """A text is its own key; what a cursor has no room for is cut to its digest."""
    found = walk(texts, TEXTS, limit, [])
    assert Counter(found) == Counter([*texts, "x"])


@given(size=st.integers(0, 40), limit=st.integers(1, 9), grows=st.lists(st.integers(0, 5)))
def test_the_newest_come_first_and_nothing_is_skipped_while_more_happens(
    size: int, limit: int, grows: list[int]
) -> None:
    """As a command reads part of a history: one row more than a page holds, from before the last one given."""
    history = [{"number": number} for number in range(size)]
    found, after = [], None
    while True:
        earlier = [row for row in history if after is None or row["number"] < int(after.key[0])]
        page, after = page_of({"one": earlier[-(limit + 1) :]}, (NEWEST,), limit=limit, after=after)
        found += [row["number"] for row in page["one"]]
        if after is None:
            break
        history += [{"number": len(history) + n} for n in range(grows.pop() if grows else 0)]
    assert found == sorted(range(size), reverse=True)


@given(rows=st.lists(NAMES, unique=True, min_size=2, max_size=9), gone=st.integers(0, 8))
def test_a_row_that_went_leaves_no_gap(rows: list[str], gone: int) -> None:
    """In the order of keys the walk goes on behind it; where rows come as they are given, it must begin anew."""
    listed = Listed(name="one")
    first, last = page_of({"one": rows}, (listed,), limit=1, after=None)
    left = [row for number, row in enumerate(rows) if number != gone % len(rows)]
    rest, _ = page_of({"one": left}, (listed,), limit=99, after=last)
    assert set(rest["one"]) == set(left) - set(first["one"])
    fixed = Listed(name="one", order="given")
    with pytest.raises(InvalidRequest, match="none of ours"):
        page_of({"one": rows[1:]}, (fixed,), limit=1, after=Place(which=0, key=(rows[0],)))


@given(
    key=st.lists(st.text(max_size=20) | st.integers(0, 2**53), max_size=3),
    which=st.integers(0, 3),
    nth=st.integers(0, 9),
    flip=st.integers(0, 10**6),
)
def test_a_cursor_is_read_by_who_made_it_and_for_what_it_was_made(
    key: list[str | int], which: int, nth: int, flip: int
) -> None:
    """Another secret, call, caller, option or day, or one character changed: refused, in the same words."""
    clock = SettableClock()
    cursors = Cursors(lambda: b"k" * 32, clock.now)
    place = Place(which=which, key=tuple(key), nth=nth)
    cursor = cursors.made(place, ABOUT)
    assert cursors.place(cursor, ABOUT) == place
    at = flip % len(cursor)
    changed = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
    words = set()
    for wrong, about, reader in (
        (cursor, ("access_users", "eve", {"sort": "user"}), cursors),
        (cursor, ("access_users", "ada", {"sort": "service"}), cursors),
        (cursor, ("jobs", "ada", {"sort": "user"}), cursors),
        (cursor, ABOUT, Cursors(lambda: b"other" * 8, clock.now)),
        (changed[: at + 1] if at else "", ABOUT, cursors),
        ("é", ABOUT, cursors),
    ):
        with pytest.raises(InvalidRequest) as refused:
            reader.place(wrong, about)
        words.add(str(refused.value))
    clock.advance(GOOD_FOR + timedelta(seconds=1))
    with pytest.raises(InvalidRequest) as refused:
        cursors.place(cursor, ABOUT)
    assert words == {str(refused.value)}
