"""Sealed blobs: plain bytes in and out, nothing plain on the disk, and nothing at all once the key is destroyed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.sealed_blobs import Place, SealedBlobs, Windows
from holdfast.adapters.sealed_index import DiskIndex
from holdfast.adapters.unlock import Unlock, create_unlock_file, unlock_file
from holdfast.adapters.vault import Vault, create_vault
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Refused, Unavailable
from holdfast.core.ports import Blobs
from holdfast.testing.clock import SettableClock

ROW = b"Jane Roe,1971-03-02,+1 202 555 0143\n"


class Store:
    """A store on disk, opened as often as a test likes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unlock = create_unlock_file(root / "outside" / "unlock", outside=root / "workspace")
        (root / "workspace").mkdir()
        create_vault(root / "workspace" / "storage", self.unlock)

    def vault(self, unlock: Unlock | None = None) -> Vault:
        return Vault(self.root / "workspace" / "storage", unlock or self.unlock)

    def open(self, key: str = "rows", *, unlock: Unlock | None = None, windows: Windows | None = None) -> SealedBlobs:
        place = self.root / "workspace"
        stores = Place(
            documents=DiskBlobs(place / "blobs"),
            sealed=DiskBlobs(place / "sealed" / "bytes"),
            index=DiskIndex(place / "sealed" / "index"),
        )
        return SealedBlobs(stores, self.vault(unlock), windows or Windows(self.root / "scratch"), SettableClock(), key)

    def locked(self) -> Unlock:
        return unlock_file(self.root / "nowhere")

    def raw(self) -> bytes:
        return b"".join(path.read_bytes() for path in (self.root / "workspace").rglob("*") if path.is_file())

    def files(self, folder: str) -> list[Path]:
        return sorted(path for path in (self.root / "workspace" / "sealed" / folder).rglob("*") if path.is_file())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A new vault and nothing in it."""
    return Store(tmp_path)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=2000))
def test_what_is_put_comes_back_under_the_digest_of_the_plain_bytes(store: Store, data: bytes) -> None:
    """The address says nothing about the key: whoever holds a digest of plain bytes finds them, whatever seals them."""
    digest = store.open().put(data)
    assert digest == digest_bytes(data) == store.open("another").put(data)
    assert store.open("").get(digest) == data
    assert store.open("").check(digest)
    port: Blobs = store.open()  # for the type checker
    assert port.has(digest)


def test_raw_bytes_on_disk_show_no_plaintext(store: Store, tmp_path: Path) -> None:
    """Not of rows put whole, not of rows put from a file; a document that is made to be shown lies in the clear."""
    file = tmp_path / "rows.csv"
    file.write_bytes(ROW * 5000)
    blobs = store.open()
    digests = [blobs.put(ROW), blobs.put_file(file)]
    assert b"Jane" not in store.raw()
    assert blobs.get(digests[1]) == ROW * 5000
    shown = blobs.put_document(b"a manifest")
    assert b"a manifest" in store.raw()
    assert blobs.get(shown) == b"a manifest"


def test_an_erased_key_takes_its_bytes_with_it_and_no_others(store: Store) -> None:
    """Also for processes that have read them before; what another key seals too is still there under that one."""
    reader = store.open()
    gone, shared = reader.put(ROW), reader.put(b"in two data sets")
    store.open("another").put(b"in two data sets")
    assert reader.get(gone) == ROW
    assert store.vault().destroy("rows")
    for blobs in (reader, store.open()):
        with pytest.raises(NotFound, match="erased"):
            blobs.get(gone)
        with pytest.raises(NotFound, match="erased"):
            blobs.path(gone)
        assert not blobs.has(gone)
        assert blobs.get(shared) == b"in two data sets"
    assert not store.vault().destroy("rows")


def test_a_key_of_the_same_name_is_another_key(store: Store) -> None:
    """Rows that come in again after an erasure can be read; what was erased stays erased."""
    gone = store.open().put(b"erased")
    store.vault().destroy("rows")
    again = store.open().put(ROW)
    assert store.open().get(again) == ROW
    assert not store.open().has(gone)
    assert store.open().put(b"erased") == gone
    assert store.open().get(gone) == b"erased"


def flip(path: Path) -> None:
    """Change one bit of a stored file."""
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("read", [SealedBlobs.get, SealedBlobs.check, SealedBlobs.path])
def test_changed_encrypted_bytes_are_never_handed_out(
    store: Store, read: Callable[[SealedBlobs, Digest], object]
) -> None:
    """Damage shows by the digest of the encrypted bytes, so also to somebody without the secret."""
    digest = store.open().put(ROW)
    flip(store.files("bytes")[0])
    with pytest.raises(NotVerified):
        read(store.open(), digest)
    with pytest.raises(NotVerified):
        store.open(unlock=store.locked()).check(digest)
    with pytest.raises(NotVerified):
        store.open().put(ROW)


@pytest.mark.parametrize("read", [SealedBlobs.get, SealedBlobs.check, SealedBlobs.path])
def test_an_index_entry_that_names_other_bytes_is_found_out(
    store: Store, read: Callable[[SealedBlobs, Digest], object]
) -> None:
    """Whoever can write the index swaps two well encrypted blobs: the plain digest tells."""
    one, two = store.open().put(ROW), store.open().put(b"other rows")
    entries = {path.parent.name: path for path in store.files("index")}
    mine, other = (entries[digest.removeprefix("sha256:")[2:]] for digest in (one, two))
    mine.write_bytes(other.read_bytes())
    with pytest.raises(NotVerified, match="do not have this digest"):
        read(store.open(), one)
    mine.write_bytes(b"nonsense")
    with pytest.raises(NotVerified, match="index entry"):
        read(store.open(), one)
    assert not list((store.root / "scratch").rglob("*.csv"))


def test_without_the_secret_one_can_write_and_check_but_not_read(store: Store) -> None:
    """A process that only takes data in needs no secret."""
    locked = store.open(unlock=store.locked())
    digest = locked.put(ROW)
    assert locked.check(digest) is False
    with pytest.raises(Unavailable, match="unlock file is missing"):
        locked.get(digest)
    assert store.open().get(digest) == ROW


def test_a_decrypted_file_is_ours_alone_and_goes_with_the_process(store: Store) -> None:
    """It is made again where somebody wrote into it, and what a killed process left is swept away."""
    scratch = store.root / "scratch"
    left = scratch / "open-999999999-x"
    left.mkdir(parents=True)
    (left / "rows").write_bytes(ROW)
    windows = Windows(scratch)
    blobs = store.open(windows=windows)
    digest = blobs.put(ROW)
    path = blobs.path(digest)
    assert not left.exists()
    assert path.read_bytes() == ROW
    assert path.parent.stat().st_mode & 0o077 == 0
    path.chmod(0o600)
    path.write_bytes(b"changed")
    assert blobs.path(digest).read_bytes() == ROW
    windows.close()
    assert not scratch.exists()


def test_a_data_key_of_another_workspace_or_name_is_refused(store: Store, tmp_path: Path) -> None:
    """Key files are bound to their names, and encrypted to one master key."""
    digest = store.open().put(ROW)
    (key,) = (store.root / "workspace" / "storage" / "keys").iterdir()
    (tmp_path / "b").mkdir()
    other = Store(tmp_path / "b")
    other.open().put(ROW)
    (foreign,) = (other.root / "workspace" / "storage" / "keys").iterdir()
    original = key.read_bytes()
    key.write_bytes(foreign.read_bytes())
    with pytest.raises(NotFound):  # the index knows no such key
        store.open().get(digest)
    key.rename(key.with_name("0" * 32 + ".json"))
    with pytest.raises(NotVerified, match="another's name"):
        store.vault().stored()
    key.with_name("0" * 32 + ".json").unlink()
    key.write_bytes(original)
    key.chmod(0o644)
    with pytest.raises(Refused, match="open to others"):
        store.open().get(digest)


def test_an_exported_key_opens_what_lies_under_it_with_the_public_tool(store: Store) -> None:
    """The format is age's: whoever was handed one key needs nothing of ours."""
    pyrage = pytest.importorskip("pyrage")
    store.open().put(ROW)
    identity = pyrage.x25519.Identity.from_str(store.vault().export("rows"))
    assert pyrage.decrypt(store.files("bytes")[0].read_bytes(), [identity]) == ROW
    with pytest.raises(NotFound):
        store.vault().export("nothing")


