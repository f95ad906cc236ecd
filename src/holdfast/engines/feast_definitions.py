"""Definitions of a Feast repository, read from its source text: nothing of it is imported, and nothing is run.

Takes in what stands there as literals: entities, file sources, feature views with their schema and time to live. What
is computed (on-demand views, streams, pushes, names made by code) cannot be read without running it, and is reported
with its place. Formats: https://docs.feast.dev/getting-started/concepts.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MAX_FILE: Final = 1 << 20  # bytes of one file of definitions
MAX_TTL: Final = 100 * 366 * 86_400  # seconds; nobody's feature lives longer than a century
TYPES: Final = {
    "Float32": "float", "Float64": "float", "Int32": "int", "Int64": "int", "Bool": "bool", "String": "string",
    "UnixTimestamp": "timestamp", "FLOAT": "float", "DOUBLE": "float", "INT32": "int", "INT64": "int", "BOOL": "bool",
    "STRING": "string", "UNIX_TIMESTAMP": "timestamp",
}  # fmt: skip
"""Feast's types and value types that there is one of here; arrays, bytes and maps are none."""
_NOT_TAKEN: Final = {
    "OnDemandFeatureView": "its values are computed by code of its own",
    "StreamFeatureView": "its values are computed from a stream",
    "BatchFeatureView": "its values are computed by code of its own",
    "PushSource": "values are pushed into it",
    "KafkaSource": "it is a stream",
    "KinesisSource": "it is a stream",
    "RequestSource": "its values come with the request: write them as features of `event_time`",
    "BigQuerySource": "it is a warehouse: extract it into a file first",
    "SnowflakeSource": "it is a warehouse: extract it into a file first",
    "RedshiftSource": "it is a warehouse: extract it into a file first",
    "SparkSource": "it is a warehouse: extract it into a file first",
    "FeatureService": "which features a model uses is said in its own project: [features].use",
}
_UNITS: Final = {"weeks": 604800, "days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something that was not taken in: where it stands, what it is, and why."""

    place: str
    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeastView:
    """A feature view as it was read; `problems` are what a person must settle."""

    name: str
    owner: str
    description: str
    source: str
    entity: tuple[str, ...]
    event_time: str
    created: str
    columns: dict[str, str]
    features: dict[str, str]
    ttl_s: int
    place: str


@dataclass(slots=True)
class Found:
    """All that was read of a repository."""

    views: list[FeastView] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


class _Unreadable(Exception):
    """A value is made by code."""


def read_definitions(files: Sequence[tuple[str, str]]) -> Found:
    """Return the views that stand in files of definitions, given as path and text.

    Names are looked up over all files: a repository may keep its entities in one and its views in another.
    """
    found, calls = Found(), list[tuple[str, str, ast.Call]]()
    for path, text in files:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            found.left.append(Left(place=path, what="file", why=f"it is no Python: {str(error)[:100]}"))
            continue
        calls += [(path, name, call) for name, call in _assigned(tree)]
        found.left += _decorated(tree, path)
    named = {name: call for _, name, call in calls if name}
    for path, _, call in calls:
        kind, place = _called(call), f"{path}:{call.lineno}"
        if kind in _NOT_TAKEN:
            found.left.append(Left(place=place, what=f"{kind} {_label(call)}".strip(), why=_NOT_TAKEN[kind]))
        elif kind == "FeatureView":
            try:
                found.views.append(_view(call, named, place, found.left))
            except _Unreadable as error:
                found.left.append(Left(place=place, what=f"FeatureView {_label(call)}".strip(), why=str(error)))
    return found


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls that stand at the top of a file, with the name each is assigned to."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            first = statement.targets[0]
            yield (first.id if isinstance(first, ast.Name) else "", statement.value)
        elif isinstance(statement, ast.AnnAssign | ast.Expr) and isinstance(statement.value, ast.Call):
            target = statement.target if isinstance(statement, ast.AnnAssign) else None
            yield (target.id if isinstance(target, ast.Name) else "", statement.value)


def _decorated(tree: ast.Module, path: str) -> Iterator[Left]:
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.decorator_list:
            words = "its values are computed by code of its own: write it as feature code"
            yield Left(place=f"{path}:{statement.lineno}", what=f"function {statement.name}", why=words)
        elif isinstance(statement, ast.For | ast.While | ast.If | ast.With | ast.Try):
            yield Left(
                place=f"{path}:{statement.lineno}", what="a statement", why="definitions made by code are not read"
            )


def _view(call: ast.Call, named: dict[str, ast.Call], place: str, left: list[Left]) -> FeastView:
    given = _keywords(call)
    name = _text(given.get("name"), "its name")
    source = _source(given.get("source") or given.get("batch_source"), named)
    entities = [_entity(each, named) for each in _list(given.get("entities"), "its entities")]
    columns: dict[str, str] = {}
    for each in _list(given.get("schema") or given.get("features"), "its schema"):
        column, sort = _field(each)
        if sort is None:
            left.append(
                Left(place=place, what=f"field {name}.{column}", why="it has a type that there is none of here")
            )
        else:
            columns[column] = sort
    keys = tuple(key for key, _ in entities)
    for key, sort in entities:
        columns.setdefault(key, sort)
    features = {column: sort for column, sort in columns.items() if column not in keys}
    if not keys or not features:
        raise _Unreadable("it has no entity, or no field whose type there is here")
    event_time = _text(source.get("timestamp_field") or source.get("event_timestamp_column"), "its event time")
    created = source.get("created_timestamp_column")
    return FeastView(
        name=name,
        owner=_optional(given.get("owner")),
        description=_optional(given.get("description")),
        source=_text(source.get("path"), "the path of its source"),
        entity=keys,
        event_time=event_time,
        created=_optional(created),
        columns={**columns, event_time: "timestamp", **({_optional(created): "timestamp"} if created else {})},
        features=features,
        ttl_s=_seconds(given.get("ttl")),
        place=place,
    )


def _source(tree: ast.expr | None, named: dict[str, ast.Call]) -> dict[str, ast.expr]:
    call = _resolved(tree, named)
    if call is None or _called(call) != "FileSource":
        kind = _called(call) if call is not None else "nothing that stands here"
        raise _Unreadable(f"its source is {kind}, and files are read")
    return _keywords(call)


def _entity(tree: ast.expr, named: dict[str, ast.Call]) -> tuple[str, str]:
    """Return the column and type of an entity."""
    call = _resolved(tree, named)
    if call is None or _called(call) != "Entity":
        raise _Unreadable("one of its entities is no Entity that stands here")
    given = _keywords(call)
    joined = _list(given.get("join_keys"), "join keys") if "join_keys" in given else []
    if len(joined) > 1:
        raise _Unreadable("an entity with several join keys")
    key = _text(joined[0] if joined else given.get("join_key") or given.get("name"), "its entity's join key")
    sort = TYPES.get(_last(given.get("value_type")), "string")
    return key, sort if sort in {"int", "string"} else "string"


def _field(tree: ast.expr) -> tuple[str, str | None]:
    if not isinstance(tree, ast.Call) or _called(tree) not in {"Field", "Feature"}:
        raise _Unreadable("its schema holds something that is no Field")
    given = _keywords(tree)
    return _text(given.get("name"), "a field's name"), TYPES.get(_last(given.get("dtype")))


def _resolved(tree: ast.expr | None, named: dict[str, ast.Call]) -> ast.Call | None:
    if isinstance(tree, ast.Name):
        return named.get(tree.id)
    return tree if isinstance(tree, ast.Call) else None


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {each.arg: each.value for each in call.keywords if each.arg}


def _called(call: ast.Call) -> str:
    return _last(call.func)


def _last(tree: ast.expr | None) -> str:
    while isinstance(tree, ast.Call):
        tree = tree.func
    return tree.id if isinstance(tree, ast.Name) else tree.attr if isinstance(tree, ast.Attribute) else ""


def _label(call: ast.Call) -> str:
    name = _keywords(call).get("name")
    return _whole(str(name.value)) if isinstance(name, ast.Constant) else ""


def _text(tree: ast.expr | None, what: str) -> str:
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str) and tree.value:
        return _whole(tree.value)
    raise _Unreadable(f"{what} is not written there as a text")


