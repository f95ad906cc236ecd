"""Texts as numbers: the one code by which training and the gateway turn a text into a fixed count of inputs.

The hashing trick (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009): each n-gram of
a text falls into one of `buckets` by a hash of its UTF-8, with a sign by another bit of it, and the row of sums is
brought to length 1. The hash is CRC-32 (ISO 3309, `zlib`), which every Python computes alike; who knows it can write
texts that collide, as with any hash without a key, so a bucket means nothing by itself.

Decides the arithmetic and nothing else; knows numpy only. Rows are computed one by one, over whole numbers until the
one division, so that a row is the same to the bit whatever stands beside it.
"""

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidData
from holdfast.core.text import Hashing

UNICODE: Final = unicodedata.unidata_version  # of the tables by which letters are folded here
_WORD: Final = re.compile(r"\w+")
_SIGN: Final = 1 << 31


def hashed(hashing: Hashing, texts: Sequence[str | None], *, place: str = "") -> NDArray[np.float64]:
    """Return the inputs that texts become, shape (n, buckets), each row of length 1, or 0 where it has no n-gram.

    Args:
        hashing: What is counted.
        texts: A missing text makes its whole row NaN.
        place: Named where a text is too long.

    Raises:
        InvalidData: A text is longer than was declared.

    >>> row = hashed(Hashing(buckets=16, longest=1), ["free entry, free"])[0]
    >>> float((row**2).sum().round(12)), sorted(set(abs(row).round(3).tolist()))
    (1.0, [0.0, 0.447, 0.894])
    """
    rows = np.zeros((len(texts), hashing.buckets))
    for number, text in enumerate(texts):
        if text is None:
            rows[number] = np.nan
            continue
        if len(text) > hashing.most_characters or len(folded(text)) > hashing.most_characters:
            raise InvalidData(
                f"a text of {len(text)} characters",
                place=f"{place}, row {number}" if place else f"row {number}",
                expected=f"at most {hashing.most_characters}, also once its letters are folded",
                remedy="Raise most_characters, or set such rows aside by a check of the contract.",
            )
        _count(hashing, text, rows[number])
    return rows


def folded(text: str) -> str:
    """Return a text without differences of case and of compatible forms (NFKC), which may make it longer."""
    return unicodedata.normalize("NFKC", text).casefold()


def _count(hashing: Hashing, text: str, row: NDArray[np.float64]) -> None:
    """Add a text's n-grams to a row of zeros, and bring it to length 1."""
    sums: dict[int, int] = {}
    for gram, times in Counter(grams(hashing, text)).items():
        code = zlib.crc32(gram.encode())
        bucket = code % hashing.buckets
        sums[bucket] = sums.get(bucket, 0) + (times if code < _SIGN else -times)
    length = sum(value * value for value in sums.values())  # exact: whole numbers
    if length:
        row[list(sums)] = np.array(list(sums.values()), dtype=np.float64) / np.sqrt(np.float64(length))


def grams(hashing: Hashing, text: str) -> Iterable[str]:
    """Yield a text's n-grams: runs of words, or of characters within each word and its blanks.

    >>> list(grams(Hashing(longest=2), "You won!"))
    ['you', 'won', 'you won']
    >>> list(grams(Hashing(grams="characters", shortest=3, longest=3), "won"))
    [' wo', 'won', 'on ']
    """
    words = _WORD.findall(folded(text))
    if hashing.grams == "words":
        for size in range(hashing.shortest, hashing.longest + 1):
            for begin in range(len(words) - size + 1):
                yield words[begin] if size == 1 else " ".join(words[begin : begin + size])
        return
    for word in words:
        padded = f" {word} "
        for size in range(hashing.shortest, hashing.longest + 1):
            for begin in range(len(padded) - size + 1):
                yield padded[begin : begin + size]
