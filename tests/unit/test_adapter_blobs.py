"""Blobs on disk: what comes back is what was stored, or an error that names the digest."""

import errno
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.blobs import BUFFER, SWEEP_AFTER_S, DiskBlobs
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.core.ports import Blobs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store lies."""
    return tmp_path / "blobs"


@pytest.fixture
def blobs(root: Path) -> DiskBlobs:
    """A store nothing was put into yet."""
    return DiskBlobs(root)


def stored(root: Path) -> set[Path]:
    """Every file of the store that has a name somebody could ask for."""
    return {path for path in (root / "sha256").rglob("*") if not path.is_dir()}


def overwrite(path: Path, data: bytes) -> None:
    """Does what nobody should: writes into a stored file."""
    path.chmod(0o600)
    path.write_bytes(data)


@given(data=st.binary(max_size=5000))
@pytest.mark.requirement("PROV-13", by="holdfast.core.artifact:digest_bytes")
def test_what_is_stored_comes_back_and_the_same_bytes_have_the_same_digest(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """Two stores agree about the digest of the same bytes, and give them back."""
    one, two = (DiskBlobs(tmp_path_factory.mktemp("store")) for _ in range(2))
    digest = one.put(data)
    assert two.put(data) == digest == one.put(data)
    assert one.get(digest) == two.get(digest) == data


@given(data=st.binary(min_size=1, max_size=200), draw=st.data())
@pytest.mark.requirement("PROV-13", by="holdfast.core.artifact:digest_bytes")
def test_any_one_changed_byte_gives_another_digest(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, draw: st.DataObject
) -> None:
    """Whichever byte changes, to whatever: the digest is another, and both blobs are there."""
    at = draw.draw(st.integers(0, len(data) - 1))
    value = draw.draw(st.integers(0, 255).filter(lambda value: value != data[at]))
    changed = data[:at] + bytes([value]) + data[at + 1 :]
    blobs = DiskBlobs(tmp_path_factory.mktemp("store"))
    first, second = blobs.put(data), blobs.put(changed)
    assert first != second
    assert (blobs.get(first), blobs.get(second)) == (data, changed)


@pytest.mark.parametrize("size", [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 7])
def test_a_file_is_stored_as_its_bytes_whatever_its_size(blobs: DiskBlobs, tmp_path: Path, size: int) -> None:
    """Copying in pieces gives the digest of the whole."""
    data = os.urandom(size)
    (tmp_path / "source").write_bytes(data)
    port: Blobs = blobs
    digest = port.put_file(tmp_path / "source")
    assert digest == digest_bytes(data)
    assert port.path(digest).read_bytes() == data
    with blobs.open_verified(digest) as file:
        assert file.read() == data


def test_a_blob_is_read_only_and_nobody_elses(blobs: DiskBlobs, root: Path) -> None:
    """Files may only be read, folders only be entered by their owner, whatever the umask says."""
    old = os.umask(0)
    try:
        path = blobs.path(blobs.put(b"x"))
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    folders = [path.parent, path.parents[1], root, root / "incoming"]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_storing_the_same_bytes_again_touches_nothing(blobs: DiskBlobs, tmp_path: Path) -> None:
    """The file of the first time stays the file, also when a copy comes as a file."""
    path = blobs.path(blobs.put(b"same"))
    before = path.stat()
    (tmp_path / "copy").write_bytes(b"same")
    assert blobs.put(b"same") == blobs.put_file(tmp_path / "copy")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_missing_blob_is_not_found(blobs: DiskBlobs) -> None:
    """Nothing is there before anything was stored, and nothing but what was stored afterwards."""
    absent = digest_bytes(b"absent")
    for _ in range(2):
        assert not blobs.has(absent)
        with pytest.raises(NotFound, match=absent):
            blobs.get(absent)
        blobs.put(b"present")


READERS: list[Callable[[DiskBlobs, Digest], Any]] = [DiskBlobs.get, DiskBlobs.path, DiskBlobs.open_verified]


@pytest.mark.parametrize("read", READERS, ids=["get", "path", "open_verified"])
@pytest.mark.parametrize("damaged", [b"", b"good byteS", b"good bytes and more"], ids=["emptied", "flipped", "longer"])
def test_a_damaged_blob_is_refused_by_its_digest(
    blobs: DiskBlobs, damaged: bytes, read: Callable[[DiskBlobs, Digest], Any]
) -> None:
    """However it is read, a changed file is an error that names the digest."""
    digest = blobs.put(b"good bytes")
    overwrite(blobs.path(digest), damaged)
    with pytest.raises(NotVerified, match=digest):
        read(blobs, digest)


@pytest.mark.parametrize("planted", ["link", "pipe", "folder"])
def test_something_else_planted_in_place_of_a_blob_is_refused(blobs: DiskBlobs, tmp_path: Path, planted: str) -> None:
    """A link is not followed even to the right bytes, a pipe is not waited for, a folder is no blob."""
    digest = blobs.put(b"good bytes")
    path = blobs.path(digest)
    path.unlink()
    if planted == "link":
        (tmp_path / "elsewhere").write_bytes(b"good bytes")
        path.symlink_to(tmp_path / "elsewhere")
    elif planted == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert not blobs.has(digest)
    for read in READERS:
        with pytest.raises(NotVerified, match=digest):
            read(blobs, digest)
    with pytest.raises(NotVerified, match=digest):
        blobs.put(b"good bytes")


def test_bytes_do_not_count_as_stored_while_a_damaged_blob_stands_in_their_place(
    blobs: DiskBlobs, tmp_path: Path
) -> None:
    """Storing says so instead of acknowledging, and leaves the damaged file as evidence."""
    digest = blobs.put(b"good bytes")
    path = blobs.path(digest)
    overwrite(path, b"bad bytes")
    (tmp_path / "copy").write_bytes(b"good bytes")
    with pytest.raises(NotVerified, match=digest):
        blobs.put(b"good bytes")
    with pytest.raises(NotVerified, match=digest):
        blobs.put_file(tmp_path / "copy")
    assert path.read_bytes() == b"bad bytes"


@pytest.mark.parametrize("text", ["sha256:../../../../etc/passwd", "", "sha256:" + "A" * 64, "md5:" + "0" * 64])
def test_a_digest_from_outside_never_names_another_file(blobs: DiskBlobs, text: str) -> None:
    """What is no digest is refused before it becomes a path."""
    for read in (*READERS, DiskBlobs.has):
        with pytest.raises(InvalidInput):
            read(blobs, Digest(text))


@pytest.mark.parametrize("source", ["absent", "link", "folder", "pipe"])
def test_only_a_regular_file_is_taken_in(blobs: DiskBlobs, tmp_path: Path, root: Path, source: str) -> None:
    """A link left by foreign code cannot make us store what it points at; a pipe does not make us wait."""
    path = tmp_path / "source"
    if source == "link":
        path.symlink_to("/etc/passwd")
    elif source == "folder":
        path.mkdir()
    elif source == "pipe":
        os.mkfifo(path)
    with pytest.raises(InvalidInput, match="source"):
        blobs.put_file(path)
    assert not stored(root)


def test_bytes_and_names_are_synced_in_the_order_that_survives_a_power_cut(
    blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced before it gets its name, and the folder after it: from a crash comes a whole blob or none."""
    happened: list[str] = []
    fsync, link = os.fsync, os.link

    def recording_fsync(descriptor: int) -> None:
        happened.append("sync " + ("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"))
        fsync(descriptor)

    def recording_link(source: Path, target: Path) -> None:
        happened.append("name")
        assert stat.S_IMODE(source.stat().st_mode) == 0o444
        link(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "link", recording_link)
    blobs.put(b"first")
    assert happened[0] == "sync file"
    assert happened[-2:] == ["name", "sync folder"]
    assert happened.count("sync folder") == 4  # the store's parent, the store, sha256, and the blob's own
    happened.clear()
    blobs.put(b"first")
    assert happened == ["sync folder"]  # whoever stored it first may have died before this