def _optional(tree: ast.expr | None) -> str:
    return _whole(tree.value) if isinstance(tree, ast.Constant) and isinstance(tree.value, str) else ""


def _whole(text: str) -> str:
    """Return a text that any file can hold: half a character, which a literal can say, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _list(tree: ast.expr | None, what: str) -> list[ast.expr]:
    if isinstance(tree, ast.List | ast.Tuple):
        return list(tree.elts)
    raise _Unreadable(f"{what} is not written there as a list")


def _seconds(tree: ast.expr | None) -> int:
    """Return a time to live; 0 for none. Feast takes `timedelta(days=1)`, and no other form is a literal."""
    if tree is None or (isinstance(tree, ast.Constant) and tree.value in {None, 0}):
        return 0
    if isinstance(tree, ast.Call) and _called(tree) == "timedelta" and not tree.args:
        try:
            parts = {name: _number(value) for name, value in _keywords(tree).items()}
            seconds = int(sum(_UNITS[name] * value for name, value in parts.items()))
        except KeyError as error:
            raise _Unreadable("its time to live has an unknown unit") from error
        except (OverflowError, ValueError) as error:
            raise _Unreadable("its time to live is no number of seconds") from error
        if not 0 <= seconds <= MAX_TTL:
            raise _Unreadable(f"its time to live is not between 0 and {MAX_TTL} seconds")
        return seconds
    raise _Unreadable("its time to live is made by code")


def _number(tree: ast.expr) -> float:
    value: Any = tree.value if isinstance(tree, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unreadable("its time to live is made by code")
    return value
