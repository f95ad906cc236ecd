"""Cases for the controls of a model: rows, and models that are plain functions."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.assess.case import Case
from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.evidence import Evidence, MadeWith
from holdfast.core.ports import Predict
from holdfast.core.schema import Field, Signature

MODEL = Artifact(kind=Kind.MODEL, digest=Digest("sha256:" + "1" * 64), size=1)
MADE_WITH = MadeWith(code="sha256:" + "2" * 64, configuration="sha256:" + "3" * 64, seed=9)
WEIGHTS = np.array([2.0, -1.0, 0.0])


def linear(weights: NDArray[np.float64] = WEIGHTS) -> Predict:
    """A model of two classes whose score rises along some weights."""

    def predict(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        p = 1 / (1 + np.exp(-(rows.astype(np.float64) @ weights)))
        return np.column_stack((1 - p, p))

    return predict


def constant(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """A model that always says the same."""
    return np.tile([0.3, 0.7], (len(rows), 1))


def case(count: int = 200, **other: Any) -> Case:
    """A case of two classes in three features; the labels follow `WEIGHTS`, with some noise."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(count, 3)).astype(np.float32)
    labels = (features @ WEIGHTS + rng.normal(size=count) > 0).astype(np.int64)
    made = Case(
        features=features,
        labels=labels,
        positive=1,
        predict=linear(),
        baseline=linear(np.array([1.0, 0.0, 0.0])),
        seconds=lambda _rows, calls: np.linspace(0.001, 0.002, calls),
        spread=np.ones(3),
        slices={},
        protected={},
        label="outcome",
        signature=Signature(inputs=tuple(Field(name=name) for name in "abc"), classes=("no", "yes")),
        seed=9,
        test_reads=1,
    )
    return replace(made, **other)


def measured(evidence: Evidence) -> dict[str, tuple[float, float, float]]:
    """Each measure as low, value, high."""
    return {item.name: (item.low, item.value, item.high) for item in (*evidence.measures, *evidence.timings)}
