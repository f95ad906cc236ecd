"""Opens a foreign model. Runs inside the sandbox, and is the one place where foreign objects are built.

Command line: look FORMAT MODEL LEFT, or convert FORMAT MODEL LEFT ROWS. `look` loads the model under an audit hook
and writes what it is into `facts.json`; `convert` lets the loaded model answer rows and writes it as canonical ONNX.
Nothing that is left is believed before it was looked at (docs/adr/0225).
"""

import importlib
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from holdfast.release.foreign.watching import Watch

FACTS, ANSWERS, CONVERTED = "facts.json", "answers.f64", "model.onnx"
EXIT_MISSING: Final = 69  # sysexits.h, EX_UNAVAILABLE: a library that reads this format is not installed
EXIT_CANNOT: Final = 65  # EX_DATAERR: it was read, and is nothing that can be converted
READERS: Final = ("joblib", "sklearn", "numpy")  # loaded before the hook listens: their own start is not the model's
GRAPH: Final = "holdfast"
MAX_CLASSES: Final = 1000


class CannotError(Exception):
    """The model is nothing that can be converted, with the reason in words."""


def main(args: Sequence[str]) -> int:
    """Do one of the two; return the exit code."""
    way, form, model, left, *rest = args
    try:
        load = LOADERS[form]()
        if way == "look":
            _look(load, Path(model), Path(left))
        else:
            _convert(load(Path(model)), Path(left), Path(rest[0]))
    except ImportError as error:
        sys.stderr.write(f"\n{error.name or error}\n")
        return EXIT_MISSING
    except CannotError as error:
        sys.stderr.write(f"\n{error}\n")
        return EXIT_CANNOT
    return 0


def _look(load: Callable[[Path], Any], model: Path, left: Path) -> None:
    folders = (sys.prefix, sys.base_prefix, str(Path(np.__file__).parents[1]), str(Path(__file__).parents[3]))
    watch = Watch(1, (*folders, str(model), *(folder for folder in sys.path if folder)))
    watch.begin()
    facts = json.dumps(_facts(load(model)))  # asking an object is running it
    watch.end()
    (left / FACTS).write_text(facts, encoding="utf-8")


def _facts(loaded: Any) -> dict[str, Any]:
    if isinstance(loaded, dict):  # of ONNX: read from its declarations
        return loaded
    features = getattr(loaded, "n_features_in_", 0)
    classes = getattr(loaded, "classes_", ())
    names = [str(each)[:80] for each in np.asarray(classes).ravel()[:MAX_CLASSES].tolist()]
    kind = type(loaded)
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}"[:200],
        "features": int(features) if isinstance(features, (int, np.integer)) else 0,
        "classes": names,
        "predicts": callable(getattr(loaded, "predict_proba", None)),
    }


def _convert(loaded: Any, left: Path, rows: Path) -> None:
    facts, given = _facts(loaded), np.load(rows)
    if not facts["predicts"] or len(facts["classes"]) < 2:  # noqa: PLR2004 - one class is no choice
        raise CannotError(f"a {facts['type']} is no fitted classifier with predict_proba")
    answers = np.full((len(given), len(facts["classes"])), np.nan)
    whole = np.isfinite(given).all(axis=1)
    answers[whole] = _answer(loaded, given[whole])
    for index in np.flatnonzero(~whole):  # one by one: a row that it refuses must not hide the others
        try:
            answers[index] = _answer(loaded, given[index : index + 1])[0]
        except ValueError:
            continue
    converted = _onnx(loaded, given.shape[1], len(facts["classes"]))
    (left / ANSWERS).write_bytes(answers.astype("<f8").tobytes())
    (left / CONVERTED).write_bytes(converted)


def _answer(loaded: Any, rows: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows whose columns have no names
        return loaded.predict_proba(rows)


def _onnx(loaded: Any, features: int, classes: int) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    from holdfast.engines.canonical_onnx import OPSET, Shape, canonical_model

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about itself
            model = to_onnx(
                loaded,
                initial_types=[("input", FloatTensorType([None, features]))],
                options={"zipmap": False},
                target_opset=OPSET,
            )
        return canonical_model(model, "probabilities", Shape(features=features, classes=classes, graph=GRAPH))
    except MemoryError:
        raise
    except Exception as error:
        words = str(error).strip().partition("\n")[0]
        raise CannotError(f"a {type(loaded).__name__} cannot be exported to ONNX: {words}") from error


def _pickled() -> Callable[[Path], Any]:
    """Return what loads a pickle, with or without joblib's arrays: the one door to it."""
    joblib, *_ = (importlib.import_module(name) for name in READERS)
    importlib.import_module("sklearn.utils.validation")

    def load(path: Path) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ
            return joblib.load(path)

    return load


def _onnx_read() -> Callable[[Path], Any]:
    onnx, runtime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")

    def load(path: Path) -> Any:
        document = path.read_bytes()
        model = onnx.load_model_from_string(document)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            runtime.InferenceSession(document, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise CannotError(f"ONNX Runtime cannot load it: {str(error)[:200]}") from error
        return {
            "type": "onnx",
            "features": _last_dimension(model.graph.input),
            "classes": [str(index) for index in range(min(_last_dimension(model.graph.output), MAX_CLASSES))],
            "predicts": True,
        }

    return load


def _last_dimension(values: Any) -> int:
    """Return the width of the last value that has two dimensions, 0 where it is open."""
    found = [each.type.tensor_type.shape.dim for each in values]
    return next((int(dims[1].dim_value) for dims in reversed(found) if len(dims) == 2), 0)  # noqa: PLR2004


LOADERS: Final[dict[str, Callable[[], Callable[[Path], Any]]]] = {"pickle": _pickled, "onnx": _onnx_read}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
