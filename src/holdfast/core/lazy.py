"""Names of a package that are loaded when they are first used (PEP 562): whoever needs one pays for that one."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def first_used(package: str, homes: Mapping[str, str], found: dict[str, Any]) -> Callable[[str], Any]:
    """Return a package's `__getattr__`.

    Args:
        package: The package's own name.
        homes: Each name, and the module below the package that has it.
        found: The package's globals, where the next use finds it.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found[name] = getattr(import_module(f"{package}.{homes[name]}"), name)
        return found[name]

    return load
