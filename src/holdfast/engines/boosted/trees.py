"""Sums of decision trees, whoever trained them: what a reader found, walked row by row, and written as ONNX operators.

The forms of XGBoost, LightGBM and scikit-learn's histogram boosting are read into one value here, so that they are
walked and written by one code. A row goes to the left where its value is below the threshold (`strict`) or at most it;
a missing value goes where the tree says. Thresholds are kept as float32, the type of rows: one given as double is
rounded down, after which every float32 row goes the same way as before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Link = Literal["sigmoid", "softmax", "identity", "exp", "logistic"]
PROBABILITIES: Final = frozenset({"sigmoid", "softmax"})  # of the links: those whose answers are probabilities
MAX_NODES: Final = 20_000_000  # of all trees; a model of more is larger than what is served


class CannotError(Exception):
    """The model is nothing that can be converted, with the reason in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One tree; node 0 is its root, and each array has one entry a node."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    leaf: NDArray[np.bool_]
    value: NDArray[np.float64]  # of leaves
    target: int = 0  # which of the sums it adds to


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """A sum of trees for each target, and what is made of the sums."""

    kind: str  # what it is, in words
    trees: tuple[Tree, ...]
    features: int
    base: tuple[float, ...]  # one a target
    strict: bool  # whether a value equal to the threshold goes right
    link: Link
    classes: tuple[str, ...] = field(default=())  # none where the answers are values

    @property
    def targets(self) -> int:
        """How many sums there are."""
        return len(self.base)


def floor32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 that is at most each value.

    A float32 is at most the value just where it is at most the result.

    >>> floor32(np.array([0.1, 0.5])) <= np.array([0.1, 0.5])
    array([ True,  True])
    """
    with np.errstate(over="ignore"):  # what is beyond float32 is an infinity, and the number below one is finite
        near = values.astype(np.float32)
        below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > values, below, near).astype(np.float32)


def check(ensemble: Ensemble) -> Ensemble:
    """Let an ensemble through if each walk in it comes to an end.

    Raises:
        CannotError: A child or a feature that is none, a value that is no number, or too much of it.
    """
    if sum(len(tree.leaf) for tree in ensemble.trees) > MAX_NODES:
        raise CannotError(f"the trees have more than {MAX_NODES} nodes")
    if not ensemble.trees or ensemble.features < 1:
        raise CannotError("it holds no tree, or takes no feature")
    for tree in ensemble.trees:
        inner, size = ~tree.leaf, len(tree.leaf)
        children = np.concatenate((tree.left[inner], tree.right[inner]))
        if children.size and not (children.min() >= 1 and children.max() < size):
            raise CannotError("a child of a node is no node of its tree, or its root")
        if len(np.unique(children)) != len(children):  # with one parent each, and none above the root, walks end
            raise CannotError("a node of a tree has two parents")
        if ((tree.feature[inner] < 0) | (tree.feature[inner] >= ensemble.features)).any():
            raise CannotError(f"a tree splits by a feature beyond the {ensemble.features} that there are")
        if not np.isfinite(tree.value[tree.leaf]).all() or np.isnan(tree.threshold[inner]).any():
            raise CannotError("a tree holds a value that is no number")
        if not 0 <= tree.target < ensemble.targets:
            raise CannotError("a tree adds to a sum that there is not")
    return ensemble


def raw(ensemble: Ensemble, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sums of the leaves that rows come to, shape (rows, targets)."""
    sums = np.tile(np.asarray(ensemble.base, dtype=np.float64), (len(rows), 1))
    every = np.arange(len(rows))
    for tree in ensemble.trees:
        at = np.zeros(len(rows), dtype=np.int64)
        while (moving := ~tree.leaf[at]).any():
            value, threshold = rows[every, tree.feature[at]], tree.threshold[at]
            goes = value < threshold if ensemble.strict else value <= threshold
            goes = np.where(np.isnan(value), tree.missing_left[at], goes)
            at = np.where(moving, np.where(goes, tree.left[at], tree.right[at]), at)
        sums[:, tree.target] += tree.value[at]
    return sums


