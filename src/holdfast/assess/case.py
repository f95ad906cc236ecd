"""What the controls of a model look at: the sealed rows, and the model and its baseline as functions."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.core.evidence import Measure
from holdfast.core.ports import Predict
from holdfast.core.schema import Signature
from holdfast.maths.intervals import Interval

Groups: TypeAlias = Mapping[str, NDArray[np.str_]]
"""Column to each row's value as text, shape (n,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model before its controls.

    Attributes:
        features: The sealed rows as they will be served: float32, shape (n, d); NaN is a missing value.
        labels: Their class indices, shape (n,).
        positive: The class whose probability is the score.
        predict: The model as a function, in the sandbox.
        baseline: The linear baseline trained beside it, likewise.
        seconds: Seconds of single-row calls: given rows of shape (m, d) and how many calls, an array of that length.
        spread: Standard deviation of each feature over the rows learned from, shape (d,); 0 for one without values.
        slices: Columns by whose values quality is reported.
        protected: Columns by whose values fairness is measured.
        label: Name of the label's column.
        signature: Inputs with their declared ranges, and the classes.
        seed: Of all randomness; each control draws from a stream of its own.
        test_reads: How many times these sealed rows have been assessed with, this time included; 0 where nobody counts.
        subsets: How many models vote, each of which learned from rows of its own; 0 for one of all rows.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    positive: int
    predict: Predict
    baseline: Predict
    seconds: Callable[[NDArray[np.float32], int], NDArray[np.float64]]
    spread: NDArray[np.float64]
    slices: Groups
    protected: Groups
    label: str
    signature: Signature
    seed: int
    test_reads: int
    subsets: int = 0

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The classes that the model answers with for the sealed rows, shape (n,): the first of highest probability."""
        return decided(self.predict(self.features))

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """Which sealed rows are of the positive class, shape (n,)."""
        return np.asarray(self.labels == self.positive)

    def generator(self, control: str) -> np.random.Generator:
        """Return the control's own source of randomness: what one draws does not move what another draws."""
        stream = int.from_bytes(hashlib.sha256(control.encode()).digest()[:8])
        return np.random.default_rng((self.seed, stream))


def decided(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the class of highest probability in each row, the first of equals, as the model's own label is."""
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def within(rows: NDArray[np.float32], signature: Signature) -> NDArray[np.float32]:
    """Return rows held to the declared ranges of the inputs: what lies beyond never reaches a served model."""
    low = [-np.inf if item.minimum is None else item.minimum for item in signature.inputs]
    high = [np.inf if item.maximum is None else item.maximum for item in signature.inputs]
    return np.clip(rows, np.array(low, dtype=np.float32), np.array(high, dtype=np.float32))


def bounded(name: str, interval: Interval, unit: str = "1") -> Measure:
    """Return an interval as a measure.

    Raises:
        ValueError: Nothing was observed.
    """
    if interval.n < 1:  # empty means no
        raise ValueError(f"{name} has an empty sample")
    return Measure(name=name, value=interval.value, low=interval.low, high=interval.high, n=interval.n, unit=unit)
