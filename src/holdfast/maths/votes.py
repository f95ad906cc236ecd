"""Votes of models that learned from disjoint parts of the rows: how many parts must change before the answer does.

Levine and Feizi, Deep Partition Aggregation: Provable Defenses against General Poisoning Attacks, ICLR 2021,
arXiv:2006.14768, theorem 1. Of k base models n_c answer with class c; c* is the class of most votes, the lowest of
equals. One changed part changes one vote, which takes one from c* and gives one to another class, so the answer stays
as long as at most

    min over c != c* of  floor((n_c* - n_c - [c < c*]) / 2)

parts are changed.

Counts alone rank rows coarsely, so the probabilities that are served say a little more: with m_c the mean of the
models' own probabilities and top = c*,

    p_c = (n_c + v (m_c + [c = top])) / (k + 2 v),   0 < v < 1/4.

What is added to a count is at most 2 v < 1/2, so the counts can be read back, and the class of highest p is c* whatever
m is: no model can do more than cast its vote.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

VOICE: Final = 0.2  # v: how much of a vote the mean probability counts, at most
EXACT: Final = 1e-3  # of a vote, by which probabilities in 32 bits may miss what they say


def shares(votes: NDArray[np.int64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities, shape (n, classes), of votes and of mean probabilities, both of that shape.

    >>> shares(np.array([[2, 1]]), np.array([[0.6, 0.4]])).round(4).tolist()
    [[0.6824, 0.3176]]
    """
    top = votes.argmax(axis=1)[:, None] == np.arange(votes.shape[1])
    return np.asarray((votes + VOICE * (means + top)) / (votes.sum(axis=1, keepdims=True) + 2 * VOICE))


def votes_of(probabilities: NDArray[np.float64], models: int) -> NDArray[np.int64]:
    """Return the votes of so many models that probabilities, shape (n, classes), tell of.

    Raises:
        ValueError: They tell of no votes.

    >>> votes_of(np.array([[0.6824, 0.3176]]), 3).tolist()
    [[2, 1]]
    """
    said = probabilities * (models + 2 * VOICE)
    votes = np.floor(said + EXACT)
    if (said - votes > 2 * VOICE + EXACT).any() or (votes.sum(axis=1) != models).any() or (votes < 0).any():
        raise ValueError(f"the answers tell of no {models} votes")
    return np.asarray(votes, dtype=np.int64)


def certified_parts(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many parts may change with each row's answer unchanged, shape (n,), of votes, shape (n, classes).

    Raises:
        ValueError: Fewer than two classes, or a negative count.

    >>> certified_parts(np.array([[7, 3], [3, 7], [5, 5]])).tolist()  # a tie goes to the lower class
    [2, 1, 0]
    """
    if votes.ndim != 2 or votes.shape[1] < 2 or (votes < 0).any():
        raise ValueError("needs counts of votes for two classes or more")
    top = votes.argmax(axis=1)
    classes = np.arange(votes.shape[1])
    held = np.take_along_axis(votes, top[:, None], axis=1) - votes - (classes < top[:, None])
    held = np.where(classes == top[:, None], np.iinfo(np.int64).max, held)
    return np.asarray(held.min(axis=1) // 2, dtype=np.int64)
