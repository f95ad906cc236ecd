"""The threat model and the tests agree: every guarantee has a test that carries its number."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "threat-model.md").read_text(encoding="utf-8")
MARK = re.compile(r"mark\.guarantee\(\s*\"(G\d+)\"")


def numbers(letter: str) -> list[str]:
    """The ids that the page lists in its tables, in order."""
    return re.findall(rf"^\| ({letter}\d\d) \|", PAGE, re.MULTILINE)


def marked() -> set[str]:
    """The guarantees that tests carry."""
    return {
        found for path in (REPOSITORY / "tests").rglob("test_*.py") for found in MARK.findall(path.read_text("utf-8"))
    }


def test_every_guarantee_has_a_test() -> None:
    """A guarantee without a test is a wish."""
    assert set(numbers("G")) - marked() == set()


def test_no_test_carries_a_guarantee_that_is_not_given() -> None:
    """A number that the page does not know is a slip."""
    assert marked() - set(numbers("G")) == set()


def test_guarantees_and_non_guarantees_are_numbered_without_gaps() -> None:
    """G01, G02, …; N01, N02, …: so that nothing can be dropped in silence."""
    for letter in "GN":
        found = numbers(letter)
        assert found == [f"{letter}{number:02d}" for number in range(1, len(found) + 1)]
        assert len(found) >= 10
