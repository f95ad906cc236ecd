"""The linear baseline: logistic regression on standardised features, ours, so that no recipe can weaken it.

Fitted by Newton's method with conjugate gradients on the convex objective that scikit-learn's `LogisticRegression` with
C = 1 minimises after its `StandardScaler`, so the two agree; a test holds them together. Runs inside the sandbox, in a
job of its own, and needs nothing but numpy.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PENALTY: Final = 1.0  # of half the squared weights, against a sum over rows: scikit-learn's C = 1
GRADIENT_TOLERANCE: Final = 1e-8  # of the mean gradient's largest entry; 1e-4 is scikit-learn's own
MAX_NEWTON: Final = 100  # steps; a convex objective with curvature takes about ten
MAX_CONJUGATE: Final = 250  # products with the Hessian in one step
SUFFICIENT: Final = 1e-4  # share of the promised decrease that a step must bring (Armijo; Nocedal and Wright 2006, 3.4)
MAX_HALVINGS: Final = 40  # of one step; beyond, rounding decides


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A fitted baseline: fill missing values with `median`, subtract `mean`, divide by `scale`, then softmax(x W + b).

    Attributes:
        median: Shape (d,), of the rows learned from; 0 where a feature has no value at all.
        mean: Shape (d,), after filling.
        scale: Shape (d,), standard deviation after filling; 1 for a constant feature.
        weights: Shape (d, classes).
        bias: Shape (classes,).
    """

    median: Floats
    mean: Floats
    scale: Floats
    weights: Floats
    bias: Floats

    def predict(self, rows: NDArray[np.floating]) -> Floats:
        """Return class probabilities, shape (n, classes), of rows, shape (n, d); NaN is a missing value."""
        filled = np.where(np.isnan(rows), self.median, rows)
        return _softmax((filled - self.mean) / self.scale @ self.weights + self.bias)


def fit(features: Floats, labels: NDArray[np.int64], classes: int) -> Linear:
    """Return the baseline fitted to rows.

    With two classes one set of weights is penalised, as in the binary model; with more, each class's.

    Args:
        features: Shape (n, d); NaN is a missing value, infinities are not allowed.
        labels: Shape (n,), 0 to classes - 1.
        classes: How many there are, at least 2.

    Raises:
        ValueError: An infinite value, or fewer than two classes.
        ArithmeticError: The method did not converge.
    """
    if classes < 2 or np.isinf(features).any():  # noqa: PLR2004 - one class has nothing to tell apart
        raise ValueError("the baseline needs two classes or more, and features without infinities")
    present = ~np.isnan(features)
    median = np.array(
        [np.median(column[there]) if there.any() else 0.0 for column, there in zip(features.T, present.T, strict=True)]
    )
    filled = np.where(present, features, median)
    mean, scale = filled.mean(axis=0), filled.std(axis=0)
    scale = np.where(scale > np.finfo(np.float64).eps * np.abs(mean), scale, 1.0)
    design = np.column_stack(((filled - mean) / scale, np.ones(len(filled))))
    free = classes if classes > 2 else 1  # noqa: PLR2004 - of two classes only the second has weights
    theta = _minimise(design, np.eye(classes)[labels][:, classes - free :], classes)
    weights = np.column_stack((np.zeros((len(theta), classes - free)), theta))
    return Linear(median=median, mean=mean, scale=scale, weights=weights[:-1], bias=weights[-1])


def _minimise(design: Floats, targets: Floats, classes: int) -> Floats:
    """Return the weights, shape (d + 1, free), that minimise penalised cross-entropy (Nocedal and Wright 2006, 7.1)."""
    free = targets.shape[1]
    theta = np.zeros((design.shape[1], free))
    ridge = np.full((design.shape[1], 1), PENALTY)
    ridge[-1] = 0.0  # the bias is not penalised
    tolerance = GRADIENT_TOLERANCE * len(design)
    for _ in range(MAX_NEWTON):
        p = _predicted(design @ theta, classes)[:, classes - free :]
        gradient = design.T @ (p - targets) + ridge * theta
        if np.abs(gradient).max() <= tolerance:
            return theta
        step = _newton_step(design, p, ridge, gradient)
        theta = theta + _length(design, targets, ridge, theta, step, float((gradient * step).sum())) * step
    raise ArithmeticError(f"the linear baseline did not converge in {MAX_NEWTON} steps")


def _newton_step(design: Floats, p: Floats, ridge: Floats, gradient: Floats) -> Floats:
    """Return the solution s of H s = -g by conjugate gradients, as far as it pays."""
    step, residual = np.zeros_like(gradient), -gradient
    direction, square = residual, float((residual**2).sum())
    enough = min(0.25, square**0.25) ** 2 * square  # superlinear: Nocedal and Wright 2006, 7.3
    for _ in range(MAX_CONJUGATE):
        change = design @ direction
        curved = design.T @ (p * (change - (p * change).sum(axis=1, keepdims=True))) + ridge * direction
        along = float((direction * curved).sum())
        if along <= 0.0:  # rounding: the objective is convex
            return step if step.any() else residual
        length = square / along
        step, residual = step + length * direction, residual - length * curved
        before, square = square, float((residual**2).sum())
        if square <= enough:
            break
        direction = residual + square / before * direction
    return step


def _length(design: Floats, targets: Floats, ridge: Floats, theta: Floats, step: Floats, slope: float) -> float:
    """Return how far to go along a step: the first halving that brings a sufficient decrease."""
    start, length = _objective(design, targets, ridge, theta), 1.0
    for _ in range(MAX_HALVINGS):
        rounding = np.finfo(np.float64).eps * abs(start)
        if _objective(design, targets, ridge, theta + length * step) <= start + SUFFICIENT * length * slope + rounding:
            return length
        length /= 2
    return length


def _objective(design: Floats, targets: Floats, ridge: Floats, theta: Floats) -> float:
    z = _with_first(design @ theta, targets.shape[1] + (targets.shape[1] == 1))
    highest = z.max(axis=1)
    log_total = highest + np.log(np.exp(z - highest[:, None]).sum(axis=1))
    return float((log_total - (targets * z[:, -targets.shape[1] :]).sum(axis=1)).sum() + (ridge * theta**2).sum() / 2)


def _with_first(z: Floats, classes: int) -> Floats:
    """Return one column per class: of two classes, the first one's score is 0."""
    return z if z.shape[1] == classes else np.column_stack((np.zeros(len(z)), z))


def _predicted(z: Floats, classes: int) -> Floats:
    return _softmax(_with_first(z, classes))


def _softmax(z: Floats) -> Floats:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
