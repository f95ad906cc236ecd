"""The Merkle tree against the published vectors of Certificate Transparency."""

import pytest

from holdfast.core.errors import NotVerified
from holdfast.core.merkle import EMPTY_ROOT, Tree, leaf_hash, verify_consistency, verify_inclusion

LEAVES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
INCLUSION = {  # (leaf, size): audit path, from the reference implementation's tests
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
}
CONSISTENCY = {  # (old, new): proof, from the reference implementation's tests
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
HOW = (
    "empty",
    "truncated",
    "garbage behind",
    "another hash behind",
    "root behind",
    "garbage before",
    "first hash before",
    "root before",
    "one bit of the first",
    "one bit of the last",
    "turned around",
)


def spoilt(proof: list[bytes], root: bytes, how: str) -> list[bytes]:
    """A good proof after what the reference's tests do to one."""
    first, last = proof[0], proof[-1]
    variants: tuple[list[bytes], ...] = (
        [],
        proof[:-1],
        [*proof, b""],
        [*proof, bytes(32)],
        [*proof, root],
        [b"", *proof],
        [first, *proof],
        [root, *proof],
        [bytes([first[0] ^ 16]) + first[1:], *proof[1:]],
        [*proof[:-1], bytes([last[0] ^ 16]) + last[1:]],
        proof[::-1],
    )
    return dict(zip(HOW, variants, strict=True))[how]


def nodes(proof: tuple[str, ...]) -> list[bytes]:
    """A published proof as bytes."""
    return [bytes.fromhex(node) for node in proof]


def grown(size: int) -> Tree:
    """Return the reference tree of `size` leaves."""
    return Tree(leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size])


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference(size: int) -> None:
    """Every prefix of the reference leaves has the published root."""
    assert grown(size).root().hex() == ROOTS[size - 1]
    assert grown(8).root(size).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    """RFC 6962, 2.1: MTH({}) = SHA-256()."""
    assert Tree().root() == EMPTY_ROOT


@pytest.mark.parametrize(("where", "path"), INCLUSION.items())
def test_audit_paths_are_those_of_the_reference(where: tuple[int, int], path: tuple[str, ...]) -> None:
    """The audit paths of the reference tests come out the same."""
    assert tuple(node.hex() for node in grown(8).inclusion(*where)) == path


@pytest.mark.parametrize("where", INCLUSION)
def test_published_audit_paths_verify(where: tuple[int, int]) -> None:
    """The published paths lead from the published leaf to the published root."""
    index, size = where
    verify_inclusion(grown(8).leaf(index), index, size, nodes(INCLUSION[where]), bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("sizes", "proof"), CONSISTENCY.items())
def test_published_consistency_proofs_verify(sizes: tuple[int, int], proof: tuple[str, ...]) -> None:
    """The published proofs join the published roots, and are the ones that come out here."""
    old, new = sizes
    verify_consistency(old, new, nodes(proof), bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1]))
    assert tuple(node.hex() for node in grown(8).consistency(old, new)) == proof


@pytest.mark.parametrize(("index", "size"), [(0, 0), (0, 1), (1, 0), (2, 1)])
@pytest.mark.parametrize("leaf", [EMPTY_ROOT, bytes(32)], ids=["empty hash", "zeros"])
@pytest.mark.parametrize("root", [b"", bytes(31), bytes(range(32))], ids=["empty", "short", "another"])
def test_a_proof_of_nothing_proves_nothing(index: int, size: int, leaf: bytes, root: bytes) -> None:
    """The reference's probes: no path at all, into trees that are empty or hold one other entry."""
    with pytest.raises(NotVerified):
        verify_inclusion(leaf, index, size, (), root)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("where", INCLUSION)
def test_a_spoilt_audit_path_is_refused(where: tuple[int, int], how: str) -> None:
    """What the reference's tests do to a good path: garbage before, behind and inside it, and roots put in."""
    index, size = where
    root = bytes.fromhex(ROOTS[size - 1])
    with pytest.raises(NotVerified):
        verify_inclusion(grown(8).leaf(index), index, size, spoilt(nodes(INCLUSION[where]), root, how), root)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("sizes", CONSISTENCY)
def test_a_spoilt_consistency_proof_is_refused(sizes: tuple[int, int], how: str) -> None:
    """The same, done to a good proof of growth."""
    old, new = sizes
    roots = bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1])
    with pytest.raises(NotVerified):
        verify_consistency(old, new, spoilt(nodes(CONSISTENCY[sizes]), roots[0], how), *roots)
