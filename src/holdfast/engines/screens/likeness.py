"""Whether rows look like rows of the label they bear, by the labels of the rows most alike, some facts left aside."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.screens.lenses import Items, Places
from holdfast.engines.screens.material import Material

VOTERS: Final = 15
COMPARED: Final = 240  # rows of all classes together that say how rows of each look to their neighbours
FEWEST: Final = 12  # of them of each class
MOST_LIKE: Final = 0.4  # of the way from rows of other labels (0) to rows of the label (1) that others' rows may be on


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """All rows as each other's neighbours, by facts that weigh more the rarer they are.

    Attributes:
        items: The facts.
        labels: Shape (n,).
        classes: How many.
        weight: Of each fact, shape (items,).
        facts: The facts row by row.
        starts: Where each row's facts begin, shape (n + 1,).
    """

    items: Items
    labels: NDArray[np.int64]
    classes: int
    weight: NDArray[np.float64]
    facts: Places
    starts: Places

    def around(self, asked: Places, holds: NDArray[np.bool_], left_aside: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the share of each label among the rows most alike, shape (asked, classes).

        Args:
            asked: Rows.
            holds: Rows that are nobody's neighbours, shape (n,).
            left_aside: Facts that make nobody alike.
        """
        items, n = self.items, len(self.labels)
        weight = self.weight.copy()
        weight[list(left_aside)] = 0
        length = np.sqrt(np.bincount(items.rows, weight[items.what] ** 2, minlength=n)) + 1e-9
        shares = np.zeros((len(asked), self.classes))
        for place, row in enumerate(asked):
            mine = np.zeros(items.count)
            own = self.facts[self.starts[row] : self.starts[row + 1]]
            mine[own] = weight[own] ** 2
            alike = np.bincount(items.rows, mine[items.what], minlength=n) / length
            alike[holds] = alike[row] = -np.inf
            nearest = np.argpartition(-alike, VOTERS)[:VOTERS]
            shares[place] = np.bincount(self.labels[nearest], minlength=self.classes) / VOTERS
        return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How rows of each class look to their neighbours.

    Attributes:
        own: Mean share of each class around its own rows, shape (classes,).
        other: The same around all other rows.
        error: Variance of `other`.
    """

    own: NDArray[np.float64]
    other: NDArray[np.float64]
    error: NDArray[np.float64]

    def like_others(self, expected: NDArray[np.float64], label: int, *, also: float) -> bool:
        """Say whether rows look like rows of other labels; one standard error speaks for the rows.

        Args:
            expected: The share of the label around each of the rows.
            label: What they bear.
            also: Where somebody else sees them on the way from other labels' rows (0) to the label's (1).
        """
        way = float(self.own[label] - self.other[label])
        if way <= 0:
            return False
        error = float(np.sqrt(expected.var() / len(expected) + self.error[label])) / way
        here = (float(expected.mean()) - float(self.other[label])) / way
        return (here + also) / 2 + error <= MOST_LIKE


def gathered(material: Material) -> Crowd:
    """Return the rows of a material as each other's neighbours."""
    items, n = material.items, len(material.labels)
    held = np.bincount(items.what, minlength=items.count)
    order = np.argsort(items.rows, kind="stable")
    return Crowd(
        items=items,
        labels=material.labels,
        classes=material.classes,
        weight=np.log(n / np.maximum(held, 1)),
        facts=items.what[order],
        starts=np.searchsorted(items.rows[order], np.arange(n + 1)),
    )


def looks(crowd: Crowd) -> Looks:
    """Return how rows of each class look, by some of each, every so many of them."""
    nobody, each = np.zeros(len(crowd.labels), dtype=np.bool_), max(FEWEST, COMPARED // crowd.classes)
    shares, spread = np.zeros((crowd.classes, crowd.classes)), np.zeros((crowd.classes, crowd.classes))
    many = np.bincount(crowd.labels, minlength=crowd.classes).astype(np.float64)
    for label in np.flatnonzero(many):
        rows = np.flatnonzero(crowd.labels == label)
        around = crowd.around(rows[:: max(1, len(rows) // each)][:each], nobody, ())
        shares[label], spread[label] = around.mean(axis=0), around.var(axis=0) / len(around)
    others = np.where(np.eye(crowd.classes, dtype=np.bool_), 0.0, many[:, None])
    part = others / np.maximum(others.sum(axis=0), 1)  # (from, label)
    return Looks(own=np.diag(shares), other=(part * shares).sum(axis=0), error=(part**2 * spread).sum(axis=0))
