"""Which labels are wrong: confident learning, adjusted to the classes and to the direction in which labels were turned.

Confident learning (Northcutt, Jiang and Chuang 2021) compares a row's probabilities with each class's own mean
confidence. Whoever flips labels on purpose turns them one way; the direction shows in rows that are surely of a class
and yet bear another label (anchor points: Patrini et al. 2017). A label is then suspect by the odds that it came
through that channel, and honest errors of the learner in the other direction cost no false alarms.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.screens.learning import DOUBTED, TREES, Beliefs, Probabilities, beliefs
from holdfast.engines.screens.material import Material

ANCHORS: Final = 0.1  # share of the rows believed to be of a class that are surest of it
MIN_ANCHORS: Final = 20
SHARPNESS: Final = 2.0  # power of the channel: an attacker's direction is dearer than the learner's own errors
SMALL: Final = 1e-3  # of a probability, added where it divides


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """How suspect each label is, by three scores of shape (n,) that grow with it, and the channel, (given, true)."""

    margin: NDArray[np.float64]
    disagreement: NDArray[np.float64]
    odds: NDArray[np.float64]
    channel: NDArray[np.float64]
    believed: Probabilities
    honest: tuple[Probabilities, ...]  # what would be believed of honest labels: by the first look, and the second
    used: tuple[str, ...]  # the learners who said so


def suspect(material: Material, rng: np.random.Generator) -> Suspicion:
    """Return how suspect each label is.

    1. Learn from all rows, score each out of fold. 2. Learn again without the rows that were doubted most. 3. Estimate
    the channel from anchors. 4. Score each label by the odds that it came through the channel.
    """
    first = beliefs(material, rng, trees=None)  # 1.
    doubt = adjusted_margin(first.probabilities, material.labels)
    limit = max(0.0, float(np.quantile(doubt, 1 - DOUBTED)))
    second = beliefs(material, rng, (doubt <= limit).astype(np.float32), trees=TREES in first.used)  # 2.
    return _scored(first, second, material)


def _scored(first: Beliefs, seen: Beliefs, material: Material) -> Suspicion:
    p, z = seen.probabilities, material.labels
    through = channel(p, z)  # 3.
    return Suspicion(
        margin=adjusted_margin(p, z),
        disagreement=1 - seen.votes[np.arange(len(z)), z],
        odds=channel_odds(p, z, through),  # 4.
        channel=through,
        believed=p,
        honest=tuple(undone(each, channel(each, z)) for each in (first.probabilities, p)),
        used=seen.used,
    )


def adjusted_margin(p: Probabilities, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return by how much another class is more probable than the given one, each held against its class's confidence.

    >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.8, 0.2]])
    >>> adjusted_margin(p, np.array([0, 1, 1])).round(2).tolist()
    [-0.29, -0.71, 0.14]
    """
    classes = p.shape[1]
    held = [labels == each for each in range(classes)]
    confidence = np.array([p[rows, each].mean() if rows.any() else 1.0 for each, rows in enumerate(held)])
    adjusted = p - confidence + confidence.max()
    adjusted = adjusted / adjusted.sum(axis=1, keepdims=True)
    own = adjusted[np.arange(len(labels)), labels]
    others = adjusted.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    return np.asarray(others.max(axis=1) - own)


def channel(p: Probabilities, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of each given label among the rows that are surest of each class, shape (given, true)."""
    classes = p.shape[1]
    believed = p.argmax(axis=1)
    shares = np.eye(classes)
    for each in range(classes):
        rows = np.flatnonzero(believed == each)
        surest = rows[np.argsort(-p[rows, each], kind="stable")][: max(int(ANCHORS * len(rows)), MIN_ANCHORS)]
        if surest.size:
            counts = np.bincount(labels[surest], minlength=classes)
            shares[:, each] = (counts + 1 / classes) / (len(surest) + 1)
    return shares


def undone(p: Probabilities, through: NDArray[np.float64]) -> Probabilities:
    """Return what would be believed had no label come through the channel: its inverse, held to probabilities."""
    honest = np.clip(np.linalg.solve(through, p.T).T, 0, None)
    total = honest.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, honest / np.maximum(total, SMALL), p))


def channel_odds(p: Probabilities, labels: NDArray[np.int64], through: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the odds that a row is of another class and its label came through the channel, shape (n,)."""
    turned = (p @ (through**SHARPNESS).T)[np.arange(len(labels)), labels]
    own = p[np.arange(len(labels)), labels]
    stayed = (np.diag(through) ** SHARPNESS)[labels] * own
    return np.asarray((turned - stayed) / (own + SMALL))
