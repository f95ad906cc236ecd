"""Where a TOML document does not fit its type, for whoever wrote it: the line, the name, and what would fit.

msgspec says which value does not fit and where, but of a table by name not at which name, and of a key that nobody
knows not which one may have been meant.
"""

import re
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from msgspec.inspect import (
    DictType,
    EnumType,
    ListType,
    LiteralType,
    Metadata,
    NoneType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

_PATH: Final = re.compile(r"`\$((?:\.[^.`\[\]]+|\[[^\]]*\])*)`")
_STEP: Final = re.compile(r"\.[^.`\[\]]+|\[[^\]]*\]")
_UNKNOWN: Final = re.compile(r"unknown field `([^`]+)`")
_SOME: Final = "[...]"  # how msgspec points into a table by name: it does not say at which


def _steps(message: str) -> list[str]:
    path = _PATH.search(message)
    return _STEP.findall(path[1]) if path else []


def named(raw: Any, message: str, kind: type) -> str:
    """Return msgspec's message with the names of tables in it that msgspec leaves out.

    Args:
        raw: The document.
        message: Why it is not of a kind.
        kind: What it should have been.
    """
    info: Type | None = type_info(kind)
    at, path = raw, ""
    for step in _steps(message):
        names = [name for name, value in at.items() if not _fits(value, info)] if isinstance(at, dict) else []
        known = f".{names[0]}" if step == _SOME and names else step
        at, info = at.get(known[1:]) if isinstance(at, dict) else None, _below(info, known)
        path += known
    return _PATH.sub(lambda _: f"`${path}`", message)


def _fits(value: Any, table: Type | None) -> bool:
    """Say whether one value of a table by name is what it must be, as far as that can be told."""
    kind = _bare(table.value_type) if isinstance(table, DictType) else None
    if not isinstance(kind, StructType):
        return True
    try:
        msgspec.convert(value, kind.cls)
    except msgspec.ValidationError:
        return False
    return True


def expected(message: str, kind: type) -> str:
    """Return what may stand where there is something else: the keys of a table, the nearest first, or a choice's words.

    >>> from holdfast.core.project import Project
    >>> expected("Object contains unknown field `sensitivty` - at `$.risk`", Project)[:40]
    'sensitivity (of sensitivity, exposure, s'
    >>> expected("Invalid enum value 'cvs' - at `$.data.format`", Project)
    'csv, jsonl, parquet, sources'
    """
    info: Type | None = type_info(kind)
    for step in _steps(message):
        info = _below(info, step)
    info, unknown = _bare(info), _UNKNOWN.search(message)
    if unknown and isinstance(info, StructType):
        names = [field.encode_name for field in info.fields]
        near = get_close_matches(unknown[1], names, 1)
        return f"{near[0]} (of {', '.join(names)})" if near else ", ".join(names)
    if isinstance(info, EnumType):
        return ", ".join(str(each.value) for each in info.cls)
    return ", ".join(sorted(map(str, info.values))) if isinstance(info, LiteralType) else ""


def _below(info: Type | None, step: str) -> Type | None:
    """Return the type at one step of a path into another one; None where that cannot be told."""
    match _bare(info):
        case StructType(fields=fields):
            return next((field.type for field in fields if field.encode_name == step[1:]), None)
        case DictType(value_type=value):
            return value
        case ListType(item_type=item) | VarTupleType(item_type=item):
            return item
    return None


def _bare(info: Type | None) -> Type | None:
    """Return a type without what it is annotated with, and without the word that there may be none."""
    while isinstance(info, Metadata):
        info = info.type
    if not isinstance(info, UnionType):
        return info
    others = [each for each in info.types if not isinstance(each, NoneType)]
    return _bare(others[0]) if len(others) == 1 else info


def line(text: bytes, message: str) -> str:
    """Return `:line` of the key a message points at, or of the nearest table around it, or nothing."""
    path, unknown = _PATH.search(message), _UNKNOWN.search(message)
    keys = [key for key in re.split(r"[.\[\]]", path[1]) if key and key != "..."] if path else []
    keys += [unknown[1]] if unknown else []
    lines = text.decode(errors="replace").splitlines()
    for depth in range(len(keys), 0, -1):
        found = _find(lines, ".".join(keys[: depth - 1]), keys[depth - 1])
        if found:
            return f":{found}"
    return ""


def _find(lines: list[str], table: str, key: str) -> int:
    """Return the line of `key` inside `[table]`, or of the table `[table.key]` itself, or 0."""
    full, inside = f"{table}.{key}".strip("."), table == ""
    for number, line in enumerate(lines, 1):
        bare = line.partition("#")[0].strip()
        if bare.startswith("["):
            name = bare.strip("[] ").replace('"', "")
            if name == full:
                return number
            inside = name == table
        elif inside and re.match(rf'"?{re.escape(key)}"?\s*=', bare):
            return number
    return 0