@pytest.mark.parametrize("step", ["fsync", "fchmod", "link"])
def test_a_failing_disk_is_an_error_and_leaves_nothing_visible(
    blobs: DiskBlobs, root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A full disk at any step: no blob, no temporary file, and an error that says why."""

    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, step, full)
        with pytest.raises(Unavailable, match="No space left"):
            blobs.put(b"x")
    assert not stored(root)
    assert not list((root / "incoming").iterdir())
    assert blobs.get(blobs.put(b"x")) == b"x"


def test_a_file_system_without_hard_links_serves_too(blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where links are not to be had, the file is moved into place."""

    def unsupported(*_: object) -> NoReturn:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    digest = blobs.put(b"x")
    assert blobs.get(digest) == b"x"
    assert stat.S_IMODE(blobs.path(digest).stat().st_mode) == 0o444


def test_what_a_crash_left_is_swept_away_after_a_day_and_not_before(root: Path) -> None:
    """A temporary file of another process that may still be writing stays."""
    DiskBlobs(root).put(b"x")
    old, young = root / "incoming" / "old", root / "incoming" / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, times=(time.time() - SWEEP_AFTER_S - 60,) * 2)
    DiskBlobs(root)
    assert (old.exists(), young.exists()) == (False, True)


def test_opening_and_reading_write_nothing(tmp_path: Path) -> None:
    """A gateway needs no right to write where it only reads."""
    blobs = DiskBlobs(tmp_path / "absent")
    assert not blobs.has(digest_bytes(b"x"))
    assert not list(tmp_path.iterdir())


def test_many_threads_that_store_the_same_bytes_all_succeed(blobs: DiskBlobs, root: Path) -> None:
    """One of them makes the file, the others find it, nobody fails."""
    digests: list[Digest] = []
    threads = [threading.Thread(target=lambda: digests.append(blobs.put(b"same"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [digest_bytes(b"same")] * 16
    assert len(stored(root)) == 1
    assert not list((root / "incoming").iterdir())
