"""Where the row groups of a Parquet file lie, read from its footer (Thrift compact protocol, parquet.thrift).

Decides byte ranges only, for hashing: no value is decoded and no length believed beyond the bytes that are there. What
may stand in the columns is for whoever reads the table.
"""

from dataclasses import dataclass
from typing import Any, Final

from holdfast.core.errors import InvalidData

MAGIC: Final = b"PAR1"
MAX_DEPTH: Final = 16  # nested structures of a footer; the format has six
MAX_ITEMS: Final = 1 << 20  # columns times row groups of one file; more is an attack on memory
_TAIL: Final = 8  # bytes: the length of the footer, and the magic
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_ROW_GROUPS, _COLUMNS, _NUM_ROWS, _META = 4, 1, 3, 3  # fields of FileMetaData, RowGroup, RowGroup and ColumnChunk
_DATA_PAGE, _DICTIONARY_PAGE = 9, 11  # fields of ColumnMetaData: offsets


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A row group: where its first page begins, and how many rows it has."""

    start: int
    rows: int


def row_groups(data: bytes | memoryview) -> tuple[Group, ...]:
    """Return the row groups of a Parquet file in order; the last one ends where the footer begins.

    Raises:
        InvalidData: These bytes are not a Parquet file, or its footer cannot be read.
    """
    view = memoryview(data)
    if len(view) < len(MAGIC) + _TAIL or bytes(view[:4]) != MAGIC or bytes(view[-4:]) != MAGIC:
        raise InvalidData("this is not a Parquet file: its magic bytes are missing")
    size = int.from_bytes(view[-8:-4], "little")
    if size > len(view) - len(MAGIC) - _TAIL:
        raise InvalidData("the footer of this Parquet file is longer than the file")
    try:
        footer = _Reader(view[-_TAIL - size : -_TAIL]).struct(0)
        groups = tuple(_group(each) for each in footer.get(_ROW_GROUPS, ()))
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidData(f"the footer of this Parquet file cannot be read: {error}") from error
    starts = [group.start for group in groups]
    if starts != sorted(set(starts)) or any(start >= len(view) - _TAIL - size for start in starts):
        raise InvalidData("the row groups of this Parquet file overlap or lie outside it")
    return groups


def footer_start(data: bytes | memoryview) -> int:
    """Return where the footer of a Parquet file begins, once `row_groups` has read it."""
    return len(data) - _TAIL - int.from_bytes(memoryview(data)[-8:-4], "little")


def _group(fields: dict[int, Any]) -> Group:
    pages = [
        offset
        for column in fields[_COLUMNS]
        for offset in (column[_META].get(_DICTIONARY_PAGE), column[_META][_DATA_PAGE])
        if offset
    ]
    return Group(start=min(pages), rows=fields[_NUM_ROWS])


class _Reader:
    """A reader of the Thrift compact protocol: structures as dictionaries by field number."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at, self._items = data, 0, 0

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self._zigzag()
            fields[number] = self._value(kind, depth, inside=False)
        return fields

    def _value(self, kind: int, depth: int, *, inside: bool) -> Any:
        if kind in {_TRUE, _FALSE}:
            return (self._byte() == _TRUE) if inside else kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind in {_I16, _I32, _I64}:
            return self._zigzag()
        if kind == _DOUBLE:
            return self._take(8)
        if kind == _BINARY:
            return self._take(self._varint())
        if kind in {_LIST, _SET}:
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise ValueError(f"type {kind} stands where a footer has none")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        count = self._varint() if count == 15 else count
        self._items += count
        if self._items > MAX_ITEMS:
            raise ValueError("more items than a footer can have")
        return [self._value(kind, depth + 1, inside=True) for _ in range(count)]

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise ValueError("a text ends beyond the footer")
        self._at += size
        return bytes(self._data[self._at - size : self._at])

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number without end")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
