"""The contract: which cleaned rows the project's declaration accepts, and which are set aside, each with every reason.

Decides row by row, and then of the batch as a whole: one that breaks a hard check of the whole is refused, and nothing
of it lands. What share of refused rows is too much is left to policies. Of rows with one id only those count that are
acceptable by themselves, so that a broken row cannot take a good one with it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

import polars as pl

from holdfast.core.errors import InvalidData
from holdfast.core.project import Project
from holdfast.core.schema import Column, Use, is_held
from holdfast.engines.packed import Packed, pack, stacked
from holdfast.ingest.checking import Contract, Judged, Outcome, judge
from holdfast.ingest.cleaning import clean
from holdfast.ingest.raw import Raw
from holdfast.ingest.reasons import WORDS, Reason, faults_where, merged
from holdfast.ingest.repairs import Repaired, repaired

References: TypeAlias = Mapping[str, pl.DataFrame]
_ALWAYS: Final = ("trim/1", "null-literal/1", "timestamp/1")  # what cleaning does to every column
OUTSIDE: Final = frozenset({Reason.BELOW, Reason.ABOVE, Reason.NOT_ALLOWED})
"""Reasons against a value of its type that lies where none was declared to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How often one cleaning rule changed a value of one column."""

    rule: str
    column: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Of one column as it came: in how many rows its value is missing, of another type, and out of its range."""

    column: str
    missing: int
    mismatched: int
    outside: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was read of a file: its rows by their count, and the columns that nobody declared, by their names."""

    rows_in: int
    rows_read: int
    undeclared: tuple[str, ...]
    personal: tuple[str, ...]  # declared personal columns that were there, and were not read
    blank_lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows that hold, by source row number, the faults of all others, and what cleaning changed."""

    frame: Packed
    rows: pl.Series
    faults: pl.DataFrame
    counts: tuple[Count, ...]
    judged: Judged
    duplicate_ids: int = 0
    quality: tuple[Quality, ...] = ()


def hold(raw: Raw, project: Project, *, references: References | None = None, now: datetime | None = None) -> Batch:
    """Return the readable rows held against the contract: each value's type, then all columns and checks together.

    Args:
        raw: The rows as read.
        project: What is declared of them.
        references: The tables that checks refer to, by their names.
        now: The time, for ages and for who is new; without it no age is known, and nobody is new.

    Raises:
        InvalidProject: A timestamp format that cannot mean a moment.
        InvalidData: A check cannot be evaluated.
    """
    return hold_pieces([raw], project, references=references, now=now)[0]


def hold_pieces(
    pieces: Iterable[Raw],
    project: Project,
    *,
    references: References | None = None,
    now: datetime | None = None,
    folder: Path | None = None,
) -> tuple[Batch, Read, Packed]:
    """Return the same for rows that come in pieces, what was read, and the columns that nobody declared, as they came.

    Of the pieces one is open at a time. Cleaning looks at each value alone, so that they are cleaned as the whole would
    be. What the project's own rules do may rest on all rows: where there are any, the one piece must be the whole.

    Args:
        pieces: The rows as read.
        project: What is declared of them.
        references: As for `hold`.
        now: As for `hold`.
        folder: Where rows lie packed, if not in memory; whoever gives it removes it.

    Raises:
        InvalidProject: A timestamp format that cannot mean a moment.
        InvalidData: A check cannot be evaluated, or the rows cannot be read.
    """
    data, tally = project.data, _Tally(folder=folder)
    held = {name: column for name, column in data.columns.items() if is_held(column)}
    frame = pack((_cleaned(piece, project, held, tally) for piece in pieces), folder)
    rows, unreadable = pl.concat(tally.rows), merged(tally.faults)
    contract = Contract(
        columns=held, checks=data.checks, onboarding=data.onboarding, references=references or {}, now=now
    )
    judged = judge(frame, rows, contract)
    faults = merged([unreadable, _not_only_unreadable(judged.faults, unreadable)])
    good = ~rows.is_in(faults.get_column("row").unique().implode())
    batch = Batch(
        frame=frame.filter(good),
        rows=rows.filter(good),
        faults=faults,
        counts=tuple(tally.counted(held)),
        judged=judged,
        quality=tuple(
            Quality(
                column=name,
                missing=tally.missing[name],
                mismatched=tally.mismatched[name],
                outside=_outside(name, judged),
            )
            for name in held
        ),
    )
    return batch, tally.read(), stacked(tally.beside)


