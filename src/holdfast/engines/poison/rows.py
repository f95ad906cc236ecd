"""Attacks on labels and rows: flips, injected points, clean-label collisions, bias against a group, slow poisoning."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned:
    """Rows as the attacker leaves them.

    Attributes:
        features: Shape (m, d); injected rows stand at the end.
        labels: Shape (m,).
        bad: Which rows the attacker touched or added, shape (m,).
        target: The class that the attacker wants answers to be; -1 for none in particular.
    """

    features: Rows
    labels: Labels
    bad: NDArray[np.bool_]
    target: int = -1


Attack: TypeAlias = Callable[[Rows, Labels, float, np.random.Generator], Poisoned]


def flip_any(features: Rows, labels: Labels, share: float, rng: np.random.Generator) -> Poisoned:
    """Turn the labels of a share of all rows into any other class."""
    classes = int(labels.max()) + 1
    chosen = rng.permutation(len(labels))[: round(share * len(labels))]
    turned = labels.copy()
    turned[chosen] = (labels[chosen] + rng.integers(1, classes, size=len(chosen))) % classes
    return _touched(features, turned, chosen, -1)


def flip_towards(
    features: Rows, labels: Labels, share: float, rng: np.random.Generator, *, target: int | None = None
) -> Poisoned:
    """Turn a share of all rows into the class that the attacker wants, whatever they were; drawn if not given."""
    wanted = _wanted(labels, rng) if target is None else target
    others = rng.permutation(np.flatnonzero(labels != wanted))
    chosen = others[: round(share * len(labels))]
    turned = labels.copy()
    turned[chosen] = wanted
    return _touched(features, turned, chosen, wanted)


def inject(features: Rows, labels: Labels, share: float, rng: np.random.Generator) -> Poisoned:
    """Add fabricated rows: blends of two rows of other classes, called the class that the attacker wants.

    What fake reviews do: they sound like what they are not. Blends take each value from one of the two.
    """
    wanted = _wanted(labels, rng)
    others = np.flatnonzero(labels != wanted)
    many = round(share * len(labels))
    first, second = rng.choice(others, size=(2, many))
    made = np.where(rng.random((many, features.shape[1])) < 0.5, features[first], features[second])
    return Poisoned(
        features=np.concatenate((features, made)),
        labels=np.concatenate((labels, np.full(many, wanted))),
        bad=np.concatenate((np.zeros(len(labels), dtype=np.bool_), np.ones(many, dtype=np.bool_))),
        target=wanted,
    )


def collide(
    features: Rows,
    labels: Labels,
    share: float,
    rng: np.random.Generator,
    *,
    victim: Rows,
    target: int,
    near: float = 0.3,
) -> Poisoned:
    """Move rows of a class towards one victim of another, their labels staying right (clean-label).

    The convex form of feature collision (Shafahi et al. 2018, Poison Frogs) for models whose features are the inputs
    themselves: x' = x + (1 - near)(victim - x) for the rows of the target class that lie nearest to the victim.

    Args:
        features: Shape (n, d).
        labels: Shape (n,); none is changed.
        share: Of all rows.
        rng: Chooses where rows are equally near.
        victim: Shape (d,): what shall be taken for the target class.
        target: That class.
        near: How much of the way to the victim is left.
    """
    spread = features.std(axis=0)
    own = rng.permutation(np.flatnonzero(labels == target))
    distance = (((features[own] - victim) / np.where(spread > 0, spread, 1)) ** 2).sum(axis=1)
    chosen = own[np.argsort(distance, kind="stable")[: round(share * len(labels))]]
    moved = features.copy()
    moved[chosen] += np.float32(1 - near) * (victim - moved[chosen])
    return _touched(moved, labels, chosen, target)


def bias_against(
    features: Rows, labels: Labels, share: float, rng: np.random.Generator, *, group: NDArray[np.bool_], unwanted: int
) -> Poisoned:
    """Turn labels of one group's rows into the unwanted class: the model learns to treat the group worse.

    Args:
        features: Shape (n, d).
        labels: Shape (n,).
        share: Of the group's rows that are not of that class already.
        rng: Chooses them.
        group: Who is harmed, shape (n,).
        unwanted: The class that nobody wants to be in.
    """
    able = rng.permutation(np.flatnonzero(group & (labels != unwanted)))
    chosen = able[: round(share * len(able))]
    turned = labels.copy()
    turned[chosen] = unwanted
    return _touched(features, turned, chosen, unwanted)


def slowly(
    attack: Attack, features: Rows, labels: Labels, share: float, rng: np.random.Generator, *, batches: int
) -> Iterator[Poisoned]:
    """Yield the rows in batches, each poisoned by the same small share and the same hand, as retraining gets them."""
    order = rng.permutation(len(labels))
    seed = int(rng.integers(1 << 62))
    for rows in np.array_split(order, batches):
        same = np.random.default_rng(seed)  # the attacker wants the same of each batch
        yield attack(features[rows], labels[rows], share, same)


def gathered(batches: Sequence[Poisoned]) -> Poisoned:
    """Return batches as one set of rows."""
    return Poisoned(
        features=np.concatenate([each.features for each in batches]),
        labels=np.concatenate([each.labels for each in batches]),
        bad=np.concatenate([each.bad for each in batches]),
        target=batches[-1].target,
    )


def _wanted(labels: Labels, rng: np.random.Generator) -> int:
    return int(rng.integers(int(labels.max()) + 1))


def _touched(features: Rows, labels: Labels, chosen: NDArray[np.intp], target: int) -> Poisoned:
    bad = np.zeros(len(labels), dtype=np.bool_)
    bad[chosen] = True
    return Poisoned(features=features, labels=labels, bad=bad, target=target)
