"""Out-of-fold probabilities: what is believed of a row's label by learners that never saw the row.

Learners that need nothing but numpy: ridge regression on the features, ridge regression on random Fourier features of
them (Rahimi and Recht 2007), and a vote of neighbours, of which one far worse than the best has no say; and boosted
trees, which speak alone where they know more than the others together, as they do of most tables.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.screens.lenses import Floats, Places
from holdfast.engines.screens.material import Material
from holdfast.engines.screens.trees import boosted

Probabilities = NDArray[np.float64]

FOLDS: Final = 5
FOURIER: Final = 1024  # random features; the kernel's error falls with their root
LEAST_FOURIER: Final = 64
LENGTH: Final = 20.0  # root mean square norm that rows are scaled to, so that penalties mean the same everywhere
PENALTY_LINEAR: Final = 60.0
PENALTY_FOURIER: Final = 1.0
NEIGHBOURS: Final = 12
MAX_REFERENCE: Final = 10_000  # rows that neighbours are looked for among
BLOCK: Final = 1000  # rows whose distances are computed at once
TEMPERATURES: Final = np.concatenate((np.geomspace(0.3, 0.9, 8), np.geomspace(1.0, 30.0, 25)))
FLOOR: Final = 1e-3  # probability below which a surprise counts no further
WORSE: Final = 1.5  # times the best learner's loss that a learner may have, and a hundredth: none is without
TREES: Final = "trees"
DOUBTED: Final = 0.12  # share of the rows, at most, that the second look does not learn from


@dataclass(frozen=True, slots=True, kw_only=True)
class Beliefs:
    """Class probabilities of each row, shape (n, classes), and which rows the neighbours of each row are, (n, k)."""

    probabilities: Probabilities
    votes: Probabilities
    neighbours: Places
    used: tuple[str, ...]


def beliefs(
    material: Material, rng: np.random.Generator, weights: Floats | None = None, *, trees: bool | None = False
) -> Beliefs:
    """Return what learners believe of rows they have not seen.

    Args:
        material: The rows.
        rng: Chooses folds, Fourier features and reference rows.
        weights: Shape (n,): 0 for rows nothing is learned from; they are still judged.
        trees: Whether trees speak, and they alone; None: where they know more than the others, which shows only while
            all rows are learned from.
    """
    z, classes = material.labels, material.classes
    w = np.ones(len(z), dtype=np.float32) if weights is None else weights
    plain = scaled(material.features)
    fold = rng.permutation(len(z)) % FOLDS
    candidates = {
        "linear": tempered(_ridge(plain, z, classes, PENALTY_LINEAR, fold, w), z),
        "fourier": tempered(_ridge(fourier(material, rng), z, classes, PENALTY_FOURIER, fold, w), z),
    }
    near = nearest(material.features, rng)
    votes = _votes(near, z, classes, w)
    candidates["neighbours"] = votes
    loss = {name: _loss(p, z) for name, p in candidates.items()}
    used = tuple(name for name in candidates if loss[name] <= WORSE * (min(loss.values()) + 0.01))
    mixed = np.mean([candidates[name] for name in used], axis=0)
    if material.steps and trees is not False:
        alone = tempered(boosted(material.steps, z, classes, fold, w), z)
        if trees or _loss(alone, z) < _loss(mixed, z):
            mixed, used = alone, (TREES,)
    return Beliefs(probabilities=mixed, votes=votes, neighbours=near, used=used)


def scaled(rows: Floats) -> Floats:
    """Return rows shifted to mean 0 and scaled to a root mean square norm of `LENGTH`."""
    centred = rows - rows.mean(axis=0)
    norm = float(np.sqrt((centred**2).sum(axis=1).mean()))
    return np.asarray(centred * np.float32(LENGTH / norm if norm > 0 else 1.0), dtype=np.float32)


def fourier(material: Material, rng: np.random.Generator) -> Floats:
    """Return random Fourier features of a Gaussian kernel whose width is the median distance of rows, or near it."""
    x = material.features
    some = x[rng.permutation(len(x))[:500]]
    squares = (some**2).sum(axis=1)
    distance = squares[:, None] + squares[None] - 2 * some @ some.T
    apart = distance[distance > 1e-6]
    gamma = (2.0 if material.image else 1.0) / float(np.median(apart)) if apart.size else 1.0
    many = min(FOURIER, max(LEAST_FOURIER, len(x) // 2))
    directions = rng.normal(size=(x.shape[1], many)).astype(np.float32) * np.float32(np.sqrt(2 * gamma))
    phase = rng.uniform(0, 2 * np.pi, many).astype(np.float32)
    found = x @ directions
    found += phase
    np.cos(found, out=found)  # in place: of 40,000 rows each copy is 160 MB
    found *= np.float32(LENGTH * np.sqrt(2 / many))
    return np.asarray(found, dtype=np.float32)


def _ridge(z_rows: Floats, labels: NDArray[np.int64], classes: int, penalty: float, fold: Places, w: Floats) -> Floats:
    """Return out-of-fold scores, shape (n, classes): each fold's rows are taken out of the normal equations."""
    x = np.hstack((z_rows, np.ones((len(z_rows), 1), dtype=np.float32)))
    del z_rows  # whoever does not need them any more holds them here only
    y = np.eye(classes, dtype=np.float32)[labels] - np.float32(1 / classes)
    weighted = x * w[:, None]
    gram, moment = weighted.T @ x, weighted.T @ y
    scores = np.zeros((len(x), classes), dtype=np.float32)
    for each in range(FOLDS):
        held = fold == each
        left = gram - weighted[held].T @ x[held]
        left[np.diag_indices(len(left))] += np.float32(penalty)
        scores[held] = x[held] @ np.linalg.solve(left, moment - weighted[held].T @ y[held])
    return scores