@dataclass(slots=True)
class _Tally:
    """What is counted while pieces pass by."""

    folder: Path | None
    last: Raw | None = None
    rows: list[pl.Series] = field(default_factory=list)
    faults: list[pl.DataFrame] = field(default_factory=list)
    beside: list[Packed] = field(default_factory=list)
    mended: dict[tuple[str, str], int] = field(default_factory=dict)
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    mismatched: Counter[str] = field(default_factory=Counter)

    def add(self, piece: Raw) -> None:
        """Count a piece as it was read."""
        self.last = replace(piece, frame=piece.frame.clear(), rows=piece.rows.clear(), faults=piece.faults.clear())
        self.rows.append(piece.rows)
        self.faults.append(piece.faults)
        beside = [name for name in piece.undeclared if name in piece.frame.columns]
        self.beside.append(pack([piece.frame.select(beside)], self.folder))

    def counted(self, held: Iterable[str]) -> Iterator[Count]:
        """Yield what was changed: by the project's rules first, then column by column."""
        for (rule, name), count in self.mended.items():
            yield Count(rule=rule, column=name, count=count)
        for name in held:
            for rule in _ALWAYS:
                if self.changed[rule, name]:
                    yield Count(rule=rule, column=name, count=self.changed[rule, name])

    def read(self) -> Read:
        """Return what was read of all pieces."""
        assert self.last is not None  # noqa: S101 - a file that is readable has at least one piece
        return Read(
            rows_in=self.last.rows_in,
            rows_read=sum(len(rows) for rows in self.rows),
            undeclared=self.last.undeclared,
            personal=self.last.personal,
            blank_lines=self.last.blank_lines,
        )


def _cleaned(piece: Raw, project: Project, held: Mapping[str, Column], tally: _Tally) -> pl.DataFrame:
    """Return the values of a piece's declared columns, and count what was changed and what is none."""
    tally.add(piece)
    mended = mend(piece, project)
    tally.mended |= mended.counts
    columns = list[pl.Series]()
    for name, column in held.items():
        cleaned = clean(mended.table.get_column(name), column, project.data)
        found = [faults_where(m, rows=piece.rows, code=c, column=name, values=cleaned.texts) for c, m in cleaned.faults]
        tally.faults += [each for each in found if each.height]
        changed = (cleaned.trimmed, cleaned.null_literals, cleaned.normalised)
        tally.changed.update({(rule, name): count for rule, count in zip(_ALWAYS, changed, strict=True)})
        tally.missing[name] += int(cleaned.texts.null_count())
        tally.mismatched[name] += merged(found).get_column("row").n_unique()
        columns.append(cleaned.values.alias(name))
    return pl.DataFrame(columns)


def mend(raw: Raw, project: Project) -> Repaired:
    """Return the readable rows after the project's own cleaning rules; moments of a Parquet file are no texts.

    Raises:
        InvalidProject: Two rules undo each other.
    """
    if not project.data.clean:
        return Repaired(table=raw.frame, counts={})
    texts = raw.frame.select(pl.col(pl.String).str.strip_chars())
    literal = pl.all().is_in(list(project.data.null_literals))
    known = texts.select(pl.when(~literal).then(pl.all()).name.keep())
    done = repaired(known, project.data.clean)
    touched = {column for _, column in done.counts}
    return Repaired(table=raw.frame.with_columns(done.table.select(sorted(touched))), counts=done.counts)


