"""Safetensors: what readers could disagree about is found."""

import json
import struct

import pytest
from tests.unit.engines.scan.honest import above_low, found, safetensors, scan

from holdfast.core.evidence import Severity


def entry(start: int, end: int, shape: list[int] | None = None, dtype: str = "U8") -> dict[str, object]:
    """One tensor of the header."""
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("header", "data", "rule", "severity"),
    [
        ({"a": entry(0, 4), "b": entry(5, 8)}, 8, "safetensors.offsets", Severity.HIGH),  # a hole
        ({"a": entry(0, 5), "b": entry(4, 8)}, 8, "safetensors.offsets", Severity.HIGH),  # an overlap
        ({"a": entry(0, 9)}, 8, "safetensors.offsets", Severity.HIGH),  # beyond the end
        ({"a": entry(4, 0, [4])}, 4, "safetensors.offsets", Severity.HIGH),  # backwards
        ({"a": entry(0, 4)}, 9, "safetensors.trailing", Severity.HIGH),
        ({"a": entry(0, 4, [5])}, 4, "safetensors.size", Severity.HIGH),
        ({"a": entry(0, 4, [1 << 40, 1 << 40])}, 4, "safetensors.size", Severity.HIGH),
        ({"a": entry(0, 4, dtype="OBJECT")}, 4, "safetensors.type", Severity.MEDIUM),
        ({"a": entry(0, 4, [-4])}, 4, "safetensors.malformed", Severity.MEDIUM),
        ({"a": {"dtype": "U8"}}, 0, "safetensors.malformed", Severity.MEDIUM),
        ({"a": entry(0, 4), "__metadata__": {"x": 1}}, 4, "safetensors.malformed", Severity.MEDIUM),
        ({"__metadata__": {"x": "import os; os.system('id')"}}, 0, "safetensors.metadata.executable", Severity.HIGH),
        ({"__metadata__": {"x": "y" * 70_000}}, 0, "safetensors.metadata.long", Severity.MEDIUM),
        (b'{"a": {}, "a": {}}', 0, "safetensors.duplicate-key", Severity.HIGH),
        (b'{"a": ' + b"[" * 600 + b"0" + b"]" * 600 + b"}", 0, "safetensors.malformed", Severity.MEDIUM),
        (b'{"a": 1}  x', 0, "safetensors.malformed", Severity.MEDIUM),
    ],
)
def test_a_header_that_lies_is_found(header: object, data: int, rule: str, severity: Severity) -> None:
    """Holes, overlaps, sizes, keys that stand twice, depth, and programs in the notes."""
    assert (rule, severity) in found(safetensors(header, bytes(data)))  # type: ignore[arg-type]


def test_a_key_twice_by_escape_is_found() -> None:
    """The same name in two spellings is one name to a reader."""
    raw = json.dumps({"weight": entry(0, 4)}).encode()
    twice = raw[:-1] + b', "\\u0077eight": ' + json.dumps(entry(0, 4)).encode() + b"}"
    assert ("safetensors.duplicate-key", Severity.HIGH) in found(safetensors(twice, bytes(4)))


def test_a_file_that_was_cut_is_known_as_one() -> None:
    """Its header ends behind the file."""
    formats, findings = scan(struct.pack("<Q", 500) + b'{"a":')
    assert formats == ("safetensors",)
    assert [finding.rule for finding in findings] == ["safetensors.malformed"]


def test_a_file_of_no_tensors_is_clean() -> None:
    """Writers make them for notes alone."""
    assert above_low(safetensors({"__metadata__": {"a": "b"}}, b"")) == []
