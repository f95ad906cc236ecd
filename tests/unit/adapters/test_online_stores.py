"""Where online features lie: what both stores must do, and how the file fails."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.adapters.online_sqlite import SqliteFeatures
from holdfast.core.errors import NotVerified, Unavailable
from holdfast.engines.online import Store, Vault


def check_store(make: Callable[[], Store]) -> None:
    """What whoever keeps online features must do; `make` opens it anew."""
    store = make()
    store.replace("a/1/", {"a/1/x": b"\r\n\x00", "a/1/y": b"", "a/1/z": bytes(100_000)})
    store.replace("a/2/", {"a/2/x": b"other"})
    assert list(store.get(["a/1/x", "a/1/y", "a/1/none", "a/1/z"])) == [b"\r\n\x00", b"", None, bytes(100_000)]
    store.replace("a/1/", {"a/1/y": b"new"})
    assert list(store.get(["a/1/x", "a/1/y", "a/2/x"])) == [None, b"new", b"other"]
    many = {f"b/1/{number}": str(number).encode() for number in range(1_203)}
    store.replace("b/1/", many)
    store.close()
    with closing(make()) as again:
        assert list(again.get(list(many))) == list(many.values())


def test_a_file_keeps_values(tmp_path: Path) -> None:
    """All of them under a prefix or none, also when it is opened again."""
    check_store(lambda: SqliteFeatures(path=tmp_path / "online", writes=True))


def test_a_reader_sees_what_was_written_and_makes_no_file(tmp_path: Path) -> None:
    """Gateways read only; where nothing was materialised, that is an error and not an empty store."""
    reader = SqliteFeatures(path=tmp_path / "online")
    with pytest.raises(Unavailable):
        reader.get(["a/1/x"])
    assert not list(tmp_path.iterdir())
    writer = SqliteFeatures(path=tmp_path / "online", writes=True)
    writer.replace("a/1/", {"a/1/x": b"1"})
    assert (tmp_path / "online").stat().st_mode & 0o077 == 0
    assert list(reader.get(["a/1/x"])) == [b"1"]
    writer.replace("a/1/", {"a/1/x": b"2"})
    assert list(reader.get(["a/1/x"])) == [b"2"]
    with pytest.raises(Unavailable):
        reader.replace("a/1/", {"a/1/x": b"3"})
    writer.close()


def test_a_file_that_is_none_is_unavailable(tmp_path: Path) -> None:
    """Noise in the file's place is no value of anybody."""
    (tmp_path / "online").write_bytes(os.urandom(8192))
    with pytest.raises(Unavailable):
        SqliteFeatures(path=tmp_path / "online").get(["a/1/x"])


def test_a_record_opens_only_in_its_place_and_under_its_key() -> None:
    """Changed bytes, another entity's record, another view's, and another gateway's key: none of them opens."""
    vault, other = Vault.of(bytes(range(32))), Vault.of(bytes(32))
    place = vault.place("clicks", "sha256:" + "1" * 64, "anna")
    sealed = vault.seal(place, b"values", bytes(12))
    assert vault.open(place, sealed) == b"values"
    assert b"values" not in sealed
    assert "anna" not in place
    spoiled = [sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:-1], b"", sealed + b"x", bytes(3 << 20)]
    elsewhere = vault.place("clicks", "sha256:" + "1" * 64, "bert")
    tries = [*((place, each, vault) for each in spoiled), (elsewhere, sealed, vault), (place, sealed, other)]
    for where, what, by in tries:
        with pytest.raises(NotVerified):
            by.open(where, what)
