"""Entities: rows of one are merged, entities that share an id get one each, and a trail can undo both.

Decides what a merged row says: of each column the value that most of its rows have, the first one's where none has
more. Ids are not believed: the first row's id stays, and a later entity of the same id gets it with a number behind.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from holdfast.core.entities import Entities
from holdfast.core.errors import NotVerified
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.engines.packed import pack
from holdfast.ingest.contract import Batch, Count
from holdfast.ingest.linkage import link
from holdfast.ingest.reasons import Reason, faults_where, merged

TRAIL: Final = "merged.parquet"  # every row that was merged or got another id, as it was
PLACES: Final = "places.parquet"  # the number in the source of each row of the data set
ROW: Final = "holdfast:row"  # in a trail: the row's number in the source
KEPT: Final = "holdfast:kept-as"  # in a trail: the number of the row that now stands for it
MERGE, SEPARATE = "entity-merge/1", "entity-separate/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A batch in which each entity has one row and each id one entity, and what it takes to undo it."""

    batch: Batch
    trail: pl.DataFrame
    places: pl.DataFrame


def entities_of(batch: Batch, declared: Entities) -> NDArray[np.int64]:
    """Return each row's entity as the place of its first row."""
    return link(batch.frame.open(), declared.columns, threshold=declared.threshold).entity


def resolve(batch: Batch, entity: NDArray[np.int64], project: Project) -> Resolved:
    """Return the batch with one row for each entity and one entity for each id.

    Args:
        batch: Rows that hold, without the columns that are not stored.
        entity: Each row's entity, shape (rows,).
        project: Which column is the id.
    """
    (name,) = project.columns_of(Use.ID)
    frame, rows = batch.frame.open(), batch.rows
    repeated = int(frame.select(pl.col(name).filter(pl.col(name).is_duplicated()).n_unique()).item())
    group = pl.Series("\0entity", entity)
    of_many = group.is_duplicated()
    first = pl.Series(entity == np.arange(len(entity)))
    shown = frame.with_columns(group, of_many.alias("\0many"))
    told = (
        shown.filter("\0many").group_by("\0entity", maintain_order=True).agg(_most_said(each) for each in frame.columns)
    )
    ids = shown.filter(first).select("\0entity", pl.col(name))
    told = (
        told.drop(name).join(ids, on="\0entity", how="left", maintain_order="left").select("\0entity", *frame.columns)
    )
    alone = shown.filter(~of_many).select("\0entity", *frame.columns)
    after = pl.concat([alone, told.cast(dict(alone.schema))]).sort("\0entity")  # type: ignore[arg-type]
    separated, changed = _separated(after.get_column(name))
    numbers = rows.gather(after.get_column("\0entity").to_list())
    kept = rows.gather(entity.tolist())
    touched = of_many | kept.is_in(numbers.filter(changed).implode())
    trail = frame.with_columns(rows.alias(ROW), kept.alias(KEPT)).filter(touched)
    gone = pl.Series(entity != np.arange(len(entity)))
    other = frame.get_column(name).gather(entity.tolist())
    fault = faults_where(gone, rows=rows, code=Reason.MERGED, column=name, values=other)
    counts = ((MERGE, int(gone.sum())), (SEPARATE, int(changed.sum())))
    done = replace(
        batch,
        frame=pack([after.with_columns(separated).select(frame.columns)]),
        rows=numbers,
        faults=merged([batch.faults, fault]),
        counts=(*batch.counts, *(Count(rule=rule, column=name, count=count) for rule, count in counts if count)),
        duplicate_ids=repeated,
    )
    return Resolved(batch=done, trail=trail, places=pl.DataFrame({ROW: numbers}))


def restored(dataset: pl.DataFrame, trail: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Return the rows as they were before any was merged or got another id.

    Raises:
        NotVerified: Trail and data set do not belong together.
    """
    if places.height != dataset.height or set(trail.columns) - {ROW, KEPT} != set(dataset.columns):
        raise NotVerified("the trail is not of this data set", expected="the quarantine made with it")
    untouched = dataset.with_columns(places.get_column(ROW)).filter(
        ~pl.col(ROW).is_in(trail.get_column(KEPT).implode())
    )
    before = trail.select(*dataset.columns, ROW)
    return pl.concat([untouched, before]).sort(ROW).drop(ROW)


def _most_said(column: str) -> pl.Expr:
    """Return the value that most rows of a group have, the earliest of those where several have as many."""
    return pl.col(column).drop_nulls().mode(maintain_order=True).first().alias(column)


def _separated(ids: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return ids of which each stands once, and which were changed; no new one is one that was there."""
    taken, seen = set(ids.to_list()), set[str | None]()
    found, changed = list[str | None](), list[bool]()
    for each in ids.to_list():
        made = each
        if each in seen:
            number = 2
            while (made := f"{each}~{number}") in taken:
                number += 1
            taken.add(made)
        seen.add(made)
        found.append(made)
        changed.append(made != each)
    return pl.Series(ids.name, found, dtype=ids.dtype), pl.Series(changed, dtype=pl.Boolean)
