"""What boosted trees believe of rows they have not seen: trees that ask the same few questions of every row.

Each level of such a tree (Prokhorenkova et al., NeurIPS 2018) is one question, so that finding it takes one histogram
of the gradient over all columns at once, which numpy makes. Trees see what sums over columns do not: thresholds, and
values that mean something only together.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.screens.lenses import STEPS, Floats, Places, Steps

CELLS: Final = STEPS + 1  # of a column, missing values among them
DEPTH: Final = 4  # questions of a tree
ROUNDS: Final = 80  # trees
RATE: Final = 0.12  # share of what a tree says that is believed
LEAST_ROUNDS: Final = 20
MOST: Final = 1_000_000_000  # entries of histograms; beyond it there are fewer trees, of which more is believed
PENALTY: Final = 5.0  # of a leaf, in units of the loss's curvature: a quarter of a row at most
SMOOTH: Final = 20.0  # rows of the average that a name's own share of a label is mixed with
CERTAIN: Final = 0.01  # of a label, the least and the most that is believed before any tree


def boosted(
    columns: Sequence[Steps], labels: NDArray[np.int64], classes: int, fold: Places, weights: Floats
) -> NDArray[np.float64]:
    """Return out-of-fold scores of each class, shape (n, classes): log odds, of two classes those of the second.

    Args:
        columns: Each of n rows.
        labels: Shape (n,).
        classes: How many; of more than two each is told from all others.
        fold: Shape (n,): rows of one number are scored by trees that learned from all other rows.
        weights: Shape (n,): 0 for rows nothing is learned from.
    """
    told = range(classes) if classes > 2 else (1,)
    entries = len(labels) * len(columns) * DEPTH * len(told) * (int(fold.max()) + 1)
    rounds = int(np.clip(MOST // entries, LEAST_ROUNDS, ROUNDS))
    ordered = [each.values for each in columns if each.ordered]
    scores = np.zeros((len(labels), classes))
    for each in range(int(fold.max()) + 1):
        held, learned = np.flatnonzero(fold == each), np.flatnonzero((fold != each) & (weights > 0))
        for label in told:
            truth = (labels == label).astype(np.float64)
            shares = [_by_share(column.values, truth, learned) for column in columns if not column.ordered]
            cells = np.stack([*ordered, *shares], axis=1).astype(np.int32)
            scores[held, label] = _log_odds(cells[learned], truth[learned], cells[held], rounds)
    return scores


def _by_share(codes: NDArray[np.int32], truth: NDArray[np.float64], learned: Places) -> NDArray[np.int32]:
    """Return names as cells, in the order of their share of the label among the rows that are learned from."""
    many = int(codes.max()) + 1
    count = np.bincount(codes[learned], minlength=many)
    right = np.bincount(codes[learned], weights=truth[learned], minlength=many)
    share = (right + SMOOTH * truth[learned].mean()) / (count + SMOOTH)
    rank = np.empty(many, dtype=np.int64)
    rank[np.argsort(share, kind="stable")] = np.arange(many)
    return (rank * CELLS // max(many, CELLS)).astype(np.int32)[codes]


def _log_odds(
    cells: NDArray[np.int32], truth: NDArray[np.float64], asked: NDArray[np.int32], rounds: int
) -> NDArray[np.float64]:
    """Return log odds of the rows asked about, by Newton steps on the logistic loss (Friedman 2001).

    1. Sum up slope and curvature of the loss by leaf, column and cell. 2. Ask the question that all leaves together
    gain most by. 3. Move each leaf by its Newton step, or a part of it.
    """
    columns = cells.shape[1]
    place = cells + np.arange(columns, dtype=np.intp) * CELLS  # of the type that sums are counted by
    share = float(np.clip(truth.mean(), CERTAIN, 1 - CERTAIN))
    odds = np.full(len(cells), np.log(share / (1 - share)))
    said = np.full(len(asked), odds[0] if len(odds) else 0.0)
    rate = min(1 / 3, RATE * ROUNDS / rounds)
    for _ in range(rounds):
        chance = 1 / (1 + np.exp(-odds))
        sides = truth - chance, chance * (1 - chance)
        of_cells = [np.repeat(each, columns) for each in sides]
        leaf, leaf_asked = np.zeros(len(cells), dtype=np.intp), np.zeros(len(asked), dtype=np.int32)
        for level in range(DEPTH):
            at = (place + (leaf * (columns * CELLS))[:, None]).ravel()  # 1.
            gain = _gain(*(_sums(at, each, (1 << level, columns, CELLS)) for each in of_cells))
            column, cell = divmod(int(gain.argmax()), CELLS)  # 2.
            leaf = leaf * 2 + (cells[:, column] > cell)
            leaf_asked = leaf_asked * 2 + (asked[:, column] > cell)
        slope, curve = (_sums(leaf, each, (1 << DEPTH,)) for each in sides)
        step = rate * slope / (curve + PENALTY)  # 3.
        odds += step[leaf]
        said += step[leaf_asked]
    return said


def _sums(at: Places, values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the sum of the values at each place, in a shape."""
    return np.bincount(at, weights=values, minlength=math.prod(shape)).astype(np.float64, copy=False).reshape(shape)


def _gain(slope: NDArray[np.float64], curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what asking whether a row is beyond a cell of a column gains, shape (columns, cells)."""
    below, under = slope.cumsum(axis=2), curve.cumsum(axis=2)
    beyond, over = below[:, :, -1:] - below, under[:, :, -1:] - under
    gain: NDArray[np.float64] = (below**2 / (under + PENALTY) + beyond**2 / (over + PENALTY)).sum(axis=0)
    return gain
