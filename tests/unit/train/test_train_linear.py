from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from holdfast.engines.scoring_worker import answer, open_model
from holdfast.train.export import export_linear
from holdfast.train.linear import fit


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris, load_wine, load_digits])
def test_the_baseline_is_scikit_learns_logistic_regression(load: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    """On standardised features both minimise the same convex objective, so they answer alike, two classes or ten."""
    rows, labels = load(return_X_y=True)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, max_iter=20_000)).fit(rows, labels)
    ours = fit(rows, labels.astype(np.int64), len(set(labels)))
    assert np.abs(ours.predict(rows) - theirs.predict_proba(rows)).max() < 1e-5


def test_a_missing_value_is_the_median() -> None:
    """A row with a value missing is answered as if the median stood there; a feature without values has no weight."""
    rng = np.random.default_rng(0)
    rows = np.column_stack((rng.normal(size=(300, 2)), np.full(300, np.nan)))
    labels = (rows[:, 0] > 0).astype(np.int64)
    rows[::7, 1] = np.nan
    model = fit(rows, labels, 2)
    filled = np.array([[0.3, np.nanmedian(rows[:, 1]), 5.0]])
    assert model.predict(np.array([[0.3, np.nan, 5.0]])) == pytest.approx(model.predict(filled))
    assert not model.weights[2].any()


def test_classes_that_a_line_parts_do_not_run_away() -> None:
    """On separable rows the penalty keeps the weights finite, and the method ends."""
    rows = np.linspace(-1, 1, 80)[:, None] * np.array([[1.0, 1e6]])
    model = fit(rows, (rows[:, 0] > 0).astype(np.int64), 2)
    assert np.isfinite(model.weights).all()
    assert ((model.predict(rows)[:, 1] > 0.5) == (rows[:, 0] > 0)).all()


def test_infinite_values_are_refused() -> None:
    """An infinite feature would make every weight NaN: it is refused before."""
    with pytest.raises(ValueError, match="without infinities"):
        fit(np.array([[np.inf], [0.0]]), np.array([0, 1]), 2)


def test_the_exported_baseline_answers_as_the_fitted_one() -> None:
    """Missing values included, the ONNX form differs by rounding only, and its label is the likelier class."""
    rows, labels = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(0)
    model = fit(rows, labels.astype(np.int64), 2)
    asked = rows.astype(np.float32)
    asked[rng.random(asked.shape) < 0.1] = np.nan
    labels, probabilities = answer(open_model(export_linear(model)), asked, 2)
    assert np.abs(probabilities - model.predict(asked)).max() < 1e-4
    assert (labels == probabilities.argmax(axis=1)).all()
