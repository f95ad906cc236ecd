"""The public Python API: names that resolve, that a type checker sees too, and that cost nothing until used."""

import ast
from pathlib import Path

import pytest

import holdfast

NAMES = sorted(holdfast.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_resolves(name: str) -> None:
    """It is what its own module calls by that name, the workspace's door apart; and it is found again."""
    value = getattr(holdfast, name)
    assert value is getattr(holdfast, name)
    assert getattr(value, "__name__", name) in {name, "open_plant"}
    assert name in dir(holdfast)


def test_no_other_name_resolves() -> None:
    """As for every module."""
    with pytest.raises(AttributeError, match="no attribute 'pickle'"):
        holdfast.pickle  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_read_the_same_names() -> None:
    """`__init__.pyi` names just what `__init__.py` offers."""
    stub = ast.parse(Path(holdfast.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    known = {
        alias.asname or alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    given = {ast.unparse(node.targets[0]): node.value for node in stub.body if isinstance(node, ast.Assign)}
    assert set(ast.literal_eval(given.pop("__all__"))) == set(NAMES)
    assert known | given.keys() == set(NAMES)


def test_there_are_few_of_them() -> None:
    """What fits on a page can be kept stable."""
    assert 15 <= len(NAMES) <= 30
    assert len(set(NAMES)) == len(NAMES)
