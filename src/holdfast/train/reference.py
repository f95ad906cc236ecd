"""The job beside the recipe's: the linear baseline, the environment, and what the sandbox it runs in lets a job do.

Command line: GIVEN LEFT UNDECLARED…. No foreign code runs in this process and none of its files are in its folder, so a
recipe cannot weaken the baseline it is compared with, nor lie about the sandbox it ran in.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from holdfast.core.artifact import canonical
from holdfast.engines.scoring_worker import answer, open_model
from holdfast.train.confinement import try_everything
from holdfast.train.environment import environment
from holdfast.train.exchange import (
    BASELINE,
    BASELINE_SCORES,
    CONFINEMENT,
    ENVIRONMENT,
    EXIT_MISSING,
    TASK,
    read_rows,
)
from holdfast.train.export import export_linear
from holdfast.train.linear import fit
from holdfast.train.recipe import Task


def main(args: Sequence[str]) -> int:
    """Try the sandbox, train the baseline; return the exit code."""
    given, left, undeclared = Path(args[0]), Path(args[1]), args[2:]
    (left / CONFINEMENT).write_bytes(msgspec.json.encode(try_everything(undeclared)))
    try:
        train_baseline(given, left)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error.name}\n")
        return EXIT_MISSING
    (left / ENVIRONMENT).write_bytes(canonical(environment()))
    return 0


def train_baseline(given: Path, left: Path) -> None:
    """Fit the baseline to the train rows, export it, and let the export answer all rows."""
    task = msgspec.json.decode((given / TASK).read_bytes(), type=Task)
    features, labels = read_rows(given, "train")
    document = export_linear(fit(features.astype(np.float64), labels, len(task.classes)))
    rows = np.concatenate((features, read_rows(given, "validation")[0]))
    _, probabilities = answer(open_model(document), rows, len(task.classes))
    (left / BASELINE).write_bytes(document)
    (left / BASELINE_SCORES).write_bytes(probabilities.astype("<f4").tobytes())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
