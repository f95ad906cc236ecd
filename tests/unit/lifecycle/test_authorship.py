"""Who wrote a recipe, from what is known; and what reads like a secret beside it."""

import base64
import hashlib
from pathlib import Path

import msgspec
import pytest
from bench.secret_corpus import TOKENS, Draw

from holdfast.core.authorship import AUTHORS
from holdfast.lifecycle.authorship import History, Written, _measure, _repository
from holdfast.lifecycle.premises import _secrets

DRAWN = base64.b64encode(hashlib.sha512(b"drawn").digest(), b"xy").decode()
HISTORY = History(persons=("Wilma <wilma@example.org>",), committed=True)


@pytest.mark.parametrize(
    ("history", "declared", "known", "uncommitted", "source", "authors"),
    [
        (HISTORY, (), 1, 0, "git", ["Ada", "Wilma <wilma@example.org>"]),
        (HISTORY, ("Nobody",), 1, 0, "git", ["Ada", "Wilma <wilma@example.org>"]),
        (History(persons=("Wilma",), committed=False), (), 1, 1, "git", ["Ada", "Wilma"]),
        (None, ("Wilma",), 1, 0, "project file", ["Ada", "Wilma"]),
        (None, ("Ada",), 1, 0, "project file", ["Ada"]),
        (None, (), 0, 0, "nobody says", ["Ada"]),
    ],
)
def test_history_comes_before_declarations_and_whoever_ran_it_is_always_named(
    history: History | None, declared: tuple[str, ...], known: int, uncommitted: int, source: str, authors: list[str]
) -> None:
    """A project file that names others cannot hide what history says; with neither, nobody knows."""
    report = _measure(Written(history=history, declared=declared, runner="Ada"))
    measures = {measure.name: measure.value for measure in report.measures}
    assert measures == {"known": known, "from_history": float(source == "git"), "uncommitted": uncommitted}
    assert report.facts["source"] == source
    assert msgspec.json.decode(report.facts[AUTHORS]) == authors


def test_history_is_found_in_a_folder_above_and_behind_a_pointer(tmp_path: Path) -> None:
    """A repository around the project, a linked working tree, and a pointer that leads nowhere."""
    inside = tmp_path / "repository" / "models" / "one"
    inside.mkdir(parents=True)
    own = tmp_path / "repository" / ".git"
    own.mkdir()
    assert _repository(inside) == (tmp_path / "repository", (own,))
    linked = tmp_path / "linked"
    linked.mkdir()
    (own / "worktrees" / "linked").mkdir(parents=True)
    (own / "worktrees" / "linked" / "commondir").write_text("../..\n", encoding="utf-8")
    (linked / ".git").write_text(f"gitdir: {own}/worktrees/linked\n", encoding="utf-8")
    assert _repository(linked) == (linked, (own / "worktrees" / "linked", own))
    (linked / ".git").write_text("gitdir: /nowhere\n", encoding="utf-8")
    assert _repository(linked) is None
    (linked / ".git").write_bytes(b"\xff")
    assert _repository(linked) is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("key = hf_" + DRAWN[:43], "API key of a Holdfast gateway"),
        ("token: " + TOKENS["github-classic"](Draw(5)), "GitHub"),
        ("holdfast-unlock-1 " + hashlib.sha256(b"drawn").hexdigest(), "opens a Holdfast workspace"),
        (f'PASSWORD = "{DRAWN[:24]}"', "where a secret stands"),
    ],
)
def test_what_reads_like_a_secret_is_found_and_never_shown(tmp_path: Path, text: str, what: str) -> None:
    """Its place and its sort are told; the text is not."""
    (tmp_path / "notes.txt").write_text(f"before\n{text}\nafter", encoding="utf-8")
    (found,) = _secrets(tmp_path)
    assert found.startswith("notes.txt")
    assert what in found
    assert text not in found


@pytest.mark.parametrize("text", ["password = os.environ['X']", "api_key: str", "hf_short", "BEGIN PUBLIC KEY", ""])
def test_what_only_speaks_of_secrets_is_none(tmp_path: Path, text: str) -> None:
    """Code that reads a secret from elsewhere holds none."""
    (tmp_path / "train.py").write_text(text, encoding="utf-8")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text('password = "of-a-remote"', encoding="utf-8")
    assert list(_secrets(tmp_path)) == []
