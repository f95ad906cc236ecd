"""Seeded tampering with everything a ledger consists of, its copies included: found each time, and where.

One ledger is built, with checkpoints that were kept elsewhere; each tamper works on a copy. What a seed draws is the
same in every run: 500 tampers in continuous integration, 10,000 under `make record`.
"""

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from tests.unit.adapter_kit import history, note, open_ledger, opened
from tests.unit.test_adapter_ledger_tampering import ATTACKS, forge

from holdfast.core.artifact import canonical
from holdfast.core.errors import NotVerified
from holdfast.core.ledger import GENESIS, Checkpoint, audit, entry_hash, link, parse_entry
from holdfast.core.merkle import Tree, leaf_hash
from holdfast.core.tiles import WIDTH, Tile, audit_tiles, bundle, hash_tile, tiles_of

SEED: Final = 20_261_126
ROUNDS: Final = 27  # of eleven entries and one more: somewhat over one full bundle of entries
FORGERIES: Final = 12
TABLES: Final = ("artifacts", "edges", "evidence", "pointers", "streams")


def tiled(documents: Sequence[bytes]) -> dict[str, bytes]:
    """The files that a ledger of these entries is written out as."""
    tree = Tree(leaf_hash(document) for document in documents)
    return {
        tile.path: hash_tile(tree, tile) if tile.level >= 0 else bundle(documents[tile.start : tile.start + tile.width])
        for tile in tiles_of(len(documents))
    }


@dataclass(slots=True, kw_only=True)
class Scene:
    """A ledger, what was kept elsewhere of it, and earlier and forged states of it."""

    folder: Path
    database: Path
    documents: list[bytes]
    witnessed: list[Checkpoint]
    older: list[tuple[int, Path]] = field(default_factory=list)
    forged: list[tuple[int, Path]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.documents)

    def copy(self, of: Path | None = None) -> Path:
        target = self.folder / "copy.db"
        for suffix in ("", "-wal", "-shm"):
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        return Path(shutil.copyfile(of or self.database, target))

    def between(self, position: int) -> str:
        """Where a consistent rewriting from a position on comes to light: between two checkpoints."""
        sizes = [checkpoint.size for checkpoint in self.witnessed]
        after = next(size for size in sizes if size > position)
        return f"entries {max((size for size in sizes if size <= position), default=0)} to {after}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Built once: the ledger with its snapshots, forgeries and tiles."""
    folder = tmp_path_factory.mktemp("tampers")
    path = folder / "ledger.db"
    made = Scene(folder=folder, database=path, documents=[], witnessed=[])
    for number in range(ROUNDS):
        ledger = open_ledger(path)
        ledger.append([*history(), note(f"round {number}", "rounds")])
        if number % 9 == 8:
            made.witnessed.append(opened(ledger.checkpoint()))
        size = ledger.size()
        ledger.close()
        if number % 3 == 1:
            made.older.append((size, Path(shutil.copyfile(path, folder / f"older-{size}.db"))))
    ledger = open_ledger(path)
    made.documents = [entry.document for entry in ledger.entries()]
    ledger.close()
    assert made.size > WIDTH
    assert made.witnessed[-1].size == made.size
    drawn = random.Random(SEED)  # noqa: S311 - attacks are drawn, not keys
    for number in range(FORGERIES):
        keep = drawn.randrange(made.size)
        target = Path(shutil.copyfile(path, folder / f"forged-{number}.db"))
        forge(target, keep=keep, lies=made.size - keep + number % 2)
        made.forged.append((keep, target))
    made.files = tiled(made.documents)
    return made


