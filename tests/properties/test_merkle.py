"""The Merkle tree against RFC 6962 read literally, and its proofs against whoever alters them."""

import hashlib
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import NotVerified
from holdfast.core.merkle import EMPTY_ROOT, MAX_PROOF, Tree, leaf_hash, node_hash, verify_consistency, verify_inclusion

SMALL = 64  # leaves: every shape of tree with up to six full levels


def data(count: int) -> list[bytes]:
    """Entries that are all different."""
    return [b"entry %d" % number for number in range(count)]


# RFC 6962, 2.1, 2.1.1 and 2.1.2, as they are written there: D is the list of entries, nothing is remembered.


def sha256(text: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(text).digest()


def largest_power(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(entries: Sequence[bytes]) -> bytes:
    """The Merkle tree hash: MTH(D[n])."""
    n = len(entries)
    if n == 0:
        return sha256(b"")
    if n == 1:
        return sha256(b"\x00" + entries[0])
    k = largest_power(n)
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:]))


def path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """The audit path PATH(m, D[n])."""
    n = len(entries)
    if n == 1:
        return []
    k = largest_power(n)
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def subproof(m: int, entries: Sequence[bytes], *, b: bool) -> list[bytes]:
    """The consistency proof's SUBPROOF(m, D[n], b)."""
    n = len(entries)
    if m == n:
        return [] if b else [mth(entries)]
    k = largest_power(n)
    if m <= k:
        return [*subproof(m, entries[:k], b=b), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], b=False), mth(entries[:k])]


def grown(count: int) -> Tree:
    """The tree of `count` entries."""
    return Tree(leaf_hash(entry) for entry in data(count))


TREE = grown(SMALL)


def refuse_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Asserts that this proves nothing."""
    with pytest.raises(NotVerified):
        verify_inclusion(leaf, index, size, proof, root)


def refuse_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Asserts that this proves nothing."""
    with pytest.raises(NotVerified):
        verify_consistency(old, new, proof, old_root, new_root)


def spoiled(proof: Sequence[bytes]) -> Iterator[list[bytes]]:
    """A proof with one hash changed, doubled, left out, cut short or lengthened; and one too many or too few."""
    for place, node in enumerate(proof):
        changed = node[:-1] + bytes([node[-1] ^ 1])
        for other in ([changed], [node, node], [], [node[:-1]], [node + b"\0"]):
            yield [*proof[:place], *other, *proof[place + 1 :]]
    yield [*proof, EMPTY_ROOT]
    yield [EMPTY_ROOT, *proof]
    if len(proof) > 1 and proof[0] != proof[-1]:
        yield list(reversed(proof))


@pytest.mark.parametrize("size", range(SMALL + 1))
def test_roots_and_proofs_are_those_of_the_rfc(size: int) -> None:
    """Every root, audit path and consistency proof up to 64 entries is what the recursive definitions give."""
    entries = data(size)
    assert TREE.root(size) == grown(size).root() == mth(entries)
    for index in range(size):
        assert TREE.inclusion(index, size) == tuple(path(index, entries))
    for old in range(1, size):
        assert TREE.consistency(old, size) == tuple(subproof(old, entries, b=True))


@pytest.mark.parametrize("size", range(1, SMALL + 1))
def test_every_entry_is_proved_to_be_where_it_is_and_nowhere_else(size: int) -> None:
    """A proof holds for its own entry, index, size and root; with any other of them it is refused."""
    root = TREE.root(size)
    for index in range(size):
        leaf, proof = TREE.leaf(index), TREE.inclusion(index, size)
        verify_inclusion(leaf, index, size, proof, root)
        for other in {0, index - 1, index + 1, index ^ 1, size - 1} & set(range(size)) - {index}:
            refuse_inclusion(leaf, other, size, proof, root)
            refuse_inclusion(TREE.leaf(other), index, size, proof, root)
        refuse_inclusion(leaf, index, size, proof, TREE.root(size - 1))
        refuse_inclusion(leaf, -1, size, proof, root)
        refuse_inclusion(leaf, size, size, proof, root)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 17, 31, 33, 64])
def test_an_altered_inclusion_proof_is_refused(size: int) -> None:
    """Whatever is done to a hash of an audit path, it no longer leads to the root."""
    root = TREE.root(size)
    for index in range(size):
        for proof in spoiled(TREE.inclusion(index, size)):
            refuse_inclusion(TREE.leaf(index), index, size, proof, root)


def test_the_size_of_a_tree_is_part_of_what_is_proved() -> None:
    """A proof for one size leads to no other size's root; which root is which size's, a checkpoint says."""
    for size in range(1, SMALL):
        for other in range(1, SMALL):
            if other != size:
                index = min(size, other) - 1
                refuse_inclusion(TREE.leaf(index), index, other, TREE.inclusion(index, size), TREE.root(other))


def test_an_inner_node_cannot_be_passed_off_as_an_entry() -> None:
    """Leaves and nodes are hashed with different first bytes, so no entry has the hash of a subtree."""
    forged = TREE.leaf(0) + TREE.leaf(1)
    assert node_hash(TREE.leaf(0), TREE.leaf(1)) != leaf_hash(forged)
    assert Tree([TREE.leaf(0), TREE.leaf(1)]).root() != Tree([leaf_hash(forged)]).root()