@pytest.mark.parametrize("name", ["", "x" * 200, "a\nb"])
def test_a_name_that_no_key_may_have(store: Store, name: str) -> None:
    """An empty name would mean: in the clear."""
    with pytest.raises(InvalidInput):
        store.vault().seal(name, ROW, SettableClock().now())


def test_a_wrong_secret_is_said_and_the_place_with_it(store: Store, tmp_path: Path) -> None:
    """The wrong unlock file opens nothing."""
    digest = store.open().put(ROW)
    wrong = create_unlock_file(tmp_path / "wrong" / "unlock", outside=store.root / "workspace")
    with pytest.raises(Unavailable, match="does not open these keys"):
        store.open(unlock=wrong).get(digest)


def test_a_full_disk_leaves_nothing_half_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be named cannot be found: the blob is not there, and storing it again succeeds."""
    blobs = store.open()
    blobs.put(b"first")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        with pytest.raises(Unavailable, match="No space left"):
            blobs.put(ROW)
    assert not blobs.has(digest_bytes(ROW))
    assert blobs.get(blobs.put(ROW)) == ROW


def test_another_secret_opens_the_same_data_and_a_crash_between_leaves_both_working(
    store: Store, tmp_path: Path
) -> None:
    """While keys and data change hands, either secret opens the data; afterwards the new one alone does."""
    digest = store.open().put(ROW)
    new = create_unlock_file(tmp_path / "new" / "unlock", outside=store.root / "workspace")
    vault = store.vault()
    with vault.rewrapping(new):
        assert store.open().get(digest) == ROW
        assert store.open(unlock=new).get(digest) == ROW
    assert store.open(unlock=new).get(digest) == ROW
    with pytest.raises(Unavailable, match="does not open these keys"):
        store.open().get(digest)
    with pytest.raises(KeyError), store.vault(new).rewrapping(store.unlock):
        raise KeyError
    assert store.open().get(digest) == store.open(unlock=new).get(digest) == ROW
