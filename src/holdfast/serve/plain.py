"""The plain `/predict`: what a request of rows by name says, from its bytes.

A body of many rows is decoded into a type made for the model, whose fields are its inputs: in half the time of
dictionaries. Whatever that type does not take, or whatever has more colons than its members need, is read again name by
name, which finds out what is wrong with it, and alone says so.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from holdfast.serve.counting import count_up_to
from holdfast.serve.protocol import Malformed, check_distinct, words_of

MOST_MODELS: Final = 64  # whose types are kept


class _Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    rows: list[dict[str, float]]


class _TextRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    rows: list[dict[str, float | str]]


_ROWS: Final = msgspec.json.Decoder(_Rows)
_TEXT_ROWS: Final = msgspec.json.Decoder(_TextRows)


def decode_rows(body: bytes, names: Sequence[str]) -> list[float]:
    """Return the values of a plain request flat, in row-major order and the order of `names`.

    Raises:
        Malformed: It is no list of rows whose keys are exactly these names, each once.
    """
    found = _by_field(body, tuple(names))
    if found is not None:
        return found
    rows = _named_rows(body, names)
    return [row[name] for row in rows for name in names]


def decode_named_rows(body: bytes) -> list[dict[str, Any]]:
    """Return the rows of a plain request whose values are numbers, as floats, or texts; which names they have, is open.

    Raises:
        Malformed: It is no list of rows, or a row gives a name twice.
    """
    return _each_once(_TEXT_ROWS, body)


def _by_field(body: bytes, names: tuple[str, ...]) -> list[float] | None:
    """Return the values of a body whose rows have exactly these names, each once; None of every other."""
    decoder = _decoder(names)
    if decoder is None:
        return None
    try:
        rows = decoder.decode(body).rows
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    # A type keeps the last of two members of one name. No name holds a colon, so a second member is a colon too many.
    members = 1 + len(rows) * len(names)
    if count_up_to(body, b":", members) != members:
        return None
    return list(chain.from_iterable(map(astuple, rows)))


@lru_cache(maxsize=MOST_MODELS)
def _decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any] | None:
    """Return a decoder of rows with these names; None where msgspec makes no type of them, or one holds a colon."""
    if not names or any(":" in name for name in names):
        return None
    fields = [f"f{number}" for number in range(len(names))]
    try:
        row = msgspec.defstruct(
            "Row",
            [(field, float) for field in fields],
            rename=dict(zip(fields, names, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
    except ValueError:  # a quote, a backslash or a control character
        return None
    rows = msgspec.defstruct("Rows", [("rows", list[row])], forbid_unknown_fields=True, gc=False)  # type: ignore[valid-type]
    return msgspec.json.Decoder(rows)


def _each_once(decoder: Any, body: bytes) -> list[dict[str, Any]]:
    """Return the rows in a body, each with each of its names once."""
    try:
        rows: list[dict[str, Any]] = decoder.decode(body).rows
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(words_of_rows(body, error, texts=decoder is _TEXT_ROWS)) from None
    members = 1 + sum(map(len, rows))
    if count_up_to(body, b":", members) != members:  # none takes less than one: with no more, none is given twice
        check_distinct(body)
    return rows


def words_of_rows(body: bytes, error: Exception, *, texts: bool = False) -> str:
    """Return what is wrong with a plain body that could not be decoded: by name and row, where it is a value."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return words_of(error)
    rows = found.get("rows") if isinstance(found, dict) else None
    for number, row in enumerate(rows if isinstance(rows, list) else ()):
        for name, value in row.items() if isinstance(row, dict) else ():
            if value is None:
                return f"in row {number}, {name[:80]!r} is null: no value may be missing"
            if isinstance(value, bool | list | dict) or (isinstance(value, str) and not texts):
                return f"in row {number}, {name[:80]!r} is not a number" + (" or a text" if texts else "")
    return words_of(error)


def _named_rows(body: bytes, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows in a body, each with exactly these names."""
    rows = _each_once(_ROWS, body)
    wanted = set(names)
    for number, row in enumerate(rows):
        if row.keys() != wanted:
            missing, unknown = [name for name in names if name not in row], len(row.keys() - wanted)
            such = f", the first missing is {missing[0]!r}" if missing else ""
            raise Malformed(f"in row {number}, {len(missing)} inputs are missing and {unknown} are unknown{such}")
    return rows
