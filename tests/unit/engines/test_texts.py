"""Texts become the same numbers in training and at the gateway, whatever stands beside them."""

import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import InvalidData
from holdfast.core.text import Hashing
from holdfast.engines.texts import folded, grams, hashed

HASHINGS = st.builds(
    Hashing,
    grams=st.sampled_from(["words", "characters"]),
    shortest=st.integers(1, 2),
    longest=st.integers(2, 4),
    buckets=st.integers(8, 64),
    most_characters=st.just(2000),
)
TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=6)


@pytest.mark.requirement("FEAT-03")
@settings(max_examples=150, deadline=None)
@given(HASHINGS, TEXTS)
def test_a_text_alone_is_the_same_to_the_bit_as_among_others(hashing: Hashing, texts: list[str]) -> None:
    """Rows hashed together and one by one have the same bytes; each has length 1, or no n-gram at all."""
    together = hashed(hashing, texts)
    alone = np.concatenate([hashed(hashing, [text]) for text in texts])
    assert together.tobytes() == alone.tobytes()
    lengths = np.sqrt((together**2).sum(axis=1))
    assert all(math.isclose(length, 1.0, rel_tol=1e-12) or length == 0 for length in lengths)


def test_the_buckets_are_those_of_the_declared_hash() -> None:
    """A row computed beside it from CRC-32, whose published check value is the hash of nine digits."""
    hashing = Hashing(buckets=16, longest=1)
    assert zlib.crc32(b"123456789") == 0xCBF43926
    expected = np.zeros(16)
    for word in ("free", "free", "entry"):
        code = zlib.crc32(word.encode())
        expected[code % 16] += 1 if code < 1 << 31 else -1
    np.testing.assert_array_equal(hashed(hashing, ["Free ENTRY, free!"])[0], expected / np.sqrt((expected**2).sum()))
    assert np.flatnonzero(hashed(hashing, ["free"])[0]).tolist() == [1294909896 % 16]


def test_n_grams_are_those_that_scikit_learn_counts() -> None:
    """Words of two letters and more, and characters within words: the lists of the library that everybody knows."""
    from sklearn.feature_extraction.text import CountVectorizer

    text = "Free entry in a weekly comp: text WIN to 80086 now, it is free!"
    theirs = CountVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b").build_analyzer()(text)
    assert sorted(grams(Hashing(), text)) == sorted(theirs)
    characters = Hashing(grams="characters", shortest=3, longest=3)
    plain = " ".join(grams(Hashing(longest=1), text))
    longer = CountVectorizer(analyzer="char_wb", ngram_range=(3, 3)).build_analyzer()(plain)
    assert sorted(grams(characters, text)) == sorted(longer)


def test_letters_are_folded_before_they_are_counted() -> None:
    """Case, full-width forms and ligatures make no difference."""
    assert folded("\uff26REE \ufb01nd") == "free find"
    np.testing.assert_array_equal(hashed(Hashing(), ["\uff26REE"]), hashed(Hashing(), ["free"]))


def test_a_missing_text_has_no_numbers_and_an_empty_one_zeros() -> None:
    """NaN for the model to cope with; a text without words is one without words."""
    rows = hashed(Hashing(buckets=8), [None, "", "?!"])
    assert np.isnan(rows[0]).all()
    np.testing.assert_array_equal(rows[1:], np.zeros((2, 8)))


@pytest.mark.parametrize("text", ["x" * 21, "\ufdfa" * 2])
def test_a_text_that_is_too_long_is_refused_also_where_folding_makes_it_so(text: str) -> None:
    """One code point can become eighteen: what is counted is bounded, not what was sent."""
    with pytest.raises(InvalidData, match="characters") as refusal:
        hashed(Hashing(most_characters=20), ["fine", text], place="column message")
    assert refusal.value.place == "column message, row 1"
