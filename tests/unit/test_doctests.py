"""The examples in docstrings are run: a number in a docstring is a promise like any other."""

import doctest
import importlib
from pathlib import Path
from typing import Final

import pytest

SOURCE: Final = Path(__file__).parents[2] / "src"


def with_examples() -> list[str]:
    """The modules whose text holds a prompt."""
    files = sorted((SOURCE / "holdfast").rglob("*.py"))
    return [
        ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for file in files
        if ">>> " in file.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", with_examples())
def test_examples_in_docstrings_hold(name: str) -> None:
    """Each example gives what the docstring says, and a module that shows a prompt has an example that runs."""
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed
