"""Names that execute, read, write or connect by themselves: they make an import malicious instead of unknown.

This list decides nothing about what passes: whatever is not on the allow-list does not. It only says how bad an import
is, so that a reader sees `posix.system` before `mycompany.Model`.
"""

import _compat_pickle
from functools import cache
from importlib.resources import files
from typing import Final

LIST: Final = "dangerous.txt"


@cache
def _listed() -> frozenset[str]:
    lines = (files("holdfast.engines.scan.pickles") / LIST).read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def modern(module: str, name: str) -> tuple[str, str]:
    """Return a name as Python 3 imports it: unpickling translates what Python 2 called otherwise.

    >>> modern("__builtin__", "eval")
    ('builtins', 'eval')
    """
    renamed = _compat_pickle.NAME_MAPPING.get((module, name))
    if renamed:
        return str(renamed[0]), str(renamed[1])
    return str(_compat_pickle.IMPORT_MAPPING.get(module, module)), name


def dangerous(module: str, name: str) -> bool:
    """Return whether importing a name belongs to attacks.

    A dotted name reaches through an object (`a.b.__globals__`), whatever it begins with.
    """
    listed, parts, reached = _listed(), f"{module}.{name}".split("."), name.split(".")
    if any(part.startswith("__") for part in reached) or any(f"{part}.*" in listed for part in reached[:-1]):
        return True
    return f"{parts[0]}.*" in listed or any(".".join(parts[:length]) in listed for length in range(1, len(parts) + 1))
