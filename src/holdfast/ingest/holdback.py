"""Holding back: columns whose values turn out to be personal do not become part of a data set.

Decides what happens to a column that `engines.personal` caught. One that can be left out is; an id or a label cannot,
so that the file is refused. What was declared personal is never read, so it does not come this far.
"""

from dataclasses import dataclass, replace
from typing import Final

from holdfast.core.errors import InvalidData
from holdfast.core.planning import Sensitivity
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.core.sensitivity import of_column
from holdfast.engines.dataset import Declared, Schema
from holdfast.engines.personal import Hit, scan
from holdfast.ingest.contract import Batch
from holdfast.ingest.raw import Raw

INDISPENSABLE: Final = frozenset({Use.ID, Use.LABEL})  # uses without whose columns there is no data set


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """A batch without the columns that were caught, and what was found in which column."""

    batch: Batch
    hits: tuple[Hit, ...]
    columns_searched: int
    classed: tuple[str, ...] = ()  # classed personal, and of no use to anything here

    @property
    def caught(self) -> tuple[str, ...]:
        """The columns that hold personal data, declared or not, by name."""
        return tuple(sorted({hit.column for hit in self.hits} | set(self.classed)))


def hold_back(batch: Batch, raw: Raw, project: Project) -> Searched:
    """Return the batch without columns that hold personal data.

    Searched are the cleaned values of rows that hold, because only those could go on, and undeclared columns as they
    are. A stray address in a column of numbers is a fault of its row, not of the column. A column that is classed
    personal and used by nothing is held back whatever stands in it.

    Raises:
        InvalidData: An id or a label is personal data.
    """
    undeclared = raw.frame.select([name for name in raw.frame.columns if name in raw.undeclared])
    hits = scan(batch.frame) + scan(undeclared)
    for hit in hits:
        column = project.data.columns.get(hit.column)
        if column is not None and column.use in INDISPENSABLE:
            raise InvalidData(
                f"column {hit.column!r} is the {column.use}, and {hit.rows} rows of it hold an {hit.entity}",
                place=project.data.source,
                expected="pseudonyms: values that say nothing about a person by themselves",
            )
    classed = tuple(
        name
        for name, column in project.data.columns.items()
        if column.use is Use.IGNORED and of_column(column) is Sensitivity.PERSONAL
    )
    kept = batch.frame.drop({hit.column for hit in hits}.union(classed), strict=False)
    searched = batch.frame.width + undeclared.width
    return Searched(batch=replace(batch, frame=kept), hits=hits, columns_searched=searched, classed=classed)


def schema_of(project: Project, caught: tuple[str, ...]) -> Schema:
    """Return the schema of the data set: the declared columns in order, without personal and without caught ones."""
    wanted = [(name, column) for name, column in project.data.columns.items() if column.use is not Use.PERSONAL]
    return Schema(
        columns=tuple(Declared(name=name, column=column) for name, column in wanted if name not in caught),
        held_back=tuple(name for name, _ in wanted if name in caught),
    )
