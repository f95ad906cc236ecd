"""JSON as a tree of values that know where they stand, read within limits and as leniently as any loader would.

Loaders differ: `NaN`, a byte order mark, two keys of one name and control characters in strings pass in some. What one
of them takes is taken here, so that no spelling hides a value; two keys of one name are a finding. Arrays of numbers,
which are most of a model, stay where they are.
"""

import json
import re
import struct
from functools import cache
from typing import Final, TypeAlias

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.wire import Malformed

MAX_DEPTH: Final = 512  # values inside one another; Python's own reader stops near 1,000
MAX_VALUES: Final = (
    2_000_000  # values of one tree, a few hundred bytes each; a boosted forest of 80,000 trees has as many
)
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_BEGIN: Final = re.compile(rb'(?:\xef\xbb\xbf)?[ \t\r\n]*+(?=\{[ \t\r\n]*+["}]|\[)')
_STRING: Final = re.compile(rb'"((?:[^"\\]|\\[\x00-\xff])*+)"')
_NUMBERS: Final = re.compile(rb"\[[-+0-9.eE, \t\r\n]*+\]")
_ATOM: Final = re.compile(rb"-?[0-9][-+0-9.eE]*+|true|false|null|-?Infinity|NaN")
_PLAIN_ESCAPE: Final = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
_ATOMS: Final[dict[bytes, object]] = {b"true": True, b"false": False, b"null": None}
_DECODER: Final = json.JSONDecoder(strict=False)

Value: TypeAlias = "Table | Row | Numbers | str | bytes | bool | None"
"""A number alone stays as its bytes: who needs it converts it."""


class Table(dict[str, "Value"]):
    """A JSON object and the offset at which it begins."""

    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        """Start empty."""
        super().__init__()
        self.at = at

    def text(self, key: str) -> str:
        """Return a member that is a string, or nothing."""
        value = self.get(key)
        return value if isinstance(value, str) else ""

    def table(self, key: str) -> "Table":
        """Return a member that is an object, or an empty one."""
        value = self.get(key)
        return value if isinstance(value, Table) else Table(self.at)


class Row(list["Value"]):
    """A JSON array and the offset at which it begins."""

    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        """Start empty."""
        super().__init__()
        self.at = at


class Numbers:
    """An array of numbers, or an empty one, left where it is: as text, or packed with the code of `struct`."""

    __slots__ = ("at", "code", "end", "view")

    def __init__(self, view: memoryview, at: int, end: int, code: str = "") -> None:
        """Keep where it is; a view of each would take more memory than most of them hold."""
        self.view, self.at, self.end, self.code = view, at, end, code

    @property
    def raw(self) -> memoryview:
        """Return its bytes."""
        return self.view[self.at : self.end]

    def __len__(self) -> int:
        """Return how many numbers it holds, those of a text by its commas."""
        if self.code:
            return len(self.raw) // struct.calcsize(self.code)
        inner = bytes(self.raw[1:-1]).strip()
        return inner.count(b",") + 1 if inner else 0

    def values(self) -> list[float]:
        """Return the numbers.

        Raises:
            Malformed: They are not numbers of JSON.
        """
        if self.code:
            return [each for (each,) in struct.iter_unpack(self.code, self.raw)]
        try:
            return list(json.loads(bytes(self.raw)))
        except (ValueError, RecursionError) as error:
            raise Malformed(self.at, "an array that begins like one of numbers, and is none") from error


def begins(view: memoryview) -> bool:
    """Return whether a content begins as JSON that holds more than one value."""
    return _BEGIN.match(view) is not None


def names(view: memoryview, *keys: str) -> bool:
    """Return whether a content begins as JSON and each key is written in it, escaped or not, as a key."""
    if not begins(view):
        return False
    escaped: bool | None = None
    for key in keys:
        if re.search(rb'"%s"[ \t\r\n]*+:' % re.escape(key.encode()), view):
            continue
        if escaped is None:
            escaped = _PLAIN_ESCAPE.search(view) is not None
        if not escaped or not _spelled(key).search(view):
            return False
    return True


@cache
def _spelled(key: str) -> re.Pattern[bytes]:
    """Return the pattern of a key of which any character may be written as an escape."""
    letters = (rb"(?:%s|\\u00(?i:%02x))" % (re.escape(each.encode()), ord(each)) for each in key)
    return re.compile(rb'"%s"[ \t\r\n]*+:' % b"".join(letters))


