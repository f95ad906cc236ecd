"""A Feast repository's definitions as feature views of a project file; the repository is read, and never run."""

import json
from pathlib import Path
from typing import Any, Final

from holdfast.core.errors import Conflict, InvalidInput, Unavailable
from holdfast.core.feature import check_view
from holdfast.engines.feast_definitions import MAX_FILE, FeastView, Found, Left, read_definitions
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.reply import Reply, Table, counted

MAX_FILES: Final = 500  # of definitions; a repository has a handful
STORE: Final = "feature_store.yaml"
_SKIPPED: Final = frozenset({".git", ".venv", "venv", "__pycache__", "tests", "data"})


def import_feast(root: Path, *, tell: Any, folder: Path, out: Path | None = None) -> Reply:  # noqa: ARG001 - nobody waits
    """Write views for what a Feast repository defines, and say what could not be taken in, and why.

    Raises:
        InvalidInput: The folder is no Feast repository, or holds nothing that could be taken in.
        Conflict: The output is there already.
    """
    place = folder if folder.is_absolute() else root / folder
    if not (place / STORE).is_file():
        raise InvalidInput("this is no Feast repository", place=str(folder), expected=f"a folder with {STORE}")
    paths = sorted(path for path in place.rglob("*.py") if not _SKIPPED & set(path.relative_to(place).parts))
    if len(paths) > MAX_FILES:
        raise InvalidInput(f"{len(paths)} files", place=str(folder), expected=f"at most {MAX_FILES}")
    found = read_definitions([(str(path.relative_to(place)), _source(path)) for path in paths])
    text, taken = _written(found)
    if not taken:
        why = f": {found.left[0].what} at {found.left[0].place}, {found.left[0].why}" if found.left else ""
        raise InvalidInput(
            f"nothing there could be taken in{why}", place=str(folder), expected="feature views of files"
        )
    left = [(each.place, each.what, each.why) for each in found.left]
    tables = (
        Table(
            title="Taken in",
            columns=("view", "entity", "features", "source"),
            rows=[(each.name, ", ".join(each.entity), ", ".join(each.features), each.source) for each in taken],
        ),
        Table(title="Left out", columns=("place", "what", "why"), rows=left),
    )
    document = {
        "views": [each.name for each in taken],
        "left": [{"place": each.place, "what": each.what, "why": each.why} for each in found.left],
        "toml": text,
    }
    says = f"{counted(len(taken), 'view was', 'views were')} taken in, {counted(len(left), 'thing')} left out."
    if out is None:
        notes = "".join(f"# left out, {_line(f'{at}: {what}: {why}')}\n" for at, what, why in left)
        return Reply(says=says, document=document, text=text + notes)
    _write(out if out.is_absolute() else root / out, text)
    return Reply(says=f"{says} Read {out.name}, put it into holdfast.toml and register.", document=document,
                 tables=[table for table in tables if table.rows])  # fmt: skip


def _source(path: Path) -> str:
    data = read_given(path, limit=MAX_FILE + 1, what="a file of definitions")
    if len(data) > MAX_FILE:
        raise InvalidInput("a file of definitions is too long", place=path.name, expected=f"at most {MAX_FILE} bytes")
    return data.decode("utf-8", "replace")


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise Conflict("the file is there already", place=str(path), remedy="Name another.") from error
    except OSError as error:
        raise Unavailable(f"the views cannot be written: {error.strerror}", place=str(path)) from error


def _written(found: Found) -> tuple[str, list[FeastView]]:
    """Return the views as TOML that a project file takes, and which of them fit."""
    import msgspec

    from holdfast.core.feature import FeatureView
    from holdfast.engines.events import compile_view

    parts = ["# Taken in from a Feast repository. Its time to live is `ttl`; set `fresh` and `owner` yourself.\n"]
    taken: list[FeastView] = []
    for view in found.views:
        declared = _declared(view)
        name = declared.pop("name")
        try:
            read = msgspec.convert(declared, FeatureView)
            check_view(name, read)
            compile_view(name, read)
        except (msgspec.ValidationError, InvalidInput) as error:
            found.left.append(Left(place=view.place, what=f"FeatureView {view.name}", why=str(error)))
            continue
        parts.append(_toml(name, declared))
        taken.append(view)
    return "\n".join(parts), taken


def _declared(view: FeastView) -> dict[str, Any]:
    parquet = view.source.endswith((".parquet", ".pq"))
    more = {"created": view.created} if view.created else {}
    return more | {
        "name": view.name.replace("-", "_").lower(),
        "owner": view.owner or "to be named",
        "description": view.description or f"taken in from {view.place}",
        "source": view.source,
        "format": "parquet" if parquet else "csv",
        "entity": list(view.entity),
        "event_time": view.event_time,
        "ttl": f"{view.ttl_s}s" if view.ttl_s else "",
        "columns": view.columns,
        "features": {name: {"code": name, "type": sort} for name, sort in view.features.items()},
    }


def _line(text: str) -> str:
    """Return words of a stranger's file as one line: whoever ends a comment early would write into the project file."""
    return "".join(each if each.isprintable() else " " for each in text)


def _json(value: Any) -> str:
    """Return a value as JSON that is TOML, too: which knows no halves of a character, and no bare DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(name: str, declared: dict[str, Any]) -> str:
    """Return a view as TOML; JSON's strings and lists of strings are TOML's."""
    lines = [f"[features.views.{name}]"]
    lines += [
        f"{key} = {_json(value)}" for key, value in declared.items() if key not in {"columns", "features"} and value
    ]
    lines += ["", f"[features.views.{name}.columns]"]
    lines += [f"{_json(column)} = {_json(sort)}" for column, sort in declared["columns"].items()]
    for feature, each in declared["features"].items():
        lines += [
            "",
            f"[features.views.{name}.features.{feature}]",
            *(f"{k} = {_json(v)}" for k, v in each.items()),
        ]
    return "\n".join(lines) + "\n"
