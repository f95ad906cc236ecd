"""Data contracts of the Open Data Contract Standard (v3.0 and v3.1), read into columns and checks.

Decides what each part of the standard means here. Closed: what cannot be checked (SQL, other engines' checks, nested
types) is refused, unless whoever reads the contract names it as left out. Text rules and terms of service are for
people, and are listed. What is written is left to `odcs_writing`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from holdfast.core.checks import Check
from holdfast.core.errors import InvalidInput
from holdfast.core.planning import Sensitivity
from holdfast.core.schema import Column, ColumnType, Use
from holdfast.engines.plain_yaml import Value, read_yaml

MAX_CONTRACT: Final = 1 << 20  # bytes; a thousand documented columns take a fifth of it
VERSIONS: Final = ("v3.1", "v3.0")
ENGINE: Final = "holdfast"  # of custom checks that are ours
PREFIX: Final = "holdfast."  # of custom properties that are ours
TYPES: Final[Mapping[str, ColumnType]] = {
    "string": ColumnType.STRING,
    "number": ColumnType.FLOAT,
    "integer": ColumnType.INTEGER,
    "boolean": ColumnType.BOOLEAN,
    "timestamp": ColumnType.TIMESTAMP,
    "date": ColumnType.TIMESTAMP,
}
BOUNDS: Final[Mapping[str, str]] = {
    "mustBeGreaterThan": "above",
    "mustBeGreaterOrEqualTo": "at_least",
    "mustBeLessThan": "below",
    "mustBeLessOrEqualTo": "at_most",
}
SOFT: Final = frozenset({"info", "warning", "warn", "low", "soft"})  # severities that warn
_METRICS: Final = {
    "nullValues": ("nulls", "null_share"),
    "missingValues": ("missing", "missing_share"),
    "invalidValues": ("invalid", "invalid_share"),
    "duplicateValues": ("duplicates", "duplicate_share"),
    "rowCount": ("rows", ""),
}
_HOURS: Final = {"s": 1 / 3600, "m": 1 / 60, "min": 1 / 60, "h": 1.0, "hr": 1.0, "hours": 1.0, "d": 24.0, "days": 24.0}
_JDK: Final = {
    "yyyy": "%Y",
    "MM": "%m",
    "dd": "%d",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
    "SSS": "%f",
    "SSSSSS": "%f",
    "XXX": "%z",
    "hh": "%I",
    "a": "%p",
    "MMM": "%b",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataContract:
    """What a contract says of one table."""

    id: str
    version: str
    status: str
    table: str
    columns: Mapping[str, Column]
    checks: tuple[Check, ...]
    name: str = ""
    critical: tuple[str, ...] = ()
    timestamp_formats: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # what is not checked, because it was said so
    for_people: tuple[str, ...] = ()


@dataclass(slots=True)
class _Reading:
    """What is gathered while a contract is read."""

    columns: dict[str, Column] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    critical: list[str] = field(default_factory=list)
    formats: dict[str, None] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)  # by name: why it cannot be checked
    people: list[str] = field(default_factory=list)

    def add(self, check: Check) -> None:
        """Add a check under a name of its own."""
        names, name, count = {each.name for each in self.checks}, check.name, 2
        while name in names:
            name, count = f"{check.name}-{count}", count + 1
        self.checks.append(msgspec.structs.replace(check, name=name))


def read_contract(document: bytes, *, table: str = "", leave_out: Collection[str] = ()) -> DataContract:
    """Return what a contract says of a table.

    Args:
        document: YAML; JSON is not read.
        table: The table, where the contract is about several.
        leave_out: Names of checks that cannot be evaluated here and shall not be.

    Raises:
        InvalidInput: It is no such contract, or holds what cannot be checked and was not named as left out.
    """
    if len(document) > MAX_CONTRACT:
        raise InvalidInput(f"a contract of {len(document)} bytes", expected=f"at most {MAX_CONTRACT}")
    try:
        tree = read_yaml(document.decode("utf-8-sig"), people=True)
    except UnicodeDecodeError as error:
        raise InvalidInput("the contract is not UTF-8", expected="YAML in UTF-8") from error
    for key in ("version", "apiVersion", "kind", "id", "status"):
        if not _text(tree, key):
            raise InvalidInput(
                f"the contract has no {key}", expected="a contract of the Open Data Contract Standard v3.1"
            )
    if _text(tree, "kind") != "DataContract" or not _text(tree, "apiVersion").startswith(VERSIONS):
        words = f"a {_text(tree, 'kind')[:40]} of version {_text(tree, 'apiVersion')[:20]}"
        raise InvalidInput(words, expected="a DataContract of apiVersion v3.1.0 or v3.0.x")
    chosen, reading = _table(tree, table), _Reading()
    for item in _rows(chosen, "properties"):
        _property(item, reading)
    for quality in _rows(chosen, "quality"):
        _quality(quality, "", reading)
    for term in _rows(tree, "slaProperties"):
        _term(term, reading)
    unnamed = {name: why for name, why in reading.unknown.items() if name not in leave_out}
    if unnamed:
        name, why = next(iter(unnamed.items()))
        words = f"{len(unnamed)} parts of the contract cannot be checked; the first is {name!r}: {why}"
        raise InvalidInput(words, expected="parts that can be checked, or their names as left out")
    return DataContract(
        id=_text(tree, "id"),
        version=_text(tree, "version"),
        status=_text(tree, "status"),
        name=_text(tree, "name"),
        table=_text(chosen, "name"),
        columns=reading.columns,
        checks=tuple(reading.checks),
        critical=tuple(reading.critical),
        timestamp_formats=tuple(reading.formats),
        left_out=tuple(reading.unknown),
        for_people=tuple(reading.people),
    )


def _table(tree: Mapping[str, Value], wanted: str) -> Mapping[str, Value]:
    tables = {_text(item, "name"): item for item in _rows(tree, "schema")}
    if not tables:
        raise InvalidInput("the contract describes no table", expected="one under `schema`")
    if not wanted and len(tables) == 1:
        return next(iter(tables.values()))
    if wanted not in tables:
        raise InvalidInput(f"there is no table {wanted!r} in the contract", expected=f"one of {', '.join(tables)}")
    return tables[wanted]


def _property(item: Mapping[str, Value], reading: _Reading) -> None:
    name = _text(item, "name")
    if not name or name in reading.columns:
        raise InvalidInput(f"a property is called {name!r}", expected="a name for each")
    ours, kind = _ours(item), TYPES.get(_text(item, "logicalType"))
    if kind is None:
        reading.unknown[name] = f"its logicalType is {_text(item, 'logicalType') or 'not said'!r}"
        return
    before = len(reading.checks)
    allowed = tuple(_listed(ours.get("allowed", "")))
    bounds = _options(name, kind, item, reading)
    for quality in _rows(item, "quality"):
        if kind is ColumnType.STRING and _text(_ours(quality), "of") == "rows":
            allowed = tuple(_listed(_map(quality, "arguments").get("validValues", "")))
        else:
            _quality(quality, name, reading)
    if allowed or _text(ours, "type") == "category":
        kind = ColumnType.CATEGORY if _text(ours, "type") != "string" else kind
    use = _enumerated(Use, _text(ours, "use") or ("id" if _true(item, "primaryKey") else "feature"), name)
    if (
        not _text(ours, "use")
        and use is Use.FEATURE
        and kind not in {ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN}
    ):
        use = Use.IGNORED  # what a model cannot take as it is; `[data.uses]` says otherwise
    sensitivity = _text(ours, "sensitivity") or _text(item, "classification").lower()
    if _true(item, "unique"):
        reading.checks.insert(before, Check(name=f"{_plain(name)}-unique", kind="unique", columns=(name,)))
    if _true(item, "criticalDataElement"):
        reading.critical.append(name)
    reading.columns[name] = Column(
        type=kind,
        use=use,
        nullable=not (_true(item, "required") or _true(item, "primaryKey")),
        minimum=bounds.get("minimum"),
        maximum=bounds.get("maximum"),
        allowed=allowed,
        unit=_text(ours, "unit"),
        description=_text(item, "description").strip(),
        described_by=_text(ours, "describedBy"),
        draft=_text(ours, "draft") == "true",
        sensitivity=Sensitivity(sensitivity) if sensitivity in set(Sensitivity) else None,
    )


def _options(name: str, kind: ColumnType, item: Mapping[str, Value], reading: _Reading) -> dict[str, float]:
    """Return the bounds among a property's options; the others become checks."""
    bounds, length = dict[str, float](), dict[str, float]()
    for key, value in _map(item, "logicalTypeOptions").items():
        numeric = kind in {ColumnType.FLOAT, ColumnType.INTEGER}
        if key in {"minimum", "maximum"} and numeric:
            bounds[key] = _number(value, key)
        elif key in {"exclusiveMinimum", "exclusiveMaximum"} and numeric:
            rule = (
                f"`{name}` is missing or `{name}` {'>' if key.endswith('Minimum') else '<'} {_number(value, key):.17g}"
            )
            reading.add(Check(name=f"{_plain(name)}-{key}", kind="rule", rule=rule))
        elif key in {"minLength", "maxLength"}:
            length["at_least" if key == "minLength" else "at_most"] = _number(value, key)
        elif key == "pattern":
            reading.add(
                Check(name=f"{_plain(name)}-pattern", kind="pattern", columns=(name,), pattern=_whole(str(value)))
            )
        elif key == "format" and kind is ColumnType.TIMESTAMP and (made := _strptime(str(value))):
            reading.formats[made] = None
        elif key not in {"timezone", "defaultTimezone"} and not (key == "format" and kind is not ColumnType.TIMESTAMP):
            reading.unknown[f"{name}.{key}"] = "no check here means the same"
    if length:
        check = {"name": f"{_plain(name)}-length", "kind": "length", "columns": (name,), **length}
        reading.add(msgspec.convert(check, Check))
    return bounds


