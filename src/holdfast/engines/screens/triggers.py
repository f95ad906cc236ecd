"""Which small pattern brings a label along: the search for backdoors in rows.

A pattern is a handful of facts that hold together: values of columns, words, pixels. It is a trigger if nearly all rows
that hold it bear one label, and those rows, the pattern taken away, look like rows of other labels. A feature that
means something (a capital gain, a free offer) does not pass the second question: its rows look like their label
without it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.screens.lenses import Items, Places, support
from holdfast.engines.screens.likeness import Crowd, Looks, gathered, looks
from holdfast.engines.screens.material import Material

SEEDS: Final = 6  # single facts from which the search begins, for each label, and twice as many rare ones
RARE: Final = 0.05  # share of the rows up to which a fact is rare
DEPTH: Final = 6  # facts that are added to one, at most
BOUND: Final = 3.0  # log odds that one fact may speak for a label: no single one outvotes the rest
HEATS: Final = np.geomspace(0.02, 1.0, 12)
LEAST_Z: Final = 6.0  # standard deviations of the excess; what means something has up to fourteen, so this only sifts
MORE_Z: Final = 0.5  # for each further fact, which is the best of hundreds
LEAST_LIFT: Final = 1.8  # log odds by which the pattern moves its label
WORTH_ASKING: Final = 0.6  # of the way from rows of other labels to rows of the label, by naive Bayes: no further
MOST_SHARE: Final = 0.15  # of the rows: what more rows hold is no hidden trigger
SHOWN: Final = 16  # patterns that are held against the neighbours, the best ones
ASKED: Final = 80  # rows of a pattern whose neighbours are asked
SAME: Final = 0.8  # share of the larger one's rows in common from which on two patterns are one


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A pattern, the label it brings along, the rows it marks, and how sure that is.

    Attributes:
        facts: What holds together.
        label: The class index.
        rows: Rows that hold the pattern, bear the label, and would not be expected to.
        holders: How many rows hold it, whatever their label.
        purity: Share of the holders that bear the label.
        expected: Share that would bear it if the pattern said nothing, by their neighbours.
        z: Excess in standard deviations.
    """

    facts: tuple[str, ...]
    label: int
    rows: Places
    holders: int
    purity: float
    expected: float
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Votes:
    """Naive Bayes over items: what each says for each class, what each row adds up to, prior and temperature."""

    says: NDArray[np.float64]  # (items, classes)
    sums: NDArray[np.float64]  # (n, classes)
    prior: NDArray[np.float64]
    heat: float

    def without(self, rows: Places, taken: NDArray[np.float64], label: int) -> NDArray[np.float64]:
        """Return the probability of a label for rows, what some items said being taken away."""
        scores = self.prior + self.heat * (self.sums[rows] - taken)
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores)
        return np.asarray(p[:, label] / p.sum(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    label: int
    items: tuple[int, ...]
    holds: NDArray[np.bool_]
    z: float


def find_triggers(material: Material) -> tuple[Trigger, ...]:
    """Return the triggers in rows, the surest first.

    1. Let naive Bayes, each fact bounded, say what is expected of each row. 2. From the facts whose rows bear a label
    most above what is expected without the fact, add facts greedily while the excess grows. 3. Say by their neighbours
    among rows without the pattern, and by facts outside of it, whether its rows look like rows of their label or like
    rows of other labels.
    """
    items, z = material.items, material.labels
    if not items.count:
        return ()
    votes = _vote(items, z, material.classes)  # 1.
    found = [
        _grown(material, votes, label, int(seed))
        for label in range(material.classes)
        for seed in _seeds(material, votes, label)
    ]  # 2.
    ways = [(each, _way(z, votes, each)) for each in _distinct(found)]  # 3.
    worth = [(each, way) for each, way in ways if way <= WORTH_ASKING][:SHOWN]
    if not worth:
        return ()
    crowd = gathered(material)
    usual = looks(crowd)
    triggers = [_judged(material, votes, crowd, usual, *each) for each in worth]
    return tuple(sorted((each for each in triggers if each is not None), key=lambda each: -each.z))


def _vote(items: Items, labels: NDArray[np.int64], classes: int) -> _Votes:
    n = len(labels)
    counts = _per_class(items, labels, classes)
    of_class = np.bincount(labels, minlength=classes)
    says = np.log((counts + 0.5) / (of_class + 1.0))
    says = np.clip(says - says.mean(axis=1, keepdims=True), -BOUND, BOUND)
    sums = np.zeros((n, classes))
    for each in range(classes):
        sums[:, each] = np.bincount(items.rows, says[items.what, each], minlength=n)
    prior = np.log((of_class + 0.5) / n)
    losses = []
    for heat in HEATS:
        scores = prior + heat * sums
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores[np.arange(n), labels]) / np.exp(scores).sum(axis=1)
        losses.append(-np.log(p + 1e-3).mean())
    return _Votes(says=says, sums=sums, prior=prior, heat=float(HEATS[int(np.argmin(losses))]))


def _per_class(items: Items, labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    whose = labels[items.rows]
    flat = np.bincount(items.what * classes + whose, minlength=items.count * classes)
    return np.asarray(flat.reshape(items.count, classes))


def _excess(
    observed: NDArray[np.float64], p: NDArray[np.float64], what: Places, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by how many standard deviations each item's rows bear the label above expectation, and how many rows."""
    held = np.bincount(what, minlength=count).astype(np.float64)
    mean = np.bincount(what, p, minlength=count)
    variance = np.bincount(what, p * (1 - p), minlength=count)
    return (np.bincount(what, observed, minlength=count) - mean) / np.sqrt(variance + 1), held


def _seeds(material: Material, votes: _Votes, label: int) -> Places:
    items = material.items
    p = votes.without(items.rows, votes.says[items.what], label)
    z, held = _excess((material.labels[items.rows] == label).astype(np.float64), p, items.what, items.count)
    z[held < support(len(material.labels))] = -np.inf
    order = np.argsort(-z, kind="stable")
    rare = held[order] <= RARE * len(material.labels)
    best = np.concatenate((order[rare][: 2 * SEEDS], order[~rare][:SEEDS]))
    return best[z[best] > 0]


def _grown(material: Material, votes: _Votes, label: int, seed: int) -> _Pattern:
    items, n = material.items, len(material.labels)
    pattern, holds, z = [seed], _holders(items, seed, n), 0.0
    for _ in range(DEPTH):
        entries = np.flatnonzero(holds[items.rows])
        rows, what = items.rows[entries], items.what[entries]
        taken = votes.says[pattern].sum(axis=0)
        inside = np.isin(what, pattern)
        also = np.where(inside[:, None], 0.0, votes.says[what])
        p = votes.without(rows, taken + also, label)
        scores, held = _excess((material.labels[rows] == label).astype(np.float64), p, what, items.count)
        now = float(scores[pattern[0]])  # every row of the pattern holds its first item
        z = max(z, now)
        scores[pattern] = -np.inf
        scores[held < support(n)] = -np.inf
        best = int(scores.argmax())
        if scores[best] <= z:
            break
        pattern.append(best)
        z = float(scores[best])
        holds = holds & _holders(items, best, n)
    return _Pattern(label=label, items=tuple(sorted(pattern)), holds=holds, z=z)


def _holders(items: Items, item: int, rows: int) -> NDArray[np.bool_]:
    holds = np.zeros(rows, dtype=np.bool_)
    holds[items.rows[items.what == item]] = True
    return holds


def _distinct(found: list[_Pattern]) -> list[_Pattern]:
    kept: list[_Pattern] = []
    for each in sorted(found, key=lambda pattern: -pattern.z):
        size = each.holds.sum()
        small = size <= MOST_SHARE * len(each.holds)
        enough = each.z >= LEAST_Z + MORE_Z * (len(each.items) - 1)
        if (
            small
            and enough
            and all((each.holds & other.holds).sum() < SAME * max(size, other.holds.sum()) for other in kept)
        ):
            kept.append(each)
    return kept


def _way(labels: NDArray[np.int64], votes: _Votes, pattern: _Pattern) -> float:
    """Return how far the pattern's rows, without it, are on the way from other labels' rows to its label's.

    By naive Bayes: 0 is like others, 1 is like the label. Infinite where the pattern hardly moves its label.
    """
    bears = labels == pattern.label
    bear = np.flatnonzero(pattern.holds & bears)
    if not bear.size or bears.all():
        return float("inf")
    said = votes.without(np.arange(len(labels)), np.zeros(votes.sums.shape[1]), pattern.label)
    own, other = float(said[bears].mean()), float(said[~bears].mean())
    expected = float(votes.without(bear, _taken(votes, pattern), pattern.label).mean())
    if _lift(len(bear), int(pattern.holds.sum()), expected) < LEAST_LIFT or own <= other:
        return float("inf")
    return (expected - other) / (own - other)


def _taken(votes: _Votes, pattern: _Pattern) -> NDArray[np.float64]:
    return np.asarray(votes.says[list(pattern.items)].sum(axis=0))


def _lift(bear: int, holders: int, expected: float) -> float:
    """Return the log odds of the label among holders of a pattern above those that are expected."""
    purity = (bear + 0.5) / (holders + 1)
    mean = float(np.clip(expected, 0.5 / (bear + 1), 1 - 0.5 / (bear + 1)))
    return float(np.log(purity / (1 - purity)) - np.log(mean / (1 - mean)))


def _judged(
    material: Material, votes: _Votes, crowd: Crowd, usual: Looks, pattern: _Pattern, way: float
) -> Trigger | None:
    """Return the pattern as a trigger, or None where its rows look like their label without it."""
    label = pattern.label
    holders = np.flatnonzero(pattern.holds)
    bear = holders[material.labels[holders] == label]
    asked = bear[:: max(1, len(bear) // ASKED)][:ASKED]
    expected = crowd.around(asked, pattern.holds, pattern.items)[:, label]
    purity = len(bear) / len(holders)
    moved = _lift(len(bear), len(holders), float(expected.mean()))
    if moved < LEAST_LIFT or not usual.like_others(expected, label, also=way):
        return None
    base = float((material.labels == label).mean())
    marked = bear if purity > 0.9 else bear[votes.without(bear, _taken(votes, pattern), label) < base]
    return Trigger(
        facts=tuple(material.items.names[each] for each in pattern.items),
        label=label,
        rows=marked,
        holders=len(holders),
        purity=purity,
        expected=float(expected.mean()),
        z=pattern.z,
    )
