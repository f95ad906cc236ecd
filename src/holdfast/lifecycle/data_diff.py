"""Diffs of two versions of a data set, cell by cell; values of columns that nobody may be shown are masked."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from holdfast.core.artifact import Digest
from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.core.schema import Use
from holdfast.core.sensitivity import WITHHELD, of_column
from holdfast.lifecycle.data_versions import refuse_erased
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.trail import reading
from holdfast.lifecycle.versions import Version, contents_of, version_of

if TYPE_CHECKING:
    from holdfast.engines.cell_diff import Diff
    from holdfast.engines.dataset import Schema

MASK: Final = "•••"  # stands for a value that may not be shown; that it changed is shown
MAX_LIMIT: Final = 10_000  # lines of one answer; the file that --out writes has all
_ABSENT: Final = ""


def data_diff(
    plant: Plant,
    *,
    before: str,
    after: str = "main",
    key: str | None = None,
    limit: int = 20,
    out: Path | None = None,
) -> Reply:
    """Show the rows that were added and removed between two versions, and each cell that changed, old and new.

    Rows are told apart by the columns declared as ids, or by `key` (names with commas between); without either, whole
    rows are compared. Columns that are personal, protected or confidential are masked.

    Raises:
        InvalidInput: The key is not one, or so many lines are not shown.
        NotFound: There is no such version.
        Refused: The rows of one were erased.
        NotVerified: The rows of one are not what its commit signs.
    """
    if not 0 <= limit <= MAX_LIMIT:
        raise InvalidInput(f"a limit of {limit}", expected=f"0 to {MAX_LIMIT}")
    old, new = version_of(plant, before), version_of(plant, after)
    for each in (old, new):
        refuse_erased(plant, each)
    plant.ledger.append([reading(plant, each, "diff") for each in (old, new)])
    diff, masked = _compared(plant, old, new, key)
    if out is not None:
        _write(out, diff, masked)
    counts = {"added": diff.added.height, "removed": diff.removed.height, "changed": diff.changed.height}
    counts |= {"cells": sum(diff.cells.values()), "same": diff.same}
    lines = list(_lines(diff, masked, limit))
    document: dict[str, Any] = {"before": old.digest, "after": new.digest, "key": list(diff.key), **counts}
    document |= {"columns_added": list(diff.added_columns), "columns_removed": list(diff.removed_columns)}
    document |= {"retyped": list(diff.retyped), "masked": sorted(masked), "lines": lines}
    by_column = [{"column": name, "cells": count} for name, count in diff.cells.items() if count]
    return Reply(
        says=_says(old, new, counts, diff, len(lines)),
        document=document | {"by_column": by_column},
        tables=_tables(by_column, lines),
        exit_code=0,
    )


def _compared(plant: Plant, old: Version, new: Version, key: str | None) -> "tuple[Diff, frozenset[str]]":
    from holdfast.engines import delta
    from holdfast.engines.cell_diff import compare
    from holdfast.engines.dataset import TABLE, Schema

    schemas: list[Schema] = []
    paths = []
    for each in (old, new):
        contents_of(plant, each.commit)  # verified against the signed root; the file below is verified by its digest
        files = {file.path: Digest(file.digest) for file in _files(plant, each)}
        schemas.append(msgspec.json.decode(plant.blobs.get(files[delta.SCHEMA_FILE]), type=Schema))
        paths.append(plant.blobs.path(files[TABLE]))
    named = tuple(part.strip() for part in key.split(",")) if key else schemas[1].of(Use.ID)
    return compare(paths[0], paths[1], named), frozenset().union(*(_masked(each) for each in schemas))


def _files(plant: Plant, version: Version) -> Any:
    from holdfast.core.artifact import parse_manifest

    return parse_manifest(plant.blobs.get(Digest(version.commit.table))).files


def _masked(schema: "Schema") -> frozenset[str]:
    return frozenset(item.name for item in schema.columns if of_column(item.column) in WITHHELD)


def _lines(diff: "Diff", masked: frozenset[str], limit: int) -> Iterator[dict[str, Any]]:
    """Yield removed rows, added rows, then changed cells, as many as `limit` of each."""
    for what, frame in (("removed", diff.removed), ("added", diff.added)):
        for named in frame.head(limit).iter_rows(named=True):
            yield {"what": what, "row": _row(named, masked), "column": _ABSENT, "old": _ABSENT, "new": _ABSENT}
    for number, cell in enumerate(diff.each_cell()):
        if number >= limit:
            break
        old, new = (MASK if cell.column in masked else _text(value) for value in (cell.old, cell.new))
        key = _row(dict(zip(diff.key, cell.key, strict=True)), masked)
        yield {"what": "changed", "row": key, "column": cell.column, "old": old, "new": new}


def _row(row: dict[str, Any], masked: frozenset[str]) -> str:
    return ", ".join(f"{name}={MASK if name in masked else _text(value)}" for name, value in row.items())


def _text(value: Any) -> str:
    return "(missing)" if value is None else str(value)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write(out: Path, diff: "Diff", masked: frozenset[str]) -> None:
    """Write every difference as a line of JSON, in one pass."""
    if out.exists():
        raise InvalidInput("there is something already where the differences would lie", place=str(out))
    try:
        with open(out, "x", encoding="utf-8", opener=_private) as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in _lines(diff, masked, 1 << 62))
    except OSError as error:
        raise Unavailable(f"the differences cannot be written: {error.strerror}", place=str(out)) from error


def _says(old: Version, new: Version, counts: dict[str, int], diff: "Diff", shown: int) -> str:
    if diff.equal:
        return f"{old.short} and {new.short} hold the same {counted(diff.same, 'row')}."
    by = f"by {', '.join(diff.key)}" if diff.key else "as whole rows, since no column names a row"
    columns = [f"+{name}" for name in diff.added_columns] + [f"-{name}" for name in diff.removed_columns]
    parts = [counted(counts["added"], "row added", "rows added"), counted(counts["removed"], "removed", "removed")]
    parts += [f"{counts['changed']} changed in {counted(counts['cells'], 'cell')}, {counts['same']} the same"]
    words = f"From {old.short} to {new.short}, compared {by}: {', '.join(parts)}."
    words += f" Columns: {', '.join((*columns, *diff.retyped))}." if columns or diff.retyped else ""
    total = counts["added"] + counts["removed"] + counts["cells"]
    return words + (f" {shown} of {total} differences are shown." if shown < total else "")


def _tables(by_column: list[dict[str, Any]], lines: list[dict[str, Any]]) -> tuple[Table, ...]:
    counts = [(each["column"], str(each["cells"])) for each in by_column]
    rows = [tuple(each.values()) for each in lines]
    return (
        *([Table(title="Changed cells by column", columns=("column", "cells"), rows=counts)] if counts else []),
        *([Table(title="Differences", columns=("what", "row", "column", "old", "new"), rows=rows)] if rows else []),
    )
