"""Linkage: which rows of a table are about one entity, by how surprising their agreement is (Fellegi and Sunter 1969).

1. Candidate pairs: rows that share a rare value of a column, or the values of two neighbouring columns.
2. Each pair's pattern: of each column whether the values are equal, nearly equal, different, or one is missing.
3. u: how often random pairs have each level. m: how often pairs of one entity do, by expectation-maximisation over the
   candidates (Winkler 1988), with u fixed. No pair is ever labelled by anybody.
4. A pair's probability from the sum of ln(m/u) and the share of pairs that are of one entity.
5. Entities: what pairs above the threshold connect.

Assumes that columns err independently. What becomes of rows of one entity is left to `entities`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from holdfast.ingest.typos import LETTERS_PER_EDIT, MOST_EDITS, distance

MAX_BLOCK: Final = 40  # rows that share a value and are all compared; a value of more rows says little by itself
MAX_PAIRS: Final = 5_000_000  # candidates; more is a table without anything that tells entities apart
RANDOM_PAIRS: Final = 50_000  # for u
ROUNDS: Final = 100  # of expectation-maximisation, at most
CONVERGED: Final = 1e-6  # largest change of a parameter
MISSING, DIFFERENT, NEAR, EQUAL = range(4)
_LEVELS: Final = 4
_LEAST: Final = 1e-6  # no level is impossible: a probability of 0 would decide alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What was found: pairs with their probabilities, and each row's entity as the number of its first row."""

    pairs: NDArray[np.int64]  # shape (n, 2), the smaller row first
    probabilities: NDArray[np.float64]  # shape (n,)
    entity: NDArray[np.int64]  # shape (rows,)
    weights: dict[str, tuple[float, float, float]]  # ln(m/u) of different, nearly equal, equal, by column


def link(
    table: pl.DataFrame, columns: Sequence[str], *, threshold: float = 0.95, rng: np.random.Generator | None = None
) -> Linked:
    """Return which rows are about one entity.

    Args:
        table: Columns of text.
        columns: Those that say who it is.
        threshold: Probability from which a pair is one entity.
        rng: For the random pairs; the same seed gives the same answer.
    """
    texts = table.select(pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase() for name in columns)
    texts = texts.select(pl.when(pl.all() != "").then(pl.all()).name.keep())
    pairs = candidates(texts)
    patterns = compared(texts, pairs)
    u = _random(texts, rng or np.random.default_rng(0))
    m, share = _estimated(patterns, u)
    weights = np.log(m) - np.log(u)
    weights[:, MISSING] = 0.0
    total = weights[np.arange(len(columns)), patterns].sum(axis=1) if len(pairs) else np.empty(0)
    everything = texts.height * (texts.height - 1) / 2
    prior = np.log(max(share * len(pairs), 0.5) / max(everything, 1.0))
    probabilities = 1.0 / (1.0 + np.exp(-np.clip(total + prior, -700, 700)))
    return Linked(
        pairs=pairs,
        probabilities=probabilities,
        entity=connected(texts.height, pairs[probabilities >= threshold]),
        weights={name: tuple(map(float, weights[i, DIFFERENT:])) for i, name in enumerate(columns)},  # type: ignore[misc]
    )


def candidates(texts: pl.DataFrame) -> NDArray[np.int64]:
    """Return the pairs of rows worth comparing, shape (n, 2), sorted, each once."""
    rows = texts.with_row_index("\0row")
    names = texts.columns
    keys = [[name] for name in names] + [[one, other] for one, other in zip(names, [*names[1:], names[0]], strict=True)]
    found = []
    for key in keys if len(names) > 1 else keys[:1]:
        block = rows.select("\0row", *key).drop_nulls()
        block = block.filter(pl.len().over(key).is_between(2, MAX_BLOCK))
        joined = block.join(block, on=key, suffix=" of the other")
        found.append(joined.select("\0row", other="\0row of the other").filter(pl.col("\0row") < pl.col("other")))
    every = pl.concat(found).unique().sort("\0row", "other").head(MAX_PAIRS)
    return every.to_numpy().astype(np.int64).reshape(-1, 2)


def compared(texts: pl.DataFrame, pairs: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return each pair's level of each column, shape (n, columns)."""
    found = np.empty((len(pairs), texts.width), dtype=np.int8)
    for place, name in enumerate(texts.columns):
        column = texts.get_column(name)
        codes = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
        values = dict(zip(codes.tolist(), column.to_list(), strict=True))
        left, right = codes[pairs[:, 0]], codes[pairs[:, 1]]
        level = np.where((left == 0) | (right == 0), MISSING, np.where(left == right, EQUAL, DIFFERENT))
        unequal = np.flatnonzero(level == DIFFERENT)
        both = np.stack([np.minimum(left, right), np.maximum(left, right)], axis=1)[unequal]
        distinct, back = np.unique(both, axis=0, return_inverse=True)
        near = np.fromiter((is_near(values[a], values[b]) for a, b in distinct.tolist()), bool, len(distinct))
        level[unequal[near[back.reshape(-1)]]] = NEAR
        found[:, place] = level
    return found


def is_near(one: str, other: str) -> bool:
    """Say whether two texts differ by as few edits as slips of a hand make in a text of their length."""
    most = min(MOST_EDITS, max(1, max(len(one), len(other)) // LETTERS_PER_EDIT))
    return distance(one, other, most) <= most


def _random(texts: pl.DataFrame, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how often random pairs of rows have each level, shape (columns, levels), missing left out."""
    rows = texts.height
    pairs = rng.integers(0, max(rows, 1), (min(RANDOM_PAIRS, rows * rows), 2))
    return _shares(compared(texts, pairs[pairs[:, 0] != pairs[:, 1]]), None)


def _shares(patterns: NDArray[np.int8], weight: NDArray[np.float64] | None) -> NDArray[np.float64]:
    found = np.empty((patterns.shape[1], _LEVELS))
    for column in range(patterns.shape[1]):
        counts = np.bincount(patterns[:, column], weights=weight, minlength=_LEVELS).astype(np.float64)
        counts[MISSING] = 0.0
        found[column] = np.maximum(counts / max(counts.sum(), 1e-12), _LEAST)
    return found


def _estimated(patterns: NDArray[np.int8], u: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return m, shape (columns, levels), and the share of candidates that are of one entity."""
    m = np.tile(np.array([1.0, 0.05, 0.1, 0.85]), (u.shape[0], 1))
    share = 0.1
    if not len(patterns):
        return m, 0.0
    distinct, times = np.unique(patterns, axis=0, return_counts=True)
    place = np.arange(u.shape[0])
    for _ in range(ROUNDS):
        weight = np.log(m) - np.log(u)
        weight[:, MISSING] = 0.0
        odds = np.log(share) - np.log1p(-share) + weight[place, distinct].sum(axis=1)
        of_one = times / (1.0 + np.exp(-np.clip(odds, -700, 700)))
        before, m = m, _shares(distinct, of_one)
        share = float(np.clip(of_one.sum() / times.sum(), 1e-6, 1 - 1e-6))
        if np.abs(m - before)[:, DIFFERENT:].max() < CONVERGED:
            break
    return m, share


def connected(rows: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row the smallest row that pairs connect it with, itself among them."""
    parent = list(range(rows))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, other in pairs.tolist():
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    return np.array([root(row) for row in range(rows)], dtype=np.int64)
