"""`holdfast secrets scan --history`: what a repository ever held, by the commit that brought it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from bench.secret_corpus import TOKENS, Draw
from tests.scenarios.test_secrets_scan import call

TOKEN, OTHER, MERGED, SAID = (TOKENS["github-classic"](Draw(seed)) for seed in (5, 6, 7, 8))
WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


def git(folder: Path, *words: str) -> str:
    """Run git in a repository as somebody, and return what it says."""
    line = ["git", "-C", str(folder), "-c", "init.defaultBranch=main", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=os.environ | WHO)
    return done.stdout.strip()


def commit(folder: Path, says: str, **files: str | None) -> str:
    """Write or remove files, commit, and return the commit's name."""
    for name, text in files.items():
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", says)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one clean commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    commit(folder, "first", code="x = 1\n")
    return folder


def found(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[tuple[str, str], str]]:
    """The exit code, and each find's path and commit with its rule."""
    code, out = call(capsys, "secrets", "scan", *words, "--json")
    document = json.loads(out)
    return code, {(each["path"], each["commit"]): each["rule"] for each in document.get("secrets", ())}


@pytest.mark.requirement("ACC-09", by="holdfast.engines.secrets.history:look_through")
@pytest.mark.requirement("ACC-09", by="holdfast.adapters.git_history:appeared")
def test_a_secret_that_was_taken_out_again_is_named_with_the_commit_that_brought_it(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On any branch, in a merge, in a message, in a tag; once each, however many commits carry it on."""
    assert found(capsys, str(repository), "--history") == (0, {})
    brought = commit(repository, "second", settings=f"a = '{TOKEN}'\n")
    commit(repository, "third", settings=f"a = '{TOKEN}'\nb = 2\n")
    commit(repository, "fourth", settings=None)
    git(repository, "checkout", "-q", "-b", "side")
    aside = commit(repository, "fifth", other=f"o = '{OTHER}'\n")
    git(repository, "checkout", "-q", "main")
    told = commit(repository, f"use {SAID} for now", code="x = 2\n")
    git(repository, "merge", "-q", "--no-commit", "side")
    merged = commit(repository, "merged", code=f"x = '{MERGED}'\n", other=None)
    commit(repository, "last", code="x = 3\n")
    assert found(capsys, str(repository)) == (0, {})  # the files hold nothing any more
    code, finds = found(capsys, str(repository), "--history")
    assert code == 1
    assert set(finds) == {("settings", brought), ("other", aside), ("(message)", told), ("code", merged)}
    out = call(capsys, "secrets", "scan", str(repository), "--history")[1]
    assert f"settings@{brought[:12]}:1:6" in out
    assert TOKEN[8:16] not in out


def test_a_find_of_a_history_is_accepted_by_a_baseline(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A history cannot be changed: what was revoked is accepted once, and what comes after is found."""
    commit(repository, "second", settings=f"a = '{TOKEN}'\n")
    commit(repository, "third", settings=None)
    known = tmp_path / "known.json"
    words = ["secrets", "scan", str(repository), "--history"]
    assert call(capsys, *words, "--write-baseline", str(known), "--reason", "revoked in 2024")[0] == 0
    assert call(capsys, *words, "--baseline", str(known))[0] == 0
    commit(repository, "fourth", settings=f"a = '{OTHER}'\n")
    assert call(capsys, *words, "--baseline", str(known))[0] == 1


def test_nothing_that_a_repository_configures_is_run(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Monitors, diffs, conversions, verifiers of signatures: each would be a program of whoever made the repository."""
    trap, sprung = repository / ".git" / "trap", repository / ".git" / "sprung"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\ncat\n")
    trap.chmod(0o755)
    (repository / ".gitattributes").write_text("* diff=trap filter=trap\n")
    commit(repository, "second", settings=f"a = '{TOKEN}'\n")
    for name in ("core.fsmonitor", "diff.external", "diff.trap.command", "diff.trap.textconv", "filter.trap.smudge",
                 "gpg.program", "core.pager", "pager.log", "core.sshCommand"):  # fmt: skip
        git(repository, "config", name, str(trap))
    git(repository, "config", "log.showSignature", "true")
    sprung.unlink(missing_ok=True)
    assert found(capsys, str(repository), "--history")[0] == 1
    assert not sprung.exists()


def test_what_is_not_there_is_said(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a history is a wrong question; one that is cut, and a content that is lost, are not clean."""
    (tmp_path / "plain").mkdir()
    assert call(capsys, "secrets", "scan", str(tmp_path / "plain"), "--history")[0] == 2
    commit(repository, "second", code="x = 2\n")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "cut")
    code, out = call(capsys, "secrets", "scan", str(tmp_path / "cut"), "--history")
    assert code == 1
    assert "a shallow clone" in out
    lost = git(repository, "rev-parse", "HEAD~1:code")
    (repository / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    code, out = call(capsys, "secrets", "scan", str(repository), "--history")
    assert code == 1
    assert "not in this clone" in out
