from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidData
from holdfast.train.split import Shares, Side, assign, repeated_rows

SHARES = Shares(test=0.25, validation=0.15)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], np.ndarray]:
    """Ids with repetitions, and labels of two classes with enough entities of each."""
    entities = draw(st.integers(40, 120))
    sizes = draw(st.lists(st.integers(1, 3), min_size=entities, max_size=entities))
    ids = [f"e{entity}" for entity, size in enumerate(sizes) for _ in range(size)]
    return ids, np.array([int(name[1:]) % 2 for name in ids], dtype=np.int64)


@given(tables(), st.integers(0, 2**31))
def test_an_entity_is_on_one_side_only(table: tuple[list[str], np.ndarray], seed: int) -> None:
    """However often an id occurs, all its rows are learned from, tuned on, or sealed: never two of them."""
    ids, labels = table
    sides = assign(ids, labels, SHARES, seed)
    for name in set(ids):
        assert len({int(side) for side, each in zip(sides, ids, strict=True) if each == name}) == 1


@given(tables(), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_the_order_of_the_table_does_not_move_a_row(
    table: tuple[list[str], np.ndarray], seed: int, random: Random
) -> None:
    """Two tables of the same rows in different order are split alike: the digest of the seed and id decides."""
    ids, labels = table
    order = list(range(len(ids)))
    random.shuffle(order)
    moved = assign([ids[place] for place in order], labels[order], SHARES, seed)
    assert (moved == assign(ids, labels, SHARES, seed)[order]).all()


@given(tables(), st.integers(0, 2**31))
def test_each_class_is_cut_as_the_shares_say(table: tuple[list[str], np.ndarray], seed: int) -> None:
    """Each class's rows are on each side in its share, but for the largest entity."""
    ids, labels = table
    sides = assign(ids, labels, SHARES, seed)
    for label in (0, 1):
        mine = sides[labels == label]
        assert abs((mine == Side.TEST).sum() - SHARES.test * mine.size) <= 3
        assert abs((mine == Side.VALIDATION).sum() - SHARES.validation * mine.size) <= 3


def test_another_seed_is_another_split() -> None:
    """The seed decides: two seeds do not seal the same rows."""
    ids, labels = [f"e{number}" for number in range(200)], np.arange(200, dtype=np.int64) % 2
    assert (assign(ids, labels, SHARES, 1) != assign(ids, labels, SHARES, 2)).any()


def test_a_class_of_too_few_entities_is_refused() -> None:
    """Two patients cannot be on three sides: the class is named, and nothing is trained."""
    ids = [f"e{number}" for number in range(40)] + ["rare-1", "rare-2"]
    labels = np.array([0] * 20 + [1] * 20 + [2] * 2, dtype=np.int64)
    with pytest.raises(InvalidData, match="class 2 has 2 entities"):
        assign(ids, labels, SHARES, 0)


def test_an_entity_of_two_classes_counts_to_its_most_frequent() -> None:
    """A patient who was ill twice and well once is stratified as ill, and still on one side."""
    ids = [f"e{number // 3}" for number in range(120)]
    labels = np.array([1 if number % 3 == 2 else (number // 3) % 2 for number in range(120)], dtype=np.int64)
    sides = assign(ids, labels, SHARES, 4)
    assert {len(set(sides[start : start + 3].tolist())) for start in range(0, 120, 3)} == {1}


def test_a_sealed_row_that_was_also_seen_is_found() -> None:
    """Exact repetitions are found, missing values and signed zeros included; a row that differs is not."""
    seen = np.array([[1.0, np.nan], [0.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    sealed = np.array([[1.0, np.nan], [-0.0, 2.0], [3.0, 4.5], [np.nan, 1.0]], dtype=np.float32)
    assert repeated_rows(sealed, seen).tolist() == [0, 1]
