"""What screens look at: rows as numbers to learn from, and as items: small facts that a trigger could be made of.

Decides how columns of a table, words of a text and pixels of an image become both. Learns nothing and judges nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.screens.lenses import Column, Floats, Items, Lens, Names, Places, Steps, lens_of, support

GREYS: Final = 16  # levels of a pixel
TOGETHER: Final = 16  # parts whose rows are taken out of a column at a time: it may have to be opened for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Rows for screens: `features` of shape (n, d) to learn from, items, and class indices of shape (n,)."""

    features: Floats
    items: Items
    labels: NDArray[np.int64]
    classes: int
    steps: tuple[Steps, ...] = ()  # columns as trees see them
    image: bool = False

    def parts(self, wanted: Sequence[Places]) -> Iterator["Material"]:
        """Yield some of the rows after the other."""
        return map(self.part, wanted)

    def part(self, rows: Places) -> "Material":
        """Return some of the rows, in their order."""
        place = np.full(len(self.labels), -1)
        place[rows] = np.arange(len(rows))
        kept = place[self.items.rows] >= 0
        items = Items(
            rows=place[self.items.rows[kept]].astype(np.intp), what=self.items.what[kept], names=self.items.names
        )
        return Material(
            features=self.features[rows],
            items=items,
            labels=self.labels[rows],
            classes=self.classes,
            steps=tuple(each.take(rows) for each in self.steps),
            image=self.image,
        )


def from_columns(
    columns: Mapping[str, Column], labels: NDArray[np.int64], classes: int, *, texts: Sequence[str] = ()
) -> Material:
    """Return the material of a table: numbers by quantile and size, other values by name, columns of texts by words.

    Args:
        columns: Each of shape (n,): float64 with NaN for a missing value, or text.
        labels: Shape (n,), 0 to classes - 1.
        classes: How many.
        texts: The columns that hold sentences.

    Raises:
        ValueError: No column says anything.
    """
    (made,) = learned(columns, labels, classes, texts=texts).parts([np.arange(len(labels))])
    return made


def learned(
    columns: Mapping[str, Column], labels: NDArray[np.int64], classes: int, *, texts: Sequence[str] = ()
) -> "Learned":
    """Return the same table before any of it is made into numbers, of which parts can be.

    Args:
        columns: As in `from_columns`; each is asked for when it is looked at, so that they may be opened one by one.
        labels: As there.
        classes: As there.
        texts: As there.

    Raises:
        ValueError: No column says anything.
    """
    lenses = {name: lens_of(name, columns[name], text=name in texts) for name in columns}
    if not any(lens.width for lens in lenses.values()):
        raise ValueError("no column says anything about a label")
    return Learned(columns=columns, labels=labels, classes=classes, lenses=lenses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A table of which every column was looked at: what it takes to make any of its rows into material.

    Attributes:
        columns: As they were given.
        labels: Class indices, shape (n,).
        classes: How many.
        lenses: What was learned of each column, which must be known to see any row of it.
    """

    columns: Mapping[str, Column]
    labels: NDArray[np.int64]
    classes: int
    lenses: Mapping[str, Lens]

    def parts(self, wanted: Sequence[Places]) -> Iterator[Material]:
        """Yield the material of some rows after the other, each as it would be among the whole."""
        for start in range(0, len(wanted), TOGETHER):
            some = wanted[start : start + TOGETHER]
            taken: list[dict[str, Column]] = [{} for _ in some]
            for name in self.lenses:
                column = self.columns[name]
                for into, rows in zip(taken, some, strict=True):
                    into[name] = column.take(rows) if isinstance(column, Names) else column[rows]
            for rows, given in zip(some, taken, strict=True):
                yield self._material(rows, given)

    def _material(self, rows: Places, given: dict[str, Column]) -> Material:
        dense, items, steps = list[Floats](), list[Items](), list[Steps]()
        for name, lens in self.lenses.items():
            some = given.pop(name)
            dense += [each for each in lens.features(some) if each.shape[1]]
            items.append(lens.items(some))
            if (seen := lens.steps(some)) is not None:
                steps.append(seen)
        return Material(
            features=np.hstack(dense),
            items=_joined(items, len(rows)),
            labels=self.labels[rows],
            classes=self.classes,
            steps=tuple(steps),
        )


def from_images(pixels: NDArray[np.floating], labels: NDArray[np.int64], classes: int) -> Material:
    """Return the material of images, shape (n, height, width) or (n, pixels), values from 0 to 1."""
    flat = np.asarray(pixels, dtype=np.float32).reshape(len(labels), -1)
    levels = np.minimum((flat * GREYS).astype(np.int16), GREYS - 1)
    rows, what, names, known = [], [], [], 0
    for place in range(flat.shape[1]):
        column = levels[:, place]
        counts = np.bincount(column, minlength=GREYS)
        number = np.full(GREYS, -1)
        kept = np.flatnonzero((counts >= support(len(flat))) & (counts <= len(flat) // 2))
        number[kept] = known + np.arange(len(kept))
        there = np.flatnonzero(number[column] >= 0)
        rows.append(there)
        what.append(number[column[there]])
        names += [f"pixel {place} = {level / (GREYS - 1):.2f}" for level in kept]
        known += len(kept)
    items = Items(
        rows=np.concatenate(rows).astype(np.intp), what=np.concatenate(what).astype(np.intp), names=tuple(names)
    )
    return Material(features=flat, items=items, labels=labels, classes=classes, image=True)


def _joined(items: Sequence[Items], rows: int) -> Items:
    starts = np.cumsum([0, *(part.count for part in items)])
    if not starts[-1]:
        return Items(rows=np.zeros(0, dtype=np.intp), what=np.zeros(0, dtype=np.intp), names=())
    joined = Items(
        rows=np.concatenate([part.rows for part in items]),
        what=np.concatenate([part.what + start for part, start in zip(items, starts, strict=False)]),
        names=tuple(name for part in items for name in part.names),
    )
    if joined.rows.size and joined.rows.max() >= rows:
        raise ValueError("an item of a row that does not exist")
    return joined
