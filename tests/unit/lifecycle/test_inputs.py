"""Files that people hand in: read within limits, and only where they may lie."""

import os
from pathlib import Path

import pytest

from holdfast.core.errors import InvalidInput, InvalidProject, NotFound
from holdfast.core.project import MAX_PROJECT
from holdfast.lifecycle.inputs import read_given, read_project_file
from holdfast.lifecycle.policies import load_policy, shipped_policies
from holdfast.lifecycle.records import about_of

RULE = b'name = "p"\nversion = 1\npermit_lasts = "1h"\n[derivation]\nrelease = ["model"]\n'
RULE += b'[[rule]]\nid = "a"\nbecause = "b"\napproved_by = { role = "owner" }\n'


def test_a_given_file_is_read_up_to_its_limit_and_no_further(tmp_path: Path) -> None:
    """Whoever parses it sees that there was more; nobody reads all of an endless file."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_given(path, limit=11, what="the file") == b"x" * 11
    assert len(read_project_file(tmp_path / "file")) == 100
    path.write_bytes(b"#" * (MAX_PROJECT + 100))
    assert len(read_project_file(path)) == MAX_PROJECT + 1


def test_a_link_that_a_person_made_is_followed(tmp_path: Path) -> None:
    """They named it, so they mean it; mounted configuration often is a link."""
    (tmp_path / "real").write_bytes(b"1")
    (tmp_path / "link").symlink_to("real")
    assert read_given(tmp_path / "link", limit=10, what="the file") == b"1"


@pytest.mark.parametrize("name", ["missing", "folder", "pipe", "circle", "a\0b", "x" * 5000, "missing/under"])
def test_what_cannot_be_read_is_told_without_waiting(tmp_path: Path, name: str) -> None:
    """No pipe is waited for, and no name is so odd that it raises something else."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(InvalidInput, match="the file"):
        read_given(tmp_path / name, limit=10, what="the file")
    with pytest.raises(InvalidProject, match="the project file"):
        read_project_file(tmp_path / name)


def test_shipped_policies_are_found_by_name(tmp_path: Path) -> None:
    """Each of them, whatever lies in the project under the same name."""
    assert shipped_policies()
    for path in shipped_policies():
        (tmp_path / path.stem).write_bytes(RULE)
        assert load_policy(path.stem, tmp_path)[2] == path.read_bytes()


def test_a_policy_of_the_project_is_found_by_its_path(tmp_path: Path) -> None:
    """In a folder of it, too."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.toml").write_bytes(RULE)
    policy, _, text = load_policy("rules/mine.toml", tmp_path)
    assert (policy.name, text) == ("p", RULE)


@pytest.mark.parametrize("name", ["../outside.toml", "/etc/passwd", "link.toml", "a\0b"])
def test_a_policy_outside_the_project_is_none_of_its_own(tmp_path: Path, name: str) -> None:
    """Also through a link."""
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "outside.toml").write_bytes(RULE)
    (root / "link.toml").symlink_to(tmp_path / "outside.toml")
    with pytest.raises(InvalidInput):
        load_policy(name, root)


@pytest.mark.parametrize("name", ["strict", "", ".", "rules/none.toml"])
def test_a_policy_that_does_not_exist_is_told_with_those_that_do(tmp_path: Path, name: str) -> None:
    """A reader learns what could have been meant."""
    with pytest.raises(NotFound) as told:
        load_policy(name, tmp_path)
    assert "baseline" in told.value.expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"control": "a.b/1", "reason": "r"}, "a.b/1"),
        ({"reason": "r" * 300}, "r" * 100),
        ({}, ""),
        (
            {"standing": {"epoch": 3, "baseline": "sha256:" + "a" * 64, "candidate": "", "share": 0.0}},
            "epoch 3: " + "a" * 12,
        ),
        ({"standing": {"epoch": 4, "baseline": "", "candidate": "", "share": 0.0}}, "epoch 4: nothing"),
        (
            {
                "standing": {
                    "epoch": 5,
                    "baseline": "sha256:" + "a" * 64,
                    "candidate": "sha256:" + "b" * 64,
                    "share": 0.1,
                }
            },
            f"epoch 5: {'a' * 12}, candidate {'b' * 12} 10%",
        ),
    ],
)
def test_an_entry_is_told_in_one_line(body: dict[str, object], words: str) -> None:
    """What it is about, short."""
    assert about_of(body) == words
