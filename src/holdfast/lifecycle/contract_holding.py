"""Rows held against a declaration, a contract's or a project's, without taking them in.

Decides nothing about a data set: what counts is what `ingest` measures of the rows that it takes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from holdfast.core.checks import Check, check_faults
from holdfast.core.errors import InvalidInput, InvalidProject, UsageError
from holdfast.core.project import About, Data, Gates, Project, Risk, Train, parse_project
from holdfast.core.schema import Column, check_column
from holdfast.lifecycle.contract_files import MAX_REFERENCE, references_of
from holdfast.lifecycle.contracts import aside, limits, read_file, said, weight
from holdfast.lifecycle.inputs import read_given, read_project_file
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, silent

if TYPE_CHECKING:
    import polars as pl

    from holdfast.ingest.checking import Outcome
    from holdfast.ingest.contract import Batch
    from holdfast.ingest.raw import Raw

SHOWN: Final = 200  # rows of one table on a screen; the document has all


def check(
    *,
    path: Path,
    data: Path | None = None,
    table: str = "",
    leave_out: str = "",
    timestamps: str = "",
    tell: Callable[[Progress], None] = silent,
) -> Reply:
    """Say what is understood of a contract, and hold a file of rows against it.

    Raises:
        InvalidInput: It is no contract, or holds what cannot be checked and was not named as left out.
        InvalidData: The rows cannot be read, or a check cannot be evaluated on them.
    """
    del tell
    contract = read_file(path, table, leave_out)
    if data is None:
        rows = [_described(name, column) for name, column in contract.columns.items()]
        checks = [(c.name, c.kind, ", ".join(c.columns), limits(c), weight(c)) for c in contract.checks]
        tables = [Table(title="Columns", columns=("column", "type", "required", "limits"), rows=rows)]
        if checks:
            tables.append(Table(title="Checks", columns=("check", "kind", "columns", "limit", "weight"), rows=checks))
        says = f"{counted(len(contract.columns), 'column')}, {counted(len(contract.checks), 'check')} understood."
        document = {"columns": contract.columns, "checks": contract.checks, **aside(contract)}
        return Reply(says=f"{says}{said(contract)}", document=document, tables=tables)
    formats = tuple(each for each in timestamps.split(",") if each) or contract.timestamp_formats
    project = standalone(data, contract.columns, contract.checks, formats)
    from holdfast.ingest.references import typed

    named = {each.against for each in contract.checks if each.against}
    found = {name: typed(_reference(path.parent, name), name, project.data) for name in named}
    return held(data, project, found, aside=said(contract))


def check_data(root: Path, *, path: Path, tell: Callable[[Progress], None] = silent) -> Reply:
    """Hold a file of rows against the project's own declaration; nothing is taken in.

    Raises:
        InvalidProject: The project file is missing or wrong.
        InvalidData: The rows cannot be read, or a check cannot be evaluated on them.
    """
    del tell
    project, _ = parse_project(read_project_file(root / "holdfast.toml"))
    form = msgspec.structs.replace(project.data, source=path.name, format=format_of(path))
    project = msgspec.structs.replace(project, data=form)
    return held(path, project, references_of(project, root))


def standalone(
    path: Path, columns: Mapping[str, Column], checks: Sequence[Check] = (), formats: tuple[str, ...] = ()
) -> Project:
    """Return a project that declares these columns of a file and nothing else: for looking at rows, never for a run.

    Raises:
        InvalidInput: The declaration contradicts itself.
    """
    for name, column in columns.items():
        check_column(name, column)
    for _, words, expected in check_faults(tuple(checks), columns):
        raise InvalidInput(words, expected=expected)
    data = Data(
        source=path.name,
        format=format_of(path),
        origin="a file",
        licence="not said",
        columns=dict(columns),
        checks=tuple(checks),
        timestamp_formats=formats,
    )
    risk = Risk(sensitivity="internal", exposure="none", stakes="experimental")
    train = Train(recipe="none.py:none", positive="none")
    about = About(name="file", owner="nobody")
    return Project(project=about, risk=risk, data=data, train=train, gates=Gates(policy="none"))


def format_of(path: Path) -> Any:
    """Return the declared format that a file's name means."""
    return {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(path.suffix.lower(), "csv")


def held(path: Path, project: Project, references: "Mapping[str, pl.DataFrame]", *, aside: str = "") -> Reply:
    """Hold a file against a declaration and say what came of it; the exit code is 1 where rows or batch break it.

    Raises:
        InvalidData: The rows cannot be read, or a check cannot be evaluated on them.
        UsageError: There is no such file.
    """
    from holdfast.ingest.contract import breach_words, hold, resolve_duplicates
    from holdfast.ingest.sources import read

    if not path.is_file():
        raise UsageError(f"{str(path)!r} is no file", expected="a .csv or .parquet file")
    raw = read(path, project)
    batch = resolve_duplicates(hold(raw, project, references=references, now=datetime.now(UTC)), project)
    judged = batch.judged
    set_aside = raw.rows_in - batch.frame.height
    broken = [breach_words(each) for each in judged.breaches]
    says = f"{counted(raw.rows_in, 'row')}: {batch.frame.height} hold, {set_aside} would be set aside."
    says += f" The batch breaks {counted(len(broken), 'hard limit')}: nothing of it would land." if broken else ""
    document = {
        "rows_in": raw.rows_in,
        "rows_held": batch.frame.height,
        "rows_set_aside": set_aside,
        "reasons": [dict(zip(("reason", "column", "rows", "first"), row, strict=True)) for row in reasons_of(batch)],
        "checks": [
            {"check": each.check.name, "value": each.value, "holds": each.holds, "soft": each.check.soft, "n": each.n}
            for each in judged.outcomes
        ],
        "warned": [{"check": each.name, "rows": each.rows, "because": each.because} for each in judged.warned],
    }
    tables = list(_shown(raw, batch))
    return Reply(says=says + aside, document=document, tables=tables, exit_code=1 if broken or set_aside else 0)


def reasons_of(batch: "Batch") -> list[tuple[str, str, str, str]]:
    """Return why rows are set aside: reason, column, number of rows, and the first of them."""
    import polars as pl

    grouped = batch.faults.group_by("code", "column", maintain_order=True).agg(
        pl.col("row").n_unique().alias("rows"), pl.col("row").min().alias("first")
    )
    return [(c, column, str(n), str(first)) for c, column, n, first in grouped.sort("code", "column").iter_rows()]


def _shown(raw: "Raw", batch: "Batch") -> Iterator[Table]:
    judged, rows = batch.judged, max(1, raw.frame.height)
    if reasons := reasons_of(batch):
        yield Table(title="Set aside", columns=("reason", "column", "rows", "first row"), rows=reasons[:SHOWN])
    if judged.outcomes:
        lines = [_outcome(each) for each in judged.outcomes]
        yield Table(title="Checks of the batch", columns=("check", "value", "limit", "holds", "why"), rows=lines)
    if judged.warned:
        warned = [(each.name, str(each.code), str(each.rows), each.because) for each in judged.warned]
        yield Table(title="Let through with a warning", columns=("check", "reason", "rows", "because"), rows=warned)
    spoiled = [each for each in batch.quality if each.missing or each.mismatched or each.outside]
    if spoiled:
        shares = [
            (each.column, *(f"{count / rows:.2%}" for count in (each.missing, each.mismatched, each.outside)))
            for each in spoiled[:SHOWN]
        ]
        yield Table(title="Quality", columns=("column", "missing", "of another type", "out of range"), rows=shares)


def _outcome(outcome: "Outcome") -> tuple[str, str, str, str, str]:
    check = outcome.check
    value = "-" if outcome.value is None else f"{outcome.value:.6g}"
    return check.name, value, check.limits(), "yes" if outcome.holds else "warns" if check.soft else "NO", outcome.words


def _reference(folder: Path, name: str) -> bytes:
    path = folder / name
    if not name.isprintable() or not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidProject(f"{name[:80]!r} lies outside the contract's folder", expected="a file beside it")
    return read_given(path, limit=MAX_REFERENCE, what=f"the reference {name!r}")


def _described(name: str, column: Column) -> tuple[str, str, str, str]:
    parts = [f"{column.minimum:g} or more"] if column.minimum is not None else []
    parts += [f"{column.maximum:g} or less"] if column.maximum is not None else []
    parts += [f"one of {len(column.allowed)}"] if column.allowed else []
    return name, str(column.type), "no" if column.nullable else "yes", ", ".join(parts)
