"""Databases of RPM in images: packages by name and source, whole or said to be unread."""

import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.images.made import layer, member
from tests.unit.images.test_images import made

from holdfast.engines.images.rpm import packages
from holdfast.engines.images.sqlite_pages import Database

ROCKY = member("etc/os-release", b'ID="rocky"\nVERSION_ID="9.4"\n')
PLACE = "var/lib/rpm/rpmdb.sqlite"


def header(name: str, version: str, release: str, *, epoch: int = 0, source: str = "", padding: int = 0) -> bytes:
    """Return a package's header as RPM stores it, with a long text behind what matters."""
    texts = {1000: name, 1001: version, 1002: release, 1004: "x" * padding}
    if source:
        texts[1044] = source
    store, entries = bytearray(), []
    for tag, text in sorted(texts.items()):
        entries.append((tag, 6, len(store), 1))
        store += text.encode() + b"\0"
    if epoch:
        store += bytes(-len(store) % 4)
        entries.append((1003, 4, len(store), 1))
        store += struct.pack(">I", epoch)
    index = b"".join(struct.pack(">IIII", *entry) for entry in sorted(entries))
    return struct.pack(">II", len(entries), len(store)) + index + bytes(store)


def database(path: Path, headers: list[bytes], *, page: int = 4096) -> bytes:
    """Return the bytes of a database as RPM makes it, written by SQLite itself."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(f"pragma page_size={page}")
    connection.execute("create table 'Other' (key text)")
    connection.execute("create table 'Packages' (hnum integer primary key autoincrement, blob blob not null)")
    connection.execute("create table 'Name' (key text, hnum integer, idx integer)")
    connection.executemany("insert into Packages (blob) values (?)", [(each,) for each in headers])
    connection.commit()
    connection.close()
    return path.read_bytes()


OPENSSL = header("openssl-libs", "3.0.7", "24.el9", epoch=1, source="openssl-3.0.7-24.el9.src.rpm", padding=9000)
BASH = header("bash", "5.1.8", "6.el9", source="bash-5.1.8-6.el9.src.rpm")
KEY = header("gpg-pubkey", "350d275d", "6279464b")


@pytest.mark.requirement("SUP-06", by="holdfast.engines.images.rpm:packages")
def test_packages_of_rpm_are_listed_by_name_and_by_source(tmp_path: Path) -> None:
    """Advisories name either; keys are none; the epoch stands before the version."""
    content = database(tmp_path / "db", [OPENSSL, BASH, KEY])
    found = made(tmp_path / "image", layer(ROCKY, member(PLACE, content), member(f"{PLACE}-shm", b"x")))
    assert found.unread == ()
    assert [(each.ecosystem, each.name, each.version) for each in found.packages] == [
        ("Rocky Linux:9", "bash", "5.1.8-6.el9"),
        ("Rocky Linux:9", "openssl", "1:3.0.7-24.el9"),
        ("Rocky Linux:9", "openssl-libs", "1:3.0.7-24.el9"),
    ]


@pytest.mark.parametrize("page", [512, 4096, 65536])
def test_trees_of_many_pages_and_rows_of_many_are_read_whole(page: int, tmp_path: Path) -> None:
    """As SQLite reads them: interior pages, overflow pages, the largest and the smallest page."""
    headers = [header(f"p{number}", f"{number}", "1", padding=number * 37 % 5000) for number in range(600)]
    content = database(tmp_path / "db", headers, page=page)
    assert [row[-1] for row in Database(content).rows("Packages")] == headers
    assert len({each.name for each in packages(content, "", {})}) == 600


@pytest.mark.requirement("SUP-06", by="holdfast.engines.images.packages:unread")
@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"var/lib/rpm/Packages": b"\0"}, "Berkeley DB"),
        ({"usr/lib/sysimage/rpm/Packages.db": b"RpmP"}, "NDB"),
        ({PLACE: b"no database"}, "no database of SQLite"),
        ({f"{PLACE}-wal": b"frames"}, "log beside"),
    ],
    ids=["Berkeley DB", "NDB", "damaged", "with a log"],
)
def test_what_cannot_be_read_is_said(files: dict[str, bytes], why: str, tmp_path: Path) -> None:
    """Never an image without packages of RPM that has some."""
    files = {PLACE: database(tmp_path / "db", [BASH])} | files
    found = made(tmp_path / "image", layer(ROCKY, *(member(name, data) for name, data in files.items())))
    assert any(why in said for _, said in found.unread)


def cut(data: bytes) -> bytes:
    """Without its last page."""
    return data[:-4096]


def ring(data: bytes) -> bytes:
    """With overflow pages that lead to a page beyond the end."""
    return data.replace(data[-4096:-4092], b"\xff\xff\xff\xff")


def endless(data: bytes) -> bytes:
    """With a header that says it holds more than it does."""
    return data.replace(BASH[:8], struct.pack(">II", 5000, 1 << 30))


@pytest.mark.parametrize("damage", [cut, ring, endless], ids=lambda damage: str(damage.__name__))
def test_a_damaged_database_is_an_error(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Not a database of fewer packages."""
    content = damage(database(tmp_path / "db", [BASH, OPENSSL]))
    with pytest.raises(ValueError, match=r"page|header"):
        list(packages(content, "", {}))


@given(st.binary(max_size=300), st.integers(0, 20_000))
def test_no_bytes_do_anything_but_fail(garbage: bytes, at: int) -> None:
    """Whatever is written into a database, it is read or refused."""
    content = bytearray(GOOD)
    content[at : at + len(garbage)] = garbage
    try:
        found = list(packages(bytes(content[: len(GOOD)]), "", {}))
    except ValueError:
        return
    assert len(found) < 1000


def _good() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table Packages (hnum integer primary key, blob blob)")
    connection.executemany("insert into Packages (blob) values (?)", [(each,) for each in [BASH] * 20 + [OPENSSL]])
    connection.commit()
    return connection.serialize()


GOOD = _good()
