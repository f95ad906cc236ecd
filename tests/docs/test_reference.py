"""The reference pages say what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from holdfast.core.project import Project

REPOSITORY = Path(__file__).parents[2]
REFERENCE = REPOSITORY / "docs" / "reference"


def test_pages_made_from_code_are_current() -> None:
    """Commands with their help, error codes, controls and guards: `make docs` would change nothing."""
    done = subprocess.run(
        [sys.executable, "scripts/reference.py", "--check"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def keys(kind: type, prefix: str = "") -> set[str]:
    """Return the dotted keys of a struct and of the structs below it."""
    found = set()
    for field in msgspec.structs.fields(kind):
        found.add(field.encode_name)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found |= keys(field.type, f"{prefix}{field.encode_name}.")
    return found


@pytest.mark.parametrize("key", sorted(keys(Project)))
def test_every_key_of_the_project_file_is_explained(key: str) -> None:
    """docs/reference/project.md names each key."""
    assert re.search(rf"\b{key}\b", (REFERENCE / "project.md").read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return the local files that a page links to."""
    found = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return [link for link in found if "://" not in link]


@pytest.mark.parametrize(
    "page",
    [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))],
    ids=lambda page: page.relative_to(REPOSITORY).as_posix(),
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """No page links to a file that is not there."""
    missing = [link for link in links(page) if not (page.parent / link).exists()]
    assert not missing
