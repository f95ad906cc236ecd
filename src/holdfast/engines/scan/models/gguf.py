"""GGUF: key-value notes, a table of tensors, and their bytes; chat templates in the notes are judged as Jinja.

After the specification in the `ggml` repository (versions 2 and 3, little-endian). Readers in C have trusted the counts
and lengths (CVE-2024-23496 and its siblings): each is compared with the bytes that are there.
"""

from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models import templates
from holdfast.engines.scan.models.binary import damage, elements, note, number, piece
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.wire import Malformed

MAGIC: Final = b"GGUF"
MAX_DEPTH: Final = 4  # arrays inside arrays; the specification allows it and no writer does it
MAX_RANK: Final = 8  # dimensions of a tensor; readers stop at four
MAX_ALIGNMENT: Final = 1 << 20  # bytes; writers use 32
STRING, ARRAY = 8, 9
WIDTHS: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type; strings and arrays carry lengths."""
BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""Elements and bytes of one block by the type of a tensor."""


def known(view: memoryview) -> bool:
    """Return whether a content begins as GGUF."""
    return bytes(view[:4]) == MAGIC


def scan(content: Content, examination: Examination) -> None:
    """Report templates that reach for code, lengths that lie, and tensors that do not fit."""
    with damage("gguf.malformed", content, examination):
        version = number(content.view, 4, 4)
        if version not in {2, 3}:
            words = f"version {version if version < 1 << 16 else 'of a big-endian writer'}; 2 and 3 are read"
            examination.add(Severity.MEDIUM, "gguf.unsupported", content.at(4), words)
            return
        _Walk(content, examination).run()


class _Walk:
    """One pass over one file."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.view, self.examination = content, content.view, examination
        self.position, self.alignment = 24, 32

    def run(self) -> None:
        tensors, notes = number(self.view, 8, 8), number(self.view, 16, 8)
        left = len(self.view)
        if notes * 13 + tensors * 24 > left:  # the shortest of each
            raise Malformed(8, f"{notes} notes and {tensors} tensors in a file of {left} bytes")
        keys = set[bytes]()
        for _ in range(notes):
            at = self.position
            key = bytes(self._text())
            if key in keys:
                words = f"the key {shown(key)!r} stands twice, and readers differ in which one counts"
                self.examination.add(Severity.HIGH, "gguf.duplicate-key", self.content.at(at), words)
            keys.add(key)
            self._value(key, self._number(4), 0)
        self._tensors(tensors)

    def _number(self, size: int) -> int:
        value = number(self.view, self.position, size)
        self.position += size
        return value

    def _text(self) -> memoryview:
        size = self._number(8)
        text = piece(self.view, self.position, size)
        self.position += size
        return text

    def _value(self, key: bytes, kind: int, depth: int) -> None:
        at = self.position
        if kind in WIDTHS:
            value = self._number(WIDTHS[kind])
            if key == b"general.alignment":
                self._align(value, at)
        elif kind == STRING:
            self._note(key, self._text(), at)
        elif kind == ARRAY and depth < MAX_DEPTH:
            self._array(key, depth)
        else:
            raise Malformed(at, f"a value of type {kind} in {shown(key)!r}")

    def _array(self, key: bytes, depth: int) -> None:
        at = self.position
        kind, count = self._number(4), self._number(8)
        self.examination.step(min(count, len(self.view)))
        if kind in WIDTHS:
            piece(self.view, self.position, count * WIDTHS[kind])
            self.position += count * WIDTHS[kind]
            return
        if count * 8 > len(self.view) - self.position:
            raise Malformed(at, f"an array of {count} texts or arrays in {len(self.view) - self.position} bytes")
        for _ in range(count):
            if b"template" in key or kind != STRING:
                self._value(key, kind, depth + 1)
            else:
                self._text()

    def _align(self, value: int, at: int) -> None:
        if value == 0 or value % 8 or value > MAX_ALIGNMENT:
            raise Malformed(at, f"an alignment of {value}")
        self.alignment = value

    def _note(self, key: bytes, text: memoryview, at: int) -> None:
        if b"template" in key:
            templates.judge(text, self.content, at, self.examination)
        elif not key.startswith(b"tokenizer."):
            note("gguf.metadata", f"the note {shown(key)!r}", text, self.content.at(at), self.examination)

    def _tensors(self, count: int) -> None:
        """Read the table of tensors and lay them into the bytes behind it: in order, padded, and none beyond."""
        spans = list[tuple[int, int, bytes]]()
        names = set[bytes]()
        self.examination.step(count)
        for _ in range(count):
            at = self.position
            name, rank = bytes(self._text()), self._number(4)
            if rank > MAX_RANK:
                raise Malformed(at, f"a tensor of {rank} dimensions")
            shape = [self._number(8) for _ in range(rank)]
            kind, offset = self._number(4), self._number(8)
            if name in names:
                words = f"two tensors are called {shown(name)!r}"
                self.examination.add(Severity.HIGH, "gguf.duplicate-key", self.content.at(at), words)
            names.add(name)
            spans.append((offset, self._size(name, shape, kind, at), name))
        self._lay(sorted(spans))

    def _size(self, name: bytes, shape: list[int], kind: int, at: int) -> int:
        if kind not in BLOCKS:
            words = f"the tensor {shown(name)!r} has the unknown element type {kind}"
            self.examination.add(Severity.MEDIUM, "gguf.type", self.content.at(at), words)
            return -1
        per_block, size = BLOCKS[kind]
        if shape and shape[0] % per_block:
            words = f"the tensor {shown(name)!r} has rows of {shape[0]} in blocks of {per_block}"
            self.examination.add(Severity.HIGH, "gguf.offsets", self.content.at(at), words)
        return elements(shape) // per_block * size

    def _lay(self, spans: list[tuple[int, int, bytes]]) -> None:
        begin = _up(self.position, self.alignment)
        room, expected = max(0, len(self.view) - begin), 0
        for offset, size, name in spans:
            if (expected >= 0 and offset != expected) or offset + max(size, 0) > room:
                words = (
                    f"the tensor {shown(name)!r} lies at {offset} with {size} bytes, where {expected} is next of {room}"
                )
                self.examination.add(Severity.HIGH, "gguf.offsets", self.content.at(begin + min(offset, room)), words)
            expected = _up(offset + size, self.alignment) if size >= 0 else -1
        if expected >= 0 and room > expected:
            words = f"{room - expected} bytes behind the last tensor, which belong to none"
            self.examination.add(Severity.HIGH, "gguf.trailing", self.content.at(begin + expected), words)


def _up(value: int, alignment: int) -> int:
    return (value + alignment - 1) // alignment * alignment
