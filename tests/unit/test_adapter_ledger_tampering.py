"""Tampering with the database behind the ledger's back: every change is found, and where it was made is said."""

# Attacks name tables and columns out of lists of this file.
# ruff: noqa: S608

import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from tests.unit.adapter_kit import history, note, open_ledger, opened, recorded

from holdfast.adapters.ledger import SqlLedger
from holdfast.core.artifact import canonical
from holdfast.core.errors import LedgerBroken
from holdfast.core.ledger import Checkpoint

SEEDS: Final = 8  # of each attack
AUDITED: Final = pytest.mark.requirement("REG-09", by="holdfast.core.ledger:audit")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, Checkpoint]:
    """A closed ledger, its size, and a checkpoint of it that was kept elsewhere."""
    path = tmp_path_factory.mktemp("original") / "ledger.db"
    ledger = open_ledger(path)
    for number in range(4):
        ledger.append([*history(), note(f"round {number}", "rounds")])
        ledger.checkpoint()
    outside = opened(ledger.checkpoint())
    ledger.close()
    return path, outside.size, outside


@pytest.fixture
def copy(original: tuple[Path, int, Checkpoint], tmp_path: Path) -> Path:
    """A copy of it to tamper with."""
    return Path(shutil.copy(original[0], tmp_path / "ledger.db"))


def drawn_from(seed: str) -> random.Random:
    """Randomness that can be repeated."""
    return random.Random(seed)  # noqa: S311 - attacks are drawn, not keys


def entry(connection: sqlite3.Connection, position: int) -> dict[str, Any]:
    """A row as it stands."""
    connection.row_factory = sqlite3.Row
    return dict(connection.execute("SELECT * FROM entries WHERE position = ?", (position,)).fetchone())


def flip(connection: sqlite3.Connection, position: int, seed: random.Random) -> None:
    """Changes one byte of an entry."""
    document = bytearray(entry(connection, position)["document"])
    document[seed.randrange(len(document))] ^= 1 << seed.randrange(8)
    connection.execute("UPDATE entries SET document = ? WHERE position = ?", (bytes(document), position))


def rewrite(connection: sqlite3.Connection, position: int, seed: random.Random) -> None:
    """Replaces an entry and its hash by a well-made lie, and leaves what follows as it was."""
    said = json.loads(entry(connection, position)["document"])
    document = canonical(said | {"actor": "eve"})
    hashed = hashlib.sha256(document).hexdigest()
    connection.execute(
        "UPDATE entries SET document = ?, hash = ?, actor = 'eve' WHERE position = ?", (document, hashed, position)
    )


def remove(connection: sqlite3.Connection, position: int, seed: random.Random) -> None:
    """Deletes one entry."""
    connection.execute("DELETE FROM entries WHERE position = ?", (position,))


def remove_and_close_up(connection: sqlite3.Connection, position: int, seed: random.Random) -> None:
    """Deletes one entry and moves the later ones up, so that no number is missing."""
    connection.execute("DELETE FROM entries WHERE position = ?", (position,))
    connection.execute("UPDATE entries SET position = -position WHERE position > ?", (position,))
    connection.execute("UPDATE entries SET position = -position - 1 WHERE position < 0")


def swap(connection: sqlite3.Connection, position: int, seed: random.Random) -> None:
    """Exchanges an entry with a later one."""
    (last,) = connection.execute("SELECT max(position) FROM entries").fetchone()
    other = seed.randint(position + 1, last)
    for source, target in ((position, -1), (other, position), (-1, other)):
        connection.execute("UPDATE entries SET position = ? WHERE position = ?", (target, source))


