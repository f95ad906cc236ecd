"""Contracts as written: the Open Data Contract Standard v3.1 in YAML, and the same as tables of a project file.

Decides how columns and checks are said in each; what is written is read back the same (`odcs`, `core.project`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from holdfast.core.checks import Check
from holdfast.core.schema import Column, ColumnType, Use
from holdfast.engines.odcs import BOUNDS, ENGINE, PREFIX, DataContract

API_VERSION: Final = "v3.1.0"
_EXACT: Final = 2**53  # below it a 64-bit float holds every whole number
Tree: TypeAlias = "str | int | float | bool | Mapping[str, Tree] | Sequence[Tree]"
_LOGICAL: Final = {
    ColumnType.STRING: "string",
    ColumnType.CATEGORY: "string",
    ColumnType.FLOAT: "number",
    ColumnType.INTEGER: "integer",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TIMESTAMP: "timestamp",
}
_LIBRARY: Final = {"nulls": "nullValues", "missing": "missingValues", "invalid": "invalidValues", "rows": "rowCount"}


def write_contract(contract: DataContract) -> str:
    """Return a contract as YAML of the standard."""
    table: dict[str, Tree] = {
        "name": contract.table or "table",
        "logicalType": "object",
        "properties": [_property(name, column, contract) for name, column in contract.columns.items()],
    }
    whole = [_quality(check) for check in contract.checks if not _on_property(check)]
    if whole:
        table["quality"] = whole
    tree: dict[str, Tree] = {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": contract.id,
        "name": contract.name or contract.id,
        "version": contract.version,
        "status": contract.status,
        "schema": [table],
    }
    return "\n".join(_yaml(tree, 0)) + "\n"


def write_tables(columns: Mapping[str, Column], checks: Sequence[Check]) -> str:
    """Return columns and checks as TOML: `[data.columns]` and `[[data.checks]]`."""
    lines = ["[data.columns]"]
    lines += [f"{_key(name)} = {_inline(_fields(column))}" for name, column in columns.items()]
    for check in checks:
        lines += ["", "[[data.checks]]", *(f"{key} = {_toml(value)}" for key, value in _fields(check).items())]
    return "\n".join(lines) + "\n"


def _fields(item: Column | Check) -> dict[str, Any]:
    """Return what is said of something, without what would be so anyway."""
    kept = dict[str, Any]()
    for known in msgspec.structs.fields(item):
        value = getattr(item, known.name)
        if known.required or value != known.default:
            kept[known.name] = value
    return kept


def _property(name: str, column: Column, contract: DataContract) -> dict[str, Tree]:
    options: dict[str, Tree] = {}
    if column.minimum is not None:
        options["minimum"] = column.minimum
    if column.maximum is not None:
        options["maximum"] = column.maximum
    made: dict[str, Tree] = {"name": name, "logicalType": _LOGICAL[column.type], "required": not column.nullable}
    if column.use is Use.ID:
        made["primaryKey"] = True
    if options:
        made["logicalTypeOptions"] = options
    if column.description:
        made["description"] = column.description
    if column.sensitivity is not None:
        made["classification"] = str(column.sensitivity)
    if name in contract.critical:
        made["criticalDataElement"] = True
    quality = [_allowed(column)] if column.allowed else []
    quality += [_quality(check) for check in contract.checks if _on_property(check) and check.columns == (name,)]
    if quality:
        made["quality"] = quality
    said = {"use": str(column.use), "unit": column.unit, "describedBy": column.described_by}
    said |= {"type": str(column.type)} if column.type is ColumnType.CATEGORY or column.allowed else {}
    said |= {"draft": "true"} if column.draft else {}
    made["customProperties"] = [{"property": PREFIX + key, "value": value} for key, value in said.items() if value]
    return made


def _allowed(column: Column) -> dict[str, Tree]:
    mine: Tree = [{"property": f"{PREFIX}of", "value": "rows"}]
    return {
        "metric": "invalidValues",
        "arguments": {"validValues": list(column.allowed)},
        "mustBe": 0,
        "customProperties": mine,
    }


def _on_property(check: Check) -> bool:
    return len(check.columns) == 1 and check.kind not in {"rule", "rows"}


def _quality(check: Check) -> dict[str, Tree]:
    """Return a check as a metric of the library where there is one that means the same, else as one of ours."""
    made: dict[str, Tree] = {"name": check.name}
    if check.because:
        made["description"] = check.because
    made["severity"] = "warning" if check.soft else "error"
    metric, bound = _LIBRARY.get(check.kind), _bound(check)
    if metric is None or bound is None:
        body = {key: value for key, value in _fields(check).items() if key not in {"name", "soft", "because"}}
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in body.items()}
        return made | {"type": "custom", "engine": ENGINE, "implementation": plain}
    arguments: dict[str, Tree] = {}
    if check.values:
        arguments["missingValues" if check.kind == "missing" else "validValues"] = list(check.values)
    if check.pattern:
        arguments["pattern"] = f"^{check.pattern}$"
    return made | {"type": "library", "metric": metric} | ({"arguments": arguments} if arguments else {}) | bound


def _bound(check: Check) -> dict[str, Tree] | None:
    """Return a check's bounds by one operator of the standard, which takes no more."""
    single = {ours: theirs for theirs, ours in BOUNDS.items()}
    named = {key: value for key in single if (value := getattr(check, key)) is not None}
    if check.never is not None:
        return {"mustNotBeBetween": list(check.never)} if not named else None
    if named.keys() == {"at_least", "at_most"}:
        low, high = named["at_least"], named["at_most"]
        return {"mustBe": low} if low == high else {"mustBeBetween": [low, high]}
    return {single[key]: value for key, value in named.items()} if len(named) == 1 else None


def _yaml(tree: Tree, depth: int) -> Iterator[str]:
    """Yield the lines of mappings and lists; every text stands in quotes, so that none is taken for something else."""
    pad = "  " * depth
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str)):
                if not value:
                    continue
                yield f"{pad}{key}:"
                yield from _yaml(value, depth + 1)
            else:
                yield from _line(f"{pad}{key}:", value, depth + 1)
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        for item in tree:
            if isinstance(item, Mapping):
                first, *rest = _yaml(item, depth + 1)
                yield f"{pad}- {first.lstrip()}"
                yield from rest
            else:
                yield from _line(f"{pad}-", item, depth + 1)


def _line(head: str, value: Tree, depth: int) -> Iterator[str]:
    if isinstance(value, bool):
        yield f"{head} {'true' if value else 'false'}"
    elif isinstance(value, int | float):
        yield f"{head} {_decimal(value)}"
    elif isinstance(value, str) and "\n" in value.strip():
        yield f"{head} |-"
        yield from (f"{'  ' * depth}{row}".rstrip() for row in _printable(value).strip().split("\n"))
    else:
        plain = _printable(str(value)).replace("\n", " ").replace("'", "''")
        yield f"{head} '{plain}'"


def _decimal(value: float) -> str:
    """Return a number as YAML 1.1 reads it: whole ones without a point, an exponent only behind one, and signed."""
    if float(value).is_integer() and abs(value) < _EXACT:
        return str(int(value))
    digits, exponent, power = repr(float(value)).partition("e")
    signed = power if power.startswith("-") else f"+{power.lstrip('+')}"
    return f"{digits if '.' in digits else f'{digits}.0'}{exponent}{signed if exponent else ''}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else _toml(name)


def _inline(fields: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {_toml(value)}" for key, value in fields.items()) + " }"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)
