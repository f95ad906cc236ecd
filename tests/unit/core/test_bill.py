"""Lists of parts: named by what stands in them, shared between releases, never longer than an entry."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.artifact import canonical
from holdfast.core.bill import (
    MAX_LIST_BYTES,
    MAX_TEXT,
    Part,
    list_name,
    list_stream,
    lists_of,
    part,
    read_bill,
    read_parts,
)
from holdfast.core.errors import InvalidInput


def environment(**other: str) -> list[Part]:
    """A hundred libraries, some in another version."""
    return [part("library", "pypi", f"lib-{n}", other.get(f"lib{n}", "1.0"), licence="MIT") for n in range(100)]


def test_another_version_of_one_library_makes_one_new_list() -> None:
    """Ten thousand releases that differ in little share nearly all that the ledger holds of them."""
    before, after = ({list_name(each) for each in lists_of(environment(**o))} for o in ({}, {"lib7": "1.1"}))
    assert len(before) == len(after) == 8
    assert len(before - after) == 1


@given(st.lists(st.builds(part, st.sampled_from(["library", "data", "model", "code"]), st.sampled_from(["", "pypi"]),
                          st.text(), st.text(max_size=9), licence=st.text(max_size=9)), max_size=30))  # fmt: skip
def test_lists_hold_every_part_once_and_read_back(parts: list[Part]) -> None:
    """Whatever somebody names: each part stands in just one list, and a list read back is the same."""
    lists = lists_of(parts)
    assert sorted(each for some in lists for each in some) == sorted(set(parts))
    for some in lists:
        stream = list_stream(list_name(some))
        assert read_parts(stream, {"parts": msgspec.to_builtins(some)}) == some


def test_a_long_bill_becomes_several_lists_that_fit_an_entry() -> None:
    """A container image of ten thousand packages, each with long texts."""
    lists = lists_of(part("library", "deb", f"{n:0250}", "1" * 250, licence="x" * 250) for n in range(2000))
    assert sum(map(len, lists)) == 2000
    assert max(len(canonical(some)) for some in lists) <= MAX_LIST_BYTES + 2
    with pytest.raises(InvalidInput, match="lists of parts"):
        lists_of(part("library", "deb", f"{n:0250}", "1" * 250, licence="x" * 250) for n in range(50_000))


def test_texts_are_cut_to_what_a_table_holds() -> None:
    """Control characters become spaces, and what is too long is cut, so that no append is refused for a name."""
    made = part("library", "pypi", "A_b\n\x00" + "x" * 500, "1\t2")
    assert made.name.startswith("a-b  x")
    assert made.version == "1 2"
    assert len(made.name) == MAX_TEXT


@pytest.mark.parametrize(
    "body",
    [{}, {"parts": []}, {"parts": [["library"]]}, {"parts": [["weapon", "", "x", "", "", ""]]}, {"parts": "numpy"},
     {"parts": [["library", "", "other", "", "", ""]]}, {"parts": [["library", "", 7, "", "", ""]]}],
)  # fmt: skip
def test_a_list_under_a_name_that_is_not_its_own_is_refused(body: dict[str, Any]) -> None:
    """Nobody can put other parts into a list that bills already name."""
    stream = list_stream(list_name((part("library", "", "numpy"),)))
    with pytest.raises(InvalidInput):
        read_parts(stream, body)


@pytest.mark.parametrize(
    "body",
    [{}, {"model": "m", "serial": "s", "lists": ["sha256:x"]}, {"model": "", "serial": "s", "lists": []},
     {"model": "m\n", "serial": "s", "lists": []}, {"model": "m", "serial": "s", "lists": ["a" * 64], "more": 1}],
)  # fmt: skip
def test_a_bill_that_cannot_be_read_is_refused(body: dict[str, Any]) -> None:
    """What the ledger takes in, every later reader must be able to read."""
    with pytest.raises(InvalidInput):
        read_bill("sha256:" + "a" * 64, body)
