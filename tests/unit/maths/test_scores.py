"""Scores against scikit-learn, and what happens at their edges."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics

from holdfast.maths import scores


def _sample(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, binary predictions and probabilities; the probabilities with many ties."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 400))
    y = rng.integers(0, 2, size=n)
    y[:2] = (0, 1)
    p = np.round(np.clip(0.5 * y + rng.uniform(0, 0.7, size=n), 0, 1), int(rng.integers(1, 5)))
    return y, (p > 0.5).astype(int), p


PREDICTED = [
    (scores.accuracy, metrics.accuracy_score),
    (scores.balanced_accuracy, metrics.balanced_accuracy_score),
    (scores.f1, metrics.f1_score),
    (scores.recall, metrics.recall_score),
    (scores.precision, lambda y, p: metrics.precision_score(y, p, zero_division=0)),
]
SCORED = [
    (scores.auc, metrics.roc_auc_score),
    (scores.brier, metrics.brier_score_loss),
    (scores.log_loss, metrics.log_loss),
]


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize(("ours", "theirs"), PREDICTED)
def test_scores_of_predictions_equal_scikit_learn(ours: Callable, theirs: Callable, seed: int) -> None:
    """Accuracy, balanced accuracy, F1, recall and precision agree to twelve digits."""
    y, predicted, _ = _sample(seed)
    assert ours(y, predicted) == pytest.approx(theirs(y, predicted), rel=1e-12)


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize(("ours", "theirs"), SCORED)
def test_scores_of_probabilities_equal_scikit_learn(ours: Callable, theirs: Callable, seed: int) -> None:
    """Area under the curve (ties included), Brier score and log loss agree to twelve digits."""
    y, _, p = _sample(seed)
    assert ours(y, p) == pytest.approx(theirs(y, p), rel=1e-12)


def test_several_classes_named_by_text_equal_scikit_learn() -> None:
    """Accuracy and balanced accuracy take any class names."""
    rng = np.random.default_rng(9)
    y = rng.choice(np.array(["cat", "dog", "owl"], dtype=object), size=200)
    predicted = np.where(rng.uniform(size=200) < 0.7, y, "dog")
    assert scores.accuracy(y, predicted) == pytest.approx(metrics.accuracy_score(y, predicted))
    assert scores.balanced_accuracy(y, predicted) == pytest.approx(metrics.balanced_accuracy_score(y, predicted))


@pytest.mark.parametrize("score", [scores.auc, scores.precision, scores.recall, scores.f1, scores.balanced_accuracy])
@pytest.mark.parametrize("label", [0, 1])
def test_labels_of_one_class_are_refused(score: Callable, label: int) -> None:
    """A sample with one class cannot tell a model from a constant, so it has no score."""
    with pytest.raises(ValueError, match="one class"):
        score([label] * 4, [0, 1, 1, 0])


def test_a_model_that_finds_nothing_has_precision_zero() -> None:
    """Zero of zero counts as the worst, not as the best."""
    assert scores.precision([0, 1, 1], [0, 0, 0]) == 0.0


def test_certainty_that_is_wrong_costs_much_but_not_infinity() -> None:
    """One prediction of 0 on a positive costs 36 nats."""
    assert scores.log_loss([1], [0.0]) == pytest.approx(36.04, abs=0.01)


def test_text_labels_and_numeric_predictions_do_not_meet() -> None:
    """Comparing "1" with 1 would count every row as wrong; it raises instead."""
    with pytest.raises(ValueError, match="one is text"):
        scores.accuracy(["0", "1"], [0, 1])


def test_confusion_counts_every_row_once() -> None:
    """The four cells, each told from the others."""
    cells = scores.confusion([1] * 7 + [0] * 8, [1] * 3 + [0] * 4 + [1] * 2 + [0] * 6)
    assert cells == scores.Confusion(true_positives=3, false_positives=2, false_negatives=4, true_negatives=6)
