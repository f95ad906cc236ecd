"""Flat JSON: an object as text by name, so that rows of an API, a stream and a file mean the same.

Objects inside are flattened with points, lists kept as JSON text. Numbers stay the text they are written as: nothing is
rounded on the way. An object that names something twice is refused, because two readers could read two things.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

MAX_DEPTH: Final = 8  # of objects inside objects; deeper is a document, not a row
MAX_VALUES: Final = 2_000  # of one object, as of one table's columns


class _NotARow(Exception):
    """Why a line is no row, in words."""


def parse(text: bytes | str) -> Any:
    """Return what a JSON text says, its numbers as the text they are written as.

    Raises:
        ValueError: It is no JSON, or an object names something twice; the message says which.
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_float=str, parse_int=str, parse_constant=_refuse)
    except (ValueError, RecursionError, _NotARow) as error:
        words = error.args[0] if isinstance(error, _NotARow) else "not JSON"
        raise ValueError(words) from error


def record(text: bytes | str) -> dict[str, str | None]:
    """Return one object as text by name.

    Raises:
        ValueError: It is no such object; the message says why.

    >>> record('{"id": 7, "price": {"net": 1.10}, "tags": ["a"]}')
    {'id': '7', 'price.net': '1.10', 'tags': '["a"]'}
    """
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the line is wrong, whatever its type
    return flattened(value)


def flattened(value: Mapping[str, Any]) -> dict[str, str | None]:
    """Return an object's values as text, those of objects inside under names with points.

    Raises:
        ValueError: It is too deep, too wide, or two values would have one name.
    """
    found: dict[str, str | None] = {}
    _flatten(value, "", found, 0)
    return found


def _flatten(value: Mapping[str, Any], prefix: str, found: dict[str, str | None], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"objects inside one another, more than {MAX_DEPTH} deep")
    for key, each in value.items():
        name = f"{prefix}{key}"
        if isinstance(each, dict):
            _flatten(each, f"{name}.", found, depth + 1)
            continue
        if name in found:
            raise ValueError("two values have one name")  # which may be somebody's address: it is not told
        if len(found) >= MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        found[name] = text = as_text(each)
        _check_whole(name)
        _check_whole(text or "")


def _check_whole(text: str) -> None:
    """Refuse half of a character: an escape of JSON can say one, and no table can hold it."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("half a character (a lone surrogate)") from None


def as_text(value: Any) -> str | None:
    """Return a value as the text that CSV would hold."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else json.dumps(value, ensure_ascii=False)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotARow("an object names something twice")
    return found


def _refuse(text: str) -> Any:
    raise _NotARow(f"{text} is no number of JSON")