def squeeze_in(connection: sqlite3.Connection, position: int, seed: random.Random) -> None:
    """Inserts a copy of an earlier entry, in a stream of its own, and moves the later ones down."""
    connection.execute("UPDATE entries SET position = -position - 1 WHERE position >= ?", (position,))
    connection.execute("UPDATE entries SET position = -position WHERE position < 0")
    row = entry(connection, seed.randrange(position)) | {"position": position, "stream": "eve"}
    connection.execute(f"INSERT INTO entries VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


def hide_type(connection: sqlite3.Connection, position: int, seed: random.Random) -> None:
    """Stores something of another type where bytes are expected, as SQLite lets anybody."""
    value = seed.choice(["text", 10**12, 0.5, b""])
    connection.execute("UPDATE entries SET document = ? WHERE position = ?", (value, position))


def nest(connection: sqlite3.Connection, position: int, seed: random.Random) -> None:
    """Stores a document, with its right hash, that would break a careless parser."""
    document = b'{"body":' * 8000
    hashed = hashlib.sha256(document).hexdigest()
    connection.execute("UPDATE entries SET document = ?, hash = ? WHERE position = ?", (document, hashed, position))


def mislabel(connection: sqlite3.Connection, position: int, seed: random.Random) -> None:
    """Changes one of the columns that repeat what the document says."""
    column = seed.choice(["time", "kind", "actor", "stream", "stream_position", "hash"])
    value: str | int = seed.choice(["eve", "", "\x00"]) if column != "stream_position" else seed.randint(1000, 9999)
    connection.execute(f"UPDATE entries SET {column} = ? WHERE position = ?", (value, position))


ATTACKS: dict[Callable[[sqlite3.Connection, int, random.Random], None], int] = {
    flip: 0,
    rewrite: 1,  # found where the next entry names another hash
    remove: 0,
    remove_and_close_up: 0,
    swap: 0,
    squeeze_in: 0,
    hide_type: 0,
    nest: 0,
    mislabel: 0,
}
"""Each attack, and how many entries after the attacked one it comes to light."""


@AUDITED
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_changed_entry_is_found_and_located(
    original: tuple[Path, int, Checkpoint],
    copy: Path,
    attack: Callable[[sqlite3.Connection, int, random.Random], None],
    seed: int,
) -> None:
    """Edited, deleted, reordered or inserted anywhere but at the end: found without any checkpoint, at its place."""
    drawn = drawn_from(f"{attack.__name__} {seed}")
    position = drawn.randrange(1, original[1] - 2)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("DELETE FROM checkpoints")
        attack(connection, position, drawn)
    with pytest.raises(LedgerBroken) as caught:
        open_ledger(copy).verify()
    assert caught.value.place == f"entry {position + ATTACKS[attack]}"


def forge(path: Path, *, keep: int, lies: int) -> None:
    """Replaces all from an entry on by a history that is consistent in itself, as who knows this code can."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in ("artifacts", "edges", "evidence", "pointers", "checkpoints", "streams"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("DELETE FROM entries WHERE position >= ?", (keep,))
    ledger = open_ledger(path)
    ledger.rebuild()
    if lies:
        ledger.append([note(f"lie {number}") for number in range(lies)])
    ledger.close()


@AUDITED
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_rewritten_end_is_found_against_a_checkpoint_kept_elsewhere(
    original: tuple[Path, int, Checkpoint], copy: Path, seed: int
) -> None:
    """With every hash, table and checkpoint beside it replaced it looks whole, and does not fit what was signed."""
    keep = drawn_from(f"rewritten {seed}").randrange(original[1])
    forge(copy, keep=keep, lies=original[1] - keep + seed % 2)
    ledger = open_ledger(copy)
    assert ledger.verify().anchored is None  # consistent in itself: this is what an anchor is for
    with pytest.raises(LedgerBroken, match="rewritten") as caught:
        ledger.verify([original[2]])
    assert caught.value.place == f"entries 0 to {original[1]}"


@AUDITED
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_cut_end_is_found_against_a_checkpoint_kept_elsewhere(
    original: tuple[Path, int, Checkpoint], copy: Path, seed: int
) -> None:
    """The place is the first entry that is missing."""
    keep = drawn_from(f"cut {seed}").randrange(original[1])
    forge(copy, keep=keep, lies=0)
    ledger = open_ledger(copy)
    assert ledger.verify().size == keep
    with pytest.raises(LedgerBroken, match="cut off") as caught:
        ledger.verify([original[2]])
    assert caught.value.place == f"entry {keep}"


@AUDITED
def test_an_older_copy_put_back_in_place_is_found_against_a_checkpoint_kept_elsewhere(tmp_path: Path) -> None:
    """A rollback of the whole file is whole in itself; only what was signed since then tells."""
    path = tmp_path / "ledger.db"
    ledger = open_ledger(path)
    ledger.append(history())
    ledger.checkpoint()
    ledger.close()
    shutil.copy(path, tmp_path / "older.db")
    ledger = open_ledger(path)
    ledger.append([note("the release was revoked")])
    outside = opened(ledger.checkpoint())
    assert ledger.verify([outside]).anchored == outside.size
    ledger.close()
    shutil.copy(tmp_path / "older.db", path)
    back = open_ledger(path)
    assert back.verify().anchored is None
    with pytest.raises(LedgerBroken, match="cut off") as caught:
        back.verify([outside])
    assert caught.value.place == f"entry {outside.size - 1}"


@AUDITED
def test_a_checkpoint_kept_beside_the_ledger_finds_a_cut_end_too(
    original: tuple[Path, int, Checkpoint], copy: Path
) -> None:
    """Whoever forgets the checkpoints table is found without help from outside."""
    size = original[1]
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("DELETE FROM entries WHERE position >= ?", (size - 3,))
    with pytest.raises(LedgerBroken, match="cut off") as caught:
        open_ledger(copy).verify()
    assert caught.value.place == f"entry {size - 3}"


@AUDITED
def test_two_checkpoints_of_one_size_that_differ_are_a_fork(original: tuple[Path, int, Checkpoint]) -> None:
    """Whichever of them comes first, the one that does not fit is not passed over."""
    path, size, outside = original
    other = Checkpoint(origin=outside.origin, size=size, root=b"\x00" * 32, time=outside.time)
    for pair in ([outside, other], [other, outside]):
        with pytest.raises(LedgerBroken, match="rewritten"):
            open_ledger(path).verify(pair)


@AUDITED
@pytest.mark.parametrize("table", ["artifacts", "edges", "evidence", "pointers", "streams"])
@pytest.mark.parametrize("change", ["edited", "deleted", "added"])
def test_a_table_that_queries_read_cannot_say_something_else(
    original: tuple[Path, int, Checkpoint], copy: Path, table: str, change: str
) -> None:
    """Named by the audit, put right by a rebuild, which says so; a second one finds nothing more to do."""
    with closing(sqlite3.connect(copy)) as connection, connection:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        if change == "edited":
            column = "envelope" if table == "evidence" else columns[1]
            connection.execute(f"UPDATE {table} SET {column} = 'eve' WHERE rowid = (SELECT min(rowid) FROM {table})")
        elif change == "deleted":
            connection.execute(f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})")
        else:
            values = [0 if column in {"position", "size", "length"} else "eve" for column in columns]
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", values)
    ledger = open_ledger(copy)
    with pytest.raises(LedgerBroken) as caught:
        ledger.verify()
    assert caught.value.place == f"table {table}"
    assert ledger.rebuild().differed == (table,)
    assert ledger.rebuild().differed == ()
    assert ledger.verify().size == original[1]


def test_a_rebuild_reproduces_every_table_exactly(original: tuple[Path, int, Checkpoint], copy: Path) -> None:
    """Emptied or not, the tables end as the appends had left them, row for row; history is not touched."""

    def dump() -> dict[str, list[tuple[Any, ...]]]:
        tables = ("entries", "checkpoints", "artifacts", "edges", "evidence", "pointers", "streams")
        with closing(sqlite3.connect(copy)) as connection:
            return {table: sorted(connection.execute(f"SELECT * FROM {table}")) for table in tables}

    before = dump()
    assert all(before.values())  # else nothing would be compared
    ledger = open_ledger(copy)
    assert ledger.rebuild().differed == ()
    ledger.close()
    with closing(sqlite3.connect(copy)) as connection, connection:
        for table in ("artifacts", "edges", "evidence", "pointers", "streams"):
            connection.execute(f"DELETE FROM {table}")
    ledger = open_ledger(copy)
    rebuilt = ledger.rebuild()
    assert (rebuilt.entries, sorted(rebuilt.differed)) == (
        original[1],
        ["artifacts", "edges", "evidence", "pointers", "streams"],
    )
    ledger.close()
    assert dump() == before


def test_a_rebuild_from_broken_history_touches_nothing(copy: Path) -> None:
    """What is wrong is not made consistent with what is wrong."""
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("DELETE FROM entries WHERE position = 5")
        connection.execute("DELETE FROM pointers")
    ledger: SqlLedger = open_ledger(copy)
    with pytest.raises(LedgerBroken, match="entry 5"):
        ledger.rebuild()
    assert ledger.pointer("production") is None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_damaged_file_is_an_error_wherever_it_is_damaged(
    original: tuple[Path, int, Checkpoint], copy: Path, seed: int
) -> None:
    """A page of noise anywhere: opening or verifying refuses with a code, unless the page held nothing that counts."""
    drawn = drawn_from(f"noise {seed}")
    pages = copy.stat().st_size // 4096
    with copy.open("r+b") as file:
        file.seek(4096 * drawn.randrange(1, pages))
        file.write(drawn.randbytes(4096))
    with suppress(LedgerBroken):  # and nothing else may be raised
        ledger = open_ledger(copy)
        assert ledger.verify([original[2]]).size == original[1]
        ledger.append([recorded("x")])