def changed(path: Path, statements: Callable[[sqlite3.Connection], None]) -> Path:
    """The database with what somebody did to it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous=OFF")
        statements(connection)
    return path


# Each tamper returns what to verify and where it must come to light.


def database_entry(scene: Scene, drawn: random.Random) -> str:
    """One of the attacks on an entry of the database, anywhere but at its end."""
    attack, after = drawn.choice(list(ATTACKS.items()))
    position = drawn.randrange(1, scene.size - 2)
    path = scene.copy()
    changed(path, lambda connection: attack(connection, position, drawn))
    # A well-made lie just before a checkpoint is found by the checkpoint, before the next entry can tell.
    ends = after == 1 and position + 1 in {checkpoint.size for checkpoint in scene.witnessed}
    return verified(scene, path, scene.between(position) if ends else f"entry {position + after}")


def database_cut(scene: Scene, drawn: random.Random) -> str:
    """The end is cut off, and the newer checkpoints beside it with it."""
    keep = drawn.randrange(1, scene.size)

    def cut(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM entries WHERE position >= ?", (keep,))
        connection.execute("DELETE FROM checkpoints WHERE size > ?", (keep,))

    return verified(scene, changed(scene.copy(), cut), f"entry {keep}")


def database_forked(scene: Scene, drawn: random.Random) -> str:
    """All from an entry on is replaced by a history that is consistent in itself."""
    keep, forged = drawn.choice(scene.forged)
    return verified(scene, scene.copy(forged), scene.between(keep))


def database_rolled_back(scene: Scene, drawn: random.Random) -> str:
    """The whole file as it was earlier."""
    size, older = drawn.choice(scene.older)
    return verified(scene, scene.copy(older), f"entry {size}")


def projection(scene: Scene, drawn: random.Random) -> str:
    """A table that queries read says something else than the entries."""
    table = drawn.choice(TABLES)
    sort = drawn.choice(["edit", "delete", "add"])

    def spoil(connection: sqlite3.Connection) -> None:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        rows = [row[0] for row in connection.execute(f"SELECT rowid FROM {table}")]  # noqa: S608
        row = drawn.choice(rows)
        if sort == "edit":
            column = "envelope" if table == "evidence" else columns[1]
            connection.execute(f"UPDATE {table} SET {column} = 'eve' WHERE rowid = ?", (row,))  # noqa: S608
        elif sort == "delete":
            connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))  # noqa: S608
        else:
            values = [0 if column in {"position", "size", "length"} else "eve" for column in columns]
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", values)  # noqa: S608

    return verified(scene, changed(scene.copy(), spoil), f"table {table}")


def kept_checkpoint(scene: Scene, drawn: random.Random) -> str:
    """A checkpoint kept beside the ledger is changed."""
    size = drawn.choice(scene.witnessed).size
    sort = drawn.choice(["flip", "resize", "type"])

    def spoil(connection: sqlite3.Connection) -> None:
        (data,) = connection.execute("SELECT note FROM checkpoints WHERE size = ?", (size,)).fetchone()
        if sort == "flip":
            spoilt = bytearray(data)
            spoilt[drawn.randrange(len(spoilt))] ^= 1 << drawn.randrange(8)
            connection.execute("UPDATE checkpoints SET note = ? WHERE size = ?", (bytes(spoilt), size))
        elif sort == "resize":
            connection.execute("UPDATE checkpoints SET size = 7 WHERE size = ?", (size,))
        else:
            connection.execute("UPDATE checkpoints SET note = 'text' WHERE size = ?", (size,))

    return verified(scene, changed(scene.copy(), spoil), f"checkpoint {7 if sort == 'resize' else size}")


def verified(scene: Scene, path: Path, expected: str) -> str:
    """Nothing if the audit of a database finds it where it is; else what it did instead."""
    ledger = open_ledger(path)
    try:
        ledger.verify(scene.witnessed)
    except NotVerified as error:
        return "" if error.place == expected else f"at {error.place}, expected {expected}: {error.message}"
    finally:
        ledger.close()
    return f"not found, expected {expected}"


def bundle_tampered(scene: Scene, drawn: random.Random) -> str:
    """Something is done to the entries of one bundle."""
    position = drawn.randrange(1, scene.size - 1)
    index = position // WIDTH
    start = index * WIDTH
    entries = scene.documents[start : start + WIDTH]
    here = position - start
    sort = drawn.choice(["flip", "lie", "delete", "insert", "swap", "cut", "gone", "more"])
    files, at = dict(scene.files), position
    path = Tile(level=-1, index=index, width=len(entries)).path
    if sort == "flip":
        spoilt = bytearray(entries[here])
        spoilt[drawn.randrange(len(spoilt))] ^= 1 << drawn.randrange(8)
        entries[here] = bytes(spoilt)
    elif sort == "lie":
        entries[here] = lie(entries[here])
        leaves = Tile(level=0, index=index, width=len(entries)).path
        files[leaves] = files[leaves][: here * 32] + leaf_hash(entries[here]) + files[leaves][(here + 1) * 32 :]
        at = position + 1
    elif sort == "delete":
        del entries[here]
    elif sort == "insert":
        entries.insert(here, entries[0] if here else scene.documents[0 if start else 1])
    elif sort == "swap":
        other = drawn.choice([each for each in range(len(entries)) if each != here])
        entries[here], entries[other] = entries[other], entries[here]
        at = start + min(here, other)
    files[path] = bundle(entries)
    if sort == "cut":
        files[path] = bundle(entries[:here]) + bundle([entries[here]])[: drawn.randrange(len(entries[here]))]
    elif sort == "gone":
        del files[path]
        at = start
    elif sort == "more":
        files[path] += drawn.randbytes(drawn.randrange(1, 99))
        at = start + len(entries)
    return tiles_verified(scene, files, f"entry {at}")


def lie(document: bytes) -> bytes:
    """An entry that somebody else is said to have made."""
    return canonical(msgspec.json.decode(document) | {"actor": "eve"})


def hash_tile_tampered(scene: Scene, drawn: random.Random) -> str:
    """A hash tile of any level is changed, cut or removed."""
    path = drawn.choice([path for path in scene.files if "entries" not in path])
    files = dict(scene.files)
    sort = drawn.choice(["flip", "cut", "gone"])
    if sort == "flip":
        spoilt = bytearray(files[path])
        spoilt[drawn.randrange(len(spoilt))] ^= 1 << drawn.randrange(8)
        files[path] = bytes(spoilt)
    elif sort == "cut":
        files[path] = files[path][: drawn.randrange(len(files[path]))]
    else:
        del files[path]
    return tiles_verified(scene, files, f"tile {path}")


def tiles_rolled_back(scene: Scene, drawn: random.Random) -> str:
    """The whole folder as it was earlier, against the newest checkpoint."""
    size = drawn.choice([size for size, _ in scene.older])
    first = next(tile for tile in tiles_of(scene.size) if tile.start + tile.width > size)
    return tiles_verified(scene, tiled(scene.documents[:size]), f"entry {first.start}")


def tiles_forked(scene: Scene, drawn: random.Random) -> str:
    """Tiles of a forged history, consistent in itself, against the newest checkpoint."""
    keep = drawn.randrange(scene.size)
    documents = scene.documents[:keep]
    rows = [(document, entry_hash(document)) for document in documents]
    streams = {
        entry.stream: (entry.stream_position + 1, entry_hash(entry.document)) for entry in map(parse_entry, documents)
    }
    previous = audit(rows).head
    moment = parse_entry(scene.documents[-1]).moment
    for position in range(keep, scene.size):
        draft = note(f"lie {position}", "lies")
        head = streams.get("lies", (0, GENESIS))
        _, document = link(draft, position=position, previous=previous, head=head, now=moment)
        previous = entry_hash(document)
        streams["lies"] = (head[0] + 1, previous)
        documents.append(document)
    return tiles_verified(scene, tiled(documents), f"entries 0 to {scene.size}")


def tiles_verified(scene: Scene, files: dict[str, bytes], expected: str) -> str:
    """The same for a folder of tiles."""
    try:
        audit_tiles(files.get, scene.witnessed[-1])
    except NotVerified as error:
        return "" if error.place == expected else f"at {error.place}, expected {expected}: {error.message}"
    return f"not found, expected {expected}"


TAMPERS: Final = (
    database_entry,
    database_entry,  # nine attacks of its own
    database_cut,
    database_forked,
    database_rolled_back,
    projection,
    kept_checkpoint,
    bundle_tampered,
    bundle_tampered,  # eight attacks of its own
    hash_tile_tampered,
    tiles_rolled_back,
    tiles_forked,
)


@pytest.mark.guarantee("G45")
@pytest.mark.requirement("REG-09", by="holdfast.core.ledger:audit")
def test_every_seeded_tamper_is_found_and_located(scene: Scene, effort: Any, record: Any) -> None:
    """Edited, deleted, inserted, reordered, cut, forked or rolled back, in the database, its tables or its tiles."""
    honest = open_ledger(scene.copy())
    assert honest.verify(scene.witnessed).anchored == scene.size
    honest.close()
    assert audit_tiles(scene.files.get, scene.witnessed[-1]).size == scene.size
    for entry in map(parse_entry, scene.documents):  # identity, action, object and time, in each of them
        assert entry.actor
        assert entry.kind
        assert entry.stream
        assert entry.moment.tzinfo is not None
    count = effort(ci=500, record=10_000)
    wrong: list[str] = []
    told: Counter[str] = Counter()
    for number in range(count):
        drawn = random.Random(f"{SEED} {number}")  # noqa: S311 - attacks are drawn, not keys
        tamper = TAMPERS[number % len(TAMPERS)]
        words = tamper(scene, drawn)
        told[tamper.__name__] += 1
        if words:
            wrong.append(f"{number} {tamper.__name__}: {words}")
    assert wrong == []
    record.save(
        "ledger-tampers",
        seed=SEED,
        result={"tampers": count, "found": count, "located": count, "by_sort": dict(sorted(told.items()))},
    )
