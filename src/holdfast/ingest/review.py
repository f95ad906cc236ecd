"""Review: which outliers a person may decide on, and what is done at the next ingest with what was decided.

Decides which row a decision is about: one whose texts are, to the last character, those that the decision was made on.
A row that says something else now is another row, and comes to review again. A correction is applied before anything
else is done to the row, so that a corrected value is cleaned and held to the contract as any other.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import polars as pl

from holdfast.core.outliers import Action, Subject
from holdfast.core.project import Project
from holdfast.core.sensitivity import withheld
from holdfast.core.sources import SOURCE_COLUMN
from holdfast.ingest.contract import Batch, Count
from holdfast.ingest.outliers import Sorted, Verdict, Why, sort_outliers
from holdfast.ingest.raw import Raw
from holdfast.ingest.reasons import Fault, Reason, fault_table, merged

CASES: Final = "outliers.jsonl"
RULE: Final = "decided/1"
MAX_CASES: Final = 10_000  # of one batch that are listed one by one; all are counted
_BEYOND: Final = frozenset({Reason.BELOW.value, Reason.ABOVE.value, Reason.NOT_ALLOWED.value})


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One outlier: the row by its number in the source and by its print, the value as it came, and why it lies out."""

    row: int
    column: str
    value: str
    verdict: Verdict
    reasons: tuple[Why, ...]
    suggested: str = ""
    set_aside: bool = False
    print: str = ""  # of all texts of the row; empty where nobody is asked about it

    @property
    def waits(self) -> bool:
        """Say whether a person should decide it: the row is doubtful, or was set aside by triage alone."""
        return self.verdict is not Verdict.RARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """One decision in force: what it is about, and what is done."""

    action: Action
    subject: Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What decisions did to a source: the cells that stay by a person's word, and what was done how often."""

    kept: frozenset[tuple[int, str]] = frozenset()
    counts: tuple[Count, ...] = ()
    quarantined: int = 0
    unmatched: int = 0  # decisions about rows that are not in this source, or say something else now


@dataclass(frozen=True, slots=True, kw_only=True)
class Triage:
    """What triage made of a batch: the rows that go on, every case, and the counts behind them."""

    batch: Batch
    cases: tuple[Case, ...] = ()
    found: Sorted = field(default_factory=Sorted)
    set_aside: int = 0
    unlisted: int = 0

    @property
    def waiting(self) -> int:
        """How many cases wait for a person."""
        return sum(case.waits for case in self.cases) + self.unlisted


def print_of(texts: Mapping[str, str | None]) -> str:
    """Return the print of a row: SHA-256 over its columns and texts, by name.

    >>> print_of({"b": "2", "a": None}) == print_of({"a": None, "b": "2"}) != print_of({"a": "", "b": "2"})
    True
    """
    return hashlib.sha256(msgspec.json.encode(sorted(texts.items()))).hexdigest()


def apply(raw: Raw, rulings: Sequence[Ruling], project: Project) -> tuple[Raw, Applied]:
    """Return the rows as read, with every decision applied whose very row is among them, and what that did.

    Args:
        raw: The rows as read.
        rulings: The decisions in force, at most one a row and column.
        project: Whose declared columns a row's print is of.
    """
    if not rulings:
        return raw, Applied()
    frame, kept, faults, done = raw.frame, set[tuple[int, str]](), list[Fault](), dict[str, int]()
    names = _printed(raw, project)
    changes = dict[str, dict[int, str]]()
    unmatched = 0
    for ruling in rulings:
        subject = ruling.subject
        places = _places(raw, names, subject)
        unmatched += not places
        for place in places:
            row = int(raw.rows[place])
            if ruling.action == "keep":
                kept.add((row, subject.column))
            elif ruling.action == "correct":
                kept.add((row, subject.column))
                changes.setdefault(subject.column, {})[place] = subject.replacement
                done[subject.column] = done.get(subject.column, 0) + 1
            else:
                faults.append(Fault(row=row, code=Reason.DECIDED, column=subject.column, detail=subject.value))
    for name, cells in changes.items():
        column = frame.get_column(name).scatter(list(cells), list(cells.values()))
        frame = frame.with_columns(column.alias(name))
    out = fault_table(faults)
    stay = ~raw.rows.is_in(out.get_column("row").unique().implode())
    done_raw = replace(raw, frame=frame.filter(stay), rows=raw.rows.filter(stay), faults=merged([raw.faults, out]))
    return done_raw, Applied(
        kept=frozenset(kept),
        counts=tuple(Count(rule=RULE, column=name, count=count) for name, count in done.items()),
        quarantined=out.get_column("row").n_unique(),
        unmatched=unmatched,
    )


def _printed(raw: Raw, project: Project) -> list[str]:
    return [name for name in raw.frame.columns if name in project.data.columns]


