"""Disables one named function, so that a test which claims to show it can be seen to fail.

What is replaced is the function's code, not its name. Whoever holds the function (a table of controls, another module
that wrote `from x import f`, a closure) therefore holds the disabled one; no module has to be searched. Nothing is put
back: this runs in a process that is thrown away.
"""

import importlib
import inspect
import types
from functools import cached_property
from typing import Any, Final

DISABLED_VARIABLE: Final = "HOLDFAST_DISABLED_FUNCTION"
"""Names the target to child processes, which inherit it and disable the same function (see `sitecustomize`)."""


class DisabledError(Exception):
    """A disabled function was called.

    An ordinary exception on purpose: code that catches everything catches this too, and a test that cannot tell such a
    rescue from the behaviour it claims to show is found out.
    """


class UnknownTargetError(Exception):
    """The target names nothing that can be disabled."""


def split_target(target: str) -> tuple[str, str]:
    """The module and the qualified name of `package.module:function` or `package.module:Class.method`.

    Raises:
        UnknownTargetError: The target is not written so.
    """
    module, colon, qualified = target.partition(":")
    parts = (*module.split("."), *qualified.split("."))
    if not colon or not all(part.isidentifier() for part in parts):
        raise UnknownTargetError(
            f"{target!r} is not written as 'package.module:function' or 'package.module:Class.method'"
        )
    return module, qualified


def find(target: str) -> types.FunctionType:
    """The function that a target names: imported, and freed of static, class, property and cache wrappers.

    Raises:
        UnknownTargetError: There is no such module or name, or it is no function written in Python.
    """
    module, qualified = split_target(target)
    try:
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = inspect.getattr_static(found, part)
    except (ImportError, AttributeError) as error:
        raise UnknownTargetError(f"{target!r} does not exist: {error}") from error
    function = _unwrap(found)
    if function is None:
        kind = type(found).__name__
        raise UnknownTargetError(f"{target!r} is a {kind}, not a Python function: name what does the work")
    return function


def disable(target: str) -> None:
    """Makes every later call of the target, through whichever name, raise `DisabledError`.

    Raises:
        UnknownTargetError: There is nothing of that name to disable.
    """
    function = find(target)
    function.__code__ = _refusal(target, function.__code__.co_freevars)


def _unwrap(found: object) -> types.FunctionType | None:
    """The function inside the wrappers that the language and `functools` put around one."""
    match found:
        case types.FunctionType():
            return found
        case staticmethod() | classmethod():
            return _unwrap(found.__func__)
        case property():
            return _unwrap(found.fget)
        case cached_property():
            return _unwrap(found.func)
        case _ if not inspect.isclass(found) and hasattr(found, "cache_clear") and hasattr(found, "__wrapped__"):
            found.cache_clear()  # an answer remembered from an import would outlive the function
            return _unwrap(found.__wrapped__)
        case _:
            return None


def _refusal(target: str, free_variables: tuple[str, ...]) -> types.CodeType:
    """Code that raises `DisabledError` and can take the place of code with these free variables.

    A function keeps its closure when its code is replaced, so the new code must name the same free variables. The
    exception stands in the constants: the function's own globals need not know it.
    """
    names = ", ".join(free_variables)
    source = f"def outer({names}):\n def refusal(*_args, **_kwargs):\n  ({names}{',' * bool(names)})\n  raise 'ERROR'\n"
    outer = compile(source, f"<disabled {target}>", "exec").co_consts[0]
    refusal = next(constant for constant in outer.co_consts if isinstance(constant, types.CodeType))
    error = DisabledError(f"{target} is disabled")
    constants = tuple(error if constant == "ERROR" else constant for constant in refusal.co_consts)
    return refusal.replace(co_consts=constants)
