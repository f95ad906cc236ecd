"""The commit that a project's folder stands at, read from git's own files: no program is started for it."""

import re
from pathlib import Path
from typing import Final

MAX_FILE: Final = 4 << 20  # bytes; packed references of fifty thousand branches
_HASH: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def commit_of(folder: Path) -> str:
    """Return the commit that HEAD names in the repository around a folder; empty where there is none.

    It says where the files came from, not that they are unchanged since: what was run is pinned by digest.
    """
    for place in (folder, *folder.parents):
        git = place / ".git"
        if git.exists():
            return _head(_directory(git))
    return ""


def _directory(git: Path) -> Path:
    """Return the folder of a repository; in a linked worktree `.git` is a file that names it."""
    named = _text(git).removeprefix("gitdir: ").strip() if git.is_file() else ""
    return (git.parent / named) if named else git


def _head(git: Path) -> str:
    head = _text(git / "HEAD").strip()
    if not head.startswith("ref: "):
        return head if _HASH.fullmatch(head) else ""
    name = head.removeprefix("ref: ")
    shared = (git / _text(git / "commondir").strip()) if (git / "commondir").is_file() else git
    found = _text(shared / name).strip() if ".." not in name else ""
    if _HASH.fullmatch(found):
        return found
    packed = (line.split(" ", 1) for line in _text(shared / "packed-refs").splitlines() if " " in line)
    return next((hashed for hashed, ref in packed if ref == name and _HASH.fullmatch(hashed)), "")


def _text(path: Path) -> str:
    """Return a small file's text; nothing where it cannot be read, since a commit is a help and never a proof."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
