"""What a training leaves as artifacts: the MODEL and BASELINE folders, and the METRICS beside them.

Everything here is made outside the sandbox from rows of ours and from numbers that were looked at; of the model only
its bytes are taken, unopened.
"""

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import Artifact, Kind, canonical, manifest
from holdfast.core.ports import Workspace
from holdfast.core.project import Project
from holdfast.core.schema import ColumnType, Field, Online, Signature
from holdfast.core.text import TextInput, bucket_name
from holdfast.engines.dataset import store_file
from holdfast.engines.texts import UNICODE
from holdfast.engines.transform import HASHED, Feature, View
from holdfast.maths.cusum import alarm_at
from holdfast.maths.nearness import CHAIN, FALSE_ALARMS, HONEST, Space, fit_space
from holdfast.maths.scores import accuracy, auc, balanced_accuracy, brier, log_loss
from holdfast.maths.sketch import BINS, Profile, profile
from holdfast.train.sides import Sides
from holdfast.train.training import Training

MODEL, SIGNATURE, PROFILE = "model.onnx", "signature.json", "profile.json"
METRICS, ENVIRONMENT = "metrics.json", "environment.json"
ROWS_PER_CELL: Final = 30  # of a profile; fewer say little about a cell's share
MIN_CELLS: Final = 10  # what the population stability index is usually computed with


def store_model(ws: Workspace, training: Training) -> Artifact:
    """Store the candidate as a MODEL."""
    scores = np.concatenate([training.train_scores, training.validation_scores])
    return _store(ws, Kind.MODEL, training, training.candidate.document, scores)


def store_baseline(ws: Workspace, training: Training) -> Artifact:
    """Store the linear baseline as a BASELINE, of the same shape as a MODEL."""
    return _store(ws, Kind.BASELINE, training, training.reference.document, training.reference.scores)


def store_metrics(ws: Workspace, training: Training) -> Artifact:
    """Store quality on the validation rows and the environment, for people: nothing is decided by it."""
    start = len(training.sides.train.labels)
    metrics = {
        "candidate": {"validation": _quality(training, training.validation_scores)},
        "baseline": {"validation": _quality(training, training.reference.scores[start:])},
    }
    files = (
        store_file(ws.blobs, METRICS, canonical(metrics)),
        store_file(ws.blobs, ENVIRONMENT, training.reference.environment),
    )
    return ws.store_folder(Kind.METRICS, manifest(files))


def _store(ws: Workspace, kind: Kind, training: Training, document: bytes, scores: NDArray[np.float64]) -> Artifact:
    """Store a model; `scores` are its answers to the train rows and then the validation rows, shape (n, classes)."""
    project, sides = training.project, training.sides
    answers, learned = scores.argmax(axis=1), len(sides.train.labels)
    described = profiles(sides, scores[learned:, _positive(training)])
    described["space"] = space(sides.train.features, answers[:learned], len(sides.view.classes))
    files = (
        store_file(ws.blobs, MODEL, document),
        store_file(ws.blobs, SIGNATURE, canonical(signature(project, sides))),
        store_file(ws.blobs, PROFILE, canonical(described)),
    )
    return ws.store_folder(kind, manifest(files))


def signature(project: Project, sides: Sides) -> Signature:
    """Return what the model takes and gives; a column's declared range is its input's, a transform's has none."""
    return Signature(
        inputs=tuple(_field(project, feature) for feature in sides.view.features),
        classes=sides.view.classes,
        positive=project.train.positive,
        texts=_texts(sides.view) or msgspec.UNSET,
    )


def _texts(view: View) -> tuple[TextInput, ...]:
    """Return the texts of a view, each with the place of its first bucket."""
    names = view.names
    return tuple(
        TextInput(name=name, at=names.index(bucket_name(name, 0)), hashing=hashing, unicode=UNICODE)
        for name, hashing in view.hashings.items()
    )


def _field(project: Project, feature: Feature) -> Field:
    if feature.transform == HASHED:  # a row of buckets has length 1
        return Field(name=feature.name, minimum=-1.0, maximum=1.0)
    if feature.transform != "column":
        return Field(name=feature.name)
    if feature.name in project.features.use:
        return Field(name=feature.name, online=_online(project, feature.name))
    column = project.data.columns[feature.of[0]]
    whole = column.type in {ColumnType.INTEGER, ColumnType.BOOLEAN} or msgspec.UNSET
    return Field(name=feature.name, minimum=column.minimum, maximum=column.maximum, whole=whole)


def _online(project: Project, name: str) -> Online:
    """Return what a gateway must know to look a feature up, and what may stand in for it."""
    view, _, feature = name.partition(".")
    declared = project.features.views[view]
    return Online(
        view=view,
        feature=feature,
        version=declared.digest,
        entity=declared.entity,
        default=declared.features[feature].default,
        fresh_s=declared.fresh_s,
    )


def profiles(sides: Sides, scores: NDArray[np.float64]) -> dict[str, Any]:
    """Return what live traffic is compared with: each input over the train rows, the score over the validation rows.

    Scores of rows that were learned from are sharper than those of any row that comes later, so they would show drift
    where there is none.
    """
    columns = zip(sides.view.names, sides.train.features.T, strict=True)
    return {
        "inputs": {name: _profile(values) for name, values in columns},
        "score": _profile(scores.astype(np.float32)),
    }


def space(rows: NDArray[np.float32], answers: NDArray[np.int64], classes: int) -> Space:
    """Return how train rows lie, and how near is near, for the gateway's detectors: numbers of columns, never a row."""
    return fit_space(rows, answers, classes=classes, alarm=alarm_at(FALSE_ALARMS, HONEST), chain=CHAIN)


def _profile(values: NDArray[np.float32]) -> Profile:
    return profile(values.astype(np.float64), min(BINS, max(MIN_CELLS, values.size // ROWS_PER_CELL)))


def _positive(training: Training) -> int:
    return training.sides.view.classes.index(training.project.train.positive)


def _quality(training: Training, scores: NDArray[np.float64]) -> dict[str, float]:
    labels, positive = training.sides.validation.labels, _positive(training)
    predicted, is_positive = scores.argmax(axis=1), labels == positive
    return {
        "accuracy": accuracy(labels, predicted),
        "balanced_accuracy": balanced_accuracy(labels, predicted),
        "auc": auc(is_positive, scores[:, positive]),
        "brier": brier(is_positive, scores[:, positive]),
        "log_loss": log_loss(is_positive, scores[:, positive]),
    }
