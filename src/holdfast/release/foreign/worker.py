"""Opens a foreign model. Runs inside the sandbox, and is the one place where foreign objects are built.

Command line: look FORMAT MODEL LEFT, convert FORMAT MODEL LEFT ROWS, or compare FORMAT MODEL LEFT WRITTEN. `look` loads
the model under an audit hook and writes what it is into `facts.json`; `convert` writes it as canonical ONNX, or bare
weights as safetensors, and lets the loaded model answer rows; `compare` holds written weights against the loaded ones,
in a job that wrote none of them. Nothing that is left is believed before it was looked at (docs/adr/0225).
"""

import bz2
import gzip
import importlib
import importlib.util
import json
import lzma
import sys
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from holdfast.engines.boosted.trees import CannotError
from holdfast.release.foreign import opened
from holdfast.release.foreign.opened import CLASSIFICATION, MAX_CLASSES, WEIGHTS, Declared, Estimator, Opened
from holdfast.release.foreign.watching import Watch

FACTS, ANSWERS, CONVERTED, EDGES = "facts.json", "answers.f64", "model.onnx", "edges.f32"
EXIT_MISSING: Final = 69  # sysexits.h, EX_UNAVAILABLE: a library that reads this format is not installed
EXIT_CANNOT: Final = 65  # EX_DATAERR: it was read, and is nothing that can be converted
READERS: Final = ("joblib", "sklearn", "numpy")  # loaded before the hook listens: their own start is not the model's
OPTIONAL: Final = ("xgboost", "lightgbm", "torch")  # loaded before it where a pickle names them
MAX_NAMED: Final = 256 << 20  # bytes of a pickle that are looked through for their names
SEED: Final = 7  # of the choice among the thresholds of trees


def main(args: Sequence[str]) -> int:
    """Do one of the three; return the exit code."""
    way, form, model, left, *rest = args
    try:
        load = LOADERS[form](Path(model))
        if way == "look":
            _look(load, Path(model), Path(left))
        elif way == "convert":
            _convert(load(Path(model)), Path(left), Path(rest[0]))
        else:
            _compare(load(Path(model)), Path(rest[0]))
    except ImportError as error:
        sys.stderr.write(f"\n{error.name or error}\n")
        return EXIT_MISSING
    except CannotError as error:
        sys.stderr.write(f"\n{error}\n")
        return EXIT_CANNOT
    return 0


def _look(load: Callable[[Path], Opened], model: Path, left: Path) -> None:
    folders = (sys.prefix, sys.base_prefix, str(Path(np.__file__).parents[1]), str(Path(__file__).parents[3]))
    watch = Watch(1, (*folders, str(model), *(folder for folder in sys.path if folder)))
    watch.begin()
    facts = json.dumps(load(model).facts)  # asking an object is running it
    watch.end()
    (left / FACTS).write_text(facts, encoding="utf-8")


def _compare(loaded: Any, written: Path) -> None:
    loaded.compare(written.read_bytes())


def _convert(loaded: Opened, left: Path, rows: Path) -> None:
    facts, given = loaded.facts, np.load(rows)
    if facts["task"] == WEIGHTS:
        (left / CONVERTED).write_bytes(loaded.document())
        return
    if not facts["predicts"] or (facts["task"] == CLASSIFICATION and len(facts["classes"]) < 2):  # noqa: PLR2004
        raise CannotError(f"a {facts['type']} is no fitted classifier with predict_proba, and no regressor")
    document = loaded.document()
    from holdfast.engines.boosted.graphs import edges

    between = edges(document, facts["features"], np.random.default_rng(SEED))
    given = np.concatenate((given, between))
    answers = np.full((len(given), facts["width"]), np.nan)
    whole = np.isfinite(given).all(axis=1)
    answers[whole] = loaded.answer(given[whole])
    for index in np.flatnonzero(~whole):  # one by one: a row that it refuses must not hide the others
        try:
            answers[index] = loaded.answer(given[index : index + 1])[0]
        except ValueError:
            continue
    (left / ANSWERS).write_bytes(answers.astype("<f8").tobytes())
    (left / EDGES).write_bytes(between.astype("<f4").tobytes())
    (left / CONVERTED).write_bytes(document)


def _named(path: Path) -> tuple[str, ...]:
    """Return which optional libraries a pickle names; all of them where it cannot be unpacked without its reader."""
    data = path.read_bytes()[:MAX_NAMED]
    unpackers: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
        (b"\x1f\x8b", gzip.decompress),
        (b"BZh", bz2.decompress),
        (b"\xfd7zXZ", lzma.decompress),
        (b"x", zlib.decompress),
        (b"\x04\x22\x4d\x18", lambda _: b" ".join(name.encode() for name in OPTIONAL)),  # lz4
    )
    for head, unpack in unpackers:
        if data.startswith(head):
            try:
                data = unpack(data)
            except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError):
                return OPTIONAL
    return tuple(name for name in OPTIONAL if name.encode() in data)


def _pickled(path: Path) -> Callable[[Path], Opened]:
    """Return what loads a pickle, with or without joblib's arrays: the one door to it."""
    joblib, *_ = (importlib.import_module(name) for name in READERS)
    importlib.import_module("sklearn.utils.validation")
    for name in _named(path):
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)

    def load(path: Path) -> Opened:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ
            found = joblib.load(path)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(found, torch.nn.Module):
            from holdfast.release.foreign.torch_models import of_object

            return of_object(torch, found)  # type: ignore[no-any-return]  # torch has no types here
        return Estimator(found)

    return load


def _onnx_read(_: Path) -> Callable[[Path], Opened]:
    onnx, runtime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")

    def load(path: Path) -> Opened:
        document = path.read_bytes()
        model = onnx.load_model_from_string(document)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            runtime.InferenceSession(document, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise CannotError(f"ONNX Runtime cannot load it: {str(error)[:200]}") from error
        width = min(_last_dimension(model.graph.output), MAX_CLASSES)
        names = tuple(str(index) for index in range(width))
        return Declared(
            opened.described("onnx", _last_dimension(model.graph.input), classes=names, task=CLASSIFICATION)
        )

    return load


def _last_dimension(values: Any) -> int:
    """Return the width of the last value that has two dimensions, 0 where it is open."""
    found = [each.type.tensor_type.shape.dim for each in values]
    return next((int(dims[1].dim_value) for dims in reversed(found) if len(dims) == 2), 0)  # noqa: PLR2004


def _torch(*, script: bool) -> Callable[[Path], Callable[[Path], Opened]]:
    def begin(_: Path) -> Callable[[Path], Opened]:
        importlib.import_module("onnx")
        from holdfast.release.foreign.torch_models import reader

        return reader(script=script)

    return begin


LOADERS: Final[dict[str, Callable[[Path], Callable[[Path], Opened]]]] = {
    "pickle": _pickled,
    "onnx": _onnx_read,
    "xgboost": lambda _: lambda path: opened.read_xgboost(path.read_bytes()),
    "lightgbm": lambda _: lambda path: opened.read_lightgbm(path.read_bytes()),
    "torch": _torch(script=False),
    "torchscript": _torch(script=True),
}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
