"""Answers rows with an ONNX model that gives values instead of probabilities. Runs inside the sandbox.

Command line: MODEL ROWS LEFT WIDTH. Writes `values.f64`, raw and little-endian, of a size the caller knows.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from holdfast.engines.canonical_onnx import VALUES
from holdfast.engines.scoring_worker import EXIT_CONTRACT, INPUT

ANSWERS: Final = "values.f64"


def main(args: Sequence[str]) -> int:
    """Answer the rows; return the exit code."""
    import onnxruntime

    model, rows, left, width = args
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    given = np.load(rows)
    try:
        session = onnxruntime.InferenceSession(Path(model).read_bytes(), options, providers=["CPUExecutionProvider"])
        (answers,) = session.run([VALUES], {INPUT: given})
    except Exception as error:  # noqa: BLE001 - whatever the runtime raises is told
        sys.stderr.write(f"the model does not answer: {error}\n")
        return EXIT_CONTRACT
    if answers.shape != (len(given), int(width)):
        sys.stderr.write(f"answers of shape {answers.shape} to {len(given)} rows\n")
        return EXIT_CONTRACT
    (Path(left) / ANSWERS).write_bytes(answers.astype("<f8").tobytes())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