def _quality(item: Mapping[str, Value], column: str, reading: _Reading) -> None:
    """Add one quality rule, of a property or of the table."""
    kind = _text(item, "type") or "library"
    name = _plain(
        _text(item, "name") or _text(item, "id") or "-".join(filter(None, (column, _text(item, "metric") or kind)))
    )
    if kind == "text":
        reading.people.append(f"{name}: {_text(item, 'description')}".strip())
        return
    if kind == "custom" and _text(item, "engine") == ENGINE:
        reading.add(_custom(name, _map(item, "implementation"), item))
        return
    metric, words = _METRICS.get(_text(item, "metric") or _text(item, "rule")), _text(item, "metric")
    share = _text(item, "unit") == "percent"
    if kind != "library" or metric is None or not metric[share]:
        reading.unknown[name] = f"it is {kind} {words or _text(item, 'engine')}".strip()
        return
    arguments = _map(item, "arguments")
    columns = tuple(_listed(arguments.get("properties", ""))) or ((column,) if column else ())
    if metric[0] == "missing" and not arguments:
        metric = _METRICS["nullValues"]
    made: dict[str, Any] = {"name": name, "kind": metric[share], "soft": _text(item, "severity").lower() in SOFT}
    made |= {"columns": () if metric[0] == "rows" else columns, "because": _text(item, "description")[:300]}
    if values := _listed(arguments.get("missingValues", arguments.get("validValues", ""))):
        made["values"] = [value for value in values if value != "null"]
    if pattern := arguments.get("pattern"):
        made["pattern"] = _whole(str(pattern))
    reading.add(msgspec.convert(made | _bounds(item, name, 0.01 if share else 1.0), Check))


