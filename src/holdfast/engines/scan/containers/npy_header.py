"""The header of an npy file, read by a parser of its own: a dictionary of three keys, and a type's description.

numpy evaluates this text as a Python literal. Here nothing is evaluated: what is not exactly what numpy writes is
refused (NEP 1, and `numpy.lib.format`).
"""

import re
from dataclasses import dataclass
from math import prod
from typing import Final, TypeAlias

MAGIC: Final = b"\x93NUMPY"
MAX_HEADER: Final = 1 << 20  # bytes; numpy itself reads at most 10,000 from files it does not trust
MAX_NESTED: Final = 16  # types inside types
MAX_DIMENSIONS: Final = 64  # numpy has no more
MAX_BYTES: Final = 1 << 62  # of one array: beyond, sizes have wrapped around

_TOKEN: Final = re.compile(r"\s*([{}()\[\],:]|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|\d{1,19}L?|True|False)\s*")
_SIMPLE: Final = re.compile(
    r"[<>|=]?(?:([biufcSaUV])(\d{1,9})|([mM])8(?:\[\d*[A-Za-zμ]{1,8}(?:/\d+)?\])?|(\?)|(O)8?|([bB]))"
)
_ESCAPE: Final = re.compile(r"\\.")

Value: TypeAlias = "str | int | bool | tuple[Value, ...] | list[Value]"


class Refused(ValueError):
    """A header that numpy does not write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NpyHeader:
    """What a header says of the array behind it."""

    end: int  # where the array begins
    item: int  # bytes of one element
    count: int  # elements
    objects: bool  # elements are Python objects: a pickle stands behind the header


def read(view: memoryview, at: int) -> NpyHeader:
    """Return the header of the npy file at an offset.

    Raises:
        Refused: It is cut off, or not what numpy writes.
    """
    version = tuple(view[at + 6 : at + 8])
    if version not in {(1, 0), (2, 0), (3, 0)}:
        raise Refused(f"version {version}")
    wide = 2 if version == (1, 0) else 4
    start = at + 8 + wide
    size = int.from_bytes(view[at + 8 : start], "little")
    if size > MAX_HEADER:
        raise Refused(f"a header of {size} bytes; at most {MAX_HEADER} are read")
    if start + size > len(view):
        raise Refused("a header that is cut off")
    try:
        text = bytes(view[start : start + size]).decode("utf-8" if version == (3, 0) else "latin-1")
    except UnicodeDecodeError:
        raise Refused("a header that is not UTF-8") from None
    fields = _Parser(text).header()
    shape, descr = fields["shape"], fields["descr"]
    if not isinstance(shape, tuple) or not isinstance(fields["fortran_order"], bool):
        raise Refused("a shape or order of another kind")
    item, objects = _type(descr, 0)
    count = prod(_sizes(shape))
    if item * count > MAX_BYTES:
        raise Refused(f"an array of {item * count:.3g} bytes")
    return NpyHeader(end=start + size, item=item, count=count, objects=objects)


def _sizes(shape: tuple[Value, ...]) -> list[int]:
    sizes = [size for size in shape if isinstance(size, int) and not isinstance(size, bool)]
    if len(sizes) > MAX_DIMENSIONS:
        raise Refused(f"{len(sizes)} dimensions")
    if len(sizes) != len(shape):
        raise Refused("a shape that is not of numbers")
    return sizes


def _type(descr: Value, depth: int) -> tuple[int, bool]:
    """Return the bytes of one element of a type, and whether it holds Python objects."""
    if depth > MAX_NESTED:
        raise Refused(f"types nested deeper than {MAX_NESTED}")
    if isinstance(descr, str):
        return _simple(descr)
    if isinstance(descr, tuple) and len(descr) == 2 and isinstance(descr[1], tuple):  # a type and its own shape
        item, objects = _type(descr[0], depth + 1)
        return item * prod(_sizes(descr[1])), objects
    if not isinstance(descr, list):
        raise Refused("a type that is neither a word nor a list of fields")
    total, any_objects = 0, False
    for field in descr:
        if not isinstance(field, tuple) or len(field) not in {2, 3}:
            raise Refused("a field that is not a name and a type")
        item, objects = _type(field[1], depth + 1)
        if len(field) == 3:
            shape = field[2] if isinstance(field[2], tuple) else (field[2],)
            item *= prod(_sizes(shape))
        total, any_objects = total + item, any_objects or objects
    return total, any_objects


def _simple(name: str) -> tuple[int, bool]:
    found = _SIMPLE.fullmatch(name)
    if not found:
        raise Refused("a type that numpy does not have")
    kind, size, date, flag, objects, letter = found.groups()
    if kind:
        return int(size) * (4 if kind == "U" else 1), False
    return (8 if date or objects else 1 if flag or letter else 0), bool(objects)


class _Parser:
    """Literals of strings, numbers, truth, tuples and lists, one word after the other."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def header(self) -> dict[str, Value]:
        """Return the three fields."""
        fields = dict[str, Value]()
        self._expect("{")
        while (word := self._next()) != "}":
            key = _string(word)
            self._expect(":")
            if key in fields:
                raise Refused(f"{key} twice")
            fields[key] = self._value(self._next(), 0)
            if (word := self._next()) == "}":
                break
            if word != ",":
                raise Refused("fields without a comma between them")
        if self.text[self.at :].strip():
            raise Refused("something behind the dictionary")
        if set(fields) != {"descr", "fortran_order", "shape"}:
            raise Refused("other fields than descr, fortran_order and shape")
        return fields

    def _next(self) -> str:
        found = _TOKEN.match(self.text, self.at)
        if not found:
            raise Refused("a header that is no dictionary of literals")
        self.at = found.end()
        return found.group(1)

    def _expect(self, word: str) -> None:
        if self._next() != word:
            raise Refused("a header that is no dictionary of literals")

    def _value(self, word: str, depth: int) -> Value:
        if depth > 2 * MAX_NESTED:
            raise Refused("literals nested too deep")
        if word in {"(", "["}:
            return self._sequence(")" if word == "(" else "]", depth)
        if word in {"True", "False"}:
            return word == "True"
        if word[0].isdigit():
            return int(word.rstrip("L"))
        return _string(word)

    def _sequence(self, closing: str, depth: int) -> Value:
        values, word, comma = list[Value](), self._next(), False
        while word != closing:
            values.append(self._value(word, depth + 1))
            word, comma = self._next(), False
            if word == ",":
                word, comma = self._next(), True
            elif word != closing:
                raise Refused("values without a comma between them")
        if closing == "]":
            return values
        return values[0] if len(values) == 1 and not comma else tuple(values)


def _string(word: str) -> str:
    if word[:1] not in {"'", '"'}:
        raise Refused("a header that is no dictionary of literals")
    return _ESCAPE.sub("?", word[1:-1])
