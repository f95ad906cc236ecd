"""What a foreign model is once it was read, whatever its format: what it says it is, what it answers, its ONNX.

Runs inside the sandbox. Libraries that somebody's file needs are asked for late and by name; a model whose own file
says all that it does (XGBoost, LightGBM) is converted without them, and compared with them where they are installed.
"""

import importlib
import importlib.util
import warnings
from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.boosted import boosters, trees
from holdfast.engines.boosted.graphs import canonical_of, of_estimator
from holdfast.engines.boosted.trees import CannotError, Ensemble

MAX_CLASSES: Final = 1000
CLASSIFICATION, VALUES, WEIGHTS = "classification", "values", "weights"


class Opened(Protocol):
    """A foreign model that was read."""

    @property
    def facts(self) -> dict[str, Any]:
        """What it says of itself: type, features, classes, task, width, library."""
        ...

    def answer(self, rows: NDArray[np.float32]) -> Any:
        """Return its own answers, shape (rows, width)."""
        ...

    def document(self) -> bytes:
        """Return it in a format that holds no code."""
        ...


def described(
    kind: str, features: int, *, classes: tuple[str, ...] = (), width: int = 0, task: str = "", library: bool = True
) -> dict[str, Any]:
    """Return what a model is, as the look into it tells."""
    return {
        "type": kind[:200],
        "features": features,
        "classes": [name[:80] for name in classes[:MAX_CLASSES]],
        "task": task or (CLASSIFICATION if classes else VALUES),
        "width": width or len(classes),
        "library": library,
        "predicts": True,
    }


class Estimator:
    """An object with the interface of scikit-learn: its own, XGBoost's, LightGBM's."""

    def __init__(self, loaded: Any) -> None:
        """Take a loaded object, fitted or not."""
        self._loaded = loaded

    @property
    def facts(self) -> dict[str, Any]:
        """What the object says; a claim."""
        loaded, kind = self._loaded, type(self._loaded)
        features = getattr(loaded, "n_features_in_", 0)
        names = [str(each) for each in np.asarray(getattr(loaded, "classes_", ())).ravel()[:MAX_CLASSES].tolist()]
        regressor = self._regressor
        told = described(
            f"{kind.__module__}.{kind.__qualname__}",
            int(features) if isinstance(features, (int, np.integer)) else 0,
            classes=() if regressor else tuple(names),
            width=int(getattr(loaded, "n_outputs_", 1)) if regressor else 0,
            task=VALUES if regressor else CLASSIFICATION,
        )
        return told | {"predicts": regressor or callable(getattr(loaded, "predict_proba", None))}

    @property
    def _regressor(self) -> bool:
        if callable(getattr(self._loaded, "predict_proba", None)) or not callable(getattr(self._loaded, "predict", 0)):
            return False
        try:
            return bool(importlib.import_module("sklearn.base").is_regressor(self._loaded))
        except (AttributeError, TypeError, ValueError):  # an object that knows no tags is none
            return False

    def answer(self, rows: NDArray[np.float32]) -> Any:
        """Return probabilities, or what a regressor predicts."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rows whose columns have no names
            if not self._regressor:
                return self._loaded.predict_proba(rows)
            return np.asarray(self._loaded.predict(rows), dtype=np.float64).reshape(len(rows), -1)

    def document(self) -> bytes:
        """Return it as canonical ONNX."""
        facts = self.facts
        width = facts["width"]
        return of_estimator(self._loaded, facts["features"], width, values=facts["task"] == VALUES)


class Booster:
    """Trees that a file of XGBoost or LightGBM holds, read here; compared with its library where that is installed."""

    def __init__(self, ensemble: Ensemble, library: str, data: bytes, best: int | None = None) -> None:
        """Take the trees, the library's name, the file's bytes, and the round that early stopping chose."""
        self._ensemble, self._library, self._data, self._best = ensemble, library, data, best

    @property
    def facts(self) -> dict[str, Any]:
        """What the file says."""
        told, there = self._ensemble, importlib.util.find_spec(self._library) is not None
        return described(told.kind, told.features, classes=told.classes, width=told.targets if not told.classes else 0,
                         library=there)  # fmt: skip

    def answer(self, rows: NDArray[np.float32]) -> Any:
        """Return the library's answers; those of the trees as they were read where it is not installed."""
        if not self.facts["library"]:
            return trees.answers(self._ensemble, rows)
        found = _xgboost(self._data, self._best, rows) if self._library == "xgboost" else _lightgbm(self._data, rows)
        if found.ndim == 1:
            found = found[:, None]
        return np.concatenate((1 - found, found), axis=1) if self._ensemble.link == "sigmoid" else found

    def document(self) -> bytes:
        """Return the trees as canonical ONNX."""
        return canonical_of(self._ensemble)


def _xgboost(data: bytes, best: int | None, rows: NDArray[np.float32]) -> Any:
    library = importlib.import_module("xgboost")
    booster = library.Booster({"nthread": 1})
    booster.load_model(bytearray(data))
    several = (0, 0) if best is None else (0, best + 1)
    matrix = library.DMatrix(rows, missing=np.nan)
    found = np.asarray(booster.predict(matrix, output_margin=True, iteration_range=several), dtype=np.float64)
    if found.ndim > 1:  # `multi:softmax` answers with labels, so both kinds of several classes are asked for sums
        grown = np.exp(found - found.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True)
    return np.asarray(booster.predict(matrix, iteration_range=several), dtype=np.float64)


def _lightgbm(data: bytes, rows: NDArray[np.float32]) -> Any:
    library = importlib.import_module("lightgbm")
    booster = library.Booster(model_str=data.decode())
    return np.asarray(booster.predict(rows, num_threads=1), dtype=np.float64)


class Declared:
    """ONNX as it came: told from its declarations, answered by nobody here, kept byte for byte."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        """Take what its declarations say."""
        self.facts = dict(facts)

    def answer(self, rows: NDArray[np.float32]) -> Any:  # noqa: ARG002 - as every opened model is asked
        """Answer nothing: what is kept is compared with nothing."""
        raise CannotError("ONNX is kept as it came")

    def document(self) -> bytes:
        """Make nothing: its own bytes are kept."""
        raise CannotError("ONNX is kept as it came")


def read_xgboost(data: bytes) -> Booster:
    """Return a model in XGBoost's JSON or UBJSON."""
    document = boosters.parse_xgboost(data)
    return Booster(boosters.xgboost(document), "xgboost", data, boosters.best_iteration(document))


def read_lightgbm(data: bytes) -> Booster:
    """Return a model in LightGBM's text."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CannotError("the LightGBM model is no text") from error
    return Booster(boosters.lightgbm(text), "lightgbm", data)