def answers(ensemble: Ensemble, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return probabilities, shape (rows, classes), or values, shape (rows, targets), in double precision."""
    sums = raw(ensemble, rows)
    if ensemble.link == "softmax":
        grown = np.exp(sums - sums.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True))
    if ensemble.link == "exp":
        return np.exp(sums)
    if ensemble.link == "identity":
        return sums
    with np.errstate(over="ignore"):
        likely = 1 / (1 + np.exp(-sums))
    return np.concatenate((1 - likely, likely), axis=1) if ensemble.link == "sigmoid" else likely


Emit = Callable[..., None]
"""Adds one operator to a graph: its type, inputs, outputs, operator set and attributes."""


def emit(ensemble: Ensemble, given: str, name: Callable[[str], str], add: Emit, constant: Callable[..., str]) -> str:
    """Add the operators that answer as an ensemble does; return the name of the tensor with the answers.

    Args:
        ensemble: The trees.
        given: Name of the float32 tensor of rows.
        name: Makes a name that nothing else has.
        add: Adds an operator.
        constant: Adds a constant tensor of one float, and returns its name.
    """
    sums, made = name("sums"), name("answers")
    add("TreeEnsembleRegressor", [given], [sums], "ai.onnx.ml", _attributes(ensemble))
    if ensemble.link == "softmax":
        add("Softmax", [sums], [made], "", {"axis": 1})
    elif ensemble.link == "exp":
        add("Exp", [sums], [made], "", {})
    elif ensemble.link == "identity":
        add("Identity", [sums], [made], "", {})
    elif ensemble.link == "logistic":
        add("Sigmoid", [sums], [made], "", {})
    else:
        likely, other = name("likely"), name("other")
        add("Sigmoid", [sums], [likely], "", {})
        add("Sub", [constant(1.0), likely], [other], "", {})
        add("Concat", [other, likely], [made], "", {"axis": 1})
    return made


def _attributes(ensemble: Ensemble) -> dict[str, Any]:
    trees = ensemble.trees
    numbers = [np.full(len(tree.leaf), index) for index, tree in enumerate(trees)]
    places = [np.arange(len(tree.leaf)) for tree in trees]
    mode = "BRANCH_LT" if ensemble.strict else "BRANCH_LEQ"
    leaves = [np.flatnonzero(tree.leaf) for tree in trees]
    targets = [np.full(len(found), tree.target) for found, tree in zip(leaves, trees, strict=True)]
    return {
        "n_targets": ensemble.targets,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "base_values": [float(value) for value in ensemble.base],
        "nodes_treeids": _joined(numbers),
        "nodes_nodeids": _joined(places),
        "nodes_featureids": _joined([np.where(tree.leaf, 0, tree.feature) for tree in trees]),
        "nodes_modes": ["LEAF" if leaf else mode for tree in trees for leaf in tree.leaf],
        "nodes_values": _joined([np.where(tree.leaf, np.float32(0), tree.threshold) for tree in trees]),
        "nodes_truenodeids": _joined([np.where(tree.leaf, 0, tree.left) for tree in trees]),
        "nodes_falsenodeids": _joined([np.where(tree.leaf, 0, tree.right) for tree in trees]),
        "nodes_missing_value_tracks_true": _joined([(tree.missing_left & ~tree.leaf).astype(int) for tree in trees]),
        "target_treeids": _joined([np.full(len(found), index) for index, found in enumerate(leaves)]),
        "target_nodeids": _joined(leaves),
        "target_ids": _joined(targets),
        "target_weights": _joined([tree.value[found] for found, tree in zip(leaves, trees, strict=True)]),
    }


def _joined(parts: Sequence[NDArray[Any]]) -> list[Any]:
    found: list[Any] = np.concatenate(parts).tolist()
    return found