def tempered(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> Probabilities:
    """Return probabilities: softmax at the temperature that suits the labels best (Guo et al. 2017)."""
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    best: Probabilities | None = None
    least = np.inf
    for heat in TEMPERATURES:
        p = np.exp(heat * shifted)
        p /= p.sum(axis=1, keepdims=True)
        loss = _loss(p, labels)
        if loss < least:
            best, least = p, loss
    if best is None:
        raise ValueError("scores that are no numbers")
    return best


def nearest(rows: Floats, rng: np.random.Generator) -> Places:
    """Return the nearest other rows of each row among at most `MAX_REFERENCE` of them, shape (n, k)."""
    n = len(rows)
    among = np.sort(rng.permutation(n)[:MAX_REFERENCE])
    reference = rows[among]
    squares = (reference**2).sum(axis=1)
    k = min(NEIGHBOURS, len(among) - 1)
    place = np.full(n, -1)
    place[among] = np.arange(len(among))
    found = np.zeros((n, k), dtype=np.intp)
    room = np.empty((min(BLOCK, n), len(among)), dtype=reference.dtype)  # used again for each block
    for start in range(0, n, BLOCK):
        block = np.arange(start, min(start + BLOCK, n))
        distance = np.matmul(2 * rows[block], reference.T, out=room[: len(block)])
        np.subtract(squares, distance, out=distance)
        own = place[block]
        distance[np.flatnonzero(own >= 0), own[own >= 0]] = np.inf
        found[block] = among[np.argpartition(distance, k - 1, axis=1)[:, :k]]
    return found


def _votes(near: Places, labels: NDArray[np.int64], classes: int, w: Floats) -> Probabilities:
    votes = np.stack([((labels[near] == each) * w[near]).sum(axis=1) for each in range(classes)], axis=1)
    smooth = 0.2  # a fifth of a neighbour: nobody is certain after twelve
    shares: Probabilities = (votes + smooth / classes) / (votes.sum(axis=1, keepdims=True) + smooth)
    return shares


def _loss(p: Probabilities, labels: NDArray[np.int64]) -> float:
    return float(-np.log(p[np.arange(len(labels)), labels] + FLOOR).mean())
