"""Recipes: what a project's training code is given, and how it is loaded. Runs inside the sandbox only.

A recipe is `train(data, params, seed)` in a file of the project. It returns a fitted scikit-learn classifier, or the
bytes of an ONNX model. `docs/reference/recipe.md` is the contract for its authors.
"""

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Recipe: TypeAlias = Callable[["Data", Mapping[str, Any], int], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows: features as float64 of shape (n, d), every value one that float32 holds, and class indices (n,)."""

    features: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Everything a recipe learns from. There is no test split in it: those rows are not in the sandbox."""

    train: Rows
    validation: Rows
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    positive: int  # index of the class whose probability is the score
    secrets: Mapping[str, Path] = field(default_factory=dict)  # files with the secrets that were granted, by name


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`task.json`: what the stage asks of the job."""

    file: str
    function: str
    params: dict[str, int | float | str | bool]
    seed: int
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    positive: int


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`fault.json`: what is wrong with the recipe, in words for its author."""

    message: str
    place: str = ""
    expected: str = ""


class RecipeFaultError(Exception):
    """The recipe cannot be used, or returned something that cannot be a model."""

    def __init__(self, message: str, *, place: str = "", expected: str = "") -> None:
        """Keep the parts for the stage outside."""
        super().__init__(message)
        self.fault = Fault(message=message, place=place, expected=expected)


def load_recipe(folder: Path, file: str, function: str) -> Recipe:
    """Return the training function of a recipe's file; modules beside it can be imported.

    Raises:
        RecipeFaultError: The file cannot be executed, or holds no such function.
    """
    sys.path.insert(0, str(folder))
    try:
        module = _execute(folder / file)
    finally:
        sys.path.remove(str(folder))
    found = getattr(module, function, None)
    if not callable(found):
        raise RecipeFaultError(
            f"there is no function {function!r}", place=file, expected=f"def {function}(data, params, seed)"
        )
    return found  # type: ignore[no-any-return]  # whatever it is, it is called once, here in the sandbox


def _execute(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe", path)
    if spec is None or spec.loader is None:
        raise RecipeFaultError(f"{path.name} is not a Python file", place=path.name, expected="a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["recipe"] = module  # dataclasses and typing look their module up by name
    with blamed_on(path.parent, "the recipe cannot be loaded"):
        spec.loader.exec_module(module)
    return module


@contextmanager
def blamed_on(folder: Path, what: str) -> Iterator[None]:
    """Turn whatever is raised inside into a fault of the recipe, placed at the innermost line of its own files.

    A lack of memory passes: the sandbox tells that apart, and the remedy is another one.
    """
    try:
        yield
    except (MemoryError, RecipeFaultError):
        raise
    except SystemExit as error:
        words = f"{what}: it called exit({error.code!r})"
        raise RecipeFaultError(words, place=_place(folder, error), expected="a model") from error
    except BaseException as error:
        words = f"{what}: {type(error).__name__}: {error}".removesuffix(": ")
        raise RecipeFaultError(words, place=_place(folder, error)) from error


def _place(folder: Path, error: BaseException) -> str:
    """Return `file:line` of the innermost frame in the recipe's own files."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno or 1}"
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(folder)
    ]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def call_recipe(recipe: Recipe, folder: Path, data: Data, params: Mapping[str, Any], seed: int) -> Any:
    """Return whatever the recipe returns.

    Raises:
        RecipeFaultError: It raised, or left the process.
    """
    with blamed_on(folder, "the recipe failed"):
        return recipe(data, MappingProxyType(dict(params)), seed)
