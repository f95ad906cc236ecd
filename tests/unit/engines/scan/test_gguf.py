"""GGUF: templates are judged, and lengths that lie are found before a reader in C believes them."""

import struct

import pytest
from tests.unit.engines.scan.honest import TEMPLATE, above_low, found, gguf

from holdfast.core.evidence import Severity

HIGH, MEDIUM = Severity.HIGH, Severity.MEDIUM
CHAIN = "{{ ''.__class__.__mro__[1].__subclasses__() }}"


@pytest.mark.parametrize("key", ["tokenizer.chat_template", "tokenizer.chat_template.tool_use"])
def test_a_template_that_reaches_for_code_is_found(key: str) -> None:
    """CVE-2024-34359: rendered outside a sandbox, it runs what it likes."""
    assert ("template.dunder", Severity.CRITICAL) in found(gguf({key: TEMPLATE + CHAIN}))


@pytest.mark.parametrize(
    ("tensors", "data", "rule", "severity"),
    [
        ((("a", (8,), 0, 0), ("b", (8,), 0, 64)), 96, "gguf.offsets", HIGH),  # a hole
        ((("a", (8,), 0, 0), ("b", (8,), 0, 0)), 32, "gguf.offsets", HIGH),  # an overlap
        ((("a", (64,), 0, 0),), 32, "gguf.offsets", HIGH),  # beyond the end
        ((("a", (1 << 62, 1 << 62), 0, 0),), 32, "gguf.offsets", HIGH),  # a product that overflows in C
        ((("a", (33,), 2, 0),), 18, "gguf.offsets", HIGH),  # a row that no block fits
        ((("a", (8,), 0, 0), ("a", (8,), 0, 32)), 64, "gguf.duplicate-key", HIGH),
        ((("a", (8,), 99, 0),), 32, "gguf.type", MEDIUM),
        ((("a", (8,), 0, 0),), 96, "gguf.trailing", HIGH),
        ((("a", (1,) * 9, 0, 0),), 32, "gguf.malformed", MEDIUM),
    ],
)
def test_tensors_that_do_not_fit_are_found(
    tensors: tuple[tuple[str, tuple[int, ...], int, int], ...], data: int, rule: str, severity: Severity
) -> None:
    """Offsets, sizes, types and names, each against the bytes that are there."""
    assert (rule, severity) in found(gguf(tensors=tensors, data=bytes(data)))


@pytest.mark.parametrize("version", [1, 4, 1 << 24, 3 << 24])
def test_other_versions_are_not_read(version: int) -> None:
    """Also those of a big-endian writer: unscannable, not clean."""
    assert ("gguf.unsupported", MEDIUM) in found(gguf(version=version))


@pytest.mark.parametrize("field", [8, 16])
def test_a_count_that_no_file_could_hold_is_found(field: int) -> None:
    """Readers in C have multiplied it and allocated."""
    data = bytearray(gguf())
    struct.pack_into("<Q", data, field, 1 << 61)
    assert ("gguf.malformed", MEDIUM) in found(bytes(data))


def test_notes_are_looked_at() -> None:
    """A program in a description; a key that stands twice."""
    assert ("gguf.metadata.executable", HIGH) in found(gguf({"general.description": "subprocess.run(['id'])"}))
    assert ("gguf.metadata.long", MEDIUM) in found(gguf({"general.description": "word " * 20_000}))
    doubled = gguf({"general.name": "a", "general.nama": "b"}).replace(b"general.nama", b"general.name")
    assert ("gguf.duplicate-key", HIGH) in found(doubled)


def test_padding_behind_the_last_tensor_is_honest() -> None:
    """Writers pad each tensor, also the last."""
    assert above_low(gguf(tensors=(("a", (3,), 0, 0),), data=bytes(32))) == []
    assert above_low(gguf(tensors=(("a", (3,), 0, 0),), data=bytes(12))) == []
