"""Profiles of files that nobody has described: what they seem to hold, and a draft for people to complete."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.core.errors import InvalidInput, UsageError
from holdfast.core.ports import Recogniser
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, silent

if TYPE_CHECKING:
    from holdfast.ingest.profile import Profile, Profiled
    from holdfast.ingest.unknown import Unknown

FORMATS: Final = ("table", "toml", "odcs")


def profile(
    *,
    path: Path,
    form: str = "table",
    recogniser: Recogniser | None = None,
    tell: Callable[[Progress], None] = silent,
) -> Reply:
    """Say what the columns of a file seem to hold, or draft a declaration of them.

    Args:
        path: The file.
        form: What to answer: table, toml or odcs.
        recogniser: What looks through texts for names and what else no pattern knows; None for nothing.
        tell: Told of progress.

    Raises:
        Unavailable: The recogniser failed.
        UsageError: There is no such form of an answer.
        InvalidInput: There is no such file.
        InvalidData: The file is in no reading a table, or in more than one.
    """
    del tell
    if form not in FORMATS:
        raise UsageError(f"there is no form {form!r}", expected=", ".join(FORMATS))
    from holdfast.engines.dlp import searched_with
    from holdfast.ingest.profile import profile as profiled
    from holdfast.ingest.unknown import read_unknown

    if not path.is_file():
        raise InvalidInput("the file is missing or no regular file", place=str(path), expected="a file of rows")
    unknown = read_unknown(path)
    found = profiled(unknown.table, recogniser)
    text = _toml(found) if form == "toml" else _odcs(found, path.stem) if form == "odcs" else ""
    rows = [_row(column) for column in found.columns]
    names = ("column", "type", "missing", "distinct", "range or values", "shapes", "notes")
    pairs = "".join(f" Rows are told apart by {one} and {other} together." for one, other in found.pairs[:3])
    bad = unknown.faults
    broken = f" {counted(len(bad), 'row')} cannot be read; the first: {bad[0].detail}." if bad else ""
    says = f"{counted(found.rows, 'row')}, {counted(len(found.columns), 'column')}; {unknown.words}."
    says += f"{broken}{pairs} {NEXT}"
    document = {
        "rows": found.rows,
        "unreadable": len(bad),
        "format": unknown.form,
        "dialect": _dialect(unknown),
        "columns": [_plain(column) for column in found.columns],
        "pairs": [list(pair) for pair in found.pairs],
        **searched_with(recogniser),
    }
    return Reply(says=says, document=document, tables=(Table(title="Columns", columns=names, rows=rows),), text=text)


def _dialect(unknown: "Unknown") -> dict[str, object]:
    """Return how a file of delimited texts is written, as `[sources.NAME.file]` would declare it."""
    if unknown.dialect is None:
        return {}
    said = unknown.dialect
    encoding = {"utf-8-sig": "utf-8", "utf-16-le": "utf-16", "utf-16-be": "utf-16"}.get(said.encoding, said.encoding)
    return {"encoding": encoding, "delimiter": said.delimiter, "quote": said.quote, "words": said.words}


NEXT: Final = "Draft a declaration with --form toml or odcs; its columns are held out until somebody describes them."


def _plain(column: "Profiled") -> dict[str, object]:
    """Return what was found of a column; of a personal one, nothing that is a value of its."""
    found: dict[str, object] = {name: getattr(column, name) for name in column.__slots__}
    if column.personal:
        found |= {"low": "", "high": "", "quantiles": (), "sentinels": (), "values": ()}
    return found


def _row(column: "Profiled") -> tuple[str, ...]:
    spread = f"{column.low} to {column.high}, median {column.quantiles[2]:.6g}" if column.quantiles else ""
    spread = spread or ", ".join(column.values[:6]) + (" …" if len(column.values) > 6 else "")  # noqa: PLR2004 - a line
    if column.personal:
        spread = ""
    shapes = ", ".join(f"{shape} ({rows})" for shape, rows in column.shapes[:2])
    share = column.missing / column.rows if column.rows else 0.0
    kind = f"{column.type} {' or '.join(column.formats)}".strip()
    return column.name, kind, f"{share:.1%}", str(column.distinct), spread, shapes, "; ".join(_notes(column))


def _notes(column: "Profiled") -> list[str]:
    notes = [f"personal: {', '.join(column.personal)}"] if column.personal else []
    notes += ["tells rows apart"] if column.key else []
    notes += [f"values are not listed: {column.unlisted}"] if column.unlisted and not column.personal else []
    notes += [f"{literal!r} {rows} times" for literal, rows in column.null_like.items()]
    notes += [f"{counted(column.misfits, 'value')} of another type"] if column.misfits else []
    notes += [f"{value:g} may mean missing" for value in column.sentinels]
    notes += ["several formats: values that fit two with different meanings will be set aside"] * (
        len(column.formats) > 1
    )
    return notes


def _toml(found: "Profile") -> str:
    from holdfast.engines.odcs_writing import write_tables

    literals = ", ".join(_quoted(each) for each in found.null_literals)
    formats = ", ".join(_quoted(each) for each in found.formats)
    head = (
        "# A draft. Under [data]:\n"
        f"#   null_literals = [{literals}]\n"
        f"#   timestamp_formats = [{formats}]\n"
        "# Each column is held out until it has `description` and `described_by`. One must be the label.\n"
    )
    return head + write_tables(found.draft(), ())


def _odcs(found: "Profile", name: str) -> str:
    from holdfast.engines.odcs import DataContract
    from holdfast.engines.odcs_writing import write_contract

    contract = DataContract(id=name, version="0.1.0", status="draft", table=name, columns=found.draft(), checks=())
    return write_contract(contract)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