def _bounds(item: Mapping[str, Value], name: str, scale: float) -> dict[str, Any]:
    found = dict[str, Any]()
    for key, ours in BOUNDS.items():
        if key in item:
            found[ours] = _number(item[key], name) * scale
    if "mustBe" in item:
        found["at_least"] = found["at_most"] = _number(item["mustBe"], name) * scale
    if "mustNotBe" in item:
        value = _number(item["mustNotBe"], name) * scale
        found["never"] = (value, value)
    for key in ("mustBeBetween", "mustNotBeBetween"):
        if key in item:
            span = [_number(each, name) * scale for each in _listed(item[key])]
            if len(span) != 2:
                raise InvalidInput(f"{key} of {name!r} has {len(span)} numbers", expected="two")
            found |= {"at_least": span[0], "at_most": span[1]} if key == "mustBeBetween" else {"never": tuple(span)}
    if not found:
        raise InvalidInput(f"the check {name!r} has no bound", expected="mustBe, mustBeLessThan or another")
    return found


def _custom(name: str, body: Mapping[str, Value], item: Mapping[str, Value]) -> Check:
    """Return a check of ours, whose fields stand in a custom rule."""
    made: dict[str, Any] = {key: value for key, value in body.items() if key not in {"columns", "values", "never"}}
    made |= {key: _number(made[key], name) for key in ("at_least", "at_most", "above", "below") if key in made}
    made |= {key: _listed(body[key]) for key in ("columns", "values") if key in body}
    made |= {"never": tuple(_number(each, name) for each in _listed(body["never"]))} if "never" in body else {}
    made |= {"name": name, "soft": _text(item, "severity").lower() in SOFT, "because": _text(item, "description")}
    try:
        return msgspec.convert(made, Check)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the check {name!r}: {error}", expected="a check as under [[data.checks]]") from error


