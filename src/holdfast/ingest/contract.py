"""The contract: which cleaned rows the project's declaration accepts, and which are set aside, each with every reason.

Decides row by row, never by how many others fail; what share of failures is too much is left to policies. Of rows with
one id only those count that are acceptable by themselves, so that a broken row cannot take a good one with it.
"""

from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from holdfast.core.errors import InvalidData
from holdfast.core.project import Project
from holdfast.core.schema import Column, Use
from holdfast.ingest.cleaning import clean
from holdfast.ingest.raw import Raw
from holdfast.ingest.reasons import WORDS, Reason, faults_where, merged

REQUIRED: Final = frozenset({Use.ID, Use.LABEL})  # uses whose values are never optional, whatever `nullable` says


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How often one cleaning rule changed a value of one column."""

    rule: str
    column: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows that hold, by source row number, the faults of all others, and what cleaning changed."""

    frame: pl.DataFrame
    rows: pl.Series
    faults: pl.DataFrame
    counts: tuple[Count, ...]
    duplicate_ids: int = 0


def hold(raw: Raw, project: Project) -> Batch:
    """Return the readable rows held against their columns' declarations, each column for itself.

    Raises:
        InvalidProject: A timestamp format that cannot mean a moment.
    """
    data, columns, tables, counts = project.data, list[pl.Series](), [raw.faults], list[Count]()
    for name, column in data.columns.items():
        if column.use is Use.PERSONAL:
            continue
        cleaned = clean(raw.frame.get_column(name), column, data)
        checks = cleaned.faults + _bounds(cleaned.values, column) + _required(cleaned.texts, column)
        tables += [
            faults_where(mask, rows=raw.rows, code=code, column=name, values=cleaned.texts) for code, mask in checks
        ]
        changed = zip(
            ("trim/1", "null-literal/1", "timestamp/1"),
            (cleaned.trimmed, cleaned.null_literals, cleaned.normalised),
            strict=True,
        )
        counts += [Count(rule=rule, column=name, count=count) for rule, count in changed if count]
        columns.append(cleaned.values.alias(name))
    faults = merged(tables)
    good = ~raw.rows.is_in(faults.get_column("row").unique().implode())
    return Batch(
        frame=pl.DataFrame(columns).filter(good), rows=raw.rows.filter(good), faults=faults, counts=tuple(counts)
    )


def resolve_duplicates(batch: Batch, project: Project) -> Batch:
    """Return a batch in which each id stands once.

    Rows that say the same in every column are one row written twice: the first is kept. Rows that say different things
    about one id are all set aside, because nothing here knows which is true. Without an id column nothing is a
    duplicate: two equal measurements may be two measurements.
    """
    ids = list(project.columns_of(Use.ID))
    if not ids:
        return batch
    frame = batch.frame
    key = pl.struct(ids)
    repeated = frame.filter(key.is_duplicated()).select(key.n_unique()).item()
    copy = frame.select((~pl.struct(pl.all()).is_first_distinct()).alias("copy")).get_column("copy")
    first = frame.with_columns(pl.when(~copy).then(key).alias("\0key"))  # no header can hold a NUL
    conflict = first.select(
        (pl.col("\0key").is_not_null() & pl.col("\0key").is_duplicated()).alias("conflict")
    ).get_column("conflict")
    shown = frame.select(pl.concat_str(ids, separator=" ").alias("id")).get_column("id")
    label = ", ".join(ids)
    found = [
        faults_where(mask, rows=batch.rows, code=code, column=label, values=shown)
        for mask, code in ((copy, Reason.COPY), (conflict, Reason.CONFLICT))
    ]
    keep = ~(copy | conflict)
    removed = int(copy.sum())
    return replace(
        batch,
        frame=frame.filter(keep),
        rows=batch.rows.filter(keep),
        faults=merged([batch.faults, *found]),
        counts=(*batch.counts, *([Count(rule="duplicate/1", column=label, count=removed)] if removed else [])),
        duplicate_ids=int(repeated),
    )


def check_left(batch: Batch, raw: Raw, project: Project) -> None:
    """Refuse a batch of which nothing is left.

    Raises:
        InvalidData: Not one row holds; the most frequent reason is named.
    """
    if batch.frame.height:
        return
    worst = batch.faults.group_by("code", "column").len("count").sort(["count", "code", "column"], descending=True)
    code, column, count = worst.row(0)
    where = f" in column {column!r}" if column else ""
    raise InvalidData(
        f"not one of {raw.rows_in} rows holds; most often ({count} rows): {WORDS[Reason(code)]}{where}",
        place=project.data.source,
        expected="rows that meet [data.columns]",
    )


def _bounds(values: pl.Series, column: Column) -> tuple[tuple[Reason, pl.Series], ...]:
    checks = []
    if column.minimum is not None:
        checks.append((Reason.BELOW, values < column.minimum))
    if column.maximum is not None:
        checks.append((Reason.ABOVE, values > column.maximum))
    return tuple(checks)


def _required(texts: pl.Series, column: Column) -> tuple[tuple[Reason, pl.Series], ...]:
    if column.use in REQUIRED:  # where "" is no null literal it is still no name of anything
        return ((Reason.MISSING, texts.is_null() | (texts == "")),)
    return () if column.nullable else ((Reason.MISSING, texts.is_null()),)
