"""Agreement beyond chance, and what labels should have been: published numbers, and what is refused."""

from typing import Any

import numpy as np
import pytest

from holdfast.maths.agreement import cohen_kappa, krippendorff_alpha
from holdfast.maths.dawid_skene import dawid_skene


def test_full_agreement_is_one_and_systematic_disagreement_below_zero() -> None:
    """Two annotators over four items; with two units of four labels chance itself would agree a little less."""
    assert krippendorff_alpha([[2, 0], [0, 2], [2, 0], [0, 2]]) == 1
    assert krippendorff_alpha([[1, 1], [1, 1], [1, 1]]) < 0
    assert cohen_kappa(["a", "b", "a"], ["a", "b", "a"]) == 1
    assert cohen_kappa(["a", "b", "a", "b"], ["b", "a", "b", "a"]) == -1


def test_units_with_a_single_label_say_nothing() -> None:
    """Missing values are left out, never taken for disagreement."""
    counts = [[2, 0], [1, 1], [0, 2], [3, 1]]
    assert krippendorff_alpha(counts) == krippendorff_alpha([*counts, [1, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize(
    ("counts", "options", "said"),
    [
        ([], {}, "units by classes"),
        ([1, 2], {}, "units by classes"),
        ([[1, 0], [0, 1]], {}, "no unit has two"),
        ([[2, 0], [3, 0]], {}, "all labels are one"),
        ([[2, -1]], {}, "none negative"),
        ([[1.5, 1]], {}, "whole numbers"),
        ([[np.nan, 1]], {}, "NaN"),
        ([[2, 1]], {"metric": "interval"}, "interval needs"),
        ([[2, 1]], {"metric": "interval", "values": [1, 2, 3]}, "do not pair up"),
    ],
)
def test_alpha_that_means_nothing_is_refused(counts: Any, options: dict[str, Any], said: str) -> None:
    """A number that means nothing would be compared with a limit."""
    with pytest.raises(ValueError, match=said):
        krippendorff_alpha(counts, **options)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [(["a"], ["a"], "one and the same"), ([], [], "empty"), (["a"], ["a", "b"], "do not pair up")],
)
def test_kappa_that_means_nothing_is_refused(one: Any, other: Any, said: str) -> None:
    """The same of two annotators."""
    with pytest.raises(ValueError, match=said):
        cohen_kappa(one, other)


@pytest.mark.parametrize(
    ("items", "labels", "k", "said"),
    [
        ([], [], 2, "not empty"),
        ([0, 2], [0, 1], 2, "an item has no label"),
        ([0, 1], [0, 2], 2, "labels up to 2"),
        ([0, 0], [0, 0], 1, "at least two"),
        ([0, 1, 2], [0, 1], 2, "do not pair up"),
        ([0, -1], [0, 1], 2, "from 0 on"),
    ],
)
def test_a_model_of_nothing_is_refused(items: Any, labels: Any, k: int, said: str) -> None:
    """Gaps, negative numbers, a single class."""
    with pytest.raises(ValueError, match=said):
        dawid_skene(items, [0, 1][: len(items)] or [0], labels, k)


def test_errors_of_annotators_are_learned_from_labels_alone() -> None:
    """Five of known matrices over 4,000 items of three classes: each cell is found within four standard errors."""
    rng = np.random.default_rng(3)
    truth = rng.choice(3, size=4000, p=[0.5, 0.3, 0.2])
    matrices = np.array([rng.dirichlet(np.full(3, 1.0), size=3) * 0.3 + 0.7 * np.eye(3) for _ in range(5)])
    draws = [[rng.choice(3, p=matrix[each]) for each in truth] for matrix in matrices]
    fitted = dawid_skene(np.tile(np.arange(4000), 5), np.repeat(np.arange(5), 4000), np.concatenate(draws), 3)
    assert np.abs(fitted.confusion - matrices).max() < 0.06
    assert np.abs(fitted.prior - [0.5, 0.3, 0.2]).max() < 0.03
    assert (fitted.posterior.argmax(axis=1) == truth).mean() > 0.97
    assert np.allclose(fitted.posterior.sum(axis=1), 1)
