"""Tiles: the ledger written out as static files (C2SP tlog-tiles), and what has grown since the last time.

Leaf hashes of what was written before are read from the tiles themselves, so that only new entries are read. They are
not believed: the tree that comes out must have the root that the ledger's checkpoint signs, else nothing is written.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from holdfast.core.errors import HoldfastError, InvalidInput, LedgerBroken, NotFound
from holdfast.core.ledger import Checkpoint, SignedCheckpoint
from holdfast.core.merkle import Tree, leaf_hash
from holdfast.core.tiles import CHECKPOINT, MAX_BUNDLE, WIDTH, Tile, bundle, hash_tile, read_leaves, tiles_of
from holdfast.core.witness import parse_tree_head
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, counted
from holdfast.lifecycle.verification import open_outside
from holdfast.lifecycle.witnessing import newest_witnessed

MAX_NOTE: Final = 1 << 20  # bytes of a checkpoint file; we write a few hundred


def ledger_tiles(plant: Plant, *, out: Path, witnessed: bool = False) -> Reply:
    """Write the ledger as tiles into a folder that any web server can hand out, and the checkpoint beside them.

    Args:
        plant: The control plane.
        out: The folder; what an earlier call has written is gone on from.
        witnessed: Up to the newest checkpoint that a witness has cosigned, instead of one that is signed now.

    Raises:
        NotFound: No witness has cosigned anything.
        LedgerBroken: What lies in the folder is of another history.
        InvalidInput: The folder cannot be written.
    """
    signed = newest_witnessed(plant) if witnessed else _sign(plant)
    if signed is None:
        raise NotFound("no witness has cosigned a checkpoint", remedy="Ask one with `holdfast ledger ask-witness`.")
    checkpoint = open_outside(plant, signed.note, place="the checkpoint")
    had = _had(out)
    if had >= checkpoint.size:
        had = 0  # an older checkpoint is asked for than was written, or the very same: write what is missing
    tree = Tree(_leaves(out, had))
    documents: dict[int, bytes] = {}
    start = had - had % WIDTH  # a bundle that was partial is written anew, whole
    for entry in plant.ledger.entries(start, checkpoint.size):
        documents[entry.position] = entry.document
        if entry.position >= had:
            tree.append(leaf_hash(entry.document))
    if tree.root() != checkpoint.root:
        raise LedgerBroken(
            "the tiles here are of another history than the ledger",
            place=str(out),
            remedy="Keep them as evidence, find out which of the two was changed, and export into an empty folder.",
        )
    count = _write_all(out, _files(tree, documents, checkpoint, had), signed)
    says = f"{counted(checkpoint.size, 'entry', 'entries')} in {out}, {counted(count, 'file')} written; "
    says += f"{counted(had, 'entry was', 'entries were')} there before."
    return Reply(says=says, document={"size": checkpoint.size, "had": had, "files": count})


def _sign(plant: Plant) -> SignedCheckpoint:
    plant.unlock()
    return plant.ledger.checkpoint()


def _had(out: Path) -> int:
    """Return how many entries the folder's own checkpoint speaks of, unverified; 0 where none can be read."""
    try:
        return parse_tree_head(read_tile(out, CHECKPOINT, MAX_NOTE) or b"").size
    except HoldfastError:
        return 0


def _leaves(out: Path, had: int) -> list[bytes]:
    return read_leaves(lambda path: read_tile(out, path, MAX_BUNDLE), had)


def read_tile(folder: Path, path: str, limit: int = MAX_BUNDLE) -> bytes | None:
    """Return the bytes of a file below a folder of tiles, or None where there is none.

    Raises:
        InvalidInput: It cannot be read, or is longer than `limit`.
    """
    try:
        with (folder / path).open("rb") as file:
            data = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidInput(f"a tile cannot be read: {error.strerror}", place=str(folder / path)) from error
    if len(data) > limit:
        raise InvalidInput("a tile is too long", place=str(folder / path), expected=f"at most {limit} bytes")
    return data


def _files(tree: Tree, documents: dict[int, bytes], checkpoint: Checkpoint, had: int) -> Iterator[tuple[str, bytes]]:
    for tile in tiles_of(checkpoint.size, had):
        yield tile.path, _content(tree, documents, tile)


def _content(tree: Tree, documents: dict[int, bytes], tile: Tile) -> bytes:
    if tile.level >= 0:
        return hash_tile(tree, tile)
    return bundle(documents[position] for position in range(tile.start, tile.start + tile.width))


def _write_all(out: Path, files: Iterator[tuple[str, bytes]], signed: SignedCheckpoint) -> int:
    """Write tiles, each whole, and the checkpoint last: a reader who sees it finds all that it speaks of."""
    count = 0
    try:
        for path, content in files:
            there = read_tile(out, path)
            if there is None:
                _replace(out / path, content)
                count += 1
            elif there != content:  # no tile ever changes: whoever did this must not be helped to hide it
                raise LedgerBroken("a tile here says something else than the ledger", place=f"tile {path}")
        _replace(out / CHECKPOINT, signed.note)
    except OSError as error:
        raise InvalidInput(f"the tiles cannot be written: {error.strerror}", place=str(out)) from error
    return count + 1


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