@pytest.mark.parametrize("new", range(SMALL + 1))
def test_growth_is_proved_between_every_two_sizes(new: int) -> None:
    """Each tree up to 64 entries is proved to extend each smaller one, and no other pair of roots fits that proof."""
    for old in range(new + 1):
        proof, roots = TREE.consistency(old, new), (TREE.root(old), TREE.root(new))
        verify_consistency(old, new, proof, *roots)
        if 0 < old < new:
            refuse_consistency(old, new, proof, roots[1], roots[0])
            refuse_consistency(old, new, proof, EMPTY_ROOT, roots[1])
            refuse_consistency(old, new, proof, roots[0], EMPTY_ROOT)
            refuse_consistency(old - 1, new, proof, TREE.root(old - 1), roots[1])
            refuse_consistency(old, new - 1, proof, roots[0], TREE.root(new - 1))
            refuse_consistency(new, old, proof, *roots)
            refuse_consistency(old, new, (), *roots)


@pytest.mark.parametrize("new", [2, 3, 4, 7, 8, 9, 16, 31, 33, 64])
def test_an_altered_consistency_proof_is_refused(new: int) -> None:
    """Whatever is done to a hash of a consistency proof, it no longer joins the two roots."""
    for old in range(1, new):
        for proof in spoiled(TREE.consistency(old, new)):
            refuse_consistency(old, new, proof, TREE.root(old), TREE.root(new))


@pytest.mark.guarantee("G06")
@pytest.mark.parametrize("old", [1, 2, 3, 5, 8, 13, 21])
def test_a_rewritten_history_is_never_consistent(old: int) -> None:
    """A tree in which one old entry was replaced cannot be proved to extend the witnessed one."""
    witnessed = TREE.root(old)
    for place in range(old):
        entries = data(24)
        entries[place] = b"rewritten"
        forged = Tree(leaf_hash(entry) for entry in entries)
        for proof in (forged.consistency(old, 24), TREE.consistency(old, 24)):
            refuse_consistency(old, 24, proof, witnessed, forged.root())


@pytest.mark.parametrize(
    ("old", "new", "old_root", "new_root"),
    [
        (0, 0, EMPTY_ROOT, b"\1" * 32),
        (0, 0, b"\1" * 32, b"\1" * 32),
        (0, 3, b"\1" * 32, TREE.root(3)),
        (3, 3, TREE.root(3), TREE.root(4)),
        (-1, 3, EMPTY_ROOT, TREE.root(3)),
    ],
)
def test_trees_without_growth_must_be_equal(old: int, new: int, old_root: bytes, new_root: bytes) -> None:
    """Where no proof is needed, the roots themselves are compared; the empty tree has one root only."""
    refuse_consistency(old, new, (), old_root, new_root)


def test_a_proof_that_does_not_use_up_the_tree_is_refused() -> None:
    """How many steps a proof takes follows from the sizes: one too few or too many is no proof, whatever root fits."""
    leaf, other = TREE.leaf(0), TREE.leaf(1)
    refuse_inclusion(leaf, 0, 1, [other], node_hash(other, leaf))
    refuse_inclusion(leaf, 0, 2, [], leaf)
    refuse_inclusion(node_hash(leaf, other), 0, 4, [TREE.root(2)], node_hash(node_hash(leaf, other), TREE.root(2)))
    for new in (3, 4, 8):
        refuse_consistency(2, new, [], TREE.root(2), TREE.root(2))
    long = [*TREE.consistency(3, 5), other]
    refuse_consistency(3, 5, long, TREE.root(3), node_hash(other, TREE.root(5)))
    refuse_consistency(3, 5, long, node_hash(other, TREE.root(3)), node_hash(other, TREE.root(5)))


def test_a_proof_of_impossible_length_is_refused_before_it_is_hashed() -> None:
    """No tree needs more than 64 hashes."""
    long = [EMPTY_ROOT] * (MAX_PROOF + 1)
    refuse_inclusion(TREE.leaf(0), 0, SMALL, long, TREE.root())
    refuse_consistency(1, SMALL, long, TREE.root(1), TREE.root())


@given(size=st.integers(65, 3000), data=st.data())
def test_large_trees_prove_what_they_hold(size: int, data: st.DataObject) -> None:
    """In trees of any size an entry, and growth from any older size, are proved; one flipped bit and they are not."""
    tree = LARGE
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size - 1))
    proof, growth, root = tree.inclusion(index, size), tree.consistency(old, size), tree.root(size)
    verify_inclusion(tree.leaf(index), index, size, proof, root)
    verify_consistency(old, size, growth, tree.root(old), root)
    place, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    changed = list(proof)
    changed[place] = (int.from_bytes(proof[place]) ^ 1 << bit).to_bytes(32)
    refuse_inclusion(tree.leaf(index), index, size, changed, root)
    place = data.draw(st.integers(0, len(growth) - 1))
    changed = list(growth)
    changed[place] = (int.from_bytes(growth[place]) ^ 1 << bit).to_bytes(32)
    refuse_consistency(old, size, changed, tree.root(old), root)


LARGE = grown(3000)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, 65)])
def test_a_tree_proves_nothing_that_it_does_not_hold(index: int, size: int) -> None:
    """Asking for an entry or a size that is not there is an error of the caller."""
    with pytest.raises(ValueError, match="tree"):
        TREE.inclusion(index, size)


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 2), (1, 65)])
def test_a_tree_does_not_shrink(old: int, new: int) -> None:
    """There is no proof of growth from more to less."""
    with pytest.raises(ValueError, match="leaves"):
        TREE.consistency(old, new)
