"""Tiles of a transparency log (C2SP tlog-tiles): the ledger as static files that any web server can hand out.

A *hash tile* holds up to 256 hashes of one level of the Merkle tree, an *entry bundle* up to 256 entries, each behind
its length. Full ones never change; the last of each level is partial and named by its width. Whoever has the files and
a checkpoint can verify everything (`audit_tiles`), and needs neither database nor key.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from holdfast.core.errors import InvalidInput, LedgerBroken
from holdfast.core.ledger import MAX_ENTRY, Audit, Checkpoint, audit, entry_hash
from holdfast.core.merkle import HASH_SIZE, Tree, leaf_hash

HEIGHT: Final = 8  # levels of the tree in one tile
WIDTH: Final = 1 << HEIGHT  # hashes in a full tile, entries in a full bundle
LENGTH: Final = 2  # bytes in front of each entry of a bundle, big-endian
CHECKPOINT: Final = "checkpoint"  # name of the newest signed note
MAX_BUNDLE: Final = WIDTH * (LENGTH + MAX_ENTRY)  # bytes

Read: TypeAlias = Callable[[str], bytes | None]
"""Returns the bytes of a path below the folder of tiles, or None where nothing lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A tile of one level; level -1 is that of the entries themselves."""

    level: int
    index: int
    width: int

    @property
    def path(self) -> str:
        """Where it lies below the folder ("Merkle Tree", "Log Entries")."""
        level = "entries" if self.level < 0 else str(self.level)
        partial = f".p/{self.width}" if self.width < WIDTH else ""
        return f"tile/{level}/{_number(self.index)}{partial}"

    @property
    def start(self) -> int:
        """The number of its first hash or entry, counted over the whole level."""
        return self.index * WIDTH


def _number(index: int) -> str:
    """Return a number in groups of three digits, all but the last marked: 1234067 is `x001/x234/067`."""
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:  # noqa: PLR2004 - a group holds three digits
        index //= 1000
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def tiles_of(size: int, since: int = 0) -> Iterator[Tile]:
    """Yield every tile that a tree of `size` entries has, entries first, without the full ones that `since` had."""
    yield from _level(-1, size, since)
    level = 0
    while size >> (HEIGHT * level):
        yield from _level(level, size >> (HEIGHT * level), since >> (HEIGHT * level))
        level += 1


def _level(level: int, count: int, had: int) -> Iterator[Tile]:
    for index in range(had // WIDTH, -(-count // WIDTH)):
        yield Tile(level=level, index=index, width=min(WIDTH, count - index * WIDTH))


def hash_tile(tree: Tree, tile: Tile) -> bytes:
    """Return the bytes of a hash tile."""
    return b"".join(tree.nodes(HEIGHT * tile.level, tile.start, tile.start + tile.width))


def bundle(documents: Iterable[bytes]) -> bytes:
    """Return the bytes of an entry bundle.

    Raises:
        InvalidInput: An entry is too long for its length to be written.
    """
    parts = []
    for document in documents:
        if len(document) > MAX_ENTRY:
            raise InvalidInput(f"a ledger entry of {len(document)} bytes", expected=f"at most {MAX_ENTRY}")
        parts.append(len(document).to_bytes(LENGTH, "big") + document)
    return b"".join(parts)


def open_bundle(data: bytes, tile: Tile, *, whole: bool = True) -> Iterator[bytes]:
    """Yield the entries of a bundle.

    Args:
        data: The bytes.
        tile: Which bundle, and how many entries are asked for.
        whole: Whether these must be all; a full bundle that stands in for a partial one holds more.

    Raises:
        LedgerBroken: Entries are cut off, or there is more than there should be; with the first of them as its place.
    """
    offset = 0
    for number in range(tile.width):
        length = int.from_bytes(data[offset : offset + LENGTH], "big")
        document = data[offset + LENGTH : offset + LENGTH + length]
        offset += LENGTH + length
        if len(document) < length or not length:
            raise LedgerBroken("the entries of a bundle are cut off", place=f"entry {tile.start + number}")
        yield document
    if whole and offset != len(data):
        raise LedgerBroken("a bundle holds more than it should", place=f"entry {tile.start + tile.width}")


def read_leaves(read: Read, size: int) -> list[bytes]:
    """Return the leaf hashes of the first `size` entries from the tiles of level 0.

    Raises:
        LedgerBroken: A tile is missing or of another length; the first entry that it should hold is the place.
    """
    leaves: list[bytes] = []
    for tile in _level(0, size, 0):
        data = _read(read, tile)
        if data is None or len(data) < tile.width * HASH_SIZE:
            raise LedgerBroken("a tile is missing or cut off", place=f"tile {tile.path}")
        leaves += [data[at : at + HASH_SIZE] for at in range(0, tile.width * HASH_SIZE, HASH_SIZE)]
    return leaves


def _read(read: Read, tile: Tile) -> bytes | None:
    """Read a tile; a partial one may have been removed once the full one was there ("Partial Tiles")."""
    data = read(tile.path)
    return data if data is not None or tile.width == WIDTH else read(replace(tile, width=WIDTH).path)


def audit_tiles(read: Read, checkpoint: Checkpoint, others: Sequence[Checkpoint] = ()) -> Audit:
    """Check a folder of tiles up to a checkpoint: every entry, the chain, the tree and every tile of it.

    1. Entries are read and held against the leaf hashes of level 0. 2. Chain, streams and tree are audited against the
    checkpoints (`core.ledger.audit`). 3. Every hash tile is compared with what the entries give.

    Args:
        read: Reads a path below the folder.
        checkpoint: How far to read, and what must come out: opened, from anywhere but beside the tiles.
        others: More of them; all must fit.

    Raises:
        LedgerBroken: With the first entry or tile that does not fit as its place.
    """
    tree = Tree()
    strange: list[int] = []  # entries whose leaf hash in the tiles is another
    try:
        found = audit(_entries(read, checkpoint.size, tree, strange), [*others, checkpoint])  # 1. and 2.
    except LedgerBroken as error:
        if strange and error.place != f"entry {strange[0]}":
            raise LedgerBroken("the entry was changed after it was written", place=f"entry {strange[0]}") from error
        raise
    for tile in tiles_of(checkpoint.size):  # 3.
        if tile.level >= 0 and (_read(read, tile) or b"")[: tile.width * HASH_SIZE] != hash_tile(tree, tile):
            raise LedgerBroken("a tile says something else than the entries", place=f"tile {tile.path}")
    return found


def _entries(read: Read, size: int, tree: Tree, strange: list[int]) -> Iterator[tuple[bytes, str]]:
    for tile in _level(-1, size, 0):
        data = _read(read, tile)
        if data is None:
            raise LedgerBroken("a bundle of entries is missing", place=f"entry {tile.start}")
        stored = _read(read, replace(tile, level=0)) or b""
        for number, document in enumerate(open_bundle(data, tile, whole=read(tile.path) is not None)):
            leaf = leaf_hash(document)
            tree.append(leaf)
            if stored[number * HASH_SIZE : (number + 1) * HASH_SIZE] != leaf and not strange:
                strange.append(tile.start + number)
            yield document, entry_hash(document)
