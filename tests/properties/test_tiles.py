"""Tiles: whatever the sizes, what was written before and what is written now are together what is written at once."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.ledger import GENESIS, Checkpoint, Draft, entry_hash, link
from holdfast.core.merkle import Tree, leaf_hash, verify_inclusion
from holdfast.core.tiles import HEIGHT, WIDTH, audit_tiles, bundle, hash_tile, open_bundle, read_leaves, tiles_of
from holdfast.testing.clock import SettableClock

LEAVES = [leaf_hash(str(number).encode()) for number in range(WIDTH * 3 + 7)]
TREE = Tree(LEAVES)


@given(st.integers(0, len(LEAVES)), st.integers(0, len(LEAVES)))
def test_what_is_new_completes_what_was_there(one: int, other: int) -> None:
    """Every tile of the larger tree is full in the smaller one already, or among the new ones."""
    old, new = sorted((one, other))
    before = {tile.path for tile in tiles_of(old) if tile.width == WIDTH}
    added = {tile.path for tile in tiles_of(new, old)}
    assert before | added == {tile.path for tile in tiles_of(new)}


@given(st.integers(1, len(LEAVES)))
def test_leaves_come_back_and_upper_tiles_follow_from_lower_ones(size: int) -> None:
    """Level 0 holds the leaf hashes; each hash of the next level is the root over a full tile below."""
    tree = Tree(LEAVES[:size])
    files = {tile.path: hash_tile(tree, tile) for tile in tiles_of(size) if tile.level >= 0}
    assert read_leaves(files.get, size) == LEAVES[:size]
    for tile in tiles_of(size):
        if tile.level == 1:
            hashes = [files[tile.path][at : at + 32] for at in range(0, len(files[tile.path]), 32)]
            assert hashes == [Tree(LEAVES[n << HEIGHT : (n + 1) << HEIGHT]).root() for n in range(len(hashes))]


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=40))
def test_a_bundle_gives_back_its_entries(documents: list[bytes]) -> None:
    """Whatever they hold."""
    (tile,) = (tile for tile in tiles_of(len(documents)) if tile.level < 0)
    assert list(open_bundle(bundle(documents), tile)) == documents


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=60), st.data())
def test_an_honest_ledger_verifies_from_its_tiles(streams: list[str], data: st.DataObject) -> None:
    """Chain, streams and tree, up to any checkpoint; and each entry has its proof."""
    clock, documents, heads = SettableClock(), list[bytes](), dict[str, tuple[int, str]]()
    previous = GENESIS
    for position, stream in enumerate(streams):
        draft = Draft(kind="note", actor="ada", stream=stream, body={"n": position})
        head = heads.get(stream, (0, GENESIS))
        _, document = link(draft, position=position, previous=previous, head=head, now=clock.now())
        previous = entry_hash(document)
        heads[stream] = (head[0] + 1, previous)
        documents.append(document)
    tree = Tree(map(leaf_hash, documents))
    files = {
        tile.path: hash_tile(tree, tile) if tile.level >= 0 else bundle(documents) for tile in tiles_of(len(documents))
    }
    checkpoint = Checkpoint(origin="log", size=len(documents), root=tree.root(), time=clock.now())
    assert audit_tiles(files.get, checkpoint).head == previous
    index = data.draw(st.integers(0, len(documents) - 1))
    path = tree.inclusion(index, len(documents))
    verify_inclusion(leaf_hash(documents[index]), index, len(documents), path, checkpoint.root)
