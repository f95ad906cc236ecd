"""Answers rows with an ONNX model. Runs inside the sandbox, in a process that holds no code of the model's author.

Command line: MODEL ROWS OUT CLASSES REPEATS. Reads `rows.npy`; writes raw little-endian arrays of a size the caller
knows, so that nothing has to be parsed outside: `probabilities.f32`, `labels.i64`, with REPEATS above 0 `seconds.f64`.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

INPUT: Final = "input"
OUTPUTS: Final = ("label", "probabilities")
PROBABILITIES, LABELS, SECONDS = "probabilities.f32", "labels.i64", "seconds.f64"
EXIT_CONTRACT: Final = 65  # sysexits.h, EX_DATAERR: the model does not keep the contract
BATCH: Final = 1 << 14  # rows answered at once: keeps the intermediate arrays of wide models small
WARM_UP: Final = 50  # single rows answered before the clock counts: first calls allocate


class ContractBrokenError(Exception):
    """The model is not what the contract says: one float32 input, int64 labels and float32 probabilities."""


def main(args: Sequence[str]) -> int:
    """Answer the rows; return the exit code."""
    model, rows, out, classes, repeats = args
    try:
        session = open_model(Path(model).read_bytes())
        given = np.load(rows)
        labels, probabilities = answer(session, given, int(classes))
    except ContractBrokenError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONTRACT
    (Path(out) / LABELS).write_bytes(labels.astype("<i8").tobytes())
    (Path(out) / PROBABILITIES).write_bytes(probabilities.astype("<f4").tobytes())
    if int(repeats):
        (Path(out) / SECONDS).write_bytes(time_single_rows(session, given, int(repeats)).astype("<f8").tobytes())
    return 0


def open_model(document: bytes) -> Any:
    """Return a session that answers with one thread.

    Raises:
        ContractBrokenError: ONNX Runtime cannot load the model, or its inputs and outputs are others.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # one order of sums: the same numbers every time
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(document, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ContractBrokenError(f"the model cannot be loaded: {error}") from error
    takes = [(item.name, item.type) for item in session.get_inputs()]
    gives = [(item.name, item.type) for item in session.get_outputs()]
    if takes != [(INPUT, "tensor(float)")]:
        raise ContractBrokenError(f"the model takes {takes}, not one float32 tensor named {INPUT!r}")
    if gives != list(zip(OUTPUTS, ("tensor(int64)", "tensor(float)"), strict=True)):
        raise ContractBrokenError(f"the model gives {gives}, not int64 labels and float32 probabilities")
    return session


def answer(session: Any, rows: NDArray[np.float32], classes: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return labels, shape (n,), and probabilities, shape (n, classes), of rows, shape (n, d).

    Raises:
        ContractBrokenError: The model refuses the rows, or answers in another shape.
    """
    labels, probabilities = [], []
    for start in range(0, len(rows), BATCH):
        batch = np.ascontiguousarray(rows[start : start + BATCH])
        try:
            label, probability = session.run(list(OUTPUTS), {INPUT: batch})
        except Exception as error:
            raise ContractBrokenError(f"the model does not answer rows of shape {batch.shape}: {error}") from error
        if label.shape != (len(batch),) or probability.shape != (len(batch), classes):
            words = f"answers of shape {label.shape} and {probability.shape} to {len(batch)} rows, {classes} classes"
            raise ContractBrokenError(words)
        labels.append(label)
        probabilities.append(probability)
    return np.concatenate(labels), np.concatenate(probabilities)


def time_single_rows(session: Any, rows: NDArray[np.float32], repeats: int) -> NDArray[np.float64]:
    """Return the seconds of single-row calls, shape (repeats,), rows in turn, after a warm-up."""
    singles = [np.ascontiguousarray(rows[index : index + 1]) for index in range(min(len(rows), repeats))]
    taken = np.empty(repeats + WARM_UP)
    for call in range(repeats + WARM_UP):
        feed = {INPUT: singles[call % len(singles)]}
        started = time.perf_counter()
        session.run(list(OUTPUTS), feed)
        taken[call] = time.perf_counter() - started
    return taken[WARM_UP:]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
