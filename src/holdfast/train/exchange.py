"""The files that go into the training sandbox and come out of it: what the stage and its jobs agree on.

Rows go in as arrays of features and labels only. Ids, slices, protected columns and the whole test split stay outside.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.ports import MIB
from holdfast.engines.jobs import MAX_DOCUMENT, MAX_MODEL

TASK: Final = "task.json"
PARITY: Final = "parity.npy"  # rows that estimator and export must answer alike
FAULT: Final = "fault.json"
RECIPE_FOLDER: Final = "recipe"
SECRETS_FOLDER: Final = "secrets"  # one file each; there only while the recipe's own job runs
CANDIDATE: Final = "candidate.onnx"
BASELINE: Final = "baseline.onnx"
ESTIMATED: Final = "estimated.f32"  # the estimator's own probabilities of the parity rows; NaN where it refuses a row
BASELINE_SCORES: Final = "baseline-scores.f32"  # the baseline's probabilities of train and validation rows
ENVIRONMENT: Final = "environment.json"
CONFINEMENT: Final = "confinement.json"
EXIT_RECIPE: Final = 65  # sysexits.h, EX_DATAERR: `fault.json` says what is wrong with the recipe
EXIT_MISSING: Final = 69  # sysexits.h, EX_UNAVAILABLE: a package the job needs is not installed

MAX_SCORES: Final = 1024 * MIB  # of float32 probabilities: 128 million rows of two classes
FROM_RECIPE: Final[Mapping[str, int]] = {CANDIDATE: MAX_MODEL, ESTIMATED: MAX_SCORES, FAULT: MAX_DOCUMENT}
"""What is taken of what the recipe's job leaves, and the most bytes of each."""
FROM_REFERENCE: Final[Mapping[str, int]] = {
    BASELINE: MAX_MODEL,
    BASELINE_SCORES: MAX_SCORES,
    ENVIRONMENT: MAX_DOCUMENT,
    CONFINEMENT: MAX_DOCUMENT,
}
"""The same for the job that runs without the recipe."""


def write_rows(folder: Path, name: str, features: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Write some rows for a job: features of shape (n, d) as they will be served, and class indices of shape (n,)."""
    np.save(folder / f"{name}-features.npy", features)
    np.save(folder / f"{name}-labels.npy", labels)


def read_rows(folder: Path, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the rows that `write_rows` wrote."""
    return np.load(folder / f"{name}-features.npy"), np.load(folder / f"{name}-labels.npy")