def read(content: Content, examination: Examination, prefix: str, begin: int = 0, end: int | None = None) -> Value:
    """Return the tree of a content, or of a part of it, or nothing after a finding that says why.

    Args:
        content: Whose bytes are read.
        examination: Where to report.
        prefix: What the rules begin with: `keras` for `keras.malformed` and `keras.duplicate-key`.
        begin: Where the JSON begins.
        end: Where it must have ended, spaces included.
    """
    view = content.view if end is None else content.view[:end]
    try:
        return _Tree(view, content, examination, prefix).read(begin)
    except Malformed as error:
        examination.add(Severity.MEDIUM, f"{prefix}.malformed", content.at(error.offset), error.words)
    except _TooMany as error:
        words = f"more than {MAX_VALUES} values of JSON; the rest was not scanned"
        examination.add(Severity.MEDIUM, "limit.json", content.at(error.offset), words)
    return None


class _TooMany(Exception):
    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class _Tree:
    """One pass over one text, with a stack of its own."""

    def __init__(self, view: memoryview, content: Content, examination: Examination, prefix: str) -> None:
        self.view, self.content, self.examination, self.prefix = view, content, examination, prefix
        self.stack: list[Table | Row] = []
        self.values = 0

    def read(self, begin: int) -> Value:
        start = _BEGIN.match(self.view, begin)
        if start is None:
            raise Malformed(begin, "neither an object nor an array of JSON")
        root, position = self._value(start.end())
        while self.stack:
            position = self._next(position)
        if position != len(self.view):
            raise Malformed(position, "bytes after the end of the JSON text")
        self.examination.step(self.values)
        return root

    def _next(self, position: int) -> int:
        """Read one more member of the innermost value, or its end."""
        around = self.stack[-1]
        closing = 0x7D if isinstance(around, Table) else 0x5D
        byte = self._byte(position)
        if byte == closing:
            self.stack.pop()
            return self._skip(position + 1)
        if around:
            if byte != 0x2C:
                raise Malformed(position, "neither a comma nor the end of a value")
            position = self._skip(position + 1)
        if isinstance(around, Row):
            value, position = self._value(position)
            around.append(value)
            return position
        key, after = self._string(position)
        if self._byte(after) != 0x3A:
            raise Malformed(after, "a key without a colon")
        value, position_after = self._value(self._skip(after + 1))
        if key in around:
            words = f"the key {shown(key)!r} stands twice, and readers differ in which one counts"
            self.examination.add(Severity.HIGH, f"{self.prefix}.duplicate-key", self.content.at(position), words)
            while key in around:  # both are judged
                key += f" (again at {position})"
        around[key] = value
        return position_after

    def _value(self, position: int) -> tuple[Value, int]:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _TooMany(position)
        byte = self._byte(position)
        if byte == 0x22:
            return self._string(position)
        if byte == 0x5B and (found := _NUMBERS.match(self.view, position)):
            return Numbers(self.view, position, found.end()), self._skip(found.end())
        if byte in {0x7B, 0x5B}:
            if len(self.stack) >= MAX_DEPTH:
                raise Malformed(position, f"values nested deeper than {MAX_DEPTH}")
            value = Table(position) if byte == 0x7B else Row(position)
            self.stack.append(value)
            return value, self._skip(position + 1)
        found = _ATOM.match(self.view, position)
        if found is None:
            raise Malformed(position, "no value of JSON")
        word = found.group()
        return _ATOMS.get(word, word), self._skip(found.end())  # type: ignore[return-value]

    def _string(self, position: int) -> tuple[str, int]:
        found = _STRING.match(self.view, position)
        if found is None:
            raise Malformed(position, "a string that does not begin or does not end")
        raw = found.group(1)
        try:
            text = raw.decode("utf-8") if b"\\" not in raw else str(_DECODER.decode(found.group().decode("utf-8")))
        except ValueError as error:
            raise Malformed(position, "a string that is not text") from error
        return text, self._skip(found.end())

    def _skip(self, position: int) -> int:
        found = _SPACE.match(self.view, position)
        return found.end() if found else position

    def _byte(self, position: int) -> int:
        if position >= len(self.view):
            raise Malformed(position, "a text that ends in the middle of a value")
        return self.view[position]
