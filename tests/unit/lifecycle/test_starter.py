"""What `holdfast init` writes beside a workspace."""

from pathlib import Path

import pytest

from holdfast.lifecycle.home import Home
from holdfast.lifecycle.starter import IGNORED, keep_from_source


def test_git_is_told_to_leave_the_workspace_alone(tmp_path: Path) -> None:
    """Its keys and evidence are no source: a `.gitignore` says so from the first moment."""
    assert "keeps .holdfast/ out of git" in keep_from_source(Home(root=tmp_path))
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == IGNORED
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]


@pytest.mark.parametrize(("line", "says"), [("/.holdfast/", ""), ("build/", "Add .holdfast/"), ("# .holdfast/", "Add")])
def test_somebodys_own_gitignore_is_not_touched(tmp_path: Path, line: str, says: str) -> None:
    """Where it does not name the workspace, that is said."""
    (tmp_path / ".gitignore").write_text(f"*.log\n{line}\n", encoding="utf-8")
    assert keep_from_source(Home(root=tmp_path)).startswith(says)
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == f"*.log\n{line}\n"