def _places(raw: Raw, names: Sequence[str], subject: Subject) -> list[int]:
    """Return the places of the rows that a decision is about: those of its value first, then of its print."""
    if subject.column not in names or raw.frame.schema[subject.column] != pl.String:
        return []
    same = (raw.frame.get_column(subject.column) == subject.value).fill_null(value=False).arg_true().to_list()
    return [place for place in same if print_of(_texts(raw, names, place)) == subject.print]


def _texts(raw: Raw, names: Sequence[str], place: int) -> dict[str, str | None]:
    row = raw.frame.row(place, named=True)
    return {name: None if row[name] is None else str(row[name]) for name in names}


def triage(batch: Batch, before: Raw | None, applied: Applied, project: Project, hidden: Iterable[str]) -> Triage:
    """Return the batch without what triage sets aside, and every outlier as a case.

    Args:
        batch: Rows that hold, without columns that are not stored.
        before: The rows as read, of which cases show the values; needed where outliers are declared.
        applied: What persons have decided: those cells are no cases any more.
        project: What is declared.
        hidden: Further columns of which no value may be shown.
    """
    declared = project.data.outliers
    if declared is None:
        return Triage(batch=batch)
    if before is None:
        raise ValueError("outliers are declared, and the rows as read were not handed in")
    unseen = {*withheld(project), *hidden}
    found = sort_outliers(
        batch.frame.open(), project.data.columns, declared, source=SOURCE_COLUMN, hidden=sorted(unseen)
    )
    numbers, sets = batch.rows.to_list(), _sets_aside(project)
    show = _Shown(before, project)
    cases, faults, unlisted = list[Case](), list[Fault](), 0
    for outlier in found.outliers:
        row = int(numbers[outlier.place])
        if (row, outlier.column) in applied.kept:
            continue
        aside = outlier.verdict in sets
        if aside:
            faults.append(Fault(row=row, code=sets[outlier.verdict], column=outlier.column, detail=outlier.value))
        if len(cases) >= MAX_CASES:
            unlisted += outlier.verdict is not Verdict.RARE
            continue
        cases.append(
            show.case(row, outlier.column, outlier.verdict, outlier.reasons, suggested=outlier.suggested, aside=aside)
        )
    beyond = _beyond(batch.faults, found, unseen, show)
    out = fault_table(faults)
    stay = ~batch.rows.is_in(out.get_column("row").unique().implode())
    left = replace(
        batch, frame=batch.frame.filter(stay), rows=batch.rows.filter(stay), faults=merged([batch.faults, out])
    )
    room = max(0, MAX_CASES - len(cases))
    return Triage(
        batch=left,
        cases=(*cases, *beyond[:room]),
        found=found,
        set_aside=out.get_column("row").n_unique(),
        unlisted=unlisted + len(beyond[room:]),
    )


def _sets_aside(project: Project) -> dict[Verdict, Reason]:
    declared = project.data.outliers
    assert declared is not None  # noqa: S101 - asked before
    found = {Verdict.LIKELY_ERROR: Reason.LIKELY_ERROR} if declared.likely_error == "set-aside" else {}
    return found | ({Verdict.DOUBTFUL: Reason.DOUBTFUL} if declared.doubtful == "set-aside" else {})


class _Shown:
    """Rows by their number, as they came."""

    def __init__(self, raw: Raw, project: Project) -> None:
        self.raw, self.names = raw, _printed(raw, project)
        self.places = {int(row): place for place, row in enumerate(raw.rows.to_list())}

    def case(
        self, row: int, column: str, verdict: Verdict, reasons: tuple[Why, ...], *, suggested: str, aside: bool
    ) -> Case:
        """Return a case about one cell."""
        texts = _texts(self.raw, self.names, self.places[row])
        return Case(
            row=row,
            column=column,
            value=texts[column] or "",
            verdict=verdict,
            reasons=reasons,
            suggested=suggested,
            set_aside=aside,
            print=print_of(texts),
        )


def _beyond(faults: pl.DataFrame, found: Sorted, unseen: set[str], show: _Shown) -> list[Case]:
    """Return the values that the contract refused as a case each: a correction brings their row back."""
    refused = faults.filter(pl.col("code").is_in(sorted(_BEYOND)) & ~pl.col("column").is_in(sorted(unseen)))
    return [
        show.case(
            int(row),
            column,
            Verdict.LIKELY_ERROR,
            (Why.OUT_OF_CONTRACT,),
            suggested=found.meant(column, detail),
            aside=True,
        )
        for row, column, detail in refused.select("row", "column", "detail").unique(maintain_order=True).iter_rows()
        if int(row) in show.places and column in show.names
    ]


def document(cases: Iterable[Case]) -> bytes:
    """Return cases as JSON Lines, by row and column."""
    encoder = msgspec.json.Encoder(order="deterministic")
    ordered = sorted(cases, key=lambda case: (case.row, case.column, case.verdict))
    return b"".join(encoder.encode(case) + b"\n" for case in ordered)


def parse(text: bytes) -> tuple[Case, ...]:
    """Return the cases in a document."""
    decoder = msgspec.json.Decoder(Case)
    return tuple(decoder.decode(line) for line in text.splitlines())