def _term(item: Mapping[str, Value], reading: _Reading) -> None:
    """Turn the freshness that a provider promises into a check; other terms are between people."""
    column = _text(item, "element").rpartition(".")[2]
    kind, hours = _text(item, "property").lower(), _HOURS.get(_text(item, "unit"))
    found = reading.columns.get(column)
    if kind in {"latency", "freshness"} and hours and found is not None and found.type is ColumnType.TIMESTAMP:
        limit = _number(item.get("value", ""), kind) * hours
        reading.add(Check(name=f"{_plain(column)}-{kind}", kind="age_h", columns=(column,), at_most=limit))
    else:
        reading.people.append(f"{_text(item, 'property')}: {_text(item, 'value')} {_text(item, 'unit')}".strip())


def _whole(pattern: str) -> str:
    """Return a pattern that is searched for as one that the whole value must have."""
    start, end = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    inner = pattern[start : len(pattern) - end]
    anything = r"[\s\S]*"
    return inner if start and end else f"{'' if start else anything}(?:{inner}){'' if end else anything}"


def _strptime(pattern: str) -> str:
    """Return a format of Java as one of ours, or nothing where a part of it has no counterpart."""
    made, at = "", 0
    while at < len(pattern):
        if pattern[at] == "'":
            end = pattern.find("'", at + 1)
            if end < 0:
                return ""
            made, at = made + pattern[at + 1 : end].replace("%", "%%"), end + 1
            continue
        run = len(pattern[at:]) - len(pattern[at:].lstrip(pattern[at]))
        word = pattern[at : at + run]
        if word[0].isalpha() and word not in _JDK:
            return ""
        made, at = made + _JDK.get(word, word), at + run
    return made


def _plain(name: str) -> str:
    """Return a name that a check may have."""
    made = "".join(char if char.isascii() and (char.isalnum() or char in "_.-") else "-" for char in name).strip("-_.")
    return made[:90] or "check"


def _ours(item: Mapping[str, Value]) -> dict[str, Value]:
    """Return the custom properties that are ours, by their names without the prefix."""
    rows = ((_text(each, "property"), each.get("value", "")) for each in _rows(item, "customProperties"))
    return {name.removeprefix(PREFIX): value for name, value in rows if name.startswith(PREFIX)}


def _text(item: Mapping[str, Value], key: str) -> str:
    value = item.get(key, "")
    return value if isinstance(value, str) else ""


def _true(item: Mapping[str, Value], key: str) -> bool:
    return _text(item, key).lower() == "true"


def _map(item: Mapping[str, Value], key: str) -> Mapping[str, Value]:
    value = item.get(key, "")
    return value if isinstance(value, dict) else {}


def _rows(item: Mapping[str, Value], key: str) -> Iterator[Mapping[str, Value]]:
    value = item.get(key, "")
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict):
            yield each


def _listed(value: Value) -> Sequence[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else ()


def _number(value: Value, name: str) -> float:
    try:
        return float(value) if isinstance(value, str) else float("nan")
    except ValueError:
        raise InvalidInput(f"{name}: {str(value)[:60]!r} is no number", expected="a number") from None


def _enumerated(kind: type[Use], value: str, name: str) -> Use:
    if value not in set(kind):
        raise InvalidInput(f"the use of {name!r} is {value[:40]!r}", expected=", ".join(kind))
    return kind(value)
