"""Models as functions: rows go into a sandboxed job, bounded arrays come back. Used by `train` and `assess`.

Nothing outside the sandbox parses model bytes. What comes back is taken as raw numbers of a size known beforehand, and
is believed to be probabilities only after it was looked at.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidRecipe, StageFailed
from holdfast.core.ports import Sandbox
from holdfast.engines.jobs import Room, collect, demand_finished, last_words
from holdfast.engines.scoring_worker import EXIT_CONTRACT, LABELS, PROBABILITIES, SECONDS

WORKER: Final = "holdfast.engines.scoring_worker"
ROWS: Final = "rows.npy"
SUM_TOLERANCE: Final = 1e-3  # of a row of float32 probabilities; a hundred classes round to far less
EDGE_TOLERANCE: Final = 1e-5  # by which a float32 probability may leave [0, 1] before it is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a model answered: labels (n,), probabilities (n, classes), and the seconds of single-row calls, if asked."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    seconds: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Rows for a model: float32 of shape (n, d), how many classes it has, and how many single rows to time."""

    rows: NDArray[np.float32]
    classes: int
    timed: int = 0


def ask(sandbox: Sandbox, model: Path, questions: Questions, room: Room) -> Answers:
    """Return a model's answers to rows.

    Args:
        sandbox: Where the model runs.
        model: Its ONNX file.
        questions: At least one row.
        room: An empty folder for the job.

    Raises:
        InvalidRecipe: The model does not keep the contract: its inputs, outputs, or what it calls probabilities.
        StageFailed: The job did not come to its end, or left no answers.
    """
    np.save(room.given / ROWS, questions.rows)
    args = [str(model), str(room.given / ROWS), str(room.left), str(questions.classes), str(questions.timed)]
    result = sandbox.python(WORKER, args, readable=(model, room.given), writable=room.left)
    if result.exit_code == EXIT_CONTRACT:
        raise InvalidRecipe(last_words(result) or "the model breaks the contract", place="model.onnx")
    demand_finished(result, "scoring the model")
    n = len(questions.rows)
    sizes = {LABELS: 8 * n, PROBABILITIES: 4 * n * questions.classes, SECONDS: 8 * questions.timed}
    left = collect(room, sizes).files
    short = [name for name, size in sizes.items() if size and len(left.get(name, b"")) != size]
    if short:
        raise StageFailed(f"scoring the model left no whole {short[0]}", place="model.onnx")
    return Answers(
        labels=np.frombuffer(left[LABELS], "<i8").astype(np.int64),
        probabilities=read_probabilities(left[PROBABILITIES], n, questions.classes),
        seconds=np.frombuffer(left[SECONDS], "<f8").astype(np.float64) if questions.timed else np.empty(0),
    )


def read_probabilities(data: bytes, rows: int, classes: int) -> NDArray[np.float64]:
    """Return the class probabilities, shape (rows, classes), in raw little-endian float32.

    Raises:
        StageFailed: They are of another size.
        InvalidRecipe: They are no probabilities.
    """
    if len(data) != 4 * rows * classes:
        raise StageFailed(f"{len(data)} bytes of probabilities", expected=f"{4 * rows * classes}")
    return _checked(np.frombuffer(data, "<f4").astype(np.float64).reshape(rows, classes))


def _checked(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities that are: finite, within [0, 1], each row summing to 1 within what float32 loses."""
    within = np.isfinite(probabilities) & (probabilities >= -EDGE_TOLERANCE) & (probabilities <= 1 + EDGE_TOLERANCE)
    bad = ~within.all(axis=1)
    bad |= ~(np.abs(np.where(within, probabilities, 0).sum(axis=1) - 1) <= SUM_TOLERANCE)
    if bad.any():
        raise InvalidRecipe(
            f"{int(bad.sum())} of {len(bad)} answers are no probabilities, first for row {int(np.argmax(bad))}",
            place="model.onnx",
            expected="finite numbers in [0, 1] that sum to 1 in each row",
        )
    return np.clip(probabilities, 0.0, 1.0)
