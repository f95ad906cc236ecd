"""FlatBuffers without a schema compiler: tables, texts and vectors, each offset checked before it is followed.

After the FlatBuffers internals page. Nothing is copied; a table is the offset at which it stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.engines.scan.models.binary import number, piece
from holdfast.engines.scan.wire import Malformed

MAX_ROW: Final = 4_000_000  # elements of a vector of tables or texts


@dataclass(frozen=True, slots=True)
class Buffer:
    """A buffer, and where in the content it begins, so that damage is reported at a place of the content."""

    view: memoryview
    begin: int = 0

    def root(self, at: int = 0) -> int:
        """Return the root table."""
        return self._follow(at)

    def field(self, table: int, index: int) -> int | None:
        """Return where a field of a table stands, or nothing where the table does not have it.

        Raises:
            Malformed: The table, or what describes it, lies outside of the buffer.
        """
        distance = self._number(table, 4)
        described = table - (distance - (1 << 32) if distance >> 31 else distance)
        size = self._number(described, 2)
        slot = 4 + 2 * index
        if slot + 2 > size:
            return None
        offset = self._number(described + slot, 2)
        if offset >= self._number(described + 2, 2) and offset:
            raise Malformed(self.begin + table, f"a field at {offset} outside of its table")
        return table + offset if offset else None

    def whole(self, table: int, index: int, size: int = 4, default: int = 0) -> int:
        """Return a field that is a number without a sign."""
        at = self.field(table, index)
        return default if at is None else self._number(at, size)

    def table(self, table: int, index: int) -> int | None:
        """Return a field that is a table."""
        at = self.field(table, index)
        return None if at is None else self._follow(at)

    def text(self, table: int, index: int) -> bytes:
        """Return a field that is a text, or nothing."""
        at = self.field(table, index)
        return b"" if at is None else self._text(at)

    def vector(self, table: int, index: int, size: int) -> tuple[int, int]:
        """Return where the elements of a field that is a vector begin, and how many there are.

        Raises:
            Malformed: They do not fit into the buffer.
        """
        at = self.field(table, index)
        if at is None:
            return 0, 0
        start = self._follow(at)
        count = self._number(start, 4)
        try:
            piece(self.view, start + 4, count * size)
        except Malformed as error:
            raise Malformed(self.begin + start, f"a vector of {count} elements that the buffer cannot hold") from error
        return start + 4, count

    def numbers(self, table: int, index: int, code: str) -> list[int]:
        """Return the elements of a vector of whole numbers, by their code of `memoryview.cast`."""
        size = {"b": 1, "B": 1, "i": 4, "I": 4, "q": 8, "Q": 8}[code]
        start, count = self.vector(table, index, size)
        return list(memoryview(bytes(self.view[start : start + count * size])).cast(code))  # type: ignore[call-overload]

    def tables(self, table: int, index: int) -> Iterator[int]:
        """Yield the tables of a vector of tables."""
        for at in self._row(table, index):
            yield self._follow(at)

    def texts(self, table: int, index: int) -> Iterator[bytes]:
        """Yield the texts of a vector of texts."""
        for at in self._row(table, index):
            yield self._text(at)

    def _row(self, table: int, index: int) -> range:
        start, count = self.vector(table, index, 4)
        if count > MAX_ROW:
            raise Malformed(self.begin + start, f"a vector of {count} tables")
        return range(start, start + 4 * count, 4)

    def _text(self, at: int) -> bytes:
        start = self._follow(at)
        size = self._number(start, 4)
        try:
            return bytes(piece(self.view, start + 4, size))
        except Malformed as error:
            raise Malformed(self.begin + start, f"a text of {size} bytes that the buffer cannot hold") from error

    def _follow(self, at: int) -> int:
        target = at + self._number(at, 4)
        if target + 4 > len(self.view):
            raise Malformed(self.begin + at, "an offset that leads out of the buffer")
        return target

    def _number(self, at: int, size: int) -> int:
        try:
            return number(self.view, at, size)
        except Malformed as error:
            raise Malformed(self.begin + max(0, min(at, len(self.view))), "an offset out of the buffer") from error
