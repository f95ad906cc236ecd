"""What msgspec knows of each Struct, made before threads can ask for it at once.

msgspec describes a Struct for itself when one is first decoded, and runs Python while it does: a second thread that
decodes the same Struct in that moment reads a description that is half made, and the process dies of SIGSEGV (seen with
0.22.0). So a process with threads has every description made in the thread that imports the Struct's module, before
any other can see it.
"""

import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

import msgspec

OURS: Final = "holdfast"


def prepare_structs(package: str = OURS) -> None:
    """Describe every Struct of a package that is loaded, and from now on those of each of its modules after its import.

    Call it before the first thread is started; calling it again changes nothing. A module that is being imported, or
    whose annotations name what is not there yet, is looked at again after the next import.
    """
    if not any(isinstance(finder, _Finder) and finder.package == package for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(package))
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            _describe(module)


class _Finder:
    """Finds modules as Python does, and has their Structs described at the end of their import."""

    def __init__(self, package: str) -> None:
        self.package = package
        self._waiting: list[type[msgspec.Struct]] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module of the package is; None for any other, which the next finder is asked for."""
        if not name.startswith(f"{self.package}."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        loader: Any = spec.loader if spec is not None else None
        if loader is not None and hasattr(loader, "exec_module"):
            run = loader.exec_module

            def run_and_describe(module: ModuleType) -> None:
                run(module)
                self._waiting = [kind for kind in self._waiting if not _known(kind)] + _describe(module)

            loader.exec_module = run_and_describe
        return spec


def _describe(module: ModuleType) -> list[type[msgspec.Struct]]:
    """Describe the Structs that a module defines, and return those that cannot be described yet."""
    return [kind for kind in _structs_of(module) if not _known(kind)]


def _structs_of(module: ModuleType) -> Iterator[type[msgspec.Struct]]:
    for value in list(vars(module).values()):
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__:
            yield value


def _known(kind: type[msgspec.Struct]) -> bool:
    try:
        msgspec.json.Decoder(kind)
    except (NameError, TypeError):  # it names what is not there yet, or is never decoded
        return False
    return True
