"""The recipe's job: runs the recipe, exports what it returns, and leaves it in a folder. Runs inside the sandbox.

Command line: GIVEN LEFT. The recipe shares this process, so nothing that is written here is believed outside: it is a
candidate, to be scanned, scored and assessed by jobs that the recipe has no part in.
"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.train.exchange import (
    CANDIDATE,
    ESTIMATED,
    EXIT_MISSING,
    EXIT_RECIPE,
    FAULT,
    PARITY,
    RECIPE_FOLDER,
    SECRETS_FOLDER,
    TASK,
    read_rows,
)
from holdfast.train.export import EXPORTABLE, export_estimator
from holdfast.train.recipe import Data, RecipeFaultError, Rows, Task, blamed_on, call_recipe, load_recipe

GLOBAL_GENERATORS: Final = ("random", "numpy.random")  # a recipe may draw from them without saying so
MAX_SEED: Final = 2**32  # numpy's old global generator takes no more


def main(args: Sequence[str]) -> int:
    """Train the candidate; return the exit code."""
    given, left = Path(args[0]), Path(args[1])
    try:
        returned, task = run_recipe(given)
        document, estimated = _exported(returned, task, given)
    except RecipeFaultError as error:
        (left / FAULT).write_bytes(msgspec.json.encode(error.fault))
        return EXIT_RECIPE
    except ModuleNotFoundError as error:  # of ours: the recipe's own are faults of the recipe
        sys.stderr.write(f"{error.name}\n")
        return EXIT_MISSING
    (left / CANDIDATE).write_bytes(document)
    if estimated is not None:
        (left / ESTIMATED).write_bytes(estimated.astype("<f4").tobytes())
    return 0


def run_recipe(given: Path) -> tuple[Any, Task]:
    """Return what the recipe made of the rows, and the task.

    Raises:
        RecipeFaultError: It cannot be loaded, or it failed.
    """
    task = msgspec.json.decode((given / TASK).read_bytes(), type=Task)
    for module in GLOBAL_GENERATORS:
        importlib.import_module(module).seed(task.seed % MAX_SEED)
    _one_thread()
    folder = given / RECIPE_FOLDER
    recipe = load_recipe(folder, task.file, task.function)
    data = Data(
        train=_rows(given, "train"),
        validation=_rows(given, "validation"),
        feature_names=task.feature_names,
        classes=task.classes,
        positive=task.positive,
        secrets=_secrets(given / SECRETS_FOLDER),
    )
    return call_recipe(recipe, folder, data, task.params, task.seed), task


def _secrets(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def _rows(given: Path, name: str) -> Rows:
    features, labels = read_rows(given, name)
    return Rows(features=features.astype(np.float64), labels=labels)


def _one_thread() -> None:
    """Hold numeric libraries that are loaded to one thread; the sandbox's environment holds those that follow."""
    try:
        import threadpoolctl  # type: ignore[import-untyped]  # it ships no types
    except ImportError:
        return
    threadpoolctl.threadpool_limits(1)


def _exported(returned: Any, task: Task, given: Path) -> tuple[bytes, NDArray[np.float64] | None]:
    """Return the candidate's ONNX bytes, and the estimator's own answers to the parity rows where there is one."""
    if isinstance(returned, bytes | bytearray):
        return bytes(returned), None
    if returned is None:
        raise RecipeFaultError("the recipe returned nothing", place=task.file, expected=EXPORTABLE)
    document = export_estimator(returned, len(task.feature_names), task.classes)
    return document, estimate(returned, np.load(given / PARITY), len(task.classes), given / RECIPE_FOLDER)


def estimate(estimator: Any, rows: NDArray[np.float32], classes: int, folder: Path) -> NDArray[np.float64]:
    """Return an estimator's probabilities of rows, shape (n, classes); NaN for rows with missing values it refuses.

    Raises:
        RecipeFaultError: It refuses whole rows, or answers in another shape.
    """
    missing = np.isnan(rows).any(axis=1)
    estimated = np.full((len(rows), classes), np.nan)
    with blamed_on(folder, f"the {type(estimator).__name__} does not answer"):
        if not missing.all():
            estimated[~missing] = estimator.predict_proba(rows[~missing])
    try:
        if missing.any():
            estimated[missing] = estimator.predict_proba(rows[missing])
    except ValueError:  # scikit-learn's answer to a missing value that the estimator does not take
        estimated[missing] = np.nan
    return estimated


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
