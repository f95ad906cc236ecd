"""Blobs that wait to be collected: out of the way, readable, and back or gone by one step."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.adapters.blobs import DiskBlobs
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import NotFound, NotVerified

THEN = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    """An empty store."""
    return DiskBlobs(tmp_path / "blobs")


def test_what_is_set_aside_is_read_but_counts_as_stored_no_more(blobs: DiskBlobs) -> None:
    """Whoever needs it still gets it; whoever stores it stores it anew."""
    digest = blobs.put(b"one")
    blobs.set_aside(digest, THEN)
    assert not blobs.has(digest)
    assert blobs.get(digest) == b"one"
    assert list(blobs.held()) == []
    assert list(blobs.aside()) == [(digest, THEN)]
    assert blobs.put(b"one") == digest
    assert blobs.has(digest)
    blobs.drop(digest)
    assert blobs.get(digest) == b"one"


def test_it_comes_back_or_is_gone(blobs: DiskBlobs) -> None:
    """Put back, it is as before; dropped, nobody has it."""
    one, other = blobs.put(b"one"), blobs.put(b"other")
    for digest in (one, other):
        blobs.set_aside(digest, THEN)
    blobs.put_back(one)
    blobs.drop(other)
    assert dict(blobs.held()) == {one: 3}
    with pytest.raises(NotFound):
        blobs.get(other)
    assert list(blobs.aside()) == []


def test_a_file_of_what_is_set_aside_is_in_its_place_again(blobs: DiskBlobs) -> None:
    """A path that is handed out leads to the bytes."""
    digest = blobs.put(b"one")
    blobs.set_aside(digest, THEN)
    assert blobs.path(digest).read_bytes() == b"one"
    assert blobs.has(digest)


def test_damage_is_noticed_there_too(blobs: DiskBlobs, tmp_path: Path) -> None:
    """Waiting to be collected makes no bytes believable."""
    digest = blobs.put(b"one")
    blobs.set_aside(digest, THEN)
    (path,) = (tmp_path / "blobs" / "aside").rglob(digest[9:])
    path.chmod(0o600)
    path.write_bytes(b"two")
    with pytest.raises(NotVerified):
        blobs.get(digest)


def test_what_is_not_there_cannot_be_moved(blobs: DiskBlobs) -> None:
    """Each move says so, and a stranger's file in the folder is no blob."""
    digest = Digest(digest_bytes(b"nothing"))
    with pytest.raises(NotFound):
        blobs.set_aside(digest, THEN)
    with pytest.raises(NotFound):
        blobs.put_back(digest)
    with pytest.raises(NotFound):
        blobs.drop(digest)


def test_strangers_in_the_folder_are_passed_over(blobs: DiskBlobs, tmp_path: Path) -> None:
    """Only what is named like a blob is listed."""
    digest = blobs.put(b"one")
    (tmp_path / "blobs" / "sha256" / "zz").mkdir()
    (tmp_path / "blobs" / "sha256" / "zz" / "readme").write_bytes(b"hi")
    (tmp_path / "blobs" / "sha256" / "note").write_bytes(b"hi")
    assert dict(blobs.held()) == {digest: 3}
