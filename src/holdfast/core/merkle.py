"""The Merkle tree of RFC 6962, section 2.1: roots, audit paths, consistency proofs, and how to check them.

Proving needs the tree (`Tree`); checking needs nothing but a few hashes, so that a stranger can do it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from holdfast.core.errors import NotVerified

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
MAX_PROOF: Final = 64  # hashes; a tree of 2**63 entries needs no more
HASH_SIZE: Final = 32  # bytes of SHA-256


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one entry: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing Merkle tree: the hashes of all complete subtrees, level by level.

    Memory is 64 bytes an entry or so; appending costs two hashes on average.
    """

    __slots__ = ("_levels",)

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        """Start with these leaf hashes."""
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        """Return the number of leaves."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash and every complete subtree that it closes."""
        levels = self._levels
        levels[0].append(leaf)
        depth = 0
        while len(levels[depth]) % 2 == 0:
            if depth + 1 == len(levels):
                levels.append([])
            levels[depth + 1].append(node_hash(levels[depth][-2], levels[depth][-1]))
            depth += 1

    def leaf(self, index: int) -> bytes:
        """Return one leaf's hash."""
        return self._levels[0][index]

    def nodes(self, depth: int, start: int, stop: int) -> tuple[bytes, ...]:
        """Return the roots of complete subtrees of `2**depth` leaves, by their number among those of that depth."""
        found = tuple(self._levels[depth][start:stop]) if depth < len(self._levels) else ()
        if len(found) != stop - start:
            raise ValueError(f"the tree has no subtrees {start} to {stop} of depth {depth}")
        return found

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the tree as it was at `size` leaves."""
        size = len(self) if size is None else size
        self._check(size)
        return EMPTY_ROOT if size == 0 else self._subtree(0, size)

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the audit path of leaf `index` in the tree of `size` leaves (RFC 6962, 2.1.1)."""
        self._check(size)
        if not 0 <= index < size:
            raise ValueError(f"leaf {index} is not in a tree of {size}")
        return tuple(self._path(index, 0, size))

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `new` leaves extends the tree of `old` (RFC 6962, 2.1.2)."""
        self._check(new)
        if not 0 <= old <= new:
            raise ValueError(f"{old} leaves cannot grow into {new}")
        return () if old in {0, new} else tuple(self._subproof(old, 0, new, whole=True))

    def _check(self, size: int) -> None:
        if not 0 <= size <= len(self):
            raise ValueError(f"the tree has {len(self)} leaves, not {size}")

    def _subtree(self, start: int, stop: int) -> bytes:
        """Return MTH(D[start:stop]); `start` is always aligned to the next power of two."""
        count = stop - start
        if count & (count - 1) == 0:
            depth = count.bit_length() - 1
            return self._levels[depth][start >> depth]
        split = start + _split(count)
        return node_hash(self._subtree(start, split), self._subtree(split, stop))

    def _path(self, index: int, start: int, stop: int) -> list[bytes]:
        if stop - start == 1:
            return []
        split = start + _split(stop - start)
        if index < split:
            return [*self._path(index, start, split), self._subtree(split, stop)]
        return [*self._path(index, split, stop), self._subtree(start, split)]

    def _subproof(self, old: int, start: int, stop: int, *, whole: bool) -> list[bytes]:
        if old == stop:
            return [] if whole else [self._subtree(start, stop)]
        split = start + _split(stop - start)
        if old <= split:
            return [*self._subproof(old, start, split, whole=whole), self._subtree(split, stop)]
        return [*self._subproof(old, split, stop, whole=False), self._subtree(start, split)]


def _split(count: int) -> int:
    """Return the largest power of two smaller than `count`."""
    return 1 << (count - 1).bit_length() - 1


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that `leaf` is entry `index` of the tree with this size and root (RFC 9162, 2.1.3.2).

    Raises:
        NotVerified: It is not.
    """
    if not 0 <= index < size or not _well_formed((leaf, root), path):
        raise NotVerified(f"no inclusion proof can put entry {index} in a tree of {size}", place=f"entry {index}")
    node, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise NotVerified("the inclusion proof is too long", place=f"entry {index}")
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        node >>= 1
        last >>= 1
    if last != 0 or found != root:
        raise NotVerified("the inclusion proof does not lead to the signed root", place=f"entry {index}")


def _well_formed(hashes: tuple[bytes, bytes], proof: Sequence[bytes]) -> bool:
    """Say whether a proof is of a possible length, and each of its parts the length of a hash."""
    return len(proof) <= MAX_PROOF and all(len(part) == HASH_SIZE for part in (*hashes, *proof))


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the tree of `new` entries only adds to the tree of `old` (RFC 9162, 2.1.4.2).

    Raises:
        NotVerified: History before entry `old` was changed, or the proof is malformed.
    """
    place = f"entries 0 to {old}"
    if not 0 <= old <= new or not _well_formed((old_root, new_root), proof):
        raise NotVerified(f"no proof can grow {old} entries into {new}", place=place)
    if old in {0, new}:
        expected = EMPTY_ROOT if old == 0 else new_root
        if proof or old_root != expected or (new == 0 and new_root != EMPTY_ROOT):
            raise NotVerified("the consistency proof of equal or empty trees does not hold", place=place)
        return
    nodes = list(proof)
    if old & (old - 1) == 0:
        nodes.insert(0, old_root)
    if not nodes:
        raise NotVerified("the consistency proof is empty", place=place)
    first, second = old - 1, new - 1
    while first & 1:
        first >>= 1
        second >>= 1
    from_old = from_new = nodes[0]
    for node in nodes[1:]:
        if second == 0:
            raise NotVerified("the consistency proof is too long", place=place)
        if first & 1 or first == second:
            from_old, from_new = node_hash(node, from_old), node_hash(node, from_new)
            while not first & 1 and first:
                first >>= 1
                second >>= 1
        else:
            from_new = node_hash(from_new, node)
        first >>= 1
        second >>= 1
    if second != 0 or from_old != old_root or from_new != new_root:
        raise NotVerified("the newer tree does not contain the older one unchanged", place=place)
