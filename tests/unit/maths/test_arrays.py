"""What unusable samples meet: a ValueError, at every door of the package."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from holdfast.maths import arrays, distances, fairness, histogram, intervals, score_intervals, scores, sketch

GOOD = np.array([0.0, 1.0, 0.0, 1.0] * 10)
NAMES = np.array(["a", "b", "a", "b"] * 10)


def _mean(rows: Any) -> float:
    return float(np.mean(rows))


# Every public function that takes a sample, called with the sample under attack in each of its places.
DOORS: dict[str, Callable[[Any], object]] = {
    "accuracy labels": lambda x: scores.accuracy(x, GOOD),
    "accuracy predictions": lambda x: scores.accuracy(GOOD, x),
    "balanced_accuracy": lambda x: scores.balanced_accuracy(x, GOOD),
    "balanced_accuracy predictions": lambda x: scores.balanced_accuracy(GOOD, x),
    "auc labels": lambda x: scores.auc(x, GOOD),
    "auc scores": lambda x: scores.auc(GOOD, x),
    "brier labels": lambda x: scores.brier(x, GOOD),
    "brier probabilities": lambda x: scores.brier(GOOD, x),
    "log_loss labels": lambda x: scores.log_loss(x, GOOD),
    "log_loss probabilities": lambda x: scores.log_loss(GOOD, x),
    "precision labels": lambda x: scores.precision(x, GOOD),
    "precision predictions": lambda x: scores.precision(GOOD, x),
    "recall labels": lambda x: scores.recall(x, GOOD),
    "recall predictions": lambda x: scores.recall(GOOD, x),
    "f1 labels": lambda x: scores.f1(x, GOOD),
    "f1 predictions": lambda x: scores.f1(GOOD, x),
    "confusion labels": lambda x: scores.confusion(x, GOOD),
    "auc_interval": lambda x: score_intervals.auc_interval(GOOD, x),
    "balanced_accuracy_interval": lambda x: score_intervals.balanced_accuracy_interval(x, GOOD),
    "f1_interval": lambda x: score_intervals.f1_interval(GOOD, x),
    "quantile_interval": lambda x: intervals.quantile_interval(x, 0.5),
    "bootstrap rows": lambda x: intervals.bootstrap(_mean, [x], np.random.default_rng(0)),
    "psi reference": lambda x: distances.population_stability_index(x, GOOD),
    "psi live": lambda x: distances.population_stability_index(GOOD, x),
    "psi counts": lambda x: distances.psi_from_counts(x, GOOD),
    "ks reference": lambda x: distances.ks_two_sample(x, GOOD),
    "ks live": lambda x: distances.ks_two_sample(GOOD, x),
    "ks counts": lambda x: distances.ks_from_counts(GOOD, x),
    "kl reference": lambda x: distances.kl_divergence(x, GOOD),
    "kl live": lambda x: distances.kl_divergence(GOOD, x),
    "kl counts": lambda x: distances.kl_from_counts(GOOD, x),
    "wasserstein reference": lambda x: distances.wasserstein_1d(x, GOOD),
    "wasserstein live": lambda x: distances.wasserstein_1d(GOOD, x),
    "total variation": lambda x: distances.total_variation(x, GOOD),
    "total variation counts": lambda x: distances.total_variation_from_counts(x, GOOD),
    "demographic parity predictions": lambda x: fairness.demographic_parity_gap(x, NAMES),
    "demographic parity groups": lambda x: fairness.demographic_parity_gap(GOOD, x),
    "equal opportunity labels": lambda x: fairness.equal_opportunity_gap(x, GOOD, NAMES),
    "equalized odds predictions": lambda x: fairness.equalized_odds_gap(GOOD, x, NAMES),
    "reference edges": lambda x: histogram.reference_edges(x, 4),
}


@pytest.mark.parametrize("door", DOORS)
def test_nan_never_passes_in_silence(door: str) -> None:
    """One NaN in any sample raises: a number computed around it would be compared by a policy."""
    spoilt = GOOD.copy()
    spoilt[3] = np.nan
    with pytest.raises(ValueError, match=r"NaN|statistic is nan|whole numbers"):
        DOORS[door](spoilt)


@pytest.mark.parametrize("door", DOORS)
def test_an_empty_sample_is_refused(door: str) -> None:
    """No rows, no number: empty means no."""
    with pytest.raises(ValueError, match=r"empty|too few|do not pair up"):
        DOORS[door](np.array([]))


@pytest.mark.parametrize("door", [door for door in DOORS if not door.startswith(("bootstrap", "reference edges"))])
def test_a_sample_of_another_length_is_refused_or_needs_no_pair(door: str) -> None:
    """Where rows belong together, one row more is an error, never a broadcast."""
    longer = np.append(GOOD, 1.0)
    unpaired = ("psi r", "psi l", "ks r", "ks l", "kl r", "kl l", "wasserstein", "quantile")
    if door.startswith(unpaired) or door == "total variation":
        assert DOORS[door](longer) is not None
    else:
        with pytest.raises(ValueError, match="do not pair up"):
            DOORS[door](longer)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.ma.masked_invalid([1.0, np.nan]), id="masked"),
        pytest.param(["1", "2"], id="text that looks like numbers"),
        pytest.param(np.array([1.0, None], dtype=object), id="objects"),
        pytest.param([[1.0, 2.0]], id="two dimensions"),
        pytest.param(3.0, id="a scalar"),
        pytest.param([1 + 2j], id="complex numbers"),
        pytest.param(np.array(["2024-01-01"], dtype="datetime64[D]"), id="dates"),
    ],
)
def test_what_is_no_vector_of_numbers_is_refused(values: Any) -> None:
    """Nothing is converted that a reader would not call a column of numbers."""
    with pytest.raises(ValueError, match="x "):
        arrays.numbers(values, "x")


def test_infinity_is_refused_where_it_would_become_the_result() -> None:
    """An infinite value is an error of its column, not a distance."""
    with pytest.raises(ValueError, match="infinity"):
        distances.wasserstein_1d([0.0, np.inf], [0.0, 1.0])


def test_text_from_a_data_frame_names_classes() -> None:
    """Object arrays of text are accepted as class names; one missing value among them is not."""
    assert arrays.classes(np.array(["b", "a"], dtype=object), "group").tolist() == ["b", "a"]
    with pytest.raises(ValueError, match="missing"):
        arrays.classes(np.array(["b", None], dtype=object), "group")


@pytest.mark.parametrize("counts", [[-1, 2], [0.5, 1], [0, 0], [2.0**54, 1]])
def test_impossible_counts_are_refused(counts: list[float]) -> None:
    """A histogram holds whole, non-negative numbers of rows, and at least one row."""
    with pytest.raises(ValueError, match=r"whole numbers|counts nothing"):
        arrays.tallies(counts, "counts")


def test_probabilities_outside_their_range_are_refused() -> None:
    """A logit is not a probability."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        scores.brier([0, 1], [-0.2, 1.0])


def test_labels_that_are_not_binary_are_refused() -> None:
    """Labels -1 and 1 are not silently read as 0 and 1."""
    with pytest.raises(ValueError, match="nothing but 0 and 1"):
        scores.auc([-1, 1], [0.2, 0.4])


def test_a_profile_is_where_nan_means_missing() -> None:
    """The one documented exception: a sketch counts NaN as a missing value."""
    assert sketch.profile([1.0, np.nan]).missing == 1
