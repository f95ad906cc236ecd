"""Scores of other people's detectors for `bench_poisoning.py`, higher for what they find more suspect.

cleanlab gets the very out-of-fold probabilities of our first learners, so that what is compared is its ranking. ART's
spectral signatures and activation clustering look at the hidden layer of a small network that is trained on the rows
(scikit-learn's, handed to them by the two methods that they call). Whatever is not installed has no score.
"""

import importlib
import importlib.util
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Hidden:
    """A trained network as ART's detectors ask for it: answers, and activations of its one hidden layer."""

    layer_names = ("hidden",)
    input_shape: tuple[int, ...]

    def __init__(self, network: Any, width: int, classes: int) -> None:
        self.network, self.input_shape, self.nb_classes = network, (width,), classes

    def predict(self, rows: NDArray[np.float32], **_: Any) -> Floats:
        """Class probabilities."""
        return np.asarray(self.network.predict_proba(rows))

    def get_activations(self, rows: NDArray[np.float32], **_: Any) -> Floats:
        """The hidden layer."""
        return np.asarray(np.maximum(rows @ self.network.coefs_[0] + self.network.intercepts_[0], 0.0))


def present() -> bool:
    """Whether any of them is installed."""
    return any(importlib.util.find_spec(name) is not None for name in ("cleanlab", "art"))


def cleanlab(labels: NDArray[np.int64], probabilities: Floats) -> Floats | None:
    """Class-adjusted normalised margin."""
    if importlib.util.find_spec("cleanlab") is None:
        return None
    scored = importlib.import_module("cleanlab.rank").get_label_quality_scores
    return -np.asarray(scored(labels, probabilities, method="normalized_margin", adjust_pred_probs=True))


def art(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int, seed: int) -> dict[str, Floats]:
    """Spectral signatures, and activation clustering (1 for rows of clusters that it calls poison)."""
    if importlib.util.find_spec("art") is None:
        return {}
    logging.disable(logging.CRITICAL)
    spread = features.std(axis=0)
    rows = ((features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)).astype(np.float32)
    networks = importlib.import_module("sklearn.neural_network")
    network = networks.MLPClassifier((32,), max_iter=12, random_state=seed).fit(rows, labels)
    poison = importlib.import_module("art.defences.detector.poison")
    answers = np.eye(classes)[labels]
    known = Hidden(network, rows.shape[1], classes)
    found: dict[str, Floats] = {}
    spectral = poison.SpectralSignatureDefense(
        known, rows, answers, expected_pp_poison=0.05, batch_size=128, eps_multiplier=1
    )
    found["ART spectral"] = _spectral(spectral, known, rows, labels, classes)
    clusters = poison.ActivationDefence(known, rows, answers)
    _, clean = clusters.detect_poison(nb_clusters=2, nb_dims=10, reduce="PCA")
    found["ART clusters"] = 1.0 - np.asarray(clean, dtype=np.float64)
    return found


def _spectral(
    spectral: Any, known: Hidden, rows: NDArray[np.float32], labels: NDArray[np.int64], classes: int
) -> Floats:
    """Its scores by class, put back to their rows: `detect_poison` tells only which are beyond its own limit."""
    scores = np.zeros(len(labels))
    hidden = known.get_activations(rows)
    for each in range(classes):
        mine = np.flatnonzero(labels == each)
        if mine.size:
            scores[mine] = spectral.spectral_signature_scores(hidden[mine]).ravel()
    return scores
