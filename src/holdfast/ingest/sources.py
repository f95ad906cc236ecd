"""Sources: a file from outside as a table of text, within limits, without coercing, guessing or losing anything.

Decides what can be read at all. A file that cannot be is refused with the place; a row that cannot be is set aside with
its reason; every value of the others stays the text that it was.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from holdfast.core.errors import InvalidData
from holdfast.core.project import Project
from holdfast.core.sources import SOURCE_COLUMN, named_in
from holdfast.ingest import delimited, json_lines, parquet
from holdfast.ingest.raw import MAX_SOURCE, Raw, joined


def read(path: Path, project: Project) -> Raw:
    """Return the rows of a project's source file, whole.

    Raises:
        InvalidData: The file is empty, too large, not of the declared format, or lacks a declared column.
    """
    return joined(tuple(pieces(path, project)))


def pieces(path: Path, project: Project) -> Iterator[Raw]:
    """Yield the rows of a project's source file, some at a time; at least one piece.

    Raises:
        InvalidData: The file is empty, too large, not of the declared format, or lacks a declared column; or, at its
            end, it has no rows.
    """
    size, place = path.stat().st_size, project.data.source
    if size == 0:
        raise InvalidData("the file is empty", place=place, expected="a header and at least one row")
    if size > MAX_SOURCE:
        raise InvalidData(f"the file has {size} bytes", place=place, expected=f"at most {MAX_SOURCE}")
    readers = {"csv": delimited.pieces, "jsonl": json_lines.pieces}
    rows_in = 0
    for raw in readers.get(project.data.format, parquet.pieces)(path, project.data):  # rows of sources lie as Parquet
        rows_in = raw.rows_in
        if named_in(place) and SOURCE_COLUMN in raw.undeclared:  # our own column; declared, it may be used
            kept = tuple(name for name in raw.undeclared if name != SOURCE_COLUMN)
            yield replace(raw, frame=raw.frame.drop(SOURCE_COLUMN), undeclared=kept)
        else:
            yield raw
    if rows_in == 0:
        raise InvalidData("the file has a header and no rows", place=place, expected="at least one row")
