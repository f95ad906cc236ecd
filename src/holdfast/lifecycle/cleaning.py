"""`holdfast data clean`: a file cleaned by the project's rules, outside of any run: first looked at, then written.

The code is that of `ingest`; nothing is taken in, no decision of a person is applied, and `[dlp]` does not act. Columns
that are personal, undescribed or undeclared are left out, as ingest leaves them out. Values that are shown, of changes
and of rows that are set aside, are masked as a run's quarantine is, by what `[dlp.presidio]` declares as well.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from holdfast.core.dlp import Presidio
from holdfast.core.errors import InvalidInput
from holdfast.core.ports import Recogniser, no_recogniser
from holdfast.core.project import Project, parse_project
from holdfast.core.schema import ColumnType, is_held
from holdfast.core.sensitivity import withheld
from holdfast.lifecycle.contract_files import references_of
from holdfast.lifecycle.contract_holding import format_of, reasons_of
from holdfast.lifecycle.inputs import read_project_file
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, silent

if TYPE_CHECKING:
    import polars as pl

    from holdfast.ingest.contract import Batch
    from holdfast.ingest.raw import Raw

SAMPLE: Final = 20  # changed values that are shown, of all columns together
OF_COLUMN: Final = 4  # and of one
FORMS: Final = (".csv", ".parquet")


def data_clean(
    root: Path,
    *,
    path: Path,
    out: Path | None = None,
    quarantine: Path | None = None,
    open_recogniser: Callable[[Presidio], Recogniser] = no_recogniser,
    tell: Callable[[Progress], None] = silent,
) -> Reply:
    """Say what the declared rules change of a file, with counts and a sample; write the outcome only where told to.

    Args:
        root: The project's folder.
        path: The file.
        out: A .csv or .parquet file to make, with the rows that hold.
        quarantine: A .jsonl file to make, with the others by number and their reasons.
        open_recogniser: Opens what `[dlp.presidio]` declares.
        tell: Told of progress.

    Raises:
        InvalidProject: The project file is missing or wrong, or declares a `[dlp.presidio]` that cannot be had.
        Refused: It declares one, and nobody lends what opens it.
        Unavailable: Presidio is not installed, or failed.
        InvalidData: The rows cannot be read, or not one holds.
        InvalidInput: There is something where a file would lie, or it cannot be written in its form.
    """
    del tell
    from holdfast.engines.dlp import recogniser_of, searched_with
    from holdfast.ingest import settled
    from holdfast.ingest.contract import check_left, hold
    from holdfast.ingest.quarantine import document
    from holdfast.ingest.sources import read

    project, _ = parse_project(read_project_file(root / "holdfast.toml"))
    project = replace(project, data=replace(project.data, source=path.name, format=format_of(path)))
    for each in (out, quarantine):
        if each is not None and each.exists():
            raise InvalidInput("there is something already where the rows would lie", place=str(each))
    recogniser = recogniser_of(project.dlp, open_recogniser)  # before a row is read, or not at all
    raw = read(path, project)
    held = hold(raw, project, references=references_of(project, root))
    batch, _ = settled(held, held, project)
    contents: list[tuple[Path, bytes]] = []
    if out is not None:
        check_left(batch, raw, project)
        contents.append((out, _written(batch.frame.open(), out, project)))
    if quarantine is not None:
        contents.append((quarantine, document(batch.faults, set(withheld(project)), recogniser)))
    for file, content in contents:
        _write(file, content)
    reply = _reply(raw, batch, _sample(raw, project, recogniser), project, out, quarantine)
    return dataclasses.replace(reply, document={**reply.document, **searched_with(recogniser)})


def _written(frame: "pl.DataFrame", out: Path, project: Project) -> bytes:
    """Return rows as a file that the same rules leave as it is.

    Raises:
        InvalidInput: The file is of no form that is written, or its timestamps could not be read again.
    """
    import io

    import polars as pl

    from holdfast.engines.dataset import to_parquet

    if out.suffix.lower() not in FORMS:
        raise InvalidInput(f"rows are not written as {out.suffix[:20]!r}", place=str(out), expected=" or ".join(FORMS))
    if out.suffix.lower() == ".parquet":
        return to_parquet(frame)
    moments = [name for name, kind in frame.schema.items() if kind.is_temporal()]
    wanted = "%Y-%m-%dT%H:%M:%S%z"
    if moments and wanted not in project.data.timestamp_formats:
        words = f"moments such as those of {moments[0]!r} would be written in a format that the project cannot read"
        raise InvalidInput(words, place=str(out), expected=f"a .parquet file, or {wanted} in timestamp_formats")
    text = frame.with_columns(pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in moments)
    file = io.BytesIO()
    text.write_csv(file)
    return file.getvalue()


def _write(file: Path, content: bytes) -> None:
    """Write a file whole or not at all, for its owner alone."""
    part = file.with_name(f".{file.name}.part")
    try:
        part.touch(mode=0o600)
        part.write_bytes(content)
        part.rename(os.fspath(file))
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InvalidInput(f"the file cannot be written: {error.strerror}", place=str(file)) from error


def _reply(
    raw: "Raw",
    batch: "Batch",
    sample: list[dict[str, Any]],
    project: Project,
    out: Path | None,
    quarantine: Path | None,
) -> Reply:
    from holdfast.ingest.cleaning import RULES

    does = {rule.name: rule.does for rule in RULES}
    does |= {repair.name: repair.because or f"repaired ({repair.kind})" for repair in project.data.clean}
    counts = [(count.rule, count.column, count.count, does[count.rule]) for count in batch.counts]
    aside = batch.faults.get_column("row").n_unique()
    kept = {name for name, column in project.data.columns.items() if is_held(column)}
    left = [name for name in (*raw.frame.columns, *raw.personal) if name not in kept]
    says = (
        f"{counted(raw.rows_in, 'row')}: {sum(each[2] for each in counts)} values changed by "
        f"{counted(len({each[0] for each in counts}), 'rule')}, {batch.frame.height} rows hold, {aside} are set aside."
    )
    says += f" Left out: {', '.join(left)}." if left else ""
    says += f" The rows that hold lie in {out}." if out else " Nothing was written."
    says += f" The others lie in {quarantine}." if quarantine else ""
    tables = [
        Table(title="Rules", columns=("rule", "column", "changed", "does"), rows=[tuple(map(str, c)) for c in counts])
    ]
    if sample:
        cells = [(str(each["row"]), each["column"], each["before"], each["after"]) for each in sample]
        tables.append(Table(title="Some of what changed", columns=("row", "column", "before", "after"), rows=cells))
    if reasons := reasons_of(batch):
        tables.append(Table(title="Set aside", columns=("reason", "column", "rows", "first row"), rows=reasons))
    document: dict[str, Any] = {
        "rows_in": raw.rows_in,
        "rows_held": batch.frame.height,
        "rows_set_aside": aside,
        "rules": [dict(zip(("rule", "column", "count", "does"), each, strict=True)) for each in counts],
        "sample": sample,
        "left_out": left,
        "reasons": [dict(zip(("reason", "column", "rows", "first"), row, strict=True)) for row in reasons],
    }
    return Reply(says=says, document=document, tables=tables)


def _sample(raw: "Raw", project: Project, recogniser: Recogniser | None) -> list[dict[str, Any]]:
    """Return some of the changed values, before and after, masked; those that may not be shown are left out."""
    from holdfast.engines.personal.recognised import redacted
    from holdfast.ingest.cleaning import clean
    from holdfast.ingest.contract import mend
    from holdfast.ingest.quarantine import shown

    hidden, mended, found = {*withheld(project)}, mend(raw, project).table, list[dict[str, Any]]()
    for name, column in project.data.columns.items():
        before = raw.frame.get_column(name) if is_held(column) else None
        if before is None or name in hidden or before.dtype.is_temporal():
            continue
        cleaned = clean(mended.get_column(name), column, project.data)
        moments = column.type is ColumnType.TIMESTAMP
        after = cleaned.values.dt.strftime("%Y-%m-%dT%H:%M:%SZ") if moments else cleaned.texts
        known = after.is_not_null() | ~cleaned.texts.is_not_null()  # what could not be read was not changed
        changed = ((before.fill_null("") != after.fill_null("")) & known).arg_true().to_list()[:OF_COLUMN]
        found += [
            {"row": int(raw.rows[place]), "column": name, "before": before[place] or "", "after": after[place] or ""}
            for place in changed
        ]
    found = found[:SAMPLE]
    texts = sorted({each[side] for each in found for side in ("before", "after")})
    masked = texts if recogniser is None else redacted(texts, recogniser)
    safe = {text: shown(mask) for text, mask in zip(texts, masked, strict=True)}
    return [{**each, "before": safe[each["before"]], "after": safe[each["after"]]} for each in found]
