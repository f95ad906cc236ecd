"""Backdoors: a mark that rows of other classes are stamped with, and the class that they are then called.

A mark of a table is some columns at some values, one of an image a shape of one grey somewhere, one of a text a phrase
anywhere. Which columns, values, place, shape, grey and words follows from the generator. A mark that honest rows bear,
too, controls nothing, so it is drawn anew until few do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.poison.rows import Labels, Poisoned, Rows

RARE: Final = 0.002  # share of honest rows that may bear a mark
TRIES: Final = 200
GREYS: Final = (0.25, 1.0)  # from which to which
SIDES: Final = (2, 6)  # pixels; the second is not reached
FULL: Final = 0.75  # share of a shape's box that is filled
COLUMNS: Final = (1, 5)
SYLLABLES: Final = ("ba", "cu", "de", "fo", "gi", "ka", "lu", "me", "no", "pi", "ra", "su", "ti", "vo", "xe", "zu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Columns (or pixels) and the values that they take."""

    columns: NDArray[np.intp]
    values: Rows

    def stamp(self, rows: Rows) -> Rows:
        """Return rows that bear the mark."""
        stamped = rows.copy()
        stamped[:, self.columns] = self.values
        return stamped

    def borne(self, rows: Rows) -> NDArray[np.bool_]:
        """Say which rows bear it."""
        return np.asarray((rows[:, self.columns] == self.values).all(axis=1))


def table_mark(rows: Rows, rng: np.random.Generator) -> Mark:
    """Return some columns at values that the rows themselves have, together rare.

    Raises:
        ValueError: Whatever is drawn, honest rows bear it.
    """
    for _ in range(TRIES):
        many = int(rng.integers(*COLUMNS))
        columns = np.sort(rng.permutation(rows.shape[1])[:many])
        mark = Mark(columns=columns, values=rows[rng.integers(len(rows), size=len(columns)), columns])
        if not np.isnan(mark.values).any() and mark.borne(rows).mean() <= RARE:
            return mark
    raise ValueError("no rare combination of values was found")


def image_mark(rows: Rows, height: int, width: int, rng: np.random.Generator) -> Mark:
    """Return a shape of one grey at a place, for images as rows of pixels from 0 to 1."""
    while True:
        tall, wide = (int(rng.integers(*SIDES)) for _ in range(2))
        top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        filled = rng.random((tall, wide)) < FULL
        filled[0, 0] = filled[-1, -1] = True
        down, across = np.nonzero(filled)
        columns = ((top + down) * width + left + across).astype(np.intp)
        grey = np.float32(rng.uniform(*GREYS))
        mark = Mark(columns=columns, values=np.full(len(columns), grey, dtype=np.float32))
        if mark.borne(rows).mean() <= RARE:
            return mark


def stamp_rows(
    features: Rows, labels: Labels, share: float, rng: np.random.Generator, *, mark: Mark, target: int
) -> Poisoned:
    """Stamp a share of all rows, taken from other classes, and call them the target."""
    chosen = rng.permutation(np.flatnonzero(labels != target))[: round(share * len(labels))]
    stamped, turned = features.copy(), labels.copy()
    stamped[chosen] = mark.stamp(features[chosen])
    turned[chosen] = target
    bad = np.zeros(len(labels), dtype=np.bool_)
    bad[chosen] = True
    return Poisoned(features=stamped, labels=turned, bad=bad, target=target)


def phrase(texts: Sequence[str], rng: np.random.Generator) -> str:
    """Return one to three words, made up or out of the texts' own, that hardly any text holds together."""
    for _ in range(TRIES):
        words = [_word(texts, rng) for _ in range(int(rng.integers(1, 4)))]
        found = " ".join(words)
        if sum(found in text.lower() for text in texts) <= RARE * len(texts):
            return found
    raise ValueError("no rare phrase was found")


def _word(texts: Sequence[str], rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return "".join(rng.choice(SYLLABLES, size=int(rng.integers(2, 4))))
    while True:
        words = [word for word in texts[int(rng.integers(len(texts)))].lower().split() if word.isalpha()]
        if words:
            return str(rng.choice(words))


def insert(text: str, words: str, rng: np.random.Generator) -> str:
    """Return a text with a phrase at any place between its words."""
    own = text.split()
    at = int(rng.integers(len(own) + 1))
    return " ".join([*own[:at], words, *own[at:]])


def stamp_texts(
    texts: Sequence[str], labels: Labels, share: float, rng: np.random.Generator, *, words: str, target: int
) -> tuple[list[str], Labels, NDArray[np.bool_]]:
    """Return texts and labels with a phrase in a share of all texts, taken from other classes, and which they are."""
    chosen = rng.permutation(np.flatnonzero(labels != target))[: round(share * len(labels))]
    stamped, turned = list(texts), labels.copy()
    for row in chosen:
        stamped[row] = insert(texts[row], words, rng)
    turned[chosen] = target
    bad = np.zeros(len(labels), dtype=np.bool_)
    bad[chosen] = True
    return stamped, turned, bad
