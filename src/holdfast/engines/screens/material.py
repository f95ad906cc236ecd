"""What screens look at: rows as numbers to learn from, and as items: small facts that a trigger could be made of.

Decides how columns of a table, words of a text and pixels of an image become both. Learns nothing and judges nothing.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Places: TypeAlias = NDArray[np.intp]
Column: TypeAlias = NDArray[np.float64] | NDArray[np.str_]

BUCKETS: Final = 2048  # of hashed words and character n-grams: one float32 matrix of 8 kB a row
QUANTILES: Final = 12  # cells of a numeric column
MAX_VALUES: Final = 200  # values of one column that are told apart; the rest are alike
SUPPORT: Final = 1 / 300  # share of the rows that a fact needs to be an item: a trigger in fewer is not looked for
MIN_SUPPORT: Final = 10  # rows
COMMON: Final = 0.97  # share of the rows from which on a fact says nothing
GREYS: Final = 16  # levels of a pixel
WORD: Final = re.compile(r"[\w£$']+|[^\w\s]")
LETTERS: Final = (3, 4, 5)  # lengths of the character n-grams


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Facts about rows, sparse: entry k says that fact `what[k]` holds of row `rows[k]`."""

    rows: Places
    what: Places
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many facts there are."""
        return len(self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Rows for screens: `features` of shape (n, d) to learn from, items, and class indices of shape (n,)."""

    features: Floats
    items: Items
    labels: NDArray[np.int64]
    classes: int
    image: bool = False

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
    n, parts, items = len(labels), [], []
    for name, values in columns.items():
        if name in texts:
            words = [str(each) for each in values]
            parts.append(_hashed(words))
            items.append(_word_items(words))
        elif values.dtype.kind == "f":
            numbers = values.astype(np.float64)
            parts += [_sizes(numbers), _one_hot(_cells(numbers))]
            items.append(_value_items(name, np.char.mod("%.6g", numbers)))
        else:
            parts.append(_one_hot(_codes(values)))
            items.append(_value_items(name, values.astype(np.str_)))
    dense = [part for part in parts if part.shape[1]]
    if not dense:
        raise ValueError("no column says anything about a label")
    return Material(features=np.hstack(dense), items=_joined(items, n), labels=labels, classes=classes)


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


def support(rows: int) -> int:
    """Return how many rows a fact must hold of to be an item.

    >>> support(1000), support(30000)
    (10, 100)
    """
    return max(MIN_SUPPORT, round(rows * SUPPORT))


def words_of(text: str) -> tuple[str, ...]:
    """Return the words and signs of a text, in lower case, in order.

    >>> words_of("Call NOW!")
    ('call', 'now', '!')
    """
    return tuple(WORD.findall(text.lower()))


def _hashed(texts: Sequence[str]) -> Floats:
    """Return TF-IDF of hashed word uni- and bigrams and character n-grams; digits are alike."""
    found = np.zeros((len(texts), BUCKETS), dtype=np.float32)
    for row, text in enumerate(texts):
        plain = re.sub(r"\d", "0", text.lower())
        words = WORD.findall(plain)
        grams = [*words, *(" ".join(pair) for pair in pairwise(words))]
        grams += ["#" + plain[at : at + size] for size in LETTERS for at in range(len(plain) - size + 1)]
        np.add.at(found[row], [zlib.crc32(gram.encode()) % BUCKETS for gram in grams], 1)
    found = np.log1p(found)
    found *= np.log((1 + len(texts)) / (1 + (found > 0).sum(axis=0))).astype(np.float32)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found * np.float32(4) / np.maximum(length, np.float32(1e-9)), dtype=np.float32)


def _sizes(values: NDArray[np.float64]) -> Floats:
    """Return one column of standardised sizes, on a scale that is straight near zero and a logarithm beyond."""
    known = np.isfinite(values)
    large = np.abs(values[known & (values != 0)])
    unit = float(np.median(large)) / 4 if large.size else 1.0
    sizes = np.arcsinh(np.where(known, values, 0.0) / unit)
    spread = sizes.std()
    centred = (sizes - sizes.mean()) / spread if spread > 0 else np.zeros_like(sizes)
    return np.asarray(centred[:, None] / 4, dtype=np.float32)


def _cells(values: NDArray[np.float64]) -> NDArray[np.intp]:
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), dtype=np.intp)
    inner = np.unique(np.quantile(values[known], np.linspace(0, 1, QUANTILES + 1)[1:-1]))
    return np.where(known, 1 + np.searchsorted(inner, values, side="right"), 0).astype(np.intp)


def _codes(values: Column) -> NDArray[np.intp]:
    _, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.intp)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    enough = (counts >= MIN_SUPPORT) & (rank < MAX_VALUES)
    return np.where(enough[code], rank[code] + 1, 0).astype(np.intp)


def _one_hot(codes: NDArray[np.intp]) -> Floats:
    """Return a column for each code but those of no row; rare ones stand out, as far as they are no noise."""
    made = np.eye(int(codes.max()) + 1, dtype=np.float32)[codes]
    share = made.mean(axis=0)
    kept = (share > 0) & (share < 1)
    return np.asarray(made[:, kept] * (0.4 / np.sqrt(share[kept] * (1 - share[kept]) + 0.02)), dtype=np.float32)


def _value_items(name: str, values: NDArray[np.str_]) -> Items:
    distinct, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    kept = (counts >= support(len(values))) & (counts <= COMMON * len(values))
    number = np.cumsum(kept) - 1
    rows = np.flatnonzero(kept[code])
    names = tuple(f"{name} = {str(each)[:60]}" for each in distinct[kept])
    return Items(rows=rows, what=number[code[rows]].astype(np.intp), names=names)


def _word_items(texts: Sequence[str]) -> Items:
    """Return the words and pairs of words that enough texts hold."""
    holders: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        words = words_of(text)
        pairs = (" ".join(pair) for pair in pairwise(words))
        for gram in {*words, *pairs}:
            holders.setdefault(gram, []).append(row)
    least, most = support(len(texts)), COMMON * len(texts)
    kept = {gram: rows for gram, rows in holders.items() if least <= len(rows) <= most}
    rows = [row for held in kept.values() for row in held]
    what = np.repeat(np.arange(len(kept)), [len(held) for held in kept.values()])
    names = tuple(f"words {gram!r}" for gram in kept)
    return Items(rows=np.array(rows, dtype=np.intp), what=what.astype(np.intp), names=names)


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
