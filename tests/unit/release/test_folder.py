"""A folder on disk as a verifier sees it: plain files, hashed now, and a refusal for everything else."""

import errno
import os
from pathlib import Path

import pytest

from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import NotFound, NotVerified
from holdfast.engines.signing.folder import read_folder


def test_every_file_is_listed_with_its_digest(tmp_path: Path) -> None:
    """Hidden ones and those in folders too: what is not listed would not be verified."""
    files = {"a": b"1", ".hidden": b"2", "d/b": b"3", "d/e/c": b""}
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    assert dict(read_folder(tmp_path)) == {path: digest_bytes(data) for path, data in files.items()}


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "dangling link", "pipe"])
def test_what_is_no_plain_file_is_refused(kind: str, tmp_path: Path) -> None:
    """A link would make a signature cover whatever it points to later; a pipe would never end."""
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (other / "file").write_bytes(b"x")
    odd = folder / "odd"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to({"link to a file": other / "file", "link to a folder": other}.get(kind, other / "gone"))
    with pytest.raises(NotVerified) as caught:
        list(read_folder(folder))
    assert caught.value.place == str(odd)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """So is a link in its place."""
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("gone", "link"):
        with pytest.raises(NotFound):
            list(read_folder(tmp_path / name))


def test_an_unreadable_folder_is_refused_and_not_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that cannot be seen could be unsigned ones."""
    hidden, see = tmp_path / "d", os.scandir
    hidden.mkdir()

    def refuse(path: str) -> object:
        if Path(path) == hidden:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return see(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(NotVerified, match="cannot be read"):
        list(read_folder(tmp_path))
