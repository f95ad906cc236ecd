"""Lenses: what must be known of a whole column to see any of its rows as numbers and as facts.

Decides how numbers, names and sentences become both. A column is looked at whole once, and of it what the rows need is
kept: quantiles, shares, the facts that enough rows hold. Its rows are made into numbers later, some at a time.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Places: TypeAlias = NDArray[np.intp]
Plain: TypeAlias = NDArray[np.float64] | NDArray[np.str_]

BUCKETS: Final = 2048  # of hashed words and character n-grams: one float32 matrix of 8 kB a row
QUANTILES: Final = 12  # cells of a numeric column
STEPS: Final = 32  # that trees tell apart in a numeric column
MAX_VALUES: Final = 200  # values of one column that are told apart; the rest are alike
SUPPORT: Final = 1 / 300  # share of the rows that a fact needs to be an item: a trigger in fewer is not looked for
MIN_SUPPORT: Final = 10  # rows
COMMON: Final = 0.97  # share of the rows from which on a fact says nothing
WORD: Final = re.compile(r"[\w£$']+|[^\w\s]")
LETTERS: Final = (3, 4, 5)  # lengths of the character n-grams
BLOCK: Final = 1 << 12  # sentences that are hashed at a time while a column is looked at: 32 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """A column of texts by its distinct values: those in order, and of each row the place of its own, shape (n,)."""

    distinct: NDArray[np.object_]
    codes: NDArray[np.signedinteger] | NDArray[np.unsignedinteger]

    def __getitem__(self, rows: "Places | NDArray[np.bool_] | slice") -> NDArray[np.str_]:
        """Return the texts of some rows."""
        return np.asarray(self.distinct[self.codes[rows]], dtype=np.str_)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.codes)

    def take(self, rows: Places) -> "Names":
        """Return some rows, the values being all that there are."""
        return Names(distinct=self.distinct, codes=self.codes[rows])

    def texts(self) -> Iterator[str]:
        """Yield the text of each row."""
        return (self.distinct[code] for code in self.codes)


Column: TypeAlias = Plain | Names


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
class Steps:
    """A column as trees see it: whole numbers of shape (n,), and whether their order means anything."""

    values: NDArray[np.int32]
    ordered: bool

    def take(self, rows: Places) -> "Steps":
        """Return some rows."""
        return Steps(values=self.values[rows], ordered=self.ordered)


class Lens(Protocol):
    """What was learned of one column."""

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        ...

    def features(self, some: Column) -> list[Floats]:
        """Return rows as numbers, in one or more stretches of columns."""
        ...

    def items(self, some: Column) -> Items:
        """Return the facts that hold of rows."""
        ...

    def steps(self, some: Column) -> Steps | None:
        """Return rows as trees see them; None where they see nothing of such a column."""
        ...


def lens_of(name: str, column: Column, *, text: bool) -> Lens:
    """Look at a column, and return what must be known of it.

    Args:
        name: The column's name, which stands in facts.
        column: Its rows, all of them.
        text: Whether it holds sentences.
    """
    if not isinstance(column, Names) and column.dtype.kind == "f":
        return _numbers(name, column.astype(np.float64, copy=False))
    names = column if isinstance(column, Names) else _named(column)
    return _sentences(names) if text else _values(name, names)


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


def _named(values: Column) -> Names:
    if isinstance(values, Names):
        return values
    distinct, codes = np.unique(values.astype(np.str_, copy=False), return_inverse=True)
    return Names(distinct=distinct.astype(object), codes=codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """Numbers: on a scale that is straight near zero and a logarithm beyond, standardised; and by their cell."""

    name: str
    unit: float
    mean: float
    spread: float
    inner: NDArray[np.float64]  # borders of cells
    fine: NDArray[np.float64]  # borders of steps
    seen: Floats  # (cells, what a row of each becomes)
    known: NDArray[np.str_]  # values, as they are shown, that are facts; in order

    @property
    def width(self) -> int:
        return 1 + int(self.seen.shape[1])

    def features(self, some: Column) -> list[Floats]:
        assert not isinstance(some, Names)  # noqa: S101 - a column does not change its sort
        values = some.astype(np.float64, copy=False)
        sizes = _sizes(values, self.unit)
        centred = (sizes - self.mean) / self.spread if self.spread > 0 else np.zeros_like(sizes)
        return [np.asarray(centred[:, None] / 4, dtype=np.float32), self.seen[_cells(values, self.inner)]]

    def items(self, some: Column) -> Items:
        assert not isinstance(some, Names)  # noqa: S101 - as above
        names = tuple(f"{self.name} = {str(each)[:60]}" for each in self.known)
        if not len(self.known):
            return Items(rows=np.zeros(0, dtype=np.intp), what=np.zeros(0, dtype=np.intp), names=())
        texts = _written(some.astype(np.float64, copy=False))
        place = np.minimum(np.searchsorted(self.known, texts), len(self.known) - 1)
        rows = np.flatnonzero(self.known[place] == texts)
        return Items(rows=rows, what=place[rows].astype(np.intp), names=names)

    def steps(self, some: Column) -> Steps | None:
        assert not isinstance(some, Names)  # noqa: S101 - as above
        cells = _cells(some.astype(np.float64, copy=False), self.fine)
        return Steps(values=cells.astype(np.int32), ordered=True)


def _numbers(name: str, values: NDArray[np.float64]) -> _Sizes:
    known = np.isfinite(values)
    large = np.abs(values[known & (values != 0)])
    unit = float(np.median(large, overwrite_input=True)) / 4 if large.size else 1.0
    del large
    sizes = _sizes(values, unit)
    mean, spread = sizes.mean(), sizes.std()
    del sizes
    inner, fine = np.zeros(0), np.zeros(0)
    if known.any():
        there = values[known]
        there.sort()
        inner, fine = (np.unique(np.quantile(there, np.linspace(0, 1, many)[1:-1])) for many in (QUANTILES + 1, STEPS))
        del there
    counts = np.zeros(len(inner) + 2, dtype=np.int64)
    for start in range(0, len(values), _SOME):
        counts += np.bincount(_cells(values[start : start + _SOME], inner), minlength=len(counts))
    return _Sizes(
        name=name,
        unit=unit,
        mean=mean,
        spread=spread,
        inner=inner,
        fine=fine,
        seen=_one_hot(counts, len(values)),
        known=_frequent(values),
    )


_SOME: Final = 1 << 18  # numbers of a column that are put into cells at a time


def _sizes(values: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    sizes = np.where(np.isfinite(values), values, 0.0)
    sizes /= unit
    return np.arcsinh(sizes, out=sizes)


def _cells(values: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.intp]:
    known = np.isfinite(values)
    if not len(inner):
        return np.zeros(len(values), dtype=np.intp)
    return np.where(known, 1 + np.searchsorted(inner, values, side="right"), 0).astype(np.intp)


def _one_hot(counts: NDArray[np.int64], rows: int) -> Floats:
    """Return what a row of each code becomes: a column for each code but those of no row, or of all.

    Rare ones stand out, as far as they are no noise.

    Args:
        counts: How many rows have each code.
        rows: How many there are.
    """
    share = (counts.astype(np.float32) / np.float64(rows)).astype(np.float32)
    kept = (share > 0) & (share < 1)
    scale = (0.4 / np.sqrt(share[kept] * (1 - share[kept]) + 0.02)).astype(np.float32)
    return np.asarray(np.eye(len(counts), dtype=np.float32)[:, kept] * scale, dtype=np.float32)


def _written(values: NDArray[np.float64]) -> NDArray[np.str_]:
    return np.asarray(np.char.mod("%.6g", values), dtype=np.str_)


def _frequent(values: NDArray[np.float64]) -> NDArray[np.str_]:
    """Return the numbers, as they are shown, that enough rows hold, and not nearly all; in the order of texts.

    Rounding keeps their order, so that those which are shown alike lie side by side among all in order: a stretch of as
    many as are enough holds one of the places that are that far apart.
    """
    n, least = len(values), support(len(values))
    bits = values.view(np.int64) if values.flags.c_contiguous else values.copy().view(np.int64)
    ordered = np.where(bits < 0, bits ^ np.iinfo(np.int64).max, bits)  # as numbers are, and -0 before 0
    ordered.sort()

    def shown(place: int) -> str:
        key = ordered[place]
        number = float((key ^ np.iinfo(np.int64).max if key < 0 else key).view(np.float64))
        return f"{number:.6g}"

    def edge(inside: int, outside: int, text: str) -> int:
        while abs(outside - inside) > 1:
            middle = (inside + outside) // 2
            inside, outside = (middle, outside) if shown(middle) == text else (inside, middle)
        return inside

    counts: dict[str, int] = {}
    for place in range(0, n, least):
        text = shown(place)
        if text not in counts:
            counts[text] = edge(place, n, text) - edge(place, -1, text) + 1
    return np.array(sorted(text for text, count in counts.items() if least <= count <= COMMON * n), dtype=np.str_)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """Names: each frequent one a number and a fact of its own."""

    seen: Floats  # (distinct values, what a row of each becomes)
    code: NDArray[np.int32]  # of each value: 1 for the most frequent, 0 for all that are rare
    number: Places  # of the fact that each value is; -1 where it is none
    names: tuple[str, ...]

    @property
    def width(self) -> int:
        return int(self.seen.shape[1])

    def features(self, some: Column) -> list[Floats]:
        return [self.seen[_named(some).codes]]

    def items(self, some: Column) -> Items:
        number = self.number[_named(some).codes]
        rows = np.flatnonzero(number >= 0)
        return Items(rows=rows, what=number[rows].astype(np.intp), names=self.names)

    def steps(self, some: Column) -> Steps | None:
        return Steps(values=self.code[_named(some).codes], ordered=False)


def _values(name: str, values: Names) -> _Values:
    n, distinct = len(values), len(values.distinct)
    counts = np.bincount(values.codes, minlength=distinct)
    rank = np.empty(distinct, dtype=np.intp)
    rank[np.argsort(-counts, kind="stable")] = np.arange(distinct)
    code = np.where((counts >= MIN_SUPPORT) & (rank < MAX_VALUES), rank + 1, 0)
    of_code = np.bincount(code, weights=counts, minlength=int(code.max()) + 1).astype(np.int64)
    kept = (counts >= support(n)) & (counts <= COMMON * n)
    return _Values(
        seen=_one_hot(of_code, n)[code],
        code=code.astype(np.int32),
        number=np.where(kept, np.cumsum(kept) - 1, -1).astype(np.intp),
        names=tuple(f"{name} = {str(each)[:60]}" for each in values.distinct[kept]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sentences:
    """Texts: hashed words and n-grams, weighed by how rare they are; and the words and pairs that enough texts hold."""

    weight: Floats
    grams: Mapping[str, int]

    @property
    def width(self) -> int:
        return BUCKETS

    def features(self, some: Column) -> list[Floats]:
        found = _hashed(list(_named(some).texts()))
        found = np.log1p(found)
        found *= self.weight
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return [np.asarray(found * np.float32(4) / np.maximum(length, np.float32(1e-9)), dtype=np.float32)]

    def items(self, some: Column) -> Items:
        held = list[list[int]]([] for _ in self.grams)
        for row, text in enumerate(_named(some).texts()):
            for gram in _grams(text):
                if gram in self.grams:
                    held[self.grams[gram]].append(row)
        rows = [row for each in held for row in each]
        what = np.repeat(np.arange(len(held)), [len(each) for each in held])
        names = tuple(f"words {gram!r}" for gram in self.grams)
        return Items(rows=np.array(rows, dtype=np.intp), what=what.astype(np.intp), names=names)

    def steps(self, some: Column) -> Steps | None:  # noqa: ARG002 - a lens' signature
        return None


def _sentences(values: Names) -> _Sentences:
    n, held, holders = len(values), np.zeros(BUCKETS, dtype=np.int64), Counter[str]()
    for start in range(0, n, BLOCK):
        texts = list(values.take(np.arange(start, min(start + BLOCK, n))).texts())
        held += (_hashed(texts) > 0).sum(axis=0)
        for text in texts:
            holders.update(_grams(text))
    least, most = support(n), COMMON * n
    kept = [gram for gram, rows in holders.items() if least <= rows <= most]
    return _Sentences(
        weight=np.log((1 + n) / (1 + held)).astype(np.float32),
        grams={gram: number for number, gram in enumerate(kept)},
    )


def _hashed(texts: Sequence[str]) -> Floats:
    """Return how often each bucket's word uni- and bigrams and character n-grams stand in texts; digits are alike."""
    found = np.zeros((len(texts), BUCKETS), dtype=np.float32)
    for row, text in enumerate(texts):
        plain = re.sub(r"\d", "0", text.lower())
        words = WORD.findall(plain)
        grams = [*words, *(" ".join(pair) for pair in pairwise(words))]
        grams += ["#" + plain[at : at + size] for size in LETTERS for at in range(len(plain) - size + 1)]
        np.add.at(found[row], [zlib.crc32(gram.encode()) % BUCKETS for gram in grams], 1)
    return found


def _grams(text: str) -> tuple[str, ...]:
    """Return the words and pairs of words of a text, each once."""
    words = words_of(text)
    return tuple(dict.fromkeys([*words, *(" ".join(pair) for pair in pairwise(words))]))
