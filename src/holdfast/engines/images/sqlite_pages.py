"""Rows of a table in a SQLite database, read from its bytes alone (sqlite.org, "Database File Format", chapters 1, 2).

An image is a stranger's, and so is a database in it: neither its schema, nor its triggers, nor the library that would
run them has a part in this. What is not as the format says is an error, never fewer rows.

1. The header gives the size of pages and what of each is used. 2. The table's root is looked up in the schema, the
tree below page 1. 3. A tree is walked from its root; a page that is met twice is a trap. 4. A row is a record of
values, which goes on in a chain of overflow pages where it is long.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

Value: TypeAlias = int | float | str | bytes | None

MAX_ROWS: Final = 200_000  # of one table; the packages of a whole distribution are 60,000
MAX_RECORD: Final = 16 << 20  # bytes of one row
MAX_DEPTH: Final = 20  # pages from a root to its leaves; each multiplies the rows by two at the least
_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 100  # bytes
_INTERIOR, _LEAF = 5, 13  # kinds of pages of a table
_SIZES: Final = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}
_ENCODINGS: Final = {1: "utf-8", 2: "utf-16-le", 3: "utf-16-be"}
_MIN_USABLE: Final = 480  # bytes of a page, by the format


class Database:
    """The pages of one database."""

    def __init__(self, data: bytes) -> None:
        """Read the header.

        Raises:
            ValueError: It is no database of SQLite, or is cut off.
        """
        if len(data) < _HEADER or not data.startswith(_MAGIC):
            raise ValueError("this is no database of SQLite")
        size = int.from_bytes(data[16:18], "big")  # 1.
        self.size = 1 << 16 if size == 1 else size
        self.usable = self.size - data[20]
        if self.size & (self.size - 1) or self.size < 1 << 9 or self.usable < _MIN_USABLE or len(data) % self.size:
            raise ValueError("its pages are of no size that there is, or it is cut off")
        self.encoding = _ENCODINGS.get(int.from_bytes(data[56:60], "big"), "utf-8")
        self._data, self._left = data, MAX_ROWS

    def rows(self, table: str) -> Iterator[tuple[Value, ...]]:
        """Yield every row of a table.

        Raises:
            ValueError: There is no such table, or something is not as the format says.
        """
        for row in self._walk(1, set(), 0):  # 2.
            kind, name, _, root = (*row, None, None, None, None)[:4]
            if kind == "table" and name == table and isinstance(root, int):
                yield from self._walk(root, set(), 0)
                return
        raise ValueError(f"it has no table {table}")

    def _page(self, number: int) -> bytes:
        if not 0 < number <= len(self._data) // self.size:
            raise ValueError(f"a page {number} that is not there")
        return self._data[(number - 1) * self.size : number * self.size]

    def _walk(self, number: int, seen: set[int], depth: int) -> Iterator[tuple[Value, ...]]:
        """Yield the rows below a page, in order."""
        if number in seen or depth > MAX_DEPTH:  # 3.
            raise ValueError(f"page {number} stands in its tree twice, or too deep")
        seen.add(number)
        page, at = self._page(number), _HEADER if number == 1 else 0
        kind, count = page[at], int.from_bytes(page[at + 3 : at + 5], "big")
        if kind not in {_INTERIOR, _LEAF}:
            raise ValueError(f"page {number} is none of a table")
        cells = at + (12 if kind == _INTERIOR else 8)
        for place in range(cells, cells + 2 * count, 2):
            cell = int.from_bytes(page[place : place + 2], "big")
            if kind == _INTERIOR:
                yield from self._walk(int.from_bytes(page[cell : cell + 4], "big"), seen, depth + 1)
            else:
                yield self._row(page, cell)
        if kind == _INTERIOR:
            yield from self._walk(int.from_bytes(page[at + 8 : at + 12], "big"), seen, depth + 1)

    def _row(self, page: bytes, cell: int) -> tuple[Value, ...]:
        self._left -= 1
        length, at = _varint(page, cell)
        _, at = _varint(page, at)  # the row's number
        if self._left < 0 or length > MAX_RECORD:
            raise ValueError(f"it has more than {MAX_ROWS} rows, or one of more than {MAX_RECORD} bytes")
        return _values(self._payload(page, at, length), self.encoding)

    def _payload(self, page: bytes, at: int, length: int) -> bytes:
        """Return a record, put together from its page and the pages that it goes on in (section 1.6)."""
        most, least = self.usable - 35, (self.usable - 12) * 32 // 255 - 23
        local = length
        if length > most:  # 4.
            local = least + (length - least) % (self.usable - 4)
            local = local if local <= most else least
        found = bytearray(page[at : at + local])
        following = int.from_bytes(page[at + local : at + local + 4], "big") if local < length else 0
        while len(found) < length:  # each page adds something, so that a ring of them comes to an end
            more = self._page(following)
            found += more[4 : min(self.usable, 4 + length - len(found))]
            following = int.from_bytes(more[:4], "big")
        return bytes(found)


def _values(record: bytes, encoding: str) -> tuple[Value, ...]:
    """Return the values of a record (section 2.1)."""
    end, at = _varint(record, 0)
    if end > len(record):
        raise ValueError("a record whose head is longer than it is")
    kinds = []
    while at < end:
        kind, at = _varint(record, at)
        kinds.append(kind)
    found: list[Value] = []
    for kind in kinds:
        size = _SIZES.get(kind, (kind - 12) // 2)
        piece = record[at : at + size]
        if kind in {10, 11} or len(piece) != size:
            raise ValueError("a value that is cut off, or of no kind that there is")
        at += size
        found.append(_value(kind, piece, encoding))
    return tuple(found)


def _value(kind: int, piece: bytes, encoding: str) -> Value:
    if kind == 0:
        return None
    if kind in {8, 9}:  # the numbers 0 and 1
        return kind - 8
    if kind == 7:  # a float, of which none is needed here
        return float("nan")
    if kind < 7:  # a whole number
        return int.from_bytes(piece, "big", signed=True)
    return piece.decode(encoding, "replace") if kind % 2 else piece


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where it ends (section 1.6)."""
    value = 0
    for place in range(at, at + 8):
        if place >= len(data):
            raise ValueError("a number that is cut off")
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:  # the highest bit says that more follows
            return value, place + 1
    if at + 8 >= len(data):
        raise ValueError("a number that is cut off")
    return value << 8 | data[at + 8], at + 9
