"""The numbers in the docstrings are computed, and no public function is without one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import holdfast.maths

MODULES = sorted(module.name for module in pkgutil.iter_modules(holdfast.maths.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_every_number_in_a_docstring_is_right(name: str) -> None:
    """The examples of each module run and give what they say."""
    result = doctest.testmod(importlib.import_module(f"holdfast.maths.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_shows_a_known_number(name: str) -> None:
    """Each public function of each module has an example in its docstring."""
    module = importlib.import_module(f"holdfast.maths.{name}")
    functions = [
        function
        for title, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not title.startswith("_")
    ]
    assert functions
    assert [function.__name__ for function in functions if ">>>" not in (function.__doc__ or "")] == []
