"""The reference of the project file lists every key, every word that a key may hold, and every limit."""

import re
import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from holdfast.core.project import Data, Project, Transform
from holdfast.core.schema import Column, ColumnType, Use
from holdfast.engines.transform import TRANSFORMS
from holdfast.ingest import raw
from holdfast.ingest.timestamps import DIRECTIVES
from holdfast.plan.tier import LIGHT_WORK, OTHERWISE, RULES

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "project.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("`")[0].strip("[]") + "]": part for part in re.split(r"(?m)^## `\[", PAGE)[1:]}


FREE: Final = {"sources"}
"""Tables of which each kind has keys of its own, told in sentences."""


def section(name: str) -> str:
    """The page's section about one table of the file."""
    return next(text for head, text in SECTIONS.items() if head.startswith(f"{name}]"))


def keys() -> list[tuple[str, str, Any]]:
    """Every key of every table, with its type."""
    found = []
    for table in msgspec.structs.fields(Project):
        parts = [part for part in typing.get_args(table.type) if part not in {type(None), str}]
        struct = parts[0] if parts else table.type
        found += [(table.name, field.name, field.type) for field in msgspec.structs.fields(struct)]
    for field in msgspec.structs.fields(Data):  # tables within, one or a list of them
        found += [
            (f"data.{field.name}", each.name, each.type)
            for part in (field.type, *typing.get_args(field.type))
            if isinstance(part, type) and issubclass(part, msgspec.Struct)
            for each in msgspec.structs.fields(part)
        ]
    return found + [("data.columns", field.name, field.type) for field in msgspec.structs.fields(Column)]


@pytest.mark.parametrize(("table", "key", "kind"), keys())
def test_every_key_is_in_its_section_with_every_word_it_may_hold(table: str, key: str, kind: Any) -> None:
    """A key that is not in the reference does not exist for a reader."""
    if re.search(rf"(?m)^##+ `\[+{table}\.{key}\b", PAGE):
        return  # it has a section of its own
    text = section(table)
    assert re.search(rf"(?m)^(\| [^|]*|.*)`{key}`" if table in FREE else rf"(?m)^\| [^|]*`{key}`", text)
    for word in _words(kind):
        assert f"`{word}`" in text


def _words(kind: Any) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    if isinstance(kind, types.UnionType):
        return [word for part in typing.get_args(kind) for word in _words(part)]
    return []


def test_the_page_lists_no_key_that_there_is_not() -> None:
    """What was removed from the code is removed from the page."""
    known = {(table, key) for table, key, _ in keys()}
    for name, text in SECTIONS.items():
        table = name.rstrip("]")
        head = text.split("\n### ")[0]
        block = head[head.index("| Key |") :].split("\n\n")[0] if "| Key |" in head else ""
        for row in block.splitlines()[2:]:
            for key in re.findall(r"`([a-z_0-9]+)`", row.split("|")[1]):
                assert (table, key) in known


def test_transforms_directives_limits_and_tiers_are_those_of_the_code() -> None:
    """Each table of the page beside the table in the code that it describes."""
    assert all(
        f"| `{name}` | {takes} column" in section("features")
        for name, (takes, _) in TRANSFORMS.items()
        if name != "column"
    )
    assert all(f"`{field.name}`" in section("features") for field in msgspec.structs.fields(Transform))
    assert all(f"`%{name}`" in section("data.columns") for name in DIRECTIVES)
    assert all(
        f"{rule.tier.name.lower()} ({rule.tier})" in section("risk") for rule in (*RULES, *LIGHT_WORK, OTHERWISE)
    )
    assert all(rule.brings in section("risk") for rule in (*RULES, *LIGHT_WORK, OTHERWISE))
    assert all(f"`{word}`" in section("data.columns") for word in (*ColumnType, *Use))
    for number in (raw.MAX_COLUMNS, raw.MAX_NAME, raw.MAX_FIELD, raw.MAX_ROWS):
        assert f"| {number:,} |" in section("data.columns")
    assert (raw.MAX_SOURCE, raw.MAX_LINE) == (1 << 30, 16 << 20)
    assert "| 1 GiB |" in section("data.columns")
    assert "| 16 MiB |" in section("data.columns")
