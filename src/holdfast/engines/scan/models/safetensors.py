"""Safetensors: a JSON header and one buffer that its tensors cover without a hole, an overlap or a byte left over.

The format runs no code; what can differ is what readers see. After the description of the format and its reference
reader, which refuses what is reported here as high.
"""

from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models import jsontree
from holdfast.engines.scan.models.binary import damage, elements, note, number
from holdfast.engines.scan.models.jsontree import Numbers, Table, Value
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.wire import Malformed

MAX_HEADER: Final = 100_000_000  # bytes: the reference reader takes no longer header
BITS: Final = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits of one element by its `dtype`."""
_FIELDS: Final = frozenset({"dtype", "shape", "data_offsets"})


def known(view: memoryview) -> bool:
    """Return whether a content begins with the length of a header that begins as JSON."""
    return len(view) > 9 and view[8] == 0x7B and 2 <= number(view, 0, 8) <= MAX_HEADER


def scan(content: Content, examination: Examination) -> None:
    """Report what readers could disagree about, and notes that look like programs."""
    with damage("safetensors.malformed", content, examination):
        begin = 8 + number(content.view, 0, 8)
        if begin > len(content.view):
            raise Malformed(0, f"a header of {begin - 8} bytes in a file of {len(content.view)}")
        header = jsontree.read(content, examination, "safetensors", 8, begin)
        if isinstance(header, Table):
            _tensors(header, begin, content, examination)


def _tensors(header: Table, begin: int, content: Content, examination: Examination) -> None:
    spans = list[tuple[int, int, str]]()
    for name, entry in header.items():
        if name.startswith("__metadata__"):
            _metadata(entry, content, examination)
        elif span := _tensor(name, entry, content, examination):
            spans.append((*span, name))
    position, size = 0, len(content.view) - begin
    for start, end, name in sorted(spans):
        if start != position or end < start or end > size:
            words = f"the tensor {shown(name)!r} lies at {start} to {end}, where {position} is next of {size}"
            examination.add(Severity.HIGH, "safetensors.offsets", content.at(begin + min(start, size)), words)
        position = max(position, end)
    if position < size:
        words = f"{size - position} bytes behind the last tensor, which belong to none"
        examination.add(Severity.HIGH, "safetensors.trailing", content.at(begin + position), words)


def _tensor(name: str, entry: Value, content: Content, examination: Examination) -> tuple[int, int] | None:
    if not isinstance(entry, Table) or set(entry) != _FIELDS:
        where = entry.at if isinstance(entry, Table) else 8
        raise Malformed(where, f"the entry {shown(name)!r} is not one of dtype, shape and data_offsets")
    shape, offsets = _whole(entry["shape"], entry.at), _whole(entry["data_offsets"], entry.at)
    if len(offsets) != 2:
        raise Malformed(entry.at, f"the tensor {shown(name)!r} has {len(offsets)} offsets")
    start, end = offsets
    bits = BITS.get(entry.text("dtype"))
    if bits is None:
        words = f"the tensor {shown(name)!r} has the unknown element type {shown(entry.text('dtype'))!r}"
        examination.add(Severity.MEDIUM, "safetensors.type", content.at(entry.at), words)
    elif elements(shape) * bits != (end - start) * 8:
        words = f"the tensor {shown(name)!r} of shape {shape[:8]} lies in {end - start} bytes"
        examination.add(Severity.HIGH, "safetensors.size", content.at(entry.at), words)
    return start, end


def _whole(value: Value, at: int) -> list[int]:
    numbers = value.values() if isinstance(value, Numbers) else None
    if numbers is None or not all(isinstance(each, int) and 0 <= each < 1 << 63 for each in numbers):
        raise Malformed(at, "a shape or an offset that is not whole and positive")
    return [int(each) for each in numbers]


def _metadata(entry: Value, content: Content, examination: Examination) -> None:
    if not isinstance(entry, Table) or not all(isinstance(each, str) for each in entry.values()):
        where = entry.at if isinstance(entry, Table) else 8
        raise Malformed(where, "__metadata__ is not made of texts")
    for key, text in entry.items():
        for words in (str(text).encode("utf-8", "replace"), key.encode("utf-8", "replace")):
            note("safetensors.metadata", f"the note {shown(key)!r}", words, content.at(entry.at), examination)
