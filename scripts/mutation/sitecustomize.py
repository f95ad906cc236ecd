"""Disables a function in child processes of a mutation run.

Python imports a module of this name at start-up when it is on the path, which only `requirement_mutants` arranges. A
test that starts `holdfast` as a command is then held to the same question as one that calls the function itself.
"""

import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from mutation.disabling import DISABLED_VARIABLE, disable, split_target  # found by the line above

sys.path.pop(0)


class _Disabling(Loader):
    """Loads a module as its own loader does, then disables the target in it."""

    def __init__(self, loader: Any, target: str) -> None:
        self._loader = loader
        self._target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        disable(self._target)


class _Watch(MetaPathFinder):
    """Waits for the import of the target's module."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._module, _ = split_target(target)

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Disabling(spec.loader, self._target)
        return spec


if _target := os.environ.get(DISABLED_VARIABLE):
    sys.meta_path.insert(0, _Watch(_target))
