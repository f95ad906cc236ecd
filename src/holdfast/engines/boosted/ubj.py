"""UBJSON (draft 12) into plain values: what XGBoost writes since 1.6. The scanner has judged the bytes before."""

import struct
from typing import Any, Final

from holdfast.engines.boosted.trees import CannotError

MAX_DEPTH: Final = 64  # values inside one another; a model of XGBoost has about ten
_CODES: Final = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
_ATOMS: Final[dict[str, Any]] = {"Z": None, "T": True, "F": False}


def read(data: bytes) -> Any:
    """Return the value in a document.

    Raises:
        CannotError: It is none, or breaks off.
    """
    try:
        reader = _Reader(data)
        return reader.value(reader.marker(), 0)
    except (struct.error, UnicodeDecodeError, KeyError) as error:
        raise CannotError("the UBJSON cannot be read") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def marker(self) -> str:
        found = self._take(1).decode("ascii")
        return found if found != "N" else self.marker()  # padding

    def value(self, marker: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise CannotError("the UBJSON is nested too deeply")
        if marker in _ATOMS:
            return _ATOMS[marker]
        if marker in _CODES:
            return self._number(marker)
        if marker == "S":
            return self._text()
        if marker == "C":
            return self._take(1).decode("ascii")
        if marker not in "{[":
            raise CannotError(f"the UBJSON holds {marker!r}, which is no value")
        kind, count = self._head()
        return self._table(kind, count, depth) if marker == "{" else self._row(kind, count, depth)

    def _head(self) -> tuple[str, int | None]:
        kind, count = "", None
        if self._peek() == "$":
            self._at += 1
            kind = self._take(1).decode("ascii")
        if self._peek() == "#":
            self._at += 1
            count = self._number(self.marker())
        return kind, count

    def _row(self, kind: str, count: int | None, depth: int) -> list[Any]:
        if count is not None and kind in _CODES:
            code = _CODES[kind]
            data = self._take(count * struct.calcsize(code))
            return list(struct.unpack(f">{count}{code[1]}", data))
        found: list[Any] = []
        while count is None or len(found) < count:
            if count is None and self._peek() == "]":
                self._at += 1
                break
            found.append(self.value(kind or self.marker(), depth + 1))
        return found

    def _table(self, kind: str, count: int | None, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        read = 0
        while count is None or read < count:
            if count is None and self._peek() == "}":
                self._at += 1
                break
            key = self._text()
            found[key] = self.value(kind or self.marker(), depth + 1)
            read += 1
        return found

    def _text(self) -> str:
        return self._take(int(self._number(self.marker()))).decode("utf-8")

    def _number(self, marker: str) -> Any:
        code = _CODES[marker]
        return struct.unpack(code, self._take(struct.calcsize(code)))[0]

    def _peek(self) -> str:
        return chr(self._data[self._at]) if self._at < len(self._data) else ""

    def _take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._data):
            raise CannotError("the UBJSON breaks off")
        self._at += count
        return self._data[self._at - count : self._at]
