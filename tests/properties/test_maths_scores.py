"""What holds for every prediction: mirror images, invariances, and how scores relate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.maths import score_intervals, scores


@st.composite
def judged(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels of both classes, and scores between 0 and 1, some of them tied."""
    labels = [0, 1, *draw(st.lists(st.integers(0, 1), max_size=25))]
    step = draw(st.sampled_from([2, 5, 64, 4096]))
    found = draw(st.lists(st.integers(0, step), min_size=len(labels), max_size=len(labels)))
    return np.array(labels), np.array(found) / step


@given(sample=judged())
def test_the_area_under_the_curve_mirrors(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """Turning round labels or scores turns round the area; doing both changes nothing."""
    y, p = sample
    area = scores.auc(y, p)
    assert 0 <= area <= 1
    assert scores.auc(1 - y, p) == pytest.approx(1 - area, abs=1e-12)
    assert scores.auc(y, -p) == pytest.approx(1 - area, abs=1e-12)
    assert scores.auc(1 - y, -p) == pytest.approx(area, abs=1e-12)


@given(sample=judged())
def test_the_area_under_the_curve_counts_pairs(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """It is the share of pairs in the right order, ties half."""
    y, p = sample
    above = p[y == 1][:, None] - p[y == 0][None, :]
    assert scores.auc(y, p) == pytest.approx(float(((above > 0) + (above == 0) / 2).mean()), rel=1e-12)
    assert scores.auc(y, np.exp(p)) == scores.auc(y, p)


@given(sample=judged())
def test_scores_of_decisions_agree_with_one_another(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """F1 is the harmonic mean of precision and recall; accuracy weighs the recalls that balanced accuracy averages."""
    y, p = sample
    decided = p > 0.5
    precision, recall = scores.precision(y, decided), scores.recall(y, decided)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    assert scores.f1(y, decided) == pytest.approx(f1)
    specificity = scores.recall(1 - y, ~decided)
    assert scores.balanced_accuracy(y, decided) == pytest.approx((recall + specificity) / 2)
    assert scores.accuracy(y, decided) == pytest.approx(recall * y.mean() + specificity * (1 - y.mean()))


@given(sample=judged())
def test_proper_scores_mirror_and_are_best_at_the_truth(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """Exchanging the classes changes neither; the labels themselves score zero."""
    y, p = sample
    assert scores.brier(1 - y, 1 - p) == pytest.approx(scores.brier(y, p))
    assert scores.log_loss(1 - y, 1 - p) == pytest.approx(scores.log_loss(y, p))
    assert scores.brier(y, y) == 0 <= scores.brier(y, p) <= 1
    assert scores.log_loss(y, y) <= scores.log_loss(y, p) + 1e-12


@given(sample=judged(), seed=st.integers(0, 2**32))
def test_the_order_of_rows_changes_no_score(sample: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    """Rows are a set."""
    y, p = sample
    order = np.random.default_rng(seed).permutation(len(y))
    for score in (scores.auc, scores.brier, scores.log_loss):
        assert score(y[order], p[order]) == pytest.approx(score(y, p), rel=1e-12)
    for decision in (scores.f1, scores.precision, scores.recall, scores.balanced_accuracy, scores.accuracy):
        assert decision(y[order], p[order] > 0.5) == decision(y, p > 0.5)


@given(sample=judged(), level=st.floats(0.01, 0.999))
def test_intervals_hold_their_score_and_have_a_width(sample: tuple[np.ndarray, np.ndarray], level: float) -> None:
    """No sample is certain, in either direction."""
    y, p = sample
    found = (
        (score_intervals.auc_interval(y, p, level), scores.auc(y, p)),
        (score_intervals.f1_interval(y, p > 0.5, level), scores.f1(y, p > 0.5)),
        (score_intervals.balanced_accuracy_interval(y, p > 0.5, level), scores.balanced_accuracy(y, p > 0.5)),
    )
    for interval, score in found:
        assert interval.value == score
        assert 0 <= interval.low <= score <= interval.high <= 1
        assert interval.low < interval.high