def _not_only_unreadable(faults: pl.DataFrame, unreadable: pl.DataFrame) -> pl.DataFrame:
    """Return faults without those that call a value missing because nothing could be made of its text."""
    missing = pl.col("code") == Reason.MISSING.value
    real = faults.filter(missing).join(unreadable, on=["row", "column"], how="anti")
    return pl.concat([faults.filter(~missing), real])


def _outside(column: str, judged: Judged) -> int:
    """Return in how many rows a value is out of its declared range or set, warned about or not."""
    codes = [code.value for code in OUTSIDE]
    refused = judged.faults.filter((pl.col("column") == column) & pl.col("code").is_in(codes))
    warned = sum(each.rows for each in judged.warned if each.column == column and each.code in OUTSIDE)
    return refused.get_column("row").n_unique() + warned


def check_breaches(batch: Batch, project: Project) -> None:
    """Refuse a batch that breaks a hard check of the whole: nothing of it lands.

    Raises:
        InvalidData: With every such check, what was measured and what is allowed.
    """
    breaches = batch.judged.breaches
    if breaches:
        words = "; ".join(breach_words(each) for each in breaches)
        raise InvalidData(
            f"the batch breaks its contract, and nothing of it was taken: {words}",
            place=project.data.source,
            expected="a batch within the hard limits of [[data.checks]]",
            remedy="Have the batch corrected at its source, or change the contract; the data set before is untouched.",
        )


def breach_words(outcome: Outcome) -> str:
    """Return in words what a check of the batch found."""
    check, value = outcome.check, outcome.value
    of = f" of {', '.join(check.columns)}" if check.columns else ""
    found = f"could not be measured ({outcome.words})" if value is None else f"is {value:.6g}"
    because = f" ({check.because})" if check.because else ""
    return f"{check.name}: {check.kind}{of} {found}, and must be {check.limits()}{because}"


def resolve_duplicates(batch: Batch, project: Project) -> Batch:
    """Return a batch in which each id stands once.

    Rows that say the same in every column are one row written twice: the first is kept. Rows that say different things
    about one id are all set aside, because nothing here knows which is true. Without an id column nothing is a
    duplicate: two equal measurements may be two measurements.
    """
    ids = list(project.columns_of(Use.ID))
    if not ids:
        return batch
    twice = _twice(batch.frame.pick(ids))
    some = batch.frame.filter(twice).open()  # of an id that stands once there is neither a copy nor a conflict
    named = pl.struct(ids)
    copy = some.select((~pl.struct(pl.all()).is_first_distinct()).alias("copy")).get_column("copy")
    first = some.with_columns(pl.when(~copy).then(named).alias("\0key"))  # no header can hold a NUL
    conflict = first.select(
        (pl.col("\0key").is_not_null() & pl.col("\0key").is_duplicated()).alias("conflict")
    ).get_column("conflict")
    shown = some.select(pl.concat_str(ids, separator=" ").alias("id")).get_column("id")
    label, rows = ", ".join(ids), batch.rows.filter(twice)
    found = [
        faults_where(mask, rows=rows, code=code, column=label, values=shown)
        for mask, code in ((copy, Reason.COPY), (conflict, Reason.CONFLICT))
    ]
    keep = ~batch.rows.is_in(rows.filter(copy | conflict).implode())
    removed = int(copy.sum())
    return replace(
        batch,
        frame=batch.frame.filter(keep),
        rows=batch.rows.filter(keep),
        faults=merged([batch.faults, *found]),
        counts=(*batch.counts, *([Count(rule="duplicate/1", column=label, count=removed)] if removed else [])),
        duplicate_ids=some.filter(named.is_duplicated()).select(named.n_unique()).item(),
    )


def _twice(ids: pl.DataFrame) -> pl.Series:
    """Return which rows may have an id that others have: those whose hash stands twice, hardly ever by chance."""
    hashed = ids.hash_rows()
    ordered = hashed.sort()
    return hashed.is_in(ordered.filter(ordered == ordered.shift(1)).unique().implode())


def check_left(batch: Batch, raw: Raw | Read, project: Project) -> None:
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
